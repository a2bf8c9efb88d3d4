"""HumanEva's layout: chunks, subjects, cameras and errors for broken files."""

import numpy as np
import pytest
import torch

from common.errors import DataError
from lifter.cameras import denormalize_screen
from lifter.datasets.checks.integrity import check
from lifter.datasets.humaneva import (
    HUMANEVA_15,
    NAME_3D,
    TEST_SUBJECTS,
    keypoint_sets,
    load_3d,
    load_humaneva,
    name_2d,
)
from lifter.datasets.pickled_arrays import read_npz
from tests.lifter.datasets.h36m_folder import describe
from tests.lifter.motions import walk

# The joints of HUMANEVA_15 among Human3.6M's seventeen.
FROM_H36M = [0, 8, 11, 12, 13, 14, 15, 16, 4, 5, 6, 1, 2, 3, 10]
LENS = ((765.8, 765.3), (299.8, 232.3))  # focal lengths and centre, pixels


def write_humaneva(folder, subjects=("Train/S2", "Validate/S1")):
    """Walks through an ideal lens at each camera's pose; `gt` is exact, COCO's keypoints are random."""
    chunks = {"Walking 1 chunk0": 12, "Walking 1 chunk2": 7, "Box 1 chunk0": 5}
    positions = {
        subject: {name: walk(frames)[:, FROM_H36M] for name, frames in chunks.items()} for subject in subjects
    }
    np.savez_compressed(folder / NAME_3D, positions_3d=positions)
    exact, coco = {}, {}
    blank = {"Walking 1 chunk1": [np.zeros((3, 17, 2), np.float32)] * 3}
    for subject, takes in positions.items():
        exact[subject] = {name: pixels(folder, subject, joints) for name, joints in takes.items()}
        coco[subject] = {
            name: [np.full((len(joints), 17, 2), 160 + 80 * camera, np.float32) for camera in range(3)]
            for name, joints in takes.items()
        }
        coco[f"Unlabeled/{subject}"] = blank
    metadata = {
        "layout_name": "humaneva15",
        "num_joints": 15,
        "keypoints_symmetry": [list(HUMANEVA_15.left), list(HUMANEVA_15.right)],
    }
    np.savez_compressed(folder / name_2d("gt"), positions_2d=exact, metadata=metadata)
    coco_17 = describe(HUMANEVA_15) | {"num_joints": 17}
    np.savez_compressed(folder / name_2d("detectron_pt_coco"), positions_2d=coco, metadata=coco_17)


def pixels(folder, subject, joints):
    from lifter.datasets.humaneva import HumanEvaTake

    seen = HumanEvaTake(subject, "", joints, np.zeros(0, np.float32)).in_cameras
    (fx, fy), (cx, cy) = LENS
    x, y, z = np.moveaxis(seen, -1, 0)
    return list(np.stack((fx * x / z + cx, fy * y / z + cy), -1).astype(np.float32))


@pytest.fixture
def folder(tmp_path):
    write_humaneva(tmp_path)
    return tmp_path


def rewrite(folder, name, change):
    content = read_npz(folder / name)
    change(content)
    np.savez(folder / name, **content)


def test_chunks_come_with_joints_and_normalised_keypoints(folder):
    takes = load_humaneva(folder, "gt", ("Validate/S1",))
    assert [take.name for take in takes] == ["Walking 1 chunk0", "Walking 1 chunk2", "Box 1 chunk0"]
    assert [take.action for take in takes] == ["Walking", "Walking", "Box"]
    assert takes[1].sequence == "Walking 1"
    np.testing.assert_array_equal(takes[1].world, walk(7)[:, FROM_H36M])
    assert takes[1].keypoints.shape == (3, 7, 15, 2)
    raw = read_npz(folder / name_2d("gt"))["positions_2d"]["Validate/S1"]["Walking 1 chunk2"]
    # By hand: 640 x 480, and x' = 2x/640 - 1, y' = 2y/640 - 0.75.
    np.testing.assert_allclose(takes[1].keypoints[2], raw[2] / 320 - (1, 0.75), atol=1e-6)
    back = denormalize_screen(torch.from_numpy(takes[1].keypoints[0]), 640, 480)
    np.testing.assert_allclose(back, raw[0], atol=1e-3)


