"""Merge online ids into people in one pass over the whole clip.

`merge_tracklets` joins consecutive tracklets of a person, bridges short gaps, drops false positives and
numbers people by saliency. Its `mapping` goes from online ids to people. `select_person` selects those that
the user asked for.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from common.errors import WrongOption
from demo.boxes import area, centre, within
from demo.types import Doubles, Floats, TrackedBox, Tracks2D


@dataclass(frozen=True)
class BoxTrack:
    """One person's boxes over all T frames of a clip.

    boxes: (T, 4) pixels, NaN where the person is not; scores: (T,), 0 where not observed;
    observed: (T,) bool, False where a box was bridged between two detections.
    """

    person_id: int
    boxes: Floats
    scores: Floats
    observed: NDArray[np.bool_]


@dataclass(frozen=True)
class MergedTracks:
    """People by saliency (ids 1, 2, ...), and the person that each kept online id belongs to.

    Where two online ids of one person have a box in a frame, the observed one counts.
    """

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
        """A part of the tracklet's frames."""
        return _Tracklet(self.ids, self.frames[which], self.boxes[which], self.scores[which])

    def near(self, times: Doubles, *, end: bool) -> NDArray[np.bool_]:
        """Which of the boxes lie within 0.3 s of the tracklet's end or start."""
        at = times[self.frames]
        return np.asarray(at >= at[-1] - 0.3 if end else at <= at[0] + 0.3)

    def velocity(self, times: Doubles, *, end: bool) -> Doubles:
        """Velocity (2,) of the centre, pixels per second, over 0.3 s at the tracklet's start or end."""
        near = self.near(times, end=end)
        if near.sum() < 2:
            return np.zeros(2)
        at = times[self.frames[near]]
        at, centres = at - at.mean(), centre(self.boxes[near])
        return np.asarray(at @ (centres - centres.mean(0)) / (at @ at))

    def side(self, times: Doubles, *, end: bool) -> float:
        """Square root of the median box area over 0.3 s at the start or end, in pixels."""
        return float(np.sqrt(np.median(area(self.boxes[self.near(times, end=end)]))))


def merge_tracklets(
    frames: Sequence[Sequence[TrackedBox]],
    times: Sequence[float] | Doubles,
    size: tuple[int, int],
    *,
    detect_every: int = 1,
    bridge: float = 0.5,
    join: float = 1.0,
    shortest: float = 0.25,
    weakest: float = 0.5,
) -> MergedTracks:
    """Turn a whole clip's online boxes into people.

    Args:
        frames: what `PersonTracker.update` returned for each of the T frames. Only observed boxes count.
        times: (T,) seconds, growing.
        size: width and height of the frame in pixels.
        detect_every: as given to `PersonTracker`: the frames between two detections are always bridged.
        bridge: gaps of up to so many seconds get boxes by linear interpolation, `observed` False.
        join: a tracklet that starts at most so many seconds after another one ended, at the same place or on
            the same course and with a similar size, is the same person.
        shortest: a person must be in the picture for so many seconds, or for an eighth of a shorter clip.
        weakest: a track that never scores so much and covers less than half of the clip is a false positive.
    """
    at = np.asarray(times, np.float64)
    step = float(np.median(np.diff(at))) if len(at) > 1 else 1.0
    bridge = max(bridge, 1.5 * detect_every * step)
    people = _join(_merge_duplicates(_collect(frames), at, bridge), at, join)
    length = len(at) * step

    def real(person: _Tracklet) -> bool:
        span = at[person.frames[-1]] - at[person.frames[0]] + step
        seen_well = person.scores.max() >= weakest or span >= length / 2
        return bool(seen_well and span >= min(shortest, length / 8) - 1e-9)

    people = sorted(filter(real, people), key=lambda person: (-_saliency(person, size), person.ids))
    tracks = []
    for number, person in enumerate(people, 1):
        boxes = _bridge_gaps(person, at, bridge)
        if len(at) - 1 - person.frames[-1] < detect_every:
            boxes[person.frames[-1] + 1 :] = person.boxes[
                -1
            ]  # the detector does not run after the last frame
        scores, observed = np.zeros(len(at), np.float32), np.zeros(len(at), bool)
        scores[person.frames], observed[person.frames] = person.scores, True
        tracks.append(BoxTrack(number, boxes.astype(np.float32), scores, observed))
    mapping = {online: number for number, person in enumerate(people, 1) for online in person.ids}
    return MergedTracks(tuple(tracks), mapping)


def select_person(tracks: Tracks2D, person: str) -> Tracks2D:
    """Return the tracks that `--person` asks for: "all", "largest" (the most salient) or one person's id.

    Raises:
        WrongOption: no track has that id.
    """
    if person == "all":
        return tracks
    if person == "largest":
        return tracks.select(slice(1))
    chosen = [at for at, number in enumerate(tracks.ids.tolist()) if str(number) == person]
    if not chosen and len(tracks):
        known = ", ".join(map(str, tracks.ids.tolist()))
        raise WrongOption(f'--person {person}: not in the clip; choose "all", "largest" or one of: {known}')
    return tracks.select(chosen)


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


