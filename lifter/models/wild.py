"""The app's own lifter: a frame encoder, then a transformer over time, for video from any camera.

A residual network over all joints (as in Martinez et al., ICCV 2017) converts each frame's keypoints to a
token. Tokens of a window attend to each other, and all frames of the window are predicted at once. Training
is many times faster than with a token for each joint. The network also predicts the vertical in camera axes,
and the contacts of joints with the ground.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifter.models.person_input import FEATURES, person_features, person_spec
from lifter.network import Lifter, ModelEntry
from lifter.spec import LifterOutput, LifterSpec


@dataclass(frozen=True)
class WildConfig:
    """Sizes. `frames` is the longest window; shorter ones work. `contacts`: has the contact head."""

    frames: int = 81
    encoder_width: int = 512
    encoder_depth: int = 3
    width: int = 256
    depth: int = 6
    heads: int = 8
    dropout: float = 0.0
    contacts: bool = True


class ResidualBlock(nn.Module):
    """x + MLP(LayerNorm(x)) with a GELU in between."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(self.fc2(functional.gelu(self.fc1(self.norm(x)))))


class TemporalAttention(nn.Module):
    """Pre-norm self-attention over the frames of a window, with a learned bias for each distance in time."""

    def __init__(self, width: int, heads: int, frames: int) -> None:
        super().__init__()
        self.heads, self.frames = heads, frames
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.distance_bias = nn.Parameter(torch.zeros(heads, 2 * frames - 1))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        t = torch.arange(length, device=x.device)
        bias = self.distance_bias[:, t[:, None] - t[None] + self.frames - 1].to(q.dtype)
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias[None].expand(batch, -1, -1, -1))
        return x + self.out(y.transpose(1, 2).reshape(batch, length, width))


class WildLifter(Lifter):
    """Screen-normalised COCO-17 x, y, score (B, T, 17, 3) -> joints (B, T, 17, 3), metres, pelvis at 0."""

    def __init__(self, config: WildConfig) -> None:
        super().__init__()
        self.config = config
        e, w = config.encoder_width, config.width
        self.embed = nn.Linear(FEATURES, e)
        self.encoder = nn.Sequential(
            *(ResidualBlock(e, e, config.dropout) for _ in range(config.encoder_depth))
        )
        self.to_token = nn.Linear(e, w)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                TemporalAttention(w, config.heads, config.frames), ResidualBlock(w, 2 * w, config.dropout)
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(w)
        self.head = nn.Linear(w, 17 * 3)
        self.up_head = nn.Linear(w, 3)
        self.contact_head = nn.Linear(w, 17) if config.contacts else None

    def tokens(self, keypoints: Tensor) -> Tensor:
        """Return one token (B, T, width) a frame, after attention over time."""
        x = self.to_token(self.encoder(self.embed(person_features(keypoints))))
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def lift(self, keypoints: Tensor) -> LifterOutput:
        """Predict joints, the world's up (B, T, 3), a unit vector in camera axes, and contacts (B, T, 17)."""
        tokens = self.tokens(keypoints)
        joints = self.head(tokens).float().unflatten(-1, (17, 3))
        up = functional.normalize(self.up_head(tokens).float(), dim=-1)
        contacts = None if self.contact_head is None else self.contact_head(tokens).float().sigmoid()
        return LifterOutput(joints - joints[:, :, :1], up=up, contacts=contacts)

    def forward(self, keypoints: Tensor) -> Tensor:
        return self.lift(keypoints).joints


def spec(config: WildConfig) -> LifterSpec:
    """Return the spec: sequence to sequence, COCO-17 in."""
    return person_spec("wild", config.frames)


def grow(lifter: WildLifter, config: WildConfig) -> WildLifter:
    """Build a deeper network with the same joints and up: the last layers of new blocks are 0.

    Only depths may grow, and the contact head may be added (after Chen et al., "Net2Net", ICLR 2016).

    Raises:
        ValueError: `config` is smaller, or differs in a width.
    """
    grown = WildLifter(config)
    state = lifter.state_dict()
    if state.keys() - grown.state_dict().keys():
        raise ValueError("a network can only grow: depths may not shrink and heads may not go")
    growing: dict[str, Any] = {
        "encoder_depth": config.encoder_depth,
        "depth": config.depth,
        "contacts": config.contacts,
    }
    if replace(lifter.config, **growing) != config:
        raise ValueError(f"only {', '.join(growing)} may change")
    grown.load_state_dict(state, strict=False)
    for block in grown.encoder[lifter.config.encoder_depth :]:
        _zero(block.get_submodule("fc2"))
    for block in grown.blocks[lifter.config.depth :]:
        _zero(block.get_submodule("0.out"))
        _zero(block.get_submodule("1.fc2"))
    return grown


def _zero(layer: nn.Module) -> None:
    for weight in layer.parameters():
        nn.init.zeros_(weight)


def infer(state: Mapping[str, Tensor], known: WildConfig) -> WildConfig:
    """Infer the sizes from the shapes of a state dict; the dropout comes from `known`."""
    bias = state["blocks.0.0.distance_bias"]
    return replace(
        known,
        frames=(bias.shape[1] + 1) // 2,
        heads=bias.shape[0],
        width=state["norm.weight"].shape[0],
        encoder_width=state["embed.weight"].shape[0],
        encoder_depth=sum(key.startswith("encoder.") and key.endswith("fc1.weight") for key in state),
        depth=sum(key.endswith("distance_bias") for key in state),
        contacts="contact_head.weight" in state,
    )


ENTRY = ModelEntry(
    name="wild",
    config_class=WildConfig,
    build=WildLifter,
    spec=spec,
    paper="this project; the app's default",
    licence="the project's own",
    published="see weights/cards/wild.md",
    variants={"wild81": WildConfig()},
    infer=infer,
    grow=grow,
)
