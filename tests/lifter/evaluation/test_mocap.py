"""Figures on motion capture: the same clips every time, for lifters of any joints and any number of views."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lifter.datasets.synthetic.noise import NoiseModel
from lifter.evaluation.mocap import CLIP_FRAMES, evaluate, read_by, virtual_clips, virtual_views
from lifter.models.wild import spec
from lifter.network import Lifter
from lifter.registry import REGISTRY, create
from lifter.spec import LifterOutput, LifterSpec
from tests.lifter.motions import take
from tests.lifter.tiny import CONFIGS

TAKES = [take("test", frames=400)]


def last(steps):
    (*_, (done, measured)) = steps
    return done, measured


def test_evaluation_repeats_its_clips_and_orders_its_protocols():
    a, b = (virtual_clips(TAKES, 3, NoiseModel()) for _ in range(2))
    assert len(a) == 400 // CLIP_FRAMES
    assert all((x.keypoints == y.keypoints).all() for x, y in zip(a, b, strict=True))
    torch.manual_seed(0)
    done, measured = last(evaluate(create("wild", CONFIGS["wild"]), spec(CONFIGS["wild"]), a))
    assert done == len(a)
    assert measured.frames == 300
    assert measured.p_mpjpe <= measured.n_mpjpe <= measured.mpjpe
    assert 0 <= measured.up_degrees <= 180


def test_virtual_clips_have_the_true_vertical():
    for clip in (
        *virtual_clips([take("test", frames=150)], 0, None),
        *virtual_views(TAKES, 0, None, views=4),
    ):
        assert float((clip.up**2).sum()) == pytest.approx(1, abs=1e-5)
        height = clip.joints @ clip.up
        assert height[:, 10].min() > 0.5  # the head is above the pelvis, along up
        assert height[:, 3].max() < -0.5  # and the feet below


def test_clips_are_those_of_the_published_figures():
    # A change of a draw, or of the order of draws, invalidates all figures in docs/accuracy.md and
    # weights/cards/.
    (clip,) = virtual_clips([take("test", frames=150)], 1, NoiseModel())
    assert clip.keypoints[0, 5] == pytest.approx([0.235745, -0.047940, 0.905612], abs=1e-4)
    assert clip.keypoints[149, 10] == pytest.approx([0.023112, -0.199963, 0.798714], abs=1e-4)
    assert clip.joints[77, 13] == pytest.approx([-0.245254, 0.077595, -0.006473], abs=1e-4)


def test_several_views_are_of_the_same_motion():
    single, around = virtual_clips(TAKES, 1, None), virtual_views(TAKES, 1, None, views=4)
    assert len(single) == len(around)
    for one, four in zip(single, around, strict=True):
        assert four.keypoints.shape == (CLIP_FRAMES, 4, 17, 3)
        apart = [np.linalg.norm(c.joints[:, 3] - c.joints[:, 16], axis=-1) for c in (one, four)]
        np.testing.assert_allclose(*apart, atol=1e-5)  # the same poses, in other axes


@pytest.mark.parametrize("name", ["ktpformer", "lstm_posenet", "jointformer", "esmformer"])
def test_lifters_of_other_joints_and_views_are_measured(name):
    found = REGISTRY[name].spec(CONFIGS[name])
    clips = virtual_clips(TAKES, 1, NoiseModel())
    if found.views > 1:
        clips = virtual_views(TAKES, 1, NoiseModel(), found.views)
    keypoints = read_by(found, clips[0])
    assert keypoints.shape == ((150, 4, 17, 2) if found.views > 1 else (150, 17, 2))
    torch.manual_seed(0)
    _, measured = last(evaluate(create(name, CONFIGS[name]), found, clips[:1]))
    assert measured.frames == 150
    assert 0 < measured.p_mpjpe <= measured.mpjpe
    assert np.isnan(measured.up_degrees)


class Shifted(Lifter):
    """Predicts the truth, shifted by 30 mm along x in all joints but the pelvis."""

    def __init__(self, joints):
        super().__init__()
        self.joints = torch.from_numpy(joints)

    def lift(self, x):
        off = torch.zeros(17, 3)
        off[1:, 0] = 0.03
        return LifterOutput((self.joints + off)[None])


def test_millimetres_by_hand():
    (clip,) = virtual_clips([take("test", frames=150)], 0, None)
    spec = LifterSpec("shifted", CLIP_FRAMES, flip_average=False)
    _, measured = last(evaluate(Shifted(clip.joints), spec, [clip]))
    assert measured.mpjpe == pytest.approx(30 * 16 / 17, abs=1e-3)
    assert measured.mpjve == pytest.approx(0, abs=1e-3)
    assert measured.pck == 100


@pytest.mark.parametrize("name", ["motionbert", "motionagformer"])
def test_outputs_in_units_of_the_picture_are_measured_in_metres(name):
    clips = virtual_clips([take("test", frames=150)], 0, None)
    torch.manual_seed(0)
    for config in (CONFIGS[name], replace(CONFIGS[name], person_relative=True)):
        _, measured = last(evaluate(create(name, config), REGISTRY[name].spec(config), clips))
        assert measured.frames == 150
        assert measured.p_mpjpe <= measured.n_mpjpe <= measured.mpjpe
        assert np.isfinite(measured.mpjpe)
