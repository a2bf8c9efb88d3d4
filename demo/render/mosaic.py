"""Several clips in one picture: cells of one size in two columns, each frame letterboxed into its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from demo.types import Floats, Image

COLUMNS = 2


@dataclass(frozen=True)
class Mosaic:
    """The layout. Pictures are placed row by row.

    sizes: (width, height) of each clip's frames. cell: (width, height) of a cell, both in pixels.
    """

    sizes: tuple[tuple[int, int], ...]
    cell: tuple[int, int]

    @staticmethod
    def of_height(sizes: Sequence[tuple[int, int]], height: int) -> Mosaic:
        """Lay out a mosaic about `height` pixels high, its cells as wide as the widest clip needs."""
        rows = -(-len(sizes) // COLUMNS)
        tall = max(2, 2 * round(height / rows / 2))  # even: 4:2:0 video has no odd sizes
        wide = max(2, 2 * round(max(width / high for width, high in sizes) * tall / 2))
        return Mosaic(tuple(sizes), (wide, tall))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the whole picture."""
        wide, tall = self.cell
        return COLUMNS * wide, -(-len(self.sizes) // COLUMNS) * tall

    def compose(self, frames: Sequence[Image]) -> Image:
        """Compose one picture of `size` from a frame of every clip."""
        wide, tall = self.size
        picture = np.zeros((tall, wide, 3), np.uint8)
        for view, frame in enumerate(frames):
            left, top, width, height = self._place(view)
            mode = cv2.INTER_AREA if width < frame.shape[1] else cv2.INTER_LINEAR
            part = picture[top : top + height, left : left + width]
            part[:] = cv2.resize(frame, (width, height), interpolation=mode)
        return picture

    def move(self, view: int, keypoints: Floats) -> Floats:
        """Convert keypoints (..., 3) from one clip's pixels to the mosaic's; scores stay."""
        left, top, width, height = self._place(view)
        scale = np.array((width, height)) / self.sizes[view]
        moved = np.array(keypoints, np.float32)
        # Pixel centres are at +0.5 on both sides of the scaling.
        moved[..., :2] = (moved[..., :2] + 0.5) * scale - 0.5 + (left, top)
        return moved

    def _place(self, view: int) -> tuple[int, int, int, int]:
        """Return left, top, width, height of a clip's picture: as large as its cell holds, in the middle."""
        wide, tall = self.cell
        width, height = self.sizes[view]
        scale = min(wide / width, tall / height)
        shown = max(1, min(wide, round(width * scale))), max(1, min(tall, round(height * scale)))
        row, column = divmod(view, COLUMNS)
        return (
            column * wide + (wide - shown[0]) // 2,
            row * tall + (tall - shown[1]) // 2,
            shown[0],
            shown[1],
        )
