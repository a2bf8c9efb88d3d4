"""Read the tensors of a PyTorch checkpoint without executing code of the file.

Published checkpoints pickle more than weights: argument namespaces, numpy arrays, random states, log
histories. PyTorch's own safe mode (`weights_only=True`) then refuses the whole file. The reader below is the
second try. It replaces every global that the file names by an inert class, except for the few that tensors
need, and keeps the tensors only. It reads both layouts of `torch.save`: the zip archive, and the stream of
pickles that PyTorch wrote before 1.6.
"""

from __future__ import annotations

import contextlib
import pickle
import struct
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from common.errors import InputMissing, WeightsError

TensorTree = dict[str, Any]  # str -> Tensor | TensorTree

# The exceptions that unpickling damaged or hostile files raises. Ruff's BLE forbids a bare Exception.
_BROKEN = (
    pickle.UnpicklingError,
    RuntimeError,  # damaged archives, tensors beyond the end of their storage; includes RecursionError
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    EOFError,
    MemoryError,
    OverflowError,
    ImportError,
    OSError,
    struct.error,
    zipfile.BadZipFile,
    SafetensorError,
)
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "UntypedStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class _Storage:
    """A flat array of numbers; the legacy layout fills `data` after the pickle that refers to it."""

    def __init__(self, dtype: torch.dtype, data: Tensor) -> None:
        self.dtype = dtype
        self.data = data


def read_tensors(path: Path) -> TensorTree:
    """Read all tensors of a .safetensors file or a PyTorch checkpoint onto the CPU, in the file's nesting.

    Mappings become dicts with string keys. Everything that is neither a mapping nor a tensor is left out, and
    so are mappings without a tensor in them. A bare state dict is returned flat.

    Raises:
        InputMissing: there is no such file.
        WeightsError: the file is not a checkpoint, is damaged, or holds no tensor.
    """
    path = Path(path)
    if not path.is_file():
        raise InputMissing(f"the weights file {path} does not exist: check the path")
    try:
        found = _read(path)
    except _BROKEN as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise WeightsError(
            f"{path} cannot be read as a checkpoint ({reason}): it is damaged or no checkpoint: get it again"
        ) from error
    if not found:
        raise WeightsError(f"{path} holds no tensors under string keys: give a file with a state dict")
    return found


def _read(path: Path) -> TensorTree:
    if path.suffix == ".safetensors":
        return dict(load_file(path))
    with warnings.catch_warnings(), contextlib.suppress(*_BROKEN):
        warnings.simplefilter("ignore")  # about unknown pickle protocols: the reader below handles them
        return _only_tensors(torch.load(path, map_location="cpu", weights_only=True))
    return _only_tensors(_read_archive(path) if zipfile.is_zipfile(path) else _read_legacy(path))


def _only_tensors(tree: object) -> TensorTree:
    """Return the part of nested mappings that contains tensors."""
    if not isinstance(tree, Mapping):
        return {}
    kept: TensorTree = {}
    for key, value in tree.items():
        if isinstance(value, Tensor):
            kept[str(key)] = value.detach()
        elif inner := _only_tensors(value):
            kept[str(key)] = inner
    return kept


def _read_archive(path: Path) -> object:
    """Read the layout of `torch.save` since 1.6: a zip of <name>/data.pkl and <name>/data/<key> per storage.

    Storages must be uncompressed.
    """
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if len(pickles) != 1:
            raise ValueError("no data.pkl inside")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("written on a big-endian machine")
        storages: dict[str, _Storage] = {}

        def storage(dtype: torch.dtype, key: str, _numel: int) -> _Storage:
            if key not in storages:
                entry = archive.getinfo(f"{root}data/{key}")
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise ValueError("compressed storages")
                storages[key] = _Storage(dtype, _numbers(archive.read(entry), dtype))
            return storages[key]

        with archive.open(pickles[0]) as stream:
            return _InertUnpickler(stream, storage).load()


def _read_legacy(path: Path) -> object:
    """Read the layout of `torch.save` before 1.6.

    It holds pickles of a magic number, the version, the system and the object, then the raw storages.
    """
    with path.open("rb") as stream:
        storages: dict[str, _Storage] = {}

        def storage(dtype: torch.dtype, key: str, numel: int) -> _Storage:
            # Tensors are strided views made while unpickling, so the memory has to be there already.
            if numel * dtype.itemsize > path.stat().st_size:
                raise ValueError("a storage larger than the file")
            return storages.setdefault(key, _Storage(dtype, torch.zeros(numel, dtype=dtype)))

        def one_pickle() -> Any:
            return _InertUnpickler(stream, storage).load()

        if one_pickle() != _LEGACY_MAGIC:
            raise ValueError("not written by torch.save")
        one_pickle()  # version of the layout
        one_pickle()  # byte order and integer sizes of the writer
        whole = one_pickle()
        for key in one_pickle():
            target = storages[key]
            (numel,) = struct.unpack("<q", stream.read(8))
            if numel != target.data.numel():
                raise ValueError("storage sizes disagree")
            target.data.copy_(_numbers(stream.read(numel * target.dtype.itemsize), target.dtype))
    return whole


def _numbers(raw: bytes, dtype: torch.dtype) -> Tensor:
    return torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.zeros(0, dtype=dtype)


class _InertUnpickler(pickle.Unpickler):
    """An unpickler that builds containers, numbers, strings and tensors, and inert objects for all else."""

    def __init__(self, stream: IO[bytes], storage: Callable[[torch.dtype, str, int], _Storage]) -> None:
        super().__init__(stream, encoding="utf-8", errors="replace")
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """Return the class for a global of the file. Never import: every class is defined here."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_rest: torch.as_strided(
                storage.data, size, stride, offset
            )
        if module == "torch._utils" and name.startswith("_rebuild_parameter"):
            return lambda data, *_rest: data
        if module in ("torch", "torch.storage") and name in _DTYPES:
            return lambda *_arguments, dtype=_DTYPES[name]: dtype
        return _shell(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> object:
        """Return the storage that ('storage', kind, key, device, count[, view]) refers to."""
        if pid[0] != "storage":  # legacy files also keep the source text of modules like this
            return pid[1]
        return self._storage(pid[1](), str(pid[2]), int(pid[4]))


def _shell(label: str) -> type:
    """Return a class that accepts any arguments and any state, and ignores them."""

    class Shell:
        def __new__(cls, *_arguments: object, **_options: object) -> Any:
            return super().__new__(cls)

        def __init__(self, *_arguments: object, **_options: object) -> None:
            pass

        def __call__(self, *_arguments: object, **_options: object) -> Any:
            return self

        def __setstate__(self, _state: object) -> None:
            pass

        def __setitem__(self, _key: object, _value: object) -> None:
            pass

        def append(self, _item: object) -> None:
            pass

        add = append

        def extend(self, _items: object) -> None:
            pass

    Shell.__qualname__ = label
    return Shell
