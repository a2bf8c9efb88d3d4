"""The result file: plain numpy reads it, damage is reported, the same result gives the same bytes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from common.errors import DataError, InputMissing
from demo.results.result import Result, read_result, write_result
from demo.types import JointStatus, Motion, Status, Tracks2D


def example(people=2, frames=5):
    rng = np.random.default_rng(0)

    def drawn(*shape):
        return rng.normal(size=(people, frames, *shape)).astype(np.float32)

    ids = np.arange(1, people + 1, dtype=np.int32)
    status = np.full((people, frames), Status.MEASURED, np.uint8)
    joint_status = np.full((people, frames, 17), JointStatus.SEEN, np.uint8)
    motion = Motion(ids, drawn(17, 3), drawn(17, 3), None, status, joint_status)
    return Result.build(Tracks2D(ids, drawn(4), drawn(17, 3)), motion, np.arange(frames) / 30, {"fps": 30.0})


def test_plain_numpy_reads_what_the_design_promises(tmp_path):
    path = tmp_path / "clip.npz"
    write_result(path, example())
    with np.load(path, allow_pickle=False) as file:
        assert file["joints_world"].shape == file["joints_camera"].shape == (2, 5, 17, 3)
        assert file["joints_world"].dtype == np.float32
        assert file["keypoints_2d"].shape == (2, 5, 17, 3)
        assert file["boxes"].shape == (2, 5, 4)
        assert file["status"].shape == (2, 5)
        assert file["joint_status_names"][file["joint_status"][0, 0, 0]] == "seen"
        assert file["status_names"][file["status"][0, 0]] == "measured"
        assert file["joint_names"][10] == "head"
        assert file["joint_parents"].tolist()[:4] == [-1, 0, 1, 2]
        assert file["keypoint_names"][0] == "nose"
        assert "joint_uncertainty" not in file.files
        meta = json.loads(str(file["meta"]))
    assert meta["fps"] == 30
    assert "metres" in meta["units"]["joints"]
    assert "z up" in meta["axes"]["joints_world"]


@pytest.mark.parametrize("people", [0, 2])
def test_round_trip(tmp_path, people):
    path = tmp_path / "clip.npz"
    written = example(people)
    write_result(path, written)
    read = read_result(path)
    np.testing.assert_array_equal(read.joints_world, written.joints_world)
    assert read.joints_world.shape == (people, 5, 17, 3)
    assert read.meta == written.meta


def test_files_without_joint_status_are_read(tmp_path):
    path = tmp_path / "old.npz"
    write_result(path, replace(example(), joint_status=None))
    assert read_result(path).joint_status is None


def test_the_same_result_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_result(tmp_path / f"{name}.npz", example())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_what_is_no_result_is_refused_in_a_line(tmp_path):
    with pytest.raises(InputMissing):
        read_result(tmp_path / "none.npz")
    path = tmp_path / "clip.npz"
    write_result(path, example())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"clip\.npz"):
        read_result(path)
    np.savez(path, joints_world=np.zeros(3))
    with pytest.raises(DataError, match="meta"):
        read_result(path)


def test_arrays_that_do_not_fit_each_other_are_refused(tmp_path):
    path = tmp_path / "clip.npz"
    write_result(path, example())
    with np.load(path) as file:
        arrays = dict(file)
    arrays["boxes"] = arrays["boxes"][:, :3]
    np.savez(path, **arrays)
    with pytest.raises(DataError, match="boxes"):
        read_result(path)
