"""Crops labelled by teachers: kept on disk, read by a training, with crops of the background."""

import csv
import zipfile

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from common.errors import DataError, InputMissing
from demo.pose.estimator import HeatmapGrid
from demo.training.__main__ import app
from demo.training.backgrounds import cut_backgrounds
from demo.training.crops_dataset import NOWHERE, load_people
from demo.training.teacher_labels import label_crops, read_crops, sure_height
from tests.demo.training.people import write_people


class Steady:
    """Sees every joint in the middle of the crop, but the ankles nowhere."""

    input_size = (192, 256)
    padding = 1.25
    grid = HeatmapGrid.of("index", 192, 48)

    def __init__(self):
        self.calls = 0

    def __call__(self, crop):
        self.calls += 1
        x, y = (np.exp(-((np.arange(n) - middle) ** 2) / 8) for n, middle in ((48, 23.875), (64, 31.875)))
        heatmaps = np.repeat((0.6 * y[:, None] * x)[None], 17, axis=0).astype(np.float32)
        heatmaps[15] = 0
        heatmaps[16] *= 0.1 / 0.6
        return np.stack([heatmaps, heatmaps])


@pytest.fixture
def crops(tmp_path):
    """Four frames of one video, and ten pictures, without labels."""
    write_people(tmp_path / "crops", train=14, val=0)
    with np.load(tmp_path / "crops" / "labels.npz") as table:
        boxes = table["box"].astype(float)
    (tmp_path / "crops" / "labels.npz").unlink()
    columns = ["name", "picture", "x1", "y1", "x2", "y2", "source", "group"]
    with (tmp_path / "crops" / "crops_index.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        for number, box in enumerate(boxes):
            group = "video" if number < 4 else ""
            rows.writerow([f"{number}.jpg", f"picture{number}", *box, "daily", group])
    return tmp_path / "crops"


def test_labels_become_targets_of_a_training(crops, tmp_path):
    seen = []
    assert label_crops(crops, [Steady()], tmp_path / "out", lambda *counts: seen.append(counts)) == 14
    assert seen[-1] == (14, 14)
    people = load_people([tmp_path / "out"], "train")
    middles = (people.boxes[:, :2] + people.boxes[:, 2:]) / 2 - 0.5
    np.testing.assert_allclose(people.keypoints[:, 0, :2], middles, atol=0.3)
    np.testing.assert_allclose(people.candidates[:, 0, 0, :2], middles, atol=0.3)
    assert people.taught
    assert people.keypoints[:, :15, 2] == pytest.approx(1)
    assert people.candidates[:, 0, :15, 2] == pytest.approx(1, abs=0.01)  # as high as a label
    # the ankles are absent, not unknown: low targets with a weight
    assert (people.keypoints[:, 15:, 2] == 0).all()
    assert people.weights[:, 15] == pytest.approx(1)
    assert people.weights[:, 16] == pytest.approx(1 - 0.1 / 0.6 / 0.33, abs=0.02)
    assert (people.candidates[:, 0, 15] == (NOWHERE, NOWHERE, 0)).all()


def test_what_is_labelled_is_not_labelled_again(crops, tmp_path):
    label_crops(crops, [Steady()], tmp_path / "out", lambda *counts: None)
    before = (tmp_path / "out" / "labels.npz").read_bytes()
    (tmp_path / "out" / "labels.npz").unlink()
    later = Steady()
    label_crops(crops, [later], tmp_path / "out", lambda *counts: None)
    assert later.calls == 0
    with np.load(tmp_path / "out" / "labels.npz") as table:
        assert len(table["name"]) == 14
    assert len(before) == (tmp_path / "out" / "labels.npz").stat().st_size


def test_frames_of_a_video_are_in_one_split(crops):
    table = read_crops(crops)
    assert len(set(table.splits[:4])) == 1
    assert set(table.splits) <= {"train", "val"}
    assert set(table.sources) == {"daily"}


def test_one_group_of_twenty_is_held_out(tmp_path):
    rows = [f"{number}.jpg,{number},0,0,1,1,daily," for number in range(2000)]
    (tmp_path / "crops_index.csv").write_text("\n".join(["name,picture,x1,y1,x2,y2,source,group", *rows]))
    assert 70 < (read_crops(tmp_path).splits == "val").sum() < 130  # 100 expected


def test_people_without_teachers_keep_their_labels(tmp_path):
    people = load_people([write_people(tmp_path)], "train")
    assert not people.taught
    np.testing.assert_array_equal(people.candidates[:, 0, :, :2], people.keypoints[..., :2])
    assert (people.candidates[:, 0, :, 2] == 1).all()
    assert (people.candidates[:, 1, :, 2] == 0).all()
    np.testing.assert_array_equal(people.weights, people.keypoints[..., 2])


def test_the_height_in_plain_sight_is_the_median_of_agreed_joints():
    candidates = np.zeros((1, 2, 17, 3), np.float32)
    candidates[0, 0, :3, 2] = 0.4, 0.5, 0.6
    candidates[0, 0, 3, 2] = 0.9  # not agreed
    agreed = np.where(np.arange(17) < 3, 0.95, 0.5)[None]
    assert sure_height(candidates, agreed) == pytest.approx(0.5)


def write_pictures(file):
    """A picture without people, one with, and one whose label file is missing."""
    picture = cv2.imencode(".png", np.full((120, 160, 3), 90, np.uint8))[1].tobytes()
    with zipfile.ZipFile(file, "w") as archive:
        for name, labels in (("none", "\n"), ("one", "0 0.5 0.5 0.2 0.4\n"), ("unknown", None)):
            archive.writestr(f"images/{name}.png", picture)
            if labels is not None:
                archive.writestr(f"labels/{name}.txt", labels)


def test_backgrounds_want_every_joint_absent(tmp_path):
    write_pictures(tmp_path / "pictures.zip")
    flags = ["backgrounds", "--pictures", str(tmp_path / "pictures.zip"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, flags)
    assert done.exit_code == 0, done.output
    people = load_people([tmp_path / "out"], "train")
    assert len(people) == 1
    height, width = people.picture(0).shape[:2]
    assert (people.boxes[0] >= 0).all() and (people.boxes[0] <= (width, height, width, height)).all()
    assert (people.weights == 1).all()
    assert (people.keypoints[..., 2] == 0).all()
    assert (people.candidates[..., 2] == 0).all()


def test_what_is_missing_is_named(tmp_path, crops):
    with pytest.raises(InputMissing, match=r"labels\.npz"):
        read_crops(tmp_path)
    with (crops / "crops_index.csv").open("a") as file:
        file.write("none.jpg,p,1,2,30,40,daily,\n")
    with pytest.raises(DataError, match=r"none\.jpg"):
        label_crops(crops, [Steady()], tmp_path / "out", lambda *counts: None)
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(InputMissing, match="every picture has people"):
        cut_backgrounds([tmp_path / "empty.zip"], tmp_path / "b")
