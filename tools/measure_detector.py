"""Person AP (IoU 0.5, and mean of IoU 0.5 ... 0.95) of a detector on labelled pictures in COCO's layout.

The folder holds `images/` and `instances_person.json`. The measure is COCO's: detections of all pictures by
falling score, greedily given to the free labelled box of best IoU; precision made monotonic and averaged
at 101 recalls; what falls on a crowd region counts neither way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import DataError
from common.runtimes.names import RuntimeName
from demo.detection.detector import load_detector
from demo.types import Detections, Floats


@dataclass(frozen=True)
class DetectorScore:
    """AP at IoU 0.5, and the mean of those at 0.5, 0.55 ... 0.95."""

    pictures: int
    people: int
    ap50: float
    ap: float


def overlaps(found: Floats, labelled: Floats, crowd: NDArray[np.bool_]) -> Floats:
    """Return the IoU (N, M) of boxes (N, 4) and (M, 4); for a crowd, the share of the found box inside it."""
    low = np.maximum(found[:, None, :2], labelled[None, :, :2])
    high = np.minimum(found[:, None, 2:], labelled[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    own = (found[:, 2:] - found[:, :2]).prod(-1)[:, None]
    other = (labelled[:, 2:] - labelled[:, :2]).prod(-1)[None]
    return np.asarray(shared / np.maximum(np.where(crowd, own, own + other - shared), 1e-9), np.float32)


def match(found: Detections, labelled: Floats, crowd: NDArray[np.bool_], least: float) -> NDArray[np.int64]:
    """Match detections, given by falling score, to labels: 1 hit, 0 false positive, -1 ignored."""
    iou = overlaps(found.boxes, labelled, crowd)
    free = np.ones(len(labelled), bool)
    verdicts = np.zeros(len(found.scores), np.int64)
    for index, row in enumerate(iou):
        person = np.where(free & ~crowd, row, 0)
        if len(row) and person.max() >= least:
            free[person.argmax()] = False
            verdicts[index] = 1
        elif len(row) and np.where(crowd, row, 0).max() >= least:
            verdicts[index] = -1
    return verdicts


def average_precision(
    found: Sequence[Detections],
    labelled: Sequence[Floats],
    crowds: Sequence[NDArray[np.bool_]],
    least: float = 0.5,
) -> float:
    """Return COCO's AP in [0, 1] at one IoU threshold over pictures; NaN when nothing is labelled."""
    people = sum(int((~crowd).sum()) for crowd in crowds)
    if not people:
        return float("nan")
    rows = zip(found, labelled, crowds, strict=True)
    verdicts = np.concatenate([match(*row, least) for row in rows])
    scores = np.concatenate([detections.scores for detections in found])
    hits = verdicts[np.argsort(-scores, kind="stable")]
    hits = hits[hits >= 0]
    true = np.cumsum(hits)
    recall = true / people
    precision = np.maximum.accumulate((true / np.arange(1, len(hits) + 1))[::-1])[::-1]
    places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(precision, 0.0)[np.minimum(places, len(precision))].mean())


def read_labels(folder: Path) -> dict[Path, tuple[Floats, NDArray[np.bool_]]]:
    """Read, for each picture, its people's boxes (M, 4) x1 y1 x2 y2 in pixels and crowd flags (M,).

    Raises:
        DataError: `instances_person.json` is missing or not in COCO's format.
    """
    path = folder / "instances_person.json"
    try:
        labels = json.loads(path.read_text("utf-8"))
        names = {image["id"]: folder / "images" / image["file_name"] for image in labels["images"]}
        rows: dict[Path, list[tuple[list[float], bool]]] = {name: [] for name in names.values()}
        for entry in labels["annotations"]:
            rows[names[entry["image_id"]]].append((entry["bbox"], bool(entry.get("iscrowd", 0))))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: not readable as COCO's instance labels: {error}") from error
    result = {}
    for name, entries in rows.items():
        boxes = np.array([box for box, _ in entries], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        result[name] = boxes, np.array([crowd for _, crowd in entries], bool)
    return result


def measure(
    detector: Path, folder: Path, device: str, image_size: int | None, runtime: RuntimeName = "torch"
) -> DetectorScore:
    """Measure a detector on the pictures of `folder`.

    Raises:
        DataError: a picture or the labels cannot be read.
        WeightsError, InputMissing: see `load_detector`.
    """
    labels = read_labels(folder)
    # COCO's AP counts weak detections too, and suppression at 0.7 is how YOLO's authors measure
    network = load_detector(
        detector, device, runtime=runtime, confidence=0.001, overlap=0.7, image_size=image_size
    )
    found = []
    for name in labels:
        image = cv2.imread(str(name))
        if image is None:
            raise DataError(f"{name}: not a picture that can be read")
        found += network.detect([np.asarray(image, np.uint8)])
    boxes, crowds = zip(*labels.values(), strict=True)
    people = sum(int((~crowd).sum()) for crowd in crowds)
    half, *stricter = (average_precision(found, boxes, crowds, least) for least in np.arange(0.5, 1, 0.05))
    return DetectorScore(len(labels), people, half, float(np.mean([half, *stricter])))
