"""The detector and the keypoint network that come with the program: no network, no cache, no flag but one."""

import json
from pathlib import Path

import numpy as np
import pytest

from common.weights import resolve
from demo.detection.detector import load_detector
from demo.pose.calibration import load_calibrated_pose
from demo.pose.estimator import load_pose
from demo.pose.rotated import rotation_test_time_augmentation
from demo.results.result import read_result
from demo.types import Status
from demo.video.reader import VideoReader
from lifter.evaluation.metrics import p_mpjpe
from lifter.skeletons import LIMBS_H36M
from tests.demo.cli.test_main import app
from tools import measure_detector, measure_pose

VIDEOS = Path(__file__).resolve().parents[2] / "videos"


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The result of the sample clip with the shipped networks, from a run without a cache."""
    folder = tmp_path_factory.mktemp("sample")
    flags = ("--quality", "shipped", "--offline", "--no-render", "--output", folder / "out")
    done = app("--video", VIDEOS / "sample.mp4", *flags, XDG_CACHE_HOME=folder / "cache", MOTION_WEIGHTS="")
    assert done.returncode == 0, done.stderr
    assert "yolo-person, hrnet-wild, wild" in " ".join(done.stderr.split())
    return read_result(next((folder / "out").rglob("[!.]*.npz")))


def test_the_sample_clip_runs_without_any_download(sample):
    assert len(sample.person_ids) == 1
    assert (sample.status[0] == Status.MEASURED).mean() > 0.98


def test_the_motion_of_the_sample_clip_is_near_the_truth(sample):
    with np.load(VIDEOS / "sample_truth.npz") as truth:
        wanted = truth["joints_world"][:, LIMBS_H36M].astype(np.float64)
    found = sample.joints_world[0][:, LIMBS_H36M].astype(np.float64)
    seen = np.isfinite(found).all((1, 2))
    assert p_mpjpe(found[seen], wanted[seen]) * 1000 < 70


def test_the_sample_upside_down_gives_the_same_keypoints():
    """Four moments of the sample, and the same pictures on their heads."""
    pose = load_calibrated_pose(resolve("hrnet-wild", "pose", True), "cpu")
    detector = load_detector(resolve("yolo-person", "detector", True), "cpu")
    with VideoReader(VIDEOS / "sample.mp4") as reader:
        images = [frame.image for frame in reader if frame.index % 50 == 25]
    for image in images:
        boxes = detector.detect([image])[0].boxes[:1]
        height, width = image.shape[:2]
        turned, size = np.ascontiguousarray(image[::-1, ::-1]), np.float32([width, height])
        over = np.concatenate([size - boxes[:, 2:], size - boxes[:, :2]], axis=1)
        upright = pose.candidates([(image, boxes)])[0][0, 0]
        found = rotation_test_time_augmentation(pose, turned, over, pose.candidates([(turned, over)])[0])[
            0, 0
        ]
        apart = np.linalg.norm(size - 1 - found[:, :2] - upright[:, :2], axis=1)
        assert (apart < 0.05 * (boxes[0, 2:] - boxes[0, :2]).max()).mean() > 0.9


def test_they_stand_in_for_what_cannot_be_downloaded_and_say_so(tmp_path):
    flags = ("--offline", "--no-render", "--end", "0.5", "--output", tmp_path / "out")
    done = app("--video", VIDEOS / "sample.mp4", *flags, XDG_CACHE_HOME=tmp_path / "cache", MOTION_WEIGHTS="")
    assert done.returncode == 0, done.stderr
    assert "Running on yolo-person and hrnet-wild" in done.stderr
    assert "yolo11n.pt" in done.stderr  # what is missing
    summary = json.loads(next((tmp_path / "out").rglob("*.json")).read_text("utf-8"))
    assert "hrnet-wild" in json.dumps(summary)


@pytest.mark.parametrize("flag", [("--quality", "standard"), ("--pose", "hrnet-w32"), ("--quality", "best")])
def test_nothing_stands_in_for_what_was_asked_for(tmp_path, flag):
    flags = ("--video", VIDEOS / "sample.mp4", "--offline", "--output", tmp_path / "out", *flag)
    done = app(*flags, XDG_CACHE_HOME=tmp_path / "cache", MOTION_WEIGHTS="")
    assert done.returncode == 10
    assert "--quality shipped" in done.stderr
    assert not (tmp_path / "out").exists()


def test_they_find_people_in_pictures_with_human_labels(shared):
    people = shared / "people" / "test"
    if not people.is_dir():
        pytest.skip(f"{people} is absent")
    found = measure_detector.measure(resolve("yolo-person", "detector", True), people, "cpu", None)
    assert found.ap50 > 0.45
    right = measure_pose.measure(load_pose(resolve("hrnet-wild", "pose", True), "cpu"), people)
    assert right.pck > 0.78
    assert right.ap > 0.37
