"""Online ids are merged into people over the whole clip; false positives are dropped."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from demo.tracking.tracklets import BoxTrack, MergedTracks, merge_tracklets
from demo.types import Floats, TrackedBox

SIZE = (1000, 800)


def box(x: float, y: float = 400, width: float = 80, height: float = 200) -> list[float]:
    """A box around a centre."""
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def seen(online: int, x: float, score: float = 0.9, **shape: float) -> TrackedBox:
    return TrackedBox(online, np.array(box(x, **shape), np.float32), score, True)


def centres(track: BoxTrack) -> Floats:
    return (track.boxes[:, 0] + track.boxes[:, 2]) / 2


def run(frames: list[list[TrackedBox]], fps: float = 10, **options: int) -> MergedTracks:
    return merge_tracklets(frames, [index / fps for index in range(len(frames))], SIZE, **options)


def test_short_gaps_are_bridged_by_time_and_long_ones_stay_empty():
    times = [0.0, 0.1, 0.2, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3]  # a hole from 0.2 to 0.5
    frames = [[seen(1, 100)], [seen(1, 110)], [], [], [seen(1, 160)], [], [], [], [], [], [seen(1, 220)], []]
    (track,) = merge_tracklets(frames, times, SIZE).tracks
    nan = np.nan
    expected = [100, 110, 120, 150, 160, nan, nan, nan, nan, nan, 220, nan]
    np.testing.assert_allclose(centres(track), expected, rtol=1e-6)
    assert track.observed.tolist() == [bool(boxes) for boxes in frames]
    np.testing.assert_array_equal(track.scores > 0, track.observed)
    assert track.boxes.dtype == track.scores.dtype == np.float32


def test_detect_every_is_bridged_to_the_last_frame():
    frames = [[seen(1, 100 + 10 * t)] if t % 4 == 0 else [] for t in range(11)]
    (track,) = run(frames, fps=5, detect_every=4).tracks  # 0.8 s between detections
    np.testing.assert_allclose(centres(track), [*range(100, 190, 10), 180, 180])
    assert track.observed.sum() == 3


@pytest.mark.parametrize(
    ("second", "gap", "people"),
    [
        (lambda t: seen(2, 300), 8, 1),  # same place
        (lambda t: seen(2, 300 + 10 * t, height=150), 8, 1),  # bent
        (lambda t: seen(2, 370), 8, 1),  # a third of the box's height further
        (lambda t: seen(2, 450), 8, 2),  # three quarters of it
        (lambda t: seen(2, 600), 8, 2),  # elsewhere
        (lambda t: seen(2, 300, width=160, height=400), 8, 2),  # twice as large
        (lambda t: seen(2, 300), 14, 2),  # much later
    ],
)
def test_only_what_obviously_goes_on_is_joined(second: Callable[[int], TrackedBox], gap: int, people: int):
    frames = [[seen(1, 300)] for _ in range(10)] + [[]] * gap + [[second(t)] for t in range(10)]
    result = run(frames)
    assert len(result.tracks) == people
    assert set(result.mapping) == {1, 2}
    assert len(set(result.mapping.values())) == people
    if people == 1:
        assert result.tracks[0].observed.sum() == 20


def test_a_runner_is_joined_along_the_course():
    """30 pixels a frame: 240 pixels further after the gap, more than a box; two standing people are not."""
    at = [100 + 30 * t for t in range(28)]
    frames = [[seen(1 if t < 10 else 2, at[t])] if t < 10 or t >= 18 else [] for t in range(28)]
    assert run(frames).mapping == {1: 1, 2: 1}
    frames = [[seen(1, 370)] if t < 10 else [seen(2, 640)] if t >= 18 else [] for t in range(28)]
    assert len(run(frames).tracks) == 2


def test_ambiguous_continuations_go_to_the_nearest():
    frames = [[seen(1, 300), seen(2, 380)] for _ in range(10)] + [[]] * 3
    frames += [[seen(3, 375), seen(4, 305)] for _ in range(10)]
    mapping = run(frames).mapping
    assert mapping[1] == mapping[4] != mapping[2] == mapping[3]


def test_second_boxes_of_one_person_are_merged():
    whole, upper = {"width": 100.0, "height": 300.0}, {"width": 80.0, "height": 180.0, "y": 342.0}
    frames = [[seen(1, 500, **whole)] + [seen(2, 500, 0.6, **upper)] * (10 <= t < 20) for t in range(40)]
    result = run(frames)
    assert (len(result.tracks), result.mapping) == (1, {1: 1})
    # the second box takes over: its frames belong to the person
    frames = [
        [seen(1, 500, **whole)] * (t < 31) + [seen(2, 500, 0.6, **upper)] * (t >= 30) for t in range(40)
    ]
    result = run(frames)
    assert result.mapping == {1: 1, 2: 1}
    assert result.tracks[0].observed.all()
    assert result.tracks[0].boxes[30].tolist() == pytest.approx(box(500, **whole))  # the whole one where both


@pytest.mark.parametrize("length", [10, 40])
def test_a_child_in_front_of_a_parent_stays(length):
    """They share the lower edge."""
    parent, child = seen(1, 500, width=150, height=400), seen(2, 500, y=500, width=70)
    frames = [[parent] + [child] * (t < length) for t in range(40)]
    assert len(run(frames).tracks) == 2


def test_a_person_half_behind_another_stays():
    frames = [[seen(1, 500, width=100)] + [seen(2, 550, width=100)] * (t < 10) for t in range(40)]
    assert len(run(frames).tracks) == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([100] * 7 + [130, 160, 190], 460),  # starts to run 0.3 s before the gap
        ([*range(100, 370, 30), 385], 640),  # runs; the last box is off by 15 pixels
    ],
)
def test_velocity_is_measured_over_the_last_third_of_a_second(before, after):
    """300 pixels a second; after 0.9 s the person stands where the course leads."""
    frames = [[seen(1, x)] for x in before] + [[]] * 8 + [[seen(2, after)]] * 10
    assert run(frames).mapping == {1: 1, 2: 1}


def test_false_positives_are_dropped():
    frames = [[seen(1, 300)] for _ in range(60)]
    for t in range(15, 21):
        frames[t] = [seen(1, 300), seen(2, 100)]  # 0.2 s
    for t in range(30, 50):
        frames[t] = [seen(1, 300), seen(3, 800, 0.42)]  # never above 0.5
    result = run(frames, fps=30)
    assert result.mapping == {1: 1}


def test_a_third_of_a_second_is_enough():
    frames = [[seen(1, 300)] + [seen(2, 700)] * (20 <= t < 30) for t in range(90)]
    assert len(run(frames, fps=30).tracks) == 2


@pytest.mark.parametrize("length", [1, 2, 5])
def test_tiny_clips_keep_their_people(length):
    frames: list[list[TrackedBox]] = [[seen(1, 300), seen(2, 600, 0.42)] for _ in range(length)]
    frames[-1] = [*frames[-1], seen(3, 800)]  # there in one frame only
    result = run(frames, fps=30)
    assert len(result.tracks) == 3
    assert all(track.observed[-1] for track in result.tracks)


def test_a_clip_without_people():
    assert run([[], [], []]) == MergedTracks((), {})
    assert merge_tracklets([], [], SIZE) == MergedTracks((), {})


def test_one_is_the_main_person():
    large, small = {"width": 160.0, "height": 400.0}, {"width": 40.0, "height": 100.0}
    frames = [[seen(1, 900, **small), seen(2, 40, **large), seen(3, 500, **large)] for _ in range(20)]
    assert run(frames).mapping == {3: 1, 2: 2, 1: 3}  # in the middle, at the edge, far away
    frames = [frame if t < 3 else frame[:1] for t, frame in enumerate(frames)]
    assert run(frames).mapping[3] == 1  # 3 x 160 x 400 beats 20 x 40 x 100 off the centre
    frames = [frame if t < 3 else frame[:1] for t, frame in enumerate(frames * 8)]
    assert run(frames).mapping[1] == 1  # but not when it is there for 3 frames of 160


def test_a_place_at_the_edge_counts_less_than_half():
    """exp(-0.5 (0.46 / 0.35)^2) = 0.42 of 160 x 400 pixels lies between 96 x 400 and 32 x 400 pixels."""
    people = [
        seen(number, x, width=width, height=400)
        for number, x, width in ((1, 40, 160), (2, 480, 96), (3, 530, 32))
    ]
    assert run([people] * 20).mapping == {2: 1, 1: 2, 3: 3}


def test_predicted_boxes_do_not_count():
    guess = TrackedBox(1, np.array(box(900), np.float32), 0.0, False)
    (track,) = run([[seen(1, 300)], [guess], [seen(1, 320)], [guess]]).tracks
    np.testing.assert_allclose(centres(track), [300, 310, 320, np.nan])
