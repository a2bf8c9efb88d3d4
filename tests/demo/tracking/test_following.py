"""People that the detector misses are followed by their keypoints, and dropped when they are gone."""

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
    """A keypoint stage that finds a walking person 200 pixels high, in boxes around that person only.

    The place is written into the picture: its first pixel holds half of the left edge's x and a flag that a
    person is present.
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
                else:  # networks find joints everywhere, with low scores
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
def test_follows_a_walker_missed_by_the_detector_for_a_second(chunk):
    lefts = [100 + 6 * i for i in range(40)]
    frames = [frame(i, left) for i, left in enumerate(lefts)]
    tracked = [detected(left) if not 5 <= i < 30 else [] for i, left in enumerate(lefts)]
    seen = follow(frames, tracked, chunk)
    for left, (people, keypoints) in zip(lefts, seen, strict=True):
        assert [(person.person_id, person.observed) for person in people] == [(1, True)]
        np.testing.assert_allclose(keypoints[0, 0, :, :2], FIGURE * (100, 200) + (left, 150), atol=1e-3)
        x1, _, x2, _ = people[0].box
        assert abs((x1 + x2) / 2 - (left + 50)) < 6


def test_drops_a_person_who_has_gone():
    frames = [frame(i, 200, there=i < 6) for i in range(12)]
    tracked = [detected(200) if i < 4 else [] for i in range(12)]
    counts = [len(people) for people, _ in follow(frames, tracked)]
    assert counts == [1] * 6 + [0] * 6


def test_stops_two_seconds_after_the_last_detection():
    frames = [frame(i, 200) for i in range(70)]
    tracked = [detected(200) if i == 0 else [] for i in range(70)]
    counts = [len(people) for people, _ in follow(frames, tracked)]
    assert counts == [1] * 51 + [0] * 19  # 50 frames of 0.04 s


def test_a_new_track_replaces_a_lost_one():
    frames = [frame(i, 200) for i in range(9)]
    tracked = [detected(200) if i < 3 else [] if i < 6 else detected(200, person=2) for i in range(9)]
    ids = [[person.person_id for person in people] for people, _ in follow(frames, tracked)]
    assert ids == [[1]] * 6 + [[2]] * 3


@pytest.mark.parametrize(("before", "after"), [([], [[2]] * 3), (detected(400, person=2), [[2, 1]] * 3)])
def test_a_new_track_near_a_lost_one_replaces_it(before, after):
    """The boxes overlap by 0.46; a track that existed before may come as near."""
    frames = [frame(i, 200) for i in range(9)]
    tracked = [[*(detected(200) if i < 3 else []), *before] for i in range(6)]
    tracked += [detected(225, person=2)] * 3
    ids = [[person.person_id for person in people] for people, _ in follow(frames, tracked)]
    assert ids[6:] == after


def test_a_box_extrapolated_by_the_tracker_is_kept_as_unobserved():
    extrapolated = TrackedBox(7, np.float32([500, 100, 560, 300]), 0.0, False)
    people, keypoints = follow([frame(0, 100)], [[*detected(100), extrapolated]])[0]
    assert [(person.person_id, person.observed) for person in people] == [(1, True), (7, False)]
    assert keypoints.shape == (2, 2, 17, 3)


def test_keypoints_replace_a_faint_detection_unless_their_score_is_low():
    faint = TrackedBox(1, np.float32([230, 150, 330, 350]), 0.05, True)
    frames = [frame(i, 200, there=i < 3) for i in range(5)]
    seen = follow(frames, [detected(200), *[[faint]] * 4])
    centres = [(people[0].box[0] + people[0].box[2]) / 2 for people, _ in seen]
    assert centres[1:3] == pytest.approx([250, 250], abs=6)  # of the figure
    assert centres[3:] == [280, 280]  # of the detection
    assert all(person.observed for people, _ in seen for person in people)


class Wader(Walker):
    """Finds the legs (knees and ankles) in the first frames only."""

    def estimate(self, items):
        found = super().estimate(items)
        for (image, _), poses in zip(items, found, strict=True):
            if image[0, 0, 2] == 0:
                poses[:, 13:, 2] = 0.1
        return found


def test_legs_that_fade_are_extrapolated_for_some_frames():
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


class Cropped(Walker):
    """Finds knees and ankles in boxes only that reach down to them."""

    def estimate(self, items):
        found = super().estimate(items)
        for (_, boxes), poses in zip(items, found, strict=True):
            poses[boxes[:, 3] < 300, 13:, 2] = 0.1
        return found


@pytest.mark.parametrize("chunk", [1, 16])
def test_a_box_that_suddenly_lacks_the_legs_is_restored(chunk):
    cut = [TrackedBox(1, np.float32([210, 140, 290, 270]), 0.9, True)]
    whole = detected(200)
    follower = Follower(Cropped())
    frames = [frame(i, 200) for i in range(6)]
    tracked = [whole, whole, cut, cut, cut, cut]
    seen = []
    for start in range(0, 6, chunk):
        seen += follower.poses(frames[start : start + chunk], tracked[start : start + chunk])
    for people, keypoints in seen:
        assert [person.person_id for person in people] == [1]
        assert people[0].box[3] > 350 and people[0].observed and people[0].score == pytest.approx(0.9)
        np.testing.assert_allclose(keypoints[0, 0, :, 2], 0.8)
    # without a recent whole box, the detected one stays
    late = [frame(0, 200), frame(20, 200)]
    seen = [*Follower(Cropped()).poses(late, [whole, cut])]
    np.testing.assert_array_equal(seen[1][0][0].box, cut[0].box)
    np.testing.assert_allclose(seen[1][1][0, 0, 13:, 2], 0.1)


class Couple(KeypointEstimator):
    """Finds the one in front, 200 pixels high at x 200..300, with a lower score in a wider box.

    In boxes that reach far enough to the right it finds the one behind at x 260..360.
    """

    def estimate(self, items):
        found = []
        for _, boxes in items:
            behind = (boxes[:, 2] > 330)[:, None]
            xy = FIGURE * (100, 200) + np.where(behind, (260, 150), (200, 150))[:, None]
            clear = np.where(behind, 0.6, 1.0 - 0.002 * (boxes[:, 2] - boxes[:, 0])[:, None])
            scores = np.broadcast_to(clear[:, None], (len(boxes), 17, 1))
            found.append(np.concatenate([xy, scores], axis=2).astype(np.float32))
        return found


def test_a_box_that_shows_the_occluder_is_restored():
    front = TrackedBox(1, np.float32([205, 140, 295, 360]), 0.9, True)
    behind = TrackedBox(2, np.float32([265, 140, 355, 360]), 0.5, True)
    both = TrackedBox(2, np.float32([215, 140, 325, 360]), 0.3, True)
    frames = [frame(i, 200) for i in range(7)]
    follower = Follower(Couple())
    for people, keypoints in follower.poses(frames, [[front, behind], *[[front, both]] * 6]):
        assert [person.person_id for person in people] == [1, 2]
        assert people[1].box[2] > 340 and people[1].observed
        np.testing.assert_allclose(keypoints[:, 0, 0, 0], [250, 310])
    # without a box before, the detected one stays
    people, keypoints = next(Follower(Couple()).poses(frames[:1], [[front, both]]))
    np.testing.assert_array_equal(people[1].box, both.box)


def test_a_faint_detection_starts_following_and_joints_give_its_box():
    faint = TrackedBox(1, np.float32([200, 140, 260, 240]), 0.05, True)
    frames = [frame(i, 200) for i in range(4)]
    seen = follow(frames, [[faint], [], [], []])
    for people, _ in seen:  # then followed like others
        assert [(person.person_id, person.observed) for person in people] == [(1, True)]
        np.testing.assert_allclose(people[0].box, [212.8, 120, 287.2, 370], atol=1)
    other = [TrackedBox(2, np.float32([205, 140, 295, 360]), 0.9, True)]
    people, _ = follow(frames[:1], [[*other, faint]])[0]
    np.testing.assert_array_equal(people[1].box, faint.box)  # the joints are those of the other


def redetect(*boxes):
    def detect_in_crops(image, places):
        return [Detections(np.float32(boxes).reshape(-1, 4), np.full(len(boxes), 0.05, np.float32))] * len(
            places
        )

    return detect_in_crops


def test_a_person_is_redetected_where_keypoints_fail():
    frames = [frame(i, 200, there=i < 3) for i in range(6)]
    tracked = [detected(200) if i == 0 else [] for i in range(6)]
    box, elsewhere = [210, 145, 295, 355], [400, 145, 495, 355]
    seen = follow(frames, tracked, detect_in_crops=redetect(elsewhere, box))
    assert [[person.person_id for person in people] for people, _ in seen] == [[1]] * 6
    for people, keypoints in seen[3:]:
        np.testing.assert_array_equal(people[0].box, box)
        assert people[0].observed and keypoints[0, 0, :, 0] == pytest.approx(252.5)  # joints within the box


def test_a_person_who_has_bent_over_is_redetected():
    frames = [frame(i, 200, there=i < 3) for i in range(5)]
    tracked = [detected(200) if i == 0 else [] for i in range(5)]
    bent = [212, 220, 330, 360]  # IoU with where they stood: 0.45
    seen = follow(frames, tracked, detect_in_crops=redetect(bent))
    assert [[person.person_id for person in people] for people, _ in seen] == [[1]] * 5
    np.testing.assert_array_equal(seen[3][0][0].box, bent)


def test_another_person_is_not_redetected():
    frames = [frame(i, 200, there=i < 3) for i in range(6)]
    other = TrackedBox(2, np.float32([215, 145, 300, 300]), 0.9, True)
    tracked = [detected(200) if i == 0 else [other] if i > 2 else [] for i in range(6)]
    seen = follow(frames, tracked, detect_in_crops=redetect([210, 145, 295, 355]))
    assert [[person.person_id for person in people] for people, _ in seen] == [[1]] * 3 + [[2]] * 3


def test_redetection_stops_half_a_second_after_the_last_box():
    frames = [frame(i, 200, there=i < 3) for i in range(40)]
    tracked = [detected(200) if i == 0 else [] for i in range(40)]
    calls = []

    def detect_in_crops(image, places):
        calls.append(places)
        return redetect()(image, places)

    seen = follow(frames, tracked, detect_in_crops=detect_in_crops)
    assert [len(people) for people, _ in seen] == [1] * 3 + [0] * 37
    assert len(calls) == 12  # of 0.04 s


def test_no_box_for_a_body_that_leaves_the_picture():
    body = np.concatenate([FIGURE * (100, 200) + (300, 100), np.full((17, 1), 0.9)], 1).astype(np.float32)
    assert body_box(body, SIZE) is not None
    assert body_box(body + np.float32([290, 0, 0]), SIZE) is None
    body[4:, 2] = 0.1
    assert body_box(body, SIZE) is None  # four joints are no body
