"""The child of `demo.batch.worker`: receives a config, then tasks until the parent has ended."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from time import monotonic
from typing import IO, Any

from common.errors import UserError
from common.scratch import remove_scratch, use_scratch
from demo.batch.folders import Job
from demo.batch.worker import ClipTask, RunConfig, TaskResult, TimerSignal
from demo.models import ModelLoader, out_of_memory
from demo.results.job import ClipJob
from demo.results.outputs import ClipPaths

_TICK = 0.1  # seconds between two progress messages


def main() -> None:
    """Answer every task with progress messages and a `TaskResult`."""
    # Only messages may reach the pipe: what libraries print goes to standard error.
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    use_scratch()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends the child
    inbox: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(inbox,), daemon=True).start()
    child = _Child(inbox.get(), pipe)
    with ThreadPoolExecutor(1) as pool:
        while True:
            child.send(_answer(pool, child, inbox.get()))


def _listen(inbox: SimpleQueue[Any]) -> None:
    try:
        while True:
            inbox.put(pickle.load(sys.stdin.buffer))
    finally:  # the parent has ended: abandon the current clip
        remove_scratch(os.getpid())
        os._exit(0)


def _answer(pool: Executor, child: _Child, task: ClipTask) -> TaskResult:
    """Run a task. Every exception becomes the result of this clip only."""
    work = pool.submit(child.do, task)
    error = work.exception()
    if error is None:
        return work.result()
    reason = " ".join(str(error).split())[:300]
    return TaskResult(
        crash=f"unexpected {type(error).__name__}: {reason}",
        details="".join(traceback.format_exception(error)),
        short_of_memory=out_of_memory(error),
    )


class _Child:
    def __init__(self, config: RunConfig, pipe: IO[bytes]) -> None:
        self._config = config
        self._pipe = pipe
        self._reported = self._begun = 0.0
        self._networks = ModelLoader(config.models, config.settings, self._loading)

    def send(self, message: object) -> None:
        """Send a message to the parent."""
        pickle.dump(message, self._pipe)
        self._pipe.flush()

    def _clock(self, running: bool) -> None:
        self._begun = monotonic()
        self.send(TimerSignal(running))

    def do(self, task: ClipTask) -> TaskResult:
        """Run one task; an error for the user becomes its result."""
        try:
            return self._inspect(task.job) if task.kind == "inspect" else self._process(task)
        except UserError as error:
            return TaskResult(error=error)

    def _inspect(self, job: Job) -> TaskResult:
        self._clock(running=True)
        from demo.video.reader import probe

        config = self._config
        seconds = probe(job.clip).duration
        # Hashing reads the whole clip, so it is done only where a summary exists to compare with.
        if config.overwrite or not ClipPaths.of(job.clip, job.folder).summary.exists():
            return TaskResult(seconds=seconds)
        report = ClipJob.open([job.clip], job.folder, config.settings, config.models).load_finished()
        return TaskResult(report, seconds)

    def _process(self, task: ClipTask) -> TaskResult:
        from demo.pipeline import process

        if not self._networks.set_level(task.level):
            return TaskResult(crash="not enough memory, however small the batches")
        self._clock(running=True)
        config, job = self._config, task.job
        report = process(
            *(job.clip, job.folder, config.settings, self._networks, self._progress),
            overwrite=config.overwrite,
            wait=task.wait,
        )
        return TaskResult(report, took=monotonic() - self._begun)

    def _progress(self, stage: str, done: int, total: int) -> None:
        if monotonic() - self._reported > _TICK:
            self._reported = monotonic()
            self.send((stage, done, total))

    @contextmanager
    def _loading(self) -> Iterator[None]:
        self._clock(running=False)
        yield
        self._clock(running=True)


if __name__ == "__main__":
    main()
