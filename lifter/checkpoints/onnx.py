"""Export lifters to ONNX, checked against PyTorch."""

from __future__ import annotations

import dataclasses
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from common.errors import MissingExtra, WeightsError
from common.files import replace_file
from lifter.network import Lifter
from lifter.spec import LifterSpec

INPUT = "keypoints"
TOLERANCE = 1e-4  # metres, largest difference from PyTorch in float32


class LiftOnly(nn.Module):
    """`lift` as a forward pass: joints, then error, up and contacts if the lifter predicts them."""

    def __init__(self, lifter: Lifter) -> None:
        super().__init__()
        self.lifter = lifter

    def forward(self, keypoints: Tensor) -> tuple[Tensor, ...]:
        lifted = self.lifter.lift(keypoints)
        return tuple(each for each in vars(lifted).values() if each is not None)


def example(spec: LifterSpec, batch: int, seed: int = 0) -> Tensor:
    """Return random input of a lifter: (B, F[, V], 17, C), scores in [0, 1]."""
    views = (spec.views,) if spec.views > 1 else ()
    shape = (batch, spec.frames, *views, 17, spec.channels)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 0.5
    if spec.channels == 3:
        x[..., 2] += 0.5
    return x


def export_onnx(lifter: Lifter, spec: LifterSpec, config: Any, path: Path) -> float:
    """Write `lifter` to an ONNX file and return the largest difference between the two, in metres.

    Input `keypoints` (batch, F[, V], 17, C) with a free batch size; outputs `joints` (batch, F or 1, 17, 3),
    then `error`, `up` and `contacts` if the lifter predicts them. The spec and the configuration are in the
    metadata as JSON. The file is written only if both agree to 1e-4.

    Raises:
        MissingExtra: the packages onnx and onnxscript are not installed.
        WeightsError: the output of the exported network differs.
        OutputError: the file cannot be written.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtra("ONNX export needs onnx and onnxscript: pip install onnx onnxscript") from error
    module = LiftOnly(lifter.eval())
    x = example(spec, batch=2)
    with torch.no_grad():
        lifted = lifter.lift(x)
    named = vars(lifted)
    with replace_file(path) as temporary:
        # Traced with the plain kernel: the memory layout of the fused ones differs from ONNX's.
        with _quiet(), sdpa_kernel(SDPBackend.MATH):
            program = torch.onnx.export(
                module,
                (x,),
                dynamo=True,
                input_names=[INPUT],
                output_names=[name for name, value in named.items() if value is not None],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                optimize=False,  # slow, and ONNX Runtime does it again
                verbose=False,
            )
        assert program is not None
        program.model.metadata_props["spec"] = json.dumps(dataclasses.asdict(spec))
        program.model.metadata_props["config"] = json.dumps(dataclasses.asdict(config))
        program.save(str(temporary), external_data=False)
        worst = parity(lifter, spec, temporary)
        if worst > TOLERANCE:
            raise WeightsError(f"{path}: the exported {spec.name} differs by {worst:.1e} m from PyTorch")
    return worst


@torch.no_grad()
def parity(lifter: Lifter, spec: LifterSpec, path: Path) -> float:
    """Return the largest absolute difference of an ONNX file from `lifter`, at a new batch size."""
    from common.runtimes.onnx_runtime import OnnxRuntime

    x = example(spec, batch=3, seed=1)
    exported = OnnxRuntime(path, "cpu", threads=1).run(x.numpy())
    expected = LiftOnly(lifter)(x)
    return max(float(np.abs(a - b.numpy()).max()) for a, b in zip(exported, expected, strict=True))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's warnings about its own internals."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
