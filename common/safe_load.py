"""Read the tensors of a PyTorch checkpoint without executing code of the file.

Published checkpoints pickle more than weights: argument namespaces, numpy arrays, random states, log
histories. PyTorch's own safe mode (`weights_only=True`) then refuses the whole file. The reader below
replaces every global that the file names by an inert class, except for the few that tensors need, and keeps
the tensors only. It reads both layouts of `torch.save`: the zip archive, and the stream of pickles that
PyTorch wrote before 1.6.

Memory is bounded before anything is read: pickles are checked (`common.pickles`), storages together may not
be larger than the file, and neither may the tensors made of them, but for tied weights.
"""

from __future__ import annotations

import io
import mmap
import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from common.errors import WeightsError
from common.files import ZIP_START, require_file
from common.pickles import MOST_BYTES, check_pickle
from common.text import printable

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
    zlib.error,
    SafetensorError,
)
MOST_LEVELS = 16  # nested mappings that are searched for tensors; checkpoints have about 4
TIED = 4  # bytes of all tensors over bytes of the file: weights may be saved under several names
SPARE = 1 << 20  # bytes on top of that, for small files
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
    path = require_file(Path(path), "weights file")
    try:
        found = _read(path)
        _check_size(found, path)
    except _BROKEN as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise WeightsError(
            f"{printable(path)} cannot be read as a checkpoint ({printable(reason)}): it is damaged or no "
            "checkpoint: get it again"
        ) from error
    if not found:
        raise WeightsError(
            f"{printable(path)} holds no tensors under string keys: give a file with a state dict"
        )
    return found


def require_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that are no numbers.

    Raises:
        WeightsError: names the first such weight.
    """
    for key, weight in state.items():
        if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
            raise WeightsError(
                f"{printable(path)}: {printable(key)} holds NaN or infinity: the training that wrote it "
                "diverged, or the file is damaged"
            )


@contextmanager
def shapes_only() -> Iterator[None]:
    """Build networks of shapes without memory in this block, as many and as large as a file claims."""
    with torch.device("meta"), _NoInitialisation():
        yield


class _NoInitialisation(TorchFunctionMode):
    """Skips random numbers: on the meta device the first one imports 900 modules, more than a second."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if getattr(func, "__name__", "") in ("normal_", "uniform_"):  # of tensors, and of `torch.nn.init`
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def _read(path: Path) -> TensorTree:
    if path.suffix == ".safetensors":
        return dict(load_file(path))
    with path.open("rb") as file:
        # Like PyTorch, by the first bytes: with something in front a zip could hide from one of two readers.
        is_archive = file.read(len(ZIP_START)) == ZIP_START
    return _only_tensors(_read_archive(path) if is_archive else _read_legacy(path))


def _only_tensors(tree: object) -> TensorTree:
    """Return the part of nested mappings that contains tensors.

    Every mapping is visited once, so those that contain each other or themselves end, too.
    """
    parts: dict[int, TensorTree] = {}  # by the id of the mapping; empty while it is being visited

    def visit(mapping: Mapping[Any, Any], level: int) -> TensorTree:
        if id(mapping) in parts or level > MOST_LEVELS:
            return parts.get(id(mapping), {})
        parts[id(mapping)] = {}
        kept: TensorTree = {}
        for key, value in mapping.items():
            if isinstance(value, Tensor):
                kept[str(key)] = value.detach()
            elif isinstance(value, Mapping) and (inner := visit(value, level + 1)):
                kept[str(key)] = inner
        parts[id(mapping)] = kept
        return kept

    return visit(tree, 1) if isinstance(tree, Mapping) else {}


def _check_size(found: TensorTree, path: Path) -> None:
    """Raise ValueError for tensors that are much larger than the file, as one repeated number can be."""
    seen: set[int] = set()
    waiting: list[Any] = [found]
    size = 0
    while waiting:
        part = waiting.pop()
        if isinstance(part, Tensor):
            size += part.numel() * part.element_size()
        elif id(part) not in seen:
            seen.add(id(part))
            waiting.extend(part.values())
    if size > TIED * path.stat().st_size + SPARE:
        raise ValueError("its tensors are much larger than the file")


def _read_archive(path: Path) -> object:
    """Read the layout of `torch.save` since 1.6: a zip of <name>/data.pkl and <name>/data/<key> per storage.

    Storages must be uncompressed.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        pickles = [name for name in names if name.endswith("data.pkl")]
        if len(pickles) != 1:
            raise ValueError("no data.pkl inside")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}byteorder" in names and _member(archive, f"{root}byteorder") != b"little":
            raise ValueError("written on a big-endian machine")
        budget = _Budget(path)
        storages: dict[str, _Storage] = {}

        def storage(dtype: torch.dtype, key: str, _numel: int) -> _Storage:
            if key not in storages:
                entry = archive.getinfo(f"{root}data/{key}")
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise ValueError("compressed storages")
                budget.take(entry.file_size)
                storages[key] = _Storage(dtype, _numbers(archive.read(entry), dtype))
            return storages[key]

        return _unpickle(io.BytesIO(_member(archive, pickles[0])), storage)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return a small member of an archive. Raises ValueError where it claims to be large."""
    if archive.getinfo(name).file_size > MOST_BYTES:
        raise ValueError(f"{name} is too large")
    return archive.read(name)


class _Budget:
    """The bytes that storages may take in memory: those of the file."""

    def __init__(self, path: Path) -> None:
        self._left = path.stat().st_size

    def take(self, size: int) -> None:
        self._left -= size
        if size < 0 or self._left < 0:
            raise ValueError("storages larger than the file")


def _read_legacy(path: Path) -> object:
    """Read the layout of `torch.save` before 1.6.

    It holds pickles of a magic number, the version, the system and the object, then the raw storages.
    """
    # Mapped: unlike a file, a map does not set memory aside for a length that the pickle only claims.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
        budget = _Budget(path)
        storages: dict[str, _Storage] = {}

        def storage(dtype: torch.dtype, key: str, numel: int) -> _Storage:
            if key not in storages:
                # Tensors are strided views made while unpickling, so the memory has to be there already.
                budget.take(numel * dtype.itemsize)
                storages[key] = _Storage(dtype, torch.zeros(numel, dtype=dtype))
            return storages[key]

        if _unpickle(stream, storage) != _LEGACY_MAGIC:
            raise ValueError("not written by torch.save")
        _unpickle(stream, storage)  # version of the layout
        _unpickle(stream, storage)  # byte order and integer sizes of the writer
        whole = _unpickle(stream, storage)
        for key in _unpickle(stream, storage):
            target = storages[key]
            (numel,) = struct.unpack("<q", stream.read(8))
            if numel != target.data.numel():
                raise ValueError("storage sizes disagree")
            target.data.copy_(_numbers(stream.read(numel * target.dtype.itemsize), target.dtype))
    return whole


def _unpickle(stream: Any, storage: Callable[[torch.dtype, str, int], _Storage]) -> Any:
    """Check the pickle at the stream's position, then unpickle it."""
    start = stream.tell()
    check_pickle(stream)
    stream.seek(start)
    return _InertUnpickler(stream, storage).load()


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
        if (module, name) == ("torch._tensor", "_rebuild_from_type_v2"):  # a tensor with attributes
            return lambda rebuild, _kind, arguments, _state: rebuild(*arguments)
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
