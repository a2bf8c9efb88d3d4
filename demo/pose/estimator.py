"""The 2D keypoint stage: people's boxes in, 17 COCO keypoints a person out, by any top-down heatmap network.

Geometry. Coordinates of pictures, crops and heatmaps are those of OpenCV's pixels and COCO's keypoints: the
integers are pixel centres. A box is bounded by pixel edges, as detectors and COCO give it: its left edge x1
lies at x1 - 0.5 in pixel centres. So a window of `w` picture pixels from its left edge `x1`, cut out at
`W` pixels, is the half-pixel-correct map

    crop = (picture + 0.5 - x1) * W / w - 0.5

which keeps edges on edges at every zoom (`to_crop`). From heatmap cells to crop pixels there are three
conventions in use, and a network needs the one it was trained with (`HeatmapGrid`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import InputMissing
from common.runtimes.names import RuntimeName
from demo.pose.heatmaps import Decoding, decode_candidates
from demo.types import Floats, Image
from lifter.skeletons import COCO_17

if TYPE_CHECKING:
    from torch import Tensor

    from demo.pose.hrnet import Alignment

PADDING = 1.25  # the window over the box, as HRNet was trained
_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)  # of ImageNet, RGB in 0..1
_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


class PoseNetwork(Protocol):
    """A heatmap network: float32 (N, 3, H, W) RGB, ImageNet mean and deviation taken off -> (N, 17, h, w)."""

    def __call__(self, crops: Floats) -> Floats: ...


class KeypointEstimator(Protocol):
    """What the pipeline needs of a 2D keypoint stage.

    Attributes:
        runtime: what runs the network, for results.
    """

    runtime: Mapping[str, str] = MappingProxyType({})

    def estimate(self, items: Sequence[tuple[Image, Floats]]) -> list[Floats]:
        """Estimate keypoints (n, 17, 3) of the n boxes (n, 4) of each picture."""
        ...

    def candidates(self, items: Sequence[tuple[Image, Floats]]) -> list[Floats]:
        """Return (n, 2, 17, 3): these keypoints, and each joint's second candidate; here none."""
        return [np.stack([found, missing_keypoints(len(found))], axis=1) for found in self.estimate(items)]


@dataclass(frozen=True)
class HeatmapGrid:
    """Where the cells of a heatmap lie on the crop, along one axis: crop = stride * cell + offset.

    - "index": cell i is pixel stride * i. The targets of the original HRNet, MMPose's and PaddleDetection's.
    - "centre": cell i is the middle of its stride pixels.
    - "corner": first and last cells are first and last pixels (UDP, Huang et al., CVPR 2020).
    """

    stride: float
    offset: float

    @classmethod
    def of(cls, alignment: Alignment, pixels: int, cells: int) -> HeatmapGrid:
        if alignment == "corner":
            return cls((pixels - 1) / (cells - 1), 0.0)
        stride = pixels / cells
        return cls(stride, (stride - 1) / 2 if alignment == "centre" else 0.0)

    def to_crop(self, cells: Floats) -> Floats:
        return (cells * self.stride + self.offset).astype(np.float32)

    def mirror_shift(self, pixels: int, cells: int) -> int:
        """Return the pixels to move a mirrored crop left so that cell i falls on cell -1 - i."""
        return round(pixels - 1 - self.stride * (cells - 1) - 2 * self.offset)


def crop_windows(boxes: Floats, input_size: tuple[int, int], padding: float = PADDING) -> NDArray[np.float64]:
    """Return the windows (n, 4) left, top, width, height around the centres of boxes (n, 4).

    The short side grows until the window has the network's aspect, then both grow by `padding`.
    """
    corners = np.asarray(boxes, dtype=np.float64)
    centre, size = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    aspect = input_size[0] / input_size[1]
    width = np.maximum(size[:, 0], size[:, 1] * aspect) * padding
    size = np.stack([width, width / aspect], axis=1)
    return np.concatenate([centre - size / 2, size], axis=1)


