"""JointFormer: single-frame lifting with error prediction (Lutz et al., ICPR 2022).

Attention over the joints of one frame. After every layer a pose and its expected error are predicted,
and the pose is fed back into the tokens (intermediate supervision).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifter.models.blocks import EPS_TIMM, count_blocks, split_heads
from lifter.models.person_input import relative_to_person
from lifter.network import Lifter, ModelEntry, wrapped
from lifter.skeletons import H36M_17
from lifter.spec import LifterOutput, LifterSpec

NECK = 9  # the joint that 16-joint models leave out
ATTENTION_DROPOUT = 0.1  # always on in training, for any configuration


@dataclass(frozen=True)
class JointFormerConfig:
    """Defaults are those of the published model."""

    layers: int = 4
    width: int = 64
    hidden: int = 512
    heads: int = 8
    key_width: int = 64  # per head
    value_width: int = 64  # per head
    joints: int = 17  # 16: Human3.6M without the neck
    channels: int = 2
    embedding: Literal["conv", "linear", "graph"] = "conv"
    spatial_encoding: bool = False  # a learned vector per joint
    intermediate: bool = True  # a pose after every layer, fed back
    error_prediction: bool = True
    encoder_dropout: float = 0.0
    pred_dropout: float = 0.2
    person_relative: bool = False  # reads `person_input.relative_to_person`, for cameras of any kind


class MultiHead(nn.Module):
    """Post-norm self-attention whose heads may be wider than width / heads."""

    def __init__(self, c: JointFormerConfig) -> None:
        super().__init__()
        self.heads, self.scale = c.heads, c.key_width**-0.5
        self.w_qs = nn.Linear(c.width, c.heads * c.key_width, bias=False)
        self.w_ks = nn.Linear(c.width, c.heads * c.key_width, bias=False)
        self.w_vs = nn.Linear(c.width, c.heads * c.value_width, bias=False)
        self.fc = nn.Linear(c.heads * c.value_width, c.width, bias=False)
        self.layer_norm = nn.LayerNorm(c.width, eps=EPS_TIMM)
        self.attention_drop = nn.Dropout(ATTENTION_DROPOUT)
        self.drop = nn.Dropout(c.encoder_dropout)

    def weights(self, t: Tensor) -> Tensor:
        """Return the attention weights (B, heads, J, J); rows add up to 1."""
        q, k = split_heads(self.w_qs(t), self.heads), split_heads(self.w_ks(t), self.heads)
        return (self.scale * q @ k.transpose(-2, -1)).softmax(-1)

    def forward(self, t: Tensor) -> Tensor:
        mixed = self.attention_drop(self.weights(t)) @ split_heads(self.w_vs(t), self.heads)
        return self.layer_norm(t + self.drop(self.fc(mixed.transpose(1, 2).flatten(2))))


class FeedForward(nn.Module):
    """Post-norm Linear, ReLU, Linear."""

    def __init__(self, c: JointFormerConfig) -> None:
        super().__init__()
        self.w_1 = nn.Linear(c.width, c.hidden)
        self.w_2 = nn.Linear(c.hidden, c.width)
        self.layer_norm = nn.LayerNorm(c.width, eps=EPS_TIMM)
        self.drop = nn.Dropout(c.encoder_dropout)

    def forward(self, t: Tensor) -> Tensor:
        return self.layer_norm(t + self.drop(self.w_2(functional.relu(self.w_1(t)))))


class Encoder(nn.Module):
    """Attention, then feed-forward."""

    def __init__(self, c: JointFormerConfig) -> None:
        super().__init__()
        self.slf_attn = MultiHead(c)
        self.pos_ffn = FeedForward(c)

    def forward(self, t: Tensor) -> Tensor:
        return self.pos_ffn(self.slf_attn(t))


class GraphEmbedding(nn.Module):
    """Semantic graph convolution (Zhao et al., CVPR 2019): learned edge strengths, softmax per joint."""

    def __init__(self, c: JointFormerConfig) -> None:
        super().__init__()
        # On the CPU: a network may be built without memory, and the number of links must be known then.
        linked = torch.eye(c.joints, dtype=torch.bool, device="cpu")
        for a, b in bones(c.joints):
            linked[a, b] = linked[b, a] = True
        self.W = nn.Parameter(torch.zeros(2, c.channels, c.width))
        self.e = nn.Parameter(torch.ones(1, int(linked.sum())))
        self.bias = nn.Parameter(torch.zeros(c.width))
        # Index of the edge strength, numbered row by row, for each entry of the matrix.
        place = torch.where(linked.flatten(), linked.flatten().cumsum(0) - 1, 0).view(linked.shape)
        self.place: Tensor
        self.linked: Tensor
        self.own: Tensor
        self.register_buffer("place", place, persistent=False)
        self.register_buffer("linked", linked, persistent=False)
        self.register_buffer("own", torch.eye(c.joints), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        graph = self.e[0][self.place].masked_fill(~self.linked, -torch.inf).softmax(-1)
        own, others = graph * self.own, graph * (1 - self.own)
        return own @ (x @ self.W[0]) + others @ (x @ self.W[1]) + self.bias


class LinearEmbedding(nn.Linear):
    """All coordinates to all tokens at once."""

    def __init__(self, c: JointFormerConfig) -> None:
        super().__init__(c.joints * c.channels, c.joints * c.width)
        self.joints = c.joints

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.flatten(1)).unflatten(-1, (self.joints, -1))


class ConvEmbedding(nn.Conv1d):
    """The same linear map for every joint."""

    def __init__(self, c: JointFormerConfig) -> None:
        super().__init__(c.channels, c.width, 1)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.transpose(1, 2)).transpose(1, 2)


EMBEDDINGS: Mapping[str, type[nn.Module]] = {
    "conv": ConvEmbedding,
    "linear": LinearEmbedding,
    "graph": GraphEmbedding,
}


def bones(joints: int) -> list[tuple[int, int]]:
    """Return (parent, child) of Human3.6M's bones with 17 joints, or 16: thorax and head joined directly."""
    if joints == len(H36M_17.joints):
        return list(H36M_17.bones)
    kept = [j for j in range(17) if j != NECK]
    parents = [H36M_17.parents[NECK] if p == NECK else p for p in H36M_17.parents]
    return [(kept.index(parents[j]), kept.index(j)) for j in kept if parents[j] >= 0]


