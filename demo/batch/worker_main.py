"""The child of `demo.batch.worker`: orders first, then clips until the parent is gone."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from time import monotonic
from typing import IO, Any

from common.errors import UserError
from demo.batch.folders import Job
from demo.batch.worker import ClipTask, RunConfig, TaskResult, TimerSignal
from demo.models import ModelLoader, out_of_memory
from demo.results.job import ClipJob
from demo.results.outputs import ClipPaths

_TICK = 0.1  # seconds between two messages of progress


def main() -> None:
    """Answers every task with progress and an `TaskResult`."""
    # Only messages may reach the pipe, whatever libraries print.
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, and that decides
    inbox: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(inbox,), daemon=True).start()
    child = _Child(inbox.get(), pipe)
    with ThreadPoolExecutor(1) as pool:
        while True:
            child.send(_answer(pool, child, inbox.get()))


def _listen(inbox: SimpleQueue[Any]) -> None:
    with suppress(EOFError, OSError, pickle.UnpicklingError):
        while True:
            inbox.put(pickle.load(sys.stdin.buffer))
    os._exit(0)  # the parent is gone: nobody wants the clip in work


def _answer(pool: Executor, child: _Child, task: ClipTask) -> TaskResult:
    """Does a task. Whatever goes wrong costs this clip only: its future keeps it."""
    work = pool.submit(child.do, task)
    error = work.exception()
    if error is None:
        return work.result()
    told = " ".join(str(error).split())[:300]
    return TaskResult(
        crash=f"unexpected {type(error).__name__}: {told}",
        details="".join(traceback.format_exception(error)),
        short_of_memory=out_of_memory(error),
    )


class _Child:
    def __init__(self, orders: RunConfig, pipe: IO[bytes]) -> None:
        self._orders = orders
        self._pipe = pipe
        self._said = self._begun = 0.0
        self._networks = ModelLoader(orders.models, orders.settings, self._loading)

    def send(self, message: object) -> None:
        """To the parent."""
        pickle.dump(message, self._pipe)
        self._pipe.flush()

    def _clock(self, running: bool) -> None:
        self._begun = monotonic()
        self.send(TimerSignal(running))

    def do(self, task: ClipTask) -> TaskResult:
        """One task."""
        try:
            return self._inspect(task.job) if task.kind == "inspect" else self._process(task)
        except UserError as error:
            return TaskResult(error=error)

    def _inspect(self, job: Job) -> TaskResult:
        self._clock(running=True)
        from demo.video.reader import probe

        orders = self._orders
        seconds = probe(job.clip).duration
        # Only where there is something to compare, since it means reading the whole clip.
        if orders.overwrite or not ClipPaths.of(job.clip, job.folder).summary.exists():
            return TaskResult(seconds=seconds)
        report = ClipJob.open([job.clip], job.folder, orders.settings, orders.models).load_finished()
        return TaskResult(report, seconds)

    def _process(self, task: ClipTask) -> TaskResult:
        from demo.pipeline import process

        if not self._networks.set_level(task.level):
            return TaskResult(crash="not enough memory, however small the batches")
        self._clock(running=True)
        orders, job = self._orders, task.job
        report = process(
            *(job.clip, job.folder, orders.settings, self._networks, self._progress),
            overwrite=orders.overwrite,
            wait=task.wait,
        )
        return TaskResult(report, took=monotonic() - self._begun)

    def _progress(self, stage: str, done: int, total: int) -> None:
        if monotonic() - self._said > _TICK:
            self._said = monotonic()
            self.send((stage, done, total))

    @contextmanager
    def _loading(self) -> Iterator[None]:
        self._clock(running=False)
        yield
        self._clock(running=True)


if __name__ == "__main__":
    main()
