"""How the papers of MotionBERT and MotionAGFormer measure 2.5D poses on Human3.6M: with the true scale.

A 2.5D pose has no scale, and these papers do not look for it: each frame of the answer is multiplied by the
true size of the picture's unit at the pelvis (its depth over the focal length). It is compared with the 2.5D
truth in the same scale, relative to the pelvis, so that the perspective does not count either. Three
sequences of subject 9 with displaced ground truth are left out. Figures of lifters that answer in metres are
not comparable with these.

Windows lie side by side; what is left at the end of a sequence is not measured. A sequence shorter than the
window is stretched to it by repeating frames. Source: the authors' code, whose random choice among the
repeated frames is the first one here.
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
        """Of root-relative 2.5D poses (N, 17, 3) and the true joints (N, 17, 3), metres from the camera.

        focal: in the unit of the poses.
        """
        truth, _ = to_image_units(joints, focal)
        metres = joints[:, :1, 2:].astype(np.float64) / focal  # that one unit is wide at the pelvis
        p, t = predicted * metres, truth * metres
        return cls(len(p), 1000 * mpjpe(p, t), 1000 * p_mpjpe(p, t))


def side_by_side(length: int, frames: int) -> tuple[Ints, Ints]:
    """The frames (N, F) of the windows of a sequence, and the places in them, put end to end, that count."""
    if length < frames:
        at, first = stretched_frames(length, frames)
        return at[None], first
    count = length // frames
    return np.arange(count * frames).reshape(count, frames), np.arange(count * frames)


def stretched_frames(length: int, frames: int) -> tuple[Ints, Ints]:
    """The frames (F,) that a short sequence is stretched to, and where each (length,) comes first."""
    at = np.arange(frames) * length // frames
    return at, np.searchsorted(at, np.arange(length))
