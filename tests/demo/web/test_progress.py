"""Shares and remaining times, computed by hand."""

import pytest

from demo.web.progress import FIRST_PARTS, ProgressMeter
from tests.demo.web.doubles import Clock

PARTS = {"analyse": 0.5, "lift": 0.1, "render": 0.3, "export": 0.1}


@pytest.fixture
def clock():
    return Clock()


def test_the_share_counts_whole_stages_and_the_frames_of_this_one(clock):
    meter = ProgressMeter(PARTS, clock)
    assert meter.progress().share == 0
    for message, share in {
        ("analyse", 25, 100): 0.125,
        ("lift", 0, 1): 0.5,
        ("render", 50, 100): 0.75,
        ("render", 120, 100): 0.9,
        ("export", 0, 1): 0.9,
        ("export", 1, 1): 1.0,
    }.items():
        meter.update(*message)
        assert meter.progress().share == pytest.approx(share)
    meter.update("analyse", 40, 0)  # of unknown length
    assert meter.progress().share == 0
    meter.update("unheard of", 1, 2)
    assert meter.progress().stage == "analyse"


def test_the_remaining_time_follows_from_the_share_and_begins_after_loading(clock):
    meter = ProgressMeter(PARTS, clock)
    clock.now = 100.0  # the networks were loaded
    meter.update("analyse", 1, 100)
    assert meter.progress().remaining is None
    clock.now = 120.0
    meter.update("analyse", 40, 100)  # 20 s for a fifth
    assert meter.progress().remaining == pytest.approx(80)
    meter.update("render", 0, 100)
    clock.now = 130.0
    meter.update("analyse", 20, 100)  # a try again, which begins now
    clock.now = 140.0
    assert meter.progress().remaining == pytest.approx(90)


def test_a_finished_clip_gives_the_parts_of_the_next(clock):
    meter = ProgressMeter(PARTS, clock)
    for now, stage in ((10, "analyse"), (20, "lift"), (22, "render")):
        clock.now = now
        meter.update(stage, 1, 10)
    clock.now = 30
    # 10, 2 and 8 of 20 s share what the silent stage leaves.
    assert meter.measured_parts() == pytest.approx(
        {"analyse": 0.45, "lift": 0.09, "render": 0.36, "export": 0.1}
    )
    assert ProgressMeter(PARTS, clock).measured_parts() == PARTS


def test_the_first_parts_are_those_measured():
    seconds = {"analyse": 46.5, "lift": 5.6, "render": 6.0, "export": 8.2}
    whole = sum(seconds.values())
    assert pytest.approx({stage: took / whole for stage, took in seconds.items()}, abs=0.01) == FIRST_PARTS
    assert sum(FIRST_PARTS.values()) == pytest.approx(1)
