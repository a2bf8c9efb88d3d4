"""`python -m lifter evaluate`: measure lifters on held-out motion capture with noisy 2D."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    model: Annotated[list[str], typer.Option(help="A name in weights/manifest.toml, or a weights file.")],
    data: Annotated[Path, typer.Option(help="Folder of the motion capture (index.csv and its npz).")],
    split: Annotated[str, typer.Option(help="test, val or train; by subject.")] = "test",
    noise: Annotated[bool, typer.Option(help="2D as a detector gives it, or exact projections.")] = True,
    flip: Annotated[bool, typer.Option(help="Average with the mirrored input.")] = True,
    smooth: Annotated[bool, typer.Option(help="Also smooth, as the app does.")] = False,
    seed: Annotated[int, typer.Option(help="Of cameras and noise.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures here.")] = None,
) -> None:
    """Print MPJPE, P-MPJPE, N-MPJPE, MPJVE and PCK for each model on the same clips, cameras and noise."""
    import json
    from dataclasses import asdict

    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from lifter.checkpoints import load_checkpoint
    from lifter.datasets.mocap import load_mocap
    from lifter.datasets.noise import NoiseModel
    from lifter.evaluation import CLIP_FRAMES, Measured, virtual_clips
    from lifter.evaluation import evaluate as measure
    from lifter.files import replace_file
    from lifter.weights import resolve

    takes = load_mocap(data, split)
    clips = virtual_clips(takes, seed, NoiseModel() if noise else None)
    rows: dict[str, Measured] = {}
    for name in model:
        lifter, found, config = load_checkpoint(resolve(name, "lifter", offline=False))
        steps = measure(lifter, found.contract(config), clips, flip=flip, smoothed=smooth, device=device)
        for _, measured in track(steps, total=len(clips) + 1, description=name, transient=True):
            if measured is not None:
                rows[name] = measured
    title = (
        f"{len(clips)} clips of {CLIP_FRAMES} frames at 50 fps, split {split}, one random camera each (seed "
        f"{seed}), {'noisy' if noise else 'exact'} 2D, flip averaging {'on' if flip else 'off'}, smoothing "
        f"{'on' if smooth else 'off'}; root-relative, camera axes, 17 joints, mean over frames"
    )
    table = Table("model", "MPJPE mm", "P-MPJPE mm", "N-MPJPE mm", "MPJVE mm/frame", "PCK@150 %", "up deg")
    for name, m in rows.items():
        values = (m.mpjpe, m.p_mpjpe, m.n_mpjpe, m.mpjve, m.pck, m.up_degrees)
        table.add_row(name, *(f"{value:.1f}" for value in values))
    console = Console(highlight=False)
    console.print(title)
    console.print(table)
    if json_file is not None:
        figures = {"protocol": title, "models": {name: asdict(m) for name, m in rows.items()}}
        with replace_file(json_file) as temporary:
            temporary.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
