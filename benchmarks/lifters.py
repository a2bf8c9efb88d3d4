"""Frames a second of every lifter: as the app runs it, and with one window per frame, one at a time.

    python -m benchmarks.lifters [--device cuda] [--frames 243] [LIFTER...]

Both run the same network of published size with the same (random) weights on the same track, with flip
averaging if the spec sets it. The second is the loop of the classic demos: cut a window around each frame,
run it, run it mirrored, keep one pose. It is timed on a few frames only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from lifter.checkpoints.files import published
from lifter.inference import lift_track, mirror_3d
from lifter.network import Lifter
from lifter.registry import REGISTRY, entry
from lifter.skeletons import SKELETONS
from lifter.spec import LifterSpec
from lifter.windows import cut_windows


@torch.inference_mode()
def frame_by_frame(
    lifter: Lifter, spec: LifterSpec, track: NDArray[np.float32], frames: range, device: str
) -> None:
    """Run one window and one call (two with flip averaging) for each of the frames."""
    order = list(SKELETONS[spec.joints].mirror)
    for frame in frames:
        start = np.array([frame - spec.frames // 2])
        x = torch.from_numpy(cut_windows(track, start, spec.frames)).to(device)
        pose = lifter.lift(x).joints
        if spec.flip_average:
            mirrored = x[..., order, :].clone()
            mirrored[..., 0].neg_()
            pose = (pose + mirror_3d(lifter.lift(mirrored).joints)) / 2
        pose.cpu()


def seconds(work: Callable[[], object], device: str) -> float:
    """Return the wall-clock time of `work`, with everything queued on the device done."""
    if device != "cpu":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def main(
    lifters: Annotated[list[str] | None, typer.Argument(help="All of them if none is named.")] = None,
    frames: Annotated[int, typer.Option(help="Length of the track.")] = 243,
    loop_frames: Annotated[int, typer.Option(help="Frames of the track that the slow loop is timed on.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads; 0: as many as there are.")] = 0,
) -> None:
    """Time every lifter and print a table."""
    if threads:
        torch.set_num_threads(threads)
    console = Console(highlight=False, soft_wrap=True)
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    for column in (
        "lifter",
        "window",
        "weights",
        "frames/s",
        "in the loop",
        "times",
    ):
        table.add_column(column, no_wrap=True, justify="left" if column == "lifter" else "right")
    rng = np.random.default_rng(0)
    for name in lifters or REGISTRY:
        found = entry(name)
        config = published(found)
        spec = found.spec(config)
        model = found.build(config).eval().to(device)
        views = (spec.views,) if spec.views > 1 else ()
        track = rng.random((frames, *views, 17, spec.channels), dtype=np.float32) - 0.5
        with torch.inference_mode():  # warm-up
            model.lift(torch.zeros(1, spec.frames, *views, 17, spec.channels, device=device))
        whole = seconds(lambda: lift_track(model, spec, track), device)  # noqa: B023
        middle = range(frames // 2, frames // 2 + loop_frames)
        loop = seconds(lambda: frame_by_frame(model, spec, track, middle, device), device)  # noqa: B023
        fast, slow = frames / whole, loop_frames / loop
        weights = sum(p.numel() for p in model.parameters()) / 1e6
        table.add_row(
            name,
            str(spec.frames),
            f"{weights:.1f} M",
            f"{fast:,.0f}",
            f"{slow:,.2f}",
            f"{fast / slow:,.0f}",
        )
    console.print(f"{frames} frames on {device}, {torch.get_num_threads()} CPU threads")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
