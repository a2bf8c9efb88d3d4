"""Main people, bystanders and `--person`."""

import numpy as np
import pytest

from common.errors import UserError
from demo.tracking.people import join_shots
from demo.tracking.roles import main_people, saliency, select_person
from demo.types import Shots, Tracks2D

SIZE = (1000, 500)
FRAMES = 20


def tracks(*boxes, frames=FRAMES):
    """People who stand still: (x of the middle, height of the box, share of the frames)."""
    out = np.full((len(boxes), frames, 4), np.nan, np.float32)
    for row, (x, height, share) in enumerate(boxes):
        out[row, : round(share * frames)] = (
            x - height / 4,
            250 - height / 2,
            x + height / 4,
            250 + height / 2,
        )
    keypoints = np.zeros((len(boxes), frames, 17, 3), np.float32)
    return Tracks2D(np.arange(1, len(boxes) + 1, dtype=np.int32), out, keypoints)


def test_saliency_counts_area_time_and_nearness_to_the_middle():
    large, small, brief, aside = saliency(
        tracks((500, 400, 1), (500, 200, 1), (500, 400, 0.5), (850, 400, 1)).boxes, SIZE
    )
    assert small == pytest.approx(large / 4)
    assert brief == pytest.approx(large / 2)
    assert aside == pytest.approx(large * np.exp(-0.5))  # .35 of the width aside: one sigma


def test_spectators_are_bystanders_and_an_opponent_is_not():
    found = main_people(tracks((450, 400, 1), (600, 350, 1), (900, 150, 1)), Shots.one(FRAMES), SIZE)
    assert found.tolist() == [True, True, False]


def test_the_share_of_a_main_person_is_between_a_tenth_and_two_fifths_of_the_largest():
    heights = [(500, 400 * share**0.5, 1) for share in (1, 0.39, 0.11)]
    assert main_people(tracks(*heights), Shots.one(FRAMES), SIZE).tolist() == [True, True, False]


def test_every_shot_has_its_own_main_person_and_ids():
    first, second = tracks((500, 400, 1), (900, 100, 1)), tracks((500, 150, 1), frames=10)
    joined = join_shots([first, tracks(frames=3), second])
    shots = Shots(np.repeat(np.arange(3, dtype=np.int32), (20, 3, 10)), (False,) * 3)
    assert joined.ids.tolist() == [1, 2, 3]
    assert joined.boxes.shape == (3, 33, 4)
    assert np.isfinite(joined.boxes[..., 0]).sum(1).tolist() == [20, 20, 10]
    assert np.isfinite(joined.boxes[2, 23:, 0]).all()
    assert main_people(joined, shots, SIZE).tolist() == [True, False, True]
    assert select_person(joined, "main", shots, SIZE).ids.tolist() == [1, 3]


def test_selecting_people():
    shots, people = Shots.one(FRAMES), tracks((500, 200, 1), (500, 400, 1))
    assert select_person(people, "all", shots, SIZE) is people
    assert select_person(people, "main", shots, SIZE).ids.tolist() == [2]
    assert select_person(people, "1", shots, SIZE).ids.tolist() == [1]
    nobody = people.select([])
    assert (
        len(select_person(nobody, "all", shots, SIZE)) == len(select_person(nobody, "main", shots, SIZE)) == 0
    )
    for person in ("3", "0", "tallest", ""):
        with pytest.raises(UserError, match="not in the clip"):
            select_person(people, person, shots, SIZE)
