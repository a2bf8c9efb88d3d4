"""The frames of a side-by-side video: one clip, or a mosaic of several, beside the 3D motion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from demo.render.frame import PersonPose, Renderer
from demo.render.mosaic import Mosaic
from demo.render.panel import View
from demo.settings import RenderSettings
from demo.types import Bools, ClipInfo, Floats, Frame, Image, Motion, Shots, Status

VIEW_FRAMES = 1000  # what the 3D view is fitted to; longer clips are summed up
MOSAIC_HEIGHT = (480, 1080)  # pixels, least and most where the settings give no height


class ClipRenderer:
    """Draws all frames of one clip, or of several views of one person.

    Args:
        keypoints: (V, P, T, 17, 3) pixels of each view; in views after the first of the first person only.
        forwards: for each shot (3,) the viewing direction of the 3D panel's camera, world axes.
        main: (P,) the people that the 3D view is fitted to; the others are faint.
        shots: the 3D view is fitted to each shot by itself.
    """

    def __init__(
        self,
        infos: Sequence[ClipInfo],
        motion: Motion,
        keypoints: Floats,
        forwards: Sequence[Sequence[float]],
        settings: RenderSettings,
        main: Bools,
        shots: Shots,
    ) -> None:
        sizes = [info.size for info in infos]
        self._motion, self._main, self._shots = motion, main, shots
        self._bystanders = settings.bystanders
        if len(infos) == 1:
            self._mosaic, self._keypoints = None, keypoints
            size, height = sizes[0], settings.height
        else:
            height = settings.height or int(np.clip(2 * max(high for _, high in sizes), *MOSAIC_HEIGHT))
            self._mosaic = Mosaic.of_height(sizes, height)
            moved = [self._mosaic.move(number, each) for number, each in enumerate(keypoints)]
            self._keypoints = np.stack(moved)
            size, height = self._mosaic.size, self._mosaic.size[1]
        self._renderers = [
            Renderer(
                size,
                height,
                View.fit(_extent(motion.world[main, part]), list(forward)),
                settings.orbit,
                moving,
            )
            for part, forward, moving in zip(shots.parts(), forwards, shots.moving, strict=True)
        ]

    @property
    def output_size(self) -> tuple[int, int]:
        """(width, height) of the pictures in pixels, both even."""
        return self._renderers[0].output_size

    def draw(self, frames: Iterator[tuple[Frame, ...]]) -> Iterator[tuple[Image, int]]:
        """Yield the picture and the time stamp of each frame, as long as all clips and the motion last."""
        length = self._motion.world.shape[1]
        for together in frames:
            first = together[0]
            if first.index >= length:
                return
            images = [frame.image for frame in together]
            image = images[0] if self._mosaic is None else self._mosaic.compose(images)
            renderer = self._renderers[self._shots.index[first.index]]
            yield renderer.render(image, self._poses(first.index), first.time), first.pts

    def _poses(self, index: int) -> list[PersonPose]:
        motion = self._motion
        poses = []
        for person, number in enumerate(motion.ids.tolist()):
            if not self._main[person] and not self._bystanders:
                continue
            uncertainty = None if motion.uncertainty is None else motion.uncertainty[person, index]
            status = Status(int(motion.status[person, index]))
            poses.append(
                PersonPose(
                    number,
                    self._keypoints[0, person, index],
                    motion.world[person, index],
                    uncertainty,
                    status,
                    motion.joint_status[person, index],
                    bystander=not self._main[person],
                )
            )
        other_views = self._keypoints[1:, 0, index] if len(motion) else ()
        return poses + [PersonPose(int(motion.ids[0]), points, None) for points in other_views]


def _extent(world: Floats) -> Floats:
    """Return joints (N, 17, 3) to fit the view to; of long clips only the bounds of short stretches."""
    parts = []
    for joints in world:
        stretch = max(1, len(joints) // VIEW_FRAMES)
        starts = np.arange(0, len(joints), stretch)
        parts.append(np.fmin.reduceat(joints, starts))
        if stretch > 1:
            parts.append(np.fmax.reduceat(joints, starts))
    return np.concatenate(parts) if parts else np.zeros((0, 17, 3), np.float32)
