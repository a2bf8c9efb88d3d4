"""Zero-phase smoothing of 3D tracks.

The filter is written out: importing scipy.signal takes a second, more than smoothing a clip.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def smooth(joints: Floats, fps: float, cutoff: float = 6.0) -> Floats:
    """Low-pass filter joints with a second-order Butterworth, forwards and backwards, so without lag.

    Args:
        joints: (T, ..., 3).
        fps: frames a second.
        cutoff: Hz; 6 Hz is usual for gait (Winter, "Biomechanics and Motor Control of Human Movement").

    Returns:
        (T, ..., 3). The input itself if it has fewer than 9 frames, or if the cut-off is too close to the
        Nyquist frequency (cutoff >= 0.45 fps).
    """
    if len(joints) < 9 or cutoff >= 0.45 * fps:
        return joints
    pad = min(len(joints) - 1, int(fps / cutoff) + 6)
    columns = joints.reshape(len(joints), -1).astype(np.float64)
    # mirrored in the first and in the last value, so that the filter has settled where the track begins
    before, after = 2 * columns[0] - columns[pad:0:-1], 2 * columns[-1] - columns[-2 : -pad - 2 : -1]
    values = np.concatenate([before, columns, after])
    for _ in range(2):
        values = _butterworth(values, cutoff / fps)[::-1]
    return values[pad : len(values) - pad].reshape(joints.shape).astype(np.float32)


def _butterworth(values: Doubles, cutoff: float) -> Doubles:
    """Filter (T, columns) forwards; `cutoff` in cycles a frame.

    The analogue filter 1 / (s^2 + sqrt(2) s + 1) by the bilinear transform, in the transposed direct form II
    (Oppenheim, Schafer, "Discrete-Time Signal Processing", 6.3 and 7.2). It starts as if the first value had
    been there forever.
    """
    warped = math.tan(math.pi * cutoff)
    scale = 1 / (1 + math.sqrt(2) * warped + warped**2)
    b0, b1, b2 = (warped**2 * scale * each for each in (1, 2, 1))
    a1, a2 = 2 * (warped**2 - 1) * scale, (1 - math.sqrt(2) * warped + warped**2) * scale
    second = (b2 - a2) * values[0]
    first = (b1 - a1) * values[0] + second
    filtered = np.empty_like(values)
    for row, value in enumerate(values):
        found = b0 * value + first
        first, second = b1 * value - a1 * found + second, b2 * value - a2 * found
        filtered[row] = found
    return filtered
