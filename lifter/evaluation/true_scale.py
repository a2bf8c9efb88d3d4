"""The protocol of MotionBERT and MotionAGFormer for 2.5D poses on Human3.6M: with the true scale.

A 2.5D pose has no scale, and these papers do not estimate it. Each predicted frame is multiplied by the true
size of the image unit at the pelvis (its depth over the focal length). It is compared with the 2.5D truth in
the same scale, relative to the pelvis, so errors of the perspective are ignored too. Three sequences of
subject 9 with displaced ground truth are left out. Figures of lifters in metres are not comparable.

Windows lie side by side; the rest at the end of a sequence is not measured. A sequence shorter than the
window is stretched to it by repeating frames. Source: the authors' code, except that it picks a random one
of the repeated frames and this module picks the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lifter.evaluation.metrics import mpjpe, p_mpjpe
from lifter.metric import to_image_units

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

# Subject and take, by VideoPose3D's names: the authors' act_05 subact_02, act_10 subact_02, act_13 subact_01.
LEFT_OUT = frozenset({("S9", "Greeting"), ("S9", "SittingDown 1"), ("S9", "Waiting 1")})


@dataclass(frozen=True)
class TrueScale:
    """Means over `frames` frames, millimetres, with the true scale of each frame."""

    frames: int
    mpjpe: float
    p_mpjpe: float

    @classmethod
    def of(cls, predicted: Floats, joints: Floats, focal: float) -> TrueScale:
        """Compare root-relative 2.5D poses (N, 17, 3) with the true joints (N, 17, 3) in camera axes, metres.

        focal: focal length in the unit of the poses.
        """
        truth, _ = to_image_units(joints, focal)
        metres = joints[:, :1, 2:].astype(np.float64) / focal  # size of one image unit at the pelvis
        p, t = predicted * metres, truth * metres
        return cls(len(p), 1000 * mpjpe(p, t), 1000 * p_mpjpe(p, t))


def side_by_side(length: int, frames: int) -> tuple[Ints, Ints]:
    """Return the frames (N, F) of the windows of a sequence, and the flat indices of those to keep."""
    if length < frames:
        at, first = stretched_frames(length, frames)
        return at[None], first
    count = length // frames
    return np.arange(count * frames).reshape(count, frames), np.arange(count * frames)


def stretched_frames(length: int, frames: int) -> tuple[Ints, Ints]:
    """Return the frames (F,) of a stretched short sequence, and the first index (length,) of each in it."""
    at = np.arange(frames) * length // frames
    return at, np.searchsorted(at, np.arange(length))
