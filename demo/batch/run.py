"""Many clips in one run: plan, run, resume. A bad clip is a row of the report and does not end the run.

`demo.results.job` recognises finished clips, so an interrupted run is resumed by starting it again.
Clips are processed by local workers (`demo.batch.worker`) or by a Dask cluster (`demo.batch.dask_runner`).
"""

from __future__ import annotations

import logging
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
from common.text import printable
from demo.batch.folders import ClipList, Job
from demo.batch.report import Row, write_overview, write_reports
from demo.batch.worker import ClipTask, RunConfig, Worker
from demo.models import FALLBACK_NOTES
from demo.types import Progress

log = logging.getLogger(__name__)

# Errors that do not depend on the clip: every clip would raise them.
FATAL = (WeightsError, DownloadError, MissingExtra)
INSPECT_SECONDS = 120.0  # time-out of inspecting one file
SHORT_WAIT = 1.0  # seconds in which the lock of a run that was just killed is released
REPORT_EVERY = 5.0  # seconds between two versions of the report while running


@dataclass(frozen=True)
class RetryPolicy:
    """Limits of the processing of one clip.

    Attributes:
        timeout: seconds, None for no limit.
        retries: further tries after a crash or a time-out.
    """

    timeout: float | None = None
    retries: int = 1


@dataclass(frozen=True)
class PlannedClip:
    """A clip before the run: its length in seconds, and its row if it is finished or cannot be read."""

    job: Job
    seconds: float
    row: Row | None


class Watcher(Protocol):
    """Receives the events of a run, in the thread that runs the batch."""

    def progress(self, job: Job, stage: str, done: int, total: int) -> None:
        """Receive the progress of a stage of a clip; total 0: unknown."""

    def finished(self, row: Row) -> None:
        """Receive the final row of a clip."""


# (jobs, seconds to wait for other runs, watcher) -> rows as they are finished, in any order. A runner calls
# only `progress` of the watcher, and raises the errors in `FATAL`.
Runner = Callable[[Sequence[Job], float, Watcher], Iterator[Row]]


def plan(clips: ClipList, config: RunConfig, inspected: Callable[[int], None]) -> list[PlannedClip]:
    """Inspect every clip: its length, whether it is finished, and whether it can be read.

    Args:
        inspected: called with the number of clips inspected so far.
    """
    planned = []
    with closing(Worker(config)) as worker:
        for count, job in enumerate(clips.jobs, start=1):
            result = worker.run(ClipTask("inspect", job), INSPECT_SECONDS)
            # No row yet: the clip is new, or its inspection crashed. The run decides.
            known = result.report is not None or result.error is not None
            row = Row.of(job, result, 0.0, 0) if known else None
            seconds = result.report.seconds if result.report else result.seconds
            planned.append(PlannedClip(job, seconds, row))
            inspected(count)
    return planned


def run(
    planned: Sequence[PlannedClip],
    clips: ClipList,
    output: Path,
    runner: Runner,
    timeout: float | None,
    watcher: Watcher,
) -> list[Row]:
    """Process the unfinished clips, update the report in `output`, and return the rows in the plan's order.

    Clips that another run is processing come last. Their wait ends after `timeout` seconds, if one is given.

    Raises:
        UserError: every clip would raise it (damaged weights), or the report cannot be written.
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
                    write_reports(output, in_order(), clips.left_out)
                    written = monotonic()
    finally:
        if rows:
            write_reports(output, in_order(), clips.left_out)
    write_overview(output, in_order())
    return in_order()


def attempt(worker: Worker, task: ClipTask, retry: RetryPolicy, progress: Progress | None = None) -> Row:
    """Process a clip; retry after crashes and time-outs, and at the next fallback level when memory is short.

    Raises:
        WeightsError, DownloadError, MissingExtra: every clip would raise it.
    """
    begun, tries, retries, level = monotonic(), 0, retry.retries, 0
    while True:
        tries += 1
        result = worker.run(replace(task, level=level), retry.timeout, progress)
        if isinstance(result.error, FATAL):
            raise result.error
        if result.short_of_memory and level + 1 < len(FALLBACK_NOTES):
            level += 1
        elif result.crash and retries > 0:
            retries -= 1
        else:
            return Row.of(task.job, result, monotonic() - begun, tries)


def _row_of(job: Job, work: Callable[[], Row]) -> Row:
    """Return the row of `work`, or one with the reason of an unexpected error.

    Raises:
        UserError: every clip would raise it.
    """
    try:
        return work()
    except UserError:
        raise
    except Exception as error:
        log.info("unexpected error", exc_info=error)
        why = printable(" ".join(str(error).split())[:300])
        return Row(job, "failed", why=f"unexpected {type(error).__name__}: {why}")


def worker_count() -> int:
    """Return the number of workers on this machine: one decodes and encodes while another runs networks."""
    return 2 if (os.cpu_count() or 1) >= 8 else 1


@contextmanager
def local_workers(config: RunConfig, retry: RetryPolicy, count: int) -> Iterator[Runner]:
    """Yield a runner with `count` processes on this machine, which end with the block."""
    workers = [Worker(config) for _ in range(count)]

    def runner(jobs: Sequence[Job], wait: float, watcher: Watcher) -> Iterator[Row]:
        waiting: SimpleQueue[Job] = SimpleQueue()
        for job in jobs:
            waiting.put(job)
        events: SimpleQueue[Row | UserError | tuple[Job, str, int, int] | None] = SimpleQueue()

        def progress(job: Job, stage: str, done: int, total: int) -> None:
            events.put((job, stage, done, total))

        def process_one(worker: Worker, job: Job) -> Row:
            task = ClipTask("process", job, wait=wait)
            return _row_of(job, lambda: attempt(worker, task, retry, partial(progress, job)))

        def serve(worker: Worker) -> None:
            # Whatever happens, an event follows: the loop below waits for one.
            try:
                while not worker.closed:
                    events.put(process_one(worker, waiting.get_nowait()))
            except Empty:
                pass
            except UserError as error:
                events.put(error)
            finally:
                events.put(None)

        serving = 0
        for worker in workers:
            try:
                threading.Thread(target=serve, args=(worker,), daemon=True).start()
                serving += 1
            except RuntimeError as full:  # the system gives no more threads
                if not serving:
                    raise UserError(f"no worker can be started ({full}): close other programs") from full
                break
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
