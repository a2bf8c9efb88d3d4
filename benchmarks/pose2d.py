"""Time of HRNet per person by memory layout and precision, and the change of its heatmaps.

    python -m benchmarks.pose2d [--weights FILE] [--device cpu] [--people 8] [--threads 2]

Without weights the network is random: times are valid, differences are an order of magnitude only.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from common.runtimes.network import Precision
from common.runtimes.torch_runtime import TorchRuntime
from demo.pose.estimator import PoseNetwork
from demo.pose.heatmaps import decode_candidates
from demo.pose.hrnet import W32, build, load_hrnet
from demo.pose.networks import HeatmapNetwork
from demo.types import Floats


def eager(model: torch.nn.Module, device: str) -> PoseNetwork:
    """Return the network in PyTorch's default layout and precision: channels first, float32."""
    model = model.to(device).eval()

    @torch.inference_mode()
    def run(crops: Floats) -> Floats:
        return np.asarray(model(torch.from_numpy(crops).to(device)).cpu().numpy())

    return run


def timed(network: PoseNetwork, crops: Floats, repeats: int) -> tuple[float, Floats]:
    """Return (best milliseconds per person, heatmaps) after one warm-up call."""
    heatmaps = network(crops)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        network(crops)
        times.append(time.perf_counter() - start)
    return min(times) * 1000 / len(crops), heatmaps


def main(
    weights: Annotated[Path | None, typer.Option(help="HRNet weights; random W32 without.")] = None,
    device: str = "cpu",
    people: int = 8,
    threads: int = 2,
    repeats: int = 3,
) -> None:
    """Print one line per layout and precision."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model, config = load_hrnet(weights) if weights else (build(W32), W32)
    width, height = config.input_size
    crops = np.random.default_rng(0).normal(size=(people, 3, height, width)).astype(np.float32)
    half: Precision = "float16" if device.startswith("cuda") else "bfloat16"
    ways: dict[str, Callable[[], PoseNetwork]] = {
        "eager, float32": lambda: eager(copy.deepcopy(model), device),
        "channels last, float32": lambda: HeatmapNetwork(
            TorchRuntime(copy.deepcopy(model), device, "float32"), config.input_size
        ),
        f"channels last, {half}": lambda: HeatmapNetwork(
            TorchRuntime(copy.deepcopy(model), device, half), config.input_size
        ),
    }
    table = Table(
        "way", "ms a person", "heatmap difference", title=f"{device}, {threads} threads, {people} people"
    )
    exact: Floats | None = None
    for name, make in ways.items():
        milliseconds, heatmaps = timed(make(), crops, repeats)
        exact = heatmaps if exact is None else exact
        difference = np.abs(heatmaps - exact).max() / np.abs(exact).max()
        table.add_row(name, f"{milliseconds:.1f}", f"{difference:.1e}")
    maps = np.random.default_rng(0).random((people, 17, height // 4, width // 4), dtype=np.float32)
    for how in ("dark", "quarter"):
        start = time.perf_counter()
        decode_candidates(maps, how)
        table.add_row(f"decode, {how}", f"{(time.perf_counter() - start) * 1000 / people:.2f}", "")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
