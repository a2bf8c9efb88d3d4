"""Three small baselines: LSTM, MLP and Transformer PoseNets (Jagatha, 2024).

A window of frames to the pose of its centre frame. Reference points for the larger lifters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifter.models.blocks import count_blocks
from lifter.models.person_input import relative_to_person
from lifter.network import Lifter, ModelEntry, wrapped
from lifter.spec import LifterOutput, LifterSpec

JOINTS = 17
SOURCE = "3D Human Pose Estimation using LSTM and Transformer based models, 2024"


@dataclass(frozen=True)
class LSTMPoseNetConfig:
    """Defaults are those of the published model."""

    frames: int = 81  # any number fits the weights
    hidden: int = 512
    layers: int = 1
    channels: int = 2
    person_relative: bool = False  # reads `person_input.relative_to_person`, for cameras of any kind


@dataclass(frozen=True)
class SimplePoseNetConfig:
    """Defaults are those of the published model."""

    frames: int = 81
    hidden: int = 1024
    channels: int = 2
    person_relative: bool = False  # reads `person_input.relative_to_person`, for cameras of any kind


@dataclass(frozen=True)
class TransformerPoseNetConfig:
    """Sizes are those of the published model; its quirk is off by default."""

    frames: int = 81
    width: int = 256
    heads: int = 8
    layers: int = 3
    hidden: int = 512
    channels: int = 2
    person_relative: bool = False  # reads `person_input.relative_to_person`, for cameras of any kind
    # The official code leaves PyTorch's `batch_first` off: each frame of a window attends to the same
    # frame of the other windows of the batch, so the output depends on the rest of the batch.
    attends_over_batch: bool = False


class CentreLifter(Lifter):
    """Base of the three: `forward` gives (B, 1, 17, 3), camera space."""

    config: LSTMPoseNetConfig | SimplePoseNetConfig | TransformerPoseNetConfig

    def coordinates(self, x: Tensor) -> Tensor:
        """Convert keypoints (B, F, 17, channels) to the networks' input (B, F, 17 * channels)."""
        return (relative_to_person(x) if self.config.person_relative else x).flatten(2)

    def lift(self, x: Tensor) -> LifterOutput:
        return LifterOutput(self(x))


class LSTMPoseNet(CentreLifter):
    """(B, F, 17, channels): an LSTM over the frames; its last step gives the centre pose."""

    def __init__(self, config: LSTMPoseNetConfig) -> None:
        super().__init__()
        c = config
        self.config = config
        self.lstm = nn.LSTM(JOINTS * c.channels, c.hidden, c.layers, batch_first=True)
        self.fc = nn.Linear(c.hidden, JOINTS * 3)

    def forward(self, x: Tensor) -> Tensor:
        steps, _ = self.lstm(self.coordinates(x))
        return self.fc(steps[:, -1:]).unflatten(-1, (JOINTS, 3))


class SimplePoseNet(CentreLifter):
    """(B, F, 17, channels): all coordinates of the window through two linear layers."""

    def __init__(self, config: SimplePoseNetConfig) -> None:
        super().__init__()
        c = config
        self.config = config
        self.fc1 = nn.Linear(c.frames * JOINTS * c.channels, c.hidden)
        self.fc2 = nn.Linear(c.hidden, JOINTS * 3)

    def forward(self, x: Tensor) -> Tensor:
        pose = self.fc2(functional.relu(self.fc1(self.coordinates(x).flatten(1))))
        return pose.unflatten(-1, (JOINTS, 3)).unsqueeze(1)


class SinePositions(nn.Module):
    """Sinusoidal positions (Vaswani et al., 2017), added to (B, F, C). They are part of the state dict."""

    permanent_pe: Tensor

    def __init__(self, frames: int, width: int) -> None:
        super().__init__()
        position = torch.arange(frames)[:, None]
        rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
        table = torch.zeros(1, frames, width)
        table[0, :, 0::2] = torch.sin(position * rate)
        table[0, :, 1::2] = torch.cos(position * rate)
        self.register_buffer("permanent_pe", table)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.permanent_pe


