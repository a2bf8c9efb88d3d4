"""Consoles for output that no person watches: lines every few seconds, or JSON events for other programs."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from common.errors import UserError
from common.text import printable
from demo.cli.console import Console
from demo.settings import STAGE_LABELS

if TYPE_CHECKING:
    from demo.batch.folders import ClipList, Job
    from demo.batch.report import Row
    from demo.batch.run import PlannedClip, Watcher
    from demo.results.job import ClipReport

LINES_EVERY, EVENTS_EVERY = 5.0, 0.5  # seconds between two lines of progress, and two events of one stage

Clock = Callable[[], float]


def open_console(style: str, quiet: bool, verbose: int) -> Console:
    """Return the console of a run: JSON events, bars on a terminal, or lines."""
    if style == "json":
        return JsonConsole(quiet, verbose)
    return Console(quiet, verbose) if sys.stderr.isatty() else LineConsole(quiet, verbose)


class LineConsole(Console):
    """Progress as plain lines, at most one every five seconds: for log files and pipes."""

    def __init__(self, quiet: bool = False, verbose: int = 0, clock: Clock = time.monotonic) -> None:
        super().__init__(quiet, verbose)
        self._clock = clock
        self._printed = clock()

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Print nothing."""
        yield

    @contextmanager
    def progress(self, clip: Path) -> Iterator[Callable[[str, int, int], None]]:
        """Print how far the stages of a clip are."""

        def report(stage: str, done: int, total: int) -> None:
            self._line(f"{clip.name}: {_words(stage, done, total)}")

        yield report

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Print how far one kind of work is."""
        yield lambda done: self._line(f"{what}: {done} of {total}")

    @contextmanager
    def batch(self, plan: Sequence[PlannedClip]) -> Iterator[Watcher]:
        """Print how far the clips in progress are, and each that is finished."""
        yield _BatchLines(self, self._line, sum(each.row is None for each in plan))

    def _line(self, line: str) -> None:
        if self._clock() - self._printed >= LINES_EVERY:
            self._printed = self._clock()
            self.note(line)


class _BatchLines:
    """The lines of a batch."""

    def __init__(self, console: Console, line: Callable[[str], None], total: int) -> None:
        self._console, self._line, self._total = console, line, total
        self._count = 0

    def progress(self, job: Job, stage: str, done: int, total: int) -> None:
        """Print the progress of a clip, if it is time for a line."""
        self._line(f"[{self._count}/{self._total}] {job.clip.name}: {_words(stage, done, total)}")

    def finished(self, row: Row) -> None:
        """Print a finished clip."""
        self._count += 1
        why = f" ({row.why})" if row.why else ""
        self._console.note(f"[{self._count}/{self._total}] {row.job.clip}: {row.status}{why}")


class JsonConsole(Console):
    """One JSON object a line on standard error: `event`, and what belongs to it. See docs/command-line.md.

    Standard output is as ever: the files that are there, and the table of a batch.
    """

    def __init__(self, quiet: bool = False, verbose: int = 0, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        super().__init__(quiet, verbose)

    def emit(self, event: str, **values: Any) -> None:
        """Write an event."""
        sys.stderr.write(json.dumps({"event": event, **values}) + "\n")
        sys.stderr.flush()

    def note(self, line: str, style: str | None = None) -> None:
        """Write a note."""
        self.emit("note", text=printable(line))

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Write an error as an event, and end with its exit status. An unexpected one is printed too."""
        try:
            yield
        except UserError as error:
            self.emit("error", error=printable(error), status=error.status)
            raise typer.Exit(error.status) from error
        except (OSError, RuntimeError, ValueError) as error:
            if not isinstance(error, typer.Exit | typer.Abort):
                self.emit("error", error=f"unexpected {type(error).__name__}: {printable(error)}")
            raise

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Write that work of unknown length begins."""
        self.emit("progress", stage=what, done=0, total=0)
        yield

    @contextmanager
    def progress(self, clip: Path) -> Iterator[Callable[[str, int, int], None]]:
        """Write the progress of the stages of a clip."""
        events = _Events(self.emit, self._clock)
        yield lambda stage, done, total: events.progress(str(clip), stage, done, total)

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Write the progress of one kind of work."""
        events = _Events(self.emit, self._clock)
        yield lambda done: events.progress(None, what, done, total)

    @contextmanager
    def batch(self, plan: Sequence[PlannedClip]) -> Iterator[Watcher]:
        """Write the progress of the clips, and each that is finished."""
        yield _Events(self.emit, self._clock)

    def planned(self, plan: Sequence[PlannedClip], clips: ClipList) -> None:
        """Write how many clips there are."""
        todo = sum(each.row is None for each in plan)
        self.emit("planned", clips=len(plan), to_do=todo, seconds=sum(each.seconds for each in plan))

    def finished(self, done: ClipReport) -> None:
        """Write the counts and the files of a finished clip."""
        for note in done.notes:
            self.note(note)
        self.emit(
            "finished",
            clip=str(done.clip),
            status="damaged" if done.damage else "done",
            people=done.people,
            frames=done.frames,
            seconds=done.seconds,
            files=[str(path) for path in done.files],
        )
        for path in done.files:
            self.say(str(path))

    def _log_handler(self) -> logging.Handler:
        return _LogEvents(self.emit)


class _Events:
    """The events of clips in progress; those of one stage of a clip are half a second apart."""

    def __init__(self, emit: Callable[..., None], clock: Clock) -> None:
        self._emit, self._clock = emit, clock
        self._last: dict[str | None, tuple[str, float]] = {}

    def progress(self, clip: Job | str | None, stage: str, done: int, total: int) -> None:
        """Write the progress of a stage, at its begin, its end, and from time to time."""
        name = clip if clip is None or isinstance(clip, str) else str(clip.clip)
        before, now = self._last.get(name, ("", 0.0)), self._clock()
        if stage == before[0] and done != total and now - before[1] < EVENTS_EVERY:
            return
        self._last[name] = stage, now
        where = {} if name is None else {"clip": name}
        self._emit("progress", **where, stage=stage, done=done, total=total)

    def finished(self, row: Row) -> None:
        """Write the row of a clip."""
        clip = str(row.job.clip)
        if row.status in ("failed", "in use"):
            self._emit("error", clip=clip, error=row.why)
            return
        self._emit(
            "finished",
            clip=clip,
            status=row.status,
            people=row.people,
            frames=row.frames,
            seconds=row.seconds,
        )


class _LogEvents(logging.Handler):
    """Log messages as events."""

    def __init__(self, emit: Callable[..., None]) -> None:
        super().__init__()
        self._emit_event = emit

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message."""
        self._emit_event("log", level=record.levelname.lower(), text=self.format(record))


def _words(stage: str, done: int, total: int) -> str:
    """Return the progress of a stage in words."""
    label = STAGE_LABELS.get(stage, stage)
    return f"{label}, {done} of {total} ({100 * done // total} %)" if total else f"{label}, {done}"
