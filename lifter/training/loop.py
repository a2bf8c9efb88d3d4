"""One loop that trains every lifter.

Every draw depends on the seed and the number of the step alone, so a run that was killed and resumed ends
with the same weights as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from lifter.batches import Batch, Source
from lifter.models.blocks import disable_dropout
from lifter.spec import Lifter
from lifter.training.losses import mpjpe_loss
from lifter.training.paper_losses import answered
from lifter.training.parallel import SINGLE_PROCESS, ProcessGroup
from lifter.training.presets import Preset
from lifter.training.state import Stateful, TrainingState

MEASURE = "validation_mpjpe_mm"
VALIDATION_BATCHES = 8


@dataclass(frozen=True)
class TrainSettings:
    """What a run needs to know beside the recipe. `steps` are of the optimiser, in all."""

    steps: int
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
    """Trains `lifter` in place and yields after each step; at the end it holds the averaged (EMA) weights.

    Writes `state.pt` (to resume from) and `log.csv` into `folder`. When `state.pt` is there already, training
    goes on from it. Each process of a team draws its own batches. `stop` is asked after every step.

    Raises:
        WeightsError: `state.pt` is of another training.
    """
    device = torch.device(settings.device)
    lifter.to(device).train()
    if not preset.dropout:
        disable_dropout(lifter)
    loss_of = preset.loss()
    memory: dict[str, Stateful] = {"loss": loss_of} if isinstance(loss_of, Stateful) else {}
    state = TrainingState(lifter, preset.optimise(lifter), folder, asdict(settings), MEASURE, memory, team)
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
        state.log(loss.item(), None if measured is None else 1000 * measured)
        stopping = stop()
        if last or stopping or state.step % settings.save_every == 0:
            state.save()
        yield Progress(state.step, loss.item(), measured)
        if stopping:
            return
    state.finish()


def _validate(lifter: Lifter, source: Source, device: torch.device) -> float:
    """MPJPE in metres on the first batches of a source, the same every time."""
    errors = []
    for step in range(VALIDATION_BATCHES):
        batch: Batch = source.batch(step).to(device)
        joints = lifter.lift(batch.keypoints).joints
        errors.append(mpjpe_loss(joints, answered(batch.joints, joints)).item())
    return sum(errors) / len(errors)
