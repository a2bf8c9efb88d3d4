"""A person's 2D track to 3D: gaps, missing joints, odd frame rates, any length."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from demo.motion.lifting import (
    LONGEST_GAP,
    even_clock,
    fill_gaps,
    find_segments,
    lift_tracks,
    resample,
    to_lifter_input,
)
from demo.types import Status, Tracks2D
from lifter.metric import LIMBS_LENGTH, limbs_length
from lifter.network import Lifter
from lifter.registry import REGISTRY, create
from lifter.spec import LifterOutput, LifterSpec
from tests.lifter.motions import walk
from tests.lifter.tiny import CONFIGS

SIZE = (200, 100)


class Copy(Lifter):
    """3D = the normalised x and y it was given, so that what arrives can be checked."""

    def lift(self, x):
        joints = torch.cat((x[..., :2], torch.zeros_like(x[..., :1])), -1)
        return LifterOutput(joints, up=torch.tensor([0.0, -1.0, 0.0]).expand(*x.shape[:2], 3))


def moving(frames, fps=30.0):
    """A track that moves 30 px a second to the right, and its times."""
    times = np.arange(frames) / fps
    keypoints = np.ones((frames, 17, 3), np.float32)
    keypoints[..., 0] = 50 + 30 * times[:, None] + np.arange(17)
    keypoints[..., 1] = 40 + np.arange(17)
    boxes = np.zeros((frames, 4), np.float32)
    return Tracks2D(np.array([1], np.int32), boxes[None], keypoints[None]), times


def forget(track, frames):
    track.keypoints[0, frames] = np.nan, np.nan, 0


def spec(**kwargs):
    plain = {"joints": "coco17", "channels": 3, "flip_average": False, "root_relative": False}
    return LifterSpec("copy", 27, **(plain | kwargs))


def test_a_short_gap_is_filled_on_the_straight_line():
    track, times = moving(60)
    truth = track.keypoints.copy()
    forget(track, slice(20, 30))  # a third of a second
    pose = lift_tracks(track, times, SIZE, Copy(), spec())
    assert pose.segments[0] == ((0, 60),)
    assert (pose.status[0, 20:30] == Status.INTERPOLATED).all()
    assert (np.delete(pose.status[0], np.arange(20, 30)) == Status.MEASURED).all()
    np.testing.assert_allclose(pose.keypoints[..., :2], truth[..., :2], atol=1e-3)
    np.testing.assert_allclose(pose.joints[..., 0], truth[..., 0] / 100 - 1, atol=1e-4)


def test_a_long_gap_stays_empty_and_splits_the_track():
    track, times = moving(90)
    forget(track, slice(20, 50))  # a second
    forget(track, slice(0, 5))
    pose = lift_tracks(track, times, SIZE, Copy(), spec())
    assert pose.segments[0] == ((5, 20), (50, 90))
    assert (pose.status[0, :5] == Status.ABSENT).all()
    assert (pose.status[0, 20:50] == Status.LOST).all()
    assert np.isnan(pose.joints[0, 20:50]).all()
    assert np.isfinite(pose.joints[0, 5:20]).all()
    assert np.isnan(pose.up[0, :5]).all()


def test_a_track_without_keypoints_gives_nothing_and_no_error():
    track, times = moving(10)
    forget(track, slice(None))
    pose = lift_tracks(track, times, SIZE, Copy(), spec())
    assert pose.segments[0] == ()
    assert (pose.status == Status.ABSENT).all()
    assert np.isnan(pose.joints).all()


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_clips_shorter_than_the_window(frames):
    track, times = moving(frames)
    pose = lift_tracks(track, times, SIZE, Copy(), spec())
    np.testing.assert_allclose(pose.joints[..., 1], track.keypoints[..., 1] / 100 - 0.5, atol=1e-5)


@pytest.mark.parametrize("fps", [5.0, 12.0, 120.0])
def test_unusual_frame_rates_come_back_on_their_own_frames(fps):
    track, times = moving(40, fps)
    pose = lift_tracks(track, times, SIZE, Copy(), spec())
    np.testing.assert_allclose(pose.joints[..., 0], track.keypoints[..., 0] / 100 - 1, atol=2e-3)


def test_variable_frame_rate_is_lifted_on_an_even_clock():
    times = np.cumsum([0.0, 0.03, 0.03, 0.2, 0.03, 0.03, 0.3, 0.03])
    clock = even_clock(times)
    assert np.diff(clock).std() < 1e-9
    assert 1 / np.diff(clock)[0] == pytest.approx(30, rel=0.1)
    steady = np.arange(50) / 50
    assert even_clock(steady) is steady


def test_a_lifter_without_scores_never_sees_a_hole():
    keypoints = moving(30)[0].keypoints[0]
    keypoints[10:14, 9] = np.nan, np.nan, 0
    keypoints[:, 15] = np.nan, np.nan, 0  # an ankle that is never in the picture
    with_scores = to_lifter_input(keypoints, spec(), SIZE)
    assert (with_scores[:, 15] == 0).all()
    without = to_lifter_input(keypoints, spec(joints="h36m17", channels=2), SIZE)
    assert np.isfinite(without).all()
    # The H36M left wrist is COCO's joint 9; its hole is bridged on the line.
    expected = np.linspace(keypoints[9, 9, 0], keypoints[14, 9, 0], 6) / 100 - 1
    np.testing.assert_allclose(without[9:15, 13, 0], expected, atol=1e-5)


@given(st.lists(st.booleans(), min_size=1, max_size=80), st.floats(5, 60))
def test_segments_cover_every_seen_frame_once_and_hold_no_long_gap(seen, fps):
    seen = np.array(seen)
    times = np.arange(len(seen)) / fps
    covered = np.zeros(len(seen), int)
    for first, end in find_segments(seen, times):
        covered[first:end] += 1
        assert seen[first]
        assert seen[end - 1]
        longest = max(
            (len(run) for run in "".join("x" if s else "." for s in seen[first:end]).split("x")), default=0
        )
        assert longest / fps <= LONGEST_GAP + 1e-6
    assert covered.max(initial=0) <= 1
    assert covered[seen].all()


def test_interpolated_joints_are_trusted_half():
    tracks, times = moving(10)
    keypoints = tracks.keypoints[0]
    keypoints[3, 4] = np.nan, np.nan, 0
    filled = fill_gaps(keypoints, times)
    assert filled[3, 4].tolist() == pytest.approx([54 + 30 * times[3], 44, 0.5])


def test_resampling_there_and_back():
    times = np.array([0.0, 0.1, 0.4, 0.5])
    values = (3 * times + 1)[:, None].astype(np.float32)
    np.testing.assert_allclose(resample(values, times, np.array([0.2, 0.45])), [[1.6], [2.35]], atol=1e-6)


def two_people(frames):
    """Two walking figures in a 1280x720 picture, half a second of one of them hidden, and their times."""
    times = np.arange(frames) / 30
    keypoints = np.empty((2, frames, 17, 3), np.float32)
    motion = walk(max(frames, 2))[:frames]
    coco = motion[:, [10, 10, 10, 10, 10, 11, 14, 12, 15, 13, 16, 4, 1, 5, 2, 6, 3]]
    for person, (left, size) in enumerate(((300, 250), (900, 180))):
        keypoints[person, ..., 0] = left + size * (coco[..., 0] + 0.2 * times[:, None])
        keypoints[person, ..., 1] = 600 - size * coco[..., 2]
        keypoints[person, ..., 2] = 0.9
    keypoints[1, frames // 3 : frames // 3 + 10, 10] = np.nan, np.nan, 0  # a wrist
    keypoints[1, :, 3] = np.nan, np.nan, 0  # an ear that is never seen
    ids, boxes = np.array([1, 2], np.int32), np.zeros((2, frames, 4), np.float32)
    return Tracks2D(ids, boxes, keypoints), times


@pytest.mark.parametrize("frames", [1, 2, 26, 27, 81, 243, 244, 486])
@pytest.mark.parametrize("name", ["motionbert", "motionagformer", "mixste"])
def test_published_sequence_lifters_take_tracks_of_any_length(name, frames):
    torch.manual_seed(0)
    config = replace(CONFIGS[name], frames=27)
    lifter, spec = create(name, config).eval(), REGISTRY[name].spec(config)
    poses = lift_tracks(*two_people(frames), (1280, 720), lifter, spec)
    assert poses.joints.shape == (2, frames, 17, 3)
    assert np.isfinite(poses.joints).all()
    assert (poses.joints[:, :, 0] == 0).all()
    if spec.units == "input":  # whatever the answer, its limbs are a person's
        lengths = np.stack([limbs_length(joints) for joints in poses.joints])
        np.testing.assert_allclose(lengths.mean(1), LIMBS_LENGTH, rtol=0.1)


@pytest.mark.parametrize("name", ["motionbert", "motionagformer"])
def test_published_lifters_with_scores_never_see_a_hole(name):
    spec = REGISTRY[name].spec(CONFIGS[name])
    tracks, _ = two_people(60)
    seen = to_lifter_input(tracks.keypoints[1], spec, (1280, 720))
    whole = to_lifter_input(two_people(60)[0].keypoints[0], spec, (1280, 720))
    assert (np.abs(seen[..., :2]).sum(-1) > 0.05).all()  # a hole would be at 0, 0
    assert seen[20:30, 16, 2].max() == 0  # but with score 0
    assert whole[..., 2].min() > 0.8
