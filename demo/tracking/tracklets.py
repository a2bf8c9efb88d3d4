"""Merge the online tracker's ids into people, over the whole clip.

`merge_tracklets` joins consecutive tracklets of a person, interpolates short gaps, drops false positives and
numbers people by saliency. Its `mapping` goes from online ids to people. `select_person` selects those that
the user asks for.
"""

from __future__ import annotations

import logging
from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from demo.boxes import area, centre, within
from demo.tracking.roles import saliency
from demo.types import Doubles, Floats, TrackedBox

log = logging.getLogger(__name__)

# Chosen with `tools.measure_tracking` (scenes before its first seed) and `tools.measure_clips`.
BRIDGE = 0.5  # seconds up to which gaps get boxes by linear interpolation
JOIN = 1.0  # seconds after its end in which another tracklet may continue one
SHORTEST = 0.25  # seconds that a person must be in the picture
SHORTEST_PART = 0.125  # of a clip: long enough too
WEAKEST = 0.5  # score that a track must reach once
LASTING = 0.5  # of a clip: a track that lasts so long may be weaker
END_TIME = 0.3  # seconds at either end over which a tracklet's velocity and size are measured
MISS = 0.5  # of a box's longer side: a continuation lies nearer to the predicted place
GROWTH = 1.8  # ratio of the square roots of areas: a continuation's is lower
INSIDE = 0.75  # part of a second box of a person that lies inside the first one
SHARED_EDGES = 2  # of a second box with the first one
EDGE = 0.15  # of the box's side: edges that are nearer to each other are shared
BRIEF = 0.5  # of a person's frames: a second box of a person is there in no more of them


@dataclass(frozen=True)
class BoxTrack:
    """One person's boxes over all T frames of a clip.

    boxes: (T, 4) pixels, NaN where absent. scores: (T,), 0 where not observed. observed: (T,) bool, False
    where a box is interpolated.
    """

    person_id: int
    boxes: Floats
    scores: Floats
    observed: NDArray[np.bool_]


@dataclass(frozen=True)
class MergedTracks:
    """People by saliency (ids 1, 2, ...), and the person that each kept online id belongs to."""

    tracks: tuple[BoxTrack, ...]
    mapping: dict[int, int]


@dataclass(frozen=True)
class _Tracklet:
    """Observed boxes of one or more online ids by time. n frames: frames and scores (n,), boxes (n, 4)."""

    ids: tuple[int, ...]
    frames: NDArray[np.int64]
    boxes: Doubles
    scores: Doubles

    def only(self, which: NDArray[np.bool_]) -> _Tracklet:
        """Return the tracklet in some of its frames."""
        return _Tracklet(self.ids, self.frames[which], self.boxes[which], self.scores[which])

    def near(self, times: Doubles, *, end: bool) -> NDArray[np.bool_]:
        """Return which of the boxes lie within `END_TIME` of the tracklet's end or start."""
        at = times[self.frames]
        return np.asarray(at >= at[-1] - END_TIME if end else at <= at[0] + END_TIME)

    def velocity(self, times: Doubles, *, end: bool) -> Doubles:
        """Return the velocity (2,) of the centre, pixels per second, at the start or end."""
        near = self.near(times, end=end)
        if near.sum() < 2:
            return np.zeros(2)
        at = times[self.frames[near]]
        at, centres = at - at.mean(), centre(self.boxes[near])
        return np.asarray(at @ (centres - centres.mean(0)) / (at @ at))

    def side(self, times: Doubles, *, end: bool) -> float:
        """Return the square root of the median box area at the start or end, in pixels."""
        return float(np.sqrt(np.median(area(self.boxes[self.near(times, end=end)]))))


def merge_tracklets(
    frames: Sequence[Sequence[TrackedBox]],
    times: Sequence[float] | Doubles,
    size: tuple[int, int],
    *,
    detect_every: int = 1,
) -> MergedTracks:
    """Merge a clip's online boxes into people.

    Args:
        frames: the boxes of each of the T frames, from the online tracker. Only observed ones count.
        times: (T,) seconds, growing.
        size: width and height of the frame in pixels.
        detect_every: the detector ran on every n-th frame; gaps between two detections are always filled.
    """
    at = np.asarray(times, np.float64)
    step = float(np.median(np.diff(at))) if len(at) > 1 else 1.0
    people = _join(_drop_duplicates(_collect(frames), at, detect_every), at)
    length = len(at) * step

    def real(person: _Tracklet) -> bool:
        span = at[person.frames[-1]] - at[person.frames[0]] + step
        strong = bool(person.scores.max() >= WEAKEST or span >= LASTING * length)
        long = bool(span >= min(SHORTEST, SHORTEST_PART * length) - 1e-9)
        if not (strong and long):
            log.debug("ids %s dropped: %s", person.ids, "too short" if strong else "never detected well")
        return strong and long

    def rank(person: _Tracklet) -> tuple[float, tuple[int, ...]]:
        return -float(saliency(person.boxes[None], size)[0]), person.ids

    people = sorted(filter(real, people), key=rank)
    tracks = []
    for number, person in enumerate(people, 1):
        boxes = _interpolate(person, at, detect_every)
        if len(at) - 1 - person.frames[-1] < detect_every:
            # the detector does not run after the last frame
            boxes[person.frames[-1] + 1 :] = person.boxes[-1]
        scores, observed = np.zeros(len(at), np.float32), np.zeros(len(at), bool)
        scores[person.frames], observed[person.frames] = person.scores, True
        tracks.append(BoxTrack(number, boxes.astype(np.float32), scores, observed))
    mapping = {online: number for number, person in enumerate(people, 1) for online in person.ids}
    return MergedTracks(tuple(tracks), mapping)


