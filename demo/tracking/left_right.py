"""Left/right swaps and occluded joints of one person, corrected over time.

A keypoint network localises a foot more reliably than its side. So it may find both feet on the same foot,
and on the other one in the next frame. The second peak of each heatmap then holds the missed foot. One
candidate a side is selected over the whole clip by Viterbi (1967): with a high score, little motion, and a
cost where left and right share a place.

Then sides are swapped where joints would jump otherwise. When the face is hidden the network can swap left
and right, confidently and for a second or more. Its errors are correlated over time, so per-frame scores are
scaled by dt / 1.6 s, while a jump is charged in full.

Where left and right still share a place, one of them is occluded or was missed. Of a pair that collapses onto
one point, the joint that jumped there is occluded. It is moved there and back over 0.5 s, with a lower score.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from demo.types import Floats
from lifter.skeletons import COCO_17

_LEFT, _RIGHT = np.array(COCO_17.left[2:]), np.array(COCO_17.right[2:])  # from the shoulders down
_FACE = np.arange(5)
_LEFT_CHOICE, _RIGHT_CHOICE = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])  # candidates in four states
_SWAPPED, _OCCLUDED = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])  # swap, occluded side in four states

# in units of a joint's score, which is its heatmap's height
_JUMP_COST = 1.0  # of a joint that moves from frame to frame by _JUMP or more; in proportion below
_JUMP = 0.2  # of the box's longer side
_SHARING_COST = 0.4  # of the higher score, where left and right are within _SAME_PLACE
_SAME_PLACE = 0.03  # of the box's longer side
_MISSING_COST = 1e3  # of a candidate that is not there
_OCCLUSION_COST = 0.3  # of a joint that becomes occluded or visible again, at any distance
_OCCLUDED_SCORE_FACTOR = 0.4  # what an occluded joint keeps of its score
_MIN_OFFSET = 0.1  # of the box's longer side: a joint nearer to its counterpart is not interpolated
_OCCLUSION_SECONDS = 0.5  # seconds in which an interpolated joint reaches its counterpart

_CORRELATION_SECONDS = 1.6  # seconds over which the network's errors are correlated
_MAX_STEP_SECONDS = 0.1  # seconds from frame to frame, after which a body may be anywhere


def fix_left_right(candidates: Floats, boxes: Floats, times: NDArray[np.float64]) -> Floats:
    """Return one person's keypoints over a clip of T frames, with consistent sides.

    Args:
        candidates: (T, 2, 17, 3) COCO-17 x, y in pixels and score: each joint's first and second choice,
            NaN, NaN, 0 where there is none.
        boxes: (T, 4) pixels, NaN where the person is not.
        times: (T,) seconds.

    Returns:
        (T, 17, 3): of shoulders, elbows, wrists, hips, knees and ankles one candidate of either side each, of
        eyes and ears the first of either side. Joints occluded by their counterparts have a lower score and
        lie between their last or next visible place and their counterparts.
    """
    if len(candidates) == 0:
        return candidates[:, 0].copy()
    size = np.nan_to_num(np.max(boxes[:, 2:] - boxes[:, :2], axis=1), nan=1.0)
    return _remove_swaps(_select_candidates(candidates, size[:, None, None]), size[:, None], times)


def _select_candidates(candidates: Floats, size: Floats) -> Floats:
    """Select (T, 17, 3) of candidates (T, 2, 17, 3), for boxes of sizes (T, 1, 1)."""
    keypoints = candidates[:, 0].copy()
    left, right = candidates[:, :, _LEFT], candidates[:, :, _RIGHT]  # (T, 2, pairs, 3)
    shared = _distance(left[:, _LEFT_CHOICE], right[:, _RIGHT_CHOICE]) < _SAME_PLACE * size
    higher = np.maximum(left[:, :1, :, 2], right[:, :1, :, 2])
    cost: Floats = np.where(shared, np.float32(_SHARING_COST) * higher, np.float32(0))
    change = np.zeros((len(cost) - 1, 4, 4, len(_LEFT)), np.float32)
    for side, choice in ((left, _LEFT_CHOICE), (right, _RIGHT_CHOICE)):
        known = side[..., 2].copy()
        known[:, 1][np.isnan(side[:, 1, :, 0])] = -_MISSING_COST
        cost -= known[:, choice]
        change += _motion_cost(side[:-1, :, None], side[1:, None], size[1:, None])[:, choice][:, :, choice]
    best = _viterbi(cost, change)[:, None]
    for side, joints, choice in ((left, _LEFT, _LEFT_CHOICE), (right, _RIGHT, _RIGHT_CHOICE)):
        keypoints[:, joints] = np.take_along_axis(side, choice[best][..., None], axis=1)[:, 0]
    return keypoints


def _remove_swaps(keypoints: Floats, size: Floats, times: NDArray[np.float64]) -> Floats:
    """Swap left and right of keypoints (T, 17, 3) where that removes jumps, for boxes of sizes (T, 1)."""
    sides = np.stack([keypoints[:, _LEFT], keypoints[:, _RIGHT]], axis=1)  # (T, 2, pairs, 3)
    scores, shared = sides[..., 2], _distance(sides[:, 0], sides[:, 1]) < _SAME_PLACE * size
    steps = np.diff(times)
    durations = np.append(steps, steps[-1:] if len(steps) else _CORRELATION_SECONDS)
    weights = np.clip(durations / _CORRELATION_SECONDS, 0, 1)[:, None, None]
    cost = np.asarray(weights * _SWAPPED[:, None] * scores.sum(axis=1, keepdims=True), np.float32)
    motion = _motion_cost(sides[:-1, :, None], sides[1:, None], size[1:, :, None, None])
    change = np.zeros((len(steps), 4, 4, len(_LEFT)), np.float32)
    for side in (0, 1):
        source = side ^ _SWAPPED  # the side that this side's joint was labelled as, in each state
        occluded = shared[:, None] & np.equal(_OCCLUDED, side)[:, None]  # (T, 4, pairs)
        cost += weights * occluded * scores[:, source]
        before, after = occluded[:-1, :, None], occluded[1:, None]
        moves = np.where(before | after, np.float32(_OCCLUSION_COST), motion[:, source][:, :, source])
        change += np.where(before & after, np.float32(0), moves)
    change[steps > _MAX_STEP_SECONDS] = 0
    best = _viterbi(cost, change)
    swapped = np.empty(keypoints.shape[:2], bool)
    swapped[:, _LEFT] = swapped[:, _RIGHT] = _SWAPPED[best] == 1
    swapped[:, _FACE] = swapped[:, _LEFT[:1]]  # too small to jump, so the face is swapped with the shoulders
    chosen = np.where(swapped[..., None], keypoints[:, COCO_17.mirror], keypoints)
    for side, joints, others in ((0, _LEFT, _RIGHT), (1, _RIGHT, _LEFT)):
        occluded = shared & (_OCCLUDED[best] == side)
        chosen[:, joints, 2] *= np.where(occluded, np.float32(_OCCLUDED_SCORE_FACTOR), 1)
        offsets = chosen[:, joints, :2] - chosen[:, others, :2]
        far = _distance(chosen[:, joints], chosen[:, others]) > _MIN_OFFSET * size
        chosen[:, joints, :2] += _occlusion_offsets(np.where(far[..., None], offsets, 0), occluded, times)
    return chosen


def _occlusion_offsets(offsets: Floats, occluded: NDArray[np.bool_], times: NDArray[np.float64]) -> Floats:
    """Interpolate the offsets (T, P, 2) of occluded joints from their counterparts, in pixels.

    Args:
        offsets: (T, P, 2) pixels from the counterpart to the joint, used in the visible frames at both ends.
        occluded: (T, P).
        times: (T,) seconds.
    """
    interpolated = np.zeros_like(offsets)
    for pair in range(occluded.shape[1]):
        edges = np.flatnonzero(np.diff(occluded[:, pair].astype(int), prepend=0, append=0))
        for first, end in edges.reshape(-1, 2):
            visible = [frame for frame in (first - 1, end) if 0 <= frame < len(times)]
            duration = times[min(end, len(times) - 1)] - times[max(first - 1, 0)]
            duration = np.clip(duration, 1e-6, _OCCLUSION_SECONDS)  # times of broken clips may not grow
            for frame in visible:
                share = np.clip(1 - np.abs(times[first:end] - times[frame]) / duration, 0, 1)
                interpolated[first:end, pair] += share[:, None] * offsets[frame, pair]
    return interpolated


def _motion_cost(before: Floats, after: Floats, size: Floats) -> Floats:
    """Return the cost of moving between places (..., 3), for box sizes (...,); 0 if either is unknown."""
    return np.asarray(_JUMP_COST * np.nan_to_num(np.minimum(_distance(before, after) / (_JUMP * size), 1)))


def _distance(first: Floats, second: Floats) -> Floats:
    """Return the distances (...,) of points (..., 3), in pixels."""
    return np.asarray(np.linalg.norm(first[..., :2] - second[..., :2], axis=-1))


def _viterbi(cost: Floats, change: Floats) -> NDArray[np.intp]:
    """Return the states (T, P) of P chains with the least total cost (Viterbi 1967).

    Args:
        cost: (T, S, P) of each of S states.
        change: (T - 1, S, S, P) of going from one state to another.
    """
    total = cost[0]
    before = np.empty((len(change), *cost.shape[1:]), np.int8)
    for step, (own, moving) in enumerate(zip(cost[1:], change, strict=True)):
        through = total[:, None] + moving
        before[step] = through.argmin(axis=0)
        total = through.min(axis=0) + own
    chains = np.arange(cost.shape[2])
    states = np.empty((len(cost), len(chains)), np.intp)
    states[-1] = total.argmin(axis=0)
    for step in range(len(before) - 1, -1, -1):
        states[step] = before[step, states[step + 1], chains]
    return states
