"""Atomic writing of files, and their hashes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from common.errors import InputMissing, OutputError


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
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
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


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 lower-case hex digits.

    Raises:
        InputMissing: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputMissing(f"{path}: cannot be read ({error.strerror})") from error
