"""Load a lifter for inference: its shipped ONNX file in ONNX Runtime or OpenVINO, else PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import needs_torch
from common.runtimes.choose import open_exported
from common.runtimes.exports import find_shipped
from common.runtimes.names import RuntimeName
from common.runtimes.network import Floats, Loaded, Network, Outputs, Source
from lifter.spec import LifterOutput, LifterSpec, WindowLifter

TOLERANCE = 1e-5  # metres, between runtimes in float32; ONNX Runtime differs from PyTorch by 1e-6


class ExportedLifter:
    """A lifter as ONNX, in a runtime."""

    def __init__(self, network: Network) -> None:
        self.spec = LifterSpec(**network.meta["spec"])
        self._names = network.meta["outputs"]
        self._run = network.runtime.compile(_window(self.spec))

    def predict(self, windows: Floats) -> LifterOutput[Floats]:
        """Lift windows (B, F, 17, C), or (B, F, V, 17, C) for several views."""
        return LifterOutput(**dict(zip(self._names, self._run(windows), strict=True)))


@dataclass(frozen=True)
class LoadedLifter:
    """A lifter, its spec, and the entry for results of what runs it."""

    lifter: WindowLifter
    spec: LifterSpec
    runtime: Mapping[str, str]


def load_lifter(
    path: Path, name: str | None = None, device: str = "cpu", runtime: RuntimeName = "auto"
) -> LoadedLifter:
    """Load the lifter in a file.

    Args:
        name: of the weight or of the system, where it is known.
        device: as PyTorch names it.
        runtime: of lifters with a shipped ONNX file; the others run in PyTorch.

    Raises:
        MissingExtra: PyTorch is needed and not installed.
        UserError: see `common.runtimes.choose.open_exported`.
        WeightsError: see `lifter.checkpoints.files.load_checkpoint`.
    """
    source = lifter_source(path)
    if find_shipped(source) and (network := open_exported(source, runtime, device)):
        exported = ExportedLifter(network)
        if name in (None, exported.spec.name):
            return LoadedLifter(exported, exported.spec, network.summary())
    with needs_torch(path.name):
        import torch

        from lifter.checkpoints.files import load_checkpoint
        from lifter.registry import REGISTRY

        system = name if name and name.partition(":")[0] in REGISTRY else None
        lifter, entry, config = load_checkpoint(path, system)
    entries = {"runtime": "torch", "version": torch.__version__, "precision": "float32"}
    return LoadedLifter(lifter.to(device).eval(), entry.spec(config), entries)


def lifter_source(path: Path) -> Source:
    """Describe a lifter's weights as a network that any runtime runs, in float32."""

    def load() -> Loaded:
        from lifter.checkpoints.files import load_checkpoint
        from lifter.checkpoints.onnx import LiftOnly

        lifter, entry, config = load_checkpoint(path)
        spec = entry.spec(config)
        found = vars(lifter.predict(_example({"spec": asdict(spec)})))
        names = [name for name, each in found.items() if each is not None]
        outputs: dict[str, dict[int, str]] = {name: {} for name in names}
        return Loaded(LiftOnly(lifter), {"spec": asdict(spec), "outputs": names}, outputs)

    return Source("lifter-1", path, load, _example, _answer, _difference, precision="float32")


def _window(spec: LifterSpec) -> tuple[int, ...]:
    views = (spec.views,) if spec.views > 1 else ()
    return (spec.frames, *views, 17, spec.channels)


def _example(meta: Mapping[str, Any]) -> Floats:
    """Return one window of random keypoints within the picture, and scores from 0 to 1."""
    spec = LifterSpec(**meta["spec"])
    x = np.random.default_rng(0).random((1, *_window(spec)), dtype=np.float32)
    x[..., :2] -= 0.5
    return x


def _answer(meta: Mapping[str, Any], outputs: Outputs) -> Floats:
    """Return the outputs for the middle frame of the example, one after the other."""
    return np.concatenate([each[0, each.shape[1] // 2].ravel() for each in outputs])


def _difference(expected: Floats, found: Floats) -> str:
    worst = float(np.nan_to_num(np.abs(found - expected), nan=np.inf).max())
    return "" if worst <= TOLERANCE else f"differs by {worst:.1e} m"
