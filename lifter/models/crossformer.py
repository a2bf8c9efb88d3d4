"""CrossFormer: cross spatio-temporal transformer (Hassanin et al., 2022, arXiv 2203.13387).

A window of frames to the pose of its centre frame. Next to attention every block mixes neighbours
locally: neighbouring joints in the spatial blocks (cross-joint interaction), neighbouring frames in the
temporal ones (cross-frame interaction).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifter.models.blocks import Attention, DropPath, Mlp, count_blocks, register_unused, rising
from lifter.models.person_input import relative_to_person
from lifter.network import Lifter, ModelEntry, wrapped
from lifter.spec import LifterOutput, LifterSpec

JOINTS = 17
GROUPS = 3  # of frames in the cross-frame interaction
ZEROED = slice(10, 16)  # the frames of the window that the released code overwrites with 0


@dataclass(frozen=True)
class CrossFormerConfig:
    """Sizes are those of the published model; its two quirks are off by default."""

    frames: int = 81  # a multiple of 3
    width: int = 32  # per joint; the temporal width is 17 times that
    depth: int = 4
    heads: int = 8
    channels: int = 2
    drop_path: float = 0.1  # in training only
    layer_scale: float = 1e-5  # initial value; from so small a value a training needs many steps
    person_relative: bool = False  # reads `person_input.relative_to_person`, for cameras of any kind
    # The released code sets the input of frames 10 to 15 to zero; released weights were trained with that.
    zeroed_frames: bool = False
    # Released files have weights that no forward pass reads: register them.
    unused_weights: bool = False


class CrossJoint(nn.Module):
    """Local mixing of joints (B, 17, C): convolutions along the joints, one norm per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(width, width, 5, padding=2)
        self.gn = nn.GroupNorm(width, width)
        self.conv2 = nn.Conv1d(width, width, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.conv2(self.gn(functional.gelu(self.conv1(x.transpose(1, 2)))))
        return x + mixed.transpose(1, 2)


class CrossFrame(nn.Module):
    """Compact generalised non-local mixing of (B, F, C) with frames as the channels of convolutions.

    Per sample and group of frames the similarity of two projections, one number, scales a third.
    """

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.t = nn.Conv1d(frames, frames, 3, padding=1, bias=False)
        self.p = nn.Conv1d(frames, frames, 3, padding=1, bias=False)
        self.g = nn.Conv1d(frames, frames, 3, padding=1, bias=False)
        self.z = nn.Conv1d(frames, frames, 3, padding=1, groups=GROUPS, bias=False)
        self.gn = nn.GroupNorm(GROUPS, frames)

    def forward(self, x: Tensor) -> Tensor:
        t, p, g = (conv(x).unflatten(1, (GROUPS, -1)) for conv in (self.t, self.p, self.g))
        similarity = (p * g).sum((2, 3), keepdim=True)
        return x + self.gn(self.z((similarity * t).flatten(1, 2)))


class ScaledBlock(nn.Module):
    """Attention, local mixing and MLP, each pre-normed and scaled per channel (LayerScale)."""

    def __init__(self, dim: int, heads: int, drop_path: float, scale: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads, qkv_bias=False)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, 4 * dim)
        self.norm3 = nn.LayerNorm(dim)
        self.gamma1 = nn.Parameter(torch.full((dim,), scale))
        self.gamma2 = nn.Parameter(torch.full((dim,), scale))
        self.gamma3 = nn.Parameter(torch.full((dim,), scale))
        self.drop_path = DropPath(drop_path)

    def mix(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.gamma1 * self.attn(self.norm1(x)))
        x = x + self.drop_path(self.gamma3 * self.mix(self.norm3(x)))
        return x + self.drop_path(self.gamma2 * self.mlp(self.norm2(x)))


class SpatialBlock(ScaledBlock):
    """Over the joints of one frame."""

    def __init__(self, width: int, heads: int, drop_path: float, scale: float) -> None:
        super().__init__(width, heads, drop_path, scale)
        self.local_mp = CrossJoint(width)

    def mix(self, x: Tensor) -> Tensor:
        return self.local_mp(x)


class TemporalBlock(ScaledBlock):
    """Over the frames of a window."""

    def __init__(self, frames: int, width: int, heads: int, drop_path: float, scale: float) -> None:
        super().__init__(width, heads, drop_path, scale)
        self.local = CrossFrame(frames)

    def mix(self, x: Tensor) -> Tensor:
        return self.local(x)


