"""Long tracks through networks of fixed length: cut into windows, pad at the ends, blend without seams."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def window_starts(length: int, frames: int, hop: int) -> NDArray[np.int64]:
    """First frames of windows that cover `length` frames; the last one ends with the track.

    A track no longer than the window gets one, centred on it, so it may start before frame 0.
    """
    if length <= frames:
        return np.array([(length - frames) // 2])
    starts = np.arange(0, length - frames, hop)
    return np.append(starts, length - frames)


def cut_windows(track: NDArray[np.generic], starts: NDArray[np.int64], frames: int) -> NDArray[np.generic]:
    """Windows (N, F, ...) of a track (T, ...); frames before the start or after the end repeat the edge."""
    at = starts[:, None] + np.arange(frames)
    return track[at.clip(0, len(track) - 1)]


def blend_windows(windows: Floats, starts: NDArray[np.int64], length: int) -> Floats:
    """The track (T, ...) from overlapping windows (N, F, ...), each fading in and out as sine squared.

    A window knows least at its ends, where it has no context, so its middle counts most.
    """
    frames = windows.shape[1]
    fade = np.sin(np.pi * (np.arange(frames) + 0.5) / frames) ** 2
    total = np.zeros((length, *windows.shape[2:]))
    weight = np.zeros(length)
    for window, start in zip(windows, starts, strict=True):
        first, last = max(start, 0), min(start + frames, length)
        part = fade[first - start : last - start]
        total[first:last] += (
            part.reshape(-1, *(1,) * (window.ndim - 1)) * window[first - start : last - start]
        )
        weight[first:last] += part
    return (total / weight.reshape(-1, *(1,) * (total.ndim - 1))).astype(np.float32)
