"""Read object arrays in npz files without running code from the file.

Pose data sets store dicts of arrays as pickles inside an npz. numpy reads them with `allow_pickle=True`,
which runs any code in the file. The reader below accepts containers, numbers, strings and arrays of numbers,
and refuses everything else.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from common.arrays import BROKEN, Arrays, read_header
from common.errors import DataError
from common.files import is_file
from common.pickles import MOST_BYTES, check_pickle
from common.text import printable

_NUMBERS = "biuf"  # kinds of dtypes that are kept
_BROKEN = (*BROKEN, pickle.UnpicklingError, ImportError)


def read_npz(path: Path) -> dict[str, Any]:
    """Read an npz: arrays of numbers, and pickled object arrays of shape () as their object.

    Objects are nested dicts, lists, tuples, strings, numbers and arrays of numbers.

    Raises:
        DataError: the file is no npz, is damaged, or has other content.
    """
    try:
        if not is_file(path):
            raise ValueError("not a regular file")
        with zipfile.ZipFile(path) as archive:
            arrays = Arrays(archive)
            return {name: _read_member(archive, arrays, name) for name in arrays.names}
    except _BROKEN as error:
        reason = printable((str(error).strip() or type(error).__name__).splitlines()[0][:120])
        raise DataError(
            f"{printable(path)}: cannot be read ({reason}): damaged or no npz of poses; get it again"
        ) from error


def _read_member(archive: zipfile.ZipFile, arrays: Arrays, name: str) -> Any:
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as stream:
        shape, dtype = read_header(stream)
        if not dtype.hasobject:
            return arrays[name]
        if info.file_size > MOST_BYTES:
            raise ValueError(f"{name} is too large")
        pickled = io.BytesIO(stream.read())
    check_pickle(pickled)
    pickled.seek(0)
    whole = _Finisher().finish(_NumbersUnpickler(pickled).load())
    return whole.item() if shape == () else whole


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
    """A pickled array; `_Finisher` builds the real one."""

    state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state


def _from_buffer(data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array.state = (5, shape, dtype, order == "F", data)
    return array


def _scalar(dtype: _Dtype, data: bytes | str) -> Any:
    raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
    return np.frombuffer(raw, dtype.numbers(), count=1)[0]


class _Finisher:
    """Replaces the placeholders of arrays in nested containers by arrays; visits every object once."""

    def __init__(self) -> None:
        # By the object's id, with the object, which must not be freed while its id is in use.
        self._finished: dict[int, tuple[Any, Any]] = {}

    def finish(self, tree: Any) -> Any:
        """Return the finished form of an object. Raises ValueError for one that contains itself."""
        if not isinstance(tree, _Array | dict | list | tuple):
            return tree
        if id(tree) in self._finished:
            finished = self._finished[id(tree)][1]
            if finished is None:
                raise ValueError("an object that contains itself")
            return finished
        self._finished[id(tree)] = tree, None
        finished = self._whole(tree)
        self._finished[id(tree)] = tree, finished
        return finished

    def _whole(self, tree: Any) -> Any:
        if isinstance(tree, dict):
            return {key: self.finish(value) for key, value in tree.items()}
        if isinstance(tree, list | tuple):
            return type(tree)(self.finish(value) for value in tree)
        _version, shape, dtype, fortran, data = tree.state
        if dtype.is_object:
            array = np.empty(len(data), dtype=object)
            array[:] = [self.finish(each) for each in data]
        else:
            raw = data.encode("latin1") if isinstance(data, str) else data
            array = np.frombuffer(bytearray(raw), dtype.numbers())  # a bytearray makes the array writable
        return array.reshape(shape, order="F" if fortran else "C")
