"""`python -m lifter train`: train a lifter on motion capture seen through virtual cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    model: Annotated[str, typer.Option(help="A lifter that reads COCO-17 with scores: wild or martinez.")],
    data: Annotated[Path, typer.Option(help="Folder of the motion capture (index.csv and its npz).")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, the log and the weights.")],
    steps: Annotated[int, typer.Option(min=1, help="Batches in all.")] = 20_000,
    batch: Annotated[int, typer.Option(min=1, help="Windows a batch.")] = 64,
    frames: Annotated[int, typer.Option(min=1, help="Frames a window.")] = 81,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate of AdamW.")] = 1e-3,
    init: Annotated[Path | None, typer.Option(help="Start from these weights (.safetensors).")] = None,
    seed: Annotated[int, typer.Option(help="Everything drawn depends on it and on the step alone.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    bf16: Annotated[bool, typer.Option(help="Compute in bfloat16.")] = True,
) -> None:
    """Train, and write OUT/MODEL.safetensors. Run again after an interruption, it goes on where it was."""
    import copy

    import torch
    from rich.progress import Progress

    from lifter.checkpoints import load_checkpoint, save_checkpoint
    from lifter.datasets.bodies import MotionWindows
    from lifter.datasets.mocap import load_mocap
    from lifter.datasets.virtual import VirtualClips
    from lifter.errors import WeightsError
    from lifter.plots import draw_log
    from lifter.registry import entry
    from lifter.training import TrainSettings
    from lifter.training import train as run

    found = entry(model)
    config = found.config_class()
    if found.contract(config).joints != "coco17":
        raise WeightsError(f"{model} does not read COCO-17 with scores; train wild or martinez")
    torch.manual_seed(seed)
    lifter = found.build(config)
    if init is not None:
        lifter, _, config = load_checkpoint(init, model)
    settings = TrainSettings(
        steps=steps,
        batch=batch,
        frames=frames,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
        bf16=bf16,
    )
    clips = VirtualClips(MotionWindows(load_mocap(data, "train")))
    validation = VirtualClips(MotionWindows(load_mocap(data, "val")))
    with Progress() as bars:
        task = bars.add_task("training", total=steps)
        for state in run(lifter, clips, validation, out, settings):
            bars.update(task, completed=state.step, description=f"loss {state.loss:.3f}")
            if state.validation is not None:
                bars.console.print(f"step {state.step}: validation MPJPE {state.validation * 1000:.1f} mm")
    target = out / f"{model}.safetensors"
    notes = {"steps": str(steps), "batch": str(batch), "frames": str(frames), "seed": str(seed)}
    save_checkpoint(target, copy.deepcopy(lifter).cpu().half(), model, config, notes)
    draw_log(out / "log.csv", out / "log.png")
    typer.echo(str(target))
