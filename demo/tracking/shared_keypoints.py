"""Keypoints that two overlapping people share.

Where two people overlap, the keypoint network may put one person's joints on the other. Two bodies cannot
have several joints in the same places, so the person with the higher score keeps the shared ones.
"""

from __future__ import annotations

import numpy as np

from demo.boxes import within
from demo.types import Floats

_MIN_OVERLAP = 0.3  # of the smaller of two boxes: below, the pair is not compared
_SHARED_DISTANCE = 0.05  # of the longer side of the higher-scoring person's box
_MIN_SHARED = 4  # joints in the same places: fewer may be a handshake
_SHARED_SCORE_FACTOR = 0.4  # what a shared joint keeps of its score


def occluded_pairs(joints: Floats, boxes: Floats) -> list[tuple[int, int]]:
    """Return the pairs (person, occluder) of overlapping people; the occluder has the higher mean score.

    Args:
        joints: (n, 17, 3) pixels and score.
        boxes: (n, 4) pixels.
    """
    corners, scores = boxes.astype(np.float64), joints[..., 2].mean(axis=1)
    overlapping = within(corners[:, None], corners) > _MIN_OVERLAP
    return [(one, other) for one, other in np.argwhere(overlapping).tolist() if scores[other] > scores[one]]


def suppress_shared_keypoints(candidates: Floats, boxes: Floats) -> Floats:
    """Lower the score of first candidates that a higher-scoring person has in the same places.

    Args:
        candidates: (n, 2, 17, 3) of the people in one frame, pixels and score.
        boxes: (n, 4) pixels.

    Returns:
        (n, 2, 17, 3): the same places, some with a lower score.
    """
    suppressed, joints = candidates.copy(), candidates[:, 0]
    for one, other in occluded_pairs(joints, boxes):
        reach = _SHARED_DISTANCE * (boxes[other, 2:] - boxes[other, :2]).max()
        shared = np.linalg.norm(joints[one, :, :2] - joints[other, :, :2], axis=1) < reach
        if shared.sum() >= _MIN_SHARED:
            suppressed[one, 0, shared, 2] = _SHARED_SCORE_FACTOR * joints[one, shared, 2]
    return suppressed
