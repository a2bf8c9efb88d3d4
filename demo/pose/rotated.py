"""Keypoints of people who lie or hang upside down.

Keypoint networks are trained on mostly upright people and misplace a third of the joints of a person upside
down. Boxes of people far from upright, or with low scores, are also estimated on crops rotated by 90, 180 and
270 degrees. A rotated crop's keypoints are used where more joints are expected to be right: the sum of their
calibrated scores is that number.
"""

from __future__ import annotations

import numpy as np

from demo.pose.estimator import KeypointEstimator, crop, to_picture, usable_boxes
from demo.types import SEEN_SCORE, Floats, Image

LEAN = 45.0  # degrees: beyond, a quarter turn brings a trunk nearer to upright
BEST = 8  # joints that count for recognition: the others may be hidden
DOUBTFUL = 0.9  # mean probability of these: below, the person may not be upright
RECOGNISED = 0.94  # mean probability that a rotated crop must reach; the best of four of an empty box has .9
GAIN = 1.0  # joints that a rotated crop must be expected to correct
ROOM = 1.7  # side of a patch over the box's longer side: a turned box's window of 3:4 takes PADDING * 4 / 3
LONGEST_SIDE = 512  # pixels of a patch: more than any network reads
BATCH = 16  # people whose patches are in memory together


def rotation_test_time_augmentation(
    pose: KeypointEstimator, image: Image, boxes: Floats, candidates: Floats
) -> Floats:
    """Return candidates (n, 2, 17, 3), those of doubtful people from rotated crops where these are better.

    Args:
        pose: the keypoint stage, with calibrated scores.
        boxes: (n, 4) of the people.
        candidates: (n, 2, 17, 3) that `pose` found in them.
    """
    best = candidates.copy()
    usable = usable_boxes(boxes, image) if len(boxes) else np.zeros(0, bool)
    doubtful = [row for row in np.flatnonzero(usable) if _is_doubtful(candidates[row, 0])]
    for start in range(0, len(doubtful), BATCH):
        rows = doubtful[start : start + BATCH]
        for row, rotated in zip(rows, _rotated_candidates(pose, image, boxes[rows]), strict=True):
            expected = rotated[:, 0, :, 2].sum(axis=1)
            found = rotated[expected.argmax()]
            gain = expected.max() - candidates[row, 0, :, 2].sum()
            if gain >= GAIN and _recognition(found[0]) >= RECOGNISED:
                best[row] = found
    return best


def lean_degrees(keypoints: Floats) -> float:
    """Return how far a trunk leans to the picture's right, -180 to 180 degrees.

    0 where a shoulder or hip of `keypoints` (17, 3) has no score.
    """
    shoulders, hips = keypoints[5:7], keypoints[11:13]
    if min(shoulders[:, 2].min(), hips[:, 2].min()) <= 0:
        return 0.0
    x, y = (shoulders[:, :2].mean(axis=0) - hips[:, :2].mean(axis=0)).tolist()
    return float(np.rad2deg(np.arctan2(x, -y)))


def _rotated_candidates(pose: KeypointEstimator, image: Image, boxes: Floats) -> Floats:
    """Return candidates (n, 3, 2, 17, 3) for boxes (n, 4) from one, two and three quarter turns."""
    windows, patches = [], []
    for box in boxes:
        window = _surroundings(box)
        side = int(min(np.ceil(window[2]), LONGEST_SIDE))
        patch = crop(image, window, (side, side))
        own = (box - np.tile(window[:2], 2)) * side / window[2]
        for turns in (1, 2, 3):
            turned = _rotate_box(own, side, turns)[None].astype(np.float32)
            patches.append((np.ascontiguousarray(np.rot90(patch, turns)), turned))
        windows.append((window, side))
    found = np.concatenate(pose.candidates(patches)).reshape(len(boxes), 3, 2, 17, 3)
    for (window, side), rotated in zip(windows, found, strict=True):
        for turns, candidates in enumerate(rotated, start=1):
            upright = _rotate_back(candidates[..., :2], side, turns)
            candidates[..., :2] = to_picture(upright, window, (side, side))
    return found


def _is_doubtful(keypoints: Floats) -> bool:
    """Whether a person (17, 3) may be far from upright."""
    if _recognition(keypoints) < DOUBTFUL:
        return True
    trunk = keypoints[[5, 6, 11, 12], 2].min()
    return bool(trunk >= SEEN_SCORE and abs(lean_degrees(keypoints)) > LEAN)


def _recognition(keypoints: Floats) -> float:
    """Return the mean probability of the best joints of (17, 3)."""
    return float(np.sort(keypoints[:, 2])[-BEST:].mean())


def _surroundings(box: Floats) -> Floats:
    """Return a square window left, top, width, height around a box (4,)."""
    middle, side = (box[:2] + box[2:]) / 2, ROOM * (box[2:] - box[:2]).max()
    return np.array([*(middle - side / 2), side, side], np.float64)


def _rotate_box(box: Floats, side: float, turns: int) -> Floats:
    """Rotate a box (4,) in a square of a side by quarter turns counterclockwise."""
    x1, y1, x2, y2 = box
    for _ in range(turns):
        x1, y1, x2, y2 = y1, side - x2, y2, side - x1
    return np.array([x1, y1, x2, y2])


def _rotate_back(points: Floats, side: int, turns: int) -> Floats:
    """Undo quarter turns counterclockwise of points (..., 2) of a square, in pixel centres."""
    x, y = points[..., 0], points[..., 1]
    for _ in range(turns):
        x, y = side - 1 - y, x
    return np.stack([x, y], axis=-1)
