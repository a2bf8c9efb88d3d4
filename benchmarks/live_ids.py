"""Ids of a live run against those of the offline result of the same clip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from demo.live.pipeline import LiveFrame
from demo.results.result import Result
from demo.tracking.association import oks
from demo.types import Status

SAME_PERSON = 0.5  # OKS: COCO's loosest threshold of a match
SETTLING = 1.0  # seconds at the start in which ids may still change


@dataclass(frozen=True)
class PersonIds:
    """How one offline person is numbered live.

    Attributes:
        person: the offline id. main: is the clip about this person.
        frames: frames compared: measured offline, done live, after the first second.
        found: of them with a live pose that matches.
        same: of them under the live id that most have.
        changes: changes of the live id from one found frame to the next.
    """

    person: int
    main: bool
    frames: int
    found: int
    same: int
    changes: int


def compare_ids(live: Sequence[LiveFrame], offline: Result) -> list[PersonIds]:
    """Match people frame by frame (one to one, by OKS) and count ids, for each offline person.

    Args:
        live: frames whose index is that of the offline result's frame.
    """
    ids: list[list[int | None]] = [[] for _ in offline.person_ids]
    for frame in live:
        if frame.frame.time < SETTLING:
            continue
        people = np.flatnonzero(offline.status[:, frame.frame.index] == Status.MEASURED)
        for person, number in zip(people, _match(frame, offline, people), strict=True):
            ids[person].append(number)
    rows = []
    for row, own in enumerate(ids):
        found = [number for number in own if number is not None]
        same = Counter(found).most_common(1)[0][1] if found else 0
        changes = sum(one != other for one, other in pairwise(found))
        main = offline.main is None or bool(offline.main[row])
        number = int(offline.person_ids[row])
        rows.append(PersonIds(number, main, len(own), len(found), same, changes))
    return rows


def _match(live: LiveFrame, offline: Result, people: np.ndarray) -> list[int | None]:
    """Return the live id that matches each of some offline people in a frame, or None."""
    matched: list[int | None] = [None] * len(people)
    if not live.people or len(people) == 0:
        return matched
    index = live.frame.index
    seen = np.stack([pose.drawn.keypoints for pose in live.people if pose.drawn.keypoints is not None])
    boxes = offline.boxes[people, index].astype(np.float64)
    alike = np.nan_to_num(oks(offline.keypoints_2d[people, index], seen, boxes))
    for row, column in zip(*linear_sum_assignment(-alike), strict=True):
        if alike[row, column] >= SAME_PERSON:
            matched[row] = live.people[column].drawn.person_id
    return matched
