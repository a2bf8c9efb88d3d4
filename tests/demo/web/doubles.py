"""Workers and queues for tests without networks and without Gradio."""

from __future__ import annotations

import threading
from pathlib import Path
from time import sleep

from common.errors import NotAVideo
from demo.batch.run import RetryPolicy
from demo.batch.worker import TaskResult
from demo.results.job import ClipReport
from demo.results.outputs import ClipPaths
from demo.web.folders import ServerFolders
from demo.web.jobs import ClipQueue


class Clock:
    """A clock that tests set."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class ScriptedWorker:
    """Inspects by content, and processes when the test lets it: `go` is released once a clip.

    A clip that holds "bad" is no video, "crash" ends in a crash of the process, "raise" raises.
    """

    made: list[ScriptedWorker]
    go: threading.Semaphore
    started: threading.Semaphore

    def __init__(self, config):
        self.closed = False
        self.seen = []
        self.made.append(self)

    def run(self, task, timeout, progress=None):
        content = task.job.clip.read_text()
        if self.closed:
            return TaskResult(crash="stopped")
        if task.kind == "inspect":
            error = NotAVideo(f"{task.job.clip} is no video") if "bad" in content else None
            return TaskResult(seconds=2.0, error=error)
        self.seen.append(content)
        task.job.folder.mkdir(exist_ok=True)
        (task.job.folder / ".half.part").write_text("half")
        progress("analyse", 1, 4)
        self.started.release()
        while not self.go.acquire(timeout=0.01):
            if self.closed:
                return TaskResult(crash="the process was ended by SIGKILL", short_of_memory=True)
        if "raise" in content:
            raise ValueError("surprise")
        if "crash" in content:
            return TaskResult(crash=f"{task.job.clip}: crashed")
        paths = ClipPaths.of(task.job.clip, task.job.folder)
        for path in (paths.result, paths.summary):
            path.write_text(content)
        return TaskResult(
            ClipReport(task.job.clip, paths, 1, 60, 2.0, ("a note",), None, (), (), from_cache=False),
            took=1.0,
        )

    def close(self):
        self.closed = True


class Workers:
    """A queue over scripted workers, in a folder of the test."""

    def __init__(self, root: Path, keep: float = 3600.0):
        class Worker(ScriptedWorker):
            made: list = []  # noqa: RUF012 (one list a test)
            go, started = threading.Semaphore(0), threading.Semaphore(0)

        self.kind, self.clock = Worker, Clock()
        self.folders = ServerFolders(root / "server", 1000)
        self.queue = ClipQueue(None, self.folders, keep, RetryPolicy(retries=1), Worker, self.clock)

    def upload(self, name: str, content: str = "clip") -> Path:
        """An uploaded file, where Gradio puts it."""
        path = self.folders.uploads / f"hash-{len(list(self.folders.uploads.iterdir()))}" / name
        path.parent.mkdir()
        path.write_text(content)
        return path

    def wait_for_start(self):
        assert self.kind.started.acquire(timeout=10)

    def finish(self, number: str, times: int = 1):
        """Let `times` tries end, and wait until the clip has ended."""
        for _ in range(times):
            self.kind.go.release()
        wait_until(lambda: self.queue.get(number).state not in ("waiting", "running"))


def wait_until(condition, seconds=10):
    """Wait for what another thread does."""
    for _ in range(100 * seconds):
        if condition():
            return
        sleep(0.01)
    raise AssertionError(f"it did not happen in {seconds} s")
