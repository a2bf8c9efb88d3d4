"""Clips in a process of their own: a crash or a hang costs one clip, and the networks stay loaded.

`Worker` is the parent's side. Parent and child exchange pickles over the child's
standard input and output. The child (`demo.batch.worker_main`) ends with its parent, however that ends.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from types import MappingProxyType
from typing import IO, Any, Literal

from common.errors import UserError
from demo.batch.folders import Job
from demo.models import ResolvedModels
from demo.results.job import ClipReport
from demo.settings import Settings
from demo.types import Progress

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class RunConfig:
    """What is the same for all clips of a run."""

    settings: Settings
    models: ResolvedModels
    overwrite: bool = False
    threads: int = 0  # of the networks on the CPU; 0: as PyTorch chooses


@dataclass(frozen=True)
class ClipTask:
    """One clip to inspect or to process.

    level: the fallback level to begin at, see `ModelLoader`. wait: see `demo.pipeline.process`.
    """

    kind: Literal["inspect", "process"]
    job: Job
    level: int = 0
    wait: float = 0.0


@dataclass(frozen=True)
class TaskResult:
    """What became of a task: a report, an error that explains itself, or a crash that may be tried again.

    seconds: the clip's length as its file declares it, where it was inspected.
    took: seconds spent on it, without loading networks.
    report: None after inspecting a clip that is not finished.
    """

    report: ClipReport | None = None
    seconds: float = 0.0
    took: float = 0.0
    error: UserError | None = None
    crash: str = ""
    details: str = ""  # where it crashed, for those who mend it
    short_of_memory: bool = False


@dataclass(frozen=True)
class TimerSignal:
    """The child says whether time counts as the clip's now."""

    running: bool


class Worker:
    """A child process that is started when it is needed, and again when it has died."""

    def __init__(self, orders: RunConfig, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        self.closed = False
        self._orders = orders
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._messages: SimpleQueue[Any] = SimpleQueue()

    def run(self, task: ClipTask, timeout: float | None, progress: Progress | None = None) -> TaskResult:
        """Has the child do a task; never raises because of what the child does.

        timeout: seconds for the clip alone: not for starting, loading networks or waiting for another run.
        """
        if self.closed:
            return TaskResult(crash="stopped")
        limit = None if timeout is None else timeout + max(task.wait, 0)
        try:
            self._send(task)
            deadline = None
            while True:
                left = None if deadline is None else max(deadline - monotonic(), 0)
                match self._messages.get(timeout=left):
                    case TaskResult() as outcome:
                        return outcome
                    case TimerSignal(running):
                        deadline = monotonic() + limit if running and limit is not None else None
                    case (str(stage), int(done), int(total)):
                        if progress is not None:
                            progress(stage, done, total)
                    case _:
                        return self._died()
        except Empty:
            self._end(patience=0)
            return TaskResult(crash=f"took longer than {timeout:g} s")
        except OSError:
            return self._died()

    def close(self) -> None:
        """Ends the child at once, also from another thread than the one that waits for it."""
        self.closed = True
        if (process := self._process) is not None:
            process.kill()
            process.wait()

    def _send(self, what: object) -> None:
        if self._process is None:
            self._process = self._started()
            self._send(self._orders)
        assert self._process.stdin is not None
        pickle.dump(what, self._process.stdin)
        self._process.stdin.flush()

    def _started(self) -> subprocess.Popen[bytes]:
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, **self._environment, "PYTHONPATH": os.pathsep.join(paths)}
        if self._orders.threads:
            environment["OMP_NUM_THREADS"] = str(self._orders.threads)
        # -P: a file of the user's that is named like a module must not be imported.
        command = [sys.executable, "-P", "-m", "demo.batch.worker_main"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        assert process.stdout is not None
        self._messages = SimpleQueue()
        threading.Thread(target=_receive, args=(process.stdout, self._messages), daemon=True).start()
        return process

    def _died(self) -> TaskResult:
        status = self._end(patience=1)
        if status >= 0:
            return TaskResult(crash=f"the process ended with status {status}")
        name = signal.Signals(-status).name
        # Linux ends in this way whom it finds using too much memory.
        return TaskResult(crash=f"the process was ended by {name}", short_of_memory=name == "SIGKILL")

    def _end(self, patience: float) -> int:
        """Forgets the child, which has `patience` seconds to end by itself; its exit status."""
        process, self._process = self._process, None
        assert process is not None
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        return process.wait()


def _receive(stream: IO[bytes], messages: SimpleQueue[Any]) -> None:
    """Child's messages -> queue; None at their end."""
    with stream, suppress(EOFError, OSError, pickle.UnpicklingError):  # all: the child is no more
        while True:
            messages.put(pickle.load(stream))
    messages.put(None)
