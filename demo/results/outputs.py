"""The files of one clip: their names, whether they are finished, and who may write them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from common.errors import OutputError
from demo.settings import Settings

_LONGEST_STEM = 150  # bytes; file systems allow 255, and temporary names are longer than final ones


class InUse(OutputError):
    """Another run is writing the outputs of this clip at this moment."""


@dataclass(frozen=True)
class ClipPaths:
    """The files of one clip."""

    folder: Path
    video: Path
    result: Path
    summary: Path
    analysis: Path
    lock: Path

    @staticmethod
    def of(clip: Path, folder: Path) -> ClipPaths:
        """Their names, from the clip's."""
        stem = _short(clip.stem or "clip")
        return ClipPaths(
            folder,
            folder / f"{stem}_3d.mp4",
            folder / f"{stem}.npz",
            folder / f"{stem}.json",
            folder / f".{stem}.analysis.npz",
            folder / f".{stem}.lock",
        )


@dataclass(frozen=True)
class ClipReport:
    """What became of one clip. `notes` are lines for the user; `damage` says why the clip ended early."""

    clip: Path
    outputs: ClipPaths
    people: int
    frames: int
    seconds: float
    notes: tuple[str, ...]
    damage: str | None
    networks: tuple[str, ...]  # those in use, by their names
    repeated: bool  # False when everything was there already

    @staticmethod
    def of(clip: Path, outputs: ClipPaths, summary: dict[str, Any], repeated: bool) -> ClipReport:
        """From the summary of a finished clip."""
        return ClipReport(
            clip,
            outputs,
            len(summary["people"]),
            summary["frames"],
            summary["seconds"],
            tuple(summary["notes"]),
            summary["damage"],
            tuple(Path(weight["name"]).name for weight in summary["weights"]),
            repeated,
        )


def finished(outputs: ClipPaths, fingerprint: str, settings: Settings) -> dict[str, Any] | None:
    """The summary of a finished clip with this fingerprint whose files are all there, or None."""
    summary = _summary(outputs)
    if summary is None or summary.get("fingerprint") != fingerprint:
        return None
    try:
        return summary if summary.get("files") == file_sizes(outputs, settings) else None
    except OSError:
        return None


def is_stale(outputs: ClipPaths, fingerprint: str) -> bool:
    """Whether the folder holds a finished clip with another fingerprint."""
    summary = _summary(outputs)
    return summary is not None and summary.get("fingerprint") != fingerprint


def _summary(outputs: ClipPaths) -> dict[str, Any] | None:
    try:
        summary = json.loads(outputs.summary.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return summary if isinstance(summary, dict) else None


def file_sizes(outputs: ClipPaths, settings: Settings) -> dict[str, int]:
    """Name -> bytes of the files that a finished clip consists of, beside its summary."""
    made = [outputs.result] + ([outputs.video] if settings.render else [])
    return {path.name: path.stat().st_size for path in made}


@contextmanager
def claim(outputs: ClipPaths, wait: float = 0.0) -> Iterator[None]:
    """The right to write the outputs, for one process at a time; what a killed run left is cleared away.

    The lock is the operating system's, so it ends with the process that holds it, however that ends.

    Args:
        wait: seconds to wait for another run to finish this clip; below 0 for as long as it takes.

    Raises:
        InUse: another run holds it. OutputError: the folder cannot be written.
    """
    lock = FileLock(outputs.lock)
    try:
        outputs.folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=wait, poll_interval=0.2)
    except Timeout as error:
        raise InUse(f"{outputs.folder}: another run is working on this clip; wait for it to end") from error
    except OSError as error:
        raise OutputError(f"{outputs.folder}: cannot be written ({error.strerror or error})") from error
    try:
        _remove_leftovers(outputs)
        yield
    finally:
        with suppress(OSError):  # Windows does not remove open files: an empty hidden file stays
            outputs.lock.unlink()
        lock.release()
        with suppress(OSError):  # only an empty folder goes: one in which nothing came about
            outputs.folder.rmdir()


def settle(outputs: ClipPaths, settings: Settings) -> None:
    """Waits until the files are on the disk: the summary vouches for them, after a power loss too."""
    for name in file_sizes(outputs, settings):
        try:
            with (outputs.folder / name).open("rb+") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"{outputs.folder / name}: cannot be written ({error.strerror})") from error


def _remove_leftovers(outputs: ClipPaths) -> None:
    """Temporary files of this clip. The lock is held, so nobody is writing them."""
    stem = re.escape(outputs.summary.stem)
    # As `common.files.replace_file` and `demo.video.writer.VideoWriter` name them.
    mine = [rf"\.(\.{stem}\.analysis|{stem})\.\d+\.part\.\w+"]
    try:
        names = [path.name for path in outputs.folder.iterdir()]
        if all(name == outputs.lock.name for name in names if name.endswith(".lock")):
            # A video's temporary name has only the stem's beginning, which another clip may share.
            mine.append(rf"\.{re.escape(outputs.video.stem[:50])}-[0-9a-f]{{8}}\.part")
        for name in names:
            if re.fullmatch("|".join(mine), name):
                (outputs.folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{outputs.folder}: cannot be written ({error.strerror})") from error


def _short(stem: str) -> str:
    """The stem, or one that fits file systems: its beginning and a hash of all of it."""
    encoded = os.fsencode(stem)
    if len(encoded) <= _LONGEST_STEM:
        return stem
    beginning = encoded[:_LONGEST_STEM].decode(errors="ignore")
    return f"{beginning}-{hashlib.sha256(encoded).hexdigest()[:8]}"
