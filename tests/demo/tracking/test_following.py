"""People whom the detector loses are followed by their keypoints, and let go when they are gone."""

import numpy as np
import pytest

from demo.pose.estimator import KeypointEstimator
from demo.tracking.following import Follower, body_box
from demo.types import Detections, Frame, TrackedBox

SIZE = (640, 480)
# a standing figure of COCO-17 joints in a unit box: x 0.2..0.8, y 0..1
FIGURE = np.array(
    (
        *((0.5, 0.05), (0.52, 0.02), (0.48, 0.02), (0.55, 0.0), (0.45, 0.0), (0.7, 0.2), (0.3, 0.2)),
        *((0.8, 0.4), (0.2, 0.4), (0.8, 0.55), (0.2, 0.55), (0.6, 0.55), (0.4, 0.55)),
        *((0.6, 0.8), (0.4, 0.8), (0.6, 1.0), (0.4, 1.0)),
    ),
    np.float32,
)


class Walker(KeypointEstimator):
    """A keypoint stage that sees somebody 200 pixels high who walks; outside of their box it sees nothing.

    The place is written into the picture: its first row holds x of the left edge, 0 when nobody is there.
    """

    def estimate(self, items):
        found = []
        for image, boxes in items:
            left, there = float(image[0, 0, 0]) * 2, image[0, 0, 1] > 0
            poses = np.full((len(boxes), 17, 3), (np.nan, np.nan, 0), np.float32)
            for pose, box in zip(poses, boxes, strict=True):
                middle = (box[0] + box[2]) / 2
                if there and abs(middle - (left + 50)) < 60:
                    pose[:, :2] = FIGURE * (100, 200) + (left, 150)
                    pose[:, 2] = 0.8
                else:  # networks see something everywhere, weakly
                    pose[:] = (middle, 250, 0.3)
            found.append(poses)
        return found


