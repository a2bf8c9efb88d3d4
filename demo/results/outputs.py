"""The files of one clip: their names and their lock."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from common.errors import OutputError

_LONGEST_STEM = 150  # bytes; file systems allow 255, and temporary names are longer than final ones


class InUse(OutputError):
    """Another run is writing the outputs of this clip."""


@dataclass(frozen=True)
class ClipPaths:
    """The files of one clip."""

    folder: Path
    video: Path
    result: Path
    summary: Path
    lock: Path

    def analysis(self, view: int, views: int) -> Path:
        """Return the path of the cached analysis of one of `views` clips."""
        number = f".{view + 1}" if views > 1 else ""
        return self.folder / f".{self.summary.stem}{number}.analysis.npz"

    def patterns(self, video: bool, exports: Sequence[str]) -> list[str]:
        """Return shell patterns of the names that a run writes.

        Args:
            exports: endings of the exported files, as `demo.export.endings` lists them.
        """
        names = [self.summary.name, self.result.name, *([self.video.name] if video else [])]
        return [*map(glob.escape, names), *self.export_patterns(exports)]

    def export_patterns(self, exports: Sequence[str]) -> list[str]:
        """Return shell patterns of the names of exported files with these endings."""
        return [glob.escape(self.summary.stem) + ending for ending in exports]

    @staticmethod
    def of(clip: Path, folder: Path) -> ClipPaths:
        """Derive the paths from the clip's name."""
        stem = _short(clip.stem or "clip")
        return ClipPaths(
            folder,
            folder / f"{stem}_3d.mp4",
            folder / f"{stem}.npz",
            folder / f"{stem}.json",
            folder / f".{stem}.lock",
        )


@contextmanager
def lock_outputs(paths: ClipPaths, wait: float = 0.0) -> Iterator[None]:
    """Lock the outputs for one process at a time; remove temporary files of a killed run.

    The lock is the operating system's, so it is released even when its process is killed.

    Args:
        wait: seconds to wait for another run to finish this clip; below 0 for as long as it takes.

    Raises:
        InUse: another run holds it. OutputError: the folder cannot be written.
    """
    lock = FileLock(paths.lock)
    try:
        paths.folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=wait, poll_interval=0.2)
    except Timeout as error:
        raise InUse(f"{paths.folder}: another run is working on this clip; wait for it to end") from error
    except OSError as error:
        raise OutputError(f"{paths.folder}: cannot be written ({error.strerror or error})") from error
    try:
        _remove_leftovers(paths)
        yield
    finally:
        with suppress(OSError):  # Windows does not remove open files: an empty hidden file stays
            paths.lock.unlink()
        lock.release()
        with suppress(OSError):  # only an empty folder is removed
            paths.folder.rmdir()


def fsync(files: Sequence[Path]) -> None:
    """Wait until files are on the disk, so that they survive a power loss.

    Raises:
        OutputError: a file cannot be written.
    """
    for path in files:
        try:
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def _remove_leftovers(paths: ClipPaths) -> None:
    """Remove the temporary files of this clip. The lock is held, so no other process is writing them."""
    stem = re.escape(paths.summary.stem)
    # As `common.files.replace_file` and `demo.video.writer.VideoWriter` name them.
    mine = [rf"\.(\.{stem}(\.\d+)?\.analysis|{stem})\.\d+\.part\.\w+"]
    try:
        names = [path.name for path in paths.folder.iterdir()]
        if all(name == paths.lock.name for name in names if name.endswith(".lock")):
            # A video's temporary name has only the stem's beginning, which another clip may share.
            mine.append(rf"\.{re.escape(paths.video.stem[:50])}-[0-9a-f]{{8}}\.part")
        for name in names:
            if re.fullmatch("|".join(mine), name):
                (paths.folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{paths.folder}: cannot be written ({error.strerror})") from error


def _short(stem: str) -> str:
    """Return the stem, or its beginning and a hash of the whole where it is too long for file systems."""
    encoded = os.fsencode(stem)
    if len(encoded) <= _LONGEST_STEM:
        return stem
    beginning = encoded[:_LONGEST_STEM].decode(errors="ignore")
    return f"{beginning}-{hashlib.sha256(encoded).hexdigest()[:8]}"
