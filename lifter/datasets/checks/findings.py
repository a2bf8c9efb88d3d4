"""Findings of data set checks, and the checks of bodies that all data sets share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

HEIGHTS = 0.8, 2.5  # metres, range of the largest extent of a body, median over a data set
LEG_BONES = 0.25, 0.65  # metres, range of a thigh or a shin, median over a data set
UNEVEN = 0.15  # largest relative difference between a left bone and the right one
FAR_PIXELS = 50.0  # above the median error of any detector
LENS_RATIO = 1.3  # of horizontal and vertical focal length; no lens exceeds it
INSIDE = 0.8  # smallest share of the keypoints inside the picture


@dataclass(frozen=True)
class Finding:
    """Result of a check of one file or part of it: passed or not, and a text."""

    good: bool
    text: str


def height(where: str, takes: Sequence[NDArray[Any]]) -> Finding:
    """Check that bodies have the size of people: fails for millimetres and non-finite joints."""
    spans = [float(np.median(np.ptp(joints, axis=1).max(-1))) for joints in takes]
    span, (low, high) = float(np.median(spans)), HEIGHTS
    text = f"{where}: bodies span {span:.2f} m on the median"
    if not low < span < high:
        return Finding(False, f"{text}, and people {low} to {high} m: convert the file to metres")
    return Finding(True, text)


def legs(where: str, takes: Sequence[NDArray[Any]], left: Sequence[int], right: Sequence[int]) -> Finding:
    """Check length and symmetry of thighs and shins: fails for joints in another order.

    `left` and `right` are hip, knee and ankle.
    """
    lengths = {
        name: [_bone(takes, side[i], side[i + 1]) for side in (left, right)]
        for i, name in enumerate(("thighs", "shins"))
    }
    listed = ", ".join(f"{name} {a * 100:.0f} and {b * 100:.0f} cm" for name, (a, b) in lengths.items())
    low, high = LEG_BONES
    good = all(low < min(pair) and max(pair) < high for pair in lengths.values())
    good &= all(abs(a - b) <= UNEVEN * max(a, b) for a, b in lengths.values())
    text = f"{where}: {listed} on the median"
    return Finding(good, text if good else f"{text}: these are no legs; other joints, order or units")


def in_picture(where: str, keypoints: Iterable[NDArray[Any]], size: tuple[int, int]) -> Finding:
    """Check that screen-normalised keypoints (..., 2 or 3) lie in the picture: fails for other units."""
    limit = np.array((1.0, size[1] / size[0]))
    parts = [(np.abs(points[..., :2]) <= limit).all(-1).ravel() for points in keypoints]
    share = float(np.concatenate(parts).mean())
    text = f"{where}: {100 * share:.0f} % of the keypoints lie in the picture"
    return Finding(share >= INSIDE, text if share >= INSIDE else f"{text}: other pixels than {size}")


def lens_residual(joints: NDArray[Any], keypoints: NDArray[Any], width: int) -> float:
    """Return the median distance, pixels, between 2D and 3D projected by the best-fitting lens.

    Not every layout has focal lengths and centre; x = f X / Z + c is linear in them. Infinite if the best fit
    is no lens: mirrored, or with too different horizontal and vertical focal lengths.
    """
    found, focals = [], []
    for axis in (0, 1):
        ray = (joints[..., axis] / joints[..., 2]).astype(np.float64).ravel()
        given = keypoints[..., axis].astype(np.float64).ravel()
        (focal, centre), *_ = np.linalg.lstsq(np.stack((ray, np.ones_like(ray)), 1), given, rcond=None)
        found.append(given - focal * ray - centre)
        focals.append(focal)
    if min(focals) <= 0 or max(focals) > LENS_RATIO * min(focals):
        return float("inf")
    return float(np.median(np.hypot(*found))) * width / 2


def pixels_off(where: str, residuals: Iterable[float], limit: float = FAR_PIXELS) -> Finding:
    """Check that 2D and 3D belong together, by the median of their distances in pixels."""
    pixels = float(np.median(list(residuals)))
    text = f"{where}: 2D is {pixels:.2f} pixels from the projected 3D on the median"
    good = pixels <= limit
    return Finding(good, text if good else f"{text}: other cameras, units or order of joints")


def _bone(takes: Sequence[NDArray[Any]], start: int, end: int) -> float:
    return float(
        np.median([np.median(np.linalg.norm(joints[:, end] - joints[:, start], axis=-1)) for joints in takes])
    )
