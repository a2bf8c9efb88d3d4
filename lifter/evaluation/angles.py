"""Errors of joint angles over clips: mean absolute error, and the ratio of predicted to true range."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifter.angles import NAMES, pose_angles

Floats = NDArray[np.floating]

MOVES = 20.0  # degrees; a joint with a smaller true range is still, and its range ratio is noise


@dataclass(frozen=True)
class AngleFigures:
    """Errors of one angle over all clips.

    error: mean absolute error, degrees.
    range_ratio: median of predicted over true range (5 to 95 %) of the joints that move. Below 1 the motion
    is damped. NaN if no joint moves.
    """

    error: float
    range_ratio: float


def compare_angles(
    found: Sequence[Floats], true: Sequence[Floats], ups: Sequence[Floats]
) -> dict[str, AngleFigures]:
    """Compute the errors of each of `lifter.angles.NAMES` over clips of poses (T, 17, 3), verticals (3,)."""
    errors: dict[str, list[Floats]] = {name: [] for name in NAMES}
    ratios: dict[str, list[Floats]] = {name: [] for name in NAMES}
    for joints, target, up in zip(found, true, ups, strict=True):
        ours, theirs = pose_angles(joints, up), pose_angles(target, up)
        for name in NAMES:
            errors[name].append(np.abs(ours[name] - theirs[name]).ravel())
            true_range = _range(theirs[name])
            moves = true_range > MOVES
            ratios[name].append(_range(ours[name])[moves] / true_range[moves])
    return {
        name: AngleFigures(_over(np.mean, errors[name]), _over(np.median, ratios[name])) for name in NAMES
    }


def _range(angles: Floats) -> Floats:
    """Return the range (K,) from the 5th to the 95th percentile over the frames of (T, K)."""
    low, high = np.percentile(angles, (5, 95), axis=0)
    return high - low


def _over(mean: Callable[[Floats], Any], parts: list[Floats]) -> float:
    values = np.concatenate(parts) if parts else np.zeros(0)
    return float(mean(values)) if len(values) else float("nan")
