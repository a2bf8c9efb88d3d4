"""The queue of the server: one clip at a time, in the worker that folders use."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Literal

from common.errors import UserError
from common.text import printable
from demo.batch.folders import Job
from demo.batch.run import RetryPolicy, attempt
from demo.batch.worker import ClipTask, RunConfig, Worker
from demo.web.folders import ClipFolder, ServerFolders
from demo.web.progress import FIRST_PARTS, Progress, ProgressMeter

log = logging.getLogger(__name__)

State = Literal["waiting", "running", "done", "failed", "cancelled"]
MOST_WAITING = 100  # clips of all users together
INSPECT_SECONDS = 60.0  # time-out of inspecting an uploaded file
CLEAN_EVERY = 30.0  # seconds between two looks for old clips


@dataclass(frozen=True)
class Clip:
    """A clip on the server at one moment.

    Attributes:
        number: the id, which cannot be guessed: who knows it may see and cancel the clip.
        seconds: the clip's length, 0 when its file does not say.
        why: what went wrong, "" when nothing did.
        notes: lines about the result.
        ended: when it was done, failed or cancelled, in the queue's clock.
        took: seconds of processing, None before the end.
    """

    number: str
    folder: ClipFolder
    seconds: float
    state: State = "waiting"
    why: str = ""
    notes: tuple[str, ...] = ()
    ended: float | None = None
    took: float | None = None

    @property
    def active(self) -> bool:
        """Whether the clip waits or is processed."""
        return self.state in ("waiting", "running")


class ClipQueue:
    """Clips in the order in which they came. Every method may be called from any thread.

    Args:
        keep: seconds after which a clip that has ended is removed.
        new_worker: makes a worker; one processes, another inspects what is uploaded.
        clock: seconds.
    """

    def __init__(
        self,
        config: RunConfig,
        folders: ServerFolders,
        keep: float,
        retry: RetryPolicy,
        new_worker: Callable[[RunConfig], Worker] = Worker,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._config, self._folders, self._keep, self._retry = config, folders, keep, retry
        self._new_worker, self._clock = new_worker, clock
        self._clips: dict[str, Clip] = {}  # in the order of their arrival
        self._changed = threading.Condition()
        self._inspecting = threading.Lock()
        self._worker, self._inspector = new_worker(config), new_worker(config)
        self._parts: Mapping[str, float] = FIRST_PARTS
        self._meter = ProgressMeter(self._parts, clock)
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="clips", daemon=True)

    def __enter__(self) -> ClipQueue:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """End the clip in progress and remove all folders."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._worker.close()
        self._inspector.close()
        self._thread.join()
        self._folders.remove()

    def add(self, upload: Path) -> Clip:
        """Inspect an uploaded file and put it into the queue.

        Raises:
            UserError: it is no clip, or too large, or too many clips wait.
        """
        number, folder = self._folders.adopt(upload)
        try:
            self._check_room(folder.name)
            clip = Clip(number, folder, self._inspect(folder))
            with self._changed:
                self._check_room(folder.name)
                self._clips[number] = clip
                self._changed.notify_all()
        except BaseException:
            folder.remove()
            raise
        return clip

    def get(self, number: str) -> Clip | None:
        """Return a clip, None if there is none with this id (any more)."""
        with self._changed:
            return self._clips.get(number)

    def progress(self, number: str) -> Progress:
        """Return the progress of a clip; that of the beginning unless it is being processed."""
        with self._changed:
            clip = self._clips.get(number)
            return self._meter.progress() if clip and clip.state == "running" else Progress()

    def ahead(self, number: str) -> int:
        """Return how many clips are processed before this one, that in progress included."""
        with self._changed:
            active = [clip.number for clip in self._clips.values() if clip.active]
            return active.index(number) if number in active else 0

    def cancel(self, number: str) -> None:
        """Take a clip out of the queue, or kill its processing; its folder is removed."""
        with self._changed:
            clip = self._clips.get(number)
            if clip is None or not clip.active:
                return
            self._end(number, "cancelled")
            if clip.state == "running":
                self._worker.close()  # the serving thread goes on with a new one, and removes the folder
            else:
                clip.folder.remove()

    def clean(self) -> None:
        """Remove clips that ended long ago, and uploads that were never used."""
        with self._changed:
            old = [
                clip for clip in self._clips.values()
                if clip.ended is not None and self._clock() - clip.ended >= self._keep
            ]  # fmt: skip
            for clip in old:
                del self._clips[clip.number]
        for clip in old:
            clip.folder.remove()
        self._folders.remove_uploads(self._keep, self._clock())

    def _check_room(self, name: str) -> None:
        with self._changed:
            if sum(clip.active for clip in self._clips.values()) >= MOST_WAITING:
                raise UserError(f"{name}: {MOST_WAITING} clips wait already; try again later")

    def _inspect(self, folder: ClipFolder) -> float:
        """Return the clip's length in seconds.

        Raises:
            UserError: the file is no clip.
        """
        task = ClipTask("inspect", Job(folder.clip, folder.results))
        with self._inspecting:
            result = self._inspector.run(task, INSPECT_SECONDS)
        if result.error is not None or result.crash:
            raise UserError(_line(result.error or f"cannot be read: {result.crash}", folder))
        return result.seconds

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._next() is not None, CLEAN_EVERY)
                if self._closing:
                    return
                clip = self._next()
                if clip is not None:
                    if self._worker.closed:  # by the clip before, which was cancelled
                        self._worker = self._new_worker(self._config)
                    clip = self._replace(clip.number, state="running")
                    self._meter = ProgressMeter(self._parts, self._clock)
            with suppress(OSError):
                self.clean()
            if clip is not None:
                self._process(clip)

    def _next(self) -> Clip | None:
        return next((clip for clip in self._clips.values() if clip.state == "waiting"), None)

    def _process(self, clip: Clip) -> None:
        """Process a clip, whatever happens; what remains of a clip that has no result is removed."""
        meter, worker = self._meter, self._worker

        def progress(stage: str, done: int, total: int) -> None:
            with self._changed:
                meter.update(stage, done, total)
                if not self._is_wanted(clip.number):  # cancelled while its worker was being started
                    worker.close()

        folder = clip.folder
        begun = self._clock()
        try:
            task = ClipTask("process", Job(folder.clip, folder.results))
            row = attempt(worker, task, self._retry, progress)
            if row.status in ("done", "damaged"):
                folder.pack()
            state: State = "done" if row.status in ("done", "damaged") else "failed"
            why, notes = row.why, row.notes
        except UserError as error:
            state, why, notes = "failed", str(error), ()
        except Exception as error:
            log.info("unexpected error", exc_info=error)
            state, why, notes = "failed", f"unexpected {type(error).__name__}: {error}", ()
        with self._changed:
            wanted = self._is_wanted(clip.number)
            if wanted:
                took = self._clock() - begun
                self._end(clip.number, state, why=_line(why, folder), notes=notes, took=took)
                if state == "done":
                    self._parts = meter.measured_parts()
        if not wanted or state == "failed":
            folder.remove()

    def _is_wanted(self, number: str) -> bool:
        return not self._closing and number in self._clips and self._clips[number].state == "running"

    def _end(self, number: str, state: State, **fields: object) -> None:
        self._replace(number, state=state, ended=self._clock(), **fields)

    def _replace(self, number: str, **fields: object) -> Clip:
        self._clips[number] = replace(self._clips[number], **fields)  # type: ignore[arg-type]
        return self._clips[number]


def _line(why: object, folder: ClipFolder) -> str:
    """Return a reason as one line, with names of files instead of paths of the server."""
    line = printable(" ".join(str(why).split()))
    for path in (folder.clip, folder.results, folder.path):
        line = line.replace(str(path), folder.name)
    return line
