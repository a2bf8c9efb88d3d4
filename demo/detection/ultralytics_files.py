"""Read detectors as ultralytics writes them. It is imported here only, and only when such a file is read.

ultralytics is AGPL-3.0, so nothing else in the program may import it. It is shut off: no network, no
installing of packages, no settings in the user's home, no output.

Its `.pt` checkpoints are pickles of whole network objects, and unpickling calls whatever the file names.
Two barriers stand before that: the names are read from the raw opcodes and compared with an allow-list
(`check_checkpoint`; nothing is executed), and ultralytics is switched to its restricted loader
(`torch.load(weights_only=True)` and no `eval` of layer descriptions).
"""

from __future__ import annotations

import logging
import os
import pickle
import pickletools
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from common.errors import InputMissing, MissingExtra, WeightsError
from common.files import ZIP_START

# What checkpoints of ultralytics' detectors are made of: a name is allowed when its module is a key and
# its last part matches the pattern. Names with dots (attributes of attributes) never match.
_CLASS = r"[A-Z]\w*"
ALLOWED_GLOBALS = {
    r"__builtin__|builtins": r"set|frozenset|list|dict|tuple|slice|int|float|bool|str|bytes|bytearray",
    r"collections": r"OrderedDict|defaultdict",
    r"_codecs": r"encode",  # how protocol 2 spells bytes
    r"pathlib": r"(Pure)?(Posix|Windows)?Path",
    r"torch": r"\w+Storage|Size|device|(b?float|u?int)\d+|bool|double|half|long",
    r"torch\.storage": r"(Untyped|Typed)Storage",
    r"torch\._utils": r"_rebuild_(parameter|tensor_v2|tensor)",
    r"torch\.nn\.parameter": r"Parameter|Buffer",
    r"torch\.nn\.modules\.\w+": _CLASS,
    r"numpy": r"dtype|ndarray",
    r"numpy\.(_core|core)\.multiarray": r"scalar|_reconstruct",
    r"ultralytics\.nn\.modules(\.\w+)?": _CLASS,
    r"ultralytics\.nn\.tasks": r"\w*Model",
    r"ultralytics\.utils": r"IterableSimpleNamespace",
    r"ultralytics\.utils\.(loss|tal)": r"[A-Za-z]\w*(Loss|Assigner)",
}
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, ValueError, EOFError,
    IndexError, OverflowError, OSError,
)  # fmt: skip


@dataclass(frozen=True)
class Yolo:
    """A detector's layers.

    Attributes:
        layers: ultralytics' `DetectionModel`, float32.
        person: the class number of "person".
        image_size: the frame's longer side that it was trained for, pixels.
    """

    layers: Any
    person: int
    image_size: int


def load_yolo(path: Path) -> Yolo:
    """Read the weights of a detector, a `.pt` file of ultralytics.

    Raises:
        InputMissing: there is no such file.
        WeightsError: the file is damaged, holds names that a detector does not need, or does not
            detect people.
        MissingExtra: ultralytics is not installed or too old to load files safely.
    """
    if not path.is_file():
        raise InputMissing(f"{path}: no such detector file")
    if path.suffix != ".pt":
        raise WeightsError(f"{path}: a detector is a .pt file as ultralytics writes it")
    check_checkpoint(path)
    ultralytics = ultralytics_offline()
    try:
        network = ultralytics.YOLO(str(path), task="detect", verbose=False)
        names: dict[int, str] = network.names
    except (
        *_DAMAGE,
        TypeError,
        KeyError,
        AttributeError,
        ImportError,
        AssertionError,
        pickle.PickleError,
    ) as error:
        reason = str(error).strip().splitlines()
        raise WeightsError(
            f"{path}: cannot be loaded as a detector: {reason[0] if reason else error!r}"
        ) from error
    person = next((number for number, name in names.items() if name == "person"), None)
    if network.task != "detect" or person is None:
        raise WeightsError(
            f'{path}: a {network.task} network of {len(names)} classes; needed: one that detects "person"'
        )
    return Yolo(network.model.float(), person, int(network.overrides.get("imgsz", 640)))


