"""Files that a user names: which may be opened, and writing and hashing them."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from common.errors import InputMissing, OutputError
from common.text import printable

ZIP_START = b"PK\x03\x04"


def _mode(path: Path) -> int:
    """Return the type of what a path leads to, 0 where nothing can be reached.

    `Path.exists` and its like raise for names that the system refuses: too long, or below a closed folder.
    """
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return 0


def exists(path: Path) -> bool:
    """Return whether a path leads to anything that can be reached."""
    return _mode(path) != 0


def is_folder(path: Path) -> bool:
    """Return whether a path leads to a folder."""
    return stat.S_ISDIR(_mode(path))


def is_file(path: Path) -> bool:
    """Return whether a path leads to a regular file, not to a device or a FIFO, which may never end."""
    return stat.S_ISREG(_mode(path))


def require_file(path: Path, what: str = "file") -> Path:
    """Return `path` if it is a regular file.

    Raises:
        InputMissing: there is none, or it is a folder, a device or a FIFO.
    """
    if is_file(path):
        return path
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputMissing(f"the {what} {printable(path)} does not exist ({printable(reason)})") from error
    kind = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
    raise InputMissing(f"the {what} {printable(path)} cannot be read: it is {kind}")


def expand_user(path: Path | str) -> Path:
    """Replace a leading `~`; a user who does not exist is left as it is written."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on a clean exit it is renamed to `path`, else removed.

    The temporary name ends with the same suffix, so that writers that choose a format by suffix work.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{printable(path)}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a strict JSON file (no NaN, no Infinity), whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
    with replace_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def file_state(path: Path) -> tuple[int, int, int] | None:
    """Return what changes with a file's content: size, time of change, inode; None if there is no file."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def sha256(path: Path) -> str:
    """Return the SHA-256 of a regular file's content as 64 lower-case hex digits.

    Raises:
        InputMissing: there is no such file, or it cannot be read.
    """
    try:
        with require_file(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputMissing(f"{printable(path)}: cannot be read ({error.strerror})") from error