class TransformerPoseNet(CentreLifter):
    """(B, F, 17, channels): post-norm transformer over the frames, mean over them, one linear layer."""

    def __init__(self, config: TransformerPoseNetConfig) -> None:
        super().__init__()
        c = config
        self.config = config
        self.input_linear = nn.Linear(JOINTS * c.channels, c.width)
        self.pos_encoder = SinePositions(c.frames, c.width)
        layer = nn.TransformerEncoderLayer(
            c.width, c.heads, c.hidden, dropout=0.1, batch_first=not c.attends_over_batch
        )
        self.transformer_encoder = nn.TransformerEncoder(layer, c.layers, enable_nested_tensor=False)
        self.output_linear = nn.Linear(c.width, JOINTS * 3)

    def forward(self, x: Tensor) -> Tensor:
        t = self.transformer_encoder(self.pos_encoder(self.input_linear(self.coordinates(x))))
        return self.output_linear(t.mean(1, keepdim=True)).unflatten(-1, (JOINTS, 3))


def infer_lstm(state: Mapping[str, Tensor], base: LSTMPoseNetConfig) -> LSTMPoseNetConfig:
    """Infer the sizes from the shapes; the number of frames comes from `base`."""
    gates, inputs = state["lstm.weight_ih_l0"].shape
    layers = sum(key.startswith("lstm.weight_ih_l") for key in state)
    return replace(base, hidden=gates // 4, layers=layers, channels=inputs // JOINTS)


def infer_simple(state: Mapping[str, Tensor], base: SimplePoseNetConfig) -> SimplePoseNetConfig:
    """Infer the sizes from the shapes; the number of channels comes from `base`."""
    hidden, inputs = state["fc1.weight"].shape
    if state["fc2.weight"].shape != (JOINTS * 3, hidden):
        raise KeyError("fc2.weight")
    return replace(base, frames=inputs // (JOINTS * base.channels), hidden=hidden)


def infer_transformer(
    state: Mapping[str, Tensor], base: TransformerPoseNetConfig
) -> TransformerPoseNetConfig:
    """Infer the sizes from the shapes; heads and `attends_over_batch` come from `base`."""
    _, frames, width = state["pos_encoder.permanent_pe"].shape
    return replace(
        base,
        frames=frames,
        width=width,
        layers=count_blocks(state, "transformer_encoder.layers."),
        hidden=state["transformer_encoder.layers.0.linear1.weight"].shape[0],
        channels=state["input_linear.weight"].shape[1] // JOINTS,
    )


def spec(name: str, config: LSTMPoseNetConfig | SimplePoseNetConfig | TransformerPoseNetConfig) -> LifterSpec:
    """Return the spec of each of the three."""
    return LifterSpec(
        name,
        config.frames,
        output="centre",
        channels=config.channels,
        perspective_crop=config.person_relative,
    )


LSTM_ENTRY = ModelEntry(
    name="lstm_posenet",
    config_class=LSTMPoseNetConfig,
    build=LSTMPoseNet,
    spec=lambda c: spec("lstm_posenet", c),
    paper=SOURCE,
    licence="none stated",
    published="81 frames: 55 mm MPJPE on CPN",
    variants={
        "published": LSTMPoseNetConfig(),
        "small": LSTMPoseNetConfig(frames=27, channels=3, person_relative=True),
    },
    infer=infer_lstm,
    wrap=wrapped("model_pos"),
)

SIMPLE_ENTRY = ModelEntry(
    name="simple_posenet",
    config_class=SimplePoseNetConfig,
    build=SimplePoseNet,
    spec=lambda c: spec("simple_posenet", c),
    paper=SOURCE,
    licence="none stated",
    published="not stated",
    variants={
        "published": SimplePoseNetConfig(),
        "small": SimplePoseNetConfig(frames=27, channels=3, person_relative=True),
    },
    infer=infer_simple,
    wrap=wrapped("model_pos"),
)

TRANSFORMER_ENTRY = ModelEntry(
    name="transformer_posenet",
    config_class=TransformerPoseNetConfig,
    build=TransformerPoseNet,
    spec=lambda c: spec("transformer_posenet", c),
    paper=SOURCE,
    licence="none stated",
    published="81 frames: 64 mm MPJPE on CPN",
    variants={
        "published": TransformerPoseNetConfig(attends_over_batch=True),
        "small": TransformerPoseNetConfig(frames=27, layers=2, channels=3, person_relative=True),
    },
    infer=infer_transformer,
    wrap=wrapped("model_pos"),
)
