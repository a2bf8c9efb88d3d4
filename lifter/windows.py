"""Long tracks through networks of fixed length: cut into windows, pad at the ends, blend without seams."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096  # frames of a long track that are processed together

Floats = NDArray[np.float32]


def window_starts(length: int, frames: int, hop: int) -> NDArray[np.int64]:
    """Return the first frames (N,) of windows that cover `length` frames; the last one ends with the track.

    A track no longer than the window gets one window, centred on it, so it may start before frame 0.
    """
    if length <= frames:
        return np.array([(length - frames) // 2])
    starts = np.arange(0, length - frames, hop)
    return np.append(starts, length - frames)


def cut_windows(track: NDArray[np.generic], starts: NDArray[np.int64], frames: int) -> NDArray[np.generic]:
    """Cut a track (T, ...) into windows (N, F, ...); frames outside it repeat its first or last frame."""
    at = starts[:, None] + np.arange(frames)
    return track[at.clip(0, len(track) - 1)]


def stretch(track: Floats, length: int) -> Floats:
    """Resample a track (T, ...) to `length` frames over the same time, by linear interpolation."""
    at = np.linspace(0, len(track) - 1, length)
    low = at.astype(np.int64)
    high = np.minimum(low + 1, len(track) - 1)
    share = (at - low).reshape(-1, *(1,) * (track.ndim - 1))
    return ((1 - share) * track[low] + share * track[high]).astype(np.float32)


def blocks(first: int, end: int) -> Iterator[slice]:
    """Yield slices of at most `BLOCK` frames that cover the frames from `first` to before `end`.

    They bound the memory of computations whose temporaries are several times their result: half an hour has
    tens of thousands of frames.
    """
    for start in range(first, end, BLOCK):
        yield slice(start, min(start + BLOCK, end))


def blend_windows(windows: Floats, starts: NDArray[np.int64], length: int) -> Floats:
    """Blend overlapping windows (N, F, ...) into a track (T, ...), see `Blend`."""
    blend = Blend(length, windows.shape[1:])
    blend.add(windows, starts)
    return blend.track()


class Blend:
    """A track (T, ...) as the weighted mean of overlapping windows (F, ...), weighted by sine squared.

    The ends of a window have the least context, so its middle has the largest weight. Windows are added in
    the order of their starts: all frames before a start are final, so the sums are no longer than a window.

    Args:
        length: T.
        shape: (F, ...) of a window.
    """

    def __init__(self, length: int, shape: tuple[int, ...]) -> None:
        frames = shape[0]
        fade = np.sin(np.pi * (np.arange(frames) + 0.5) / frames) ** 2
        self._fade = fade.reshape(-1, *(1,) * (len(shape) - 1))
        self._start = 0  # the frame at which the sums begin
        self._total = np.zeros(shape)
        self._weight = np.zeros_like(self._fade)
        self._track = np.empty((length, *shape[1:]), np.float32)

    def add(self, windows: Floats, starts: NDArray[np.int64]) -> None:
        """Add the next windows (N, F, ...), whose first frames are `starts` (N,)."""
        for window, start in zip(windows, starts.tolist(), strict=True):
            self._finish(start)
            self._total += self._fade * window
            self._weight += self._fade

    def track(self) -> Floats:
        """Return the track (T, ...), after all windows were added."""
        self._finish(self._start + len(self._fade))
        return self._track

    def _finish(self, end: int) -> None:
        """Move the finished frames, those before `end`, to the track; the sums then begin at `end`."""
        first, last = max(self._start, 0), min(end, len(self._track))
        if first < last:
            inside = slice(first - self._start, last - self._start)
            self._track[first:last] = self._total[inside] / self._weight[inside]
            for sums in (self._total, self._weight):
                kept = len(sums) - (end - self._start)
                sums[:kept] = sums[-kept:] if kept else 0
                sums[kept:] = 0
        self._start = end