@cache
def ultralytics_offline() -> ModuleType:
    """Import ultralytics shut off from the network, the user's home and the terminal."""
    folder = tempfile.TemporaryDirectory(prefix="ultralytics-")  # removed when the process ends
    _ultralytics_folders.append(folder)
    os.environ.update(
        YOLO_CONFIG_DIR=folder.name,
        YOLO_OFFLINE="true",
        YOLO_AUTOINSTALL="false",
        YOLO_VERBOSE="false",
        ULTRALYTICS_SAFE_LOAD="true",
    )
    threads = cv2.getNumThreads()
    omp = os.environ.get("OMP_NUM_THREADS")
    try:
        with np.printoptions():  # ultralytics changes numpy's and OpenCV's settings for the whole process
            import ultralytics
            from ultralytics import utils
    except ImportError as error:
        raise MissingExtra(f"people are found with ultralytics, which cannot be imported: {error}") from error
    if not getattr(utils, "SAFE_LOAD", False):
        raise MissingExtra(f"ultralytics {ultralytics.__version__} cannot load weights safely: upgrade it")
    cv2.setNumThreads(threads)
    if omp is None:  # ultralytics sets it to 1, and child processes would inherit that
        os.environ.pop("OMP_NUM_THREADS", None)
    logging.getLogger("ultralytics").setLevel(logging.CRITICAL)
    utils.SETTINGS["sync"] = False
    return ultralytics


_ultralytics_folders: list[tempfile.TemporaryDirectory[str]] = []


def check_checkpoint(path: Path) -> None:
    """Refuse a `.pt` file that is damaged or names a global outside the allow-list, without executing it.

    Raises:
        WeightsError: names the global, or what is damaged.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(ZIP_START)) != ZIP_START:  # torch would read what stands in front as a pickle
                raise zipfile.BadZipFile("it does not start as a zip")
        with zipfile.ZipFile(path) as archive:
            # torch finds members regardless of case, and a zip may hold one name twice: check all.
            pickles = [info for info in archive.infolist() if info.filename.lower().endswith(".pkl")]
            if any(info.filename.lower().endswith("constants.pkl") for info in pickles):
                raise WeightsError(f"{path}: a TorchScript archive, not a checkpoint of ultralytics")
            damaged = archive.testzip()
            if damaged is not None or not pickles:
                raise WeightsError(f"{path}: damaged ({damaged or 'data.pkl is missing'}); fetch it again")
            names = [name for info in pickles for name in _globals(archive.read(info))]
    except _DAMAGE as error:
        raise WeightsError(
            f"{path}: damaged or not a PyTorch checkpoint ({error}); fetch it again"
        ) from error
    for module, name in names:
        if not _allowed(module, name):
            raise WeightsError(
                f"{path}: refused, because opening it would call {module}.{name}, which no detector needs"
            )


def _allowed(module: str, name: str) -> bool:
    return any(
        re.fullmatch(modules, module, re.ASCII) and re.fullmatch(names, name, re.ASCII)
        for modules, names in ALLOWED_GLOBALS.items()
    )


def _globals(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of every global that unpickling `data` would import."""
    texts = ["?", "?"]
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("GLOBAL", "INST"):
            module, _, name = str(argument).partition(" ")
            yield module, name
        elif opcode.name == "STACK_GLOBAL":
            # Its operands may come from anywhere on the stack, so the name shown is a good guess only;
            # torch.save writes protocol 2, which has no such opcode: refused whatever it names.
            yield f"(protocol 4) {texts[-2]}", texts[-1]
        elif opcode.name.startswith("EXT"):
            yield "copyreg", f"extension {argument}"
        elif isinstance(argument, str):
            texts.append(argument)
