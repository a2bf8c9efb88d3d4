"""HRNet, the high-resolution network for human pose, and readers of all its weight files.

Source: Sun, Xiao, Liu, Wang, "Deep High-Resolution Representation Learning for Human Pose Estimation",
CVPR 2019. Modules are named so that the state dict is that of the authors' `pose_hrnet`. The network keeps
up to four parallel branches at strides 4, 8, 16 and 32, each twice as wide as the one above, and fuses their
features after every module. The keypoint heatmaps come off the finest branch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from common.errors import WeightsError
from common.safe_load import TensorTree, read_tensors, require_finite, shapes_only

Alignment = Literal["index", "centre", "corner"]

MOST_PIXELS = 2048  # a side of the input; published networks read up to 384
_STEM = 64  # channels after the two strided convolutions
_EXPANSION = 4  # a bottleneck's output over its inner width
_METADATA_KEY = "hrnet_config"


@dataclass(frozen=True)
class HRNetConfig:
    """The architecture of an HRNet, and the input it was trained for."""

    width: int  # channels of the finest branch; branch i has width * 2**i
    modules: tuple[int, int, int] = (1, 4, 3)  # exchange modules in stages 2, 3 and 4
    blocks: int = 4  # residual blocks a branch in every module
    joints: int = 17
    input_size: tuple[int, int] = (192, 256)  # width, height in pixels, multiples of 4
    alignment: Alignment = "index"  # where heatmap cells lie on the input (demo.pose.estimator.HeatmapGrid)


W32 = HRNetConfig(width=32)
W48 = HRNetConfig(width=48, input_size=(288, 384))
W16 = HRNetConfig(width=16, modules=(1, 2, 1))  # narrow, with half the modules: for a CPU
W16_SMALL = HRNetConfig(width=16, modules=(1, 2, 1), input_size=(144, 192))
# half the blocks and half the modules of W32, heatmap cells centred on their pixels: what is trained here
W32_SMALL = HRNetConfig(width=32, modules=(1, 2, 1), blocks=2, input_size=(144, 192), alignment="centre")
# the same with a second fusion of all four branches: left and right need the context of the whole body
W32_MEDIUM = replace(W32_SMALL, modules=(1, 2, 2))
VARIANTS = {
    "w32-256x192": W32,
    "w48-384x288": W48,
    "w16-256x192": W16,
    "w16-192x144": W16_SMALL,
    "w32s-192x144": W32_SMALL,
    "w32s-128x96": replace(W32_SMALL, input_size=(96, 128)),
    "w32s-160x120": replace(W32_SMALL, input_size=(120, 160)),
    "w32m-192x144": W32_MEDIUM,
}


def _conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a skip connection (He et al. 2016, figure 5 left)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv_bn(channels, channels, 3)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = _conv_bn(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + x)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 around a skip connection (He et al. 2016, figure 5 right)."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        outputs = channels * _EXPANSION
        self.conv1, self.bn1 = _conv_bn(inputs, channels, 1)
        self.conv2, self.bn2 = _conv_bn(channels, channels, 3)
        self.conv3, self.bn3 = _conv_bn(channels, outputs, 1)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Sequential(*_conv_bn(inputs, outputs, 1)) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) -> (N, 4 * channels, h, w)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def _down(inputs: int, outputs: int) -> nn.Sequential:
    """Halve the resolution."""
    return nn.Sequential(*_conv_bn(inputs, outputs, 3, stride=2), nn.ReLU(inplace=True))


def _exchange(source: int, target: int, widths: Sequence[int]) -> nn.Module:
    """Build the path from branch `source` to branch `target`: upsampled if coarser, strided if finer."""
    if source == target:
        return nn.Identity()
    if source > target:
        upsample = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
        return nn.Sequential(*_conv_bn(widths[source], widths[target], 1), upsample)
    halvings: list[nn.Module] = [_down(widths[source], widths[source]) for _ in range(target - source - 1)]
    return nn.Sequential(*halvings, nn.Sequential(*_conv_bn(widths[source], widths[target], 3, stride=2)))


class HighResolutionModule(nn.Module):
    """Residual blocks on each branch, then every output branch sums over all branches."""

    def __init__(self, widths: Sequence[int], blocks: int, outputs: int) -> None:
        super().__init__()
        branches = range(len(widths))
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width) for _ in range(blocks))) for width in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_exchange(source, target, widths) for source in branches)
            for target in range(outputs)
        )
        self.relu = nn.ReLU()

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """Per branch (N, width * 2**i, h / 2**i, w / 2**i) -> the same for the output branches."""
        branches = [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]
        fused = []
        for layers in self.fuse_layers:
            # not sum(): the order of the terms is the authors', and so is the last bit of the result
            assert isinstance(layers, nn.ModuleList)
            total, *others = [layer(x) for layer, x in zip(layers, branches, strict=True)]
            for other in others:
                # A side that is no multiple of 32 is rounded up on its way down the branches. Cell i of a
                # branch lies at 2i of the next finer one, so it is the far end that is over after upsampling.
                total = total + other[..., : total.shape[-2], : total.shape[-1]]
            fused.append(self.relu(total))
        return fused


class HRNet(nn.Module):
    """(N, 3, H, W) normalised RGB -> heatmaps (N, joints, H / 4, W / 4)."""

    def __init__(self, config: HRNetConfig) -> None:
        super().__init__()
        widths = [config.width * 2**branch for branch in range(4)]
        self.conv1, self.bn1 = _conv_bn(3, _STEM, 3, stride=2)
        self.conv2, self.bn2 = _conv_bn(_STEM, _STEM, 3, stride=2)
        self.relu = nn.ReLU(inplace=True)
        stem = _STEM * _EXPANSION
        self.layer1 = nn.Sequential(Bottleneck(_STEM, _STEM), *(Bottleneck(stem, _STEM) for _ in range(3)))
        self.transition1 = _transition([stem], widths[:2])
        self.stage2 = _stage(widths[:2], config.modules[0], config.blocks, outputs=2)
        self.transition2 = _transition(widths[:2], widths[:3])
        self.stage3 = _stage(widths[:3], config.modules[1], config.blocks, outputs=3)
        self.transition3 = _transition(widths[:3], widths)
        self.stage4 = _stage(widths, config.modules[2], config.blocks, outputs=1)
        self.final_layer = nn.Conv2d(config.width, config.joints, 1)
        nn.init.normal_(self.final_layer.weight, std=0.001)  # heatmaps start flat, as in the authors' code
        nn.init.zeros_(self.final_layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, joints, H / 4, W / 4)."""
        return self.final_layer(self.stages(x)[-1][0])

    def start(self) -> list[nn.Module]:
        """The layers before stage 2."""
        return [self.conv1, self.bn1, self.conv2, self.bn2, self.layer1]

    def stages(self, x: Tensor) -> list[list[Tensor]]:
        """Return the branches of stages 2, 3 and 4 for pictures (N, 3, H, W).

        The first branch is (N, width, H / 4, W / 4), each further one half as fine and twice as wide.
        """
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        branches = [self.layer1(x)]
        after = []
        for transition, stage in (
            (self.transition1, self.stage2),
            (self.transition2, self.stage3),
            (self.transition3, self.stage4),
        ):
            # a new branch starts from the coarsest one before
            branches = [layer(branches[min(i, len(branches) - 1)]) for i, layer in enumerate(transition)]
            branches = stage(branches)
            after.append(branches)
        return after


