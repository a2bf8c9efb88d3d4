"""ONNX files in OpenVINO, on a CPU: bfloat16 where the processor computes with it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from common.runtimes.exports import folder
from common.runtimes.network import Compiled, Floats, Outputs

_DEVICE = "CPU"
_METADATA = "framework"  # where OpenVINO keeps an ONNX file's
_TELEMETRY = "openvino_telemetry"


def _import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry, which forks a process to report every import to its makers."""
    modules: dict[str, Any] = sys.modules
    modules[_TELEMETRY] = None  # `import` then finds no such package
    try:
        import openvino
    finally:
        del modules[_TELEMETRY]
    return openvino


openvino = _import_openvino()


class OpenVinoRuntime:
    """An ONNX file on a CPU.

    Inputs are computed one by one, as many at the same time as there are threads: two cores finish two
    pictures sooner than one after the other with shared layers, and a result does not depend on its batch.

    Attributes:
        metadata: of the file.
    """

    name = "openvino"

    def __init__(self, path: Path, threads: int, precision: str | None = None) -> None:
        """`precision`: bfloat16 or float32; without it bfloat16 where the processor has it."""
        self.version = str(openvino.__version__).partition("-")[0]
        self._threads = threads
        self._core = openvino.Core()
        able = "BF16" in self._core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
        self.precision = precision or ("bfloat16" if able else "float32")
        self._model = self._core.read_model(path)
        self.metadata: dict[str, str] = {}
        if self._model.has_rt_info(_METADATA):
            kept = self._model.get_rt_info(_METADATA).astype(dict)
            self.metadata = {name: str(each.value) for name, each in kept.items()}

    def compile(self, shape: tuple[int, ...]) -> Compiled:
        """Compile the network for one size; what is compiled is kept in the user's cache for the next run."""
        model = self._model.clone()
        model.reshape([1, *shape])
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bfloat16" else "f32",
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": self._threads,
        }
        cache = folder() / "openvino" / self.metadata.get("weights", "")[:32]
        if _can_write(cache):
            options["CACHE_DIR"] = str(cache)
        return _Requests(self._core.compile_model(model, _DEVICE, options), self._threads)


def _can_write(folder: Path) -> bool:
    """Return whether a folder is there, or could be made, and can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


class _Requests:
    """A compiled network with a request for each input in work."""

    def __init__(self, compiled: Any, count: int) -> None:
        self._outputs = len(compiled.outputs)
        self._queue = openvino.AsyncInferQueue(compiled, count)
        self._queue.set_callback(self._keep)

    def __call__(self, inputs: Floats) -> Outputs:
        found: list[Outputs] = [()] * len(inputs)
        for row in range(len(inputs)):
            self._queue.start_async(inputs[row : row + 1], (found, row))
        self._queue.wait_all()
        return tuple(np.concatenate([each[index] for each in found]) for index in range(self._outputs))

    def _keep(self, request: Any, place: tuple[list[Outputs], int]) -> None:
        found, row = place
        found[row] = tuple(
            np.array(request.get_output_tensor(index).data, np.float32) for index in range(self._outputs)
        )
