"""People's keypoints frame by frame, also where the detector misses them.

Detectors lose people who crouch, fly or turn away, for a frame or for a second. Where somebody's keypoints
were a moment ago is where they still are, nearly: so between detections the keypoints of the frame before
give the box, for as long as the keypoint network goes on recognising a person in it. Where it does not, the
detector has a closer look at the place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from demo.boxes import area, iou, within
from demo.pose.estimator import KeypointEstimator, missing_keypoints
from demo.tracking.online import MIN_SCORE, SAME_PERSON_OVERLAP
from demo.tracking.shared_keypoints import behind_somebody
from demo.types import Detections, Floats, Frame, Image, TrackedBox

CropDetector = Callable[[Image, Floats], list[Detections]]

_MIN_SCORE = 0.25  # joints with a lower score say nothing about where a person is
_FADED = 0.5  # of the score under the detector's last box: below, the person is not there any more
_RECOGNISED = 0.4  # mean score of joints: above, they tell where somebody is better than a faint detection
_TOUCHED = 0.5  # of the smaller of its box and theirs: below, they are not of whom it found
_JUMPED = 0.4  # IoU of boxes one frame apart: below, the keypoints sit on something else
_SHRUNK = 0.75  # of the area a moment ago: a detector's box below that may have lost somebody's legs
_RECENT_SECONDS = 0.1  # seconds: longer ago, people may well have crouched
_SAME_JOINTS = 0.1  # of a body's longer side: nearer, joints of two people are those of one
_INSIDE = 0.8  # of the smaller box: above, it is a part of the larger one
_TAKEN = 0.5  # IoU with somebody whom the detector sees: above, it is the same person
_NEW_TRACK_IOU = 0.3  # the same for somebody whom it has not seen before, or finds in a closer look
_MAX_COAST_SECONDS = (
    0.5  # seconds for which somebody is looked for where they were, who is nowhere to be seen
)
_SCORE_HALF_LIFE = 0.25  # seconds in which the score of joints that are not seen any more halves
_MARGIN = np.array(
    [0.12, 0.15, 0.12, 0.1], np.float32
)  # of a body around its joints: left, top, right, bottom


@dataclass(frozen=True)
class _Known:
    """A person in the frames before."""

    box: Floats | None  # where they were seen last; None: leaving the picture, perhaps
    joints: Floats  # (17, 3) then; faded ones where they must be, with a falling score
    time: float  # when that was, seconds
    detected: float  # when the detector saw them last in the whole picture
    score: float  # mean score of their joints then


class Follower:
    """Finds the keypoints of tracked people, and follows those whom the detector has lost.

    Args:
        pose: the keypoint stage.
        look_closer: the detector's, at boxes (n, 4) in a picture, where keypoints fail as well.
        longest: seconds for which a person is followed without being detected.
    """

    def __init__(
        self, pose: KeypointEstimator, detect_in_crops: CropDetector | None = None, longest: float = 2.0
    ) -> None:
        self._pose = pose
        self._detect_in_crops = detect_in_crops
        self._longest = longest
        self._known: dict[int, _Known] = {}

    def poses(
        self, frames: Sequence[Frame], tracked: Sequence[Sequence[TrackedBox]]
    ) -> Iterator[tuple[list[TrackedBox], Floats]]:
        """For each of some frames in a row, its people and the candidates (people, 2, 17, 3) of their joints.

        Detected people come as the tracker gave them. Others, who are detected faintly or not at all, come
        with a box from their keypoints, as observed, while they can be followed; else as the tracker gave
        them, if it did.
        """
        detected = [[box for box in boxes if box.observed and box.score > MIN_SCORE] for boxes in tracked]
        found = self._estimate(frames, detected)
        for frame, boxes, seen, keypoints in zip(frames, tracked, detected, found, strict=True):
            strangers = [box for box in seen if box.person_id not in self._known]
            seen, keypoints = self._whole(frame, seen, keypoints)
            self._remember(frame, seen, keypoints)
            followed, theirs = self._follow(frame, seen, strangers)
            there = [*seen, *followed]
            known = {box.person_id for box in there}
            rest = [box for box in boxes if box.person_id not in known]
            guessed = self._estimate([frame], [rest])[0]
            rest = [self._trusted(*each, frame, there) for each in zip(rest, guessed, strict=True)]
            yield [*there, *rest], np.concatenate([keypoints, theirs, guessed])

    def _estimate(self, frames: Sequence[Frame], people: Sequence[Sequence[TrackedBox]]) -> list[Floats]:
        return self._pose.candidates(
            [
                (frame.image, np.array([box.box for box in boxes], np.float32).reshape(-1, 4))
                for frame, boxes in zip(frames, people, strict=True)
            ]
        )

    def _whole(
        self, frame: Frame, people: Sequence[TrackedBox], keypoints: Floats
    ) -> tuple[list[TrackedBox], Floats]:
        """The same people and candidates of their joints; of those whose box has shrunk all of a sudden, or
        shows somebody else's joints, what is seen in the box of a moment ago, if that is better."""
        people, keypoints = list(people), keypoints.copy()
        theirs = _of_somebody_else(people, keypoints[:, 0])
        rows, before = [], []
        for row, person in enumerate(people):
            box = self._box_before(person, frame.time)
            if box is not None and (theirs[row] is not None or _cut_off(person.box, box)):
                rows.append(row)
                before.append(replace(person, box=box))
        for row, person, candidates in zip(rows, before, self._estimate([frame], [before])[0], strict=True):
            box = body_box(candidates[0], frame.image.shape[1::-1])
            if box is None or _overlap(box, person.box) < _JUMPED:
                continue
            if _better(candidates[0], keypoints[row, 0], theirs[row]):
                people[row], keypoints[row] = replace(person, box=box), candidates
        return people, keypoints

    def _box_before(self, person: TrackedBox, time: float) -> Floats | None:
        """Somebody's box of a moment ago."""
        known = self._known.get(person.person_id)
        return known.box if known is not None and time - known.time <= _RECENT_SECONDS else None

    def _trusted(
        self, person: TrackedBox, candidates: Floats, frame: Frame, there: Sequence[TrackedBox]
    ) -> TrackedBox:
        """Somebody whom the detector is not sure of: in the box that their joints tell, if these are sure and
        not those of somebody who is `there`."""
        joints = candidates[0]
        box, score = body_box(joints, frame.image.shape[1::-1]), float(joints[:, 2].mean())
        if not person.observed or box is None or score < _RECOGNISED or _taken(box, there, ()):
            return person
        if within(person.box.astype(np.float64), box.astype(np.float64)) < _TOUCHED:
            return person
        self._known[person.person_id] = _Known(box, joints, frame.time, frame.time, score)
        return replace(person, box=box)

    def _remember(self, frame: Frame, people: Sequence[TrackedBox], keypoints: Floats) -> None:
        for person, points in zip(people, keypoints, strict=True):
            joints = points[0]
            score = float(joints[:, 2].mean())
            known = self._known.get(person.person_id)
            if known is not None:
                joints = _with_what_faded(joints, known, frame.time)
            box = body_box(joints, frame.image.shape[1::-1])
            self._known[person.person_id] = _Known(box, joints, frame.time, frame.time, score)

    def _follow(
        self, frame: Frame, seen: Sequence[TrackedBox], strangers: Sequence[TrackedBox]
    ) -> tuple[list[TrackedBox], Floats]:
        """Everybody who was in the frames before and was not detected in this one.

        `strangers` are those of the seen who were not there before.
        """
        detected = {person.person_id for person in seen}
        lost = []
        for number, known in list(self._known.items()):
            if number in detected:
                continue
            late = frame.time - known.detected > self._longest or frame.time - known.time > _MAX_COAST_SECONDS
            if known.box is None or late or _taken(known.box, seen, strangers):
                del self._known[number]
                continue
            lost.append(TrackedBox(number, known.box, 0.0, True))
        followed, poses, missed = [], [missing_keypoints(0, 2)], []
        for person, candidates in zip(lost, self._estimate([frame], [lost])[0], strict=True):
            known = self._known[person.person_id]
            score = float(candidates[0, :, 2].mean())
            joints = _with_what_faded(candidates[0], known, frame.time)
            box = body_box(joints, frame.image.shape[1::-1])
            if box is None or score < _FADED * known.score or _overlap(box, person.box) < _JUMPED:
                missed.append(person)
                continue
            self._known[person.person_id] = replace(known, box=box, joints=joints, time=frame.time)
            followed.append(TrackedBox(person.person_id, box, score, True))
            poses.append(candidates[None])
        found = self._find_again(frame, missed, [*seen, *followed])
        theirs = self._estimate([frame], [found])[0]
        for person, candidates in zip(found, theirs, strict=True):
            number = person.person_id
            self._known[number] = replace(self._known[number], joints=candidates[0])
        return [*followed, *found], np.concatenate([*poses, theirs])

    def _find_again(
        self, frame: Frame, missed: Sequence[TrackedBox], there: Sequence[TrackedBox]
    ) -> list[TrackedBox]:
        """Those of some people whom the detector finds about where they were."""
        if not missed or self._detect_in_crops is None:
            return []
        found: list[TrackedBox] = []
        places = np.stack([person.box for person in missed])
        for person, near in zip(missed, self._detect_in_crops(frame.image, places), strict=True):
            others = [other.box.astype(np.float64) for other in (*there, *found)]
            for box, score in zip(near.boxes, near.scores, strict=True):
                if _overlap(box, person.box) <= _NEW_TRACK_IOU:
                    continue
                if any(within(box.astype(np.float64), other) > SAME_PERSON_OVERLAP for other in others):
                    continue
                number = person.person_id
                self._known[number] = replace(self._known[number], box=box, time=frame.time)
                found.append(TrackedBox(number, box, float(score), True))
                break
        return found


