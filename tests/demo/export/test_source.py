"""Old files, people, rates: what exporters read from a result."""

import numpy as np
import pytest

from common.errors import UserError
from demo.export.source import (
    at_even_rate,
    frame_rate,
    is_steady,
    joint_status,
    people_with_motion,
    resample,
    select_people,
    shots,
    spans,
)
from demo.types import JointStatus, Status
from tests.demo.export.results import late_and_gap, march, no_people, result_of, two_shots, uneven


def test_a_file_without_joint_states_takes_them_from_the_frames():
    joints = march(3)
    joints[2] = np.nan
    status = np.array([[Status.MEASURED, Status.INTERPOLATED, Status.LOST]], np.uint8)
    states = joint_status(result_of([joints], status=status))
    assert states.shape == (1, 3, 17)
    assert states[0, :, 0].tolist() == [JointStatus.SEEN, JointStatus.INFERRED, JointStatus.MISSING]
    assert shots(result_of([joints])).tolist() == [0, 0, 0]


def test_stored_joint_states_count_but_not_where_there_is_no_position():
    joints = march(2)
    joints[1] = np.nan
    stored = np.full((1, 2, 17), JointStatus.INFERRED, np.uint8)
    states = joint_status(result_of([joints], joint_status=stored))
    assert states[0, :, 3].tolist() == [JointStatus.INFERRED, JointStatus.MISSING]


def test_people_are_chosen_by_id_and_unknown_ones_named():
    chosen = select_people(late_and_gap(), [2])
    assert chosen.person_ids.tolist() == [2]
    assert chosen.joints_world.shape == (1, 31, 17, 3)
    assert chosen.boxes.shape[0] == chosen.status.shape[0] == 1
    with pytest.raises(UserError, match=r"--person 7.*1, 2"):
        select_people(late_and_gap(), [7])
    assert people_with_motion(no_people()) == []


def test_rates():
    assert is_steady(late_and_gap())
    assert not is_steady(uneven())
    assert frame_rate(uneven()) == pytest.approx(30)
    assert frame_rate(result_of([march(1)])) == 30.0
    same, rate = at_even_rate(late_and_gap())
    assert rate == pytest.approx(30)
    assert len(same.times) == 31


def test_a_variable_rate_is_sampled_at_the_usual_step():
    result = uneven()
    result.joints_world[..., 0] += result.times[:, None].astype(np.float32)
    even, rate = at_even_rate(result)
    assert rate == pytest.approx(30)
    np.testing.assert_allclose(np.diff(even.times), 1 / 30)
    assert len(even.times) == 41  # 1.333 s
    np.testing.assert_allclose(even.joints_world[0, :, 0, 0], even.times, atol=1e-6)


def test_resampling_neither_crosses_a_cut_nor_fills_a_gap():
    result = resample(two_shots(), 60.0)
    assert len(result.times) == 61
    x = result.joints_world[0, :, 0, 0]
    assert np.isnan(x[27:32]).any()
    assert set(np.round(x[np.isfinite(x)], 3)) == {0.0, 3.0}
    assert result.shot.tolist() == sorted(result.shot.tolist())
    assert result.status.dtype == np.uint8


def test_several_views_are_resampled_along_their_frames():
    views = np.zeros((1, 4, 31, 17, 3), np.float32)
    views[..., 0] = np.arange(31)[:, None]
    result = result_of([march()], keypoints_2d_views=views)
    sampled = resample(select_people(result, [1]), 60.0)
    assert sampled.keypoints_2d_views.shape == (1, 4, 61, 17, 3)
    np.testing.assert_allclose(sampled.keypoints_2d_views[0, 2, :, 5, 0], np.arange(61) / 2, atol=1e-4)


def test_spans():
    assert spans(np.array([1, 1, 0, 1], bool)) == [(0, 1), (3, 3)]
    assert spans(np.zeros(0, bool)) == []
