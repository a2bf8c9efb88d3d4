"""The clock of a stream: raw time stamps to strictly increasing ones."""

from __future__ import annotations

from demo.types import ClipInfo

_LONGEST_PAUSE = 1800  # seconds between two frames; more is a corrupt clock, and mp4 cannot store it


class Clock:
    """Converts a stream's raw time stamps to strictly increasing ones that start at 0."""

    def __init__(self, origin: int, info: ClipInfo) -> None:
        self._origin = origin
        self._last: int | None = None
        self._step = max(1, round(1 / (info.fps * info.time_base)))
        self._second = max(1, int(1 / info.time_base))
        self._longest = max(1, int(_LONGEST_PAUSE / info.time_base))

    def stamp(self, raw: int | None) -> int:
        """Return the pts of the next frame, repaired if missing, not increasing or implausible."""
        if self._last is None:
            self._last = 0 if raw is None else max(0, raw - self._origin)
            return self._last
        expected = self._last + self._step
        pts = expected if raw is None else raw - self._origin
        if raw is not None and (pts <= self._last - self._second or pts > self._last + self._longest):
            # The clock was reset (joined recordings): continue from here.
            self._origin = raw - expected
            pts = expected
        self._last = max(pts, self._last + 1)
        return self._last
