"""What the user sees while it runs: bars, notes, tables. Used by the command line alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import rich.console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

if TYPE_CHECKING:
    from demo.pipeline import ClipReport
    from lifter.weights import WeightInfo

LABELS = {"analyse": "finding people", "lift": "lifting to 3D", "render": "rendering"}


class Console:
    """Progress and notes on standard error, tables on standard output."""

    def __init__(self, quiet: bool = False, verbose: int = 0) -> None:
        self._err = rich.console.Console(stderr=True, quiet=quiet, highlight=False)
        self._out = rich.console.Console(highlight=False)
        self._quiet, self._verbose = quiet, verbose
        level = logging.DEBUG if verbose > 1 else logging.WARNING
        logging.basicConfig(level=level, format="%(message)s", handlers=[RichHandler(console=self._err)])

    def detail(self, line: str) -> None:
        """A line that only -v shows."""
        if self._verbose:
            self._err.print(line, style="dim", markup=False)

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """A spinner for work of unknown length."""
        with self._err.status(what):
            yield

    @contextmanager
    def progress(self) -> Iterator[Callable[[str, int, int], None]]:
        """Bars for the stages of a clip; yields the function that moves them."""
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
                    tasks[stage] = bars.add_task(LABELS.get(stage, stage))
                bars.update(tasks[stage], completed=done, total=max(total, done) or None)

            yield report

    def finished(self, done: ClipReport) -> None:
        """Where the results are, and what to know about them."""
        for note in done.notes:
            self._err.print(f"Note: {note}", style="yellow", markup=False)
        if not done.repeated:
            self._err.print("Everything was done already; --overwrite does it again.", markup=False)
        people = "1 person" if done.people == 1 else f"{done.people} people"
        self._err.print(f"{people}, {done.frames} frames, {done.seconds:.1f} s", markup=False)
        for path in (done.outputs.video, done.outputs.result, done.outputs.summary):
            if path.is_file() and not self._quiet:
                self._out.print(str(path), markup=False, soft_wrap=True)

    def weights(self, known: Sequence[WeightInfo]) -> None:
        """The table of `python app.py weights`."""
        table = Table("name", "kind", "size", "licence", "found at")
        for info in known:
            size = f"{info.size_bytes / 1e6:.1f} MB" if info.size_bytes else "?"
            where = (
                str(info.found) if info.found else "not here: " + (info.urls[0] if info.urls else "no url")
            )
            table.add_row(info.name, info.kind, size, info.licence, where)
        self._out.print(table)
