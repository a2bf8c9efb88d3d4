"""How alike two people are by their boxes and joints, allowing for the motion since one was seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from demo.boxes import area
from demo.types import SEEN_SCORE, Doubles, Floats

# Spread of annotators per joint, in parts of the root of a person's area (cocodataset.org, keypoints).
COCO_SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
BODY_AREA = (
    0.53  # of the box: mean share that COCO's people cover of theirs (the usual stand-in for the mask)
)
FEWEST = 6  # joints that make a person: fewer may be those of a hand or a face


def enlarged_iou(first: Doubles, second: Doubles, margin: Doubles) -> Doubles:
    """Return the IoU (n, m) of boxes (n, 4) and (m, 4), both enlarged.

    Enlarged boxes still overlap after a fast motion (C-BIoU: Yang et al., WACV 2023).

    Args:
        margin: (n,) how far each of the first moved at most, in parts of a box's sides.
    """
    one, other = np.broadcast_arrays(first[:, None], second[None])
    reach = margin[:, None, None] * np.array([-1, -1, 1, 1])
    one, other = (box + reach * np.tile(box[..., 2:] - box[..., :2], 2) for box in (one, other))
    low, high = np.maximum(one[..., :2], other[..., :2]), np.minimum(one[..., 2:], other[..., 2:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    return np.asarray(shared / (area(one) + area(other) - shared))


def oks(first: Floats, second: Floats, boxes: Doubles, margin: Doubles | None = None) -> Doubles:
    """Return the object keypoint similarity (n, m) of joints (n, 17, 3) and (m, 17, 3).

    COCO's, over the joints that are likely in both, with the motion's variance added to the annotators'.
    NaN where these are fewer than `FEWEST`.

    Args:
        boxes: (n, 4) of the first, for their areas.
        margin: (n,) how far each of the first may have moved, in parts of its box's longer side.
    """
    near, both = _joint_similarity(first, second, boxes, margin)
    count = both.sum(axis=-1)
    return np.asarray(np.where(count >= FEWEST, near.sum(axis=-1) / np.maximum(count, 1), np.nan))


def explained(joints: Floats, others: Floats, box: Doubles) -> float:
    """Return the share of the likely joints of (17, 3) in a box (4,) that are those of others (m, 17, 3).

    The joints may be those of several people: a box around two shows a mixture of both.
    """
    if len(others) == 0 or not likely(joints).any():
        return 0.0
    near, _ = _joint_similarity(joints[None], others, box[None], None)
    return float(near[0].max(axis=0)[likely(joints)].mean())


def _joint_similarity(
    first: Floats, second: Floats, boxes: Doubles, margin: Doubles | None
) -> tuple[Doubles, NDArray[np.bool_]]:
    """Return the similarity (n, m, 17) of joints, 0 where one is not likely, and where both are."""
    apart = ((first[:, None, :, :2] - second[None, :, :, :2]) ** 2).sum(axis=-1)
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    moved = np.zeros(len(first)) if margin is None else margin * sides
    spread = (BODY_AREA * area(boxes))[:, None] * (2 * COCO_SIGMAS) ** 2 + moved[:, None] ** 2
    both = likely(first)[:, None] & likely(second)[None]
    return np.where(both, np.exp(-apart / (2 * spread[:, None])), 0), both


def likely(keypoints: Floats) -> NDArray[np.bool_]:
    """Return which joints (...,) of (..., 3) are more likely right than wrong."""
    return np.asarray(keypoints[..., 2] >= SEEN_SCORE)
