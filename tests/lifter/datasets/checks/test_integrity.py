"""`python -m lifter data check`: good folders pass, and each kind of damage is found."""

import csv

import numpy as np
import pytest
from typer.testing import CliRunner

from common.errors import DataError, InputMissing
from lifter.__main__ import app
from lifter.datasets.checks.integrity import check
from lifter.datasets.h36m import NAME_3D, name_2d
from lifter.datasets.mocap.npz import NPZ_NAME
from lifter.datasets.pickled_arrays import read_npz
from tests.lifter.datasets.h36m_folder import write_h36m
from tests.lifter.datasets.mocap.motion_files import amc_text, asf_text, bvh_text
from tests.lifter.motions import write_mocap


def bad(folder):
    """Return the failed findings of a folder."""
    return [finding.text for finding in check(folder)[1] if not finding.good]


@pytest.fixture
def h36m(tmp_path):
    write_h36m(tmp_path, takes={"Walking": 12, "Sitting": 9})
    return tmp_path


def change(path, key, edit):
    content = read_npz(path)
    for takes in content[key].values():
        for name, value in takes.items():
            takes[name] = edit(value)
    np.savez(path, **content)


def test_a_good_folder_passes_and_is_described(h36m):
    result = CliRunner().invoke(app, ["data", "check", str(h36m)])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].endswith("Human3.6M in VideoPose3D's layout")
    assert all(line.startswith("ok ") for line in lines[1:])
    assert "2 subjects, 4 takes, 42 frames; without S1, S5, S6, S7, S8" in lines[1]
    assert "data_2d_h36m_gt.npz: 4 takes, h36m17, 2 channels, 0.00 pixels" in result.output


def test_damage_ends_with_the_exit_status_of_bad_data(h36m):
    (h36m / name_2d("noisy")).write_bytes(b"no npz")
    result = CliRunner().invoke(app, ["data", "check", str(h36m)])
    assert isinstance(result.exception, DataError)
    assert result.exception.status == 12
    assert "1 thing is wrong" in str(result.exception)
    assert [line for line in result.output.splitlines() if line.startswith("BAD")] != []
    assert bad(h36m)[0].startswith(str(h36m / name_2d("noisy")))


def test_millimetres_are_found(h36m):
    change(h36m / NAME_3D, "positions_3d", lambda joints: 1000 * joints)
    found = bad(h36m)
    assert "convert the file to metres" in found[0]
    assert all("other cameras, units or order of joints" in text for text in found[1:])


def test_cameras_in_another_order_are_found(h36m):
    change(h36m / name_2d("gt"), "positions_2d", lambda cameras: cameras[::-1])
    (found,) = bad(h36m)
    assert found.startswith(name_2d("gt"))
    assert "other cameras" in found


def test_missing_3d_and_missing_2d_are_found(h36m):
    for name in ("gt", "noisy", "coco"):
        (h36m / name_2d(name)).unlink()
    (found,) = bad(h36m)
    assert "holds no 2D keypoints" in found
    write_h36m(h36m, takes={"Walking": 12})
    (h36m / NAME_3D).unlink()
    (found,) = bad(h36m)
    assert "data_3d_h36m.npz: not found" in found


def test_motion_capture_passes_and_is_described(tmp_path):
    write_mocap(tmp_path)
    name, findings = check(tmp_path)
    assert name == "motion capture"
    found = list(findings)
    assert all(each.good for each in found)
    assert found[0].text == "train: 1 subjects, 1 takes, 160 frames, 0.00 h"


def test_damaged_motion_capture_is_found(tmp_path):
    write_mocap(tmp_path)
    (tmp_path / NPZ_NAME).write_bytes(b"PK\x03\x04 broken")
    (found,) = bad(tmp_path)
    assert "damaged" in found
    (tmp_path / NPZ_NAME).unlink()
    assert all("not found" in each for each in bad(tmp_path))


def test_a_subject_in_two_splits_is_found(tmp_path):
    write_mocap(tmp_path)
    with (tmp_path / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[2]["subject"] = "train"  # of the test split
    with (tmp_path / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    assert bad(tmp_path) == ["index.csv: subject train is in train and in test: choose one"]


def write_bvh(folder, people=4):
    for number in range(people):
        (folder / f"walk1_subject{number}.bvh").write_text(bvh_text(frames=61))


def test_bvh_files_pass_and_are_described(tmp_path):
    write_bvh(tmp_path)
    result = CliRunner().invoke(app, ["data", "check", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "motion capture files" in result.output
    assert "4 takes: Mixamo or MotionBuilder at 60 frames a second" in result.output
    assert "train: 2 subjects, 2 takes, 0.00 h" in result.output
    assert "test: thighs 43 and 43 cm, shins 44 and 44 cm on the median" in result.output


def test_each_damaged_file_of_a_folder_is_found(tmp_path):
    write_bvh(tmp_path, people=6)
    for number in (1, 4):
        (tmp_path / f"walk1_subject{number}.bvh").write_text("HIERARCHY")
    found = bad(tmp_path)
    assert [text.split(":")[0] for text in found[:2]] == [
        str(tmp_path / f"walk1_subject{number}.bvh") for number in (1, 4)
    ]


def test_acclaim_files_of_one_subject_pass_with_a_note_on_the_shared_subject(tmp_path):
    (tmp_path / "02.asf").write_text(asf_text())
    for number in range(1, 4):
        (tmp_path / f"02_0{number}.amc").write_text(amc_text())
    found = list(check(tmp_path)[1])
    assert all(each.good for each in found), found
    assert found[0].text == "3 takes: Acclaim (CMU, HDM05) at 120 frames a second"
    assert found[-1].text.startswith("02: in train and test")


def test_folders_without_data_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"data_3d_h36m\.npz.*index\.csv"):
        check(tmp_path)
    with pytest.raises(InputMissing, match="no such folder"):
        check(tmp_path / "nowhere")
