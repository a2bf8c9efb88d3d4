"""Many clips in one run: plan, run, resume. One bad clip is a row of the report, never the end.

`demo.results.finished` finds clips that are done, so an interrupted run is resumed by starting it again.
Clips are processed by local workers (`demo.batch.worker`) or by a Dask cluster (`demo.batch.dask_runner`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Protocol

from common.errors import DownloadError, MissingExtra, UserError, WeightsError
from demo.batch.folders import ClipList, Job
from demo.batch.report import Row, write_reports
from demo.batch.worker import ClipTask, RunConfig, Worker
from demo.models import FALLBACK_NOTES
from demo.types import Progress

# Errors that are not the clip's: all clips would meet them.
FATAL = (WeightsError, DownloadError, MissingExtra)
INSPECT_SECONDS = 120.0  # to find out what a file is
SHORT_WAIT = 1.0  # seconds for a run that was just killed to let go of a clip
REPORT_EVERY = 5.0  # seconds between two versions of the report while running


@dataclass(frozen=True)
class RetryPolicy:
    """What a clip may cost. timeout: seconds, None for no limit; retries: after a crash or a time-out."""

    timeout: float | None = None
    retries: int = 1


@dataclass(frozen=True)
class PlannedClip:
    """A clip before the run: its length in seconds, and its row where that is known already."""

    job: Job
    seconds: float
    row: Row | None


class Watcher(Protocol):
    """Who is shown what happens; called in the thread that runs the batch."""

    def progress(self, job: Job, stage: str, done: int, total: int) -> None:
        """A stage of a clip moves on; total 0: unknown."""

    def finished(self, row: Row) -> None:
        """Nothing more will happen to this clip."""


# (jobs, seconds to wait for other runs, watcher) -> rows as they come, in any order. It tells the watcher
# of progress only, and raises a UserError that would meet all clips.
Runner = Callable[[Sequence[Job], float, Watcher], Iterator[Row]]


def plan(found: ClipList, orders: RunConfig, inspected: Callable[[int], None]) -> list[PlannedClip]:
    """Inspect every clip: how long it is, whether it is finished, whether it can be read at all.

    inspected: called with the number of clips inspected so far.
    """
    planned = []
    with closing(Worker(orders)) as worker:
        for count, job in enumerate(found.jobs, start=1):
            outcome = worker.run(ClipTask("inspect", job), INSPECT_SECONDS)
            # What is not known now, because the clip is new or the look crashed, is left to the run.
            known = outcome.report is not None or outcome.error is not None
            row = Row.of(job, outcome, 0.0, 0) if known else None
            seconds = outcome.report.seconds if outcome.report else outcome.seconds
            planned.append(PlannedClip(job, seconds, row))
            inspected(count)
    return planned


def run(
    planned: Sequence[PlannedClip],
    found: ClipList,
    output: Path,
    runner: Runner,
    timeout: float | None,
    watcher: Watcher,
) -> list[Row]:
    """Processes what is not finished and keeps the report in `output` up to date; rows in the plan's order.

    Clips that another run is working on come last, and are waited for: `timeout` seconds, or without one
    as long as it takes.

    Raises:
        UserError: one that would meet all clips (damaged weights), or the report cannot be written.
    """
    rows = {each.job: each.row for each in planned if each.row is not None}
    written = -REPORT_EVERY

    def in_order() -> list[Row]:
        return [rows[each.job] for each in planned if each.job in rows]

    try:
        for wait in (SHORT_WAIT, -1.0 if timeout is None else timeout):
            last = wait != SHORT_WAIT
            jobs = [each.job for each in planned if each.job not in rows or rows[each.job].status == "in use"]
            for row in runner(jobs, wait, watcher) if jobs else ():
                rows[row.job] = row
                if last or row.status != "in use":
                    watcher.finished(row)
                if monotonic() - written > REPORT_EVERY:
                    write_reports(output, in_order(), found.left_out)
                    written = monotonic()
    finally:
        if rows:
            write_reports(output, in_order(), found.left_out)
    return in_order()


def attempt(worker: Worker, task: ClipTask, patience: RetryPolicy, progress: Progress | None = None) -> Row:
    """Process a clip; retry after crashes and time-outs, and at the next fallback level without memory.

    Raises:
        WeightsError, DownloadError, MissingExtra: all clips would meet this.
    """
    begun, tries, retries, level = monotonic(), 0, patience.retries, 0
    while True:
        tries += 1
        outcome = worker.run(replace(task, level=level), patience.timeout, progress)
        if isinstance(outcome.error, FATAL):
            raise outcome.error
        if outcome.short_of_memory and level + 1 < len(FALLBACK_NOTES):
            level += 1
        elif outcome.crash and retries > 0:
            retries -= 1
        else:
            return Row.of(task.job, outcome, monotonic() - begun, tries)


def worker_count() -> int:
    """Workers side by side on this machine: one decodes and encodes while the other's networks run."""
    return 2 if (os.cpu_count() or 1) >= 8 else 1


@contextmanager
def local_workers(orders: RunConfig, patience: RetryPolicy, count: int) -> Iterator[Runner]:
    """A runner with `count` processes on this machine, which end with the block."""
    workers = [Worker(orders) for _ in range(count)]

    def runner(jobs: Sequence[Job], wait: float, watcher: Watcher) -> Iterator[Row]:
        waiting: SimpleQueue[Job] = SimpleQueue()
        for job in jobs:
            waiting.put(job)
        events: SimpleQueue[Row | UserError | tuple[Job, str, int, int] | None] = SimpleQueue()

        def progress(job: Job, stage: str, done: int, total: int) -> None:
            events.put((job, stage, done, total))

        def serve(worker: Worker) -> None:
            try:
                while not worker.closed:
                    job = waiting.get_nowait()
                    task = ClipTask("process", job, wait=wait)
                    events.put(attempt(worker, task, patience, partial(progress, job)))
            except Empty:
                events.put(None)
            except UserError as error:
                events.put(error)

        for worker in workers:
            threading.Thread(target=serve, args=(worker,), daemon=True).start()
        serving = len(workers)
        while serving:
            match events.get():
                case Row() as row:
                    yield row
                case UserError() as error:
                    raise error
                case (job, stage, done, total):
                    watcher.progress(job, stage, done, total)
                case _:
                    serving -= 1

    try:
        yield runner
    finally:
        for worker in workers:
            worker.close()
