"""What the first pass keeps reads like what was put in."""

import numpy as np
import pytest

from demo.tracking.candidates import CandidateStore, FramePeople
from demo.types import TrackedBox


def people(boxes, candidates):
    """One frame's people, of `TrackedBox`es."""
    return FramePeople(
        np.array([box.person_id for box in boxes], np.int64),
        np.array([box.box for box in boxes], np.float32).reshape(-1, 4),
        np.array([box.score for box in boxes], np.float32),
        np.array([box.observed for box in boxes], bool),
        candidates,
    )


def test_frames_come_back_as_they_were_put_in():
    random = np.random.default_rng(3)
    seen, boxes, poses = CandidateStore(), [], []
    for count in (2, 0, 1, 3):
        boxes.append(
            [
                TrackedBox(
                    int(random.integers(1 << 40)), random.random(4).astype(np.float32), 0.25 * n, n == 1
                )
                for n in range(count)
            ]
        )
        poses.append(random.random((count, 2, 17, 3)).astype(np.float32))
        seen.append(people(boxes[-1], poses[-1]))
    assert len(seen) == 4
    for index, frame in enumerate(seen):
        assert [(box.person_id, box.score, box.observed) for box in frame] == [
            (box.person_id, box.score, box.observed) for box in boxes[index]
        ]
        for box, put in zip(frame, boxes[index], strict=True):
            np.testing.assert_array_equal(box.box, put.box)
            assert box.box.dtype == np.float32
    for found, put in zip(seen.keypoints(), poses, strict=True):
        np.testing.assert_array_equal(found, put)
    assert [len(frame) for frame in seen[1:3]] == [0, 1]
    with pytest.raises(IndexError):
        seen[4]


def test_missing_keypoints_stay_missing():
    seen = CandidateStore()
    pose = np.full((1, 2, 17, 3), np.nan, np.float32)
    seen.append(people([TrackedBox(1, np.zeros(4, np.float32), 0.5, True)], pose))
    assert np.isnan(next(seen.keypoints())).all()
