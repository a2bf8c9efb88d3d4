"""Keypoints of people who lie, hang or fly upside down.

Keypoint networks learn from people most of whom stand: on somebody upside down a third of the joints go
astray. Turned by quarters, they are seen upright by the same network. So whoever seems to lean far, or is
hardly recognised, is looked at from all four sides, and the network's own scores tell which way is up.
"""

from __future__ import annotations

import numpy as np

from demo.pose.estimator import KeypointEstimator, crop, to_picture, usable_boxes
from demo.types import Floats, Image

_LEANS = 45.0  # degrees: from there on a quarter turn brings a trunk nearer to upright
_ON_THE_TRUNK = 0.15  # a shoulder or hip of a lower score tells no lean
_BEST = 8  # joints that tell whether somebody is recognised: others may be hidden
_HARDLY = 0.45  # mean score of theirs: below, nobody is for sure
_SURELY = 0.55  # what it must be in a turned look: on an empty place, the best of four is not so low, either
_CLEARLY = 1.1  # times the score of all joints as it is: what a turned look must reach, too
_ROOM = 1.7  # a patch's side over the box's longer side: what a network may see around a turned box
_LONGEST_SIDE = 512  # pixels of a patch: more than any network looks at
_AT_ONCE = 16  # people: patches take memory


def rotation_test_time_augmentation(
    pose: KeypointEstimator, image: Image, boxes: Floats, candidates: Floats
) -> Floats:
    """Candidates (n, 2, 17, 3) of the people in a picture, of those in doubt after another look.

    Args:
        pose: the keypoint stage.
        image: BGR.
        boxes: (n, 4) of the people.
        candidates: (n, 2, 17, 3) that `pose` found in them.
    """
    best = candidates.copy()
    usable = usable_boxes(boxes, image) if len(boxes) else np.zeros(0, bool)
    doubtful = [row for row in np.flatnonzero(usable) if _in_doubt(candidates[row, 0])]
    for start in range(0, len(doubtful), _AT_ONCE):
        rows = doubtful[start : start + _AT_ONCE]
        for row, looks in zip(rows, _turned_looks(pose, image, boxes[rows]), strict=True):
            look = looks[looks[:, 0, :, 2].mean(axis=1).argmax()]
            clearly = look[0, :, 2].mean() > _CLEARLY * candidates[row, 0, :, 2].mean()
            if clearly and _recognised(look[0]) > _SURELY:
                best[row] = look
    return best


def _turned_looks(pose: KeypointEstimator, image: Image, boxes: Floats) -> Floats:
    """Candidates (n, 3, 2, 17, 3) for boxes (n, 4) of a picture, after one, two and three quarter turns."""
    windows, patches = [], []
    for box in boxes:
        window = _surroundings(box)
        side = int(min(np.ceil(window[2]), _LONGEST_SIDE))
        patch = crop(image, window, (side, side))
        own = (box - np.tile(window[:2], 2)) * side / window[2]
        for turns in (1, 2, 3):
            turned = _turned_box(own, side, turns)[None].astype(np.float32)
            patches.append((np.ascontiguousarray(np.rot90(patch, turns)), turned))
        windows.append((window, side))
    found = np.concatenate(pose.candidates(patches)).reshape(len(boxes), 3, 2, 17, 3)
    for (window, side), looks in zip(windows, found, strict=True):
        for turns, look in enumerate(looks, start=1):
            look[..., :2] = to_picture(_turned_back(look[..., :2], side, turns), window, (side, side))
    return found


def lean_degrees(keypoints: Floats) -> float:
    """How far a trunk leans to the picture's right, -180 to 180 degrees.

    0 where a shoulder or hip of `keypoints` (17, 3) has no score.
    """
    shoulders, hips = keypoints[5:7], keypoints[11:13]
    if min(shoulders[:, 2].min(), hips[:, 2].min()) <= 0:
        return 0.0
    x, y = (shoulders[:, :2].mean(axis=0) - hips[:, :2].mean(axis=0)).tolist()
    return float(np.rad2deg(np.arctan2(x, -y)))


def _in_doubt(keypoints: Floats) -> bool:
    """Whether somebody (17, 3) may be anything but upright."""
    if _recognised(keypoints) < _HARDLY:
        return True
    trunk = keypoints[[5, 6, 11, 12], 2].min()
    return bool(trunk >= _ON_THE_TRUNK and abs(lean_degrees(keypoints)) > _LEANS)


def _recognised(keypoints: Floats) -> float:
    """The mean score of the joints (17, 3) that are seen best."""
    return float(np.sort(keypoints[:, 2])[-_BEST:].mean())


def _surroundings(box: Floats) -> Floats:
    """A square window left, top, width, height around a box (4,)."""
    middle, side = (box[:2] + box[2:]) / 2, _ROOM * (box[2:] - box[:2]).max()
    return np.array([*(middle - side / 2), side, side], np.float64)


def _turned_box(box: Floats, side: float, turns: int) -> Floats:
    """A box (4,) in a square of a side, after quarter turns counterclockwise."""
    x1, y1, x2, y2 = box
    for _ in range(turns):
        x1, y1, x2, y2 = y1, side - x2, y2, side - x1
    return np.array([x1, y1, x2, y2])


def _turned_back(points: Floats, side: int, turns: int) -> Floats:
    """Points (..., 2) of a square, in pixel centres, as they were before quarter turns counterclockwise."""
    x, y = points[..., 0], points[..., 1]
    for _ in range(turns):
        x, y = side - 1 - y, x
    return np.stack([x, y], axis=-1)
