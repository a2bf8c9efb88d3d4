"""Figures with the true scale, and windows side by side, as the papers of 2.5D lifters have them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lifter.datasets.h36m import load_h36m
from lifter.evaluation.h36m import Settings, clips, measure, predict, report
from lifter.evaluation.true_scale import TrueScale, side_by_side, stretched_frames
from lifter.metric import to_image_units
from lifter.network import Lifter
from lifter.spec import LifterOutput, LifterSpec
from tests.lifter.datasets.h36m_folder import write_h36m

SPEC = LifterSpec("motionbert", frames=9, channels=3, normalisation="crop", short="as_is", units="input")
GT = Settings("gt", flip=False)


class Echo(Lifter):
    """Predicts x and y from the pelvis, and 0; records its windows."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def lift(self, x):
        self.seen.append(x.numpy())
        joints = torch.cat((x[..., :2], torch.zeros_like(x[..., :1])), -1)
        return LifterOutput(joints - joints[:, :, :1])


@pytest.fixture(scope="module")
def takes(tmp_path_factory):
    path = tmp_path_factory.mktemp("h36m")
    write_h36m(path, takes={"Greeting": 20, "Greeting 1": 25, "Waiting 1": 12})
    return load_h36m(path, "gt", ("S9", "S11"))


@pytest.mark.parametrize("length", [1, 2, 27, 100, 242, 243])
def test_a_short_clip_is_stretched_as_by_the_original(length, shared: Path):
    with np.load(shared / "vectors" / "motionagformer_clips.npz") as file:
        stretch, first = file[f"stretch/{length}"], file[f"first/{length}"]
    at, found = stretched_frames(length, 243)
    np.testing.assert_array_equal(at, stretch)
    np.testing.assert_array_equal(found, first)
    np.testing.assert_array_equal(at[found], np.arange(length))


def test_windows_lie_side_by_side_and_the_rest_is_left_out():
    at, kept = side_by_side(25, 9)
    np.testing.assert_array_equal(at, np.arange(18).reshape(2, 9))
    np.testing.assert_array_equal(at.reshape(-1)[kept], np.arange(18))
    at, kept = side_by_side(5, 9)
    assert at.shape == (1, 9)
    np.testing.assert_array_equal(at.reshape(-1)[kept], np.arange(5))


def test_the_true_scale_by_hand():
    # One joint of 17 is off by 0.1 in the picture; the pelvis is 4 m away, the focal length is 2: 0.2 m.
    joints = np.tile(np.array([[[0.3, 0.2, 4.0]]]), (2, 17, 1))
    joints[:, 5] += (0.5, -0.2, 0.4)
    pose, _ = to_image_units(joints, 2.0)
    assert TrueScale.of(pose, joints, 2.0).mpjpe == pytest.approx(0, abs=1e-3)
    pose[:, 7, 0] += 0.1
    assert TrueScale.of(pose, joints, 2.0).mpjpe == pytest.approx(200 / 17, rel=1e-4)


def test_input_is_normalised_to_the_screen_in_the_papers_windows_only(takes):
    clip = next(iter(clips(takes[0], SPEC, "gt")))
    lifter = Echo()
    predict(lifter, SPEC, clip, GT)
    np.testing.assert_array_equal(lifter.seen[0][0], clip.keypoints[:9])
    lifter = Echo()
    predict(lifter, SPEC, clip, replace(GT, windows="app"))
    assert np.abs(lifter.seen[0]).max() == 1


@pytest.mark.parametrize("windows", ["paper", "app"])
def test_three_sequences_of_subject_9_do_not_count(takes, windows):
    settings = replace(GT, windows=windows)
    found = report(SPEC, takes, settings, measure(Echo(), SPEC, takes, settings))
    # By four cameras each: Greeting 1 of S9 and both of S11, Waiting 1 of S11.
    kept = {"paper": {"Greeting": 4 * 54, "Waiting": 4 * 9}, "app": {"Greeting": 4 * 70, "Waiting": 4 * 12}}
    for action, figures in found.actions.items():
        assert figures.true_scale.frames == kept[windows][action] < figures.frames
        assert 0 < figures.true_scale.p_mpjpe <= figures.true_scale.mpjpe
    assert found.action_averaged.true_scale.mpjpe == pytest.approx(
        np.mean([each.true_scale.mpjpe for each in found.actions.values()])
    )


def test_lifters_in_metres_have_no_such_figures(takes):
    spec = replace(SPEC, units="metres", normalisation="screen")
    found = report(spec, takes, GT, measure(Echo(), spec, takes, GT))
    assert found.frame_averaged.true_scale is None
