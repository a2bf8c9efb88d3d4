"""Joints of people who stand in front of each other.

A keypoint network sees two people in the box of one of them, and not seldom mixes the two: where one covers
the other, the other gets some of their joints. Nobody's joints are in the same places as somebody else's,
so of those who seem to share several the one whom the network is surer of keeps them.
"""

from __future__ import annotations

import numpy as np

from demo.boxes import within
from demo.types import Floats

_TOUCHED = 0.3  # of the smaller of two boxes: below, they are not looked at
_SAME_PLACE = 0.05  # of the longer side of the surer one's box
_SEVERAL = 4  # joints in the same places: fewer may be hands that are shaken
_LEFT_OF_SCORE = 0.4  # of a joint that is somebody else's


def behind_somebody(joints: Floats, boxes: Floats) -> list[tuple[int, int]]:
    """Who of people with joints (n, 17, 3) and boxes (n, 4) may be behind whom: pairs of two who overlap, of
    the second of whom the network is surer."""
    corners, sure = boxes.astype(np.float64), joints[..., 2].mean(axis=1)
    overlapping = within(corners[:, None], corners) > _TOUCHED
    return [(one, other) for one, other in np.argwhere(overlapping).tolist() if sure[other] > sure[one]]


def suppress_shared_keypoints(candidates: Floats, boxes: Floats) -> Floats:
    """Candidates (n, 2, 17, 3) of a frame's people in boxes (n, 4), with a lower score for first choices of
    joints that somebody else has for surer."""
    doubted, joints = candidates.copy(), candidates[:, 0]
    for one, other in behind_somebody(joints, boxes):
        reach = _SAME_PLACE * (boxes[other, 2:] - boxes[other, :2]).max()
        shared = np.linalg.norm(joints[one, :, :2] - joints[other, :, :2], axis=1) < reach
        if shared.sum() >= _SEVERAL:
            doubted[one, 0, shared, 2] = _LEFT_OF_SCORE * joints[one, shared, 2]
    return doubted
