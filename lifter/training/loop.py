"""One loop that trains every lifter.

Random numbers depend on the seed and the step alone, so a resumed run ends with the same weights as an
uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

import numpy as np
import torch

from lifter.angles import angle_between, flexion
from lifter.batches import Batch, Source
from lifter.evaluation.metrics import mpjpe_per_frame
from lifter.models.blocks import disable_dropout
from lifter.network import Lifter
from lifter.training.paper_losses import answered
from lifter.training.parallel import SINGLE_PROCESS, ProcessGroup
from lifter.training.presets import Preset
from lifter.training.state import Stateful, TrainingState

VALIDATION_BATCHES = 8
STRAIGHT = 10.0  # degrees of flexion; a knee with less is straight
MOVES = 20.0  # degrees; a knee with a smaller true range is still, and its range ratio is noise


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a run besides the recipe. `steps`: total optimiser steps."""

    steps: int
    seed: int = 1
    bf16: bool = True
    device: str = "cpu"
    validate_every: int = 500
    save_every: int = 250


@dataclass(frozen=True)
class Validation:
    """Means over held-out windows; NaN if a lifter does not predict the quantity.

    validation_mpjpe_mm: all frames. last_frame_mpjpe_mm: the last frame of each window, lifted without later
    frames, as in live use. straight_knee_bias: predicted minus true flexion in degrees, where the true one is
    below `STRAIGHT`. knee_range: median of predicted over true range of knee flexion within a window.
    up_degrees: angle between predicted and true vertical.
    """

    validation_mpjpe_mm: float
    last_frame_mpjpe_mm: float
    straight_knee_bias: float
    knee_range: float
    up_degrees: float


@dataclass(frozen=True)
class Progress:
    """Report of a step; `validation` is None if it was not measured."""

    step: int
    loss: float
    validation: Validation | None


MEASURES = tuple(field.name for field in fields(Validation))


def train(
    lifter: Lifter,
    source: Source,
    validation: Source | None,
    folder: Path,
    preset: Preset,
    settings: TrainSettings,
    stop: Callable[[], bool] = lambda: False,
    team: ProcessGroup = SINGLE_PROCESS,
) -> Iterator[Progress]:
    """Train `lifter` in place and yield after each step; at the end it has the averaged (EMA) weights.

    Writes `state.pt` (to resume from) and `log.csv` into `folder`, and resumes from an existing `state.pt`.
    Each process of a group draws its own batches. `stop` is called after every step; training stops after the
    first True.

    Raises:
        WeightsError: `state.pt` is of another training.
    """
    device = torch.device(settings.device)
    lifter.to(device).train()
    if not preset.dropout:
        disable_dropout(lifter)
    loss_of = preset.loss()
    memory: dict[str, Stateful] = {"loss": loss_of} if isinstance(loss_of, Stateful) else {}
    state = TrainingState(lifter, preset.optimise(lifter), folder, asdict(settings), MEASURES, memory, team)
    epoch = max(len(source) // (preset.batch * team.count), 1)
    while state.step < settings.steps:
        draw = state.step * team.count + team.rank
        torch.manual_seed(settings.seed * 1_000_003 + draw)  # dropout
        batch = source.batch(draw).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16):
            loss = loss_of(lifter, batch)
        rate = preset.rate(state.step, settings.steps, epoch)
        state.update(loss, rate, preset.clip_norm, preset.ema)

        measured = None
        last = state.step == settings.steps
        if validation is not None and (last or state.step % settings.validate_every == 0):
            with state.averaged():
                measured = _validate(lifter, validation, device)
        state.log(loss.item(), None if measured is None else list(astuple(measured)))
        stopping = stop()
        if last or stopping or state.step % settings.save_every == 0:
            state.save()
        yield Progress(state.step, loss.item(), measured)
        if stopping:
            return
    state.finish()


def _validate(lifter: Lifter, source: Source, device: torch.device) -> Validation:
    """Evaluate on the first batches of a source, the same every time."""
    found, true, tilts = [], [], []
    for step in range(VALIDATION_BATCHES):
        batch: Batch = source.batch(step).to(device)
        lifted = lifter.lift(batch.keypoints)
        found.append(lifted.joints.float().cpu().numpy())
        true.append(answered(batch.joints, lifted.joints).cpu().numpy())
        if lifted.up is not None and batch.up is not None:
            up = lifted.up.float().mean(1).cpu().numpy()
            tilts.append(angle_between(up, batch.up.cpu().numpy()))
    joints, target = np.concatenate(found), np.concatenate(true)
    errors = mpjpe_per_frame(joints, target) * 1000
    bent, truly = flexion(joints, "knee"), flexion(target, "knee")
    straight = truly < STRAIGHT
    ranges, true_ranges = np.ptp(bent, axis=1), np.ptp(truly, axis=1)
    moves = true_ranges > MOVES
    return Validation(
        validation_mpjpe_mm=float(errors.mean()),
        last_frame_mpjpe_mm=float(errors[:, -1].mean()),
        straight_knee_bias=float((bent - truly)[straight].mean()) if straight.any() else math.nan,
        knee_range=float(np.median(ranges[moves] / true_ranges[moves])) if moves.any() else math.nan,
        up_degrees=float(np.concatenate(tilts).mean()) if tilts else math.nan,
    )