def to_crop(points: NDArray, windows: NDArray, input_size: tuple[int, int]) -> NDArray:
    """Convert picture pixels (..., 2) to crop pixels, for windows (..., 4)."""
    return (points + 0.5 - windows[..., :2]) * np.asarray(input_size) / windows[..., 2:] - 0.5


def to_picture(points: NDArray, windows: NDArray, input_size: tuple[int, int]) -> NDArray:
    """Convert crop pixels (..., 2) to picture pixels, for windows (..., 4): the inverse of `to_crop`."""
    return (points + 0.5) * windows[..., 2:] / np.asarray(input_size) + windows[..., :2] - 0.5


def crop(image: Image, window: NDArray, input_size: tuple[int, int]) -> Image:
    """Crop a window of the picture at the network's input size, black outside the picture."""
    zoom = np.asarray(input_size) / window[2:]
    shift = to_crop(np.zeros(2), window, input_size)
    affine = np.array([[zoom[0], 0, shift[0]], [0, zoom[1], shift[1]]])
    return np.asarray(cv2.warpAffine(image, affine, input_size, flags=cv2.INTER_LINEAR), dtype=np.uint8)


def normalise(crops: NDArray[np.uint8]) -> Floats:
    """Convert BGR crops (N, H, W, 3) to the networks' normalised input (N, 3, H, W)."""
    scaled = (crops[..., ::-1] / np.float32(255) - _MEAN) / _STD
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)


def denormalised(inputs: Tensor) -> Tensor:
    """Convert the networks' normalised input (N, 3, H, W) to RGB from 0 to 1."""
    mean, std = (inputs.new_tensor(values)[:, None, None] for values in (_MEAN, _STD))
    return inputs * std + mean


def usable_boxes(boxes: Floats, image: Image) -> NDArray[np.bool_]:
    """Return (n,) whether a box is finite, at least a pixel wide and high, and touches the picture."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = np.nan_to_num(np.asarray(boxes, dtype=np.float64)).T
    inside = (x2 > 0) & (y2 > 0) & (x1 < width) & (y1 < height)
    return np.isfinite(boxes).all(axis=1) & inside & (x2 - x1 >= 1) & (y2 - y1 >= 1)


class PoseEstimator(KeypointEstimator):
    """Top-down keypoints by a heatmap network, many people of many pictures in one batch."""

    def __init__(
        self,
        network: PoseNetwork,
        input_size: tuple[int, int],
        flip_test: bool = False,
        batch_size: int = 32,
        *,
        alignment: Alignment = "index",
        decoding: Decoding = "dark",
        runtime: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`input_size` is (width, height). `flip_test` averages with the mirrored person's heatmaps."""
        self._network = network
        self._input_size = input_size
        self._flip_test = flip_test
        self._batch_size = batch_size
        self._alignment: Alignment = alignment
        self._decoding: Decoding = decoding
        self.runtime = runtime

    def estimate(self, items: Sequence[tuple[Image, Floats]]) -> list[Floats]:
        """Estimate keypoints (n, 17, 3) of the n boxes of each picture: x, y in picture pixels, score.

        Args:
            items: pairs of a BGR picture and its boxes (n, 4), n may be 0.

        Joints that the network does not find, and all joints of a box that is empty, not finite or outside
        the picture, are NaN, NaN, 0.
        """
        return [people[:, 0] for people in self.candidates(items)]

    def candidates(self, items: Sequence[tuple[Image, Floats]]) -> list[Floats]:
        """Return (n, 2, 17, 3): `estimate`'s keypoints and second candidates, NaN, NaN, 0 without one."""
        results = [missing_keypoints(len(boxes), 2) for _, boxes in items]
        for batch in self._batches(items):
            crops = np.stack([crop(items[i][0], window, self._input_size) for i, _, window in batch])
            windows = np.stack([window for *_, window in batch])
            for (item, row, _), person in zip(batch, self._keypoints(crops, windows), strict=True):
                results[item][row] = person
        return results

    def _batches(
        self, items: Sequence[tuple[Image, Floats]]
    ) -> Iterator[list[tuple[int, int, NDArray[np.float64]]]]:
        """Yield all usable boxes as (item, row, window), `batch_size` at a time."""
        batch: list[tuple[int, int, NDArray[np.float64]]] = []
        for item, (image, boxes) in enumerate(items):
            boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
            rows = np.flatnonzero(usable_boxes(boxes, image))
            for row, window in zip(rows, crop_windows(boxes[rows], self._input_size), strict=True):
                batch.append((item, int(row), window))
                if len(batch) == self._batch_size:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def _keypoints(self, crops: NDArray[np.uint8], windows: NDArray[np.float64]) -> Floats:
        """Estimate keypoints (N, 2, 17, 3) in the pictures from crops (N, H, W, 3) and windows (N, 4)."""
        batch = normalise(crops)
        heatmaps = self._network(batch)
        columns, rows = (
            HeatmapGrid.of(self._alignment, pixels, cells)
            for pixels, cells in zip(self._input_size, heatmaps.shape[:1:-1], strict=True)
        )
        if self._flip_test:
            shift = columns.mirror_shift(self._input_size[0], heatmaps.shape[3])
            mirrored = self._network(mirror(batch, shift))
            heatmaps = np.float32(0.5) * (heatmaps + mirrored[:, COCO_17.mirror, :, ::-1])
        people = decode_candidates(heatmaps, self._decoding)
        on_crop = np.stack([columns.to_crop(people[..., 0]), rows.to_crop(people[..., 1])], axis=-1)
        people[..., :2] = to_picture(on_crop, windows[:, None, None], self._input_size)
        return people


