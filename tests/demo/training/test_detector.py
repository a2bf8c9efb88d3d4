"""A short training of the detector: its loss falls, and the program loads what it writes."""

import csv
import subprocess
import zipfile

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from common.errors import DataError, InputMissing, WeightsError
from common.weights import resolve
from demo.detection.detector import load_detector
from demo.training.__main__ import app
from demo.training.detector import DetectorTraining, prepare, train
from demo.types import Detections


def write_pictures(folder, train=12, val=2):
    """`images.zip` in ultralytics' layout: grey pictures, each with one bright upright person-like blob."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for number in range(train + val):
            split = "train" if number < train else "val"
            image = generator.integers(40, 80, (96, 128, 3), dtype=np.uint8)
            x, y = generator.integers(30, 98), generator.integers(40, 56)
            cv2.ellipse(image, (int(x), int(y)), (12, 34), 0, 0, 360, (60, 200, 240), -1)
            archive.writestr(f"images/{split}/{number}.jpg", cv2.imencode(".jpg", image)[1].tobytes())
            label = f"0 {x / 128:.4f} {y / 96:.4f} {24 / 128:.4f} {68 / 96:.4f}\n"
            archive.writestr(f"labels/{split}/{number}.txt", label)
    return folder


def test_short_training(tmp_path):
    pictures = write_pictures(tmp_path / "data")
    flags = ["--epochs", "10", "--batch", "4", "--image-size", "128"]
    command = ["detector", "--data", str(pictures), "--out", str(tmp_path / "run"), *flags]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    with (tmp_path / "run" / "run" / "results.csv").open() as file:
        parts = ("train/box_loss", "train/cls_loss", "train/dfl_loss")
        losses = [sum(float(row[part]) for part in parts) for row in csv.DictReader(file)]
    assert len(losses) == 10
    assert sum(losses[-3:]) < sum(losses[:3])
    weights = tmp_path / "run" / "yolo-person.pt"
    assert weights.stat().st_size < 8e6
    found = load_detector(weights, "cpu", confidence=0.0001).detect([np.full((96, 128, 3), 60, np.uint8)])
    assert found[0].boxes.shape[1] == 4


def test_a_teacher_is_imitated_and_a_training_begins_where_another_ended(tmp_path):
    pictures = write_pictures(tmp_path / "data", train=4)
    flags = ["--data", str(pictures), "--epochs", "1", "--batch", "2", "--image-size", "64", "--workers", "0"]
    first = CliRunner().invoke(app, ["detector", *flags, "--out", str(tmp_path / "first")])
    assert first.exit_code == 0, first.output
    earlier = str(tmp_path / "first" / "yolo-person.pt")
    more = ["--teacher", earlier, "--init", earlier, "--out", str(tmp_path / "second")]
    second = CliRunner().invoke(app, ["detector", *flags, *more])
    assert second.exit_code == 0, second.output
    with (tmp_path / "second" / "run" / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["train/dis_loss"]) > 0
    weights = tmp_path / "second" / "yolo-person.pt"
    assert weights.stat().st_size < 8e6  # the teacher is not in it
    load_detector(weights, "cpu")


def test_an_interrupted_imitation_goes_on(tmp_path):
    description = prepare(
        write_pictures(tmp_path / "data", train=4), tmp_path / "pictures", None, lambda *counts: None
    )
    settings = DetectorTraining(epochs=3, batch=2, image_size=64, workers=0)
    teacher = resolve("yolo-person", "detector", offline=True)

    def interrupt(done, total):
        if done == 2:  # reported before the second epoch is saved
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(description, tmp_path, settings, interrupt, teacher=teacher)
    reported = []
    weights = train(
        description, tmp_path, settings, lambda done, total: reported.append(done), teacher=teacher
    )
    assert reported == [2, 3]
    load_detector(weights, "cpu")


def test_initial_weights_are_checked_first(tmp_path):
    with pytest.raises(InputMissing, match="no such detector"):
        train(tmp_path, tmp_path, DetectorTraining(), lambda *counts: None, init=tmp_path / "a.pt")
    torch.save({"model": subprocess.run}, tmp_path / "b.pt")
    with pytest.raises(WeightsError, match="refused"):
        train(tmp_path, tmp_path, DetectorTraining(), lambda *counts: None, init=tmp_path / "b.pt")


class Teacher:
    """Finds two people in every picture, one where the label is and a sure one beside, and a doubtful one."""

    def __init__(self, boxes):
        self.boxes = boxes

    def detect(self, images):
        boxes = [next(self.boxes), [2, 2, 22, 90], [100, 2, 120, 90]]
        return [Detections(np.float32(boxes), np.float32([0.9, 0.8, 0.2]))]


def test_a_teacher_labels_unlabelled_people(tmp_path):
    pictures = write_pictures(tmp_path / "data", train=3)
    prepare(pictures, tmp_path / "plain", None, lambda done, total: None)
    names = sorted((tmp_path / "plain" / "labels" / "train").iterdir())
    known = np.array([np.loadtxt(name)[1:] for name in names]) * (128, 96, 128, 96)
    corners = np.concatenate([known[:, :2] - known[:, 2:] / 2 + 2, known[:, :2] + known[:, 2:] / 2], 1)
    reported = []
    prepare(
        pictures,
        tmp_path / "taught",
        Teacher(iter(corners.tolist())),
        lambda *counts: reported.append(counts),
    )
    assert reported == [(1, 3), (2, 3), (3, 3)]
    for name in names:
        labels = np.loadtxt(tmp_path / "taught" / "labels" / "train" / name.name)
        assert len(labels) == 2
        np.testing.assert_allclose(labels[1], [0, 12 / 128, 46 / 96, 20 / 128, 88 / 96], atol=1e-4)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(InputMissing, match=r"images\.zip"):
        prepare(tmp_path, tmp_path / "out", None, lambda done, total: None)
    (tmp_path / "images.zip").write_bytes(b"no zip")
    with pytest.raises(DataError):
        prepare(tmp_path, tmp_path / "out", None, lambda done, total: None)
