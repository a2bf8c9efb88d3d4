"""KTPFormer: kinematics and trajectory prior knowledge-enhanced transformer (Peng, Zhou, Mok; CVPR 2024).

A pose for every frame of the window. Before the usual alternation of attention over joints and over
frames, two learnable graph convolutions add prior knowledge: which joints a bone connects (KPA, Eq. 2-6) and
that a joint moves on a trajectory (TPA).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifter.models.blocks import EPS_TIMM, Attention, Block, Mlp, count_blocks
from lifter.models.person_input import relative_to_person
from lifter.network import Lifter, ModelEntry, wrapped
from lifter.skeletons import H36M_17
from lifter.spec import LifterOutput, LifterSpec


@dataclass(frozen=True)
class KTPFormerConfig:
    """Defaults are those of the published 243-frame model."""

    frames: int = 243
    width: int = 512
    depth: int = 7
    heads: int = 8
    mlp_ratio: float = 2.0
    channels: int = 2
    drop_path: float = 0.1  # in training only
    person_relative: bool = False  # reads `person_input.relative_to_person`, for cameras of any kind


def prior_graph(edges: Sequence[tuple[int, int]], nodes: int) -> Tensor:
    """Return the graph (nodes, nodes): 1 / degree(i) for each neighbour of i, 1 on the diagonal.

    The self-loop is set after normalisation, so rows do not add up to 1. Published weights rely on it.
    """
    graph = torch.zeros(nodes, nodes, device="cpu")  # also where a network is built of shapes only
    for a, b in edges:
        graph[a, b] = graph[b, a] = 1
    graph = graph / graph.sum(1, keepdim=True).clamp(min=1)
    return graph.fill_diagonal_(1.0)


class GraphConv(nn.Module):
    """Graph convolution with a learnable graph and modulated weights: (B, N, in) to (B, N, out).

    As in "Modulated Graph Convolutional Network" (Zou, Tang; ICCV 2021): separate weights for a node
    itself and for its neighbours, an element-wise gain M per node, and a correction of the graph.
    """

    def __init__(self, graph: Tensor, inputs: int, outputs: int) -> None:
        super().__init__()
        nodes = len(graph)
        self.W = nn.Parameter(nn.init.xavier_uniform_(torch.empty(2, inputs, outputs), gain=2**0.5))
        self.M = nn.Parameter(torch.ones(nodes, outputs))
        self.adj2 = nn.Parameter(torch.full((nodes, nodes), 1e-6))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.graph: Tensor
        self.own: Tensor
        self.register_buffer("graph", graph, persistent=False)
        self.register_buffer("own", torch.eye(nodes), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        graph = self.graph + self.adj2
        graph = (graph + graph.T) / 2
        own, others = graph * self.own, graph * (1 - self.own)
        return own @ (self.M * (x @ self.W[0])) + others @ (self.M * (x @ self.W[1])) + self.bias


class GraphLayer(nn.Module):
    """Graph convolution, batch norm over channels, ReLU."""

    def __init__(self, graph: Tensor, inputs: int, outputs: int) -> None:
        super().__init__()
        self.gconv = GraphConv(graph, inputs, outputs)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.gconv(x).transpose(1, 2)).transpose(1, 2))


class PriorAttention(Attention):
    """Self-attention on top of a prior: t + attention(norm(t)), t = prior(x) + position.

    Residual and norm are in the attention and not in the block, as in the official keys.
    """

    norm1: nn.LayerNorm

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.norm1 = nn.LayerNorm(width)  # eps 1e-5, unlike every other norm inside the blocks

    def embed(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        t = self.embed(x)
        return t + super().forward(self.norm1(t))


class KinematicAttention(PriorAttention):
    """KPA: joints (B, 17, channels) to tokens (B, 17, width) along the bones."""

    def __init__(self, channels: int, width: int, heads: int) -> None:
        super().__init__(width, heads)
        joints = len(H36M_17.joints)
        self.Spatial_pos_embed = nn.Parameter(torch.zeros(1, joints, width))
        self.kpa = GraphLayer(prior_graph(H36M_17.bones, joints), channels, width)

    def embed(self, x: Tensor) -> Tensor:
        return self.kpa(x) + self.Spatial_pos_embed


class TrajectoryPrior(nn.Module):
    """Two graph layers along the chain of frames."""

    def __init__(self, frames: int, width: int) -> None:
        super().__init__()
        graph = prior_graph([(i, i + 1) for i in range(frames - 1)], frames)
        self.gconv1 = GraphLayer(graph, width, width)
        self.gconv2 = GraphLayer(graph, width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gconv2(self.gconv1(x))


class TrajectoryAttention(PriorAttention):
    """TPA: one joint's frames (B, F, width), mixed with their neighbours in time."""

    def __init__(self, frames: int, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.Temporal_pos_embed = nn.Parameter(torch.zeros(1, frames, width))
        self.tpa = TrajectoryPrior(frames, width)

    def embed(self, x: Tensor) -> Tensor:
        return self.tpa(x) + self.Temporal_pos_embed


class PriorBlock(nn.Module):
    """A block whose attention includes its prior, norm and residual."""

    def __init__(self, attn: PriorAttention, width: int, hidden: int) -> None:
        super().__init__()
        self.attn = attn
        self.norm2 = nn.LayerNorm(width, eps=EPS_TIMM)
        self.mlp = Mlp(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        t = self.attn(x)
        return t + self.mlp(self.norm2(t))


class KTPFormer(Lifter):
    """(B, F, 17, channels) to (B, F, 17, 3), camera space. F must be the configured number of frames."""

    def __init__(self, config: KTPFormerConfig) -> None:
        super().__init__()
        c, width, hidden = config, config.width, int(config.width * config.mlp_ratio)
        self.config = config
        self.kpattention = PriorBlock(KinematicAttention(c.channels, width, c.heads), width, hidden)
        self.tpattention = PriorBlock(TrajectoryAttention(c.frames, width, c.heads), width, hidden)
        rates = [c.drop_path * (i + 1) / c.depth for i in range(c.depth)]
        self.STEblocks = nn.ModuleList(Block(width, Attention(width, c.heads), hidden, r) for r in rates)
        self.TTEblocks = nn.ModuleList(Block(width, Attention(width, c.heads), hidden, r) for r in rates)
        self.Spatial_norm = nn.LayerNorm(width, eps=EPS_TIMM)  # one norm after every spatial block
        self.Temporal_norm = nn.LayerNorm(width, eps=EPS_TIMM)  # and one after every temporal block
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3))

    def forward(self, x: Tensor) -> Tensor:
        frames, joints = x.shape[1:3]
        if self.config.person_relative:
            x = relative_to_person(x)
        spatial = [self.kpattention, *self.STEblocks]
        temporal = [self.tpattention, *self.TTEblocks]
        for over_joints, over_frames in zip(spatial, temporal, strict=True):
            x = self.Spatial_norm(over_joints(x.flatten(0, 1)))
            x = x.unflatten(0, (-1, frames)).transpose(1, 2)  # (B, 17, F, C)
            x = self.Temporal_norm(over_frames(x.flatten(0, 1)))
            x = x.unflatten(0, (-1, joints)).transpose(1, 2)  # (B, F, 17, C)
        return self.head(x)

    def lift(self, x: Tensor) -> LifterOutput:
        return LifterOutput(self(x))


