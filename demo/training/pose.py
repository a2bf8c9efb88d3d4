"""The training of HRNet on crops of people.

Small pictures first: at half the size a step costs a quarter, and the network learns the rough places of
limbs. The last part of the training, at the full size, makes them precise. Random numbers depend on the seed
and the number of the step only, so an interrupted and resumed run gives the same result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from demo.pose.estimator import PoseEstimator, normalise
from demo.pose.hrnet import HRNet, HRNetConfig
from demo.training.ahead import drawn_ahead
from demo.training.augment import GENTLE, Augmentation, augmented, crowded, with_covered_heads
from demo.training.crops_dataset import LabelledPeople
from demo.training.feature_distillation import FeatureHints
from demo.training.heatmap_loss import candidate_heatmaps, heatmap_distillation_loss, heatmap_loss
from demo.training.muon import Muon
from demo.training.net2net import freeze_stem
from demo.training.pose_distillation import FeatureAdapter, Targets, Teacher, on_grid
from demo.types import Floats, Image
from lifter.training.parallel import SINGLE_PROCESS, ProcessGroup
from lifter.training.state import TrainingState, warmup_cosine

# (part of the steps, share of the input size)
SMALL_FIRST = ((0.4, 0.5), (0.3, 2 / 3), (0.3, 1.0))
FULL_SIZE = ((1.0, 1.0),)


@dataclass(frozen=True)
class PoseTraining:
    """The settings of the training. `sizes` are (part of the steps, share of the input size)."""

    steps: int = 20_000
    batch: int = 64
    sizes: tuple[tuple[float, float], ...] = SMALL_FIRST
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup: int = 300
    clip_norm: float = 1.0
    ema: float = 0.998
    hint_weight: float = 0.2
    seed: int = 1
    freeze_stem: bool = False  # the layers before stage 2 are not trained: a third less time a step
    gentle: bool = False  # weaker augmentation, for the end of a training
    bf16: bool = True
    device: str = "cpu"
    compiled: bool = False  # through torch.compile: a third less time a step, minutes at the start
    validate_every: int = 500
    save_every: int = 100


@dataclass(frozen=True)
class Progress:
    """The report after each step; `pck` of the held-out people, None if it was not measured."""

    step: int
    loss: float
    pck: float | None


def size_at(step: int, config: HRNetConfig, settings: PoseTraining) -> HRNetConfig:
    """Return the configuration with the input size of a step."""
    parts, shares = zip(*settings.sizes, strict=True)
    phase = int(np.searchsorted(np.cumsum(parts) * settings.steps, step, side="right"))
    share = shares[min(phase, len(shares) - 1)]
    width, height = (4 * round(side * share / 4) for side in config.input_size)
    return replace(config, input_size=(width, height))


def draw(
    people: LabelledPeople,
    input_size: tuple[int, int],
    batch: int,
    generator: np.random.Generator,
    how: Augmentation,
) -> tuple[list[Image], Floats]:
    """Draw crops (h, w, 3) BGR, and four sets of keypoints (batch, 4, 17, 3) in their pixels.

    The sets are the labels with their confidence, the two candidates of the target heatmaps with their
    heights, and the labels with their weights in the loss.
    """
    pictures, keypoints = [], []
    for index in generator.choice(len(people), batch, p=people.chances):
        surrounded = generator.random() < how.surrounded_chance
        around = people.picture(int(generator.integers(len(people)))) if surrounded else None
        label = people.keypoints[index]
        weighted = np.concatenate([label[:, :2], people.weights[index][:, None]], axis=1)
        sets = np.stack([label, *people.candidates[index], weighted])
        person = people.picture(index), sets, people.boxes[index]
        picture, points = augmented(*person, input_size, generator, how, around)
        pictures.append(picture)
        keypoints.append(points)
    return crowded(pictures, generator, how.crowd_chance), np.stack(keypoints)


def train(
    model: HRNet,
    config: HRNetConfig,
    people: LabelledPeople,
    held_out: LabelledPeople,
    folder: Path,
    settings: PoseTraining,
    hints: FeatureHints | None = None,
    teacher: Teacher | None = None,
    team: ProcessGroup = SINGLE_PROCESS,
) -> Iterator[Progress]:
    """Train `model` in place and yield after each step; at the end it holds the averaged weights.

    `hints` adds a loss on a detector's features. A `teacher` replaces labels by its heatmaps and features.
    Writes `state.pt` (to resume from) and `log.csv` into `folder`. Each process of a team draws its own
    batches; the first one measures.

    Raises:
        WeightsError: the folder holds the state of another training.
    """
    device = torch.device(settings.device)
    learning = nn.ModuleDict({"network": model})
    if hints is not None:
        learning["hints"] = hints
    adapter = FeatureAdapter(model, teacher.channels) if teacher is not None else None
    if adapter is not None:
        learning["listener"] = adapter
    learning.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    if settings.freeze_stem:
        freeze_stem(model)
    optimizer = Muon(learning.parameters(), settings.learning_rate, settings.weight_decay)
    state = TrainingState(learning, optimizer, folder, asdict(settings), ("held_out_pck",), team=team)
    stages = torch.compile(model.stages) if settings.compiled else model.stages

    def batch(step: int) -> tuple[Tensor, Tensor | Targets]:
        """Draw inputs (batch, 3, H, W), and keypoints (batch, 4, 17, 3) in their pixels or `Targets`."""
        generator = np.random.default_rng([settings.seed, step * team.count + team.rank])
        now = size_at(step, config, settings)
        size = now.input_size if teacher is None else teacher.input_size
        how = GENTLE if settings.gentle else Augmentation()
        pictures, keypoints = draw(people, size, settings.batch, generator, how)
        covered = with_covered_heads(pictures, keypoints[:, 0], generator, how.covered_head_chance)
        seen = [cv2.resize(each, now.input_size, interpolation=cv2.INTER_AREA) for each in covered]
        inputs = torch.from_numpy(normalise(np.stack(seen).astype(np.uint8, copy=False)))
        if teacher is None:
            return inputs, torch.from_numpy(keypoints)
        return inputs, on_grid(teacher(pictures), size, now)  # the teacher's crops have uncovered heads

    for inputs, target in drawn_ahead(batch, state.step, settings.steps):
        now = size_at(state.step, config, settings)
        inputs = inputs.to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16):
            seen = stages(inputs)
            found = model.final_layer(seen[-1][0])
            unlike = hints(inputs, seen) if hints is not None else 0.0
            if adapter is not None and isinstance(target, Targets):
                unlike = unlike + adapter(seen, [each.to(device) for each in target.features])
        if isinstance(target, Targets):
            loss = heatmap_distillation_loss(found.float(), target.heatmaps.to(device))
        else:
            loss = _label_loss(found.float(), target.to(device), people.taught, now)
        loss = loss + settings.hint_weight * unlike
        rate = warmup_cosine(state.step, settings.steps, settings.learning_rate, settings.warmup)
        state.update(loss, rate, settings.clip_norm, settings.ema)

        pck = None
        last = state.step == settings.steps
        if team.first and (last or state.step % settings.validate_every == 0):
            with state.averaged():
                pck = held_out_pck(model, now, held_out, settings)
            if settings.freeze_stem:
                freeze_stem(model)
        state.log(loss.item(), None if pck is None else [pck])
        if last or state.step % settings.save_every == 0:
            state.save()
        yield Progress(state.step, loss.item(), pck)
    state.finish()


def _label_loss(found: Tensor, sets: Tensor, taught: bool, config: HRNetConfig) -> Tensor:
    """Return the loss of heatmaps (N, 17, h, w) against the sets (N, 4, 17, 3) that `draw` gives."""
    if not taught:
        return heatmap_loss(found, sets[:, 0], config)
    wanted = candidate_heatmaps(sets[:, 1:3], config)
    return heatmap_distillation_loss(found, wanted, sets[:, 3, :, 2])


def held_out_pck(model: HRNet, config: HRNetConfig, people: LabelledPeople, settings: PoseTraining) -> float:
    """Return PCK@0.1 of the box's longer side, measured through the program's own keypoint stage."""

    def network(crops: Floats) -> Floats:
        batch = torch.from_numpy(crops).to(settings.device, memory_format=torch.channels_last)
        with torch.autocast(batch.device.type, torch.bfloat16, enabled=settings.bf16):
            return np.asarray(model(batch).float().cpu().numpy())

    estimator = PoseEstimator(network, config.input_size, batch_size=64, alignment=config.alignment)
    boxes = people.boxes
    items = [(people.picture(i), boxes[i : i + 1]) for i in range(len(people))]
    found = np.concatenate(estimator.estimate(items))
    distance = np.linalg.norm(found[..., :2] - people.keypoints[..., :2], axis=-1)
    reach = 0.1 * (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    return float((distance < reach[:, None])[people.keypoints[..., 2] > 0].mean())
