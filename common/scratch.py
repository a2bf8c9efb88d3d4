"""The program's own folder for temporary files: it never outlives its process for long.

A process that is killed cannot clean up. Its folder, whose name holds the process id, is removed by the
process that killed it, or by the next run on this machine.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from pathlib import Path

from common.errors import OutputError

_START = "motion-from-video-" + re.sub(r"[^\w.]", "_", os.uname().nodename if hasattr(os, "uname") else "")


def use_scratch() -> None:
    """Let every temporary file of this process lie in a folder that is removed when the process ends.

    Folders of processes that have ended are removed.

    Raises:
        OutputError: no folder for temporary files can be written.
    """
    try:
        remove_abandoned()
        folder = tempfile.mkdtemp(prefix=f"{_START}-{os.getpid()}-", dir=_root())
    except OSError as error:
        raise OutputError(
            f"no folder for temporary files can be written ({error.strerror or error}): set TMPDIR"
        ) from error
    tempfile.tempdir = folder
    os.environ["TMPDIR"] = folder  # for libraries in C: ONNX Runtime keeps a file of its session there
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def remove_scratch(process: int) -> None:
    """Remove the folder of a process, named by its id, that has ended or is about to."""
    for folder in _root().glob(f"{_START}-{process}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned() -> None:
    """Remove the folders of processes of this machine that have ended."""
    if os.name != "posix":
        return  # elsewhere a process cannot be asked for without risk
    for folder in _root().glob(f"{_START}-*-*"):
        number = folder.name.removeprefix(f"{_START}-").partition("-")[0]
        if number.isdecimal() and not _lives(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def _root() -> Path:
    """Return the system's folder for temporary files, also in a process that calls `use_scratch`."""
    folder = Path(tempfile.gettempdir())
    return folder.parent if folder.name.startswith(_START) else folder


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # of another user
    return not _has_ended(process)


def _has_ended(process: int) -> bool:
    """Return whether a process has ended and only its entry is left, until its parent asks for its status."""
    try:
        entry = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False  # not on Linux
    return entry.rpartition(")")[2].split()[0] in ("Z", "X")
