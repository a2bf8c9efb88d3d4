"""Frame times: rates, runs of frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def frame_rate(times: NDArray[np.float64]) -> float:
    """Return the median frame rate, Hz, of frames at `times` (T,) seconds; 0 for fewer than two frames."""
    return float(1 / np.median(np.diff(times))) if len(times) > 1 else 0.0


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (first, past-the-end) of every run of True in a mask (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]
