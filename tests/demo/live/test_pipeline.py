"""From frames to people in the world: place, floor, past only, and nothing jumps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from common.errors import UserError
from demo.live.level import Level
from demo.live.people import Pose
from demo.live.pipeline import LivePipeline, check_lifter
from demo.types import JointStatus
from lifter.models.person_input import person_spec
from tests.demo.live.scenes import POSE, SIZE, frames, models, project

STILL = [(0.3, 0.1, 4.0)] * 40


def follow(places, fps=30.0):
    pipeline = LivePipeline(models(places), SIZE, fps)
    return [pipeline.step(frame) for frame in frames(len(places), fps)]


def test_a_person_stands_where_the_camera_sees_them():
    live = follow(STILL)[-1]
    (pose,) = live.people
    assert pose.camera == pytest.approx(POSE, abs=0.01)
    ankles = pose.world[[3, 6], 2]
    assert ankles == pytest.approx(0.08, abs=0.03)  # an ankle's height over the sole
    assert pose.world[10, 2] > 1.4
    assert pose.world[0, :2] == pytest.approx((0, 0), abs=0.01)  # the first person begins at the origin
    assert (pose.drawn.joint_status == JointStatus.SEEN).all()


def test_steps_across_and_away_are_metres():
    walk = [(0.3 + 1.0 * min(max(t - 60, 0) / 60, 1), 0.1, 4.0) for t in range(180)]
    first, last = (follow(walk)[at].people[0].world[0] for at in (50, -1))
    assert last - first == pytest.approx((1.0, 0, 0), abs=0.05)
    away = [(0.0, 0.1, 4.0 + 1.0 * min(max(t - 60, 0) / 60, 1)) for t in range(300)]
    first, last = (follow(away)[at].people[0].world[0] for at in (50, -1))
    assert last - first == pytest.approx((0, 1.0, 0), abs=0.1)


def test_the_future_does_not_matter():
    longer = [*STILL, *[(1.0, 0.1, 3.0)] * 10]
    both = [follow(places)[len(STILL) - 1].people[0].world for places in (STILL, longer)]
    assert np.array_equal(*both)


@pytest.mark.parametrize("fps", [5.0, 12.0, 60.0])
def test_the_lifter_reads_thirty_frames_a_second(fps):
    count = round(3 * fps)
    network = models([(0.02 * at / fps, 0.1, 4.0) for at in range(count)])
    pipeline = LivePipeline(network, SIZE, fps)
    for frame in frames(count, fps):
        pipeline.step(frame)
    window = network.lifter.windows[-1]
    assert window.shape == (1, 27, 17, 3)
    steps = np.diff(window[0, :, 5, 0].numpy())
    assert steps == pytest.approx(np.full(26, steps.mean()), rel=0.1, abs=1e-6)


def test_nobody_is_nobody():
    pipeline = LivePipeline(models(STILL), SIZE, 30.0)
    pipeline._tracker._detector.points = [np.full((17, 3), (5.0, 5.0, 0.0))] * 3
    live = [pipeline.step(frame) for frame in frames(3)]
    assert [each.people for each in live] == [()] * 3
    assert live[-1].ground is None


def test_up_and_floor_never_jump():
    level, turn = Level(), np.radians(20)
    before = None
    tilted = np.array(((np.cos(turn), -np.sin(turn), 0), (np.sin(turn), np.cos(turn), 0), (0, 0, 1)))
    for at in range(400):
        rotation = np.eye(3) if at < 100 else tilted  # the camera rolls at once
        joints = (POSE + np.array((0.0, 0.1, 4.0))) @ rotation.T
        pose = Pose(project((0.0, 0.1, 4.0)), joints, rotation @ (0.0, -1.0, 0.0), None)
        ground = level.add({1: pose}, at / 30)
        if before is not None:
            assert np.degrees(np.arccos(np.clip(ground.up @ before.up, -1, 1))) < 1.5
            assert abs(ground.height - before.height) < 0.05
        before = ground
    assert np.degrees(np.arccos(ground.up @ (tilted @ (0.0, -1.0, 0.0)))) < 6


def test_lifters_that_cannot_answer_now():
    check_lifter(person_spec("wild", 81))
    with pytest.raises(UserError, match="middle of 81 frames"):
        check_lifter(replace(person_spec("wild", 81), output="centre"))
    with pytest.raises(UserError, match="one camera"):
        check_lifter(replace(person_spec("wild", 81), views=4))
