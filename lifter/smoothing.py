"""Zero-phase smoothing of 3D tracks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

Floats = NDArray[np.float32]


def smooth(joints: Floats, fps: float, cutoff: float = 6.0) -> Floats:
    """Low-pass filtered joints (T, ..., 3): second-order Butterworth, run forwards and backwards.

    Forwards and backwards means no lag. 6 Hz is what biomechanics uses for gait (Winter, "Biomechanics and
    Motor Control of Human Movement"). Tracks of under 9 frames, or of a rate at which the cut-off cannot
    be told from the noise (cutoff >= 0.45 fps), come back unchanged.
    """
    if len(joints) < 9 or cutoff >= 0.45 * fps:
        return joints
    sections = butter(2, cutoff, fs=fps, output="sos")
    pad = min(len(joints) - 1, int(fps / cutoff) + 6)
    smoothed = np.empty(joints.shape, np.float32)
    columns, filtered = joints.reshape(len(joints), -1), smoothed.reshape(len(joints), -1)
    # One after the other: the filter works on several copies in double precision.
    for column in range(columns.shape[1]):
        filtered[:, column] = sosfiltfilt(sections, columns[:, column], padlen=pad)
    return smoothed
