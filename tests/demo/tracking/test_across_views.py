"""One person across views: moving figures, projected into cameras all around."""

import numpy as np
import pytest

from demo.tracking.across_views import likeness, limb_heights, match_person
from demo.types import Tracks2D
from tests.lifter.motions import STANDING

FRAMES = 60
COCO = [10, 10, 10, 10, 10, 11, 14, 12, 15, 13, 16, 4, 1, 5, 2, 6, 3]  # of Human3.6M's joints
CAMERAS = ((0, 5, 0), (80, 20, 8), (170, 10, -15), (265, 30, 4))  # degrees: around, down, rolled


def squats():
    """(T, 17, 3): down and up once a second, the arms going forward and up."""
    depth = (1 - np.cos(2 * np.pi * np.arange(FRAMES) / 30)) / 2
    joints = np.tile(STANDING, (FRAMES, 1, 1))
    upper = [0, 1, 4, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
    joints[:, upper, 2] -= 0.4 * depth[:, None]
    joints[:, [2, 5], 1] -= 0.3 * depth[:, None]
    joints[:, [12, 15], 2] += 0.3 * depth[:, None]
    joints[:, [13, 16], 2] += 0.6 * depth[:, None]
    return joints


def kicks():
    """(T, 17, 3): one leg goes out to the side, and the other arm up, nearly twice a second."""
    lift = (1 - np.cos(2 * np.pi * np.arange(FRAMES) / 18)) / 2
    joints = np.tile(STANDING, (FRAMES, 1, 1))
    joints[:, 5] += lift[:, None] * (0.25, 0.0, 0.15)
    joints[:, 6] += lift[:, None] * (0.6, 0.0, 0.4)
    joints[:, 15] += lift[:, None] * (-0.2, 0.0, 0.25)
    joints[:, 16] += lift[:, None] * (-0.3, 0.0, 0.75)
    return joints


def seen(joints, camera, number, size=400.0, noise=2.0):
    """A track of (T, 17, 3) joints by a far camera (around, down, rolled), `size` pixels a body height."""
    around, down, rolled = np.radians(camera)
    x = joints[..., 0] * np.cos(around) + joints[..., 1] * np.sin(around)
    away = joints[..., 1] * np.cos(around) - joints[..., 0] * np.sin(around)
    y = -joints[..., 2] * np.cos(down) + away * np.sin(down)
    x, y = x * np.cos(rolled) - y * np.sin(rolled), x * np.sin(rolled) + y * np.cos(rolled)
    points = np.stack((x, y), -1)[:, COCO] * size / 1.7 + 500
    points += np.random.default_rng(number).normal(0, noise, points.shape)
    keypoints = np.concatenate((points, np.full((*points.shape[:2], 1), 0.9)), -1).astype(np.float32)
    boxes = np.concatenate((points.min(1), points.max(1)), -1).astype(np.float32)
    return Tracks2D(np.array([number], np.int32), boxes[None], keypoints[None])


def view(*people):
    """Several people's tracks as one view's."""
    return Tracks2D(*(np.concatenate([getattr(p, n) for p in people]) for n in ("ids", "boxes", "keypoints")))


def heights(person):
    return limb_heights(person.boxes[0], person.keypoints[0])


@pytest.fixture
def views():
    """Both people in each view, in turns the one or the other nearer, so that prominence misleads."""
    found = []
    for index, camera in enumerate(CAMERAS):
        near, far = (420, 300) if index % 2 else (300, 420)
        found.append(view(seen(squats(), camera, 10 + index, near), seen(kicks(), camera, 20 + index, far)))
    return found


def people(match):
    return {number // 10 for number in match.ids}


def test_the_same_person_is_selected_in_every_view(views):
    match = match_person(views)
    assert len(people(match)) == 1
    assert match.likeness > 0.6


@pytest.mark.parametrize("person", [1, 2])
def test_of_two_who_move_as_much_the_more_prominent_is_selected(person):
    sizes = {1: (420, 250), 2: (250, 420)}[person]
    views = [
        view(seen(squats(), camera, 10 + index, sizes[0]), seen(kicks(), camera, 20 + index, sizes[1]))
        for index, camera in enumerate(CAMERAS)
    ]
    match = match_person(views)
    assert match.ids == tuple(10 * person + index for index in range(4))


def test_a_person_selected_in_the_first_view_is_found_in_the_others(views):
    first = [views[0].select([1]), *views[1:]]
    assert people(match_person(first)) == {2}


def test_a_view_from_behind_is_more_like_the_same_person_than_like_another():
    front, behind = CAMERAS[0], CAMERAS[2]
    own = likeness(heights(seen(kicks(), front, 1)), heights(seen(kicks(), behind, 2, 250)))
    other = likeness(heights(seen(kicks(), front, 1)), heights(seen(squats(), behind, 2, 250)))
    assert own > 0.7
    assert other < 0.4


def test_people_who_stand_still_are_not_alike_and_prominence_decides():
    still = np.tile(STANDING, (FRAMES, 1, 1))
    views = [
        view(seen(still, camera, 10 + index, 150), seen(still, camera, 20 + index, 400))
        for index, camera in enumerate(CAMERAS)
    ]
    match = match_person(views)
    assert abs(match.likeness) < 0.1
    assert people(match) == {2}


def test_a_brief_track_has_a_low_likeness():
    whole = seen(squats(), CAMERAS[0], 1)
    brief = seen(squats(), CAMERAS[1], 2)
    brief.keypoints[:, 12:] = np.nan, np.nan, 0
    assert likeness(heights(whole), heights(brief)) < 0.25


def test_a_view_without_people_is_an_error():
    with pytest.raises(ValueError, match="without people"):
        match_person([seen(squats(), CAMERAS[0], 1), seen(squats(), CAMERAS[0], 1).select([])])


def test_movement_below_a_fiftieth_of_the_size_counts_as_noise():
    """Signal and noise of equal power make a correlation of a half."""
    moves = np.tile([[0.02], [-0.02]], (10, 12))
    assert likeness(moves, moves) == pytest.approx(0.5)


def mover(number, power, side):
    """A track of 20 frames in a square box; all limb joints but the hips move up and down.

    power: mean square of the limb heights, in units of that of the noise (0.02 of the size).
    """
    keypoints = np.full((1, 20, 17, 3), 0.9, np.float32)
    keypoints[..., :2] = 0
    limbs = [5, 6, 7, 8, 9, 10, 13, 14, 15, 16]
    keypoints[0, ::2, limbs, 1] = 2 * 0.02 * np.sqrt(power * 12 / 10) * side
    return Tracks2D(
        np.array([number], np.int32), np.full((1, 20, 4), (0, 0, side, side), np.float32), keypoints
    )


@pytest.mark.parametrize(("likeness_of_small", "small"), [(0.2, False), (0.45, True)])
def test_prominence_adds_up_to_three_tenths(likeness_of_small, small):
    """A person who stands still, ten times as large in area, is worth 0.3; the small one likeness + 0.03."""
    power = likeness_of_small / (1 - likeness_of_small)
    both = view(mover(1, 0, 100), mover(2, power, 100 * np.sqrt(0.1)))
    match = match_person([both, both])
    assert set(match.ids) == ({2} if small else {1})
    assert match.likeness == pytest.approx(likeness_of_small if small else 0, abs=1e-3)


@pytest.mark.parametrize(("place", "found"), [(5, True), (10, False)])
def test_eight_candidates_of_a_view_are_compared(place, found):
    people = [mover(number, 9 * (number == place), 100) for number in range(12)]
    match = match_person([view(*people), mover(0, 9, 100)])
    assert (match.ids[0] == place) == found
