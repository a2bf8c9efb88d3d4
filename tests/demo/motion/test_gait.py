"""Cadence of a figure whose steps are made by hand."""

import numpy as np
import pytest

from demo.motion.gait import find_gait
from lifter.skeletons import H36M_17
from tests.lifter.motions import STANDING

LEFT, RIGHT = (H36M_17.joints.index(f"{side}_ankle") for side in ("left", "right"))


def walk(step=0.6, speed=1.2, seconds=6.0, fps=30):
    """(T, 17, 3) and (T,): each foot rests for a step's time and swings for the next one's."""
    times = np.arange(round(seconds * fps)) / fps
    joints = np.repeat(STANDING[None].astype(float), len(times), axis=0)
    joints[..., 1] -= speed * times[:, None]
    for foot, late in ((LEFT, 0.0), (RIGHT, step)):
        phase = (times + late) % (2 * step)
        start = times - phase  # of the stance
        swing = np.clip((phase - step) / step, 0, 1)
        forward = speed * (start + step / 2) + 2 * speed * step * (
            swing - np.sin(2 * np.pi * swing) / (2 * np.pi)
        )
        joints[:, foot, 1] = -forward
    return joints, times


@pytest.mark.parametrize("fps", [10, 25, 30, 120])
@pytest.mark.parametrize("step", [0.5, 0.6])
def test_the_cadence_of_a_walk(step, fps):
    gait = find_gait(*walk(step=step, fps=fps))
    assert gait is not None
    assert gait.cadence == pytest.approx(60 / step, rel=0.03)
    assert gait.speed == pytest.approx(1.2, rel=0.01)


def test_a_walker_who_comes_into_the_picture_late():
    joints, times = walk()
    joints[:40] = np.nan
    gait = find_gait(joints, times)
    assert gait is not None
    assert gait.starts[0] > times[40]
    assert gait.cadence == pytest.approx(100, rel=0.03)


def test_who_stands_or_takes_two_steps_has_no_gait():
    joints, times = walk()
    assert find_gait(np.repeat(STANDING[None], 60, axis=0), np.arange(60) / 30) is None
    assert find_gait(joints[:45], times[:45]) is None
    assert find_gait(joints[:1], times[:1]) is None
    slow, times = walk(speed=0.3)
    assert find_gait(slow, times) is None