def _collect(frames: Sequence[Sequence[TrackedBox]]) -> list[_Tracklet]:
    # Numbers, not objects: a long clip has hundreds of thousands of boxes.
    at: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
    numbers: defaultdict[int, array[float]] = defaultdict(lambda: array("d"))
    for index, boxes in enumerate(frames):
        for box in boxes:
            if box.observed:
                at[box.person_id].append(index)
                numbers[box.person_id].extend((*box.box.tolist(), box.score))
    tracklets = []
    for online, run in at.items():
        columns = np.array(numbers.pop(online)).reshape(-1, 5)
        tracklets.append(_Tracklet((online,), np.array(run), columns[:, :4].copy(), columns[:, 4].copy()))
    return tracklets


def _drop_duplicates(tracklets: list[_Tracklet], times: Doubles, detect_every: int) -> list[_Tracklet]:
    """Drop second boxes of one person, as detectors give of a bent body, whole and without a leg.

    Such a tracklet is shorter than the person's own, lies inside it while both exist and shares edges.
    Frames with only the second box go to the person. A person in front of or behind another one lasts as
    long, or was elsewhere before.
    """
    people: list[_Tracklet] = []
    for tracklet in sorted(tracklets, key=lambda tracklet: -len(tracklet.frames)):
        for index, person in enumerate(people):
            boxes = _interpolate(person, times, detect_every)[tracklet.frames]
            both = np.isfinite(boxes[:, 0])
            if not 0 < both.sum() <= BRIEF * len(person.frames) or not _is_partial_box(
                boxes[both], tracklet.boxes[both]
            ):
                continue
            if not both.all():
                people[index] = _merge([person, tracklet.only(~both)])
            log.debug("ids %s are second boxes of ids %s", tracklet.ids, person.ids)
            break
        else:
            people.append(tracklet)
    return people


def _is_partial_box(whole: Doubles, part: Doubles) -> bool:
    """Return whether boxes `part` (n, 4) are mostly inside `whole` (n, 4) and share edges with it."""
    scale = np.tile(whole[:, 2:] - whole[:, :2], 2)
    shared = (np.abs(whole - part) <= EDGE * scale).sum(1)
    return bool(np.median(within(whole, part)) >= INSIDE and np.median(shared) >= SHARED_EDGES)


def _merge(parts: list[_Tracklet]) -> _Tracklet:
    """Return one tracklet of several that have no frame in common."""
    frames = np.concatenate([part.frames for part in parts])
    order = np.argsort(frames)
    return _Tracklet(
        tuple(online for part in parts for online in part.ids),
        frames[order],
        np.concatenate([part.boxes for part in parts])[order],
        np.concatenate([part.scores for part in parts])[order],
    )


def _join(tracklets: list[_Tracklet], times: Doubles) -> list[_Tracklet]:
    """Chain tracklets end to start, by the assignment of least total cost."""
    from scipy.optimize import linear_sum_assignment

    if not tracklets:
        return []
    cost = np.array([[_cost(first, then, times) for then in tracklets] for first in tracklets])
    pairs = zip(*linear_sum_assignment(np.minimum(cost, 1e6)), strict=True)
    following = {int(first): int(then) for first, then in pairs if np.isfinite(cost[first, then])}
    people = []
    for first in sorted(set(range(len(tracklets))) - set(following.values())):
        chain = [first]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        people.append(_merge([tracklets[index] for index in chain]))
        if len(chain) > 1:
            log.debug("ids %s are one person", people[-1].ids)
    return people


def _cost(first: _Tracklet, then: _Tracklet, times: Doubles) -> float:
    """Return the cost of `then` as a continuation of `first`: 0 to about 2, infinite where impossible.

    Distances are in long sides of the boxes: a person near the camera moves more pixels. Sizes are compared
    by area, which bending and jumping change less than height or width.
    """
    gap = float(times[then.frames[0]] - times[first.frames[-1]])
    if not 0 < gap <= JOIN:
        return np.inf
    before, after = first.boxes[-1], then.boxes[0]
    growth = abs(float(np.log(then.side(times, end=False) / first.side(times, end=True))))
    step = centre(after) - centre(before)
    # the person stood still, went on as before, or came on the later course
    courses = (np.zeros(2), first.velocity(times, end=True), then.velocity(times, end=False))
    scale = np.mean([(box[2:] - box[:2]).max() for box in (before, after)])
    miss = min(float(np.linalg.norm(step - gap * course)) for course in courses) / float(scale)
    if miss > MISS or growth > np.log(GROWTH):
        return np.inf
    return miss + growth + gap / JOIN


def _interpolate(person: _Tracklet, times: Doubles, detect_every: int) -> Doubles:
    """Return a person's boxes (T, 4) over all frames: gaps up to `BRIDGE` filled, else NaN."""
    boxes = np.full((len(times), 4), np.nan)
    boxes[person.frames] = person.boxes
    for before, after in pairwise(person.frames):
        if after - before <= detect_every or times[after] - times[before] <= BRIDGE + 1e-9:
            inside = np.arange(before + 1, after)
            share = (times[inside] - times[before]) / (times[after] - times[before])
            boxes[inside] = boxes[before] + share[:, None] * (boxes[after] - boxes[before])
    return boxes
