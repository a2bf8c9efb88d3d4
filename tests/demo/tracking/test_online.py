"""People keep their ids through misses, crossings, and at any frame rate; false positives do not get one."""

from __future__ import annotations

import numpy as np
import pytest

from demo.pose.estimator import KeypointEstimator, missing_keypoints
from demo.tracking.online import PoseTracker
from demo.tracking.track import Observation, body_box
from demo.types import Detections, Frame
from tests.demo.tracking.figures import FIGURE

SIZE = (640, 480)
RATES = [5, 9, 10, 11, 12.5, 25, 30, 60, 120]


class World(KeypointEstimator):
    """Detector and keypoint network of a world of figures, 100 x 200 pixels.

    people: for each frame {name: left edge of a figure that is there}. found: for each frame the detections
    (left edge, score). The keypoint network sees the figure nearest to a box, with a score of 0.8 or that of
    `clear`, and 0.3 everywhere in an empty box.
    """

    def __init__(self, people, found, near=()):
        self.people, self.found, self.near = people, found, list(near)
        self.clear = {}
        self.hidden_legs = [False] * len(people)
        self.crops = 0

    def frames(self, fps):
        for index in range(len(self.people)):
            image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
            image[0, 0] = index & 255, index >> 8, 1
            yield Frame(index, index, index / fps, image)

    def detect(self, images):
        return [listed(self.found[at(image)]) for image in images]

    def detect_in_crops(self, image, places):
        self.crops += 1
        return [listed(self.near)] * len(places)

    def estimate(self, items):
        return [
            np.stack([self.pose(image, box) for box in boxes]) if len(boxes) else missing_keypoints(0)
            for image, boxes in items
        ]

    def pose(self, image, box):
        if image.shape[:2] != SIZE[::-1]:
            return missing_keypoints()
        middle = (box[0] + box[2]) / 2
        people = self.people[at(image)]
        nearest = min(people, key=lambda name: abs(people[name] + 50 - middle), default=None)
        pose = np.full((17, 3), (middle, 250, 0.3), np.float32)
        if nearest is not None and abs(people[nearest] + 50 - middle) < 45:
            pose[:, :2] = FIGURE * (100, 200) + (people[nearest], 150)
            wide = 0.95 if box[2] - box[0] > 100 else 1.0
            pose[:, 2] = wide * self.clear.get(nearest, 0.8)
            if self.hidden_legs[at(image)] or box[3] < 300:
                pose[13:, 2] = 0.1
        return pose


def at(image):
    return int(image[0, 0, 0]) + 256 * int(image[0, 0, 1])


def listed(found):
    """Detections of (left edge, score) or (x1, y1, x2, y2, score)."""
    boxes = [(f[0] + 10, 140, f[0] + 90, 360) if len(f) == 2 else f[:4] for f in found]
    scores = np.array([f[-1] for f in found], np.float32)
    order = np.argsort(-scores, kind="stable")
    return Detections(np.array(boxes, np.float32).reshape(-1, 4)[order], scores[order])


def follow(world, fps=25.0, chunk=8, detect_every=1):
    tracker, frames, out = PoseTracker(world, world, fps, detect_every), list(world.frames(fps)), []
    for start in range(0, len(frames), chunk):
        out += tracker.track(frames[start : start + chunk])
    return out


def ids(people, observed=True):
    return sorted(people.ids[people.observed == observed].tolist())


def walker(fps, seconds, seen, speed=150.0, score=0.9):
    """Return a person who walks to the right, detected at times for which `seen` holds."""
    times = np.arange(round(seconds * fps)) / fps
    lefts = 60 + speed * times
    return World(
        [{"a": x} for x in lefts],
        [[(x, score)] if seen(t) else [] for x, t in zip(lefts, times, strict=True)],
    )


def last_detected(fps):
    """The last frame before 1.01 s, in seconds."""
    return int(1.01 * fps) / fps


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("chunk", [1, 7])
def test_a_walker_is_followed_by_keypoints_at_any_frame_rate(fps, chunk):
    world = walker(fps, 2.5, lambda t: t < 0.79 or t > 1.81)
    for index, people in enumerate(follow(world, fps, chunk)):
        left = world.people[index]["a"]
        assert ids(people) == [1]
        np.testing.assert_allclose(
            people.candidates[0, 0, :, :2], FIGURE * (100, 200) + (left, 150), atol=1e-3
        )
        assert abs(people.boxes[0, [0, 2]].mean() - (left + 50)) < 6


