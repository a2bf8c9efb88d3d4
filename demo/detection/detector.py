"""Person boxes per frame: YOLO in any of the runtimes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common.errors import InputMissing
from common.runtimes.choose import open_network
from common.runtimes.names import RuntimeName
from common.runtimes.network import PICTURE, Compiled, Loaded, Network, Outputs, Source
from demo.boxes import iou
from demo.detection.yolo import Letterbox, as_input, decode, fold, raw_outputs
from demo.types import Detections, Floats, Image

_CROP_SCALE = 1.5  # a crop's side over the longer side of the box
_CROP_SIZE = 416  # pixels, `image_size` of crops

# Agreement of two runtimes about one picture: every box above the score has its like.
_SURE = 0.25
_LEAST_IOU = 0.95
_MOST_SCORE = 0.05


class PersonDetector:
    """Finds the people in frames with one YOLO.

    Args:
        network: pictures -> distances and logits, see `demo.detection.yolo`.
        confidence: boxes below this score are dropped. It is low on purpose: the tracker keeps a person
            through weak detections, but never starts one on them.
        overlap: non-maximum suppression drops the weaker of two boxes whose IoU is larger.
        image_size: frames are scaled so that their long side has this many pixels (and padded to a
            multiple of the network's stride, not to a square).
        batch: frames a batch of the network at most.
    """

    def __init__(
        self,
        network: Network,
        *,
        confidence: float = 0.03,
        overlap: float = 0.6,
        image_size: int = 640,
        batch: int = 16,
    ) -> None:
        self.network = network
        self._confidence, self._overlap = confidence, overlap
        self._image_size = image_size
        self._batch = batch
        self._compiled: dict[tuple[int, int], Compiled] = {}

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Return the boxes of the people in each image, highest score first.

        Args:
            images: uint8 (H, W, 3), BGR. Images of one size share a batch.

        Returns:
            One `Detections` per image; boxes (N, 4) within the image, scores (N,); N may be 0.
        """
        return self._detect(images, [Letterbox.of(image.shape[1::-1], self._image_size) for image in images])

    def detect_in_crops(self, image: Image, places: Floats) -> list[Detections]:
        """Detect people again in crops of one image, where they may be too small or unusual for the whole.

        Args:
            places: boxes (N, 4) in pixels, also beyond the image. A crop's side is 1.5 times
                the box's longer one.

        Returns:
            One `Detections` per place, in the image's pixels.
        """
        height, width = image.shape[:2]
        middle = (places[:, :2] + places[:, 2:]) / 2
        reach = _CROP_SCALE / 2 * (places[:, 2:] - places[:, :2]).max(axis=1, keepdims=True)
        low = np.clip(middle - reach, 0, (width - 1, height - 1)).astype(int)
        high = np.clip(np.ceil(middle + reach), low + 1, (width, height)).astype(int)
        windows = [image[y1:y2, x1:x2] for (x1, y1), (x2, y2) in zip(low, high, strict=True)]
        found = self._detect(
            windows, [Letterbox.of(crop.shape[1::-1], _CROP_SIZE, square=True) for crop in windows]
        )
        return [
            Detections(near.boxes + np.tile(corner, 2).astype(np.float32), near.scores)
            for near, corner in zip(found, low, strict=True)
        ]

    def _detect(self, images: Sequence[Image], boxes: Sequence[Letterbox]) -> list[Detections]:
        """Run the network on images in their letterboxes, those of one size together."""
        found: dict[int, Detections] = {}
        sizes = [(box.height, box.width) for box in boxes]
        for size in dict.fromkeys(sizes):
            rows = [row for row, other in enumerate(sizes) if other == size]
            for start in range(0, len(rows), self._batch):
                some = rows[start : start + self._batch]
                inputs = as_input([boxes[row].apply(images[row]) for row in some])
                for row, distances, logits in zip(some, *self._network(size)(inputs), strict=True):
                    near = decode(distances, logits, size[::-1], self._confidence, self._overlap)
                    places = boxes[row].to_picture(near.boxes, images[row].shape[1::-1])
                    found[row] = Detections(places, near.scores)
        return [found[row] for row in range(len(images))]

    def _network(self, size: tuple[int, int]) -> Compiled:
        if size not in self._compiled:
            self._compiled[size] = self.network.runtime.compile((3, *size))
        return self._compiled[size]


def load_detector(
    path: Path,
    device: str,
    *,
    runtime: RuntimeName = "torch",
    confidence: float = 0.03,
    overlap: float = 0.6,
    image_size: int | None = None,
    batch: int = 16,
) -> PersonDetector:
    """Open a detector's weights, a `.pt` file of ultralytics. Without `image_size`, it is the file's own.

    Raises:
        InputMissing: there is no such file.
        WeightsError: the file is damaged, holds names that a detector does not need, or does not
            detect people.
        MissingExtra, UserError: see `common.runtimes.choose.open_network`.
    """
    if not path.is_file():
        raise InputMissing(f"{path}: no such detector file")
    network = open_network(yolo_source(path), runtime, device)
    size = image_size or int(network.meta["image_size"])
    return PersonDetector(network, confidence=confidence, overlap=overlap, image_size=size, batch=batch)


def yolo_source(path: Path) -> Source:
    """Describe a detector's weights as a network that any runtime runs; outputs as of `raw_outputs`."""

    def load() -> Loaded:
        from demo.detection.ultralytics_files import load_yolo

        yolo = load_yolo(path)
        return Loaded(
            raw_outputs(yolo.layers, yolo.person),
            {"image_size": yolo.image_size},
            outputs={"distances": {2: "cells"}, "logits": {1: "cells"}},
            free_size=True,
            fold=fold,
        )

    return Source("yolo-2", path, load, _example, _answer, _difference)


def _example(meta: Mapping[str, Any]) -> Floats:
    image, box = _picture(meta)
    return as_input([box.apply(image)])


def _picture(meta: Mapping[str, Any]) -> tuple[Image, Letterbox]:
    image = np.asarray(cv2.imread(str(PICTURE)), np.uint8)
    return image, Letterbox.of(image.shape[1::-1], int(meta["image_size"]))


def _answer(meta: Mapping[str, Any], outputs: Outputs) -> Floats:
    """Return the people (n, 5) of the example: box in pixels of the input, score."""
    _, box = _picture(meta)
    found = decode(outputs[0][0], outputs[1][0], (box.width, box.height), _SURE, 0.6)
    return np.concatenate([found.boxes, found.scores[:, None]], axis=1)


def _difference(expected: Floats, found: Floats) -> str:
    """Compare the people that two runtimes find in the example."""
    if len(expected) != len(found):
        return f"finds {len(found)} people in the test picture, with PyTorch {len(expected)}"
    for theirs, ours in zip(expected.astype(np.float64), found.astype(np.float64), strict=True):
        overlap = iou(theirs[:4], ours[:4])
        if overlap < _LEAST_IOU or abs(theirs[4] - ours[4]) > _MOST_SCORE:
            return (
                f"finds a person at an IoU of {float(overlap):.3f} with PyTorch's box, "
                f"score {ours[4]:.2f} for {theirs[4]:.2f}"
            )
    return ""
