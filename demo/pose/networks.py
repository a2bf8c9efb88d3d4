"""Heatmap networks: HRNet in any runtime, and other networks as ONNX files."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common.errors import MissingExtra, WeightsError
from common.runtimes.choose import cpu_threads, open_network
from common.runtimes.names import RuntimeName
from common.runtimes.network import PICTURE, Loaded, Outputs, Runtime, Source
from demo.pose.estimator import PoseEstimator, crop, crop_windows, normalise
from demo.pose.heatmaps import decode
from demo.types import Floats
from lifter.skeletons import COCO_17

_PERSON = (242.0, 65.0, 369.0, 331.0)  # box in the test picture, pixels

# Agreement of two runtimes about one person: no joint moves by more than a part of the body's size.
_MOST_MOVED = 0.02
_SURE = 0.3  # score from which a joint counts; elsewhere a peak may be noise
_LEAST_JOINTS = 8


class HeatmapNetwork:
    """A network in a runtime, as `PoseEstimator` takes it."""

    def __init__(self, runtime: Runtime, input_size: tuple[int, int]) -> None:
        """`input_size` is (width, height)."""
        width, height = input_size
        self._compiled = runtime.compile((3, height, width))

    def __call__(self, crops: Floats) -> Floats:
        """(N, 3, H, W) -> (N, 17, h, w)."""
        return self._compiled(crops)[0]


def open_hrnet(path: Path, device: str, flip_test: bool, runtime: RuntimeName) -> PoseEstimator:
    """Open HRNet weights as the keypoint stage.

    Raises:
        WeightsError: the file does not fit, or finds other joints than COCO's 17.
        MissingExtra, UserError: see `common.runtimes.choose.open_network`.
    """
    network = open_network(hrnet_source(path), runtime, device)
    size = _input_size(network.meta)
    return PoseEstimator(
        HeatmapNetwork(network.runtime, size),
        size,
        flip_test,
        alignment=network.meta["alignment"],
        runtime=network.summary(),
    )


def hrnet_source(path: Path) -> Source:
    """Describe HRNet weights as a network that any runtime runs: crops (N, 3, H, W) -> (N, 17, h, w)."""

    def load() -> Loaded:
        from demo.pose.hrnet import load_hrnet

        model, config = load_hrnet(path)
        if config.joints != len(COCO_17.joints):
            raise WeightsError(f"{path} finds {config.joints} joints, not COCO's 17: take COCO weights")
        meta = {"input_size": list(config.input_size), "alignment": config.alignment}
        return Loaded(model, meta, outputs={"heatmaps": {}})

    return Source("hrnet-2", path, load, _example, _answer, _difference)


def _input_size(meta: Mapping[str, Any]) -> tuple[int, int]:
    width, height = meta["input_size"]
    return int(width), int(height)


def _example(meta: Mapping[str, Any]) -> Floats:
    size = _input_size(meta)
    (window,) = crop_windows(np.array([_PERSON], np.float32), size)
    image = np.asarray(cv2.imread(str(PICTURE)), np.uint8)
    return normalise(crop(image, window, size)[None])


def _answer(meta: Mapping[str, Any], outputs: Outputs) -> Floats:
    """Return the heatmaps' peaks (17, 3) of the example: x, y in cells, height."""
    return decode(outputs[0])[0]


def _difference(expected: Floats, found: Floats) -> str:
    """Compare the peaks of two runtimes."""
    sure = expected[:, 2] > _SURE
    if sure.sum() < _LEAST_JOINTS:
        return f"finds {sure.sum()} joints in the test picture: too few to compare runtimes"
    body = np.ptp(expected[sure, :2], axis=0).max()
    moved = np.linalg.norm(found[sure, :2] - expected[sure, :2], axis=1) / body
    worst = float(np.nan_to_num(moved, nan=np.inf).max())
    return "" if worst <= _MOST_MOVED else f"moves a joint by {worst:.1%} of the body's size"


class OnnxNetwork:
    """A user's ONNX heatmap network in ONNX Runtime. `input_size` (width, height) is the model's own."""

    def __init__(self, path: Path, device: str) -> None:
        """Raises MissingExtra without onnxruntime, WeightsError for a file that is no top-down model."""
        if find_spec("onnxruntime") is None:
            raise MissingExtra(f"{path} needs onnxruntime: pip install onnxruntime")
        from common.runtimes.onnx_runtime import OnnxRuntime, usable_device

        self._model = OnnxRuntime(path, usable_device(device), cpu_threads())
        inputs, heatmaps = self._model.inputs, self._model.outputs[0].shape
        shape = inputs[0].shape
        fits = len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(shape) == 4 and shape[1] == 3
        if not fits or not all(isinstance(side, int) for side in shape[2:]):
            raise WeightsError(
                f"{path} takes {shape}, not pictures (N, 3, H, W) of a fixed size: export it again"
            )
        if len(heatmaps) != 4 or heatmaps[1] not in (len(COCO_17.joints), None):
            raise WeightsError(
                f"{path} gives {heatmaps}, not COCO-17 heatmaps (N, 17, h, w): take another model"
            )
        self.input_size = (int(shape[3]), int(shape[2]))
        self._fixed_batch = shape[0] if isinstance(shape[0], int) else None

    def __call__(self, crops: Floats) -> Floats:
        """(N, 3, H, W) -> (N, 17, h, w)."""
        if self._fixed_batch is None:
            return self._model.compile(crops.shape[1:])(crops)[0]
        size, parts = self._fixed_batch, []
        for start in range(0, len(crops), size):
            part = crops[start : start + size]
            full = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
            parts.append(self._model.run(full)[0][: len(part)])
        return np.concatenate(parts)
