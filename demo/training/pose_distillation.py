"""Distil a trained keypoint network into HRNet, on any crops of people.

The teacher's heatmaps give a distribution over places for every joint of every augmented crop, and its
features give intermediate targets. Both contain more information than labels (Hinton, Vinyals, Dean,
"Distilling the knowledge in a neural network", 2015; Romero et al., "FitNets: hints for thin deep nets",
2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from common.errors import MissingExtra, WeightsError
from demo.pose.estimator import HeatmapGrid, mirror, normalise
from demo.pose.hrnet import HRNet, HRNetConfig
from demo.pose.networks import OnnxNetwork
from demo.training.detector_distillation import mean_unexplained_variance, zeroed_projections
from demo.types import Floats, Image
from lifter.skeletons import COCO_17

_STRIDES = (4, 8, 16)  # of the features to learn
_AT_ONCE = 1  # crops a call: more exceed the processor's cache


@dataclass(frozen=True)
class Targets:
    """A teacher's heatmaps and features of N crops."""

    heatmaps: Tensor  # (N, 17, h, w), the mean of those of the crop and of its mirror image
    features: tuple[Tensor, ...]  # (N, c, H / stride, W / stride) for the strides 4, 8 and 16


class Teacher:
    """An ONNX heatmap network that also returns its last activations at the strides 4, 8 and 16.

    Args:
        path: a top-down network for COCO-17: ImageNet's mean and deviation, heatmap cell i at pixel 4 i.

    Raises:
        MissingExtra: onnx is not installed.
        WeightsError: the file is not such a network.
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnx
        except ImportError as error:
            raise MissingExtra("a teacher needs onnx: pip install -r requirements-train.txt") from error
        self.input_size = OnnxNetwork(path, "cpu").input_size  # also checks that it is a keypoint network
        from common.runtimes.onnx_runtime import onnxruntime

        width, height = self.input_size
        model = onnx.shape_inference.infer_shapes(onnx.load(path))
        graph = model.graph
        if graph.input[0].type.tensor_type.shape.dim[0].dim_value:
            raise WeightsError(f"{path} takes a fixed number of crops at a time: export it for any number")
        shapes = {
            value.name: tuple(each.dim_value for each in value.type.tensor_type.shape.dim)
            for value in graph.value_info
        }
        last = {shapes[node.output[0]][2:]: node.output[0] for node in graph.node if node.op_type == "Relu"}
        wanted = [(height // stride, width // stride) for stride in _STRIDES]
        if any(size not in last for size in wanted):
            raise WeightsError(
                f"{path} has no activations of {wanted} cells: it cannot be a teacher of HRNet"
            )
        self._outputs = [graph.output[0].name, *(last[size] for size in wanted)]
        self.channels = [shapes[name][1] for name in self._outputs[1:]]
        graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in self._outputs[1:])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # it runs in parallel with the student
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=onnxruntime.get_available_providers()
        )
        self._input = graph.input[0].name

    def __call__(self, crops: Sequence[Image]) -> Targets:
        """Return the targets of crops (h, w, 3) BGR of `input_size`."""
        batch = normalise(np.stack(crops))
        heatmaps, *features = self._run(self._outputs, batch)
        width = self.input_size[0]
        shift = HeatmapGrid.of("index", width, heatmaps.shape[3]).mirror_shift(width, heatmaps.shape[3])
        (mirrored,) = self._run(self._outputs[:1], mirror(batch, shift))
        heatmaps = np.float32(0.5) * (heatmaps + mirrored[:, COCO_17.mirror, :, ::-1])
        return Targets(torch.from_numpy(heatmaps), tuple(torch.from_numpy(each) for each in features))

    def _run(self, outputs: list[str], batch: Floats) -> list[Floats]:
        """Return the network's outputs for inputs (N, 3, H, W)."""
        parts = [
            self._session.run(outputs, {self._input: batch[first : first + _AT_ONCE]})
            for first in range(0, len(batch), _AT_ONCE)
        ]
        return [np.concatenate(each) for each in zip(*parts, strict=True)]


def on_grid(targets: Targets, crop_size: tuple[int, int], config: HRNetConfig) -> Targets:
    """Resample targets of crops of `crop_size` (width, height) pixels to the cells of another network."""
    places = []
    for pixels, own, cells in zip(crop_size, config.input_size, targets.heatmaps.shape[:1:-1], strict=True):
        grid = HeatmapGrid.of(config.alignment, own, own // 4)
        on_own = grid.to_crop(np.arange(own // 4, dtype=np.float32))
        theirs = HeatmapGrid.of("index", pixels, cells)
        cell = (((on_own + 0.5) * pixels / own - 0.5) - theirs.offset) / theirs.stride
        places.append(torch.from_numpy(cell * 2 / (cells - 1) - 1).float())
    x, y = places
    where = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    heatmaps = functional.grid_sample(
        targets.heatmaps,
        where.expand(len(targets.heatmaps), -1, -1, -1),
        padding_mode="border",
        align_corners=True,
    )
    width, height = config.input_size
    features = tuple(
        functional.interpolate(each, (-(-height // stride), -(-width // stride)), mode="bilinear")
        for each, stride in zip(targets.features, _STRIDES, strict=True)
    )
    return Targets(heatmaps, features)


class FeatureAdapter(nn.Module):
    """Projections of HRNet's branches to a teacher's features, trained with HRNet."""

    def __init__(self, network: HRNet, channels: Sequence[int]) -> None:
        super().__init__()
        with torch.no_grad():
            own = _last_branches(network.eval().stages(torch.zeros(1, 3, 64, 64)))
        self.towards = zeroed_projections([each.shape[1] for each in own], channels)

    def forward(self, stages: Sequence[Sequence[Tensor]], features: Sequence[Tensor]) -> Tensor:
        """Return the share of the variance of the teacher's features that HRNet's stages do not explain."""
        return mean_unexplained_variance(self.towards, _last_branches(stages), features)


def _last_branches(stages: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Return HRNet's last branches of the strides 4, 8 and 16."""
    return [stages[-1][0], *stages[-2][1:]]
