"""Left and right of one person, and which of a pair is hidden, decided over a whole clip.

A keypoint network locates a foot more reliably than its side. Two errors follow, and two Viterbi passes
(1967) over all frames correct them, for each pair of joints from the shoulders down:

1. Both joints of a pair are found on the same one. The second peaks of the heatmaps often hold the missing
   one: `_select_candidates` chooses for each side the first or second candidate, by score, motion, and a cost
   for sharing a place.
2. Left and right are swapped, for a second or more where the face is hidden. Or one joint is hidden behind
   its counterpart and found in its place. `_assign_sides` chooses for each pair whether it is swapped and
   which joint is hidden.

Both weigh scores against motion. The errors of neighbouring frames are correlated, so a frame counts as the
number of independent observations that it adds (`_independence`). Motion counts by its distance, and the less
the more time it had: feet pass each other within a tenth of a second, a trunk needs longer to turn.
So the same track gives the same answer at any frame rate.

A hidden joint keeps a lower score. It is moved to its counterpart and back from where it was seen, over
`HIDING_TIME`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from demo.types import Doubles, Floats
from lifter.skeletons import COCO_17

_LEFT, _RIGHT = np.array(COCO_17.left[2:]), np.array(COCO_17.right[2:])  # shoulder, elbow, wrist, hip, ...
_FACE = np.arange(5)
_LEFT_CHOICE, _RIGHT_CHOICE = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])  # candidates in four states
_SWAPPED, _HIDDEN = (
    np.array([0, 0, 1, 1]),
    np.array([0, 1, 0, 1]),
)  # swapped or not, hidden side, in four states

# Costs are in units of a calibrated score. Found with `python -m tools.measure_tracking`.
JUMP = 0.2  # of the box's longer side: a joint that moves so far costs 1, a shorter way in proportion
SHARING_COST = 0.4  # part of the higher score, where left and right share a place
SAME_PLACE = 0.03  # of the box's longer side
HIDING_COST = 0.3  # of a joint that goes behind its counterpart or comes out again
HIDDEN_SCORE = 0.4  # part of its score that a hidden joint keeps
NEAR = 0.1  # of the box's longer side: a hidden joint seen nearer to its counterpart moves there by itself
HIDING_TIME = 0.5  # seconds in which it is moved there otherwise
PEAK_CORRELATION = 0.02  # seconds over which errors of the first pass are correlated
SIDE_CORRELATION = 1.5  # seconds over which swapped sides are
TRUNK_HALF_LIFE = 0.15  # seconds from frame to frame that halve the cost of the motion of shoulders and hips
LIMB_HALF_LIFE = 0.08  # seconds that do for elbows, wrists, knees and ankles


def fix_left_right(candidates: Floats, boxes: Floats, times: Doubles) -> Floats:
    """Choose one person's keypoints over a clip of T frames.

    Args:
        candidates: (T, 2, 17, 3) COCO-17 x, y in pixels and score: each joint's first and second candidate,
            NaN, NaN, 0 where there is none.
        boxes: (T, 4) pixels, NaN where the person is not.
        times: (T,) seconds.

    Returns:
        (T, 17, 3): of shoulders, elbows, wrists, hips, knees and ankles one candidate of either side each, of
        eyes and ears the first of either side. Joints hidden by their counterparts have a lower score and
        are between where they were seen and their counterparts.
    """
    if len(candidates) == 0:
        return candidates[:, 0].copy()
    size = np.nan_to_num(np.max(boxes[:, 2:] - boxes[:, :2], axis=1), nan=1.0)
    return _assign_sides(_select_candidates(candidates, size[:, None, None], times), size[:, None], times)


def _select_candidates(candidates: Floats, size: Floats, times: Doubles) -> Floats:
    """Return (T, 17, 3) of candidates (T, 2, 17, 3), for boxes of sizes (T, 1, 1)."""
    keypoints = candidates[:, 0].copy()
    left, right = candidates[:, :, _LEFT], candidates[:, :, _RIGHT]  # (T, 2, pairs, 3)
    middle = _middle(keypoints)[:, None, None]
    shared = _distance(left[:, _LEFT_CHOICE], right[:, _RIGHT_CHOICE]) < SAME_PLACE * size
    higher = np.maximum(left[:, :1, :, 2], right[:, :1, :, 2])
    cost: Floats = np.where(shared, np.float32(SHARING_COST) * higher, np.float32(0))
    change = np.zeros((len(cost) - 1, 4, 4, len(_LEFT)), np.float32)
    for side, choice in ((left, _LEFT_CHOICE), (right, _RIGHT_CHOICE)):
        cost -= side[..., 2][:, choice]
        change += _motion_cost(side - middle, size)[:, choice][:, :, choice]
    cost = np.asarray(_independence(times, PEAK_CORRELATION) * cost, np.float32)
    for side, choice in ((left, _LEFT_CHOICE), (right, _RIGHT_CHOICE)):
        cost[np.isnan(side[..., 0][:, choice]) & (choice == 1)[:, None]] = np.inf
    best = _viterbi(cost, change)[:, None]
    for side, joints, choice in ((left, _LEFT, _LEFT_CHOICE), (right, _RIGHT, _RIGHT_CHOICE)):
        keypoints[:, joints] = np.take_along_axis(side, choice[best][..., None], axis=1)[:, 0]
    return keypoints


def _assign_sides(keypoints: Floats, size: Floats, times: Doubles) -> Floats:
    """Return (T, 17, 3) with sides swapped and joints hidden where that costs least; sizes (T, 1)."""
    sides = np.stack([keypoints[:, _LEFT], keypoints[:, _RIGHT]], axis=1)  # (T, 2, pairs, 3)
    scores, shared = sides[..., 2], _distance(sides[:, 0], sides[:, 1]) < SAME_PLACE * size
    weight = _independence(times, SIDE_CORRELATION)
    cost = np.asarray(weight * _SWAPPED[:, None] * scores.sum(axis=1, keepdims=True), np.float32)
    motion = _motion_cost(sides - _middle(keypoints)[:, None, None], size[..., None])
    change = np.zeros((len(times) - 1, 4, 4, len(_LEFT)), np.float32)
    for side in (0, 1):
        source = side ^ _SWAPPED  # the detected side that this side has, in each state
        hidden = shared[:, None] & np.equal(_HIDDEN, side)[:, None]  # (T, 4, pairs)
        cost += weight * hidden * scores[:, source]
        before, after = hidden[:-1, :, None], hidden[1:, None]
        moves = np.where(before | after, np.float32(HIDING_COST), motion[:, source][:, :, source])
        change += np.where(before & after, np.float32(0), moves)
    elapsed = np.maximum(np.diff(times), 0)[:, None]
    half_lives = np.array([TRUNK_HALF_LIFE, LIMB_HALF_LIFE, LIMB_HALF_LIFE] * 2)  # shoulders, ..., hips, ...
    change *= (0.5 ** (elapsed / half_lives)).astype(np.float32)[:, None, None]
    best = _viterbi(cost, change)
    swapped = np.empty(keypoints.shape[:2], bool)
    swapped[:, _LEFT] = swapped[:, _RIGHT] = _SWAPPED[best] == 1
    swapped[:, _FACE] = swapped[:, _LEFT[:1]]  # too small to tell by its motion: it goes with the shoulders
    chosen = np.where(swapped[..., None], keypoints[:, COCO_17.mirror], keypoints)
    for side, joints, others in ((0, _LEFT, _RIGHT), (1, _RIGHT, _LEFT)):
        hidden = shared & (_HIDDEN[best] == side)
        chosen[:, joints, 2] *= np.where(hidden, np.float32(HIDDEN_SCORE), 1)
        apart = chosen[:, joints, :2] - chosen[:, others, :2]
        far = _distance(chosen[:, joints], chosen[:, others]) > NEAR * size
        chosen[:, joints, :2] += _occlusion_offsets(np.where(far[..., None], apart, 0), hidden, times)
    return chosen


def _occlusion_offsets(apart: Floats, hidden: NDArray[np.bool_], times: Doubles) -> Floats:
    """Return the offsets (T, P, 2) of hidden joints from their counterparts: they shrink from the last seen
    distance to 0 and grow to the next seen one, over `HIDING_TIME`.

    Args:
        apart: (T, P, 2) distance from the counterpart where seen.
        hidden: (T, P).
    """
    offsets = np.zeros_like(apart)
    for pair in range(hidden.shape[1]):
        edges = np.flatnonzero(np.diff(hidden[:, pair].astype(int), prepend=0, append=0))
        for first, end in edges.reshape(-1, 2):
            seen = [frame for frame in (first - 1, end) if 0 <= frame < len(times)]
            lasting = times[min(end, len(times) - 1)] - times[max(first - 1, 0)]
            lasting = np.clip(lasting, 1e-6, HIDING_TIME)  # clocks of broken clips stand still
            for frame in seen:
                left = np.clip(1 - np.abs(times[first:end] - times[frame]) / lasting, 0, 1)
                offsets[first:end, pair] += left[:, None] * apart[frame, pair]
    return offsets


def _independence(times: Doubles, correlation: float) -> Doubles:
    """Return how many independent observations (T, 1, 1) each frame adds, 0 to 1.

    For errors with autocorrelation exp(-dt / correlation): (1 - r) / (1 + r), r being the correlation of
    neighbours, is the ratio of effective to actual sample size of such an AR(1) process (Bartlett 1935).
    """
    steps = np.diff(times)
    steps = np.append(steps, steps[-1:] if len(steps) else np.inf)
    return np.asarray(np.tanh(np.maximum(steps, 0) / (2 * correlation)))[:, None, None]


def _middle(keypoints: Floats) -> Floats:
    """Return the middle (T, 3) of a body's joints (T, 17, 3), score 0; motion is measured from there.

    It is the same whichever way left and right are assigned. 0 where no joint is known.
    """
    limbs = keypoints[:, [*_LEFT, *_RIGHT]]
    known = np.isfinite(limbs[..., :1])
    total = np.where(known, limbs, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.asarray(total * (1, 1, 0), np.float32)


def _motion_cost(places: Floats, size: Floats) -> Floats:
    """Return the costs (T - 1, S, S, P) of moving between S places (T, S, P, 3) of frames in a row.

    0 where either is unknown. size: (T, 1, 1).
    """
    apart = _distance(places[:-1, :, None], places[1:, None])
    return np.asarray(np.nan_to_num(np.minimum(apart / (JUMP * size[1:, None]), 1)))


def _distance(first: Floats, second: Floats) -> Floats:
    """Return the distances (...,) of points (..., 3), pixels."""
    return np.asarray(np.linalg.norm(first[..., :2] - second[..., :2], axis=-1))


def _viterbi(cost: Floats, change: Floats) -> NDArray[np.intp]:
    """Return the states (T, P) of P chains of least cost (T, S, P) and changes (T - 1, S, S, P)."""
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
