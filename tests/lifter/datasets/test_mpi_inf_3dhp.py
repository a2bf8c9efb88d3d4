"""MPI-INF-3DHP in P-STMO's layout: order of joints, units, pictures, valid frames, broken files."""

import numpy as np
import pytest

from common.errors import DataError
from lifter.datasets.checks.integrity import check
from lifter.datasets.mpi_inf_3dhp import FROM_3DHP, NAME_TEST, NAME_TRAIN, load_3dhp
from lifter.datasets.pickled_arrays import read_npz
from lifter.skeletons import H36M_17
from tests.lifter.motions import walk

# The joints of the data set's files in their order.
NAMES = (
    "head", "thorax", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
    "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "pelvis",
    "spine", "neck_nose",
)  # fmt: skip


def seen(frames, size, distance=4.0):
    """A walk in camera axes, millimetres, and its pixels; in the files' order of joints."""
    x, y, z = np.moveaxis(walk(frames, 0.3), -1, 0)
    joints = np.stack((x, 1 - z, distance - y), -1)
    pixels = 0.7 * size[0] * joints[..., :2] / joints[..., 2:] + np.array(size) / 2
    order = [H36M_17.joints.index(name) for name in NAMES]
    return {"data_3d": 1000 * joints[:, order], "data_2d": pixels[:, order]}


def write_3dhp(folder):
    cameras = {str(camera): seen(9, (2048, 2048), 3 + 0.2 * camera) for camera in (0, 1, 2, 4, 5, 6, 7, 8)}
    train = {"S1 Seq1": [cameras, 25], "S8 Seq2": [{"0": seen(6, (2048, 2048))}, 50]}
    np.savez_compressed(folder / NAME_TRAIN, data=train)
    test = {
        "TS1": seen(8, (2048, 2048)) | {"valid": np.array([1, 1, 0, 1, 1, 1, 0, 1], float)},
        "TS6": seen(5, (1920, 1080)) | {"valid": np.ones(5, np.uint8)},
    }
    np.savez_compressed(folder / NAME_TEST, data=test)


@pytest.fixture
def folder(tmp_path):
    write_3dhp(tmp_path)
    return tmp_path


def test_the_order_of_joints_by_name():
    assert [NAMES[number] for number in FROM_3DHP] == list(H36M_17.joints)


def test_training_takes_come_camera_by_camera_in_metres(folder):
    takes = load_3dhp(folder, "train")
    assert [take.camera for take in takes] == ["0", "1", "2", "4", "5", "6", "7", "8", "0"]
    assert [take.sequence for take in takes[-2:]] == ["S1 Seq1", "S8 Seq2"]
    assert (takes[0].subject, takes[0].fps, takes[-1].fps) == ("S1", 25.0, 50.0)
    assert takes[0].joints.shape == (9, 17, 3)
    assert takes[0].valid.all()
    # The first frame's pelvis is 95 cm high and 3 m away, the picture's middle 1 m high, f = 0.7 widths.
    np.testing.assert_allclose(takes[0].joints[0, 0], (0, 0.05, 3), atol=1e-6)
    np.testing.assert_allclose(takes[0].keypoints[0, 0], (0, 1.4 * 0.05 / 3), atol=1e-6)
    # The left wrist is at +x.
    np.testing.assert_allclose(takes[0].joints[0, 13], (0.24, 0.12, 3), atol=1e-6)


def test_test_takes_have_their_own_pictures_and_valid_frames(folder):
    first, last = load_3dhp(folder, "test")
    assert (first.sequence, first.camera, first.fps) == ("TS1", "", None)
    assert first.valid.tolist() == [True, True, False, True, True, True, False, True]
    raw = read_npz(folder / NAME_TEST)["data"]["TS6"]["data_2d"]
    # By hand: 1920 x 1080, and y' = 2y/1920 - 1080/1920. The pelvis is number 14 in the file.
    np.testing.assert_allclose(last.keypoints[:, 0], raw[:, 14] / 960 - (1, 0.5625), atol=1e-6)


def test_a_good_folder_passes_its_check(folder):
    name, findings = check(folder)
    found = list(findings)
    assert name == "MPI-INF-3DHP in P-STMO's layout"
    assert all(each.good for each in found), found
    text = "\n".join(each.text for each in found)
    assert "data_train_3dhp.npz: 2 sequences, 9 takes, 78 frames" in text
    assert "data_test_3dhp.npz: 2 sequences, 2 takes, 13 frames, 11 of them valid" in text
    assert "data_test_3dhp.npz, 1920 x 1080: 2D is 0.00 pixels" in text


def change_test(folder, change):
    content = read_npz(folder / NAME_TEST)
    change(content["data"]["TS1"])
    np.savez(folder / NAME_TEST, **content)


def metres(take):
    take["data_3d"] = take["data_3d"] / 1000


def joints_28(take):
    take["data_3d"] = np.zeros((8, 28, 3))


def shorter(take):
    take["data_2d"] = take["data_2d"][:-1]


def no_valid(take):
    del take["valid"]


def no_numbers(take):
    take["data_2d"][3, 3] = np.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (joints_28, r"TS1: \(8, 28, 3\) and \(8, 17, 2\) instead of"),
        (shorter, r"\(7, 17, 2\) instead of"),
        (no_valid, "valid for 0 frames instead of 8"),
        (no_numbers, "no numbers"),
    ],
)
def test_the_error_is_one_line(folder, change, message):
    change_test(folder, change)
    with pytest.raises(DataError, match=message) as caught:
        load_3dhp(folder, "test")
    assert NAME_TEST in str(caught.value)
    assert "\n" not in str(caught.value)
    assert any(not finding.good for finding in check(folder)[1])


def test_other_units_and_orders_are_found_by_the_check(folder):
    def swapped(take):
        for key in ("data_3d", "data_2d"):
            take[key] = take[key][:, np.roll(np.arange(17), 1)]

    change_test(folder, swapped)
    assert any("these are no legs" in finding.text for finding in check(folder)[1] if not finding.good)
    content = read_npz(folder / NAME_TEST)
    for take in content["data"].values():
        metres(take)
    np.savez(folder / NAME_TEST, **content)
    assert any("convert the file to metres" in finding.text for finding in check(folder)[1])


def test_errors_for_missing_files_have_the_source(tmp_path):
    with pytest.raises(DataError, match=r"data_train_3dhp\.npz: not found; .*mm.*vcai\.mpi-inf"):
        load_3dhp(tmp_path, "train")
    with pytest.raises(DataError, match="no split 'val'"):
        load_3dhp(tmp_path, "val")
    np.savez(tmp_path / NAME_TRAIN, data={"S1 Seq1": seen(3, (2048, 2048))})
    with pytest.raises(DataError, match="S1 Seq1: no list with the cameras first"):
        load_3dhp(tmp_path, "train")
