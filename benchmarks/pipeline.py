"""Speed of the stages of the application on a clip.

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

from demo.analysis import analyse
from demo.models import load_models
from demo.motion.lifting import lift_tracks
from demo.motion.world import place_shots
from demo.pipeline import render
from demo.render.clip import ClipRenderer
from demo.settings import Settings
from demo.tracking.roles import main_people
from demo.types import no_progress
from demo.video.reader import probe


def main(
    clip: Path,
    detector: Annotated[str, typer.Option()] = "auto",
    pose: Annotated[str, typer.Option()] = "auto",
    lifter: Annotated[str, typer.Option()] = "auto",
    device: Annotated[str, typer.Option()] = "auto",
) -> None:
    """Print seconds and frames a second of each stage, the networks loaded and warm."""
    settings = Settings.of(detector=detector, pose=pose, lifter=lifter, device=device)
    models = load_models(settings)()
    info = probe(clip)
    analyse(info, settings.but(end=min(0.5, info.duration or 0.5)).analysis, models, no_progress)
    rows: list[tuple[str, float]] = []
    start = time.perf_counter()
    analysis = analyse(info, settings.analysis, models, no_progress)
    rows.append(("analyse: decode, detect, track, keypoints", time.perf_counter() - start))
    start = time.perf_counter()
    tracks, times = analysis.tracks, analysis.times
    poses = lift_tracks(tracks, times, info.size, models.lifter, models.spec)
    motion, scenes = place_shots(poses, times, analysis.shots, info.size)
    rows.append(("lift: 3D, smooth, level", time.perf_counter() - start))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        forwards = [scene.rotation[:, 2].tolist() for scene in scenes]
        main = main_people(tracks, analysis.shots, info.size)
        renderer = ClipRenderer(
            [info], motion, tracks.keypoints[None], forwards, settings.render, main, analysis.shots
        )
        render([info], renderer, times, Path(folder) / "out.mp4", settings.analysis, no_progress)
        rows.append(("render: decode, draw, encode", time.perf_counter() - start))
    frames = len(times)
    table = Table("stage", "seconds", "frames/s")
    for name, seconds in rows:
        table.add_row(name, f"{seconds:.2f}", f"{frames / seconds:.1f}")
    console = Console()
    console.print(
        f"{clip.name}: {info.width}x{info.height}, {frames} frames, {len(motion)} people, {models.device}"
    )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