def infer(state: Mapping[str, Tensor], base: KTPFormerConfig) -> KTPFormerConfig:
    """Infer the sizes from the shapes; the number of heads comes from `base`."""
    _, frames, width = state["tpattention.attn.Temporal_pos_embed"].shape
    return replace(
        base,
        frames=frames,
        width=width,
        depth=count_blocks(state, "STEblocks."),
        mlp_ratio=state["kpattention.mlp.fc1.weight"].shape[0] / width,
        channels=state["kpattention.attn.kpa.gconv.W"].shape[1],
    )


ENTRY = ModelEntry(
    name="ktpformer",
    config_class=KTPFormerConfig,
    build=KTPFormer,
    spec=lambda c: LifterSpec(
        "ktpformer", frames=c.frames, channels=c.channels, perspective_crop=c.person_relative
    ),
    paper="KTPFormer: Kinematics and Trajectory Prior Knowledge-Enhanced Transformer, CVPR 2024",
    licence="none stated",
    published="243 frames: 40.1 mm MPJPE / 31.9 P-MPJPE on CPN, 19.0 MPJPE on true 2D",
    variants={f"{n}f": KTPFormerConfig(frames=n) for n in (243, 81, 27)}
    | {"small": KTPFormerConfig(frames=9, width=64, depth=3, channels=3, person_relative=True)},
    infer=infer,
    wrap=wrapped("model_pos", "module."),
)
