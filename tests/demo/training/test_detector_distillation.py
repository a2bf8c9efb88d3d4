"""Distillation of a detector: the outputs of YOLO, the loss, and a short training."""

import csv
import math
from itertools import islice

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from common.errors import DataError, InputMissing, UserError
from common.weights import resolve
from demo.detection.detector import load_detector
from demo.detection.ultralytics_files import load_yolo, ultralytics_offline
from demo.training.__main__ import app
from demo.training.detector import save_detector
from demo.training.detector_distillation import (
    DetectorDistillation,
    DetectorOutput,
    Student,
    distillation_loss,
    predict,
    train,
)
from demo.training.mosaics import as_input, compose, read_pictures
from tests.demo.training.test_detector import write_pictures


@pytest.fixture(scope="module")
def teacher():
    return load_yolo(resolve("yolo-person", "detector", offline=True)).layers


def fresh(shape="yolo11n.yaml", classes=1):
    """A network that has learnt nothing."""
    ultralytics_offline()
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(0)
    model = DetectionModel(shape, nc=classes, verbose=False)
    model.names = {number: "person" if number == 0 else str(number) for number in range(classes)}
    return model


def answer(score, sides, feature):
    """One cell."""
    tensors = (torch.tensor(value, dtype=torch.float32) for value in (score, sides, feature))
    scores, sides, feature = tensors
    return DetectorOutput(
        [scores.reshape(1, -1, 1, 1)], [sides.reshape(1, -1, 1, 1)], [feature.reshape(2, 1, 1, 1)]
    )


def test_outputs_are_those_of_ultralytics(teacher):
    inputs = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, (_, theirs) = predict(teacher.eval(), inputs), teacher(inputs)
    torch.testing.assert_close(torch.cat([part.flatten(2) for part in ours.scores], 2), theirs["scores"])
    torch.testing.assert_close(torch.cat([part.flatten(2) for part in ours.sides], 2), theirs["boxes"])


def test_the_loss_by_hand():
    sure, even = math.log(0.8 / 0.2), 0.0
    towards = [0.0] * 8
    # scores: 0.8 ln(0.8 / 0.5) + 0.2 ln(0.2 / 0.5); features: predicting the mean leaves all unexplained
    found, wanted = answer([even], towards, [1, 1]), answer([-3, sure], towards, [0, 2])
    scores = 0.8 * math.log(1.6) + 0.2 * math.log(0.4)
    features = 1 / (2 * 1.01)  # torch's variance of two is twice their mean squared deviation
    assert distillation_loss(found, wanted, person=1).item() == pytest.approx(scores + 3 * features, rel=1e-5)
    # sides: two bins each; the first side is off by 0.9 ln(0.9 / 0.5) + 0.1 ln(0.1 / 0.5), seen at 0.8
    wanted = answer([sure], [math.log(9), 0, *towards[2:]], [1, 3])
    found = answer([sure], towards, [1, 3])
    sides = 0.8 * (0.9 * math.log(1.8) + 0.1 * math.log(0.2))
    assert distillation_loss(found, wanted, person=0).item() == pytest.approx(sides, rel=1e-5)


def test_who_answers_alike_has_nothing_to_learn(teacher):
    with torch.no_grad():
        output = predict(teacher.eval(), torch.rand(1, 3, 96, 96))
    assert distillation_loss(output, output, 0).item() == pytest.approx(0, abs=1e-5)


def test_a_teacher_of_other_resolutions_is_refused(teacher):
    with pytest.raises(UserError, match="YOLO11"):
        Student(fresh("yolov8n-p6.yaml"), teacher)


def test_collages_show_every_set_and_repeat_with_the_seed():
    def plain(colour):
        return cv2.imencode(".jpg", np.full((60, 40, 3), colour, np.uint8))[1].tobytes()

    pool = [[plain((0, 0, 255))] * 50, [plain((0, 255, 0))]]  # drawn from alike, whatever their size
    pictures = [compose(pool, 96, np.random.default_rng([1, step])) for step in range(60)]
    assert {picture.shape for picture in pictures} == {(96, 96, 3)}
    mean = np.mean(pictures, axis=(0, 1, 2))
    assert 0.6 < mean[1] / mean[2] < 1.6
    assert mean[0] < 0.7 * mean[1]
    again = compose(pool, 96, np.random.default_rng([1, 7]))
    np.testing.assert_array_equal(again, pictures[7])


def test_pictures_are_fed_in_red_green_blue():
    image = np.zeros((4, 6, 3), np.uint8)
    image[1, 2] = 51, 0, 255  # blue a fifth, red full
    assert as_input([image]).shape == (1, 3, 4, 6)
    torch.testing.assert_close(as_input([image])[0, :, 1, 2], torch.tensor([1.0, 0.0, 0.2]))


def test_pictures_are_read_by_split(tmp_path):
    archive = write_pictures(tmp_path, train=3, val=2) / "images.zip"
    assert len(read_pictures(archive, "train")) == 3
    assert len(read_pictures(archive, "val")) == 2
    with pytest.raises(InputMissing, match=r"none\.zip"):
        read_pictures(tmp_path / "none.zip", "train")
    archive.write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"images\.zip"):
        read_pictures(archive, "train")


def test_short_training(tmp_path, teacher):
    """The loss falls, an interrupted training goes on, and the program loads what is written."""
    archive = write_pictures(tmp_path / "data", train=8, val=2) / "images.zip"
    pool, held_out = [read_pictures(archive, "train")], read_pictures(archive, "val")
    settings = DetectorDistillation(
        steps=24, batch=4, sizes=(64,), learning_rate=1e-2, warmup=2, validate_every=12, save_every=10
    )

    def run(folder, until=None):
        network = fresh()
        steps = train(network, teacher, 0, pool, held_out, tmp_path / folder, settings)
        return network, {step: loss for step, loss, _ in islice(steps, until)}

    whole, losses = run("whole")
    assert sum(losses[step] for step in range(20, 25)) < 0.8 * sum(losses[step] for step in range(1, 6))
    with (tmp_path / "whole" / "log.csv").open() as file:
        measured = [float(row["held_out_loss"]) for row in csv.DictReader(file)]
    assert len(measured) == 2 and measured[1] < measured[0]
    run("parts", until=13)
    resumed, rest = run("parts")
    assert min(rest) == 11  # saved after 10
    for mine, theirs in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
    save_detector(resumed, 64, tmp_path / "mine.pt")
    found = load_detector(tmp_path / "mine.pt", "cpu").detect([np.full((96, 128, 3), 60, np.uint8)])
    assert found[0].boxes.shape[1] == 4


def test_from_the_command_line(tmp_path):
    archive = str(write_pictures(tmp_path / "data", train=4) / "images.zip")
    weights = str(resolve("yolo-person", "detector", offline=True))
    flags = ["--pictures", archive, "--teacher", weights, "--steps", "2", "--batch", "2"]
    done = CliRunner().invoke(app, ["imitate", *flags, "--init", weights, "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / "yolo-person.pt").stat().st_size < 8e6  # neither teacher nor projections in it
    load_detector(tmp_path / "run" / "yolo-person.pt", "cpu")
    save_detector(fresh(classes=2), 64, tmp_path / "two.pt")
    two = ["--init", str(tmp_path / "two.pt"), "--out", str(tmp_path / "other")]
    refused = CliRunner().invoke(app, ["imitate", *flags, *two])
    assert isinstance(refused.exception, UserError)
    assert "2 classes" in str(refused.exception)
