"""Small stand-ins for the networks, so that the pipeline is tested without weights."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from demo.models import Models, ResolvedModels, ResolvedWeight
from demo.pose.estimator import KeypointEstimator
from demo.types import Detections
from lifter.checkpoints.files import save_checkpoint
from lifter.models.wild import WildConfig, WildLifter, spec
from tests.demo.batch.clips import Corpus, make_clips, start
from tests.lifter.motions import STANDING


class SquareDetector:
    """Finds one person: the bounding box of the brightest pixels, nobody in a dark picture."""

    def __init__(self):
        self.frames = 0

    def detect(self, images):
        self.frames += len(images)
        found = []
        for image in images:
            rows, columns = np.nonzero(image.max(-1) > 128)
            if len(rows) == 0:
                found.append(Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32)))
                continue
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            found.append(Detections(np.array([box], np.float32), np.array([0.9], np.float32)))
        return found

    def detect_in_crops(self, image, places):
        return [Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32)) for _ in places]


class StandingPose(KeypointEstimator):
    """Sees a standing figure in every box, but hardly believes it where the picture is dark."""

    def estimate(self, items):
        coco = STANDING[[10, 10, 10, 10, 10, 11, 14, 12, 15, 13, 16, 4, 1, 5, 2, 6, 3]]
        found = []
        for image, boxes in items:
            people = np.zeros((len(boxes), 17, 3), np.float32)
            for person, (x1, y1, x2, y2) in zip(people, boxes, strict=True):
                person[:, 0] = (x1 + x2) / 2 + coco[:, 0] * (y2 - y1) / 1.7
                person[:, 1] = y2 - coco[:, 2] * (y2 - y1) / 1.7
                person[:, 2] = 0.9 if image is None or _is_bright(image, x1, y1, x2, y2) else 0.2
            found.append(people)
        return found


def _is_bright(image, x1, y1, x2, y2):
    inside = image[int(max(y1, 0)) : int(max(y2, 1)), int(max(x1, 0)) : int(max(x2, 1))]
    return inside.size > 0 and inside.max() > 128


@pytest.fixture
def networks():
    torch.manual_seed(0)
    config = WildConfig(frames=9, encoder_width=16, width=16, depth=1, heads=2)
    return Models(SquareDetector(), StandingPose(), WildLifter(config).eval(), spec(config), "cpu")


@pytest.fixture
def resolved():
    used = [ResolvedWeight(r, r, Path(f"{r}.bin"), r * 8) for r in ("detector", "pose", "lifter")]
    return ResolvedModels(*used, "cpu")


@pytest.fixture(scope="session")
def small_weights(shared, tmp_path_factory):
    """Flags for the stand-in detector and keypoint network and a tiny lifter with random weights."""
    torch.manual_seed(0)
    config = WildConfig(frames=27, encoder_width=32, width=32, depth=1, heads=4)
    lifter = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(lifter, WildLifter(config), "wild", config)
    weights = shared / "weights"
    flags = {
        "--detector": weights / "yolo11n-standin.pt",
        "--pose": weights / "tinypose_256x192.onnx",
        "--lifter": lifter,
    }
    return [str(part) for pair in flags.items() for part in pair]


@pytest.fixture(scope="session", params=[False, pytest.param(True, marks=pytest.mark.long)], ids=["12", "40"])
def corpus(request, shared, small_weights, tmp_path_factory):
    """Clips and the results of one run, see `Corpus`: twelve clips, in the long suite also forty."""
    folder = tmp_path_factory.mktemp("undisturbed")
    make_clips(folder / "clips", shared, request.param)
    process = start(folder, small_weights)
    out, err = process.communicate(timeout=280)
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    count, broken, kills = (40, 8, 10) if request.param else (12, 4, 2)
    return Corpus(folder, count, broken, kills, done)
