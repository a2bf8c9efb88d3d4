"""A keypoint network that is there already teaches another, in any crop of anybody.

Its heatmaps say where it sees a joint and how sure it is, in every crop that augmentation makes, and its
features say what it saw on the way. Both are richer than labels (Hinton, Vinyals, Dean, "Distilling the
knowledge in a neural network", 2015; Romero et al., "FitNets: hints for thin deep nets", 2015).
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
from demo.pose.estimator import HeatmapGrid, OnnxNetwork, mirror, normalise
from demo.pose.hrnet import HRNet, HRNetConfig
from demo.training.detector_distillation import mean_unexplained_variance, zeroed_projections
from demo.types import Floats, Image
from lifter.skeletons import COCO_17

_STRIDES = (4, 8, 16)  # of the features that are learnt
_AT_ONCE = 1  # crops: more fall out of the cache of a processor


@dataclass(frozen=True)
class Targets:
    """What a teacher sees in N crops."""

    heatmaps: Tensor  # (N, 17, h, w), the mean of those of the crop and of its mirror image
    features: tuple[Tensor, ...]  # (N, c, H / stride, W / stride) for the strides 4, 8 and 16


class Teacher:
    """An ONNX heatmap network that also tells its last activations at the strides 4, 8 and 16.

    Args:
        path: a top-down network for COCO-17: ImageNet's mean and deviation, heatmap cell i at pixel 4 i.

    Raises:
        MissingExtra: onnx is not installed.
        WeightsError: the file is no such network.
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise MissingExtra("a teacher needs onnx: pip install -r requirements-train.txt") from error
        self.input_size = OnnxNetwork(path, "cpu").input_size  # and whether it is a keypoint network at all
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
            raise WeightsError(f"{path} has no activations of {wanted} cells: it cannot teach HRNet")
        self._outputs = [graph.output[0].name, *(last[size] for size in wanted)]
        self.channels = [shapes[name][1] for name in self._outputs[1:]]
        graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in self._outputs[1:])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # it works beside the network that learns
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=onnxruntime.get_available_providers()
        )
        self._input = graph.input[0].name

    def __call__(self, crops: Sequence[Image]) -> Targets:
        """Crops (h, w, 3) BGR of `input_size`."""
        batch = normalise(np.stack(crops))
        heatmaps, *features = self._seen(self._outputs, batch)
        width = self.input_size[0]
        shift = HeatmapGrid.of("index", width, heatmaps.shape[3]).mirror_shift(width, heatmaps.shape[3])
        (mirrored,) = self._seen(self._outputs[:1], mirror(batch, shift))
        heatmaps = np.float32(0.5) * (heatmaps + mirrored[:, COCO_17.mirror, :, ::-1])
        return Targets(torch.from_numpy(heatmaps), tuple(torch.from_numpy(each) for each in features))

    def _seen(self, outputs: list[str], batch: Floats) -> list[Floats]:
        """What the network answers to inputs (N, 3, H, W)."""
        parts = [
            self._session.run(outputs, {self._input: batch[first : first + _AT_ONCE]})
            for first in range(0, len(batch), _AT_ONCE)
        ]
        return [np.concatenate(each) for each in zip(*parts, strict=True)]


def on_grid(lesson: Targets, taught: tuple[int, int], config: HRNetConfig) -> Targets:
    """The lesson on crops of `taught` (width, height) pixels, on the cells of a network of another size."""
    places = []
    for pixels, own, cells in zip(taught, config.input_size, lesson.heatmaps.shape[:1:-1], strict=True):
        grid = HeatmapGrid.of(config.alignment, own, own // 4)
        on_own = grid.to_crop(np.arange(own // 4, dtype=np.float32))
        theirs = HeatmapGrid.of("index", pixels, cells)
        cell = (((on_own + 0.5) * pixels / own - 0.5) - theirs.offset) / theirs.stride
        places.append(torch.from_numpy(cell * 2 / (cells - 1) - 1).float())
    x, y = places
    where = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    heatmaps = functional.grid_sample(
        lesson.heatmaps,
        where.expand(len(lesson.heatmaps), -1, -1, -1),
        padding_mode="border",
        align_corners=True,
    )
    width, height = config.input_size
    features = tuple(
        functional.interpolate(each, (-(-height // stride), -(-width // stride)), mode="bilinear")
        for each, stride in zip(lesson.features, _STRIDES, strict=True)
    )
    return Targets(heatmaps, features)


class FeatureAdapter(nn.Module):
    """What brings HRNet's branches to a teacher's features; it is learnt with HRNet."""

    def __init__(self, network: HRNet, channels: Sequence[int]) -> None:
        super().__init__()
        with torch.no_grad():
            own = _told(network.eval().stages(torch.zeros(1, 3, 64, 64)))
        self.towards = zeroed_projections([each.shape[1] for each in own], channels)

    def forward(self, stages: Sequence[Sequence[Tensor]], features: Sequence[Tensor]) -> Tensor:
        """The part of the teacher's features that HRNet's stages for the same crops do not explain."""
        return mean_unexplained_variance(self.towards, _told(stages), features)


def _told(stages: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """HRNet's branches of the strides 4, 8 and 16 that know most."""
    return [stages[-1][0], *stages[-2][1:]]
