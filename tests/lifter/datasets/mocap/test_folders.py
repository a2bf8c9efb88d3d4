"""Folders of motion capture: format, subject, split, and 50 frames a second."""

import numpy as np
import pytest

from common.errors import DataError, InputMissing
from lifter.datasets.mocap.folders import find_takes, load_motion, share_out, subject_of
from lifter.datasets.mocap.kinematics import at_fps
from lifter.datasets.synthetic.bodies import MotionWindows
from tests.lifter.datasets.mocap.motion_files import amc_text, asf_text, bvh_text
from tests.lifter.motions import write_mocap

SPLITS = ("train", "val", "test")


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_cmu(folder, subjects, frames=25):
    for subject in subjects:
        put(folder / subject / f"{subject}.asf", asf_text())
        for take in ("01", "02"):
            put(folder / subject / f"{subject}_{take}.amc", amc_text(frames=frames))


def test_our_npz_is_read_as_before(tmp_path):
    write_mocap(tmp_path)
    assert [take.key for take in load_motion(tmp_path, "val")] == ["walk_val"]


def test_a_cmu_download_is_split_by_subject_and_sampled_at_50(tmp_path):
    write_cmu(tmp_path, ("01", "02", "03", "05", "09", "60"))
    takes = {split: load_motion(tmp_path, split) for split in SPLITS}
    subjects = {split: {take.subject for take in found} for split, found in takes.items()}
    assert sum(len(found) for found in takes.values()) == 12
    assert "05" in subjects["test"]  # held out by our npz too
    assert "09" in subjects["val"]
    assert not subjects["train"] & (subjects["val"] | subjects["test"])
    assert not subjects["val"] & subjects["test"]
    everything = {take.key: take for found in takes.values() for take in found}
    take = everything["02/02_02"]
    assert (take.fps, take.subject, take.joints.dtype) == (50.0, "02", np.float32)
    assert len(take.joints) == 11  # 24 steps of 1/120 s are 10 of 1/50 s
    assert len(everything["60/60_01"].joints) == 21  # recorded at 60: 24 / 60 s are 20 steps
    assert np.ptp(take.joints[0], axis=0).max() == pytest.approx(1.54, abs=1e-4)  # z of STANDING


def test_a_bvh_folder_trains(tmp_path):
    for number in range(4):
        put(tmp_path / f"walk1_subject{number}.BVH", bvh_text(frames=121))
    found = [take for split in SPLITS for take in load_motion(tmp_path, split)]
    assert sorted(take.subject for take in found) == ["0", "1", "2", "3"]
    assert all(len(load_motion(tmp_path, split)) >= 1 for split in SPLITS)
    joints, _ = MotionWindows(load_motion(tmp_path, "train")).draw(2, 27, __import__("torch").Generator())
    assert joints.shape == (2, 27, 17, 3)


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("07_12.amc", "07"), ("all/127_03.bvh", "127"), ("HDM_bd_01-01_01_120.amc", "bd"),
        ("HDM_mm_kickLFront1Reps_019_120.amc", "mm"), ("aiming1_subject4.bvh", "4"),
        ("Anna/dance.bvh", "Anna"), ("city/Anna/dance.bvh", "city/Anna"), ("dance.bvh", "dance"),
    ],
)  # fmt: skip
def test_subjects_are_read_from_names(tmp_path, name, subject):
    assert subject_of(tmp_path / name, tmp_path) == subject


def test_shares_are_the_same_every_time_and_whole():
    names = [f"actor{number}" for number in range(40)]
    shares = share_out(names)
    assert shares == share_out(names[::-1])
    count = {split: list(shares.values()).count(split) for split in SPLITS}
    assert count == {"train": 28, "val": 6, "test": 6}
    assert share_out(["a", "b", "c"]).keys() == {"a", "b", "c"}
    assert sorted(share_out(["a", "b", "c"]).values()) == ["test", "train", "val"]


def test_takes_of_a_single_subject_are_split(tmp_path):
    for number in range(3):
        put(tmp_path / "Anna" / f"{number}.bvh", bvh_text())
    assert [len(load_motion(tmp_path, split)) for split in SPLITS] == [1, 1, 1]


def test_hdm05s_skeletons_lie_beside_their_takes(tmp_path):
    for actor in ("bd", "bk"):
        put(tmp_path / f"HDM_{actor}.asf", asf_text())
        put(tmp_path / f"HDM_{actor}_walk_001_120.amc", amc_text())
    found = find_takes(tmp_path)
    assert [take.skeleton.name for take in found] == ["HDM_bd.asf", "HDM_bk.asf"]
    assert [take.subject for take in found] == ["bd", "bk"]


def test_other_rates_keep_the_motion():
    times = np.arange(61)[:, None, None] / 60
    joints = np.sin(2 * np.pi * times) * np.ones((1, 17, 3))
    found = at_fps(joints, 60)
    assert found.shape == (51, 17, 3)
    np.testing.assert_allclose(found[:, 0, 0], np.sin(2 * np.pi * np.arange(51) / 50), atol=1e-4)
    assert at_fps(joints, 50.0) is joints


def test_unusable_folders_are_refused_with_the_reason(tmp_path):
    with pytest.raises(InputMissing, match="no such folder"):
        load_motion(tmp_path / "nowhere", "train")
    with pytest.raises(DataError, match=r"\.bvh files, or \.amc.*mocap\.cs\.cmu\.edu"):
        load_motion(tmp_path, "train")
    put(tmp_path / "02_01.amc", amc_text())
    with pytest.raises(DataError, match=r"02_01\.amc: its skeleton is not there"):
        load_motion(tmp_path, "train")
    put(tmp_path / "02.asf", asf_text())
    with pytest.raises(DataError, match="no split 'trian'"):
        load_motion(tmp_path, "trian")
    with pytest.raises(DataError, match="none of its 1 takes is for val"):
        load_motion(tmp_path, "val")
    put(tmp_path / "a.bvh", bvh_text())
    with pytest.raises(DataError, match="both"):
        load_motion(tmp_path, "train")
