"""Proportions in the picture: simulated bodies against detected keypoints of real people.

Legs that are short for their trunk are bent legs for a lifter, so simulated bodies must have the 2D
proportions of detected people. The comparison needs no 3D: for people with straight, nearly vertical legs the
ratios of lengths in the picture are enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from lifter.angles import flexion, trunk_lean
from lifter.datasets.synthetic.bodies import MotionWindows
from lifter.datasets.synthetic.cameras import CameraModel, VirtualClips
from lifter.skeletons import COCO_17

SIDES = ("left", "right")
PERCENTILES = (5, 25, 50, 75, 95)
# 1,647 straight legs in ../shared/people/everyday, PP-TinyPose: ../shared/mocap/README.md, last section.
DETECTED: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "thigh/shank": (0.94, 1.03, 1.09, 1.15, 1.24),
        "trunk/leg": (0.63, 0.69, 0.74, 0.78, 0.87),
        "shoulders/leg": (0.14, 0.38, 0.44, 0.48, 0.56),
        "hips/shoulders": (0.45, 0.52, 0.56, 0.60, 0.76),
    }
)
SCORE = 0.5  # minimum score of shoulders, hips, knees and ankles
STRAIGHT = 172.0  # degrees, minimum angle hip, knee, ankle in the picture
STANDING = 20.0  # degrees, maximum of true knee and hip flexion and of the trunk to the vertical
FACING = 40.0  # degrees, maximum angle of the shoulders to the image plane
FRAMES = 3  # of the simulated windows: the noise is correlated in time
UPRIGHT = 15.0  # degrees, maximum angle of hip to ankle to the picture's vertical


def picture_ratios(keypoints: Tensor) -> dict[str, Tensor]:
    """Compute ratios (N,) of 2D lengths, one for each straight leg in COCO-17 keypoints (B, 17, 3)."""
    at = {name: keypoints[:, number] for number, name in enumerate(COCO_17.joints)}
    needed = [at[f"{side}_{part}"] for side in SIDES for part in ("shoulder", "hip", "knee", "ankle")]
    seen = torch.stack([point[:, 2] > SCORE for point in needed]).all(0)
    shoulders = (at["left_shoulder"][:, :2], at["right_shoulder"][:, :2])
    hips = (at["left_hip"][:, :2], at["right_hip"][:, :2])
    trunk = ((shoulders[0] + shoulders[1]) - (hips[0] + hips[1])).norm(dim=-1) / 2
    width = (shoulders[0] - shoulders[1]).norm(dim=-1)
    hip_width = (hips[0] - hips[1]).norm(dim=-1)
    found: dict[str, list[Tensor]] = {name: [] for name in DETECTED}
    for side in SIDES:
        hip, knee, ankle = (at[f"{side}_{part}"][:, :2] for part in ("hip", "knee", "ankle"))
        thigh, shank = (knee - hip).norm(dim=-1), (ankle - knee).norm(dim=-1)
        leg = thigh + shank
        use = seen & (_degrees(knee - hip, ankle - knee) < 180 - STRAIGHT)
        use &= _degrees(ankle - hip, hip.new_tensor((0.0, 1.0)).expand_as(hip)) < UPRIGHT
        values = (thigh / shank, trunk / leg, width / leg, hip_width / width)
        for name, value in zip(DETECTED, values, strict=True):
            found[name].append(value[use])
    return {name: torch.cat(values) for name, values in found.items()}


def simulated_ratios(motion: MotionWindows, people: int, seed: int) -> dict[str, Tensor]:
    """Compute `picture_ratios` of simulated people who stand and face the camera, or turn their back to it.

    Cameras are nearly level, as in most pictures.
    """
    camera = CameraModel(tilted_chance=0, any_roll_chance=0)
    drawn = VirtualClips(motion, camera).batch(people, FRAMES, torch.Generator().manual_seed(seed))
    middle = FRAMES // 2
    joints = drawn.joints[:, middle].numpy()
    bent = np.maximum(flexion(joints, "knee").max(-1), flexion(joints, "hip").max(-1))
    stands = (bent < STANDING) & (trunk_lean(joints, drawn.up.numpy()) < STANDING)
    across = joints[:, 11] - joints[:, 14]
    stands &= np.abs(across[:, 0]) > np.cos(np.radians(FACING)) * np.linalg.norm(across, axis=-1)
    return picture_ratios(drawn.keypoints[torch.from_numpy(stands), middle])


def percentiles(values: Tensor) -> tuple[float, ...]:
    """Return the `PERCENTILES` of values (N,)."""
    return tuple(values.quantile(torch.tensor(PERCENTILES) / 100).tolist())


def _degrees(a: Tensor, b: Tensor) -> Tensor:
    cross = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return torch.atan2(cross.abs(), (a * b).sum(-1)).rad2deg()
