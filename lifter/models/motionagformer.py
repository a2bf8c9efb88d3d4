"""MotionAGFormer (Mehraban, Adeli, Taati; WACV 2024): attention beside graph convolutions.

A pose for every frame of the window. In every layer one stream attends over joints and over frames; the
other convolves along the skeleton, and between a joint's most similar frames; learned weights fuse both.

The output is 2.5D in the units of the input, as MotionBERT's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.errors import WeightsError
from lifter.models.blocks import Attention, Mlp, count_blocks
from lifter.models.motionbert import Representation
from lifter.models.person_input import relative_to_person
from lifter.network import Lifter, ModelEntry, wrapped
from lifter.skeletons import H36M_17
from lifter.spec import LifterOutput, LifterSpec

JOINTS = len(H36M_17.joints)
# The joints that each joint receives from. Not symmetric: the pelvis (0) receives from the right hip and not
# from the left one, the thorax (8) from neither shoulder. Published weights were trained with exactly this.
RECEIVES_FROM = (
    (1, 7), (2, 0), (3, 1), (2,), (5, 0), (6, 4), (5,), (0, 8), (7, 9),
    (8, 10), (9,), (12, 8), (13, 11), (12,), (15, 8), (16, 14), (15,),
)  # fmt: skip
LAYER_SCALE = 1e-5  # of fresh weights (the authors' configurations)


@dataclass(frozen=True)
class MotionAGFormerConfig:
    """Sizes. Defaults are those of the published "base" model for Human3.6M.

    `person_relative`: the network reads `person_input.relative_to_person` and predicts metres, for training
    by this project.
    """

    frames: int = 243
    width: int = 128
    rep_width: int = 512
    layers: int = 16
    mlp_ratio: float = 4.0
    heads: int = 8
    neighbours: int = 2  # frames that a frame receives from in the temporal graph
    person_relative: bool = False


class GraphMixer(nn.Module):
    """Graph convolution over the nodes of (N, nodes, C): ReLU(x + BN(A V(x) + U(x))).

    Batch norm has one mean and variance per node, shared by all channels.
    """

    def __init__(self, width: int, nodes: int) -> None:
        super().__init__()
        self.U = nn.Linear(width, width)
        self.V = nn.Linear(width, width)
        self.batch_norm = nn.BatchNorm1d(nodes)
        for linear in (self.U, self.V):
            nn.init.normal_(linear.weight, std=math.sqrt(2 / width))

    def aggregate(self, x: Tensor, values: Tensor) -> Tensor:
        """Sum the values (N, nodes, C) of each node's neighbours with the weights of the graph."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.batch_norm(self.aggregate(x, self.V(x)) + self.U(x)))


class SkeletonGraph(GraphMixer):
    """The joints of a frame along the bones, degree-normalised: D^-1/2 A D^-1/2 with D of the row sums."""

    def __init__(self, width: int) -> None:
        super().__init__(width, JOINTS)
        self.adjacency: Tensor
        adjacency = torch.zeros(JOINTS, JOINTS)
        for joint, sources in enumerate(RECEIVES_FROM):
            adjacency[joint, list(sources)] = 1
        self.register_buffer("adjacency", adjacency, persistent=False)

    def aggregate(self, x: Tensor, values: Tensor) -> Tensor:
        scale = self.adjacency.sum(-1).rsqrt()  # computed here for full precision in float64
        return (scale[:, None] * self.adjacency * scale) @ values


class SimilarityGraph(GraphMixer):
    """The frames of a joint: each receives from the `neighbours` frames most similar to it, equally.

    The authors' code uses every frame at least as similar as the last of these, which differs for ties only.
    If frames repeat, its ties depend on the last bit of a sum. Indices give the same result for any of the
    equal frames.
    """

    def __init__(self, width: int, frames: int, neighbours: int) -> None:
        super().__init__(width, frames)
        if neighbours > frames:
            raise ValueError(f"{neighbours} neighbours cannot be found among {frames} frames")
        self.neighbours = neighbours

    def aggregate(self, x: Tensor, values: Tensor) -> Tensor:
        # A discrete choice: in half precision the sums of adjacent frames are not distinct.
        with torch.autocast(x.device.type, enabled=False):
            exact = x.detach().float() if x.dtype in (torch.float16, torch.bfloat16) else x.detach()
            nearest = (exact @ exact.transpose(1, 2)).topk(self.neighbours).indices
        at = nearest.flatten(1)[..., None].expand(-1, -1, values.shape[-1])
        return values.gather(1, at).unflatten(1, (-1, self.neighbours)).mean(2)


