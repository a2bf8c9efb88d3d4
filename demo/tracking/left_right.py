"""Left or right: decided over time, where a single frame does not tell.

A keypoint network finds a foot more easily than it tells whose side it is of. So both feet are not seldom
found on the same one, and in the next frame on the other. The second summits of the heatmaps hold the foot
that was overlooked: of the candidates of both sides, those are taken over the whole clip that the network
believes in, that move little, and that share a place only where it insists (Viterbi 1967).

Then sides are exchanged where bodies would leap otherwise. Who looks down or whose face is covered may be
taken for somebody seen from behind, and surely so, for a second on end: what the network says in a frame it
says in the next ones, errors included. So all frames of a second count little more than one look, whereas
a shoulder that leaps to the other one's place counts in full.

Where left and right stay in one place all the same, one of them is hidden, or was overlooked: the one that
came there from elsewhere, and that leaves it again. Its score is lowered, and it does not leap: from where it
was seen last it goes behind its counterpart in half a second's time, and comes out again likewise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from demo.types import Doubles, Floats
from lifter.skeletons import COCO_17

_LEFT, _RIGHT = np.array(COCO_17.left[2:]), np.array(COCO_17.right[2:])  # from the shoulders down
_FACE = np.arange(5)
_LEFT_CHOICE, _RIGHT_CHOICE = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])  # candidates in four states
_EXCHANGED, _HIDDEN = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])  # side that is hidden, in four states

# in units of a joint's score, which is its heatmap's height
_JUMP_COST = 1.0  # of a joint that moves from frame to frame by _JUMP or more; in proportion below
_JUMP = 0.2  # of the box's longer side
_SHARING_COST = 0.4  # of the higher score, where left and right are within _SAME_PLACE
_SAME_PLACE = 0.03  # of the box's longer side
_NO_CANDIDATE = 1e3
_HIDING_COST = 0.3  # of a joint that goes behind its counterpart, or comes out again, wherever that is
_HIDDEN_SCORE = 0.4  # what is left of its score meanwhile
_LEAP = 0.1  # of the box's longer side: nearer, it went there by itself
_WAY = 0.5  # seconds that it takes where it would leap

_PEAK_CORRELATION = 0.02  # seconds
_SIDE_CORRELATION = 0.8  # seconds
_TURN_HALF_LIFE = 0.15
_ELBOW = 0.08
_HAND = 0.05


def fix_left_right(candidates: Floats, boxes: Floats, times: NDArray[np.float64]) -> Floats:
    """One person's keypoints over a clip of T frames.

    Args:
        candidates: (T, 2, 17, 3) COCO-17 x, y in pixels and score: each joint's first and second choice,
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
    return _without_leaps(_believed(candidates, size[:, None, None], times), size[:, None], times)


def _believed(candidates: Floats, size: Floats, times: Doubles) -> Floats:
    """(T, 17, 3) of candidates (T, 2, 17, 3), for boxes of sizes (T, 1, 1)."""
    keypoints = candidates[:, 0].copy()
    left, right = candidates[:, :, _LEFT], candidates[:, :, _RIGHT]  # (T, 2, pairs, 3)
    shared = _apart(left[:, _LEFT_CHOICE], right[:, _RIGHT_CHOICE]) < _SAME_PLACE * size
    higher = np.maximum(left[:, :1, :, 2], right[:, :1, :, 2])
    cost: Floats = np.where(shared, np.float32(_SHARING_COST) * higher, np.float32(0))
    looks = _independence(times, _PEAK_CORRELATION)
    change = np.zeros((len(cost) - 1, 4, 4, len(_LEFT)), np.float32)
    for side, choice in ((left, _LEFT_CHOICE), (right, _RIGHT_CHOICE)):
        known = side[..., 2].copy()
        known[:, 1][np.isnan(side[:, 1, :, 0])] = -_NO_CANDIDATE
        cost -= known[:, choice]
        change += _effort(side[:-1, :, None], side[1:, None], size[1:, None])[:, choice][:, :, choice]
    best = _cheapest((looks * cost).astype(np.float32), change)[:, None]
    for side, joints, choice in ((left, _LEFT, _LEFT_CHOICE), (right, _RIGHT, _RIGHT_CHOICE)):
        keypoints[:, joints] = np.take_along_axis(side, choice[best][..., None], axis=1)[:, 0]
    return keypoints


