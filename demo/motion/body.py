"""The body that motion is fitted to: bones, linear features of joints, and the scales of their errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.types import Doubles
from lifter.skeletons import H36M_17

JOINTS = len(H36M_17.joints)

# Bones of one length, by child joint; left and right share it.
BONE_GROUPS = (
    ("right_hip", "left_hip"),
    ("right_knee", "left_knee"),
    ("right_ankle", "left_ankle"),
    ("spine",),
    ("thorax",),
    ("neck_nose",),
    ("head",),
    ("right_shoulder", "left_shoulder"),
    ("right_elbow", "left_elbow"),
    ("right_wrist", "left_wrist"),
)
# Mean lengths in metres and log standard deviations given the stature. Geometric means over the training
# takes of the motion capture (`tools/measure_priors.py`), times the factors that bring simulated ratios in
# pictures to those of detected people (thigh/shank 1.07, trunk/leg .72), scaled to a stature of 1.70 m.
BONE_MEAN = np.array((0.079, 0.400, 0.374, 0.237, 0.292, 0.156, 0.090, 0.197, 0.277, 0.252))
BONE_SPREAD = np.array((0.15, 0.05, 0.05, 0.06, 0.10, 0.08, 0.07, 0.08, 0.05, 0.06))

# Root mean square accelerations, metres a second squared, in the motion capture (`tools/measure_priors.py`).
_LIMBS = {
    "knee": 11.7,
    "ankle": 15.0,
    "shoulder": 8.2,
    "elbow": 10.7,
    "wrist": 13.2,
    "head": 8.2,
    "nose": 7.4,
}
ACCELERATION = np.array([_LIMBS.get(name.split("_")[-1], 5.5) for name in H36M_17.joints])


@dataclass(frozen=True)
class Sigmas:
    """The scale of each kind of residual, and its source.

    keypoint: metres at the person's depth, of a keypoint of score 1; divided by the score.
    hip, head: as keypoint, for landmarks that are not the joints themselves.
    direction: radians between the lifter's bone and the true one. There is no other prior on how limbs bend:
    the lifter has learnt it, and it would count twice.
    length: metres that a bone may change within a stretch.
    stature: log standard deviation of body size. Adults: 1.70 m +- 0.10 m (NCD-RisC, eLife 2016).
    acceleration: of each joint, as a multiple of `ACCELERATION`; Gaussian, so that no outlier is followed.
    behind: metres that a knee is behind the line from hip to ankle.
    slip: metres a second of a joint that bears on the ground. floor: metres off its height above it.

    keypoint, direction and the three times are set so that simulated detections of validation motion come out
    best, in P-MPJPE and knee angles (`tools/measure_fit.py`); `tools/measure_priors.py` prints the rest.
    """

    keypoint: float = 0.02
    hip: float = 0.04
    head: float = 0.08
    direction: float = 0.15
    length: float = 0.005
    stature: float = 0.06
    acceleration: float = 1.0
    behind: float = 0.01
    slip: float = 0.1
    floor: float = 0.03
    # Degrees of freedom of the t distributions: small ones leave room for gross errors.
    keypoint_freedom: float = 3.0
    direction_freedom: float = 5.0
    # Seconds within which errors are correlated, so that a higher frame rate adds no information.
    keypoint_time: float = 0.15
    pose_time: float = 0.2
    acceleration_time: float = 0.1


SIGMAS = Sigmas()


BONES = H36M_17.bones
GROUP = np.array(
    [next(g for g, names in enumerate(BONE_GROUPS) if H36M_17.joints[c] in names) for _, c in BONES]
)


def _rows() -> Doubles:
    """Return rows (F, 17) such that ROWS @ joints are all joints, all bones and the bends of both knees.

    A bone is child minus parent. A bend is a knee minus its place on a straight leg.
    """
    rows = np.zeros((len(BONES) + 2, JOINTS))
    for number, (parent, child) in enumerate(BONES):
        rows[number, (parent, child)] = -1, 1
    thigh, shank = BONE_MEAN[1:3]
    share = shank / (thigh + shank)
    for number, side in enumerate(("left", "right"), start=len(BONES)):
        at = [H36M_17.joints.index(f"{side}_{name}") for name in ("knee", "hip", "ankle")]
        rows[number, at] = 1, -share, share - 1
    return np.concatenate((np.eye(JOINTS), rows))


ROWS = _rows()
OUTER = (ROWS[:, :, None] * ROWS[:, None, :]).reshape(len(ROWS), -1)
BONE_ROWS = slice(JOINTS, JOINTS + len(BONES))  # features that are bones
KNEE_ROWS = slice(JOINTS + len(BONES), None)  # features that are bends of the left and right knee