def body_box(keypoints: Floats, size: tuple[int, ...]) -> Floats | None:
    """The box (4,) of a body around its joints (17, 3), within a picture of `size` (width, height).

    None where fewer than six joints are seen, or the body reaches a side edge: it may be leaving.
    """
    seen = keypoints[keypoints[:, 2] >= _MIN_SCORE, :2]
    if len(seen) < 6:
        return None
    low, high = seen.min(axis=0), seen.max(axis=0)
    span = np.maximum(high - low, 1.0)
    box = np.concatenate([low, high]) + _MARGIN * np.tile(span, 2) * np.array([-1, -1, 1, 1])
    if low[0] < 0 or high[0] > size[0]:
        return None
    box = np.clip(box, 0, np.tile(np.asarray(size), 2)).astype(np.float32)
    return box if area(box.astype(np.float64)) >= 16 else None


def _cut_off(now: Floats, before: Floats) -> bool:
    """Whether a box (4,) is but a part of that of a moment ago."""
    small, large = now.astype(np.float64), before.astype(np.float64)
    return bool(area(small) < _SHRUNK * area(large) and within(small, large) > _INSIDE)


def _of_somebody_else(people: Sequence[TrackedBox], joints: Floats) -> list[Floats | None]:
    """For each of some people with joints (n, 17, 3): those of one who has the same and is surer.

    Where two overlap, a box of both shows the one in front.
    """
    boxes = np.array([person.box for person in people], np.float32).reshape(-1, 4)
    theirs: list[Floats | None] = [None] * len(people)
    for row, other in behind_somebody(joints, boxes):
        if _same_joints(joints[row], joints[other]):
            theirs[row] = joints[other]
    return theirs