def _without_leaps(keypoints: Floats, size: Floats, times: NDArray[np.float64]) -> Floats:
    """(T, 17, 3) with left and right exchanged here and there, for boxes of sizes (T, 1)."""
    sides = np.stack([keypoints[:, _LEFT], keypoints[:, _RIGHT]], axis=1)  # (T, 2, pairs, 3)
    scores, shared = sides[..., 2], _apart(sides[:, 0], sides[:, 1]) < _SAME_PLACE * size
    steps = np.diff(times)
    looks = _independence(times, _SIDE_CORRELATION)
    cost = np.asarray(looks * _EXCHANGED[:, None] * scores.sum(axis=1, keepdims=True), np.float32)
    effort = _effort(sides[:-1, :, None], sides[1:, None], size[1:, :, None, None])
    change = np.zeros((len(steps), 4, 4, len(_LEFT)), np.float32)
    for side in (0, 1):
        place = side ^ _EXCHANGED  # whose joint this side has, in each state
        hidden = shared[:, None] & np.equal(_HIDDEN, side)[:, None]  # (T, 4, pairs)
        cost += looks * hidden * scores[:, place]
        before, after = hidden[:-1, :, None], hidden[1:, None]
        moves = np.where(before | after, np.float32(_HIDING_COST), effort[:, place][:, :, place])
        change += np.where(before & after, np.float32(0), moves)
    change *= (0.5 ** (np.maximum(steps, 0)[:, None] / np.array([_TURN_HALF_LIFE, _ELBOW, _HAND, _TURN_HALF_LIFE, _ELBOW, _HAND]))).astype(np.float32)[:, None, None]
    best = _cheapest(cost, change)
    exchanged = np.empty(keypoints.shape[:2], bool)
    exchanged[:, _LEFT] = exchanged[:, _RIGHT] = _EXCHANGED[best] == 1
    exchanged[:, _FACE] = exchanged[:, _LEFT[:1]]  # too small to leap, it goes with the shoulders
    chosen = np.where(exchanged[..., None], keypoints[:, COCO_17.mirror], keypoints)
    for side, joints, others in ((0, _LEFT, _RIGHT), (1, _RIGHT, _LEFT)):
        hidden = shared & (_HIDDEN[best] == side)
        chosen[:, joints, 2] *= np.where(hidden, np.float32(_HIDDEN_SCORE), 1)
        apart = chosen[:, joints, :2] - chosen[:, others, :2]
        leaps = _apart(chosen[:, joints], chosen[:, others]) > _LEAP * size
        chosen[:, joints, :2] += _ways(np.where(leaps[..., None], apart, 0), hidden, times)
    return chosen


def _ways(apart: Floats, hidden: NDArray[np.bool_], times: NDArray[np.float64]) -> Floats:
    """(T, P, 2): how far joints that are hidden in some frames (T, P) still are from their counterparts, or
    are again; `apart` (T, P, 2) is how far they are where they are seen."""
    ways = np.zeros_like(apart)
    for pair in range(hidden.shape[1]):
        edges = np.flatnonzero(np.diff(hidden[:, pair].astype(int), prepend=0, append=0))
        for first, end in edges.reshape(-1, 2):
            seen = [frame for frame in (first - 1, end) if 0 <= frame < len(times)]
            lasting = times[min(end, len(times) - 1)] - times[max(first - 1, 0)]
            lasting = np.clip(lasting, 1e-6, _WAY)  # clocks of broken clips stand still
            for frame in seen:
                left = np.clip(1 - np.abs(times[first:end] - times[frame]) / lasting, 0, 1)
                ways[first:end, pair] += left[:, None] * apart[frame, pair]
    return ways


def _independence(times: Doubles, correlation: float) -> Doubles:
    """Return how many independent observations (T, 1, 1) each frame is worth, 0 to 1.

    For errors with autocorrelation exp(-dt / correlation): (1 - r) / (1 + r) of the correlation r between
    neighbours, which is the ratio of effective to actual sample size of an AR(1) process.
    """
    steps = np.diff(times)
    steps = np.append(steps, steps[-1:] if len(steps) else np.inf)
    return np.asarray(np.tanh(np.maximum(steps, 0) / (2 * correlation)))[:, None, None]


def _effort(before: Floats, after: Floats, size: Floats) -> Floats:
    """Of moving from one place (..., 3) to another, for boxes of a size (...,); 0 if either is unknown."""
    return np.asarray(_JUMP_COST * np.nan_to_num(np.minimum(_apart(before, after) / (_JUMP * size), 1)))


def _apart(first: Floats, second: Floats) -> Floats:
    """Distances (...,) of points (..., 3), in pixels."""
    return np.asarray(np.linalg.norm(first[..., :2] - second[..., :2], axis=-1))


def _cheapest(cost: Floats, change: Floats) -> NDArray[np.intp]:
    """The states (T, P) of P chains whose costs (T, S, P) and changes (T - 1, S, S, P) add up to least."""
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