class CrossFormer(Lifter):
    """(B, F, 17, channels) to (B, 1, 17, 3), camera space: the pose of the centre frame."""

    def __init__(self, config: CrossFormerConfig) -> None:
        super().__init__()
        c, width = config, config.width * JOINTS
        self.config = config
        self.Spatial_patch_to_embedding = nn.Linear(c.channels, c.width)
        self.Spatial_pos_embed = nn.Parameter(torch.zeros(1, JOINTS, c.width))
        self.Temporal_pos_embed1 = nn.Parameter(torch.zeros(1, width))  # the same for every frame
        rates = rising(c.drop_path, c.depth)
        scale = c.layer_scale
        self.Spatial_blocks = nn.ModuleList(SpatialBlock(c.width, c.heads, rate, scale) for rate in rates)
        self.blocks1 = nn.ModuleList(TemporalBlock(c.frames, width, c.heads, rate, scale) for rate in rates)
        self.Spatial_norm = nn.LayerNorm(c.width)
        self.Temporal_norm1 = nn.LayerNorm(width)
        self.weighted_mean = nn.Conv1d(c.frames, 1, 1)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, JOINTS * 3))
        seen = torch.ones(c.frames, 1, 1)
        if c.zeroed_frames:
            seen[ZEROED] = 0
        self.seen: Tensor
        self.register_buffer("seen", seen, persistent=False)
        if c.unused_weights:
            register_unused(self, unused_shapes(c))

    def forward(self, x: Tensor) -> Tensor:
        frames = x.shape[1]
        if self.config.person_relative:
            x = relative_to_person(x)
        t = self.Spatial_patch_to_embedding((x * self.seen).flatten(0, 1)) + self.Spatial_pos_embed
        for block in self.Spatial_blocks:
            t = block(t)
        t = self.Spatial_norm(t).flatten(1).unflatten(0, (-1, frames)) + self.Temporal_pos_embed1
        for block in self.blocks1:
            t = block(t)
        pose = self.head(self.weighted_mean(self.Temporal_norm1(t)))
        return pose.unflatten(-1, (JOINTS, 3))

    def lift(self, x: Tensor) -> LifterOutput:
        return LifterOutput(self(x))


def unused_shapes(config: CrossFormerConfig) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the weights in a released file that the forward pass does not read."""
    narrow, frames = config.width, config.frames
    width, half, quarter = narrow * JOINTS, narrow // 2, narrow * JOINTS // 4
    shapes: dict[str, tuple[int, ...]] = {
        "Temporal_pos_embed": (1, width),
        "chennels_pos_embed": (32, 17),
        "top_pos_embed": (1, width),
        "outer_tokens": (1, 17, 32),
        "outer_pos": (1, 17, 32),
        "outer_temp": (1, 1, width),
        "inner_pos": (1, 17, 16),
        "inner_temp": (1, 1, quarter),
        "spatial_embed": (1, 11, narrow),
        "Temporal_embed": (1, 352),
    }
    linears = {
        "Spatial_patch_to_embedding1": (half, 2),
        "temporal_patch_to_embedding1": (quarter, width),
        "proj": (32, 16),
        "proj12": (width, quarter),
        "lins": (32, 2),
        "weighted_mean1": (17, 17, 1),
        "weighted_mean2": (11, 11, 1),
    }
    norms = {
        "proj_norm1": 16,
        "proj_norm2": 32,
        "proj_norm12": quarter,
        "proj_norm13": width,
        "Temporal_norm": width,
        "channels_norm": 17,
        "Temporal": 352,
        "channels": 11,
    }
    for i in range(config.depth):
        for block in (f"Spatial_blocks.{i}", f"blocks1.{i}"):
            shapes[f"{block}.gamma4"] = (frames,)
            norms[f"{block}.norm4"] = frames
        local = f"Spatial_blocks.{i}.local_mp"
        linears[f"{local}.conv3"] = (17, 17, 5)
        norms |= {f"{local}.bn": narrow, f"{local}.gn1": narrow}
        shapes |= {f"{local}.bn.running_mean": (narrow,), f"{local}.bn.running_var": (narrow,)}
        shapes[f"{local}.bn.num_batches_tracked"] = ()
    for name, shape in linears.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name, size in norms.items():
        shapes |= {f"{name}.weight": (size,), f"{name}.bias": (size,)}
    return shapes


def infer(state: Mapping[str, Tensor], base: CrossFormerConfig) -> CrossFormerConfig:
    """Infer the sizes from the shapes; heads and `zeroed_frames` come from `base`."""
    return replace(
        base,
        frames=state["weighted_mean.weight"].shape[1],
        width=state["Spatial_pos_embed"].shape[2],
        depth=count_blocks(state, "Spatial_blocks."),
        channels=state["Spatial_patch_to_embedding.weight"].shape[1],
        unused_weights="outer_tokens" in state,
    )


ENTRY = ModelEntry(
    name="crossformer",
    config_class=CrossFormerConfig,
    build=CrossFormer,
    spec=lambda c: LifterSpec(
        "crossformer",
        frames=c.frames,
        output="centre",
        channels=c.channels,
        perspective_crop=c.person_relative,
    ),
    paper="CrossFormer: Cross Spatio-Temporal Transformer for 3D Human Pose Estimation, arXiv 2203.13387",
    licence="Apache-2.0",
    published="81 frames: 44.4 mm MPJPE on CPN (name of the released file), 28.5 on true 2D (README)",
    variants={
        "published": CrossFormerConfig(zeroed_frames=True, unused_weights=True),
        "small": CrossFormerConfig(
            frames=9, width=16, depth=3, heads=4, channels=3, layer_scale=0.1, person_relative=True
        ),
    },
    infer=infer,
    wrap=wrapped("model_pos", "module."),
)
