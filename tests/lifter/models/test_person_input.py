"""Input of lifters for cameras of any kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lifter.clip_camera import ClipCamera
from lifter.inference import lift_track
from lifter.models.blocks import disable_dropout
from lifter.models.person_input import relative_to_person
from lifter.registry import REGISTRY
from lifter.spec import LifterSpec
from tests.lifter.tiny import CONFIGS


def keypoints(*shape, channels):
    x = torch.rand(*shape, 17, channels, generator=torch.Generator().manual_seed(1))
    x[..., :2] -= 0.5
    return x


def test_two_points_by_hand():
    x = torch.tensor([[[1.0, 2.0], [3.0, 2.0]]])[None]  # one frame: the middle is (2, 2), both are 1 away
    assert torch.equal(relative_to_person(x), torch.tensor([[[-1.0, 0.0], [1.0, 0.0]]])[None])


def test_missing_joints_do_not_count_and_end_up_at_0():
    x = torch.tensor([[[1.0, 2.0, 0.5], [3.0, 2.0, 0.9], [77.0, 77.0, 0.0]]])[None]
    expected = torch.tensor([[[-1.0, 0.0, 0.5], [1.0, 0.0, 0.9], [0.0, 0.0, 0.0]]])[None]
    assert torch.equal(relative_to_person(x), expected)
    assert torch.equal(relative_to_person(torch.zeros(1, 2, 17, 3)), torch.zeros(1, 2, 17, 3))


@given(scale=st.floats(0.05, 20), x=st.floats(-3, 3), y=st.floats(-3, 3), channels=st.sampled_from((2, 3)))
def test_neither_place_nor_size_matters(scale, x, y, channels):
    shape = keypoints(2, 5, channels=channels)
    moved = shape.clone()
    moved[..., :2] = scale * shape[..., :2] + torch.tensor((x, y))
    torch.testing.assert_close(
        relative_to_person(moved), relative_to_person(shape), rtol=0, atol=2e-4 * max(1, 1 / scale)
    )


def test_each_view_has_its_own_size():
    views = keypoints(2, 5, 4, channels=2)
    together = relative_to_person(views)
    for view in range(4):
        torch.testing.assert_close(together[:, :, view], relative_to_person(views[:, :, view]))


@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in ("wild", "martinez")])
def test_a_lifter_for_any_camera_does_not_depend_on_distance(name):
    """The same person at half the size in the picture: the same output, by the application's path."""
    config = CONFIGS[name]
    if name == "refinement":
        config = replace(config, pose=replace(config.pose, person_relative=True))
    else:
        config = replace(config, person_relative=True)
    torch.manual_seed(0)
    entry = REGISTRY[name]
    lifter, spec = entry.build(config).eval(), entry.spec(config)
    assert spec.perspective_crop == (spec.views == 1)
    track = _track(spec)
    if spec.views == 1:  # the application also rotates such a lifter's camera towards the person
        assert np.isfinite(lift_track(lifter, spec, track, camera=ClipCamera(2.0)).joints).all()
    near = lift_track(lifter, spec, track, flip=False)
    away = track.copy()
    away[..., :2] = track[..., :2] / 2 + 0.1
    far = lift_track(lifter, spec, away, flip=False)
    np.testing.assert_allclose(near.joints, far.joints, atol=1e-4)
    assert np.ptp(near.joints) > 0.01
    plain = (
        replace(config, pose=JOINTS_PLAIN) if name == "refinement" else replace(config, person_relative=False)
    )
    torch.manual_seed(0)
    other = lift_track(entry.build(plain).eval(), entry.spec(plain), track, flip=False)
    assert np.abs(other.joints - near.joints).max() > 1e-3


JOINTS_PLAIN = CONFIGS["refinement"].pose


def _track(spec: LifterSpec) -> np.ndarray:
    shape = (20,) if spec.views == 1 else (20, spec.views)
    return keypoints(*shape, channels=spec.channels).numpy()


def test_dropout_can_be_switched_off_everywhere():
    for name in ("transformer_posenet", "jointformer", "esmformer", "ktpformer", "crossformer"):
        torch.manual_seed(0)
        lifter, spec = REGISTRY[name].build(CONFIGS[name]), REGISTRY[name].spec(CONFIGS[name])
        x = torch.from_numpy(np.stack([_track(spec)[: spec.frames]] * 2))
        disable_dropout(lifter.train())
        first, second = lifter.lift(x).joints, lifter.lift(x).joints
        assert torch.equal(first, second), name
