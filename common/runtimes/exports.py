"""Networks as ONNX files in the user's cache: exported once for each file of weights.

An export is a file `NAME-SHA256.onnx`, the outputs of PyTorch for an example in `.npz`, and a record in
`.json`, written last: it marks the export as complete, and keeps which runtimes agreed on this machine.
"""

from __future__ import annotations

import json
import logging
import platform
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import MissingExtra
from common.files import replace_file, sha256, write_json
from common.runtimes.network import Floats, Outputs, Runtime, Source
from common.weights import cache_folder

_INPUT = "pictures"
_OPSET = 17
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Export:
    """An exported network.

    Attributes:
        meta: of its source (`Loaded.meta`).
        agreed: by runtime, version, precision and machine, how it disagreed with PyTorch; "" if it did not.
    """

    path: Path
    meta: dict[str, Any]
    agreed: dict[str, str]

    @property
    def reference(self) -> tuple[Floats, Outputs]:
        """The example and PyTorch's outputs for it."""
        with np.load(self.path.with_suffix(".npz")) as arrays:
            return arrays["input"], tuple(arrays[f"output{n}"] for n in range(len(arrays.files) - 1))


def folder() -> Path:
    """Return the folder of exports in the user's cache. It need not exist."""
    return cache_folder().parent / "networks"


def find_export(source: Source) -> Export:
    """Return the export of a network, made now if it is not in the cache.

    Raises:
        MissingExtra: the package onnx is needed and not installed.
        OutputError: the cache cannot be written.
    """
    path = folder() / f"{source.name}-{sha256(source.weights)[:32]}.onnx"
    try:
        record = json.loads(path.with_suffix(".json").read_text("utf-8"))
        if path.is_file():
            return Export(path, dict(record["meta"]), dict(record["agreed"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return _make(source, path)


def difference(source: Source, export: Export, runtime: Runtime) -> str:
    """Return how a runtime disagrees with PyTorch about the example, "" if it agrees.

    It is measured once for each machine.

    Raises:
        OutputError: the cache cannot be written.
    """
    key = f"{runtime.name} {runtime.version} {runtime.precision} {platform.machine()} {platform.node()}"
    if key not in export.agreed:
        example, expected = export.reference
        found = runtime.compile(*example.shape[2:])(example)
        verdict = source.difference(export.meta, expected, found)
        _write(replace(export, agreed={**export.agreed, key: verdict}))
        return verdict
    return export.agreed[key]


def _write(export: Export) -> None:
    write_json(export.path.with_suffix(".json"), {"meta": export.meta, "agreed": export.agreed})


def _make(source: Source, path: Path) -> Export:
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise MissingExtra("exporting a network needs onnx: pip install onnx") from error
    import torch

    from common.runtimes.torch_runtime import TorchRuntime

    _log.info("exporting %s to %s", source.weights, path)
    loaded = source.load()
    module = loaded.module.float().eval()
    example = source.example(loaded.meta)
    size = {2: "height", 3: "width"} if source.free_size else {}
    axes = {_INPUT: {0: "batch", **size}}
    axes |= {name: {0: "batch", **more} for name, more in source.outputs.items()}
    with replace_file(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        torch.onnx.export(
            module,
            (torch.from_numpy(example),),
            str(temporary),
            dynamo=False,  # it needs neither onnxscript nor sympy
            input_names=[_INPUT],
            output_names=list(source.outputs),
            dynamic_axes=axes,
            opset_version=_OPSET,
        )
    outputs = TorchRuntime(module, "cpu").compile(*example.shape[2:])(example)
    with replace_file(path.with_suffix(".npz")) as temporary:
        arrays: dict[str, Any] = {f"output{n}": each for n, each in enumerate(outputs)}
        np.savez(temporary, input=example, **arrays)
    export = Export(path, loaded.meta, {})
    _write(export)
    return export