def _merge_duplicates(tracklets: list[_Tracklet], times: Doubles, bridge: float) -> list[_Tracklet]:
    """Merge second boxes of one person: detectors box a bent body once whole and once without a leg.

    A duplicate is shorter than the person's own tracklet, lies inside it where both exist, and shares edges
    with it. Frames with only the second box go to the person. The tracklet of a person in front of or behind
    another lasts as long, or starts elsewhere, and is kept.
    """
    people: list[_Tracklet] = []
    for tracklet in sorted(tracklets, key=lambda tracklet: -len(tracklet.frames)):
        for index, person in enumerate(people):
            boxes = _bridge_gaps(person, times, bridge)[tracklet.frames]
            both = np.isfinite(boxes[:, 0])
            brief = 0 < both.sum() <= len(person.frames) / 2
            if not brief or not _is_partial_box(boxes[both], tracklet.boxes[both]):
                continue
            if not both.all():
                people[index] = _merge([person, tracklet.only(~both)])
            break
        else:
            people.append(tracklet)
    return people


def _is_partial_box(whole: Doubles, part: Doubles) -> bool:
    """Return whether boxes `part` (n, 4) are mostly inside `whole` (n, 4) and share two or more edges."""
    scale = np.tile(whole[:, 2:] - whole[:, :2], 2)
    shared = (np.abs(whole - part) <= 0.15 * scale).sum(1)
    return bool(np.median(within(whole, part)) >= 0.75 and np.median(shared) >= 2)


def _merge(parts: list[_Tracklet]) -> _Tracklet:
    """Concatenate tracklets that have no frame in common."""
    frames = np.concatenate([part.frames for part in parts])
    order = np.argsort(frames)
    return _Tracklet(
        tuple(online for part in parts for online in part.ids),
        frames[order],
        np.concatenate([part.boxes for part in parts])[order],
        np.concatenate([part.scores for part in parts])[order],
    )


def _join(tracklets: list[_Tracklet], times: Doubles, longest: float) -> list[_Tracklet]:
    """Chain tracklets end to start, by the assignment of least total cost."""
    from scipy.optimize import linear_sum_assignment

    if not tracklets:
        return []
    cost = np.array([[_cost(first, then, times, longest) for then in tracklets] for first in tracklets])
    pairs = zip(*linear_sum_assignment(np.minimum(cost, 1e6)), strict=True)
    following = {int(first): int(then) for first, then in pairs if np.isfinite(cost[first, then])}
    people = []
    for first in sorted(set(range(len(tracklets))) - set(following.values())):
        chain = [first]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        people.append(_merge([tracklets[index] for index in chain]))
    return people


def _cost(first: _Tracklet, then: _Tracklet, times: Doubles, longest: float) -> float:
    """Return the cost of `then` continuing `first`: 0 perfect, about 2 at most when plausible, else infinite.

    Distances are in long sides of the boxes, because a person near the camera moves more pixels. Sizes are
    compared by area: in bends, jumps and somersaults it changes less than height and width.
    """
    gap = float(times[then.frames[0]] - times[first.frames[-1]])
    if not 0 < gap <= longest:
        return np.inf
    before, after = first.boxes[-1], then.boxes[0]
    growth = abs(float(np.log(then.side(times, end=False) / first.side(times, end=True))))
    step = centre(after) - centre(before)
    # standing still, at the velocity before the gap, or at the velocity after it
    courses = (np.zeros(2), first.velocity(times, end=True), then.velocity(times, end=False))
    scale = np.mean([(box[2:] - box[:2]).max() for box in (before, after)])
    miss = min(float(np.linalg.norm(step - gap * course)) for course in courses) / float(scale)
    if miss > 0.5 or growth > np.log(1.8):
        return np.inf
    return miss + growth + gap / longest


def _saliency(person: _Tracklet, size: tuple[int, int]) -> float:
    """Return the area of the boxes summed over frames, weighted by nearness to the middle of the frame."""
    width, height = size
    offset = centre(person.boxes) / (width, height) - 0.5
    prior = np.exp(-0.5 * ((offset / 0.35) ** 2).sum(-1))
    return float((area(person.boxes) * prior).sum())


def _bridge_gaps(person: _Tracklet, times: Doubles, bridge: float) -> Doubles:
    """Interpolate a person's boxes (T, 4) in gaps of up to `bridge` seconds; NaN elsewhere."""
    boxes = np.full((len(times), 4), np.nan)
    boxes[person.frames] = person.boxes
    for before, after in pairwise(person.frames):
        if after - before > 1 and times[after] - times[before] <= bridge + 1e-9:
            inside = np.arange(before + 1, after)
            share = (times[inside] - times[before]) / (times[after] - times[before])
            boxes[inside] = boxes[before] + share[:, None] * (boxes[after] - boxes[before])
    return boxes
