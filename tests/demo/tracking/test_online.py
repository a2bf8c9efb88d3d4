"""People keep their ids through misses, crossings, low and varying frame rates; false positives get none."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from demo.detection.detector import load_detector
from demo.tracking.online import PersonTracker
from demo.tracking.tracklets import BoxTrack, MergedTracks, merge_tracklets
from demo.types import Detections, Floats, TrackedBox

SIZE = (1000, 800)


def box(x: float, y: float = 400, width: float = 80, height: float = 200) -> list[float]:
    """A box around a centre."""
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def found(*boxes: list[float], score: float = 0.9) -> Detections:
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), score, np.float32))


def nearest(boxes: list[TrackedBox], x: float) -> TrackedBox:
    return min(boxes, key=lambda tracked: abs(tracked.box[0] + tracked.box[2] - 2 * x))


def seen(online: int, x: float, score: float = 0.9, **shape: float) -> TrackedBox:
    return TrackedBox(online, np.array(box(x, **shape), np.float32), score, True)


def centres(track: BoxTrack) -> Floats:
    return (track.boxes[:, 0] + track.boxes[:, 2]) / 2


# --- online


def test_an_id_from_the_first_frame_on():
    tracker = PersonTracker(30)
    first = tracker.update(found(box(200), box(700)), 0.0)
    assert [tracked.person_id for tracked in first] == [1, 2]
    assert all(tracked.observed for tracked in first)
    np.testing.assert_array_equal(first[0].box, box(200))
    # order and number of the detections do not matter
    second = tracker.update(found(box(702), box(500), box(203)), 1 / 30)
    assert {round(t.box[0] + 40): t.person_id for t in second} == {203: 1, 702: 2, 500: 3}


def test_frames_without_detections():
    tracker = PersonTracker(30)
    assert tracker.update(found(), 0.0) == []
    assert tracker.update(None, 0.1) == []
    assert len(tracker.update(found(box(300)), 0.2)) == 1


def test_weak_detections_continue_but_never_start():
    tracker = PersonTracker(30)
    assert tracker.update(found(box(300), score=0.3), 0.0) == []
    tracker.update(found(box(300)), 1 / 30)
    tracker.update(found(box(300)), 2 / 30)
    (tracked,) = tracker.update(found(box(302), score=0.2), 3 / 30)
    assert (tracked.person_id, tracked.observed) == (1, True)
    assert tracked.score == pytest.approx(0.2)


def test_weak_detections_recover_lost_tracks():
    def lost_for(frames: int) -> PersonTracker:
        tracker = PersonTracker(30)
        for frame in range(30):
            tracker.update(found(box(300), box(700)), frame / 30)
        for frame in range(30, 30 + frames):
            tracker.update(found(box(700)), frame / 30)
        return tracker

    def observed(tracker: PersonTracker, detections: Detections, frame: int) -> list[int]:
        return sorted(known.person_id for known in tracker.update(detections, frame / 30) if known.observed)

    def with_weak(*boxes: list[float]) -> Detections:
        scores = np.array([0.9] + [0.2] * len(boxes), np.float32)
        return Detections(np.array([box(700), *boxes], np.float32), scores)

    tracker = lost_for(20)
    for frame in range(50, 150):  # and on from there
        assert observed(tracker, with_weak(box(310 + (frame - 50))), frame) == [1, 2]
    for frame in range(150, 153):  # strong again, after the library has dropped the id: the same person
        assert observed(tracker, found(box(700), box(410)), frame) == [1, 2]

    assert observed(lost_for(20), with_weak(box(500)), 50) == [2]  # elsewhere: no track
    assert observed(lost_for(20), with_weak(box(702)), 50) == [2]  # a second box of a present person
    assert observed(lost_for(50), with_weak(box(310)), 80) == [2]  # too long ago


def test_faint_detections_continue_tracks_for_a_limited_time():
    tracker = PersonTracker(30, lost=1.5)
    for frame in range(30):
        tracker.update(found(box(300)), frame / 30)
    observed = []
    for frame in range(30, 120):
        people = tracker.update(found(box(310), box(900), score=0.04), frame / 30)
        observed.append([person.person_id for person in people if person.observed])
    assert observed[:44] == [[1]] * 44  # 1.5 s; no track starts at 900
    assert observed[46:] == [[]] * 44


def test_faint_detections_elsewhere_start_no_track():
    tracker = PersonTracker(30)
    for frame in range(30):
        tracker.update(found(box(300)), frame / 30)
    assert not [person for person in tracker.update(found(box(360), score=0.04), 1.0) if person.observed]


def test_a_weak_box_within_a_present_person_starts_no_track():
    tracker = PersonTracker(30)
    for frame in range(30):
        tracker.update(found(box(300), box(330)), frame / 30)
    for frame in range(30, 40):
        tracker.update(found(box(330)), frame / 30)
    boxes = np.array([box(330), box(318)], np.float32)  # IoU of the second with the lost track: 0.63
    tracked = tracker.update(Detections(boxes, np.array([0.9, 0.2], np.float32)), 40 / 30)
    assert [person.person_id for person in tracked if person.observed] == [2]


@pytest.mark.parametrize("fps", [5.0, 15.0, 30.0, 60.0])
def test_people_who_cross_keep_their_ids(fps):
    tracker = PersonTracker(fps)
    for frame in range(int(4 * fps) + 1):
        time = frame / fps
        left, right = 150 + 150 * time, 850 - 150 * time  # they meet at 2.33 s
        tracked = tracker.update(found(box(left, height=220), box(right, 420)), time)
    assert nearest(tracked, left).person_id == 1
    assert nearest(tracked, right).person_id == 2


def test_a_miss_is_coasted_and_recovered_under_the_same_id():
    tracker = PersonTracker(30)
    for frame in range(30):
        tracker.update(found(box(200 + 4 * frame)), frame / 30)  # 120 pixels a second
    for frame in range(30, 60):  # one second without
        boxes = tracker.update(found(), frame / 30)
        if (frame - 29) / 30 <= 0.5:
            assert not boxes[0].observed
            assert boxes[0].score == 0
            assert (boxes[0].box[0] + boxes[0].box[2]) / 2 == pytest.approx(200 + 4 * frame, abs=4)
        elif (frame - 29) / 30 > 0.51:
            assert boxes == []
    (again,) = tracker.update(found(box(200 + 4 * 60)), 2.0)
    assert (again.person_id, again.observed) == (1, True)


def test_time_decides_not_the_number_of_frames():
    """An id is kept 1.5 s: many frames at 60 fps, one frame after a hole in a variable-rate clip."""
    for gap, person in ((1.2, 1), (3.0, 2)):
        tracker = PersonTracker(60)
        for frame in range(60):
            tracker.update(found(box(300)), frame / 60)
        (tracked,) = tracker.update(found(box(300)), 59 / 60 + gap)
        assert tracked.person_id == person, f"after {gap} s"


def test_equal_and_decreasing_times_keep_the_track(recwarn):
    tracker = PersonTracker(30)
    for time in (-0.2, -0.1, -0.1, -0.3, 0.0):
        (tracked,) = tracker.update(found(box(300)), time)
        assert (tracked.person_id, tracked.observed) == (1, True)
    assert not recwarn.list


@pytest.mark.parametrize(("fps", "every"), [(30, 3), (30, 8), (5, 5)])
def test_frames_without_the_detector(fps, every):
    tracker = PersonTracker(fps, detect_every=every)
    for frame in range(5 * every):
        here = 200 + 60 * frame / fps
        boxes = tracker.update(found(box(here)) if frame % every == 0 else None, frame / fps)
        assert [(t.person_id, t.observed) for t in boxes] == [(1, frame % every == 0)]
        if frame > 2 * every:
            assert nearest(boxes, here).box[0] == pytest.approx(here - 40, abs=12)


# --- the whole clip


def run(frames: list[list[TrackedBox]], fps: float = 10, **options: float) -> MergedTracks:
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
    whole, upper = {"width": 100.0, "height": 300.0}, {"width": 96.0, "height": 180.0, "y": 342.0}
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


def test_a_child_in_front_of_a_parent_stays():
    frames = [[seen(1, 500, width=150, height=400), seen(2, 500, y=500, width=70)] for _ in range(40)]
    assert len(run(frames).tracks) == 2


def test_false_positives_are_dropped():
    frames = [[seen(1, 300)] for _ in range(60)]
    for t in (20, 21):
        frames[t] = [seen(1, 300), seen(2, 100)]  # two frames at 30 fps
    for t in range(30, 50):
        frames[t] = [seen(1, 300), seen(3, 800, 0.42)]  # never a high score
    result = run(frames, fps=30)
    assert result.mapping == {1: 1}


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
    frames = [frame if t < 2 else frame[:1] for t, frame in enumerate(frames)]
    assert run(frames, shortest=0.1).mapping[3] == 1  # 2 x 160 x 400 beats 20 x 40 x 100 off the centre
    frames = [frame if t < 1 else frame[:1] for t, frame in enumerate(frames * 3)]
    assert run(frames, shortest=0.0).mapping[1] == 1  # but not when it is there for one frame of 60


def test_extrapolated_boxes_do_not_count():
    extrapolated = TrackedBox(1, np.array(box(900), np.float32), 0.0, False)
    (track,) = run([[seen(1, 300)], [extrapolated], [seen(1, 320)], [extrapolated]]).tracks
    np.testing.assert_allclose(centres(track), [300, 310, 320, np.nan])


def test_park_the_man_is_one_person_through_a_somersault(shared):
    """Of 230 frames, every 3rd is given to the detector. Places read off the picture by eye."""
    detector = load_detector(shared / "weights" / "yolo11n-standin.pt", "cpu")
    clip = cv2.VideoCapture(str(shared / "videos" / "park.mp4"))
    tracker = PersonTracker(30, detect_every=3)
    frames, index = [], 0
    while clip.grab():
        detections = None
        if index % 3 == 0:
            detections = detector.detect([np.asarray(clip.retrieve()[1], np.uint8)])[0]
        frames.append(tracker.update(detections, index / 30))
        index += 1
    result = merge_tracklets(frames, [t / 30 for t in range(len(frames))], (1768, 994), detect_every=3)
    assert len(frames) == 230
    man, woman = result.tracks
    for track, frame, x, y in (
        (man, 0, 650, 268),
        (man, 208, 1220, 775),
        (woman, 41, 1500, 750),
        (woman, 188, 160, 725),
    ):
        x1, y1, x2, y2 = track.boxes[frame]
        assert x1 < x < x2, f"person {track.person_id}, frame {frame}"
        assert y1 < y < y2, f"person {track.person_id}, frame {frame}"
        assert abs((x1 + x2) / 2 - x) < 60
