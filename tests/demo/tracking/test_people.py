"""From frames to people: one track with a swap of sides and gaps has the same answer at any frame rate."""

import numpy as np
import pytest

from demo.tracking.candidates import CandidateStore
from demo.tracking.online import PoseTracker
from demo.tracking.people import refine_tracks
from demo.types import SEEN_SCORE
from lifter.skeletons import COCO_17
from tests.demo.tracking.figures import FIGURE
from tests.demo.tracking.test_online import RATES, SIZE, World, at

TRUNK = [0, 1, 2, 3, 4, 5, 6, 11, 12]


class SwappedWalker(World):
    """A figure walks for 3 s at 100 pixels a second.

    The detector misses it from 0.4 s to 1.3 s, its sides are swapped from 1 s to 1.5 s, and it cannot be
    seen from 1.9 s to 2.15 s.
    """

    def __init__(self, fps):
        self.times = np.arange(round(3 * fps)) / fps
        self.lefts = 60 + 100 * self.times
        self.hidden = (self.times > 1.9) & (self.times < 2.15)
        self.swapped = (self.times >= 1) & (self.times < 1.5)
        detected = ~self.hidden & ((self.times < 0.4) | (self.times > 1.3))
        super().__init__(
            [{} if hidden else {"a": left} for left, hidden in zip(self.lefts, self.hidden, strict=True)],
            [[(left, 0.9)] if clear else [] for left, clear in zip(self.lefts, detected, strict=True)],
        )
        self.clear = {"a": 0.9}

    def pose(self, image, box):
        pose = super().pose(image, box)
        return pose[list(COCO_17.mirror)] if self.swapped[at(image)] else pose


@pytest.mark.parametrize("fps", RATES)
def test_a_swap_and_gaps_have_one_answer_at_any_frame_rate(fps):
    world, store = SwappedWalker(fps), CandidateStore()
    for people in PoseTracker(world, world, fps).track(list(world.frames(fps))):
        store.append(people)
    tracks = refine_tracks(store, world.times, SIZE)
    assert tracks.ids.tolist() == [1]
    np.testing.assert_allclose(tracks.boxes[0][:, [0, 2]].mean(axis=1), world.lefts + 50, atol=1.5)
    seen = tracks.keypoints[0][~world.hidden]
    truth = FIGURE * (100, 200) + np.stack([world.lefts, np.full_like(world.lefts, 150)], -1)[:, None]
    np.testing.assert_allclose(seen[:, TRUNK, :2], truth[~world.hidden][:, TRUNK], atol=1e-3)
    assert (seen[:, TRUNK, 2] > SEEN_SCORE).all()
    assert (tracks.keypoints[0][world.hidden][..., 2] < SEEN_SCORE).all()
