"""Zero-phase smoothing of 3D tracks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


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
    from scipy.signal import butter, sosfiltfilt  # a second to import: not every clip is smoothed

    sections = butter(2, cutoff, fs=fps, output="sos")
    pad = min(len(joints) - 1, int(fps / cutoff) + 6)
    smoothed = np.empty(joints.shape, np.float32)
    columns, filtered = joints.reshape(len(joints), -1), smoothed.reshape(len(joints), -1)
    # Column by column: the filter makes several copies in double precision.
    for column in range(columns.shape[1]):
        filtered[:, column] = sosfiltfilt(sections, columns[:, column], padlen=pad)
    return smoothed
