"""Box geometry: x1 y1 x2 y2 in pixels, any number of boxes (..., 4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def area(boxes: Doubles) -> Doubles:
    """Areas (...,) of boxes (..., 4), at least a tiny one."""
    return np.asarray(np.clip(boxes[..., 2:] - boxes[..., :2], 1e-6, None).prod(-1))


def centre(boxes: Doubles) -> Doubles:
    """Centres (..., 2) of boxes (..., 4)."""
    return np.asarray((boxes[..., :2] + boxes[..., 2:]) / 2, np.float64)


def iou(first: Doubles, second: Doubles) -> float:
    """Intersection over union of two boxes."""
    return float(ious(first, second))


def ious(first: Doubles, second: Doubles) -> Doubles:
    """Intersection over union (...,) of boxes (..., 4) with others, broadcast."""
    shared = _shared(first, second)
    return np.asarray(shared / (area(first) + area(second) - shared))


def within(first: Doubles, second: Doubles) -> Doubles:
    """How much (...,), 0 to 1, of the smaller of two boxes (..., 4) lies within the other."""
    return np.asarray(_shared(first, second) / np.minimum(area(first), area(second)))


def _shared(first: Doubles, second: Doubles) -> Doubles:
    low, high = np.maximum(first[..., :2], second[..., :2]), np.minimum(first[..., 2:], second[..., 2:])
    return area(np.concatenate([low, high], axis=-1))