def prediction_head(c: JointFormerConfig) -> nn.Sequential:
    """Build a head from all tokens, flattened, to three numbers a joint."""
    width = c.joints * c.width
    return nn.Sequential(nn.LayerNorm(width), nn.Dropout(c.pred_dropout), nn.Linear(width, c.joints * 3))


class JointTransformer(nn.Module):
    """The network of JointFormer and of its refinement stage: (B, J, channels) of single frames.

    Returns the poses (B, J, 3), the tokens (B, J, width) and the expected absolute errors per coordinate
    (B, J, 3), with one pose and error a layer if intermediate, else one; no errors if not predicted.
    """

    def __init__(self, config: JointFormerConfig) -> None:
        super().__init__()
        c, flat = config, config.joints * config.width
        self.config = config
        self.embedding = EMBEDDINGS[c.embedding](c)
        self.layer_norm = nn.LayerNorm(c.width, eps=EPS_TIMM)
        self.layer_stack = nn.ModuleList(Encoder(c) for _ in range(c.layers))
        if c.spatial_encoding:
            self.position_enc = nn.Parameter(torch.zeros(1, c.joints, c.width))
        if c.intermediate:
            self.intermediate_pred = nn.ModuleList(prediction_head(c) for _ in range(c.layers))
            self.intermediate_enc = nn.ModuleList(nn.Linear(c.joints * 3, flat) for _ in range(c.layers))
            if c.error_prediction:
                self.intermediate_error = nn.ModuleList(prediction_head(c) for _ in range(c.layers))
        else:
            self.decoder = prediction_head(c)
            if c.error_prediction:
                self.error_decoder = prediction_head(c)
        for weight in self.parameters():
            if weight.ndim > 1 and weight.shape[0] > 1:
                nn.init.xavier_uniform_(weight)

    def embed(self, x: Tensor) -> Tensor:
        """Return the tokens of the first layer (B, J, width)."""
        t = self.embedding(x)
        return self.layer_norm(t + self.position_enc if self.config.spatial_encoding else t)

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor, list[Tensor]]:
        poses, errors = [], []
        t = self.embed(x)
        for i, layer in enumerate(self.layer_stack):
            before, t = t, layer(t)
            if self.config.intermediate:
                flat = t.flatten(1)
                pose = self.intermediate_pred[i](flat)
                poses.append(pose)
                if self.config.error_prediction:
                    errors.append(self.intermediate_error[i](flat))
                t = t + self.intermediate_enc[i](pose).view_as(t)
            t = functional.relu(t + before)
        if not self.config.intermediate:
            poses.append(self.decoder(t.flatten(1)))
            if self.config.error_prediction:
                errors.append(self.error_decoder(t.flatten(1)))
        return [p.unflatten(-1, (-1, 3)) for p in poses], t, [e.unflatten(-1, (-1, 3)) for e in errors]


