"""Networks as ONNX files: shipped beside their weights, or exported once into the user's cache.

The metadata of such a file name the network and the SHA-256 of its weights. They keep what its user must know
(`Loaded.meta`), and PyTorch's answer for the example, so that another runtime is compared without PyTorch.

A shipped file holds the graph alone: its weights are references into the file of weights beside it
(`python -m tools.make_graphs`).
"""

from __future__ import annotations

import json
import logging
import platform
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import MissingExtra, OutputError, needs_torch
from common.files import replace_file, sha256, write_json
from common.runtimes.network import Floats, Loaded, Runtime, Source
from common.weights import cache_folder, manifest

INPUT = "input"
_OPSET = 17
_log = logging.getLogger(__name__)


def folder() -> Path:
    """Return the folder of exports in the user's cache. It need not exist."""
    return cache_folder().parent / "networks"


def find_shipped(source: Source) -> Path | None:
    """Return the ONNX file beside weights, None unless it is the one that the manifest names for them."""
    path = source.weights.with_suffix(".onnx")
    if not path.is_file():
        return None
    wanted = next((info.graph_sha256 for info in manifest().values() if info.sha256 == source.digest), "")
    if not wanted:  # a file of the user's, or other weights than those that the graph was made from
        return None
    if sha256(path) != wanted:
        _log.warning("%s is damaged: the network is exported again; fetch the file again", path)
        return None
    return path


def find_export(source: Source) -> Path:
    """Return the network as ONNX: the shipped file, else the one in the cache, made now if it is not there.

    Raises:
        MissingExtra: PyTorch or onnx is needed and not installed.
        OutputError: the cache cannot be written.
    """
    if shipped := find_shipped(source):
        return shipped
    path = _cached(source, ".onnx")
    if not path.is_file():
        _log.info("exporting %s to %s", source.weights, path)
        with needs_torch(source.weights.name), replace_file(path) as temporary:
            export(source, source.load(), temporary)
    return path


def export(source: Source, loaded: Loaded, path: Path) -> None:
    """Write a network as ONNX, with the metadata.

    Batch normalisation stays as it is, so that every weight of the graph is one of the file of weights.

    Raises:
        MissingExtra: the package onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra("exporting a network needs onnx: pip install onnx") from error
    import torch

    from common.runtimes.torch_runtime import TorchRuntime

    module = loaded.module.float().eval()
    example = source.example(loaded.meta)
    size = {2: "height", 3: "width"} if loaded.free_size else {}
    axes = {INPUT: {0: "batch", **size}}
    axes |= {name: {0: "batch", **more} for name, more in loaded.outputs.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        torch.onnx.export(
            module,
            (torch.from_numpy(example),),
            str(path),
            dynamo=False,  # it needs neither onnxscript nor sympy
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            input_names=[INPUT],
            output_names=list(loaded.outputs),
            dynamic_axes=axes,
            opset_version=_OPSET,
        )
    outputs = TorchRuntime(module, "cpu").compile(example.shape[1:])(example)
    metadata = {
        "network": source.name,
        "weights": source.digest,
        "meta": json.dumps(loaded.meta),
        "reference": json.dumps(source.answer(loaded.meta, outputs).tolist()),
    }
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, str(path))


def disagreement(source: Source, runtime: Runtime, metadata: Mapping[str, str]) -> str:
    """Return how a runtime disagrees with PyTorch, "" if it agrees.

    It is measured once for each machine, where the cache can be written.
    """
    record = _cached(source, ".json")
    key = f"{runtime.name} {runtime.version} {runtime.precision} {platform.machine()} {platform.node()}"
    agreed = _read(record)
    if key not in agreed:
        agreed[key] = measure_disagreement(source, runtime, metadata)
        try:
            write_json(record, {"agreed": agreed})
        except OutputError as error:
            _log.info("%s", error)
    return agreed[key]


def measure_disagreement(source: Source, runtime: Runtime, metadata: Mapping[str, str]) -> str:
    """Return how a runtime disagrees with PyTorch about the example, "" if it agrees."""
    meta: dict[str, Any] = json.loads(metadata["meta"])
    example = source.example(meta)
    found = source.answer(meta, runtime.compile(example.shape[1:])(example))
    expected: Floats = np.array(json.loads(metadata["reference"]), np.float32)
    return source.difference(expected, found)


def _cached(source: Source, suffix: str) -> Path:
    return folder() / f"{source.name}-{source.digest[:32]}{suffix}"


def _read(record: Path) -> dict[str, str]:
    """Return the verdicts of a record, by runtime and machine; none where it is absent or damaged."""
    try:
        return dict(json.loads(record.read_text("utf-8"))["agreed"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
