"""`python -m lifter train`: train any lifter on motion capture through virtual cameras, or on Human3.6M."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from lifter.batches import Source
    from lifter.network import Lifter, ModelEntry
    from lifter.spec import LifterSpec
    from lifter.training.presets import Preset


def train(
    model: Annotated[str, typer.Option(help="NAME or NAME:VARIANT (python -m lifter list --details).")],
    data: Annotated[Path, typer.Option(help="Motion capture, or Human3.6M in VideoPose3D's layout.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, the log and the weights.")],
    recipe: Annotated[
        Literal["paper", "synthetic"] | None,
        typer.Option(help="The authors', or ours for motion capture. [default: as the data is]"),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Batches in all. [default: the recipe's]")] = None,
    batch: Annotated[int | None, typer.Option(min=2, help="Windows a batch. [default: the recipe's]")] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Frames a window. [default: the recipe's or variant's]")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak learning rate. [default: the recipe's]")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change the network: width=64, refiner.layers=1.")
    ] = None,
    keypoints: Annotated[
        str, typer.Option(help="Human3.6M's 2D: gt, cpn_ft_h36m_dbb...")
    ] = "cpn_ft_h36m_dbb",
    init: Annotated[Path | None, typer.Option(help="Start from these weights.")] = None,
    first_stage: Annotated[
        str | None, typer.Option(help="For refinement: the JointFormer it refines, a name or a file.")
    ] = None,
    self_supervised: Annotated[
        bool, typer.Option("--self-supervised", help="Several views without any 3D label (ESMformer).")
    ] = False,
    noise: Annotated[
        bool, typer.Option(help="Motion capture: 2D as a detector gives it, or exact projections.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Everything drawn depends on it and on the step alone.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    bf16: Annotated[bool, typer.Option(help="Compute in bfloat16.")] = True,
) -> None:
    """Train, and write OUT/MODEL.safetensors. The same command resumes an interrupted training.

    On several GPUs: accelerate launch --num_processes 4 -m lifter train ...; --batch is of each.
    """
    import copy
    from dataclasses import replace

    import torch
    from rich.progress import Progress

    from common.errors import UserError
    from lifter.checkpoints.files import load_checkpoint, save_checkpoint
    from lifter.datasets.h36m import is_h36m
    from lifter.registry import resolve
    from lifter.training.loop import TrainSettings
    from lifter.training.loop import train as run
    from lifter.training.parallel import init_distributed
    from lifter.training.plots import draw_log
    from lifter.training.presets import preset

    found, config = resolve(model)
    synthetic = recipe == "synthetic" if recipe else not is_h36m(data)
    plan = preset(found.name, synthetic, self_supervised)
    for change in settings or []:
        config = _changed(config, change)
    if frames is not None and _fixed(found.spec(config)):
        config = _changed(config, f"frames={frames}")
    if self_supervised:
        config = _self_supervised(found, config)
    torch.manual_seed(seed)
    if init is not None:
        lifter, found, config = load_checkpoint(init, found.name)
        if settings:
            lifter, config = _grown(lifter, found, config, settings)
    else:
        lifter, config = _built(found, config, first_stage)
    spec = found.spec(config)
    if spec.units == "input":
        raise UserError(
            f"{model} answers in units of the picture, and what is trained on is in metres: train "
            f"{found.name}:small, or another size with --set person_relative=True"
        )
    if init is not None and _fixed(spec) and frames not in (None, spec.frames):
        raise UserError(f"--init {init} reads windows of {spec.frames} frames: leave --frames away")
    plan = replace(
        plan,
        frames=spec.frames if _fixed(spec) else frames or plan.frames,
        batch=batch or plan.batch,
        learning_rate=learning_rate or plan.learning_rate,
        steps=steps or plan.steps,
    )
    source, validation = _sources(data, spec, plan, keypoints, seed, noise)
    team = init_distributed()
    total = plan.steps or max(plan.epochs * len(source) // (plan.batch * team.count), 1)
    chosen = TrainSettings(total, seed, bf16, team.device(device))
    with Progress(disable=not team.first) as bars:
        task = bars.add_task("training", total=total)
        for state in run(lifter, source, validation, out, plan, chosen, team=team):
            bars.update(task, completed=state.step, description=f"loss {state.loss:.3f}")
            if state.validation is not None and team.first:
                figures = ", ".join(f"{name} {value:.2f}" for name, value in vars(state.validation).items())
                bars.console.print(f"step {state.step}: {figures}")
    if not team.first:
        return
    target = out / f"{found.name}.safetensors"
    notes = {"steps": total, "batch": plan.batch, "frames": plan.frames, "seed": seed}
    texts = {key: str(value) for key, value in notes.items()}
    save_checkpoint(target, copy.deepcopy(lifter).cpu().half(), found.name, config, texts)
    draw_log(out / "log.csv", out / "log.png")
    typer.echo(str(target))


def _fixed(spec: LifterSpec) -> bool:
    """Whether a lifter reads windows of one length only, of several frames."""
    return spec.frames > 1 and spec.joints == "h36m17"


def _changed(config: Any, change: str) -> Any:
    """Return a configuration with one value changed: `name=value`, or `part.name=value` in a nested one."""
    import ast
    from dataclasses import is_dataclass, replace

    from common.errors import UserError

    name, equals, text = change.partition("=")
    first, dot, rest = name.partition(".")
    known = ", ".join(vars(config))
    if not equals or first not in vars(config):
        raise UserError(f"--set {change}: write NAME=VALUE with one of {known}")
    before = getattr(config, first)
    if dot and is_dataclass(before):
        return replace(config, **{first: _changed(before, f"{rest}={text}")})
    try:
        value = text if isinstance(before, str) else ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = None
    if isinstance(before, float) and isinstance(value, int):
        value = float(value)
    if type(value) is not type(before):
        raise UserError(f"--set {change}: {first} is a {type(before).__name__}, such as {before!r}")
    return replace(config, **{first: value})


def _self_supervised(found: ModelEntry, config: Any) -> Any:
    from dataclasses import replace

    from common.errors import UserError

    if found.spec(config).views == 1:
        raise UserError(f"--self-supervised needs a lifter of several views; {found.name} has one")
    return replace(config, self_supervised=True)


def _built(found: ModelEntry, config: Any, first_stage: str | None) -> tuple[Lifter, Any]:
    """Build a lifter with fresh weights; a refinement contains a trained JointFormer."""
    from dataclasses import replace

    from common.errors import UserError, WeightsError
    from common.weights import resolve
    from lifter.checkpoints.files import load_checkpoint

    if found.name != "refinement":
        return _build(found, config), config
    if first_stage is None:
        raise UserError("refinement is trained on a finished JointFormer: name it with --first-stage")
    path = resolve(first_stage, "lifter", offline=False)
    first, _, pose = load_checkpoint(path, "jointformer")
    if pose.joints != 17 or not pose.error_prediction:
        raise WeightsError(f"{path}: the first stage has to predict 17 joints and their errors")
    config = replace(config, pose=pose)
    lifter = _build(found, config)
    lifter.get_submodule("pose").load_state_dict(first.state_dict())
    return lifter, config


def _grown(lifter: Lifter, found: ModelEntry, config: Any, settings: list[str]) -> tuple[Lifter, Any]:
    """Enlarge the lifter to the sizes of --set, with the same output until it is trained."""
    from common.errors import UserError

    for change in settings:
        config = _changed(config, change)
    try:
        if found.grow is None:
            raise ValueError(f"weights of {found.name} bring its own network")
        return found.grow(lifter, config), config
    except ValueError as error:
        raise UserError(f"--set {' --set '.join(settings)} does not go with --init: {error}") from error


def _build(found: ModelEntry, config: Any) -> Lifter:
    from common.errors import UserError

    try:
        return found.build(config)
    except (ValueError, RuntimeError, ZeroDivisionError, AssertionError) as error:
        raise UserError(f"no {found.name} can be built of {config}: {error}") from error


def _sources(
    data: Path, spec: LifterSpec, plan: Preset, keypoints: str, seed: int, noise: bool
) -> tuple[Source, Source | None]:
    """Return training batches, and validation batches (always noisy) if subjects are held out."""
    from lifter.datasets.h36m import SPLITS, is_h36m, load_h36m
    from lifter.datasets.h36m_windows import H36MWindows

    held_out = min(plan.batch, 64)
    if is_h36m(data):
        takes = {split: load_h36m(data, keypoints, subjects) for split, subjects in SPLITS.items()}
        return (
            H36MWindows(takes["train"], spec, keypoints, plan.batch, plan.frames, seed, plan.flip),
            H36MWindows(takes["test"], spec, keypoints, held_out, plan.frames, 0, "never"),
        )
    from common.errors import DataError
    from lifter.datasets.mocap.folders import load_motion
    from lifter.datasets.synthetic.bodies import MEASURED_SHARES, MotionWindows
    from lifter.datasets.synthetic.cameras import VirtualClips
    from lifter.datasets.synthetic.windows import MultiviewWindows, SyntheticWindows

    kind = SyntheticWindows if spec.views == 1 else MultiviewWindows

    motion = MotionWindows(load_motion(data, "train"))
    clips = VirtualClips(motion) if noise else VirtualClips(motion, noise=None)
    source = kind(clips, spec, plan.batch, plan.frames, seed, plan.shorter)
    try:
        watched = VirtualClips(MotionWindows(load_motion(data, "val"), shares=MEASURED_SHARES))
        return source, kind(watched, spec, held_out, plan.frames, seed=0)
    except DataError as error:
        typer.echo(f"No validation data, training goes on without: {error}", err=True)
        return source, None
