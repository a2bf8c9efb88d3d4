"""Distil a larger or better trained detector into a small one.

Labels exist for a few thousand pictures only. A teacher gives targets for any picture, also for one composed
of four others, and they are dense: a score and a box in every cell, and features, which describe more than
people. Therefore no labels are needed, and the pictures may show anything. Sources: Romero et al., "FitNets",
2015 (features); Beyer et al., "Knowledge distillation: a good teacher is patient and consistent", 2022
(identical pixels as input of teacher and student).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from common.errors import UserError
from demo.training.ahead import drawn_ahead
from demo.training.mosaics import as_input, compose
from demo.training.muon import Muon
from demo.types import Image
from lifter.training.state import TrainingState, warmup_cosine

_HINTS = 3.0  # weight of the loss on features, relative to that on scores and boxes
_HELD_OUT, _HELD_OUT_BATCH = 64, 16  # mosaics to measure on, and how many at a time: the loss is per batch
_HELD_OUT_SIZE = 320


@dataclass(frozen=True)
class DetectorDistillation:
    """The settings of the training."""

    steps: int = 10_000
    batch: int = 16
    sizes: tuple[int, ...] = (192, 224, 256, 320, 352)  # of the square pictures, drawn for every batch
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: int = 200
    clip_norm: float = 1.0
    ema: float = 0.998
    seed: int = 1
    device: str = "cpu"
    validate_every: int = 500
    save_every: int = 200


@dataclass(frozen=True)
class DetectorOutput:
    """The output of a YOLO for a batch, and the features it is computed from; one entry per pyramid level."""

    scores: list[Tensor]  # (N, classes, h, w), logits
    sides: list[Tensor]  # (N, 4 * bins, h, w), logits of the distances to a box's sides
    features: list[Tensor]  # (N, c, h, w), of the layers with skip connections and of the head's branches


def predict(network: Any, inputs: Tensor) -> DetectorOutput:
    """Run ultralytics' layers one by one, and keep the features between them."""
    kept: dict[int, Tensor] = {}
    x: Any = inputs
    *layers, head = network.model
    for layer in layers:
        if layer.f != -1:
            sources = [layer.f] if isinstance(layer.f, int) else layer.f
            chosen = [x if source == -1 else kept[source] for source in sources]
            x = chosen[0] if isinstance(layer.f, int) else chosen
        x = layer(x)
        if layer.i in network.save:
            kept[layer.i] = x
    features, scores, sides = list(kept.values()), [], []
    for level, box, classes in zip((kept[i] for i in head.f), head.cv2, head.cv3, strict=True):
        towards, what = box[:-1](level), classes[:-1](level)
        features += [towards, what]
        sides.append(box[-1](towards))
        scores.append(classes[-1](what))
    return DetectorOutput(scores, sides, features)


class Student(nn.Module):
    """The network that is trained, and 1x1 convolutions from its features to the teacher's channels."""

    def __init__(self, network: nn.Module, teacher: nn.Module) -> None:
        super().__init__()
        with torch.no_grad():
            example = torch.zeros(2, 3, 64, 64)
            own, wanted = predict(network.eval(), example).features, predict(teacher.eval(), example).features
        sizes = [[feature.shape[2:] for feature in answer] for answer in (own, wanted)]
        if sizes[0] != sizes[1]:
            raise UserError("the teacher sees in other resolutions than the network: choose a YOLO11")
        self.network = network
        self.towards = nn.ModuleList(
            nn.Conv2d(mine.shape[1], theirs.shape[1], 1) for mine, theirs in zip(own, wanted, strict=True)
        )


def distillation_loss(found: DetectorOutput, wanted: DetectorOutput, person: int) -> Tensor:
    """Return the loss of a student with one class against its teacher's class number `person`.

    It is the divergence of the scores in every cell, and of the boxes' sides weighted by the teacher's score,
    over the sum of the teacher's scores; plus the unexplained variance of the teacher's features.
    """
    seen = [scores[:, person].float() for scores in wanted.scores]
    people = torch.stack([logits.sigmoid().sum() for logits in seen]).sum().clamp(min=1.0)
    answers = people.new_zeros(())
    for score, logits in zip(found.scores, seen, strict=True):
        answers = answers + _divergence(score[:, 0].float(), logits).sum()
    for mine, theirs, logits in zip(found.sides, wanted.sides, seen, strict=True):
        own, true = (side.float().unflatten(1, (4, -1)).log_softmax(2) for side in (mine, theirs))
        off = (true.exp() * (true - own)).sum((1, 2))
        answers = answers + (off * logits.sigmoid()).sum()
    hints = [
        unexplained_variance(mine.float(), theirs.float())
        for mine, theirs in zip(found.features, wanted.features, strict=True)
    ]
    return answers / people + _HINTS * torch.stack(hints).mean()


