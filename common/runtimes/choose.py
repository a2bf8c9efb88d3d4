"""Choose the runtime of a network."""

from __future__ import annotations

import json
import logging
import os
from importlib.util import find_spec

from common.errors import MissingExtra, UserError, needs_torch
from common.runtimes.exports import disagreement, find_export
from common.runtimes.names import RuntimeName
from common.runtimes.network import Network, Source
from common.runtimes.onnx_file import OnnxFile, open_file

# On a CPU, the fastest first: `python -m benchmarks.runtimes`, docs/speed.md.
_FASTEST_FIRST = ("openvino", "onnxruntime")
_log = logging.getLogger(__name__)


def open_network(source: Source, runtime: RuntimeName, device: str) -> Network:
    """Open a network with a runtime.

    Args:
        device: as PyTorch names it.

    Raises:
        MissingExtra: PyTorch is needed and not installed; or see `open_exported`.
        UserError: see `open_exported`.
    """
    if exported := open_exported(source, runtime, device):
        return exported
    with needs_torch(source.weights.name):
        from common.runtimes.torch_runtime import TorchRuntime

        loaded = source.load()
        return Network(loaded.meta, TorchRuntime(loaded.fold(loaded.module), device))


def open_exported(source: Source, runtime: RuntimeName, device: str) -> Network | None:
    """Open a network as ONNX, in ONNX Runtime or OpenVINO; return None where PyTorch is to run it.

    `auto` is PyTorch on a GPU. On a CPU it is the fastest installed runtime that agrees with PyTorch about an
    example; the order is fixed, so that two runs never differ because of a busy machine.

    Args:
        device: as PyTorch names it.

    Raises:
        MissingExtra: the runtime, or what the export needs, is not installed.
        UserError: the runtime does not compute on the device, or disagrees with PyTorch.
        OutputError: the cache cannot be written.
    """
    if runtime == "torch" or (runtime == "auto" and device != "cpu"):
        return None
    if runtime != "auto":
        require(runtime, device)
        file, problem = _try(source, runtime, device)
        if problem:
            raise UserError(f"--runtime {runtime}: {source.weights.name} {problem}: use --runtime torch")
        return _network(file)
    for name in filter(find_spec, _FASTEST_FIRST):
        try:
            file, problem = _try(source, name, device)
        except (UserError, RuntimeError, ImportError) as error:  # of the cache, or of the runtime itself
            if isinstance(error, MissingExtra) and find_spec("torch") is None:
                raise  # nothing else can run it
            problem = str(error)
        if not problem:
            return _network(file)
        _log.warning("%s is not run by %s: %s", source.weights.name, name, problem)
    return None


def require(runtime: str, device: str = "cpu") -> None:
    """Raise `MissingExtra` for a runtime that is not installed, `UserError` where it lacks the device."""
    if runtime != "auto" and find_spec(runtime) is None:
        raise MissingExtra(f"--runtime {runtime}: it is not installed: pip install {runtime}")
    if runtime == "openvino" and device != "cpu":
        raise UserError(f"--runtime openvino computes on the CPU, not on {device}: add --device cpu")


def cpu_threads() -> int:
    """Return the number of threads of a network: $OMP_NUM_THREADS, else the cores of this process."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if wanted.isdigit() and int(wanted):
        return int(wanted)
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def _try(source: Source, runtime: str, device: str) -> tuple[OnnxFile, str]:
    """Open a network's ONNX file; return it, and how it disagrees with PyTorch."""
    file = open_file(find_export(source), runtime, device, cpu_threads(), source.precision)
    return file, disagreement(source, file, file.metadata)


def _network(file: OnnxFile) -> Network:
    return Network(json.loads(file.metadata["meta"]), file)
