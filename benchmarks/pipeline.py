"""How fast the stages of the application are on a clip.

python -m benchmarks.pipeline clip.mp4 [--detector ...] [--pose ...] [--lifter ...] [--device ...]
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from demo.models import load_models, resolve_weights
from demo.pipeline import analyse, lift, render
from demo.settings import Settings
from demo.video.reader import probe


def main(
    clip: Path,
    detector: Annotated[str, typer.Option()] = "yolo11n",
    pose: Annotated[str, typer.Option()] = "hrnet-w32",
    lifter: Annotated[str, typer.Option()] = "wild",
    device: Annotated[str, typer.Option()] = "auto",
) -> None:
    """Print seconds and frames a second of each stage, the networks loaded and warm."""
    settings = Settings(detector=detector, pose=pose, lifter=lifter, device=device)
    files = resolve_weights(settings)
    networks = load_models(files, settings)
    info = probe(clip)

    def report(stage: str, done: int, total: int) -> None:
        """Nobody watches."""

    warm = settings.model_copy(update={"end": min(0.5, info.duration or 0.5)})
    analyse(clip, info, warm, networks, report)
    rows: list[tuple[str, float]] = []
    start = time.perf_counter()
    analysis = analyse(clip, info, settings, networks, report)
    rows.append(("analyse: decode, detect, track, keypoints", time.perf_counter() - start))
    start = time.perf_counter()
    tracks, world = lift(analysis.people, analysis, info, settings, networks)
    rows.append(("lift: 3D, smooth, level", time.perf_counter() - start))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        video = Path(folder) / "out.mp4"
        render(clip, info, video, analysis, analysis.people, tracks, world, settings, report)
        rows.append(("render: decode, draw, encode", time.perf_counter() - start))
    frames = len(analysis.times)
    table = Table("stage", "seconds", "frames/s")
    for name, seconds in rows:
        table.add_row(name, f"{seconds:.2f}", f"{frames / seconds:.1f}")
    console = Console()
    console.print(
        f"{clip.name}: {info.width}x{info.height}, {frames} frames, {len(tracks)} people, {networks.device}"
    )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