def _transition(before: Sequence[int], after: Sequence[int]) -> nn.ModuleList:
    """Build the layers between the branches of one stage and those of the next, which has one more."""
    layers: list[nn.Module] = []
    for branch, width in enumerate(after):
        if branch >= len(before):
            layers.append(nn.Sequential(_down(before[-1], width)))
        elif before[branch] != width:
            layers.append(nn.Sequential(*_conv_bn(before[branch], width, 3), nn.ReLU(inplace=True)))
        else:
            layers.append(nn.Identity())
    return nn.ModuleList(layers)


def _stage(widths: Sequence[int], modules: int, blocks: int, outputs: int) -> nn.Sequential:
    """Build a row of exchange modules; only the last may drop branches without a reader."""
    counts = [len(widths)] * (modules - 1) + [outputs]
    return nn.Sequential(*(HighResolutionModule(widths, blocks, count) for count in counts))


def build(config: HRNetConfig) -> HRNet:
    """Build a network with random weights.

    Raises:
        WeightsError: the input size is no multiple of 4, so heatmap cells would not line up with pixels.
    """
    if any(not 0 < side <= MOST_PIXELS or side % 4 for side in config.input_size):
        raise WeightsError(
            f"HRNet's input {config.input_size} must be multiples of 4 up to {MOST_PIXELS}: pick another size"
        )
    return HRNet(config)


