"""Figures of a 2D keypoint network on pictures with COCO annotations, given the annotated boxes.

AP is COCO's: predictions are matched to people by Object Keypoint Similarity (OKS) at thresholds 0.50 to
0.95, and precision is averaged over 101 recalls. With annotated boxes a prediction's person is known, so
matching is one to one. PCK@0.1 is the share of labelled joints within a tenth of the box's longer side.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import DataError
from demo.pose.estimator import KeypointEstimator

# Annotators' deviation per joint, in parts of the root of a person's area (cocodataset.org, keypoints).
COCO_SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000


@dataclass(frozen=True)
class PoseScore:
    """Figures over all labelled people."""

    people: int
    ap: float
    ap50: float
    ap75: float
    mean_oks: float
    pck: float


def oks(found: NDArray, truth: NDArray, area: float) -> float:
    """Return the Object Keypoint Similarity of keypoints and labels (17, 3) of a person of `area` pixels.

    The mean over labelled joints of exp(-d^2 / (2 area (2 sigma)^2)). A missing joint scores 0.
    """
    labelled = truth[:, 2] > 0
    distance2 = ((found[:, :2] - truth[:, :2]) ** 2).sum(axis=1)
    similarity = np.exp(-distance2 / (2 * (area + np.spacing(1)) * (2 * COCO_SIGMAS) ** 2))
    return float(np.nan_to_num(similarity)[labelled].mean())


def average_precision(similarity: NDArray, scores: NDArray, threshold: float) -> float:
    """Return AP at one OKS threshold for predictions matched one to one, by 101-point interpolation."""
    hits = similarity[np.argsort(-scores, kind="stable")] >= threshold
    true = np.cumsum(hits)
    recall, precision = true / len(hits), true / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(envelope, 0)[at].mean())


def score(found: NDArray, truth: NDArray, boxes: NDArray, areas: NDArray) -> PoseScore:
    """Score people (N, 17, 3) against labels (N, 17, 3), boxes (N, 4) x1 y1 x2 y2 and areas (N,)."""
    similarity = np.array([oks(*person) for person in zip(found, truth, areas, strict=True)])
    confidence = _person_scores(found)
    aps = {t: average_precision(similarity, confidence, t) for t in np.arange(0.5, 0.96, 0.05).round(2)}
    labelled = truth[..., 2] > 0
    reach = 0.1 * (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    distance = np.linalg.norm(found[..., :2] - truth[..., :2], axis=-1)
    return PoseScore(
        people=len(found),
        ap=float(np.mean(list(aps.values()))),
        ap50=aps[0.5],
        ap75=aps[0.75],
        mean_oks=float(similarity.mean()),
        pck=float((distance < reach[:, None])[labelled].mean()),
    )


def _person_scores(found: NDArray, floor: float = 0.2) -> NDArray:
    """Return the mean score (N,) of joints above `floor`, by which top-down evaluations rank people."""
    sure = np.where(found[..., 2] > floor, found[..., 2], np.nan)
    counts = np.isfinite(sure).sum(axis=1)
    return np.nansum(sure, axis=1) / np.maximum(counts, 1)


def load_people(annotations: Path) -> dict[str, list[dict[str, Any]]]:
    """Load annotations with labelled keypoints, by the name of their picture.

    Raises:
        DataError: the file is not COCO's person_keypoints format.
    """
    try:
        content = json.loads(annotations.read_text())
        names = {image["id"]: image["file_name"] for image in content["images"]}
        people: dict[str, list[dict[str, Any]]] = {}
        for person in content["annotations"]:
            if person["num_keypoints"] and not person["iscrowd"]:
                people.setdefault(names[person["image_id"]], []).append(person)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{annotations} is no COCO person_keypoints file: {error}; give another") from error
    return people


def measure(estimator: KeypointEstimator, folder: Path) -> PoseScore:
    """Measure a keypoint stage on the labelled people of `folder`, given their boxes.

    Raises:
        DataError: a picture or the labels cannot be read.
    """
    people = load_people(folder / "person_keypoints.json")
    everyone = [person for group in people.values() for person in group]
    boxes = np.array([person["bbox"] for person in everyone], dtype=np.float32)
    boxes[:, 2:] += boxes[:, :2]
    found, start = [], 0
    for name, group in people.items():
        image = cv2.imread(str(folder / "images" / name))
        if image is None:
            raise DataError(f"{folder / 'images' / name} is missing or no picture: check the folder")
        found += estimator.estimate([(np.asarray(image, np.uint8), boxes[start : start + len(group)])])
        start += len(group)
    truth = np.array([person["keypoints"] for person in everyone], dtype=np.float64).reshape(-1, 17, 3)
    areas = np.array([person["area"] for person in everyone], dtype=np.float64)
    return score(np.concatenate(found), truth, boxes, areas)
