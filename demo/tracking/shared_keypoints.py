"""Joints of people in front of each other.

Where two people overlap, the network may put one person's joints on the other. Of joints that two people
share, the person recognised better keeps them; the other's first candidates get a lower score, so that their
second candidates may be chosen.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logit

from demo.boxes import within
from demo.types import Doubles, Floats

# Chosen with `tools.measure_clips` on views of two people (docs/accuracy.md, tracking rules).
OVERLAP = 0.3  # part of the smaller of two boxes: below, they do not share joints
SAME_PLACE = 0.05  # of the longer side of the better one's box
FEWEST_SHARED = 4  # joints: fewer may be hands that are shaken
SHARED_SCORE = 0.4  # part of its score that a shared joint keeps
_EDGE = 0.001  # probabilities are kept so far from 0 and 1


def recognition(joints: Floats) -> Doubles:
    """Return the mean log-odds (n,) of the joints (n, 17, 3): probabilities near 1 hardly differ, odds do."""
    chances = np.clip(joints[..., 2].astype(np.float64), _EDGE, 1 - _EDGE)
    return np.asarray(logit(chances).mean(axis=1))


def behind(joints: Floats, boxes: Floats) -> list[tuple[int, int]]:
    """Return pairs of people who overlap, the second recognised better: joints (n, 17, 3), boxes (n, 4)."""
    corners, level = boxes.astype(np.float64), recognition(joints)
    overlapping = within(corners[:, None], corners) > OVERLAP
    return [(one, other) for one, other in np.argwhere(overlapping).tolist() if level[other] > level[one]]


def suppress_shared_keypoints(candidates: Floats, boxes: Floats) -> Floats:
    """Return candidates (n, 2, 17, 3) of people in boxes (n, 4), first ones of shared joints scored lower."""
    result, joints = candidates.copy(), candidates[:, 0]
    for one, other in behind(joints, boxes):
        reach = SAME_PLACE * (boxes[other, 2:] - boxes[other, :2]).max()
        shared = np.linalg.norm(joints[one, :, :2] - joints[other, :, :2], axis=1) < reach
        if shared.sum() >= FEWEST_SHARED:
            result[one, 0, shared, 2] = SHARED_SCORE * joints[one, shared, 2]
    return result