@pytest.mark.parametrize("fps", RATES)
def test_two_who_cross_keep_their_ids_at_any_frame_rate(fps):
    times = np.arange(round(4 * fps)) / fps
    people = [{"a": 40 + 110 * t, "b": 480 - 120 * t} for t in times]
    # the network's box of the one behind is suppressed while they overlap by more than half
    found = [[(p["a"], 0.9)] + [(p["b"], 0.8)] * int(abs(p["a"] - p["b"]) > 40) for p in people]
    out = follow(World(people, found), fps)
    for name, left in people[-1].items():
        box = out[-1].boxes[out[-1].ids == {"a": 1, "b": 2}[name]][0]
        assert abs(box[[0, 2]].mean() - left - 50) < 10
    assert {number for frame in out for number in frame.ids.tolist()} == {1, 2}


@pytest.mark.parametrize("fps", RATES)
def test_a_runner_has_one_id_from_the_first_frame_at_any_frame_rate(fps):
    """Two body lengths a second: at 5 frames a second a box does not touch the next one."""
    assert [ids(people) for people in follow(walker(fps, 1.2, lambda t: True, speed=400), fps)] == [
        [1]
    ] * round(1.2 * fps)


@pytest.mark.parametrize(("seen", "evidence"), [(6, 0.56), (17, 0.56), (3, 0.315)])
def test_the_best_six_joints_are_the_evidence_of_a_person_who_enters_the_picture(seen, evidence):
    joints = missing_keypoints(2)
    joints[0, :, 2] = 0.1
    joints[0, :seen, 2] = 0.8
    assert Observation(np.zeros(4), 0.7, joints).evidence == pytest.approx(evidence)


@pytest.mark.parametrize("fps", RATES)
def test_a_person_without_detections_is_followed_for_a_limited_time(fps):
    """0.9 * 0.5 ** (t / 1.5) = 0.1 at t = 4.75."""
    world = walker(fps, 7, lambda t: t < 1.01, speed=20)
    last = max(i for i, people in enumerate(follow(world, fps)) if ids(people))
    assert last / fps == pytest.approx(last_detected(fps) + 4.75, abs=1 / fps + 0.01)


@pytest.mark.parametrize("fps", RATES)
def test_a_person_who_left_is_predicted_for_a_second(fps):
    """0.9 * 0.5 ** (t / 0.6) = 0.3 at t = 0.95."""
    world = walker(fps, 5, lambda t: t < 1.01, speed=50)
    for index in range(len(world.people)):
        if index / fps > 1.01:
            world.people[index] = {}
    out = follow(world, fps)
    assert not any(ids(people) for index, people in enumerate(out) if index / fps > 1.01)
    shown = [index for index, people in enumerate(out) if ids(people, observed=False)]
    assert shown[-1] / fps == pytest.approx(last_detected(fps) + 0.95, abs=1 / fps + 0.01)
    for index in shown:
        assert out[index].boxes[0, [0, 2]].mean() == pytest.approx(60 + 50 * index / fps + 50, abs=6)


@pytest.mark.parametrize(("gap", "number"), [(1.2, 1), (2.5, 2)])
@pytest.mark.parametrize("fps", [5, 30])
def test_an_id_is_kept_for_nearly_two_seconds(fps, gap, number):
    world = walker(fps, 5, lambda t: t < 1.01 or t > 1.01 + gap, speed=0)
    for index in range(len(world.people)):
        if 1.01 < index / fps <= 1.01 + gap:
            world.people[index] = {}
    assert ids(follow(world, fps)[-1]) == [number]


@pytest.mark.parametrize(("score", "begins"), [(0.48, False), (0.52, True)])
def test_only_strong_detections_begin_a_track(score, begins):
    """The score times that of the joints, 0.8, must reach 0.4."""
    assert ids(follow(walker(25, 0.2, lambda t: True, score=score))[-1]) == [1] * begins


def test_weak_and_faint_detections_continue_a_track():
    """A weak one keeps it longer than keypoints alone do, a faint one does not."""
    world = walker(25, 8, lambda t: True, speed=0)
    world.found[25:] = [[(60, 0.2)]] * 175
    assert all(ids(people) == [1] for people in follow(world))
    world.found[25:] = [[(60, 0.05)]] * 175
    counts = [len(ids(people)) for people in follow(world)]
    assert counts[:70] == [1] * 70
    assert counts[-20:] == [0] * 20


def test_a_second_box_of_one_person_is_not_another_person():
    world = walker(25, 1, lambda t: True, speed=0)
    world.found[10:] = [[(60, 0.9), (72, 150, 145, 330, 0.6)]] * 15
    assert all(people.ids.tolist() == [1] for people in follow(world))


def test_a_person_near_one_who_left_gets_another_id():
    world = World(
        [{"a": 100}] * 10 + [{}] * 10 + [{"b": 190}] * 10,
        [[(100, 0.9)]] * 10 + [[]] * 10 + [[(190, 0.9)]] * 10,
    )
    assert ids(follow(world)[-1]) == [2]


@pytest.mark.parametrize(("fps", "every"), [(30, 3), (30, 8), (5, 5)])
def test_frames_without_the_detector(fps, every):
    world = walker(fps, 5 * every / fps, lambda t: True, speed=40)
    for people in follow(world, fps, detect_every=every):
        assert people.ids.tolist() == [1]
        assert people.observed.all()


