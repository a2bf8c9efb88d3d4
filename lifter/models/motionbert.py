"""MotionBERT's lifter, DSTformer (Zhu, Ma, Liu, Liu, Wu, Wang; ICCV 2023).

A pose for every frame of a window of any length up to the configured one. Two streams, one that attends
over joints first and one that attends over frames first, are fused by learned weights after every block.

The answer is 2.5D in the units of the input: x and y are the perspective image, z is the depth from the
pelvis times the image size of a metre at the pelvis. `lifter.metric` makes metres of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from lifter.contracts import Contract, Entry, Lifted, Lifter, wrapped
from lifter.models.blocks import EPS_TIMM, Attention, Mlp, count_blocks
from lifter.models.person_input import relative_to_person
from lifter.skeletons import H36M_17

JOINTS = len(H36M_17.joints)


@dataclass(frozen=True)
class MotionBERTConfig:
    """Sizes. Defaults are those of the published model for Human3.6M. `frames` is the longest window.

    Shapes do not tell the last three. `root_relative`: the pelvis of the answer is 0; else the answer is in
    the coordinates of the picture and of the pelvis of the first frame. `person_relative`: the network
    reads `person_input.relative_to_person` and answers in metres, for our own trainings.
    """

    frames: int = 243
    width: int = 512
    rep_width: int = 512  # of the "motion representation" before the head
    depth: int = 5
    mlp_ratio: float = 2.0
    heads: int = 8
    root_relative: bool = True
    person_relative: bool = False


class DualBlock(nn.Module):
    """Four pre-norm residual steps on (B, F, 17, C): attention and MLP over joints, and over frames.

    Args:
        order: "st" takes the joints first, "ts" the frames. The weights carry the axis in their names, not
            the position, so both orders have the same keys.
    """

    def __init__(self, width: int, heads: int, hidden: int, order: Literal["st", "ts"]) -> None:
        super().__init__()
        self.order = order
        self.norm1_s = nn.LayerNorm(width, eps=EPS_TIMM)
        self.norm1_t = nn.LayerNorm(width, eps=EPS_TIMM)
        self.attn_s = Attention(width, heads)
        self.attn_t = Attention(width, heads)
        self.norm2_s = nn.LayerNorm(width, eps=EPS_TIMM)
        self.norm2_t = nn.LayerNorm(width, eps=EPS_TIMM)
        self.mlp_s = Mlp(width, hidden)
        self.mlp_t = Mlp(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        if self.order == "st":
            return self._over_frames(self._over_joints(x))
        return self._over_joints(self._over_frames(x))

    def _over_joints(self, x: Tensor) -> Tensor:
        attended = self.attn_s(self.norm1_s(x).flatten(0, 1))
        x = x + attended.unflatten(0, (-1, x.shape[1]))
        return x + self.mlp_s(self.norm2_s(x))

    def _over_frames(self, x: Tensor) -> Tensor:
        attended = self.attn_t(self.norm1_t(x).transpose(1, 2).flatten(0, 1))
        x = x + attended.unflatten(0, (-1, JOINTS)).transpose(1, 2)
        return x + self.mlp_t(self.norm2_t(x))


class Representation(nn.Module):
    """Linear and tanh: what the authors call the motion representation."""

    def __init__(self, width: int, rep_width: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, rep_width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x).tanh()


class MotionBERT(Lifter):
    """x, y, score (B, F, 17, 3) with F from 1 to the configured number, to (B, F, 17, 3) for every frame."""

    def __init__(self, config: MotionBERTConfig) -> None:
        super().__init__()
        c, hidden = config, int(config.width * config.mlp_ratio)
        self.config = config
        self.temp_embed = nn.Parameter(torch.zeros(1, c.frames, 1, c.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, JOINTS, c.width))
        self.joints_embed = nn.Linear(3, c.width)
        self.blocks_st = nn.ModuleList(DualBlock(c.width, c.heads, hidden, "st") for _ in range(c.depth))
        self.blocks_ts = nn.ModuleList(DualBlock(c.width, c.heads, hidden, "ts") for _ in range(c.depth))
        self.norm = nn.LayerNorm(c.width, eps=EPS_TIMM)
        self.pre_logits = Representation(c.width, c.rep_width)
        self.head = nn.Linear(c.rep_width, 3)
        self.ts_attn = nn.ModuleList(nn.Linear(2 * c.width, 2) for _ in range(c.depth))
        self._initialise()

    def _initialise(self) -> None:
        """Fresh weights as the authors begin: all linear maps small, both streams fused evenly."""
        for embedding in (self.temp_embed, self.pos_embed):
            nn.init.trunc_normal_(embedding, std=0.02)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.trunc_normal_(part.weight, std=0.02)
                nn.init.zeros_(part.bias)
        for fusion in self.ts_attn.parameters():
            nn.init.constant_(fusion, 0.5 if fusion.ndim == 1 else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        if self.config.person_relative:
            x = relative_to_person(x)
        x = self.joints_embed(x) + self.pos_embed
        x = x + self.temp_embed[:, : x.shape[1]]
        for st, ts, fusion in zip(self.blocks_st, self.blocks_ts, self.ts_attn, strict=True):
            s, t = st(x), ts(x)
            weight = fusion(torch.cat((s, t), -1)).softmax(-1)
            x = weight[..., :1] * s + weight[..., 1:] * t
        return self.head(self.pre_logits(self.norm(x)))

    def lift(self, x: Tensor) -> Lifted:
        """The pelvis is 0: set so by models of root-relative poses, subtracted from those of global ones.

        A global pose counts its depth from the first frame of the window, which no two windows share.
        """
        y = self(x)
        if self.config.root_relative:
            return Lifted(torch.cat((torch.zeros_like(y[:, :, :1]), y[:, :, 1:]), 2))
        return Lifted(y - y[:, :, :1])


def infer(state: Mapping[str, Tensor], base: MotionBERTConfig) -> MotionBERTConfig:
    """Sizes read off the shapes; neither the heads nor what the answer is relative to are among them."""
    _, frames, _, width = state["temp_embed"].shape
    return replace(
        base,
        frames=frames,
        width=width,
        rep_width=state["head.weight"].shape[1],
        depth=count_blocks(state, "blocks_st."),
        mlp_ratio=state["blocks_st.0.mlp_s.fc1.weight"].shape[0] / width,
    )
