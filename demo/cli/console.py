"""Terminal output of the command line: progress bars, notes, tables."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import rich.console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from common.text import printable
from demo.settings import STAGE_LABELS

if TYPE_CHECKING:
    from common.weights import WeightInfo
    from demo.batch.folders import ClipList, Job
    from demo.batch.report import Row
    from demo.batch.run import PlannedClip, Watcher
    from demo.models import ResolvedModels
    from demo.results.job import ClipReport

LONGEST_TABLE = 60  # clips; a longer table lists only the clips that are not done
SHARES = {
    "analyse": (0.0, 0.6),
    "lift": (0.6, 0.05),
    "render": (0.65, 0.35),
}  # (start, length) of each stage as a share of a clip's time
COLOURS = {"done": "green", "damaged": "yellow", "failed": "red", "in use": "yellow"}


class Console:
    """Progress and notes on standard error, tables on standard output."""

    def __init__(self, quiet: bool = False, verbose: int = 0) -> None:
        self._err = rich.console.Console(stderr=True, quiet=quiet, highlight=False)
        self._out = rich.console.Console(highlight=False)
        self._quiet, self._verbose = quiet, verbose
        level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
        handler = self._log_handler()
        handler.setFormatter(_PrintableFormatter("%(message)s"))
        logging.basicConfig(level=level, handlers=[handler])

    def _log_handler(self) -> logging.Handler:
        return RichHandler(console=self._err)

    def note(self, line: str, style: str | None = None) -> None:
        """Print one line on standard error; a name in it cannot control the terminal."""
        self._err.print(printable(line), style=style, markup=False, soft_wrap=True)

    def say(self, line: str) -> None:
        """Print one line on standard output, unless -q is given."""
        if not self._quiet:
            self._out.print(printable(line), markup=False, soft_wrap=True)

    def detail(self, line: str) -> None:
        """Print a line if -v is given."""
        if self._verbose:
            self.note(line, "dim")

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Show a spinner for work of unknown length."""
        with self._err.status(what):
            yield

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Report the errors of a run; here the command line prints them."""
        yield

    @contextmanager
    def progress(self, clip: Path) -> Iterator[Callable[[str, int, int], None]]:
        """Show bars for the stages of a clip; yields the function that updates them."""
        bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._err,
            disable=self._quiet,
            transient=True,
        )
        tasks: dict[str, TaskID] = {}
        with bars:

            def report(stage: str, done: int, total: int) -> None:
                if stage not in tasks:
                    tasks[stage] = bars.add_task(STAGE_LABELS.get(stage, stage))
                bars.update(tasks[stage], completed=done, total=max(total, done) or None)

            yield report

    def finished(self, done: ClipReport) -> None:
        """Print the notes, the counts and the files of a finished clip."""
        for note in done.notes:
            self.note(f"Note: {note}", "yellow")
        if done.from_cache:
            self.note("Everything was done already; --overwrite does it again.")
        people = "1 person" if done.people == 1 else f"{done.people} people"
        counts = f"{people}, {done.frames} frames, {done.seconds:.1f} s"
        self.note(f"{counts}, seen by {', '.join(done.models)}")
        for path in done.files:
            self.say(str(path))

    def resolved(self, models: ResolvedModels) -> None:
        """Print the weights in use, the limits of their licences, and why shipped ones replace others."""
        for weight in models.weights:
            self.detail(f"{weight.role}: {weight.name} ({weight.file})")
            if weight.notice:
                self.note(f"{weight.name}: {weight.notice}", "yellow")
            if weight.path is None:
                self.note(f"{weight.name}: the configuration is run as Python code", "yellow")
        if not models.fallback:
            return
        names = f"{models.detector.name} and {models.pose.name}"
        line = f"Running on {names}, which come with the program and are less precise: {models.fallback}"
        self.note(line, "yellow")

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar for one kind of work; yields the function that updates it."""
        bars = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            console=self._err, disable=self._quiet, transient=True,
        )  # fmt: skip
        task = bars.add_task(what, total=total)
        with bars:
            yield lambda done: bars.update(task, completed=done)

    def planned(self, plan: Sequence[PlannedClip], clips: ClipList) -> None:
        """Print how many clips are done already, cannot be read, and are to be processed."""
        done = [each for each in plan if each.row is not None and each.row.status != "failed"]
        bad = [each for each in plan if each.row is not None and each.row.status == "failed"]
        minutes = sum(each.seconds for each in plan) / 60
        left = sum(each.seconds for each in plan if each.row is None) / 60
        count = "1 clip" if len(plan) == 1 else f"{len(plan)} clips"
        self.note(
            f"{count}, {minutes:.1f} minutes; done already: {len(done)}; cannot be read: {len(bad)}"
            f"; to do: {len(plan) - len(done) - len(bad)}, {left:.1f} minutes"
        )
        for each in clips.left_out:
            self.detail(f"left out: {each.path}: {each.why}")

    @contextmanager
    def batch(self, plan: Sequence[PlannedClip]) -> Iterator[Watcher]:
        """Show bars for the whole run and for the clips in progress."""
        bars = Progress(
            SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(),
            TaskProgressColumn(), TimeRemainingColumn(),
            console=self._err, disable=self._quiet, transient=True,
        )  # fmt: skip
        with bars:
            yield BatchBars(bars, self._err, [each for each in plan if each.row is None])

    def report(self, rows: Sequence[Row], output: Path) -> None:
        """Print the table of the run."""
        shown = rows if len(rows) <= LONGEST_TABLE else [row for row in rows if row.status != "done"]
        table = Table("clip", "status", "people", "frames", "seconds", "fps", "why")
        for row in shown:
            counts = ["" if number is None else str(number) for number in (row.people, row.frames)]
            figures = ["" if number is None else f"{number:.1f}" for number in (row.seconds, row.fps)]
            status = Text(row.status, COLOURS[row.status])
            table.add_row(Text(printable(row.job.clip)), status, *counts, *figures, Text(printable(row.why)))
        totals = {status: sum(row.status == status for row in rows) for status in COLOURS}
        if not self._quiet:
            self._out.print(table)
            summary = ", ".join(f"{count} {status}" for status, count in totals.items() if count)
            self.say(f"{summary or 'nothing'}: {output / 'overview.html'}")

    def weights(self, known: Sequence[WeightInfo]) -> None:
        """Print the table of `python app.py weights`."""
        table = Table("name", "kind", "size", "licence", "found at")
        for info in known:
            size = f"{info.size_bytes / 1e6:.1f} MB" if info.size_bytes else "?"
            where = (
                str(info.found) if info.found else "not here: " + (info.urls[0] if info.urls else "no url")
            )
            table.add_row(info.name, info.kind, size, info.licence, where)
        self._out.print(table)


