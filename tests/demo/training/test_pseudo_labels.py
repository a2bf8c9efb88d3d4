"""A teacher's keypoints on a detector's pictures become crops that a training reads."""

import cv2
import numpy as np
import pytest

from common.errors import InputMissing
from demo.training.crops_dataset import load_people
from demo.training.pseudo_labels import label_people
from tests.demo.tracking.figures import FIGURE

PLACE, SIZE = np.array([200, 60]), np.array([90, 300])  # of a person in a picture of 640 x 400


class Teacher:
    """Knows where the person stands, and sees the joints but the ankles."""

    def estimate(self, items):
        people = []
        for _, boxes in items:
            pose = np.concatenate([FIGURE * SIZE + PLACE, np.full((17, 1), 0.8)], axis=1)
            pose[15] = np.nan, np.nan, 0
            pose[16, 2] = 0.1
            people.append(np.repeat(pose[None], len(boxes), axis=0).astype(np.float32))
        return people


@pytest.fixture
def pictures(tmp_path):
    """One picture of a person with a bright nose, and of one too small; and a picture without people."""
    folder = tmp_path / "pictures"
    for part in ("images", "labels"):
        (folder / part / "train").mkdir(parents=True)
    image = np.full((400, 640, 3), 40, np.uint8)
    x, y = FIGURE[0] * SIZE + PLACE
    cv2.circle(image, (round(float(x)), round(float(y))), 6, (255, 255, 255), -1)
    cv2.imwrite(str(folder / "images/train/one.png"), image)
    cv2.imwrite(str(folder / "images/train/none.png"), image)
    middle = (PLACE + SIZE / 2) / (640, 400)
    person = "0 {:.5f} {:.5f} {:.5f} {:.5f}\n".format(*middle, *(SIZE / (640, 400)))
    (folder / "labels/train/one.txt").write_text(person + "0 0.9 0.9 0.03 0.05\n")
    (folder / "labels/train/none.txt").write_text("")
    return folder


def test_labels_lie_on_the_crops(pictures, tmp_path):
    reported = []
    assert (
        label_people(pictures, Teacher(), tmp_path / "out", 48, lambda *counts: reported.append(counts)) == 1
    )
    assert reported == [(1, 2), (2, 2)]
    people = load_people([tmp_path / "out"], "train")
    crop = people.picture(0)
    assert max(crop.shape[:2]) == 400
    keypoints, box = people.keypoints[0], people.boxes[0]
    bright = np.argwhere(crop.min(axis=-1) > 200)[:, ::-1].mean(axis=0)
    np.testing.assert_allclose(keypoints[0, :2], bright, atol=0.7)
    assert (keypoints[:15, 2] > 0.7).all()
    assert (keypoints[15:, 2] == 0).all()
    # 1.4 times the box would be 420 pixels high; the picture has 400 from its upper edge on, as it is
    assert box[3] - box[1] == pytest.approx(300, abs=1)


def test_small_people_are_left_out(pictures, tmp_path):
    """So that close people can be gathered in a set of their own."""
    out = tmp_path / "out"
    assert label_people(pictures, Teacher(), out, 301, lambda *counts: None) == 0
    assert label_people(pictures, Teacher(), out, 300, lambda *counts: None) == 1


def test_missing_inputs_are_errors(tmp_path):
    with pytest.raises(InputMissing, match="no pictures"):
        label_people(tmp_path, Teacher(), tmp_path / "out", 48, lambda *counts: None)
    with pytest.raises(InputMissing, match="does not exist"):
        load_people([tmp_path / "out"], "train")
