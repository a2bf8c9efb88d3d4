"""The result file: plain numpy reads it, damage is told, the same result gives the same bytes."""

import json

import numpy as np
import pytest

from common.errors import DataError, InputMissing
from demo.results.result import assemble, read_result, write_result
from demo.types import Status, Track2D, Track3D


def example(people=2, frames=5):
    rng = np.random.default_rng(0)
    flat = [
        Track2D(
            number,
            rng.normal(size=(frames, 4)).astype(np.float32),
            rng.normal(size=(frames, 17, 3)).astype(np.float32),
        )
        for number in range(1, people + 1)
    ]
    solid = [
        Track3D(
            track.person_id,
            rng.normal(size=(frames, 17, 3)).astype(np.float32),
            rng.normal(size=(frames, 17, 3)).astype(np.float32),
            None,
            np.full(frames, Status.MEASURED, np.uint8),
        )
        for track in flat
    ]
    return assemble(flat, solid, np.arange(frames) / 30, {"fps": 30.0})


def test_plain_numpy_reads_what_the_design_promises(tmp_path):
    path = tmp_path / "clip.npz"
    write_result(path, example())
    with np.load(path, allow_pickle=False) as file:
        assert file["joints_world"].shape == file["joints_camera"].shape == (2, 5, 17, 3)
        assert file["joints_world"].dtype == np.float32
        assert file["keypoints_2d"].shape == (2, 5, 17, 3)
        assert file["boxes"].shape == (2, 5, 4)
        assert file["status"].shape == (2, 5)
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


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1], [0, 1]])
def test_people_who_lie_in_one_array_are_copied_only_where_they_must(order):
    whole = np.random.default_rng(0).normal(size=(3, 4, 17, 3)).astype(np.float32)
    flat = [Track2D(each, np.zeros((4, 4), np.float32), whole[each] * 2) for each in order]
    status = np.zeros(4, np.uint8)
    solid = [Track3D(each, whole[each], whole[each] + 1, None, status) for each in order]
    result = assemble(flat, solid, np.arange(4) / 30, {})
    np.testing.assert_array_equal(result.joints_camera, whole[order])
    np.testing.assert_array_equal(result.joints_world, whole[order] + 1)
    np.testing.assert_array_equal(result.keypoints_2d, whole[order] * 2)
    assert np.shares_memory(result.joints_camera, whole) == (order == [0, 1, 2])