class _PrintableFormatter(logging.Formatter):
    """Names in messages cannot control the terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        return printable(super().formatMessage(record))


class BatchBars:
    """The bars of a batch: one for the run, in seconds of video, and one for every clip in progress."""

    def __init__(self, bars: Progress, lines: rich.console.Console, todo: Sequence[PlannedClip]) -> None:
        self._bars, self._lines = bars, lines
        usual = sum(each.seconds for each in todo) / max(len(todo), 1) or 1.0
        self._seconds = {each.job: each.seconds or usual for each in todo}
        self._shares: dict[Job, float] = {}
        self._tasks: dict[Job, TaskID] = {}
        self._count = 0
        self._all = bars.add_task("all clips", total=sum(self._seconds.values()))

    def progress(self, job: Job, stage: str, done: int, total: int) -> None:
        """Update the bar of a clip and that of the run."""
        if job not in self._tasks:
            self._tasks[job] = self._bars.add_task("", total=1.0)
        begin, length = SHARES.get(stage, (0.0, 0.0))
        self._shares[job] = begin + length * min(done / total if total else 0.0, 1.0)
        label = f"{printable(job.clip.name)}: {STAGE_LABELS.get(stage, stage)}"
        self._bars.update(self._tasks[job], completed=self._shares[job], description=label)
        self._move()

    def finished(self, row: Row) -> None:
        """Replace the bar of a clip by a permanent line."""
        if row.job in self._tasks:
            self._bars.remove_task(self._tasks.pop(row.job))
        self._shares[row.job] = 1.0
        self._count += 1
        self._move()
        why = f" ({row.why})" if row.why else ""
        line = f"[{self._count}/{len(self._seconds)}] {row.job.clip}: {row.status}{why}"
        self._lines.print(printable(line), style=COLOURS[row.status], markup=False, soft_wrap=True)

    def _move(self) -> None:
        done = sum(self._seconds.get(job, 0.0) * share for job, share in self._shares.items())
        self._bars.update(self._all, completed=done)
