"""ESMformer: error-aware self-supervised transformer for multi-view pose (Pattern Recognition 2025).

Four synchronised views to world-space poses. The network has no camera parameters as input: the rig and the
order of its views are learned with the weights. Names of the stages as in the paper:
features per view at three levels, fusion of the views per level, then of the levels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lifter.models.blocks import (
    EPS_TIMM,
    Attention,
    Block,
    DropPath,
    Mlp,
    attend,
    check_heads,
    count_blocks,
    register_unused,
    rising,
)
from lifter.models.person_input import relative_to_person
from lifter.network import Lifter, ModelEntry
from lifter.spec import LifterOutput, LifterSpec

JOINTS, VIEWS, LEVELS = 17, 4, (1, 2, 3)
COORDINATES = 2 * JOINTS  # tokens of one view: x and y of every joint
VIEW_HEADS = 9  # frames must be divisible by it: time is the width of the per-view transformers
HEADS = 8
DROPOUT, EMBED_DROPOUT, DROP_PATH = 0.1, 0.25, 0.2  # in training only
NORMED_FRAMES = 27  # up to this many frames the embeddings have batch norm
SELF_SUPERVISED_HIDDEN = 64


@dataclass(frozen=True)
class ESMformerConfig:
    """Sizes are those of the published model; the quirks of its code are off by default."""

    frames: int = 27  # a multiple of 9
    width: int = 512
    view_depths: tuple[int, int, int] = (5, 5, 5)
    level_depths: tuple[int, int, int] = (2, 2, 2)
    fusion_kernel: int = 7
    self_supervised: bool = False  # one pose per window instead of one per frame
    person_relative: bool = False  # reads `person_input.relative_to_person`, for cameras of any kind
    # The official code adds a transformer's position embedding in place, so that it also enters the
    # residual around that transformer. Published weights were trained with that.
    position_in_residual: bool = False
    # Official files have MLPs of this width, and other weights, that no forward pass reads. 0: none.
    unused_hidden: int = 0


class RelativeAttention(nn.Module):
    """Relative attention: the query minus its attention output. (B, N, C) to (B, N, C).

    The query comes from a convolution along the tokens.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        check_heads(dim, VIEW_HEADS)
        self.q = nn.Conv1d(dim, dim, 3, padding=1)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q = self.q(x.transpose(1, 2)).transpose(1, 2)
        return self.proj(q - attend(q, self.k(x), self.v(x), VIEW_HEADS))


class Transformer(nn.Module):
    """Learned positions, pre-norm blocks, final norm: (B, N, C) to (B, N, C)."""

    def __init__(self, depth: int, tokens: int, dim: int, relative: bool) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, dim))
        self.drop = nn.Dropout(DROPOUT)
        self.blocks = nn.ModuleList(
            Block(dim, RelativeAttention(dim) if relative else Attention(dim, HEADS), 2 * dim, rate, DROPOUT)
            for rate in rising(DROP_PATH, depth)
        )
        self.norm = nn.LayerNorm(dim, eps=EPS_TIMM)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(x + self.pos_embed)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class ViewFeatures(nn.Module):
    """One view (B, 34, F) to its features (B, F, C) at three levels, each level refining the one before."""

    def __init__(self, c: ESMformerConfig) -> None:
        super().__init__()
        for level, depth in zip(LEVELS, c.view_depths, strict=True):
            self.add_module(f"norm_{level}", nn.LayerNorm(c.frames))
            encoder = Transformer(depth, COORDINATES, c.frames, relative=True)
            self.add_module(f"Transformer_encoder_{level}", encoder)
            self.add_module(f"embedding_{level}", self.embedding(c))

    @staticmethod
    def embedding(c: ESMformerConfig) -> nn.Module:
        """Tokens to features, along the channel axis."""
        conv = nn.Conv1d(COORDINATES, c.width, 1)
        if c.frames > NORMED_FRAMES:
            return conv
        return nn.Sequential(conv, nn.BatchNorm1d(c.width), nn.ReLU(), nn.Dropout(EMBED_DROPOUT))

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for level in LEVELS:
            norm, encoder = getattr(self, f"norm_{level}"), getattr(self, f"Transformer_encoder_{level}")
            x = x + encoder(norm(x))
            features.append(getattr(self, f"embedding_{level}")(x).transpose(1, 2))
        return features