class JointFormer(JointTransformer, Lifter):
    """`JointTransformer` as a lifter of Human3.6M-17 keypoints, frame by frame."""

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor, list[Tensor]]:
        return super().forward(self.normalised(x))

    def normalised(self, x: Tensor) -> Tensor:
        """Normalise single frames (B, J, C) to the network's input."""
        return relative_to_person(x[:, None])[:, 0] if self.config.person_relative else x

    def lift(self, x: Tensor) -> LifterOutput:
        batch, frames = x.shape[:2]
        poses, _, errors = self(select_joints(x.flatten(0, 1), self.config.joints))
        joints = complete_joints(poses[-1]).unflatten(0, (batch, frames))
        joints = joints - joints[:, :, :1]
        if not errors:
            return LifterOutput(joints)
        # The heads predict absolute errors but are not constrained to be positive.
        error = complete_joints(errors[-1]).clamp(min=0).norm(dim=-1)
        return LifterOutput(joints, error=error.unflatten(0, (batch, frames)))


def select_joints(x: Tensor, joints: int) -> Tensor:
    """Select the joints of a network of 16 or 17 joints from Human3.6M-17 (B, 17, C)."""
    return x if joints == x.shape[1] else torch.cat([x[:, :NECK], x[:, NECK + 1 :]], 1)


def complete_joints(y: Tensor) -> Tensor:
    """Complete (B, 16 or 17, 3) to (B, 17, 3): a missing neck is the midpoint of thorax and head."""
    if y.shape[1] == len(H36M_17.joints):
        return y
    neck = (y[:, NECK - 1 : NECK] + y[:, NECK : NECK + 1]) / 2
    return torch.cat([y[:, :NECK], neck, y[:, NECK:]], 1)


def infer(state: Mapping[str, Tensor], base: JointFormerConfig) -> JointFormerConfig:
    """Infer the sizes from the shapes; the number of heads comes from `base`."""
    layer = "layer_stack.0."
    query, width = state[layer + "slf_attn.w_qs.weight"].shape
    intermediate = "intermediate_pred.0.2.weight" in state
    head = state["intermediate_pred.0.2.weight" if intermediate else "decoder.2.weight"]
    joints = head.shape[0] // 3
    embedding: Literal["conv", "linear", "graph"]
    if "embedding.e" in state:
        embedding, channels = "graph", state["embedding.W"].shape[1]
    elif state["embedding.weight"].ndim == 2:
        embedding, channels = "linear", state["embedding.weight"].shape[1] // joints
    else:
        embedding, channels = "conv", state["embedding.weight"].shape[1]
    return replace(
        base,
        layers=count_blocks(state, "layer_stack."),
        width=width,
        hidden=state[layer + "pos_ffn.w_1.weight"].shape[0],
        key_width=query // base.heads,
        value_width=state[layer + "slf_attn.w_vs.weight"].shape[0] // base.heads,
        joints=joints,
        channels=channels,
        embedding=embedding,
        spatial_encoding="position_enc" in state,
        intermediate=intermediate,
        error_prediction="intermediate_error.0.2.weight" in state or "error_decoder.2.weight" in state,
    )


SMALL = JointFormerConfig(channels=3, person_relative=True)

ENTRY = ModelEntry(
    name="jointformer",
    config_class=JointFormerConfig,
    build=JointFormer,
    spec=lambda c: LifterSpec(
        "jointformer",
        frames=1,
        channels=c.channels,
        perspective_crop=c.person_relative,
        predicts_error=c.error_prediction,
    ),
    paper="Jointformer: Single-Frame Lifting Transformer with Error Prediction and Refinement, ICPR 2022",
    licence="none stated",
    published="single frame: 50.5 mm MPJPE on CPN",
    variants={"published": JointFormerConfig(), "small": SMALL},
    infer=infer,
    wrap=wrapped("state_dict"),
)
