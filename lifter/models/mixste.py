"""MixSTE: seq2seq mixed spatio-temporal encoder (Zhang, Tu, Yang, Chen, Yuan; CVPR 2022).

A pose for every frame of the window. Attention over the joints of a frame alternates with attention over
the frames of a joint. KTPFormer is derived from it: the blocks and their names are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lifter.models.blocks import EPS_TIMM, Attention, Block, count_blocks, rising
from lifter.models.person_input import relative_to_person
from lifter.network import Lifter, ModelEntry, wrapped
from lifter.skeletons import H36M_17
from lifter.spec import LifterOutput, LifterSpec


@dataclass(frozen=True)
class MixSTEConfig:
    """Sizes. Defaults are those of the published 243-frame model."""

    frames: int = 243
    width: int = 512
    depth: int = 8
    heads: int = 8
    mlp_ratio: float = 2.0
    channels: int = 2
    drop_path: float = 0.1  # in training only
    person_relative: bool = False  # reads `person_input.relative_to_person`, for cameras of any kind


class MixSTE(Lifter):
    """(B, F, 17, channels) to (B, F, 17, 3), camera axes, metres. F must be the configured number of frames.

    The authors' class is MixSTE2.
    """

    def __init__(self, config: MixSTEConfig) -> None:
        super().__init__()
        c, width, hidden = config, config.width, int(config.width * config.mlp_ratio)
        self.config = config
        self.Spatial_patch_to_embedding = nn.Linear(c.channels, width)
        self.Spatial_pos_embed = nn.Parameter(torch.zeros(1, len(H36M_17.joints), width))
        self.Temporal_pos_embed = nn.Parameter(torch.zeros(1, c.frames, width))
        rates = rising(c.drop_path, c.depth)
        self.STEblocks = nn.ModuleList(Block(width, Attention(width, c.heads), hidden, r) for r in rates)
        self.TTEblocks = nn.ModuleList(Block(width, Attention(width, c.heads), hidden, r) for r in rates)
        self.Spatial_norm = nn.LayerNorm(width, eps=EPS_TIMM)  # one norm after every spatial block
        self.Temporal_norm = nn.LayerNorm(width, eps=EPS_TIMM)  # and one after every temporal block
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3))  # eps 1e-5, unlike the others

    def forward(self, x: Tensor) -> Tensor:
        frames, joints = x.shape[1:3]
        if self.config.person_relative:
            x = relative_to_person(x)
        x = self.Spatial_patch_to_embedding(x) + self.Spatial_pos_embed
        for number, (over_joints, over_frames) in enumerate(zip(self.STEblocks, self.TTEblocks, strict=True)):
            x = self.Spatial_norm(over_joints(x.flatten(0, 1)))
            x = x.unflatten(0, (-1, frames)).transpose(1, 2).flatten(0, 1)  # (B * 17, F, C)
            if number == 0:
                x = x + self.Temporal_pos_embed
            x = self.Temporal_norm(over_frames(x))
            x = x.unflatten(0, (-1, joints)).transpose(1, 2)  # (B, F, 17, C)
        return self.head(x)

    def lift(self, x: Tensor) -> LifterOutput:
        return LifterOutput(self(x))


def infer(state: Mapping[str, Tensor], base: MixSTEConfig) -> MixSTEConfig:
    """Infer the sizes from the shapes; the number of heads comes from `base`."""
    width, channels = state["Spatial_patch_to_embedding.weight"].shape
    return replace(
        base,
        frames=state["Temporal_pos_embed"].shape[1],
        width=width,
        depth=count_blocks(state, "STEblocks."),
        mlp_ratio=state["STEblocks.0.mlp.fc1.weight"].shape[0] / width,
        channels=channels,
    )


ENTRY = ModelEntry(
    name="mixste",
    config_class=MixSTEConfig,
    build=MixSTE,
    spec=lambda c: LifterSpec(
        "mixste", frames=c.frames, channels=c.channels, perspective_crop=c.person_relative
    ),
    paper="MixSTE: Seq2seq Mixed Spatio-Temporal Encoder for 3D Human Pose Estimation in Video, CVPR 2022",
    licence="none stated (code derived from VideoPose3D: CC BY-NC 4.0)",
    published="243 frames: 40.9 mm MPJPE / 32.6 P-MPJPE on CPN, 21.6 MPJPE on true 2D",
    variants={f"{n}f": MixSTEConfig(frames=n) for n in (243, 81)}
    | {"small": MixSTEConfig(frames=27, width=64, depth=3, channels=3, person_relative=True)},
    infer=infer,
    wrap=wrapped("model_pos", "module."),
)
