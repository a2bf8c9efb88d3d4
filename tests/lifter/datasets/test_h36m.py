"""Human3.6M's layout: reading, normalisation, cutting, and errors for broken files."""

import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from common.errors import DataError
from lifter.cameras import world_to_camera
from lifter.datasets.h36m import (
    BAD_TAKES,
    KEPT_JOINTS,
    NAME_3D,
    is_h36m,
    keypoint_sets,
    load_3d,
    load_h36m,
    name_2d,
    reprojection,
    root_relative,
)
from lifter.datasets.h36m_cameras import CAMERAS
from lifter.datasets.pickled_arrays import read_npz
from lifter.skeletons import COCO_17, H36M_17
from tests.lifter.datasets.h36m_folder import TAKES, describe, write_h36m
from tests.lifter.motions import walk

TEST = ("S9", "S11")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("h36m")
    write_h36m(path)
    return path


def rewrite(folder, name, change):
    """The content of an npz of the folder, changed in place."""
    content = read_npz(folder / name)
    change(content)
    np.savez(folder / name, **content)


@pytest.fixture
def own(tmp_path):
    write_h36m(tmp_path, takes={"Walking": 12})
    return tmp_path


@pytest.mark.parametrize("camera", [f"S{subject}_{number}" for subject in (1, 9) for number in range(4)])
def test_cameras_are_those_of_the_reference(shared, camera):
    subject, number = camera.split("_")
    ours = CAMERAS[subject][int(number)]
    with np.load(shared / "vectors" / "camera_seed0.npz") as truth:
        np.testing.assert_allclose(ours.rotation, truth[f"cam/{camera}/R"], atol=1e-7)
        np.testing.assert_allclose(ours.position, truth[f"cam/{camera}/t"], atol=1e-6)
        np.testing.assert_allclose(ours.intrinsics, truth[f"cam/{camera}/intrinsic"], atol=1e-7)


def test_every_subject_has_four_cameras_that_face_the_middle_of_the_room():
    assert list(CAMERAS) == ["S1", "S5", "S6", "S7", "S8", "S9", "S11"]
    for cameras in CAMERAS.values():
        for camera in cameras:
            seen = world_to_camera(torch.tensor([0.0, 0.0, 1.0]), camera.rotation, camera.position)
            assert 3.5 < seen[2] < 6.5
            assert seen[:2].abs().max() < 0.9


def test_takes_come_with_joints_normalised_keypoints_and_cameras(folder):
    takes = load_h36m(folder, "gt", TEST)
    assert [(take.subject, take.name) for take in takes] == [(s, name) for s in TEST for name in TAKES]
    take = takes[1]
    assert take.action == "Walking"
    np.testing.assert_array_equal(take.world, walk(34, 0.27)[:31])
    assert take.keypoints.shape == (4, 31, 17, 2)  # three frames more in the video
    # By hand: camera 0 is 1000 x 1002, and x' = 2x/1000 - 1, y' = 2y/1000 - 1.002.
    raw = read_npz(folder / name_2d("gt"))["positions_2d"]["S9"]["Walking 1"]
    np.testing.assert_allclose(take.keypoints[0], raw[0][:31] / 500 - (1, 1.002), atol=1e-6)
    np.testing.assert_allclose(take.keypoints[2], raw[2][:31] / 500 - (1, 1.000), atol=1e-6)


def test_targets_are_in_camera_axes(folder, shared):
    with np.load(shared / "vectors" / "camera_seed0.npz") as truth:
        take = load_h36m(folder, "gt", TEST)[0]
        given = replace(take, subject="S1", world=truth["cam/world_in"][0])
        for number in range(4):
            expected = truth[f"cam/S1_{number}/world_to_camera"][0]
            np.testing.assert_allclose(given.in_cameras[number], expected, atol=1e-5)
        relative = root_relative(given.in_cameras)
        assert (relative[..., 0, :] == 0).all()
        np.testing.assert_allclose(
            relative[1, :, 5], given.in_cameras[1, :, 5] - given.in_cameras[1, :, 0], atol=1e-7
        )


def test_reprojection_separates_exact_noisy_and_wrong(folder):
    takes = {name: load_h36m(folder, name, ("S9",))[0] for name in ("gt", "noisy")}
    assert reprojection(takes["gt"]) < 1e-3
    assert 2.5 < reprojection(takes["noisy"]) < 4.5  # median of a Rayleigh: 1.18 x 3 pixels
    swapped = replace(takes["gt"], keypoints=takes["gt"].keypoints[::-1].copy())
    assert reprojection(swapped) > 20


def test_coco_keypoints_are_known_by_their_symmetry(folder):
    assert load_h36m(folder, "gt", ("S9",))[0].layout == "h36m17"
    coco = load_h36m(folder, "coco", ("S9",))[0]
    assert coco.layout == "coco17"
    assert reprojection(coco) < 30  # hips are marked elsewhere, the other limb joints nearly the same
    assert keypoint_sets(folder) == ["coco", "gt", "noisy"]


def test_scores_are_kept(own):
    def add(content):
        for takes in content["positions_2d"].values():
            for name, views in takes.items():
                takes[name] = [np.concatenate((v, np.full_like(v[..., :1], 0.25)), -1) for v in views]

    rewrite(own, name_2d("gt"), add)
    take = load_h36m(own, "gt", ("S9",))[0]
    assert take.keypoints.shape == (4, 12, 17, 3)
    assert (take.keypoints[..., 2] == 0.25).all()