def _divergence(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of two Bernoulli distributions from their logits."""
    chance = wanted.sigmoid()
    cross_entropy = functional.binary_cross_entropy_with_logits(found, chance, reduction="none")
    return cross_entropy - functional.binary_cross_entropy_with_logits(wanted, chance, reduction="none")


def unexplained_variance(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the squared error of (N, c, h, w) over each channel's variance; predicting the mean gives 1."""
    variance = wanted.var((0, 2, 3))
    error = ((found - wanted) ** 2).mean((0, 2, 3))
    return (error / (variance + 0.01 * variance.mean())).mean()


def zeroed_projections(own: Sequence[int], wanted: Sequence[int]) -> nn.ModuleList:
    """Return 1x1 convolutions from a network's features to the wanted numbers of channels.

    Their weights are 0 at first, so that the loss does not change a trained network before they are learnt.
    """
    layers = nn.ModuleList(nn.Conv2d(mine, theirs, 1) for mine, theirs in zip(own, wanted, strict=True))
    for each in layers.parameters():
        nn.init.zeros_(each)
    return layers


def mean_unexplained_variance(
    layers: nn.ModuleList, own: Sequence[Tensor], wanted: Sequence[Tensor]
) -> Tensor:
    """Return the mean `unexplained_variance` of projected features."""
    left = [
        unexplained_variance(layer(mine).float(), theirs.float())
        for layer, mine, theirs in zip(layers, own, wanted, strict=True)
    ]
    return torch.stack(left).mean()


def train(
    network: nn.Module,
    teacher: nn.Module,
    person: int,
    pool: Sequence[Sequence[bytes]],
    held_out: Sequence[bytes],
    folder: Path,
    settings: DetectorDistillation,
) -> Iterator[tuple[int, float, float | None]]:
    """Train `network`, a YOLO of one class, in place; at the end it holds the averaged weights.

    Writes `state.pt` (to resume from) and `log.csv` into `folder`.

    Args:
        teacher: with the same levels of resolution and any number of classes; `person` is the one to learn.
        pool: sets of JPEG files; all sets are drawn equally often.
        held_out: JPEG files to measure on.

    Yields:
        After each step its number, the loss, and the loss of the held-out pictures if it was measured.

    Raises:
        UserError: the teacher has other levels of resolution.
        WeightsError: the folder holds the state of another training.
    """
    student = Student(network, teacher).to(settings.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    teacher.to(settings.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    student.train().requires_grad_(True)
    optimizer = Muon(student.parameters(), settings.learning_rate, settings.weight_decay)
    state = TrainingState(student, optimizer, folder, asdict(settings), ("held_out_loss",))
    fixed = np.random.default_rng(settings.seed)
    unseen = [compose([held_out], _HELD_OUT_SIZE, fixed) for _ in range(_HELD_OUT)]

    def loss(pictures: Sequence[Image]) -> Tensor:
        inputs = as_input(pictures).to(settings.device, memory_format=torch.channels_last)
        with torch.autocast(inputs.device.type, torch.bfloat16):
            with torch.no_grad():
                wanted = predict(teacher, inputs)
            found = predict(student.network, inputs)
            found = replace(
                found,
                features=[layer(mine) for layer, mine in zip(student.towards, found.features, strict=True)],
            )
        return distillation_loss(found, wanted, person)

    def batch(step: int) -> list[Image]:
        generator = np.random.default_rng([settings.seed, step])
        size = int(generator.choice(settings.sizes))
        return [compose(pool, size, generator) for _ in range(settings.batch)]

    for pictures in drawn_ahead(batch, state.step, settings.steps):
        value = loss(pictures)
        rate = warmup_cosine(state.step, settings.steps, settings.learning_rate, settings.warmup)
        state.update(value, rate, settings.clip_norm, settings.ema)
        measured = None
        last = state.step == settings.steps
        if last or state.step % settings.validate_every == 0:
            with state.averaged():
                starts = range(0, _HELD_OUT, _HELD_OUT_BATCH)
                measured = float(np.mean([loss(unseen[i : i + _HELD_OUT_BATCH]).item() for i in starts]))
        state.log(value.item(), None if measured is None else [measured])
        if last or state.step % settings.save_every == 0:
            state.save()
        yield state.step, value.item(), measured
    state.finish()