def test_detections_have_coco_joints_and_unlabelled_pieces_are_left_out(folder):
    takes = load_humaneva(folder, "detectron_pt_coco", ("Train/S2",))
    assert len(takes) == 3
    assert takes[0].keypoints.shape == (3, 12, 17, 2)
    np.testing.assert_allclose(takes[0].keypoints[1, 0, 0], (2 * 240 / 640 - 1, 2 * 240 / 640 - 0.75))
    assert keypoint_sets(folder) == ["detectron_pt_coco", "gt"]
    assert list(load_3d(folder)) == ["Train/S2", "Validate/S1"]


def test_cameras_face_the_middle_of_the_room(folder):
    for take in load_humaneva(folder, "gt", ("Train/S2", "Validate/S1")):
        depth = take.in_cameras[..., 2]
        assert depth.shape[0] == 3
        assert 2 < depth.min() < depth.max() < 6
        # Up in the world is up in the picture: the head above the ankles.
        assert (take.keypoints[:, :, 14, 1] < take.keypoints[:, :, 10, 1]).all()


def test_a_good_folder_passes_its_check(folder):
    name, findings = check(folder)
    found = list(findings)
    assert name == "HumanEva in VideoPose3D's layout"
    assert all(each.good for each in found), found
    text = "\n".join(each.text for each in found)
    assert "2 subjects, 6 sequences, 48 frames; without Train/S1, Train/S3, Validate/S2, Validate/S3" in text
    assert "data_2d_humaneva15_gt.npz: 2D is 0.00 pixels from the projected 3D" in text


def millimetres(content):
    for takes in content["positions_3d"].values():
        for name in takes:
            takes[name] = takes[name] * 1000


def seventeen(content):
    content["positions_3d"]["Train/S2"]["Box 1 chunk0"] = np.zeros((5, 17, 3), np.float32)


def no_numbers(content):
    content["positions_3d"]["Train/S2"]["Box 1 chunk0"][2] = np.nan


def two_cameras(content):
    content["positions_2d"]["Train/S2"]["Box 1 chunk0"].pop()


def no_camera(content):
    content["positions_2d"]["Train/S2"]["Box 1 chunk0"][1] = None


def no_chunk(content):
    del content["positions_2d"]["Train/S2"]["Box 1 chunk0"]


def no_metadata(content):
    del content["metadata"]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (NAME_3D, seventeen, r"Box 1 chunk0: \(5, 17, 3\) instead of \(T, 15, 3\)"),
        (NAME_3D, no_numbers, "no numbers"),
        (name_2d("gt"), two_cameras, "2 cameras instead of 3"),
        (name_2d("gt"), no_camera, r"camera 1: \(\) instead of \(5, 15, 2\)"),
        (name_2d("gt"), no_chunk, "Box 1 chunk0: not there"),
        (name_2d("gt"), no_metadata, "no num_joints"),
    ],
)
def test_the_error_is_one_line(folder, name, change, message):
    rewrite(folder, name, change)
    with pytest.raises(DataError, match=message) as caught:
        load_humaneva(folder, "gt", ("Train/S2", "Validate/S1"))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert any(not finding.good for finding in check(folder)[1])


def test_units_and_cameras_in_another_order_are_found_by_the_check(folder):
    def turn_round(content):
        for takes in content["positions_2d"].values():
            for cameras in takes.values():
                cameras.reverse()

    rewrite(folder, name_2d("gt"), turn_round)
    assert any("other cameras" in finding.text for finding in check(folder)[1] if not finding.good)
    rewrite(folder, NAME_3D, millimetres)
    assert any("convert the file to metres" in finding.text for finding in check(folder)[1])


def test_errors_for_missing_files_have_the_source(tmp_path):
    with pytest.raises(DataError, match=r"data_3d_humaneva15\.npz: not found; .*\(T, 15, 3\).*register at"):
        load_humaneva(tmp_path, "gt", TEST_SUBJECTS)
    write_humaneva(tmp_path)
    with pytest.raises(DataError, match=r"_other\.npz: not found \(.*detectron_pt_coco, gt\)"):
        load_humaneva(tmp_path, "other", ("Train/S2",))
    with pytest.raises(DataError, match="no subject Validate/S3"):
        load_humaneva(tmp_path, "gt", ("Validate/S3",))