def test_the_bad_take_is_left_out_and_needs_no_2d(own):
    def add(content):
        content["positions_3d"]["S11"]["Directions"] = np.zeros((9, 32, 3), np.float32)

    rewrite(own, NAME_3D, add)
    assert frozenset({("S11", "Directions")}) == BAD_TAKES
    assert [take.name for take in load_h36m(own, "gt", TEST)] == ["Walking", "Walking"]


def test_the_seventeen_joints_are_those_the_field_keeps():
    dropped = {4, 5, 9, 10, 11, 16, 20, 21, 22, 23, 24, 28, 29, 30, 31}
    assert tuple(sorted({*range(32)} - dropped)) == KEPT_JOINTS


def test_errors_for_missing_files_have_source_and_layout(tmp_path):
    assert not is_h36m(tmp_path)
    with pytest.raises(DataError, match=r"data_3d_h36m\.npz: not found; .*\(T, 32, 3\).*register at"):
        load_h36m(tmp_path, "gt", TEST)
    write_h36m(tmp_path, takes={"Walking": 5})
    assert is_h36m(tmp_path)
    with pytest.raises(
        DataError, match=r"cpn_x\.npz: not found \(.*coco, gt, noisy\).*\(T, 17, 2\).*DATASETS"
    ):
        load_h36m(tmp_path, "cpn_x", TEST)


def drop_subject(content):
    del content["positions_3d"]["S11"]


def seventeen_joints(content):
    content["positions_3d"]["S9"]["Walking"] = np.zeros((12, 17, 3), np.float32)


def no_numbers(content):
    content["positions_3d"]["S9"]["Walking"][3, 0] = np.nan


def no_take(content):
    del content["positions_2d"]["S11"]["Walking"]


def three_cameras(content):
    content["positions_2d"]["S9"]["Walking"].pop()


def too_short(content):
    content["positions_2d"]["S9"]["Walking"][2] = content["positions_2d"]["S9"]["Walking"][2][:11]


def other_joints(content):
    content["metadata"] = describe(COCO_17) | {"keypoints_symmetry": [[1], [2]]}


def no_metadata(content):
    del content["metadata"]


def unseen(content):
    content["positions_2d"]["S9"]["Walking"][1][0, 0] = np.nan


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (NAME_3D, drop_subject, "holds no subject S11"),
        (NAME_3D, seventeen_joints, r"S9, Walking: \(12, 17, 3\) instead of \(T, 32, 3\)"),
        (NAME_3D, no_numbers, "no numbers"),
        (name_2d("gt"), no_take, "S11, Walking: not there"),
        (name_2d("gt"), three_cameras, "3 cameras instead of 4"),
        (name_2d("gt"), too_short, r"camera 2: \(11, 17, 2\) instead of \(12 or more"),
        (name_2d("gt"), other_joints, "neither Human3.6M's nor COCO's"),
        (name_2d("gt"), no_metadata, "neither Human3.6M's nor COCO's"),
        (name_2d("gt"), unseen, "camera 1: holds keypoints that are no numbers"),
    ],
)
def test_the_error_is_one_line(own, name, change, message):
    rewrite(own, name, change)
    with pytest.raises(DataError, match=message) as caught:
        load_h36m(own, "gt", TEST)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


class Payload:
    """Content of a hostile file: unpickling it runs a command."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


def test_pickles_are_read_but_never_run(own):
    marker = own / "ran"
    np.savez(own / NAME_3D, positions_3d={"S9": {"Walking": Payload(marker)}})
    with pytest.raises(DataError, match=r"wants to run _?io\.open"):
        load_3d(own)
    assert not marker.exists()
    # The same file does run with numpy's own reader: the test above can fail.
    with np.load(own / NAME_3D, allow_pickle=True) as arrays:
        arrays["positions_3d"].item()["S9"]["Walking"].close()
    assert marker.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_every_pickle_protocol_is_read(tmp_path, protocol):
    floats = np.random.default_rng(0).normal(size=(4, 3))
    content = {
        "a": [floats.astype(">f4"), np.asfortranarray(floats)],
        "b": (np.float32(2.5), "x", None, True),
    }
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("given.npy", "w") as stream:
        array = np.array(content, dtype=object)
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
        pickle.dump(array, stream, protocol=protocol)
    given = read_npz(tmp_path / "a.npz")["given"]
    np.testing.assert_array_equal(given["a"][0], floats.astype("f4"))
    np.testing.assert_array_equal(given["a"][1], floats)
    assert given["b"] == (2.5, "x", None, True)


def test_arrays_of_objects_and_plain_arrays_are_read(tmp_path):
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.arange(2), np.arange(3)]
    np.savez(tmp_path / "a.npz", ragged=ragged, plain=np.arange(4.0))
    found = read_npz(tmp_path / "a.npz")
    assert [each.tolist() for each in found["ragged"]] == [[0, 1], [0, 1, 2]]
    assert found["plain"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("kept", [0, 0.1, 0.5, 0.99])
def test_damaged_files_are_reported(own, kept):
    path = own / NAME_3D
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(DataError, match=r"data_3d_h36m\.npz: cannot be read"):
        load_3d(own)


def test_skeleton_pairs_of_the_layout_are_ours():
    assert describe(H36M_17)["keypoints_symmetry"] == [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
