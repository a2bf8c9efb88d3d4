"""Normalisations against the reference vectors of MotionBERT's code for videos, and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lifter.cameras import normalize_screen
from lifter.clip_camera import ClipCamera
from lifter.normalisation import Normalisation, crop_to_track, normalisation
from lifter.spec import LifterSpec

WIDTH, HEIGHT = 1920, 1080
SPECS = {kind: LifterSpec("any", 27, channels=3, normalisation=kind) for kind in ("screen", "crop", "pixels")}


@pytest.fixture(scope="module")
def wild(shared: Path):
    return dict(np.load(shared / "vectors" / "motionbert_wild_seed0.npz"))


def on_screen(keypoints):
    points = keypoints.astype(np.float64).copy()
    points[..., :2] = normalize_screen(torch.from_numpy(points[..., :2]), WIDTH, HEIGHT).numpy()
    return points


def test_a_crop_of_the_whole_track_is_the_original_one(wild):
    track = on_screen(wild["h36m"])
    found = normalisation(SPECS["crop"], track, ClipCamera()).apply(track)
    np.testing.assert_allclose(found, wild["crop_scaled"], atol=1e-6)
    assert np.abs(wild["crop_scaled"]).max() == 1


def test_too_few_joints_give_zeros_as_in_the_original(wild):
    track = on_screen(wild["few_valid"])
    assert (track != 0).any()
    assert (crop_to_track(track).apply(track) == 0).all()
    for joints in (3, 4):
        few = np.random.default_rng(0).normal(size=(1, 17, 3))
        few[0, joints:, 2] = 0
        assert (crop_to_track(few).scale > 0) == (joints == 4)
    point = np.ones((3, 17, 3), np.float32)  # all joints in one place
    assert (crop_to_track(point).apply(point) == 0).all()


def test_pixels_from_the_middle_are_the_original_ones(wild):
    track = on_screen(wild["h36m"])
    camera = ClipCamera(aspect=HEIGHT / WIDTH)
    found = normalisation(SPECS["pixels"], track, camera).apply(track)
    np.testing.assert_allclose(found, wild["pixel_scaled"], atol=1e-6)


def test_outputs_in_pixels_come_back_as_in_the_original(wild):
    """The original adds the middle of the picture to x and y; here they stay relative to it."""
    back = normalisation(SPECS["pixels"], wild["h36m"], ClipCamera(aspect=HEIGHT / WIDTH))
    pixels = back.undo(wild["pixel_out/in"].astype(np.float64)) * WIDTH / 2
    pixels[..., :2] += (WIDTH / 2, HEIGHT / 2)
    np.testing.assert_allclose(pixels, wild["pixel_out/out"], rtol=1e-5, atol=1e-3)


def test_the_shorter_side_counts_in_portrait_too():
    assert normalisation(SPECS["pixels"], np.zeros((1, 17, 3)), ClipCamera(aspect=16 / 9)).scale == 1
    assert normalisation(SPECS["pixels"], np.zeros((1, 17, 3)), ClipCamera(aspect=0.5)).scale == 2


def test_a_crop_by_hand():
    track = np.zeros((2, 17, 3), np.float32)
    track[:, :4, 2] = 0.5
    track[0, :4, :2] = ((0.1, 0.2), (0.5, 0.2), (0.3, 0.4), (0.3, 0.3))
    track[1, :4, :2] = 0.3
    track[1, 9] = (0.9, 0.9, 0)  # score 0 does not count for the square
    found = crop_to_track(track)
    assert found.scale == pytest.approx(2 / 0.4)
    assert found.centre == pytest.approx((0.3, 0.3))
    placed = found.apply(track)
    np.testing.assert_allclose(placed[0, :4, :2], ((-1, -0.5), (1, -0.5), (0, 0.5), (0, 0)), atol=1e-6)
    assert placed[1, 9].tolist() == [1, 1, 0]  # but is cut off where the square ends
    np.testing.assert_allclose(found.undo(np.ones((1, 17, 3))), 0.2)


def test_the_screen_is_left_alone():
    track = np.random.default_rng(0).normal(size=(3, 17, 3))
    assert normalisation(SPECS["screen"], track, ClipCamera(aspect=0.5)) == Normalisation()
    assert Normalisation().apply(track) is track