class ScaledBlock(nn.Module):
    """Pre-norm residual block with layer scale: x + s1 mixer(norm1(x)), then x + s2 mlp(norm2(x))."""

    def __init__(self, width: int, mixer: nn.Module, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.mixer = mixer
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, hidden)
        self.layer_scale_1 = nn.Parameter(torch.full((width,), LAYER_SCALE))
        self.layer_scale_2 = nn.Parameter(torch.full((width,), LAYER_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.layer_scale_1 * self.mixer(self.norm1(x))
        return x + self.layer_scale_2 * self.mlp(self.norm2(x))


class Layer(nn.Module):
    """Both streams of a layer, fused: (B, F, 17, C) to the same."""

    def __init__(self, config: MotionAGFormerConfig) -> None:
        super().__init__()
        c, width, hidden = config, config.width, int(config.width * config.mlp_ratio)

        def attention() -> Attention:
            return Attention(width, c.heads, qkv_bias=False)

        self.att_spatial = ScaledBlock(width, attention(), hidden)
        self.att_temporal = ScaledBlock(width, attention(), hidden)
        self.graph_spatial = ScaledBlock(width, SkeletonGraph(width), hidden)
        self.graph_temporal = ScaledBlock(width, SimilarityGraph(width, c.frames, c.neighbours), hidden)
        self.fusion = nn.Linear(2 * width, 2)
        nn.init.zeros_(self.fusion.weight)
        nn.init.constant_(self.fusion.bias, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        attended = self._stream(x, self.att_spatial, self.att_temporal)
        convolved = self._stream(x, self.graph_spatial, self.graph_temporal)
        weight = self.fusion(torch.cat((attended, convolved), -1)).softmax(-1)
        return weight[..., :1] * attended + weight[..., 1:] * convolved

    @staticmethod
    def _stream(x: Tensor, over_joints: nn.Module, over_frames: nn.Module) -> Tensor:
        frames, joints = x.shape[1:3]
        x = over_joints(x.flatten(0, 1)).unflatten(0, (-1, frames)).transpose(1, 2)
        return over_frames(x.flatten(0, 1)).unflatten(0, (-1, joints)).transpose(1, 2)


class MotionAGFormer(Lifter):
    """x, y, score (B, F, 17, 3) to (B, F, 17, 3).

    F must be the configured number of frames: batch norm is per frame.
    """

    def __init__(self, config: MotionAGFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.joints_embed = nn.Linear(3, config.width)
        self.pos_embed = nn.Parameter(torch.zeros(1, JOINTS, config.width))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.rep_logit = Representation(config.width, config.rep_width)
        self.head = nn.Linear(config.rep_width, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.config.person_relative:
            x = relative_to_person(x)
        x = self.joints_embed(x) + self.pos_embed
        for layer in self.layers:
            x = layer(x)
        return self.head(self.rep_logit(self.norm(x)))

    def lift(self, x: Tensor) -> LifterOutput:
        """Predict joints with the pelvis set to 0."""
        y = self(x)
        return LifterOutput(torch.cat((torch.zeros_like(y[:, :, :1]), y[:, :, 1:]), 2))


def infer(state: Mapping[str, Tensor], base: MotionAGFormerConfig) -> MotionAGFormerConfig:
    """Infer the sizes from the shapes; heads and neighbours come from `base`."""
    width = state["joints_embed.weight"].shape[0]
    return replace(
        base,
        frames=state["layers.0.graph_temporal.mixer.batch_norm.weight"].shape[0],
        width=width,
        rep_width=state["head.weight"].shape[1],
        layers=count_blocks(state, "layers."),
        mlp_ratio=state["layers.0.att_spatial.mlp.fc1.weight"].shape[0] / width,
    )


FRAMES_3DHP = 81  # of the published B and L for MPI-INF-3DHP; those for Human3.6M read 243
VARIANTS = {
    "b": MotionAGFormerConfig(),
    "l": MotionAGFormerConfig(layers=26),
    "s": MotionAGFormerConfig(frames=81, width=64, layers=26),
    "xs": MotionAGFormerConfig(frames=27, width=64, layers=12),
}


def complete(config: MotionAGFormerConfig, path: Path) -> MotionAGFormerConfig:
    """Refuse weights that were trained on MPI-INF-3DHP, whose joints come in another order.

    Raises `WeightsError` for them, and if neither sizes nor name determine the training data.
    """
    path = path.absolute()
    name = f"{path.parent.name}/{path.name}".lower()
    if "3dhp" in name or (config.width == VARIANTS["b"].width and config.frames == FRAMES_3DHP):
        raise WeightsError(
            f"{path}: a MotionAGFormer trained on MPI-INF-3DHP, whose joints come in another order than "
            "Human3.6M's: give one that was trained on Human3.6M"
        )
    if config in (VARIANTS["xs"], VARIANTS["s"]) and "h36m" not in name:
        raise WeightsError(
            f"{path}: neither its weights nor its name show whether this MotionAGFormer was trained on "
            "Human3.6M or on MPI-INF-3DHP, which is not supported: ask for motionagformer:xs or "
            "motionagformer:s if it was Human3.6M"
        )
    return config


def spec(config: MotionAGFormerConfig) -> LifterSpec:
    """Return the spec: windows of one length; 2.5D, or metres if `person_relative`."""
    if config.person_relative:
        return LifterSpec("motionagformer", config.frames, channels=3, short="stretch", perspective_crop=True)
    return LifterSpec(
        "motionagformer", config.frames, channels=3, short="stretch", missing="nearest", units="input"
    )


ENTRY = ModelEntry(
    name="motionagformer",
    config_class=MotionAGFormerConfig,
    build=MotionAGFormer,
    spec=spec,
    paper="MotionAGFormer: Enhancing 3D Human Pose Estimation with a Transformer-GCNFormer Network, "
    "WACV 2024",
    licence="Apache-2.0 (code); trained on Human3.6M: non-commercial use",
    published="with ground-truth scale: B 38.4 mm MPJPE; on true 2D XS 28.1, S 26.5, B 19.4, L 17.3",
    variants=VARIANTS
    | {"small": MotionAGFormerConfig(frames=27, width=32, rep_width=128, layers=4, person_relative=True)},
    infer=infer,
    wrap=wrapped("model", "module."),
    complete=complete,
)
