"""Run clips in a child process: a crash or a hang fails one clip only, and the networks stay loaded.

`Worker` is the parent's side. Parent and child exchange pickles over the child's standard input and output.
The child (`demo.batch.worker_main`) exits when its parent does, even if that was killed.
"""

from __future__ import annotations

import logging
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
from common.scratch import remove_scratch
from demo.batch.folders import Job
from demo.models import ResolvedModels
from demo.results.job import ClipReport
from demo.settings import Settings
from demo.types import Progress

log = logging.getLogger(__name__)
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class RunConfig:
    """The configuration that all clips of a run share."""

    settings: Settings
    models: ResolvedModels
    overwrite: bool = False
    threads: int = 0  # CPU threads of the networks; 0: PyTorch's default


@dataclass(frozen=True)
class ClipTask:
    """One clip to inspect or to process.

    Attributes:
        level: the fallback level to begin at, see `ModelLoader`.
        wait: see `demo.pipeline.process`.
    """

    kind: Literal["inspect", "process"]
    job: Job
    level: int = 0
    wait: float = 0.0


@dataclass(frozen=True)
class TaskResult:
    """The result of a task: a report, an error for the user, or a crash that may be retried.

    Attributes:
        report: None after inspecting a clip that is not finished.
        seconds: the clip's length as its file declares it, when it was inspected.
        took: seconds of processing, without loading networks.
        error: the error for the user.
        crash: what ended the task, "" when nothing did.
        details: the traceback of the crash, for debugging.
        short_of_memory: memory ran out.
    """

    report: ClipReport | None = None
    seconds: float = 0.0
    took: float = 0.0
    error: UserError | None = None
    crash: str = ""
    details: str = ""
    short_of_memory: bool = False


@dataclass(frozen=True)
class TimerSignal:
    """A message of the child that starts or stops the clip's time-out."""

    running: bool


class Worker:
    """A child process that is started on demand, and restarted after it died."""

    def __init__(self, config: RunConfig, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        self.closed = False
        self._config = config
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._messages: SimpleQueue[Any] = SimpleQueue()

    def run(self, task: ClipTask, timeout: float | None, progress: Progress | None = None) -> TaskResult:
        """Run a task in the child. A failure of the child is a result, never an exception.

        Args:
            timeout: seconds for the clip, without starting, loading networks and waiting for another run.
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
                    case TaskResult() as result:
                        return result
                    case TimerSignal(running):
                        deadline = monotonic() + limit if running and limit is not None else None
                    case (str(stage), int(done), int(total)):
                        if progress is not None:
                            progress(stage, done, total)
                    case _:
                        return self._died()
        except Empty:
            self._end(grace=0)
            return TaskResult(crash=f"took longer than {timeout:g} s")
        except _NotStarted as error:
            return TaskResult(crash=str(error))
        except OSError:
            return self._died()

    def close(self) -> None:
        """Kill the child. May be called while another thread waits in `run`."""
        self.closed = True
        if (process := self._process) is not None:
            process.kill()
            process.wait()
            remove_scratch(process.pid)

    def _send(self, what: object) -> None:
        if self._process is None:
            self._process = self._started()
            self._send(self._config)
        assert self._process.stdin is not None
        pickle.dump(what, self._process.stdin)
        self._process.stdin.flush()

    def _started(self) -> subprocess.Popen[bytes]:
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, **self._environment, "PYTHONPATH": os.pathsep.join(paths)}
        if self._config.threads:
            environment["OMP_NUM_THREADS"] = str(self._config.threads)
        # -P: a file in the working folder that is named like a module must not be imported.
        command = [sys.executable, "-P", "-m", "demo.batch.worker_main"]
        process = None
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
            assert process.stdout is not None
            self._messages = SimpleQueue()
            threading.Thread(target=_receive, args=(process.stdout, self._messages), daemon=True).start()
        except (OSError, RuntimeError, MemoryError) as error:  # no processes, file handles or threads left
            if process is not None:
                process.kill()
            reason = getattr(error, "strerror", None) or error
            raise _NotStarted(f"a worker process cannot be started ({reason})") from error
        return process

    def _died(self) -> TaskResult:
        status = self._end(grace=1)
        if status >= 0:
            return TaskResult(crash=f"the process ended with status {status}")
        name = signal.Signals(-status).name
        # SIGKILL is how Linux ends a process when memory runs out.
        return TaskResult(crash=f"the process was ended by {name}", short_of_memory=name == "SIGKILL")

    def _end(self, grace: float) -> int:
        """Drop the child, kill it if it has not ended after `grace` seconds, and return its exit status."""
        process, self._process = self._process, None
        assert process is not None
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        status = process.wait()
        remove_scratch(process.pid)
        return status


def _receive(stream: IO[bytes], messages: SimpleQueue[Any]) -> None:
    """Put the child's messages into the queue, and None at their end."""
    try:
        with stream:
            while True:
                messages.put(pickle.load(stream))
    except Exception as error:  # their end, or bytes that are no message
        log.debug("the messages of a worker end", exc_info=error)
    finally:
        messages.put(None)


class _NotStarted(Exception):
    """The child cannot be started; the message holds the reason."""