def frame(index, left, there=True):
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    image[0, 0] = (left // 2, there, 0)
    return Frame(index, index, index * 0.04, image)


def detected(left, person=1):
    return [TrackedBox(person, np.float32([left + 10, 140, left + 90, 360]), 0.9, True)]


def follow(frames, tracked, chunk=8, detect_in_crops=None):
    follower = Follower(Walker(), detect_in_crops)
    out = []
    for start in range(0, len(frames), chunk):
        out += follower.poses(frames[start : start + chunk], tracked[start : start + chunk])
    return out


@pytest.mark.parametrize("chunk", [1, 3, 16])
def test_follows_a_walker_whom_the_detector_loses_for_a_second(chunk):
    lefts = [100 + 6 * i for i in range(40)]
    frames = [frame(i, left) for i, left in enumerate(lefts)]
    tracked = [detected(left) if not 5 <= i < 30 else [] for i, left in enumerate(lefts)]
    seen = follow(frames, tracked, chunk)
    for left, (people, keypoints) in zip(lefts, seen, strict=True):
        assert [(person.person_id, person.observed) for person in people] == [(1, True)]
        np.testing.assert_allclose(keypoints[0, 0, :, :2], FIGURE * (100, 200) + (left, 150), atol=1e-3)
        x1, _, x2, _ = people[0].box
        assert abs((x1 + x2) / 2 - (left + 50)) < 6


def test_lets_go_of_somebody_who_is_not_there_any_more():
    frames = [frame(i, 200, there=i < 6) for i in range(12)]
    tracked = [detected(200) if i < 4 else [] for i in range(12)]
    counts = [len(people) for people, _ in follow(frames, tracked)]
    assert counts == [1] * 6 + [0] * 6


def test_gives_up_two_seconds_after_the_last_detection():
    frames = [frame(i, 200) for i in range(70)]
    tracked = [detected(200) if i == 0 else [] for i in range(70)]
    counts = [len(people) for people, _ in follow(frames, tracked)]
    assert counts == [1] * 51 + [0] * 19  # 50 frames of 0.04 s


def test_somebody_found_again_under_another_id_is_not_there_twice():
    frames = [frame(i, 200) for i in range(9)]
    tracked = [detected(200) if i < 3 else [] if i < 6 else detected(200, person=2) for i in range(9)]
    ids = [[person.person_id for person in people] for people, _ in follow(frames, tracked)]
    assert ids == [[1]] * 6 + [[2]] * 3


@pytest.mark.parametrize(("before", "after"), [([], [[2]] * 3), (detected(400, person=2), [[2, 1]] * 3)])
def test_a_stranger_beside_somebody_lost_is_that_person(before, after):
    """The boxes overlap by 0.46; somebody who was there all the time may come as near."""
    frames = [frame(i, 200) for i in range(9)]
    tracked = [[*(detected(200) if i < 3 else []), *before] for i in range(6)]
    tracked += [detected(225, person=2)] * 3
    ids = [[person.person_id for person in people] for people, _ in follow(frames, tracked)]
    assert ids[6:] == after


def test_a_box_that_the_tracker_moved_on_is_kept_as_a_guess():
    guess = TrackedBox(7, np.float32([500, 100, 560, 300]), 0.0, False)
    people, keypoints = follow([frame(0, 100)], [[*detected(100), guess]])[0]
    assert [(person.person_id, person.observed) for person in people] == [(1, True), (7, False)]
    assert keypoints.shape == (2, 2, 17, 3)


def test_keypoints_say_more_than_a_faint_detection_unless_they_are_lost():
    faint = TrackedBox(1, np.float32([230, 150, 330, 350]), 0.05, True)
    frames = [frame(i, 200, there=i < 3) for i in range(5)]
    seen = follow(frames, [detected(200), *[[faint]] * 4])
    centres = [(people[0].box[0] + people[0].box[2]) / 2 for people, _ in seen]
    assert centres[1:3] == pytest.approx([250, 250], abs=6)  # of the figure
    assert centres[3:] == [280, 280]  # of the detection
    assert all(person.observed for people, _ in seen for person in people)


class Wader(Walker):
    """Sees the legs (knees and ankles) for the first frames only."""

    def estimate(self, items):
        found = super().estimate(items)
        for (image, _), poses in zip(items, found, strict=True):
            if image[0, 0, 2] == 0:
                poses[:, 13:, 2] = 0.1
        return found


def test_legs_that_fade_stay_in_the_box_for_some_frames_and_walk_along():
    lefts = [100 + 6 * i for i in range(30)]
    frames = [frame(i, left) for i, left in enumerate(lefts)]
    for early in frames[:4]:
        early.image[0, 0, 2] = 1
    follower = Follower(Wader())
    tracked = [detected(left) if i < 3 else [] for i, left in enumerate(lefts)]
    boxes = [people[0].box for people, _ in follower.poses(frames, tracked)]
    feet = 150 + 200  # the lowest joints
    assert all(box[3] > feet for box in boxes[:9])  # a fifth of a second after they faded
    assert all(box[3] < feet for box in boxes[16:])  # half a second after
    for left, box in zip(lefts[3:], boxes[3:], strict=True):
        assert abs((box[0] + box[2]) / 2 - (left + 50)) < 6


class ShortSighted(Walker):
    """Sees knees and ankles in boxes only that reach down to them."""

    def estimate(self, items):
        found = super().estimate(items)
        for (_, boxes), poses in zip(items, found, strict=True):
            poses[boxes[:, 3] < 300, 13:, 2] = 0.1
        return found


@pytest.mark.parametrize("chunk", [1, 16])
def test_legs_that_the_detector_cuts_off_all_of_a_sudden_are_looked_for(chunk):
    cut = [TrackedBox(1, np.float32([210, 140, 290, 270]), 0.9, True)]
    whole = detected(200)
    follower = Follower(ShortSighted())
    frames = [frame(i, 200) for i in range(6)]
    tracked = [whole, whole, cut, cut, cut, cut]
    seen = []
    for start in range(0, 6, chunk):
        seen += follower.poses(frames[start : start + chunk], tracked[start : start + chunk])
    for people, keypoints in seen:
        assert [person.person_id for person in people] == [1]
        assert people[0].box[3] > 350 and people[0].observed and people[0].score == pytest.approx(0.9)
        np.testing.assert_allclose(keypoints[0, 0, :, 2], 0.8)
    # who was never seen whole, or a moment ago, is where the detector says
    late = [frame(0, 200), frame(20, 200)]
    seen = [*Follower(ShortSighted()).poses(late, [whole, cut])]
    np.testing.assert_array_equal(seen[1][0][0].box, cut[0].box)
    np.testing.assert_allclose(seen[1][1][0, 0, 13:, 2], 0.1)


class Couple(KeypointEstimator):
    """Sees the one in front, 200 pixels high at x 200..300, less clearly the wider a box is; in boxes that
    reach far enough to the right the one behind at x 260..360."""

    def estimate(self, items):
        found = []
        for _, boxes in items:
            behind = (boxes[:, 2] > 330)[:, None]
            xy = FIGURE * (100, 200) + np.where(behind, (260, 150), (200, 150))[:, None]
            clear = np.where(behind, 0.6, 1.0 - 0.002 * (boxes[:, 2] - boxes[:, 0])[:, None])
            scores = np.broadcast_to(clear[:, None], (len(boxes), 17, 1))
            found.append(np.concatenate([xy, scores], axis=2).astype(np.float32))
        return found


def test_whose_box_shows_the_one_in_front_is_looked_for_where_they_were():
    front = TrackedBox(1, np.float32([205, 140, 295, 360]), 0.9, True)
    behind = TrackedBox(2, np.float32([265, 140, 355, 360]), 0.5, True)
    both = TrackedBox(2, np.float32([215, 140, 325, 360]), 0.3, True)
    frames = [frame(i, 200) for i in range(7)]
    follower = Follower(Couple())
    for people, keypoints in follower.poses(frames, [[front, behind], *[[front, both]] * 6]):
        assert [person.person_id for person in people] == [1, 2]
        assert people[1].box[2] > 340 and people[1].observed
        np.testing.assert_allclose(keypoints[:, 0, 0, 0], [250, 310])
    # who was never seen elsewhere is where the detector says
    people, keypoints = next(Follower(Couple()).poses(frames[:1], [[front, both]]))
    np.testing.assert_array_equal(people[1].box, both.box)


def test_a_faint_detection_tells_where_to_look_and_joints_where_somebody_is():
    faint = TrackedBox(1, np.float32([200, 140, 260, 240]), 0.05, True)
    frames = [frame(i, 200) for i in range(4)]
    seen = follow(frames, [[faint], [], [], []])
    for people, _ in seen:  # then followed, like anybody else
        assert [(person.person_id, person.observed) for person in people] == [(1, True)]
        np.testing.assert_allclose(people[0].box, [212.8, 120, 287.2, 370], atol=1)
    other = [TrackedBox(2, np.float32([205, 140, 295, 360]), 0.9, True)]
    people, _ = follow(frames[:1], [[*other, faint]])[0]
    np.testing.assert_array_equal(people[1].box, faint.box)  # the joints are those of the other


def closer_look(*boxes):
    def look(image, places):
        return [Detections(np.float32(boxes).reshape(-1, 4), np.full(len(boxes), 0.05, np.float32))] * len(
            places
        )

    return look


def test_a_closer_look_finds_whom_keypoints_have_lost():
    frames = [frame(i, 200, there=i < 3) for i in range(6)]
    tracked = [detected(200) if i == 0 else [] for i in range(6)]
    box, elsewhere = [210, 145, 295, 355], [400, 145, 495, 355]
    seen = follow(frames, tracked, detect_in_crops=closer_look(elsewhere, box))
    assert [[person.person_id for person in people] for people, _ in seen] == [[1]] * 6
    for people, keypoints in seen[3:]:
        np.testing.assert_array_equal(people[0].box, box)
        assert people[0].observed and keypoints[0, 0, :, 0] == pytest.approx(252.5)  # joints within the box


def test_a_closer_look_finds_somebody_who_has_bent_over():
    frames = [frame(i, 200, there=i < 3) for i in range(5)]
    tracked = [detected(200) if i == 0 else [] for i in range(5)]
    bent = [212, 220, 330, 360]  # IoU with where they stood: 0.45
    seen = follow(frames, tracked, detect_in_crops=closer_look(bent))
    assert [[person.person_id for person in people] for people, _ in seen] == [[1]] * 5
    np.testing.assert_array_equal(seen[3][0][0].box, bent)


def test_a_closer_look_does_not_take_one_person_for_another():
    frames = [frame(i, 200, there=i < 3) for i in range(6)]
    other = TrackedBox(2, np.float32([215, 145, 300, 300]), 0.9, True)
    tracked = [detected(200) if i == 0 else [other] if i > 2 else [] for i in range(6)]
    seen = follow(frames, tracked, detect_in_crops=closer_look([210, 145, 295, 355]))
    assert [[person.person_id for person in people] for people, _ in seen] == [[1]] * 3 + [[2]] * 3


def test_nobody_is_looked_for_half_a_second_after_they_were_seen_last():
    frames = [frame(i, 200, there=i < 3) for i in range(40)]
    tracked = [detected(200) if i == 0 else [] for i in range(40)]
    looks = []

    def look(image, places):
        looks.append(places)
        return closer_look()(image, places)

    assert [len(people) for people, _ in follow(frames, tracked, detect_in_crops=look)] == [1] * 3 + [0] * 37
    assert len(looks) == 12  # of 0.04 s


def test_no_box_for_a_body_that_leaves_the_picture():
    body = np.concatenate([FIGURE * (100, 200) + (300, 100), np.full((17, 1), 0.9)], 1).astype(np.float32)
    assert body_box(body, SIZE) is not None
    assert body_box(body + np.float32([290, 0, 0]), SIZE) is None
    body[4:, 2] = 0.1
    assert body_box(body, SIZE) is None  # four joints are no body