def mirror(batch: Floats, shift: int) -> Floats:
    """Mirror crops (N, 3, H, W) and move them `shift` pixels left, repeating their last column.

    With "index" grids of stride 4 the cells of a crop and those of its mirror image interleave. The usual
    correction moves the mirrored heatmap by one cell, which is a quarter cell too far; moving the picture by
    `HeatmapGrid.mirror_shift` whole pixels is exact.
    """
    flipped = batch[..., ::-1]
    edge = np.repeat(flipped[..., -1:], shift, axis=-1)
    return np.ascontiguousarray(np.concatenate([flipped[..., shift:], edge], axis=-1))


def missing_keypoints(*count: int) -> Floats:
    """Return (*count, 17, 3) of NaN, NaN, 0: keypoints of people without an estimate."""
    keypoints = np.full((*count, len(COCO_17.joints), 3), np.nan, dtype=np.float32)
    keypoints[..., 2] = 0
    return keypoints


def load_pose(
    spec: str | Path, device: str, flip_test: bool = False, runtime: RuntimeName = "torch"
) -> KeypointEstimator:
    """Load the keypoint stage from a file of weights, or for "mmpose:CONFIG[:CHECKPOINT]".

    Args:
        spec: an .onnx heatmap model, HRNet weights (.pth, .safetensors; see `demo.pose.hrnet.load_hrnet`),
            or an MMPose configuration (see `demo.pose.mmpose_backend`).
        device: "cpu", "cuda", "cuda:1" or "mps".
        flip_test: average with the mirrored picture: a little more precise, half as fast.
        runtime: of HRNet; .onnx models always run in ONNX Runtime, MMPose's in PyTorch.

    Raises:
        InputMissing, WeightsError.
        MissingExtra, UserError: see `common.runtimes.choose.open_network`.
    """
    if str(spec).startswith("mmpose:"):
        from demo.pose.mmpose_backend import load_mmpose

        return load_mmpose(str(spec), device, flip_test)
    path = Path(spec)
    if not path.is_file():
        raise InputMissing(f"the keypoint weights {path} do not exist: check the path")
    from demo.pose.networks import OnnxNetwork, open_hrnet

    if path.suffix == ".onnx":
        network = OnnxNetwork(path, device)
        return PoseEstimator(network, network.input_size, flip_test, runtime={"runtime": "onnxruntime"})
    return open_hrnet(path, device, flip_test, runtime)
