"""Choose the runtime of a network."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec

from common.errors import MissingExtra, UserError
from common.runtimes.exports import Export, difference, find_export
from common.runtimes.names import RuntimeName
from common.runtimes.network import Network, Runtime, Source

# On a CPU, the fastest first: `python -m benchmarks.runtimes`, docs/speed.md.
_FASTEST_FIRST = ("openvino", "onnxruntime")
_log = logging.getLogger(__name__)


def open_network(source: Source, runtime: RuntimeName, device: str) -> Network:
    """Open a network with a runtime.

    `auto` is PyTorch on a GPU. On a CPU it is the fastest installed runtime that agrees with PyTorch about an
    example; the order is fixed, so that two runs never differ because of a busy machine.

    Args:
        device: as PyTorch names it.

    Raises:
        MissingExtra: the runtime, or onnx for the export, is not installed.
        UserError: the runtime does not compute on the device, or disagrees with PyTorch.
        OutputError: the cache cannot be written.
    """
    if runtime == "torch" or (runtime == "auto" and device != "cpu"):
        return _with_torch(source, device)
    if runtime != "auto":
        require(runtime, device)
        export = find_export(source)
        opened = _open(runtime, export, device)
        if disagreement := difference(source, export, opened):
            raise UserError(f"--runtime {runtime}: {source.weights.name} {disagreement}: use --runtime torch")
        return Network(export.meta, opened)
    for name in filter(find_spec, _FASTEST_FIRST):
        try:
            export = find_export(source)
            opened = _open(name, export, device)
            disagreement = difference(source, export, opened)
        except (UserError, RuntimeError, ImportError) as error:  # of the cache, or of the runtime itself
            disagreement = str(error)
        if not disagreement:
            return Network(export.meta, opened)
        _log.warning("%s is not run by %s: %s", source.weights.name, name, disagreement)
    return _with_torch(source, device)


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


def _with_torch(source: Source, device: str) -> Network:
    from common.runtimes.torch_runtime import TorchRuntime

    loaded = source.load()
    return Network(loaded.meta, TorchRuntime(loaded.module, device))


def _open(runtime: str, export: Export, device: str) -> Runtime:
    if runtime == "openvino":
        from common.runtimes.openvino_runtime import OpenVinoRuntime

        return OpenVinoRuntime(export.path, cpu_threads())
    from common.runtimes.onnx_runtime import OnnxRuntime

    return OnnxRuntime(export.path, device, cpu_threads())