def load_hrnet(path: Path) -> tuple[HRNet, HRNetConfig]:
    """Load a checkpoint: a network in eval mode, and the configuration inferred from its shapes.

    Takes the authors' files (bare, under `state_dict`, with a `module.` prefix), MMPose's of 0.x and 1.x, and
    our own .safetensors (`save_hrnet`). Shapes do not determine the input size and alignment: these come from
    our metadata, else from the file's name (`...256x192...`, `...udp...`), else from the published variants.

    Raises:
        WeightsError: the file is no checkpoint, or its keys or shapes are not those of an HRNet.
        InputMissing: there is no such file.
    """
    path = Path(path)
    weights = _author_keys(read_tensors(path))
    config = _config_of(weights, path)
    if config.blocks * sum(config.modules) > len(weights):  # every block has several weights
        raise WeightsError(f"{path} describes more layers than it has weights for: write it again")
    with shapes_only():  # until they are known to be those of the file
        model = build(config)
    _check_fit(model.state_dict(), weights, path)
    require_finite(weights, path)
    model.load_state_dict(weights, assign=True)
    return model.eval(), config


def save_hrnet(model: HRNet, config: HRNetConfig, path: Path) -> None:
    """Write a .safetensors file with the authors' keys and the configuration as JSON in its metadata."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, path, metadata={_METADATA_KEY: json.dumps(asdict(config))})


def _author_keys(tree: TensorTree) -> dict[str, Tensor]:
    """Unwrap a checkpoint and give its tensors the authors' names, weights as float32."""
    while (inner := tree.get("state_dict", tree.get("model"))) is not None and isinstance(inner, dict):
        tree = inner
    renamed = {}
    for key, value in tree.items():
        name = key.removeprefix("module.")
        if not isinstance(value, Tensor) or name.startswith("data_preprocessor."):
            continue
        name = re.sub(r"^(backbone\.|(keypoint_)?head\.(?=final_layer\.))", "", name)
        renamed[name] = value.float() if value.is_floating_point() else value
        # Files from before PyTorch 0.4.1 lack this counter. It matters to no result.
        if name.endswith("running_var"):
            renamed.setdefault(name.replace("running_var", "num_batches_tracked"), torch.tensor(0))
    return renamed


def _config_of(weights: Mapping[str, Tensor], path: Path) -> HRNetConfig:
    """Infer the configuration from our metadata, or from tensor shapes and the file's name."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            stored = (file.metadata() or {}).get(_METADATA_KEY)
        if stored is not None:
            return _parse_config(stored, path)
    first, last = "stage2.0.branches.0.0.conv1.weight", "final_layer.weight"
    missing = [key for key in (first, last) if key not in weights or weights[key].ndim != 4]
    if missing:
        raise WeightsError(
            f"{path} is no HRNet for keypoints: it lacks {', '.join(missing)}; pick another file"
        )
    width = weights[first].shape[0]

    def count(pattern: str) -> int:
        found = (re.match(pattern, key) for key in weights)
        return 1 + max((int(match[1]) for match in found if match), default=0)

    size = re.search(
        r"(?<!\d)(\d{2,3})x(\d{2,3})(?!\d)", path.name
    )  # height x width, as is usual in file names
    return HRNetConfig(
        width=width,
        modules=(count(r"stage2\.(\d+)\."), count(r"stage3\.(\d+)\."), count(r"stage4\.(\d+)\.")),
        blocks=count(r"stage2\.0\.branches\.0\.(\d+)\."),
        joints=weights[last].shape[0],
        input_size=(int(size[2]), int(size[1])) if size else (W48 if width == W48.width else W32).input_size,
        alignment="corner" if "udp" in path.name.lower() else "index",
    )


def _parse_config(text: str, path: Path) -> HRNetConfig:
    try:
        fields = json.loads(text)
        two, three, four = (int(count) for count in fields["modules"])
        width, height = (int(side) for side in fields["input_size"])
        return HRNetConfig(**{**fields, "modules": (two, three, four), "input_size": (width, height)})
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise WeightsError(f"{path} describes its network wrongly ({error}): write it again") from error


def _check_fit(wanted: Mapping[str, Tensor], weights: Mapping[str, Tensor], path: Path) -> None:
    """Refuse a state dict that is not exactly the network's, naming the keys that differ."""
    shared = wanted.keys() & weights.keys()
    problems = {
        "missing": sorted(wanted.keys() - weights.keys()),
        "unexpected": sorted(weights.keys() - wanted.keys()),
        "of another shape": sorted(
            f"{key} {tuple(weights[key].shape)} for {tuple(wanted[key].shape)}"
            for key in shared
            if weights[key].shape != wanted[key].shape
        ),
    }
    causes = [f"{len(keys)} {what} ({_short_list(keys)})" for what, keys in problems.items() if keys]
    if causes:
        raise WeightsError(f"{path} does not fit HRNet: {'; '.join(causes)}: give HRNet keypoint weights")


def _short_list(keys: Sequence[str], limit: int = 4) -> str:
    return ", ".join(keys[:limit]) + (", ..." if len(keys) > limit else "")
