"""How far a clip is, and how long it still takes.

A clip's stages take different parts of its time, and the parts depend on the machine. So the first clip of
a server is measured with the parts below, and each further one with those of the clip before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic

# Parts of a clip's time, in the order of the pipeline. Measured with videos/sample.mp4 on two cores:
# `--quality shipped --export report,bvh,glb,csv` took 46.5 s, 5.6 s, 6.0 s and 8.2 s in the four stages.
FIRST_PARTS = {"analyse": 0.70, "lift": 0.09, "render": 0.09, "export": 0.12}
SURE_AFTER = 3.0  # seconds of processing before a remaining time is worth telling
LEAST_SHARE = 0.01


@dataclass(frozen=True)
class Progress:
    """The progress of a clip at one moment.

    Attributes:
        stage: "" before the first stage.
        done, total: frames of this stage; total 0: unknown.
        share: of the whole clip, 0 to 1.
        remaining: seconds, None when unknown.
    """

    stage: str = ""
    done: int = 0
    total: int = 0
    share: float = 0.0
    remaining: float | None = None


class ProgressMeter:
    """Measures one clip.

    Args:
        parts: of the clip's time, for each stage in order; they sum up to 1.
        clock: seconds.
    """

    def __init__(self, parts: Mapping[str, float], clock: Callable[[], float] = monotonic) -> None:
        self._parts, self._clock = dict(parts), clock
        self._begun: dict[str, float] = {}  # stage -> time of its first message
        self._last = Progress()

    def update(self, stage: str, done: int, total: int) -> None:
        """Take in a message of the worker."""
        stages = list(self._parts)
        if stage not in stages:
            return
        if self._last.stage in stages and stages.index(stage) < stages.index(self._last.stage):
            self._begun.clear()  # a try again after a crash
        self._begun.setdefault(stage, self._clock())
        before = sum(self._parts[each] for each in stages[: stages.index(stage)])
        inside = min(done / total, 1.0) if total > 0 else 0.0
        self._last = Progress(stage, done, total, before + self._parts[stage] * inside)

    def progress(self) -> Progress:
        """Return the progress now."""
        last = self._last
        if not self._begun:
            return last
        elapsed = self._clock() - min(self._begun.values())
        if elapsed < SURE_AFTER or last.share < LEAST_SHARE:
            return last
        remaining = elapsed * (1 - last.share) / last.share
        return Progress(last.stage, last.done, last.total, last.share, remaining)

    def measured_parts(self) -> dict[str, float]:
        """Return the parts of the time that the stages of the finished clip took.

        A stage of which no message came keeps its part.
        """
        known = [stage for stage in self._parts if stage in self._begun]
        if not known:
            return dict(self._parts)
        ends = [self._begun[stage] for stage in known[1:]] + [self._clock()]
        took = {s: max(end - self._begun[s], 0.0) for s, end in zip(known, ends, strict=True)}
        whole = sum(took.values())
        if whole <= 0:
            return dict(self._parts)
        silent = sum(part for stage, part in self._parts.items() if stage not in took)
        return {
            stage: took[stage] / whole * (1 - silent) if stage in took else part
            for stage, part in self._parts.items()
        }
