"""Networks in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from common.errors import UserError
from common.runtimes.network import Compiled, Floats, Outputs

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntime:
    """An ONNX file on a CPU or a CUDA device, in float32."""

    name = "onnxruntime"
    precision = "float32"

    def __init__(self, path: Path, device: str, threads: int) -> None:
        """Open the file.

        Raises:
            UserError: this ONNX Runtime has nothing for the device.
        """
        self.version = str(onnxruntime.__version__)
        kind, _, number = device.partition(":")
        provider = _PROVIDERS.get(kind)
        if provider not in onnxruntime.get_available_providers():
            raise UserError(f"--runtime onnxruntime: the one installed does not compute on {device}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        chosen: Any = (provider, {"device_id": number}) if number else provider
        self._session = onnxruntime.InferenceSession(path, options, providers=[chosen])
        self._input = self._session.get_inputs()[0].name

    def compile(self, height: int, width: int) -> Compiled:
        """Return the network: the file takes any size that it is used with."""
        return self._run

    def _run(self, pictures: Floats) -> Outputs:
        return tuple(np.asarray(each) for each in self._session.run(None, {self._input: pictures}))
