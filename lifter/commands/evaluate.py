"""`python -m lifter evaluate`: by the papers' protocols on Human3.6M, or on motion capture with noisy 2D."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lifter.evaluation.h36m import Figures, Report
    from lifter.evaluation.mocap import Measured
    from lifter.network import Lifter
    from lifter.spec import LifterSpec

    Loaded = dict[str, tuple[Lifter, LifterSpec]]


def evaluate(
    model: Annotated[
        list[str],
        typer.Option(help="A name in weights/manifest.toml or a weights file; with --weights, a lifter."),
    ],
    data: Annotated[Path, typer.Option(help="Human3.6M in VideoPose3D's layout, or the motion capture.")],
    weights: Annotated[
        list[Path] | None, typer.Option(help="The weights file of each --model, the authors' or ours.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="test, val (motion capture only) or train; by subject.")
    ] = "test",
    keypoints: Annotated[
        str, typer.Option(help="Human3.6M's 2D: gt, cpn_ft_h36m_dbb...")
    ] = "cpn_ft_h36m_dbb",
    windows: Annotated[
        Literal["paper", "app"], typer.Option(help="On Human3.6M: cut as the papers do, or as the app does.")
    ] = "paper",
    noise: Annotated[bool, typer.Option(help="2D as a detector gives it, or exact projections.")] = True,
    flip: Annotated[bool, typer.Option(help="Average with the mirrored input.")] = True,
    smooth: Annotated[bool, typer.Option(help="Also smooth, as the app does.")] = False,
    first_stage: Annotated[
        str | None, typer.Option(help="For the authors' refinement files: the JointFormer, a name or a file.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of cameras and noise.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="On Human3.6M: windows at a time.")] = 32,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures here.")] = None,
) -> None:
    """Print MPJPE, P-MPJPE, N-MPJPE, MPJVE and PCK of each model on the same data, next to published figures.

    On Human3.6M: per action, and both means. On motion capture: the same clips, cameras and noise for all
    (--noise and --seed are for these only).
    """
    import json

    from common.files import replace_file
    from lifter.datasets.h36m import is_h36m
    from lifter.evaluation.h36m import Settings

    loaded = _load(model, weights, first_stage)
    if is_h36m(data):
        settings = Settings(keypoints, windows, flip, smooth, batch)
        figures = _on_h36m(loaded, data, split, settings, device)
    else:
        figures = _on_mocap(loaded, data, split, noise, flip, smooth, seed, device)
    if json_file is not None:
        with replace_file(json_file) as temporary:
            temporary.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _load(models: list[str], weights: list[Path] | None, first_stage: str | None) -> Loaded:
    from common.weights import resolve
    from lifter.checkpoints.files import load_checkpoint

    if weights and len(weights) != len(models):
        raise typer.BadParameter(f"{len(weights)} --weights for {len(models)} --model: give one for each")
    first = None if first_stage is None else resolve(first_stage, "lifter", offline=False)
    loaded: Loaded = {}
    for number, name in enumerate(models):
        path, lifter = (weights[number], name) if weights else (resolve(name, "lifter", offline=False), None)
        built, found, config = load_checkpoint(path, lifter, first)
        loaded[name] = built, found.spec(config)
    return loaded


def _on_h36m(loaded: Loaded, data: Path, split: str, settings: Any, device: str) -> dict[str, Any]:
    from dataclasses import asdict

    from rich.progress import track

    from common.errors import DataError
    from lifter.datasets.h36m import SPLITS, load_h36m
    from lifter.evaluation.h36m import clip_count, measure, report

    if split not in SPLITS:
        raise DataError(f"{data}: Human3.6M has no split {split!r}; use {' or '.join(SPLITS)}")
    takes = load_h36m(data, settings.keypoints, SPLITS[split])
    reports: dict[str, Report] = {}
    for name, (lifter, spec) in loaded.items():
        steps = measure(lifter, spec, takes, settings, device=device)
        total = clip_count(takes, spec)
        reports[name] = report(
            spec, takes, settings, track(steps, total=total, description=name, transient=True)
        )
        _show(name, reports[name])
    return {"models": {name: asdict(each) for name, each in reports.items()}}


def _show(name: str, report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    from lifter.evaluation.true_scale import LEFT_OUT

    def row(label: str, f: Figures) -> None:
        values = [f.mpjpe, f.p_mpjpe, f.n_mpjpe, f.mpjve, f.pck, f.auc]
        if f.true_scale is not None:
            values += [f.true_scale.mpjpe, f.true_scale.p_mpjpe]
        table.add_row(label, *(f"{value:.1f}" for value in values))

    caption = "mm, MPJVE mm/frame, PCK at 150 mm and its AUC in %"
    columns = ["MPJPE", "P-MPJPE", "N-MPJPE", "MPJVE", "PCK", "AUC"]
    if scaled := report.frame_averaged.true_scale is not None:
        caption += f"; true scale: of each frame, {len(LEFT_OUT)} sequences of S9 left out, as in its paper"
        columns += ["MPJPE, true scale", "P-MPJPE, true scale"]
    table = Table(title=name, caption=caption, title_justify="left")
    table.add_column(no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    for action, figures in report.actions.items():
        row(action, figures)
    table.add_section()
    row("action-averaged", report.action_averaged)
    row("frame-averaged", report.frame_averaged)
    note = f"No figure is published for {report.lifter} on this 2D with this window."
    if (p := report.published) is not None:
        second = "" if p.p_mpjpe is None else f"{p.p_mpjpe:.1f}"
        elsewhere = [""] * (6 if scaled else 0)
        table.add_row(f"published, {p.mean[:-1]}-averaged", *elsewhere, f"{p.mpjpe:.1f}", second)
        note = f"Published figures: {p.source}."
    console = Console(highlight=False)
    console.print(report.protocol)
    console.print(table)
    console.print(note)


def _on_mocap(
    loaded: Loaded, data: Path, split: str, noise: bool, flip: bool, smooth: bool, seed: int, device: str
) -> dict[str, Any]:
    from dataclasses import asdict

    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from lifter.angles import NAMES
    from lifter.datasets.mocap.folders import load_motion
    from lifter.datasets.synthetic.noise import NoiseModel
    from lifter.evaluation.mocap import CLIP_FRAMES, virtual_clips, virtual_views
    from lifter.evaluation.mocap import evaluate as measure

    takes = load_motion(data, split)
    model = NoiseModel() if noise else None
    synthetic = {1: virtual_clips(takes, seed, model)}
    rows: dict[str, Measured] = {}
    for name, (lifter, spec) in loaded.items():
        if spec.views not in synthetic:
            synthetic[spec.views] = virtual_views(takes, seed, model, spec.views)
        clips = synthetic[spec.views]
        steps = measure(lifter, spec, clips, flip=flip, smoothed=smooth, device=device)
        for _, measured in track(steps, total=len(clips) + 1, description=name, transient=True):
            if measured is not None:
                rows[name] = measured
    title = (
        f"{len(synthetic[1])} clips of {CLIP_FRAMES} frames at 50 fps, split {split}, one random camera each "
        f"(seed {seed}){_around(synthetic)}, {'noisy' if noise else 'exact'} 2D, flip averaging "
        f"{'on' if flip else 'off'}, smoothing {'on' if smooth else 'off'}; root-relative, camera axes, 17 "
        "joints, mean over frames"
    )
    table = Table()
    table.add_column("model", no_wrap=True)
    columns = (
        "MPJPE mm",
        "P-MPJPE mm",
        "N-MPJPE mm",
        "MPJVE mm/frame",
        "PCK@150 %",
        "up deg",
        "causal MPJPE mm",
    )
    for column in columns:
        table.add_column(column, justify="right")
    angles = Table(caption="mean absolute error in degrees / predicted over true range", title_justify="left")
    for column in ("model", *NAMES):
        angles.add_column(column, no_wrap=True)
    for name, m in rows.items():
        values = (m.mpjpe, m.p_mpjpe, m.n_mpjpe, m.mpjve, m.pck, m.up_degrees, m.causal_mpjpe)
        table.add_row(name, *(f"{value:.1f}" for value in values))
        angles.add_row(name, *(f"{a.error:.1f} / {a.range_ratio:.2f}" for a in m.angles.values()))
    console = Console(highlight=False)
    console.print(title)
    console.print(table)
    console.print(angles)
    return {"protocol": title, "models": {name: asdict(m) for name, m in rows.items()}}


def _around(synthetic: Iterable[int]) -> str:
    """Return the addition to the protocol if lifters of several views are measured, else ""."""
    several = [str(views) for views in synthetic if views > 1]
    if not several:
        return ""
    return f" (lifters of {' or '.join(several)} views: as many around the person, in the first's level axes)"
