"""MotionBERT's lifter, DSTformer (Zhu, Ma, Liu, Liu, Wu, Wang; ICCV 2023).

A pose for every frame of a window of any length up to the configured one. Two streams, one that attends
over joints first and one that attends over frames first, are fused by learned weights after every block.

The output is 2.5D in the units of the input: x and y are the perspective image, z is the depth from the
pelvis times the image size of a metre at the pelvis. `lifter.metric` converts it to metres.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from common.errors import WeightsError
from lifter.models.blocks import EPS_TIMM, Attention, Mlp, count_blocks
from lifter.models.person_input import relative_to_person
from lifter.network import Lifter, ModelEntry, wrapped
from lifter.skeletons import H36M_17
from lifter.spec import LifterOutput, LifterSpec

JOINTS = len(H36M_17.joints)


@dataclass(frozen=True)
class MotionBERTConfig:
    """Sizes. Defaults are those of the published model for Human3.6M. `frames` is the longest window.

    Shapes do not determine the last four. `root_relative`: the pelvis of the output is 0; else x and y are
    image coordinates and z is relative to the pelvis of the first frame. `normalisation`: of the input, see
    `LifterSpec`; the authors' code for videos has both. `person_relative`: the network reads
    `person_input.relative_to_person` instead and predicts metres, for training by this project.
    """

    frames: int = 243
    width: int = 512
    rep_width: int = 512  # of the "motion representation" before the head
    depth: int = 5
    mlp_ratio: float = 2.0
    heads: int = 8
    root_relative: bool = True
    normalisation: Literal["crop", "pixels"] = "crop"
    person_relative: bool = False


class DualBlock(nn.Module):
    """Four pre-norm residual steps on (B, F, 17, C): attention and MLP over joints, and over frames.

    Args:
        order: "st" is joints first, "ts" frames first. Keys of the weights have the axis, not the position,
            so both orders have the same keys.
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
    """Linear and tanh, the authors' "motion representation"."""

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
        """Initialise as in the authors' code: small linear maps, both streams fused evenly."""
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

    def lift(self, x: Tensor) -> LifterOutput:
        """Predict joints with the pelvis at 0: set for root-relative models, subtracted for global ones.

        The depth of a global pose is relative to the first frame of the window, so it differs by window.
        """
        y = self(x)
        if self.config.root_relative:
            return LifterOutput(torch.cat((torch.zeros_like(y[:, :, :1]), y[:, :, 1:]), 2))
        return LifterOutput(y - y[:, :, :1])


def infer(state: Mapping[str, Tensor], base: MotionBERTConfig) -> MotionBERTConfig:
    """Infer the sizes from the shapes; the other fields come from `base`."""
    _, frames, _, width = state["temp_embed"].shape
    return replace(
        base,
        frames=frames,
        width=width,
        rep_width=state["head.weight"].shape[1],
        depth=count_blocks(state, "blocks_st."),
        mlp_ratio=state["blocks_st.0.mlp_s.fc1.weight"].shape[0] / width,
    )


def rename(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Rename weights from MMPose's keys to the authors'.

    Raises `WeightsError` for the authors' networks with other heads (meshes, actions).
    """
    if "backbone.pos_embed" in state:
        raise WeightsError(
            f"{path}: MotionBERT with another head (a body mesh or actions), not the lifter: give a file of "
            "its 3D poses, such as FT_MB_release_MB_ft_h36m/best_epoch.bin"
        )
    if "backbone.spat_embed" not in state:
        return state
    return {_authors_name(key): weight for key, weight in state.items()}


def _authors_name(key: str) -> str:
    key = key.removeprefix("backbone.").replace("spat_embed", "pos_embed").replace("attn_regress", "ts_attn")
    key = re.sub(r"(mlp_[st])\.0\.", r"\1.fc1.", key)
    key = re.sub(r"(mlp_[st])\.2\.", r"\1.fc2.", key)
    return key.replace("head.pre_logits.", "pre_logits.").replace("head.fc.", "head.")


def complete(config: MotionBERTConfig, path: Path) -> MotionBERTConfig:
    """Infer root-relative or global poses from the authors' and MMPose's names of files and folders.

    Raises `WeightsError` for files that are only pre-trained, and for other names.
    """
    path = path.absolute()
    name = f"{path.parent.name}/{path.name}"
    if known := re.search(r"(?:mb|motionbert)_(?:\w+_)?h36m(_global)?", name, re.IGNORECASE):
        return replace(config, root_relative=known[1] is None)
    if re.search(r"pretrain|mb_release|mb_lite", name, re.IGNORECASE):
        raise WeightsError(
            f"{path}: MotionBERT before it was trained to lift: give a file of its 3D poses, such as "
            "FT_MB_release_MB_ft_h36m/best_epoch.bin"
        )
    if _sizes(config) == _sizes(PUBLISHED["lite"]):  # published with global poses only
        return replace(config, root_relative=False)
    raise WeightsError(
        f"{path}: neither its weights nor its name show whether this MotionBERT gives root-relative or "
        "global poses: ask for motionbert:h36m (MB_ft_h36m, MB_train_h36m) or motionbert:global "
        "(MB_ft_h36m_global)"
    )


def _sizes(config: MotionBERTConfig) -> tuple[int, float, int]:
    return config.width, config.mlp_ratio, config.depth


def spec(config: MotionBERTConfig) -> LifterSpec:
    """Return the spec: windows of any length; 2.5D, or metres if `person_relative`."""
    if config.person_relative:
        return LifterSpec("motionbert", config.frames, channels=3, short="as_is", perspective_crop=True)
    return LifterSpec(
        "motionbert",
        config.frames,
        channels=3,
        normalisation=config.normalisation,
        short="as_is",
        missing="nearest",
        units="input",
    )


_LITE = MotionBERTConfig(width=256, mlp_ratio=4.0, root_relative=False)
PUBLISHED = {"h36m": MotionBERTConfig(), "global": MotionBERTConfig(root_relative=False), "lite": _LITE}

ENTRY = ModelEntry(
    name="motionbert",
    config_class=MotionBERTConfig,
    build=MotionBERT,
    spec=spec,
    paper="MotionBERT: A Unified Perspective on Learning Human Motion Representations, ICCV 2023",
    licence="Apache-2.0 (code); trained on Human3.6M: non-commercial use",
    published="with ground-truth scale: 37.2 mm MPJPE / 32.2 P-MPJPE fine-tuned, 39.2 / 33.4 from scratch",
    variants=PUBLISHED
    | {f"{name}-pixels": replace(config, normalisation="pixels") for name, config in PUBLISHED.items()}
    | {"small": MotionBERTConfig(frames=27, width=64, rep_width=128, depth=2, person_relative=True)},
    infer=infer,
    wrap=wrapped("model_pos", "module."),
    rename=rename,
    complete=complete,
)
