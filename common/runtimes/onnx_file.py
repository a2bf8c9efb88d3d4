"""An opened ONNX file, in either of its runtimes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from common.runtimes.network import Precision, Runtime


class OnnxFile(Runtime, Protocol):
    """A runtime with the metadata of its file."""

    @property
    def metadata(self) -> Mapping[str, str]: ...


def open_file(
    path: Path, runtime: str, device: str, threads: int, precision: Precision | None = None
) -> OnnxFile:
    """Open an ONNX file.

    Args:
        runtime: onnxruntime or openvino.
        precision: of OpenVINO; without it bfloat16 where the processor has it.

    Raises:
        UserError: the runtime does not compute on the device. WeightsError: it cannot read the file.
    """
    if runtime == "openvino":
        from common.runtimes.openvino_runtime import OpenVinoRuntime

        return OpenVinoRuntime(path, threads, precision)
    from common.runtimes.onnx_runtime import OnnxRuntime

    return OnnxRuntime(path, device, threads)
