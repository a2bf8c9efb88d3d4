"""Normalisation of 2D keypoints for each lifter: a shift and a scale of screen units.

Screen units: x in [-1, 1] across the picture, y with the same scale, 0 in the middle.
Sources: MotionBERT's code for videos in the wild ("crop" is its default, "pixels" its switch --pixel).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lifter.clip_camera import ClipCamera
from lifter.spec import LifterSpec

Floats = NDArray[np.float32]

FEWEST = 4  # visible joints of a whole track; with fewer there is no box (MotionBERT's code)


@dataclass(frozen=True)
class Normalisation:
    """model = scale * (screen - centre), for both coordinates.

    bounded: clip all values, scores included, to [-1, 1]. With a scale of 0 all values become 0, scores
    included.
    """

    centre: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    bounded: bool = False

    def apply(self, keypoints: Floats) -> Floats:
        """Normalise keypoints (..., C) in screen units to what the lifter reads."""
        if self == Normalisation():
            return keypoints
        if self.scale == 0:
            return np.zeros_like(keypoints)
        out = keypoints.copy()
        out[..., :2] = self.scale * (keypoints[..., :2] - np.array(self.centre))
        return out.clip(-1, 1) if self.bounded else out

    def undo(self, joints: Floats) -> Floats:
        """Convert root-relative joints (..., 3) from the lifter's units to screen units."""
        return joints / self.scale if self.scale else joints


def normalisation(spec: LifterSpec, keypoints: Floats, camera: ClipCamera) -> Normalisation:
    """Return the normalisation of a whole track (T, 17, C), in screen units, for the spec's lifter."""
    if spec.normalisation == "pixels":
        return Normalisation(scale=1 / min(1.0, camera.aspect))
    if spec.normalisation == "crop":
        return crop_to_track(keypoints)
    return Normalisation()


def crop_to_track(keypoints: Floats) -> Normalisation:
    """Map the square around all joints of a whole track (T, 17, 3) to [-1, 1].

    Joints of score 0 are ignored. With fewer than `FEWEST` joints, or no extent, all values become 0.
    """
    places = keypoints[keypoints[..., 2] != 0][:, :2].astype(np.float64)
    if len(places) < FEWEST:
        return Normalisation(scale=0.0, bounded=True)
    low, high = places.min(0), places.max(0)
    side = float((high - low).max())
    x, y = (low + high) / 2
    return Normalisation((float(x), float(y)), 2 / side if side > 0 else 0.0, bounded=True)
