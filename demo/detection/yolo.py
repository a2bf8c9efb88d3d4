"""YOLO around its network: letterboxed pictures in, boxes of people out of its raw outputs.

The network gives, at every cell of grids of stride 8, 16 and 32, the distribution of the distances from the
cell's centre to the four sides of a box (Li et al., "Generalized Focal Loss", NeurIPS 2020), and a logit for
each class. Boxes are decoded here, in float32: in bfloat16 they are off by pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from demo.boxes import ious
from demo.types import Detections, Floats, Image

if TYPE_CHECKING:
    from torch import nn

STRIDE = 32  # pixels of the coarsest grid: sides of the input are multiples of it
_GREY = 114  # of the padding, as in training
_ABSENT = -30.0  # logit of a cell whose best class is not "person"
_MOST = 300  # boxes of a picture


@dataclass(frozen=True)
class Letterbox:
    """How a picture lies in the network's input.

    Attributes:
        height, width: of the input, pixels.
        inner: width and height of the picture in it.
        corner: its left and top edge.
    """

    height: int
    width: int
    inner: tuple[int, int]
    corner: tuple[int, int]

    @classmethod
    def of(cls, size: tuple[int, int], longest: int, *, square: bool = False) -> Letterbox:
        """Fit a picture of `size` (width, height) into `longest` pixels, rounded up to multiples of STRIDE.

        square: the input is a square, for pictures of several sizes in one batch.
        """
        longest = -(-longest // STRIDE) * STRIDE
        zoom = longest / max(size)
        inner = tuple(max(round(side * zoom), 1) for side in size)
        width, height = (longest if square else -(-side // STRIDE) * STRIDE for side in inner)
        corner = round((width - inner[0]) / 2 - 0.1), round((height - inner[1]) / 2 - 0.1)
        return cls(height, width, (inner[0], inner[1]), corner)

    def apply(self, image: Image) -> Image:
        """Return the picture scaled and padded to (height, width, 3)."""
        if image.shape[1::-1] != self.inner:
            image = np.asarray(cv2.resize(image, self.inner, interpolation=cv2.INTER_LINEAR), np.uint8)
        left, top = self.corner
        padded = np.full((self.height, self.width, 3), _GREY, np.uint8)
        padded[top : top + self.inner[1], left : left + self.inner[0]] = image
        return padded

    def to_picture(self, boxes: Floats, size: tuple[int, int]) -> Floats:
        """Convert boxes (N, 4) of the input to pixels of the picture, cut at its edges."""
        zoom = np.tile(np.divide(self.inner, size), 2)
        return np.clip((boxes - np.tile(self.corner, 2)) / zoom, 0, np.tile(size, 2)).astype(np.float32)


def as_input(images: Sequence[Image]) -> Floats:
    """Convert BGR pictures of one size to the input (N, 3, H, W): RGB from 0 to 1."""
    pictures = np.stack(images)[..., ::-1].transpose(0, 3, 1, 2)
    return np.multiply(pictures, np.float32(1 / 255), order="C")


def decode(
    distances: Floats, logits: Floats, size: tuple[int, int], least: float, overlap: float
) -> Detections:
    """Return the boxes of one picture, highest score first, in pixels of the input.

    Args:
        distances: (4 * bins, cells), the logits of the distances left, top, right, bottom in strides.
        logits: (cells,) of "person".
        size: width and height of the input.
        least: smaller scores are dropped.
        overlap: of two boxes with a larger IoU the lower-scoring is dropped.
    """
    scores = 1 / (1 + np.exp(-logits.astype(np.float32)))
    kept = np.flatnonzero(scores > least)
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    centres, strides = _cells(*size)
    # (4, bins, n): as few cells are kept, the exponentials cost little
    bins = distances[:, kept].reshape(4, len(distances) // 4, len(kept)).astype(np.float32)
    if bins.shape[1] > 1:
        weights = np.exp(bins - bins.max(axis=1, keepdims=True))
        expected = np.arange(bins.shape[1], dtype=np.float32) @ (weights / weights.sum(axis=1, keepdims=True))
    else:
        expected = bins[:, 0]
    reach = expected.T * np.array([-1, -1, 1, 1], np.float32)
    boxes = (np.tile(centres[kept], 2) + reach) * strides[kept, None]
    chosen = suppress(boxes, overlap)
    return Detections(boxes[chosen].astype(np.float32), scores[kept][chosen].astype(np.float32))


def suppress(boxes: Floats, overlap: float) -> list[int]:
    """Return the rows of boxes (N, 4), highest score first, that no better one overlaps by a larger IoU."""
    left = np.arange(len(boxes))
    chosen: list[int] = []
    corners = boxes.astype(np.float64)
    while len(left) and len(chosen) < _MOST:
        best, left = left[0], left[1:]
        chosen.append(int(best))
        left = left[ious(corners[best], corners[left]) <= overlap]
    return chosen


def _cells(width: int, height: int) -> tuple[Floats, Floats]:
    """Return the centres (cells, 2) of all grids, in strides, and the stride (cells,) of each."""
    centres, strides = [], []
    for stride in (STRIDE // 4, STRIDE // 2, STRIDE):
        columns, rows = np.meshgrid(np.arange(width // stride), np.arange(height // stride))
        centres.append(np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32) + np.float32(0.5))
        strides.append(np.full(columns.size, stride, np.float32))
    return np.concatenate(centres), np.concatenate(strides)


def raw_outputs(layers: Any, person: int) -> nn.Module:
    """Return the layers of a detector without the decoding: pictures -> distances, logits of "person".

    Args:
        layers: ultralytics' `DetectionModel`; it is changed.
        person: the class.
    """
    import torch
    from torch import Tensor, nn

    class RawHead(nn.Module):
        def __init__(self, head: Any) -> None:
            super().__init__()
            self.head, self.f, self.i = head, head.f, head.i  # f, i: its place in the graph

        def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
            branch = self.head.one2one if self.head.end2end else self.head.one2many
            found = self.head.forward_head(features, **branch)
            scores = found["scores"]
            mine = scores[:, person]
            return found["boxes"], torch.where(mine >= scores.amax(1), mine, torch.full_like(mine, _ABSENT))

    layers = layers.eval()
    for parameter in layers.parameters():
        parameter.requires_grad_(False)
    layers.model[-1] = RawHead(layers.model[-1])
    return layers


def fold(layers: Any) -> Any:
    """Fold batch normalisation into the convolutions, as ultralytics does; the layers are changed."""
    return layers.fuse(verbose=False)
