"""The loop of a live run, and its figures."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from demo.live.pipeline import LiveFrame, LivePipeline
from demo.live.source import Arrival, Clock


class Output(Protocol):
    """Where poses go."""

    def show(self, live: LiveFrame) -> bool:
        """Take a frame; return False if the user wants to stop."""
        ...


@dataclass
class Figures:
    """Latencies, from when a frame was due to its pose, and what was done in which time; all in seconds."""

    latencies: array[float] = field(default_factory=lambda: array("d"))
    begin: float = 0.0
    end: float = 0.0
    people: int = 0  # in the last frame

    def add(self, arrival: Arrival, live: LiveFrame, now: float) -> None:
        """Count a frame whose pose is there now."""
        if not self.latencies:
            self.begin = arrival.due
        self.latencies.append(now - arrival.due)
        self.end, self.people = now, len(live.people)

    @property
    def rate(self) -> float:
        """Frames a second."""
        return len(self.latencies) / max(self.end - self.begin, 1e-9)

    def percentile(self, share: float) -> float:
        """Return the latency that `share` per cent of the frames do not exceed; 0 without frames."""
        return float(np.percentile(self.latencies, share)) if self.latencies else 0.0

    def line(self, dropped: int) -> str:
        """Return the figures in words."""
        return (
            f"{len(self.latencies)} frames, {self.rate:.1f} a second, "
            f"latency {self.percentile(50) * 1e3:.0f} ms (95 %: {self.percentile(95) * 1e3:.0f} ms), "
            f"{dropped} frames dropped"
        )


def run(
    arrivals: Iterable[Arrival],
    pipeline: LivePipeline,
    outputs: Sequence[Output],
    clock: Clock,
    figures: Figures,
    seconds: float | None = None,
) -> bool:
    """Find the people of frame after frame until the source ends or the user stops.

    Ctrl-C ends the run like the end of the source, so that files are completed.

    Args:
        figures: are filled.
        seconds: of the source after which the run ends; None without a limit.

    Returns:
        Whether the source ended, not the user or the limit.
    """
    first: float | None = None
    try:
        for arrival in arrivals:
            first = arrival.due if first is None else first
            if seconds is not None and arrival.due - first >= seconds:
                return False
            live = pipeline.step(arrival.frame)
            figures.add(arrival, live, clock.now())
            going_on = [output.show(live) for output in outputs]
            if not all(going_on):
                return False
    except KeyboardInterrupt:
        return False
    return True


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the lifter and the linear algebra on one thread.

    They are small; threads that wait for each other beside the detector's made a window take 0.3 s, not 0.01.
    """
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")  # it may not be installed, or not be needed
    before = torch.get_num_threads() if torch else 1
    if torch:
        torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        if torch:
            torch.set_num_threads(before)