@pytest.mark.parametrize("times", [(-0.2, -0.1, -0.1, -0.3, 0.0), (0.0, 0.0, 0.0, 0.0, 0.0)])
def test_equal_and_decreasing_times_keep_the_track(times, recwarn):
    world = walker(30, 5 / 30, lambda t: True, speed=0)
    tracker = PoseTracker(world, world, 30)
    frames = [Frame(f.index, f.pts, time, f.image) for f, time in zip(world.frames(30), times, strict=True)]
    assert [people.ids.tolist() for people in tracker.track(frames)] == [[1]] * 5
    assert not recwarn.list


def test_frames_without_people():
    (people,) = follow(World([{}], [[]]))
    assert people.candidates.shape == (0, 2, 17, 3)
    assert people.boxes.shape == (0, 4)


def test_legs_that_fade_stay_in_the_box_for_some_frames_and_walk_along():
    world = walker(25, 1.2, lambda t: t < 0.11)
    world.hidden_legs[4:] = [True] * 26
    boxes = [people.boxes[0] for people in follow(world)]
    feet = 350  # the lowest joints
    assert all(box[3] > feet for box in boxes[:6])
    assert all(box[3] < feet for box in boxes[16:])  # half a second after they faded


@pytest.mark.parametrize("chunk", [1, 16])
@pytest.mark.parametrize("fps", [5, 25])
def test_legs_that_the_detector_cuts_off_are_found_by_keypoints(chunk, fps):
    world = walker(fps, 6 / fps, lambda t: True, speed=0)
    world.found[2:] = [[(70, 140, 150, 270, 0.9)]] * 4
    for people in follow(world, fps, chunk):
        assert ids(people) == [1]
        assert people.boxes[0, 3] > 350
        np.testing.assert_allclose(people.candidates[0, 0, :, 2], 0.8)
    alone = World(world.people[:1], [world.found[-1]])  # never seen whole: where the detector says
    assert follow(alone)[0].boxes[0, 3] == 270


def test_a_box_that_shows_the_person_in_front_is_moved_to_where_the_other_was():
    people = [{"front": 200, "behind": 300 - 8 * min(i, 5)} for i in range(10)]
    found = [[(200, 0.9), (p["behind"], 0.6)] for p in people]
    found[6:] = [[(200, 0.9), (215, 140, 325, 360, 0.5)]] * 4  # of both
    world = World(people, found)
    world.clear = {"front": 0.9}
    for frame in follow(world):
        assert ids(frame) == [1, 2]
        lefts = frame.candidates[np.argsort(frame.ids), 0, 0, 0] - 50
        assert lefts[0] == pytest.approx(200)
        assert lefts[1] >= 259


def test_a_box_is_not_moved_to_the_keypoints_of_another_person():
    """The detector cuts off the legs; in a whole box the network finds the person in front."""

    class FrontOnly(World):
        def pose(self, image, box):
            if image.shape[:2] == SIZE[::-1] and box[3] > 320:
                box = np.array([210, 140, 290, 360])
            return super().pose(image, box)

    found = [(200, 0.9), (235, 140, 315, 301, 0.6)]
    world = FrontOnly([{"front": 200, "behind": 225}] * 6, [found] * 6)
    world.clear = {"front": 0.9}
    for frame in follow(world):
        assert ids(frame) == [1, 2]
        np.testing.assert_allclose(frame.boxes[frame.ids == 2, :2], [[235, 140]], atol=5)


def test_a_crop_finds_a_person_lost_by_keypoints():
    world = walker(25, 0.4, lambda t: t < 0.1, speed=0)
    world.people[3:] = [{}] * 7
    world.near = [(300, 0.05), (65, 0.3)]
    for people in follow(world)[3:]:
        assert ids(people) == [1]
        np.testing.assert_array_equal(people.boxes[0], [75, 140, 155, 360])


def test_a_crop_does_not_take_one_person_for_another():
    world = World([{"a": 100}] * 3 + [{"b": 160}] * 6, [[(100, 0.9)]] * 3 + [[(160, 0.9)]] * 6, [(158, 0.3)])
    assert [ids(people) for people in follow(world)[-4:]] in ([[1]] * 4, [[2]] * 4)


def test_no_box_for_a_body_that_leaves_the_picture():
    body = np.concatenate([FIGURE * (100, 200) + (300, 100), np.full((17, 1), 0.9)], 1).astype(np.float32)
    assert body_box(body, SIZE) == pytest.approx([312.8, 70, 387.2, 320], abs=0.1)
    assert body_box(body + np.float32([290, 0, 0]), SIZE) is None
    body[5:, 2] = 0.1
    assert body_box(body, SIZE) is None  # five joints are no body
