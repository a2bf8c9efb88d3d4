"""Keypoints of people who lie, hang or fly upside down.

Most people in the training pictures of keypoint networks stand: on a person upside down a third of the joints
are misplaced. People far from upright, or with low scores, are therefore also estimated on crops rotated by
90, 180 and 270 degrees; the best-scoring result is used.
"""

from __future__ import annotations

import numpy as np

from demo.pose.estimator import KeypointEstimator, crop, to_picture, usable_boxes
from demo.types import Floats, Image

_MIN_LEAN = 45.0  # degrees: beyond, a quarter turn brings a trunk nearer to upright
_MIN_TRUNK_SCORE = 0.15  # of shoulders and hips: below, their lean is unreliable
_BEST_JOINTS = 8  # whose mean score decides: others may be occluded
_MIN_UPRIGHT_SCORE = 0.45  # mean score of the best joints: below, rotated crops are tried
_MIN_ROTATED_SCORE = 0.55  # the same to accept a rotated estimate: an empty box's best is not low either
_MIN_SCORE_RATIO = 1.1  # of the mean score of all joints, rotated over upright, to accept a rotated estimate
_PATCH_SCALE = 1.7  # a patch's side over the box's longer side: the window around a rotated box fits in
_MAX_PATCH_SIDE = 512  # pixels: more than the input of any network
_BATCH_SIZE = 16  # people: patches take memory


def rotation_test_time_augmentation(
    pose: KeypointEstimator, image: Image, boxes: Floats, candidates: Floats
) -> Floats:
    """Replace candidates of people who may not be upright by better ones from rotated crops.

    Args:
        pose: the keypoint stage.
        image: BGR.
        boxes: (n, 4) of the people, pixels.
        candidates: (n, 2, 17, 3) that `pose` found in them.

    Returns:
        (n, 2, 17, 3) pixels and score.
    """
    best = candidates.copy()
    usable = usable_boxes(boxes, image) if len(boxes) else np.zeros(0, bool)
    doubtful = [row for row in np.flatnonzero(usable) if _may_lean(candidates[row, 0])]
    for start in range(0, len(doubtful), _BATCH_SIZE):
        rows = doubtful[start : start + _BATCH_SIZE]
        for row, rotations in zip(rows, _rotated_candidates(pose, image, boxes[rows]), strict=True):
            rotated = rotations[rotations[:, 0, :, 2].mean(axis=1).argmax()]
            better = rotated[0, :, 2].mean() > _MIN_SCORE_RATIO * candidates[row, 0, :, 2].mean()
            if better and _best_joints_score(rotated[0]) > _MIN_ROTATED_SCORE:
                best[row] = rotated
    return best


def _rotated_candidates(pose: KeypointEstimator, image: Image, boxes: Floats) -> Floats:
    """Estimate candidates (n, 3, 2, 17, 3) of boxes (n, 4) on crops after one, two and three quarter turns.

    The result is in pixels of the picture.
    """
    windows, patches = [], []
    for box in boxes:
        window = _patch_window(box)
        side = int(min(np.ceil(window[2]), _MAX_PATCH_SIDE))
        patch = crop(image, window, (side, side))
        own = (box - np.tile(window[:2], 2)) * side / window[2]
        for turns in (1, 2, 3):
            rotated = _rotate_box(own, side, turns)[None].astype(np.float32)
            patches.append((np.ascontiguousarray(np.rot90(patch, turns)), rotated))
        windows.append((window, side))
    found = np.concatenate(pose.candidates(patches)).reshape(len(boxes), 3, 2, 17, 3)
    for (window, side), rotations in zip(windows, found, strict=True):
        for turns, points in enumerate(rotations, start=1):
            points[..., :2] = to_picture(_unrotate(points[..., :2], side, turns), window, (side, side))
    return found


def lean_degrees(keypoints: Floats) -> float:
    """Return how far a trunk leans to the picture's right, -180 to 180 degrees.

    0 where a shoulder or hip of `keypoints` (17, 3) has no score.
    """
    shoulders, hips = keypoints[5:7], keypoints[11:13]
    if min(shoulders[:, 2].min(), hips[:, 2].min()) <= 0:
        return 0.0
    x, y = (shoulders[:, :2].mean(axis=0) - hips[:, :2].mean(axis=0)).tolist()
    return float(np.rad2deg(np.arctan2(x, -y)))


def _may_lean(keypoints: Floats) -> bool:
    """Return whether a person (17, 3) may be far from upright."""
    if _best_joints_score(keypoints) < _MIN_UPRIGHT_SCORE:
        return True
    trunk = keypoints[[5, 6, 11, 12], 2].min()
    return bool(trunk >= _MIN_TRUNK_SCORE and abs(lean_degrees(keypoints)) > _MIN_LEAN)


def _best_joints_score(keypoints: Floats) -> float:
    """Return the mean score of the highest-scoring joints of (17, 3)."""
    return float(np.sort(keypoints[:, 2])[-_BEST_JOINTS:].mean())


def _patch_window(box: Floats) -> Floats:
    """Return the square window left, top, width, height around a box (4,), pixels."""
    middle, side = (box[:2] + box[2:]) / 2, _PATCH_SCALE * (box[2:] - box[:2]).max()
    return np.array([*(middle - side / 2), side, side], np.float64)


def _rotate_box(box: Floats, side: float, turns: int) -> Floats:
    """Rotate a box (4,) in a square of a side by quarter turns counterclockwise."""
    x1, y1, x2, y2 = box
    for _ in range(turns):
        x1, y1, x2, y2 = y1, side - x2, y2, side - x1
    return np.array([x1, y1, x2, y2])


def _unrotate(points: Floats, side: int, turns: int) -> Floats:
    """Rotate points (..., 2) of a square, in pixel centres, back by quarter turns counterclockwise."""
    x, y = points[..., 0], points[..., 1]
    for _ in range(turns):
        x, y = side - 1 - y, x
    return np.stack([x, y], axis=-1)
