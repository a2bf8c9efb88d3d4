"""Ski-Pose PTZ: rows sorted into sequences, units, zooming cameras, broken files, and h5py absent."""

import sys

import numpy as np
import pytest

from common.errors import DataError, MissingExtra
from lifter.datasets.checks.integrity import check
from lifter.datasets.ski_pose import load_ski_pose, reprojection
from tests.lifter.motions import walk

h5py = pytest.importorskip("h5py", reason="h5py is an extra: requirements-datasets.txt")


def write_ski(folder, split="train", relative=True, change=None):
    """Two sequences, one by two cameras, rows in disorder; cameras zoom. `relative`: 3D is to the pelvis."""
    rows = [(1, 0, frame) for frame in range(6)] + [(1, 3, frame) for frame in range(6)]
    rows += [(4, 2, frame) for frame in range(5, 14, 2)]
    np.random.default_rng(0).shuffle(rows)
    columns = {key: [] for key in ("3D", "2D", "seq", "cam", "frame", "subj", "cam_intrinsic")}
    for sequence, camera, frame in rows:
        x, y, z = walk(20)[frame].T
        joints = np.stack((x, 0.9 - z, 10 + camera - y), -1)
        focal = 3 + 0.1 * frame
        k = np.array([[focal, 0, 0.5], [0, focal, 0.45], [0, 0, 1]])
        points = joints @ k.T
        given = joints - joints[:1] if relative else joints
        values = (
            given.ravel(),
            (points[:, :2] / points[:, 2:]).ravel(),
            sequence,
            camera,
            frame,
            sequence + 1,
            k,
        )
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    arrays = {key: np.array(column, dtype=np.float64) for key, column in columns.items()}
    if change:
        change(arrays)
    (folder / split).mkdir(exist_ok=True)
    with h5py.File(folder / split / "labels.h5", "w") as file:
        for key, array in arrays.items():
            file[key] = array


@pytest.mark.parametrize("relative", [True, False])
def test_rows_become_sequences_of_a_camera(tmp_path, relative):
    write_ski(tmp_path, relative=relative)
    takes = load_ski_pose(tmp_path, "train")
    assert [(take.subject, take.sequence, take.camera) for take in takes] == [(2, 1, 0), (2, 1, 3), (5, 4, 2)]
    assert takes[1].frames.tolist() == [0, 1, 2, 3, 4, 5]
    assert takes[2].frames.tolist() == [5, 7, 9, 11, 13]
    # The left wrist hangs 7 cm lower than the pelvis and 24 cm beside it; y is down.
    np.testing.assert_allclose(takes[1].joints[0, 13], (0.24, 0.07, 0), atol=1e-6)
    assert (takes[1].joints[:, 0] == 0).all()
    # By hand: the pelvis is 5 cm above the axis, 13 m away, f = 3: 0.45 - 0.15/13 of the picture.
    np.testing.assert_allclose(takes[1].keypoints[0, 0], (0, 2 * (0.45 - 0.15 / 13) - 1), atol=1e-6)
    np.testing.assert_allclose(takes[2].intrinsics[:, 0, 0], (3.5, 3.7, 3.9, 4.1, 4.3), atol=1e-6)
    assert reprojection(takes[2]) < 0.01


def test_a_good_folder_passes_its_check(tmp_path):
    write_ski(tmp_path)
    name, findings = check(tmp_path)
    found = list(findings)
    assert name == "Ski-Pose PTZ"
    assert all(each.good for each in found), found
    assert found[0].text == "train/labels.h5: 2 subjects, 3 sequences, 17 pictures"
    assert found[-1].text == "test/labels.h5: not there; test cannot be used without it"


def test_pixels_instead_of_parts_and_mirrored_cameras_are_found(tmp_path):
    write_ski(tmp_path, change=lambda columns: columns.update({"2D": 256 * columns["2D"]}))
    assert any("in the picture: other pixels" in finding.text for finding in check(tmp_path)[1])

    def mirrored(columns):
        columns["3D"].reshape(-1, 17, 3)[..., 1] *= -1

    write_ski(tmp_path, change=mirrored)
    assert any("other cameras" in finding.text for finding in check(tmp_path)[1] if not finding.good)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda columns: columns.pop("2D"), "2D"),
        (
            lambda columns: columns.update({"3D": columns["3D"][:, :48]}),
            r"3D is \(17, 48\) instead of \(17, 51\)",
        ),
        (
            lambda columns: columns.update({"cam": columns["cam"][:-1]}),
            r"cam is \(16,\) instead of \(17, 1\)",
        ),
        (lambda columns: columns["2D"].fill(np.nan), "2D holds what is no number"),
    ],
)
def test_the_error_is_one_line(tmp_path, change, message):
    write_ski(tmp_path, change=change)
    with pytest.raises(DataError, match=message) as caught:
        load_ski_pose(tmp_path, "train")
    assert "labels.h5" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_damaged_files_are_reported(tmp_path):
    with pytest.raises(DataError, match=r"train/labels\.h5: not found; .*\(N, 51\).*cvlab\.epfl\.ch"):
        load_ski_pose(tmp_path, "train")
    with pytest.raises(DataError, match="no split 'val'"):
        load_ski_pose(tmp_path, "val")
    write_ski(tmp_path, "test")
    whole = (tmp_path / "test" / "labels.h5").read_bytes()
    (tmp_path / "test" / "labels.h5").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(DataError, match=r"test/labels\.h5: cannot be read"):
        load_ski_pose(tmp_path, "test")


def test_without_h5py_the_error_names_the_requirements(tmp_path, monkeypatch):
    write_ski(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(
        MissingExtra, match=r"labels\.h5: .*needs h5py: pip install -r requirements-datasets"
    ) as caught:
        load_ski_pose(tmp_path, "train")
    assert "\n" not in str(caught.value)
