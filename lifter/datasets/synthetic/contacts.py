"""Ground contacts of joints from world motion: joints that are low and slow."""

from __future__ import annotations

import torch
from torch import Tensor

from lifter.skeletons import H36M_17

# Height of each joint's centre over the ground it rests on, metres. The feet: Winter, "Biomechanics and Motor
# Control of Human Movement", 4th ed., figure 4.1, lateral malleolus at .039 of the stature, and 1 cm of sole.
# The others: medians of slow, lowest joints in captured (HDM05) and authored floor poses.
REST_HEIGHT = {
    "pelvis": 0.11, "hip": 0.11, "knee": 0.07, "ankle": 0.08, "spine": 0.11, "thorax": 0.11,
    "neck_nose": 0.09, "head": 0.10, "shoulder": 0.09, "elbow": 0.05, "wrist": 0.05,
}  # fmt: skip
# Tolerance above that height, metres: bodies differ, floors of captures are off by up to 4 cm, and the ankle
# rises before the toes leave the ground.
MARGIN = 0.05
# Largest speed of a joint in contact, metres a second. In the captures standing feet move at under .2 and
# swinging feet at over 1.
STILL = 0.4
# Metres. A body whose lowest joint is slow and higher than this stands on an object that was not captured.
OFF_FLOOR = 0.25

_HEIGHTS = tuple(REST_HEIGHT[name.removeprefix("right_").removeprefix("left_")] for name in H36M_17.joints)


def contact_labels(joints: Tensor, fps: Tensor) -> Tensor:
    """Label the contacts (B, T, 17) of world motion (B, T, 17, 3), z up, floor at z = 0, at `fps` (B,).

    1 for joints in contact with the ground, 0 for others. NaN, unknown, in frames in which the body rests on
    an object above the floor.
    """
    speed = joint_speed(joints, fps)
    height = joints[..., 2]
    still = speed < STILL
    contact = still & (height < height.new_tensor(_HEIGHTS) + MARGIN)
    lowest, which = height.min(-1, keepdim=True)
    raised = (lowest > OFF_FLOOR) & still.gather(-1, which)
    return torch.where(raised, torch.nan, contact.float())


def joint_speed(joints: Tensor, fps: Tensor) -> Tensor:
    """Return the speed of joints (B, T, 17), m/s, by central differences; 0 for a single frame."""
    if joints.shape[1] == 1:
        return torch.zeros_like(joints[..., 0])
    steps = joints.diff(dim=1)
    ends = torch.cat((steps[:, :1], steps, steps[:, -1:]), 1)
    return ((ends[:, 1:] + ends[:, :-1]) / 2).norm(dim=-1) * fps[:, None, None]
