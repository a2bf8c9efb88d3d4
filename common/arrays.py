"""Read npz files within limits: the arrays may not claim more than their members hold."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from common.files import require_file

MOST_BYTES = 32 << 30  # of all arrays of a file; an hour of ten people at 60 frames/s takes 2 GB

# The exceptions that damaged or hostile npz files raise, beside `InputMissing`.
BROKEN = (
    OSError,
    ValueError,  # includes json's errors
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    MemoryError,
    OverflowError,
    RuntimeError,  # encrypted members, endless nesting of JSON; includes NotImplementedError
    SyntaxError,  # headers of arrays are Python literals
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
)


@contextmanager
def open_arrays(path: Path) -> Iterator[Arrays]:
    """Open an npz without pickled objects.

    Raises:
        InputMissing: there is no such file. The errors of `BROKEN`: it is no such npz.
    """
    with zipfile.ZipFile(require_file(path)) as archive:
        yield Arrays(archive)


class Arrays:
    """The arrays of an open npz, by name; each is read when it is asked for."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._left = MOST_BYTES
        self.names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        """Read an array. Raises KeyError where there is none, ValueError where its size is a lie."""
        info = self._archive.getinfo(f"{name}.npy")
        self._left -= info.file_size
        with self._archive.open(info) as stream:
            shape, dtype = read_header(stream)
            held = info.file_size - stream.tell()
        if math.prod(shape) * dtype.itemsize != held or self._left < 0:
            raise ValueError(f"{name} claims to be {shape} of {dtype}, and has {held} bytes")
        with self._archive.open(info) as stream:
            return npy.read_array(stream, allow_pickle=False)

    def read_all(self) -> dict[str, np.ndarray[Any, Any]]:
        """Read all arrays."""
        return {name: self[name] for name in self.names}


def read_header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return an array's shape and dtype; the stream is then at its data."""
    major, _ = npy.read_magic(stream)
    header = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
    shape, _, dtype = header(stream)
    return shape, dtype
