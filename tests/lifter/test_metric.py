"""Conversion to metres: exact for a body of average limbs, by hand and by cameras, and on held-out people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifter.datasets.mocap.folders import load_motion
from lifter.metric import LIMBS_LENGTH, limbs_length, to_image_units, to_metres, unscaled
from tests.lifter.motions import ADULT
from tools.measure_metres import captured, oracle_clips, scale_error

FPS = 50.0


def seen(path, size=1.0):
    """The average adult, or a smaller one, with the pelvis at (T, 3) metres from the camera."""
    return (size * (ADULT - ADULT[0]) + np.asarray(path)[:, None]).astype(np.float32)


def test_25d_by_hand():
    # Pelvis 4 m away and 1 m right, a joint another metre right and 1 m farther; focal length 2.
    joints = np.array([[[1.0, 0, 4], [2, 0, 5]]], np.float32)
    pose, pelvis = to_image_units(joints, 2.0)
    np.testing.assert_allclose(pelvis, [[0.5, 0.0]])
    np.testing.assert_allclose(pose, [[[0, 0, 0], [0.3, 0, 0.5]]], atol=1e-7)


@given(
    x=st.floats(-2, 2),
    y=st.floats(-1, 1),
    z=st.floats(2, 20),
    focal=st.floats(0.7, 5),
    unit=st.floats(0.5, 500),
)
def test_an_adult_anywhere_comes_back_in_metres(x, y, z, focal, unit):
    joints = seen([(x, y, z)] * 3)
    pose, pelvis = to_image_units(joints, focal * unit)  # any unit: pixels, screens
    found = to_metres(pose, pelvis, FPS, focal * unit)
    np.testing.assert_allclose(found, joints - joints[:, :1], atol=2e-4)


def test_a_person_walking_to_the_camera_keeps_the_size():
    path = np.stack((np.linspace(-1, 1, 200), np.zeros(200), np.linspace(8, 2.5, 200)), -1)
    joints = seen(path)
    pose, pelvis = to_image_units(joints, 1.8)
    found = to_metres(pose, pelvis, FPS, 1.8)
    assert np.ptp(limbs_length(pose)) > 1.5 * limbs_length(pose).min()  # in the picture the size triples
    np.testing.assert_allclose(limbs_length(found), LIMBS_LENGTH, rtol=0.01)


def test_the_scale_does_not_follow_the_noise_of_single_frames():
    joints = seen([(0, 0, 4)] * 100)
    pose, pelvis = to_image_units(joints, 1.8)
    noise = np.where(np.arange(100) % 2, 1.1, 0.9)[:, None]
    pose[..., 2] *= noise
    pose[..., :2] *= noise[..., None]
    found = limbs_length(to_metres(pose, pelvis, FPS, None)) / noise[:, 0]
    assert found[10:-10].std() / found.mean() < 0.01  # 0.1 if each frame had a scale of its own


def test_the_scale_follows_the_distance_up_to_one_hertz():
    # The size in the picture, and with it the scale, swings by 10 % once a second; half of that gets through.
    swing = 0.1 * np.sin(2 * np.pi * np.arange(500) / FPS)
    pose, pelvis = to_image_units(seen([(0, 0, 4)] * 500), 1.8)
    found = np.log(limbs_length(to_metres(pose * np.exp(swing)[:, None, None], pelvis, FPS, None)))
    assert found[100:-100].std() / swing.std() == pytest.approx(0.5, abs=0.02)


def test_children_come_out_as_adults():
    joints = seen([(0.5, 0, 3)] * 2, size=0.6)
    pose, pelvis = to_image_units(joints, 1.8)
    found = to_metres(pose, pelvis, FPS, 1.8)
    np.testing.assert_allclose(found, (joints - joints[:, :1]) / 0.6, atol=1e-4)


def test_without_a_focal_length_the_perspective_stays():
    joints = seen([(0, 0, 3)] * 2)
    pose, pelvis = to_image_units(joints, 1.8)
    found = to_metres(pose, pelvis, FPS, None)
    np.testing.assert_allclose(found, pose * found[0, 1, 0] / pose[0, 1, 0], atol=1e-5)
    assert limbs_length(found) == pytest.approx(LIMBS_LENGTH, rel=1e-5)


def test_impossible_answers_stay_finite():
    pelvis = np.zeros((2, 2), np.float32)
    flat = np.zeros((2, 17, 3), np.float32)
    assert np.isfinite(to_metres(flat, pelvis, FPS, 1.8)).all()
    behind = flat.copy()
    behind[:, 5, 2] = -50.0  # behind the camera
    assert np.isfinite(to_metres(behind, pelvis, FPS, 1.8)).all()
    assert np.isfinite(to_metres(np.zeros((0, 17, 3), np.float32), pelvis[:0], FPS, 1.8)).all()


def test_a_joint_behind_the_camera_is_put_before_it():
    pose = np.zeros((1, 17, 3), np.float32)
    pose[:, 3] = 1.0, 0.0, -5.0  # the focal length is 2
    shape = unscaled(pose, np.zeros((1, 2), np.float32), 2.0)
    np.testing.assert_allclose(shape[0, 3], (0.1, 0.0, -1.8), atol=1e-6)


def test_held_out_people_come_out_in_their_size(shared: Path):
    """The figures of `python -m tools.measure_metres`: 1.6 % and 1.7 %. Limbs 5 % shorter or longer than
    expected would cost 4 %."""
    clips = list(oracle_clips(captured(load_motion(shared / "mocap", "test")), seed=1))
    assert scale_error(clips, assume_focal=False).scale_percent < 2.0
    assert scale_error(clips, assume_focal=True).scale_percent < 2.2


def test_the_expected_limbs_are_those_of_the_training_split(shared: Path):
    takes = captured(load_motion(shared / "mocap", "train"))
    lengths = np.concatenate([limbs_length(take.joints) for take in takes])
    assert lengths.mean() == pytest.approx(LIMBS_LENGTH, abs=0.005)