def _same_joints(first: Floats, second: Floats) -> bool:
    """Whether most joints (17, 3) that are seen of two people are in the same places."""
    seen = (first[:, 2] >= _MIN_SCORE) & (second[:, 2] >= _MIN_SCORE)
    if not seen.any():
        return False
    apart = np.linalg.norm(first[seen, :2] - second[seen, :2], axis=1)
    return bool(np.median(apart) < _SAME_JOINTS * np.ptp(second[seen, :2], axis=0).max())


def _better(look: Floats, now: Floats, theirs: Floats | None) -> bool:
    """Whether joints (17, 3) of another look are better than those of now, which may be somebody else's."""
    score = look[:, 2].mean()
    if theirs is None:
        return bool(score > now[:, 2].mean())
    return bool(score > _RECOGNISED) and not _same_joints(look, theirs)


def _with_what_faded(joints: Floats, known: _Known, time: float) -> Floats:
    """Joints (17, 3), and in the place of those that are hard to see where they must be: where they were a
    moment ago, moved along with the others. So legs that fade for some frames are not cut off."""
    seen, before = joints[:, 2] >= _MIN_SCORE, known.joints[:, 2] >= _MIN_SCORE
    if not (seen & before).any():
        return joints
    moved = known.joints.copy()
    moved[:, :2] += np.median((joints - known.joints)[seen & before, :2], axis=0)
    moved[:, 2] *= 0.5 ** ((time - known.time) / _SCORE_HALF_LIFE)
    return np.where((before & ~seen)[:, None], moved, joints)


def _overlap(first: Floats, second: Floats) -> float:
    return iou(first.astype(np.float64), second.astype(np.float64))


def _taken(box: Floats, seen: Sequence[TrackedBox], strangers: Sequence[TrackedBox]) -> bool:
    by_strangers = any(_overlap(box, person.box) > _NEW_TRACK_IOU for person in strangers)
    return by_strangers or any(_overlap(box, person.box) > _TAKEN for person in seen)
