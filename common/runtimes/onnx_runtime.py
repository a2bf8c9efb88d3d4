"""ONNX files in ONNX Runtime."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError, WeightsError
from common.runtimes.network import Compiled, Floats, Outputs

# Its official builds otherwise report every run to their makers, with a number of this machine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime as onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# It has an exception for each of its status codes, without a common base.
_FAILURES = tuple(
    kind
    for kind in vars(onnxruntime_pybind11_state).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
)


class OnnxRuntime:
    """An ONNX file on a CPU or a CUDA device, in float32.

    On a CPU inputs are computed one by one, as many at the same time as there are threads: two cores finish
    two pictures sooner than one after the other with shared layers. Memory does not grow with the batch, and
    a result does not depend on it.

    Attributes:
        metadata: of the file.
        inputs, outputs: name, type and shape of each, the shape with an int or a name for each axis.
    """

    name = "onnxruntime"
    precision = "float32"

    def __init__(self, path: Path, device: str, threads: int) -> None:
        """Open the file. `threads`: of a CPU.

        Raises:
            UserError: this ONNX Runtime has nothing for the device.
            WeightsError: the file is no ONNX model.
        """
        self.version = str(onnxruntime.__version__)
        self._path = path
        self._pool = ThreadPoolExecutor(threads, "onnxruntime") if device == "cpu" else None
        kind, _, number = device.partition(":")
        provider = _PROVIDERS.get(kind)
        if usable_device(device) != device:
            raise UserError(f"--runtime onnxruntime: the one installed does not compute on {device}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        chosen: Any = (provider, {"device_id": number}) if number else provider
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=[chosen])
        except _FAILURES as error:
            raise WeightsError(
                f"{path} cannot be read as an ONNX model ({_reason(error)}): get it again"
            ) from error
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.inputs: list[Any] = self._session.get_inputs()
        self.outputs: list[Any] = self._session.get_outputs()

    def compile(self, shape: tuple[int, ...]) -> Compiled:
        """Return the network: the file takes any size that it is used with."""
        return self.run if self._pool is None else self._run_each

    def _run_each(self, inputs: Floats) -> Outputs:
        """Run the model on each input alone."""
        assert self._pool is not None
        parts = list(self._pool.map(self.run, [inputs[row : row + 1] for row in range(len(inputs))]))
        return tuple(np.concatenate(each) for each in zip(*parts, strict=True))

    def run(self, inputs: Floats) -> Outputs:
        """Run the model. Raises WeightsError for one that loads and cannot be run."""
        try:
            found = self._session.run(None, {self.inputs[0].name: inputs})
        except _FAILURES as error:
            raise WeightsError(
                f"{self._path} cannot be run as an ONNX model ({_reason(error)}): get it again"
            ) from error
        return tuple(np.asarray(each, np.float32) for each in found)


def usable_device(device: str) -> str:
    """Return the device, or the CPU where this ONNX Runtime has nothing for it."""
    provider = _PROVIDERS.get(device.partition(":")[0])
    return device if provider in onnxruntime.get_available_providers() else "cpu"


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0][:120]
