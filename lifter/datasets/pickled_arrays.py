"""Read object arrays in npz files without running code from the file.

Pose data sets store dicts of arrays as pickles inside an npz. numpy reads them with `allow_pickle=True`,
which runs any code in the file. The reader below accepts containers, numbers, strings and arrays of numbers,
and refuses everything else.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.lib import format as npy

from common.errors import DataError

_NUMBERS = "biuf"  # kinds of dtypes that are kept
# Exceptions for damaged or hostile files, listed since a bare Exception would hide errors of ours.
_BROKEN = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    NotImplementedError,  # compression methods
    RuntimeError,  # encrypted archives, endless nesting
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    MemoryError,
    OverflowError,
    ImportError,
    OSError,
)


def read_npz(path: Path) -> dict[str, Any]:
    """Read an npz: arrays of numbers, and pickled object arrays of shape () as their object.

    Objects are nested dicts, lists, tuples, strings, numbers and arrays of numbers.

    Raises:
        DataError: the file is no npz, is damaged, or has other content.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                name.removesuffix(".npy"): _read_member(archive, name)
                for name in archive.namelist()
                if name.endswith(".npy")
            }
    except _BROKEN as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise DataError(
            f"{path}: cannot be read ({reason}): damaged or no npz of poses; get it again"
        ) from error


def _read_member(archive: zipfile.ZipFile, name: str) -> Any:
    with archive.open(name) as stream:
        header = npy.read_array_header_1_0 if npy.read_magic(stream)[0] == 1 else npy.read_array_header_2_0
        shape, _, dtype = header(stream)
        if dtype.hasobject:
            whole = _finish(_NumbersUnpickler(stream).load())
            return whole.item() if shape == () else whole
    with archive.open(name) as stream:
        return npy.read_array(stream, allow_pickle=False)


class _NumbersUnpickler(pickle.Unpickler):
    """Unpickles containers, numbers, strings and placeholders of arrays. It never imports anything."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream, encoding="latin1")  # Python 2 wrote the bytes of arrays as strings

    def find_class(self, module: str, name: str) -> Any:
        """Return our stand-in for a class in numpy's pickles. Raises `UnpicklingError` for any other."""
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("numpy", "ndarray"): _Array,
            ("numpy", "dtype"): _Dtype,
            ("_codecs", "encode"): lambda text, _encoding: text.encode("latin1"),
            ("collections", "OrderedDict"): OrderedDict,
        }
        for core in ("numpy.core", "numpy._core"):
            known[f"{core}.multiarray", "_reconstruct"] = lambda *_arguments: _Array()
            known[f"{core}.multiarray", "scalar"] = _scalar
            known[f"{core}.numeric", "_frombuffer"] = _from_buffer
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it wants to run {module}.{name}, which no poses need")
        return known[module, name]


class _Dtype:
    """A pickled dtype: a code such as "f4", and the byte order in the state."""

    def __init__(self, code: str, *_options: object) -> None:
        self.code = code
        self.order: Literal["<", ">", "=", "|"] = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    @property
    def is_object(self) -> bool:
        """Whether elements are Python objects."""
        return self.code.startswith("O")

    def numbers(self) -> np.dtype[Any]:
        """Return the dtype. Raises ValueError if it is not numeric."""
        dtype = np.dtype(self.code)
        if dtype.kind not in _NUMBERS:
            raise ValueError(f"arrays of {self.code}")
        return dtype if self.order == "|" else dtype.newbyteorder(self.order)


class _Array:
    """A pickled array; `_finish` builds the real one."""

    state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def finish(self) -> np.ndarray[Any, Any]:
        _version, shape, dtype, fortran, data = self.state
        if dtype.is_object:
            array = np.empty(len(data), dtype=object)
            array[:] = [_finish(each) for each in data]
            return array.reshape(shape, order="F" if fortran else "C")
        raw = data.encode("latin1") if isinstance(data, str) else data
        flat = np.frombuffer(bytearray(raw), dtype.numbers())  # a bytearray makes the array writable
        return flat.reshape(shape, order="F" if fortran else "C")


def _from_buffer(data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array.state = (5, shape, dtype, order == "F", data)
    return array


def _scalar(dtype: _Dtype, data: bytes | str) -> Any:
    raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
    return np.frombuffer(raw, dtype.numbers(), count=1)[0]


def _finish(tree: Any) -> Any:
    """Replace the placeholders of arrays in nested containers by arrays."""
    if isinstance(tree, _Array):
        return tree.finish()
    if isinstance(tree, dict):
        return {key: _finish(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_finish(value) for value in tree)
    return tree