class ViewFusion(nn.Module):
    """The views of one level (B, 4, F, C) to one feature map (B, F, C)."""

    def __init__(self, c: ESMformerConfig) -> None:
        super().__init__()
        kernel = c.fusion_kernel
        conv = nn.Conv2d(VIEWS, 1, kernel, padding=(kernel - 1) // 2, bias=False)
        self.conv1 = nn.Sequential(nn.BatchNorm2d(VIEWS), conv, nn.ReLU())
        self.norm = nn.LayerNorm(c.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv1(x).squeeze(1)) + x.sum(1)


class LevelTransformers(nn.Module):
    """MILF: each level (B, F, C) by itself through a transformer over the frames."""

    def __init__(self, c: ESMformerConfig) -> None:
        super().__init__()
        self.position_in_residual = c.position_in_residual
        self.drop = nn.Dropout(DROPOUT)
        self.MIFE_blocks = nn.Module()
        for level, depth in zip(LEVELS, c.level_depths, strict=True):
            self.register_parameter(f"pos_embed_{level}", nn.Parameter(torch.zeros(1, c.frames, c.width)))
            transformer = Transformer(depth, c.frames, c.width, relative=False)
            self.MIFE_blocks.add_module(f"trans{level}", transformer)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        out = []
        for level, y in zip(LEVELS, levels, strict=True):
            transformer = getattr(self.MIFE_blocks, f"trans{level}")
            y = self.drop(y + getattr(self, f"pos_embed_{level}"))
            refined = transformer(y)
            out.append((y + transformer.pos_embed if self.position_in_residual else y) + refined)
        return out


class CrossAttention(nn.Module):
    """Attention with query, key and value from three different streams (B, F, C)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        check_heads(dim, HEADS)
        self.linear_q = nn.Linear(dim, dim)
        self.linear_k = nn.Linear(dim, dim)
        self.linear_v = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self.proj(attend(self.linear_q(q), self.linear_k(k), self.linear_v(v), HEADS))


class LevelMixing(nn.Module):
    """Each level in turn attends to the two others, including their updates so far."""

    # (query, key) of the streams 0, 1, 2, which are the values and are updated in this order.
    SOURCES = ((1, 2), (0, 2), (0, 1))

    def __init__(self, width: int) -> None:
        super().__init__()
        for level in LEVELS:
            for role in (1, 2, 3):  # of query, key, value
                self.add_module(f"norm3_{level}{role}", nn.LayerNorm(width, eps=EPS_TIMM))
            self.add_module(f"attn_{level}", CrossAttention(width))
        self.drop_path = DropPath(DROP_PATH)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        streams = list(levels)
        for own, (level, sources) in enumerate(zip(LEVELS, self.SOURCES, strict=True)):
            parts = (
                getattr(self, f"norm3_{level}{role}")(streams[source])
                for role, source in enumerate((*sources, own), 1)
            )
            streams[own] = streams[own] + self.drop_path(getattr(self, f"attn_{level}")(*parts))
        return streams


class LevelFusion(nn.Module):
    """MCLF: the three levels side by side, (B, F, 3C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.MCFF_blocks = nn.ModuleList([LevelMixing(width)])
        self.norm = nn.LayerNorm(3 * width, eps=EPS_TIMM)

    def forward(self, levels: list[Tensor]) -> Tensor:
        return self.norm(torch.cat(self.MCFF_blocks[0](levels), -1))


class ESMformer(Lifter):
    """(B, F, 4, 17, 2) to (B, F, 17, 3), or (B, 1, 17, 3) if self-supervised: world space, root-relative."""

    def __init__(self, config: ESMformerConfig) -> None:
        super().__init__()
        c = config
        self.config = config
        for view in range(1, VIEWS + 1):
            self.add_module(f"ssfe{view}", ViewFeatures(c))
        for level in LEVELS:
            self.add_module(f"mvf{level}", ViewFusion(c))
            self.add_module(f"norm{level}", nn.LayerNorm(c.width))
        self.mife = LevelTransformers(c)
        self.mcff = LevelFusion(c.width)
        self.regression = nn.Sequential(nn.BatchNorm1d(3 * c.width), nn.Conv1d(3 * c.width, JOINTS * 3, 1))
        if c.self_supervised:
            self.mlp = Mlp(c.frames, SELF_SUPERVISED_HIDDEN, out=1)
        if c.unused_hidden:
            register_unused(self, unused_shapes(c))

    def forward(self, x: Tensor) -> Tensor:
        if self.config.person_relative:
            x = relative_to_person(x)
        views = x.permute(2, 0, 3, 4, 1).flatten(2, 3)  # (4, B, 34, F)
        features = [getattr(self, f"ssfe{i + 1}")(views[i]) for i in range(VIEWS)]
        levels = []
        for i, level in enumerate(LEVELS):
            stacked = torch.stack([view[i] for view in features], 1)
            levels.append(getattr(self, f"norm{level}")(getattr(self, f"mvf{level}")(stacked)))
        pose = self.regression(self.mcff(self.mife(levels)).transpose(1, 2))  # (B, 51, F)
        if self.config.self_supervised:
            pose = self.mlp(pose)
        return pose.transpose(1, 2).unflatten(-1, (JOINTS, 3))

    def lift(self, x: Tensor) -> LifterOutput:
        joints = self(x)
        return LifterOutput(joints - joints[:, :, :1])


def unused_shapes(config: ESMformerConfig) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the weights in an official file that the forward pass does not read."""
    wide, hidden, block = 3 * config.width, config.unused_hidden, "mcff.MCFF_blocks.0"
    linears = {}
    for owner in ("mcff", block):
        linears[f"{owner}.mlp.fc1"] = (hidden, wide)
        linears[f"{owner}.mlp.fc2"] = (wide, hidden)
    if not config.self_supervised:
        linears["mlp.fc1"] = (SELF_SUPERVISED_HIDDEN, config.frames)
        linears["mlp.fc2"] = (1, SELF_SUPERVISED_HIDDEN)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in linears.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in ("mife.norm", "mcff.norm2", f"{block}.norm2"):
        shapes |= {f"{name}.weight": (wide,), f"{name}.bias": (wide,)}
    return shapes


def infer(state: Mapping[str, Tensor], base: ESMformerConfig) -> ESMformerConfig:
    """Infer the sizes from the shapes; the switches come from `base`."""
    one, two, three = (count_blocks(state, f"ssfe1.Transformer_encoder_{i}.blocks.") for i in LEVELS)
    first, second, third = (count_blocks(state, f"mife.MIFE_blocks.trans{i}.blocks.") for i in LEVELS)
    unused = state.get("mcff.mlp.fc1.weight")
    return replace(
        base,
        frames=state["ssfe1.norm_1.weight"].shape[0],
        width=state["mvf1.norm.weight"].shape[0],
        view_depths=(one, two, three),
        level_depths=(first, second, third),
        fusion_kernel=state["mvf1.conv1.1.weight"].shape[-1],
        unused_hidden=0 if unused is None else unused.shape[0],
    )


PUBLISHED = ESMformerConfig(position_in_residual=True, unused_hidden=1024)

ENTRY = ModelEntry(
    name="esmformer",
    config_class=ESMformerConfig,
    build=ESMformer,
    spec=lambda c: LifterSpec(
        "esmformer",
        frames=c.frames,
        output="centre" if c.self_supervised else "sequence",
        views=VIEWS,
        flip_average=c.person_relative,  # a mirrored rig is another rig, and published networks learned one
        space="world",
    ),
    paper="ESMformer: Error-aware self-supervised transformer for multi-view 3D human pose estimation, "
    "Pattern Recognition 2025",
    licence="none stated",
    published="27 frames, 4 views: 27.4 mm MPJPE / 22.1 P-MPJPE on CPN, 17.6 / 11.8 on true 2D; "
    "self-supervised 34.5 / 26.7 and 20.9 / 12.6",
    variants={
        "published": PUBLISHED,
        "self-supervised": replace(PUBLISHED, self_supervised=True),
        "small": ESMformerConfig(
            width=128, view_depths=(2, 2, 2), level_depths=(1, 1, 1), person_relative=True
        ),
    },
    infer=infer,
)
