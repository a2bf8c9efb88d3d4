"""The same person in several synchronised views, found by how it moves; no calibration is needed.

In the pictures of cameras held about level, every joint rises and falls alike, whatever their azimuth. So
each candidate is described by the heights of its limb joints over the pelvis, in parts of its own size, over
time. The likeness of two candidates of two views is the correlation of these heights, each less its mean over
time. The combination of one candidate a view with the highest mean likeness over all pairs of views is
selected. A person who hardly moves has nothing to correlate: there, and among equals, the most prominent one
is selected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from demo.types import SEEN_SCORE, Doubles, Floats, Tracks2D

CANDIDATES = 8  # a view; they are sorted by prominence

# Chosen on four views of one and of two people; not measured beyond these.
NOISE = 0.02  # of a person's size: movement below it is the keypoints' own
PROMINENCE = 0.3  # what being the most prominent in every view adds to a likeness, which is at most 1
LIMBS = slice(5, 17)  # shoulders to ankles of COCO-17
HIPS = (11, 12)


@dataclass(frozen=True)
class Match:
    """One person in V views.

    boxes: (V, T, 4). keypoints: (V, T, 17, 3). ids: the person's id in each view. likeness: the mean
    correlation over all pairs of views.
    """

    ids: tuple[int, ...]
    boxes: Floats
    keypoints: Floats
    likeness: float


def match_person(views: Sequence[Tracks2D]) -> Match:
    """Find the person that all views show best. Tracks of all views have the same T frames.

    Raises:
        ValueError: a view has no candidates.
    """
    views = [tracks.select(slice(CANDIDATES)) for tracks in views]
    if not all(len(tracks) for tracks in views):
        raise ValueError("a view without people cannot be matched")
    heights = [[limb_heights(*pair) for pair in zip(v.boxes, v.keypoints, strict=True)] for v in views]
    shares = [_shares(tracks.boxes) for tracks in views]
    pairs = {
        (a, b): np.array([[likeness(one, other) for other in heights[b]] for one in heights[a]])
        for a, b in combinations(range(len(views)), 2)
    }

    def alike(chosen: tuple[int, ...]) -> float:
        return float(np.mean([table[chosen[a], chosen[b]] for (a, b), table in pairs.items()] or [1.0]))

    def worth(chosen: tuple[int, ...]) -> float:
        prominence = np.mean([share[index] for share, index in zip(shares, chosen, strict=True)])
        return alike(chosen) + PROMINENCE * float(prominence)

    best = max(product(*(range(len(tracks)) for tracks in views)), key=worth)
    chosen = list(zip(views, best, strict=True))
    return Match(
        tuple(int(tracks.ids[index]) for tracks, index in chosen),
        np.stack([tracks.boxes[index] for tracks, index in chosen]),
        np.stack([tracks.keypoints[index] for tracks, index in chosen]),
        alike(best),
    )


def limb_heights(boxes: Floats, keypoints: Floats) -> Doubles:
    """Return the heights (T, 12) of limb joints over the pelvis in parts of the person's size; NaN unseen.

    boxes: (T, 4) pixels. keypoints: (T, 17, 3).
    """
    points = np.where(keypoints[..., 2:] >= SEEN_SCORE, keypoints[..., :2], np.nan).astype(np.float64)
    sides = (boxes[:, 2:] - boxes[:, :2]).max(1)
    known = sides[np.isfinite(sides)]
    size = float(np.median(known)) if len(known) else 1.0
    pelvis = points[:, HIPS, 1].mean(1)
    return (pelvis[:, None] - points[:, LIMBS, 1]) / size


def likeness(one: Doubles, other: Doubles) -> float:
    """Correlation of two `limb_heights` over time, times the part of frames and joints seen in both.

    Noise is counted as movement that does not correlate, so that two who stand still are not alike.
    """
    both = np.isfinite(one) & np.isfinite(other)
    count = int(both.sum())
    if count < 2:
        return 0.0
    a, b = (_moves(values, both) for values in (one, other))
    noise = count * NOISE**2
    return float((a * b).sum() / np.sqrt(((a**2).sum() + noise) * ((b**2).sum() + noise))) * count / both.size


def _moves(values: Doubles, where: NDArray[np.bool_]) -> Doubles:
    """Values less each joint's mean over the frames that count; 0 elsewhere."""
    kept = np.where(where, values, 0.0)
    mean = kept.sum(0) / np.maximum(where.sum(0), 1)
    return np.where(where, kept - mean, 0.0)


def _shares(boxes: Floats) -> Doubles:
    """Areas of boxes (P, T, 4) summed over time, as parts of the largest sum (P,)."""
    areas = np.array([np.nansum((track[:, 2:] - track[:, :2]).prod(1)) for track in boxes], np.float64)
    return areas / max(areas.max(), 1e-9)
