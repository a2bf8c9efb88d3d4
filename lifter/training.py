"""One loop that trains a lifter on motion capture seen through virtual cameras.

Every draw depends on the seed and the number of the step alone, so a run that was killed and resumed ends
with the same weights as one that was not.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lifter.contracts import Lifted, Lifter
from lifter.datasets.virtual import VirtualBatch, VirtualClips
from lifter.files import replace_file
from lifter.losses import direction_loss, mpjpe_loss, velocity_loss, weighted_mpjpe

# Limbs weigh more the farther they are from the trunk, less steeply than in KTPFormer.
JOINT_WEIGHTS = (1, 1, 1.3, 1.6, 1, 1.3, 1.6, 1, 1, 1, 1, 1, 1.5, 2, 1, 1.5, 2)


@dataclass(frozen=True)
class TrainSettings:
    """Every knob of a training. `frames` is the length of the windows drawn."""

    steps: int = 20_000
    batch: int = 64
    frames: int = 81
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    warmup: int = 300
    clip_norm: float = 1.0
    ema: float = 0.999
    velocity_weight: float = 2.0
    up_weight: float = 1.0
    seed: int = 1
    bf16: bool = True
    device: str = "cpu"
    validate_every: int = 500
    save_every: int = 250


@dataclass(frozen=True)
class Progress:
    """What is reported after each step; `validation` (metres) only where it was measured."""

    step: int
    loss: float
    validation: float | None


def wild_loss(lifted: Lifted, batch: VirtualBatch, settings: TrainSettings) -> Tensor:
    """Weighted MPJPE + velocity error + the direction of up, where the lifter predicts it."""
    weights = lifted.joints.new_tensor(JOINT_WEIGHTS)
    loss = weighted_mpjpe(lifted.joints, batch.joints, weights)
    loss = loss + settings.velocity_weight * velocity_loss(lifted.joints, batch.joints)
    if lifted.up is not None:
        loss = loss + settings.up_weight * direction_loss(lifted.up, batch.up[:, None].expand_as(lifted.up))
    return loss


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Linear warm-up, then a cosine down to a hundredth."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    part = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(part, 1.0))))


def train(
    lifter: Lifter,
    clips: VirtualClips,
    validation: VirtualClips | None,
    folder: Path,
    settings: TrainSettings,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Progress]:
    """Trains `lifter` in place and yields after each step; at the end it holds the averaged (EMA) weights.

    Writes `state.pt` (to resume from), `log.csv` and `settings` into `folder`. When `state.pt` is there
    already, training goes on from it. `stop` is asked after every step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device = torch.device(settings.device)
    lifter.to(device).train()
    optimizer = torch.optim.AdamW(
        lifter.parameters(), settings.learning_rate, betas=(0.9, 0.98), weight_decay=settings.weight_decay
    )
    average = {key: value.detach().clone() for key, value in lifter.state_dict().items()}
    state_file = folder / "state.pt"
    first = _resume(state_file, lifter, optimizer, average, settings) if state_file.is_file() else 0
    _trim_log(folder / "log.csv", first)

    for step in range(first, settings.steps):
        torch.manual_seed(settings.seed * 1_000_003 + step)
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        batch = _to(clips.batch(settings.batch, settings.frames, generator).centred(), device)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, settings)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16):
            lifted = lifter.lift(batch.keypoints)
        loss = wild_loss(lifted, batch, settings)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(lifter.parameters(), settings.clip_norm)
        optimizer.step()
        _update_average(average, lifter, min(settings.ema, (step + 1) / (step + 10)))

        measured = None
        done = step + 1
        if validation is not None and (done % settings.validate_every == 0 or done == settings.steps):
            measured = _validate(lifter, average, validation, settings)
        if done % settings.save_every == 0 or done == settings.steps:
            _save(state_file, lifter, optimizer, average, done, settings)
        if measured is not None or done % 50 == 0:
            _log(folder / "log.csv", done, loss.item(), measured)
        yield Progress(done, loss.item(), measured)
        if stop():
            _save(state_file, lifter, optimizer, average, done, settings)
            return
    lifter.load_state_dict(average)
    lifter.eval()


def _to(batch: VirtualBatch, device: torch.device) -> VirtualBatch:
    return VirtualBatch(*(value.to(device) for value in vars(batch).values()))


@torch.no_grad()
def _update_average(average: dict[str, Tensor], lifter: nn.Module, keep: float) -> None:
    for key, value in lifter.state_dict().items():
        if value.is_floating_point():
            average[key].lerp_(value, 1 - keep)
        else:
            average[key].copy_(value)


@torch.no_grad()
def _validate(
    lifter: Lifter, average: dict[str, Tensor], clips: VirtualClips, settings: TrainSettings
) -> float:
    """MPJPE in metres of the averaged weights on the same 512 windows every time."""
    own = {key: value.clone() for key, value in lifter.state_dict().items()}
    lifter.load_state_dict(average)
    lifter.eval()
    generator = torch.Generator().manual_seed(0)
    errors = []
    for _ in range(8):
        batch = _to(clips.batch(64, settings.frames, generator).centred(), torch.device(settings.device))
        errors.append(mpjpe_loss(lifter.lift(batch.keypoints).joints, batch.joints).item())
    lifter.load_state_dict(own)
    lifter.train()
    return sum(errors) / len(errors)


def _save(
    path: Path,
    lifter: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor],
    step: int,
    settings: TrainSettings,
) -> None:
    state = {
        "step": step,
        "model": lifter.state_dict(),
        "average": average,
        "optimizer": optimizer.state_dict(),
        "settings": asdict(settings),
    }
    with replace_file(path) as temporary:
        torch.save(state, temporary)


def _resume(
    path: Path,
    lifter: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor],
    settings: TrainSettings,
) -> int:
    state: dict[str, Any] = torch.load(path, map_location=settings.device, weights_only=True)
    lifter.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    for key, value in state["average"].items():
        average[key].copy_(value)
    return int(state["step"])


def _trim_log(path: Path, step: int) -> None:
    """Drops what was logged after the checkpoint, or starts the file."""
    rows = [["step", "loss", "validation_mpjpe_mm"]]
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            rows += [row for row in list(csv.reader(file))[1:] if row and int(row[0]) <= step]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def _log(path: Path, step: int, loss: float, validation: float | None) -> None:
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(
            [step, f"{loss:.5f}", "" if validation is None else f"{validation * 1000:.2f}"]
        )
