"""People's keypoints frame by frame, also where the detector misses them.

Detectors miss people who crouch, fly or turn away, for a frame or for a second. A person moves little from
frame to frame. So between detections the keypoints of the frame before give the box, as long as the keypoint
scores stay high in it. Where they do not, the detector runs again on a crop around the last box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from demo.boxes import area, iou, within
from demo.pose.estimator import KeypointEstimator, missing_keypoints
from demo.tracking.online import MIN_SCORE, SAME_PERSON_OVERLAP
from demo.tracking.shared_keypoints import occluded_pairs
from demo.types import Detections, Floats, Frame, Image, TrackedBox

CropDetector = Callable[[Image, Floats], list[Detections]]

_MIN_SCORE = 0.25  # of a joint: below, its place is unreliable
_MIN_SCORE_RATIO = 0.5  # of the mean score at the last detection: below, a followed person is dropped
_RELIABLE_SCORE = 0.4  # mean score of joints: above, their box replaces that of a faint detection
_MIN_OVERLAP = 0.5  # of the smaller of detected box and keypoint box: below, they show different people
_CONTINUATION_IOU = 0.4  # of boxes one frame apart: below, the keypoints are those of something else
_CUT_OFF_AREA = 0.75  # of the recent box's area: a detected box below that may lack the legs
_RECENT_SECONDS = 0.1  # seconds: longer ago, a smaller box may well be a crouching person
_SAME_POSE_DISTANCE = 0.1  # of a body's longer side: median distance below which two poses are the same
_PART_OVERLAP = 0.8  # of the smaller box within the larger: above, it is a part of it
_SAME_PERSON_IOU = 0.5  # above, a followed box and a detected one show the same person
_NEW_TRACK_IOU = 0.3  # IoU above which a new or re-detected track replaces a lost one
_MAX_COAST_SECONDS = 0.5  # seconds for which an undetected person is searched at the last box
_SCORE_HALF_LIFE = 0.25  # seconds in which the score of a joint below _MIN_SCORE halves
_MARGIN = np.array(
    [0.12, 0.15, 0.12, 0.1], np.float32
)  # of a body around its joints: left, top, right, bottom


@dataclass(frozen=True)
class _TrackState:
    """A person in the frames before.

    box: (4,) pixels, None where the person may be leaving the picture. joints: (17, 3) pixels and score;
    faded joints are extrapolated, with a falling score. time: seconds of this box. detected: seconds of the
    last detection in the whole picture. score: mean score of the joints at that detection.
    """

    box: Floats | None
    joints: Floats
    time: float
    detected: float
    score: float


class Follower:
    """Finds the keypoints of tracked people, and follows those that the detector misses.

    Args:
        pose: the keypoint stage.
        detect_in_crops: detects people in crops around boxes (n, 4) of a picture, where keypoints fail as
            well; None does not.
        longest: seconds for which a person is followed without being detected.
    """

    def __init__(
        self, pose: KeypointEstimator, detect_in_crops: CropDetector | None = None, longest: float = 2.0
    ) -> None:
        self._pose = pose
        self._detect_in_crops = detect_in_crops
        self._longest = longest
        self._tracks: dict[int, _TrackState] = {}

    def poses(
        self, frames: Sequence[Frame], tracked: Sequence[Sequence[TrackedBox]]
    ) -> Iterator[tuple[list[TrackedBox], Floats]]:
        """Yield the people of consecutive frames and their keypoint candidates (people, 2, 17, 3).

        Detected people keep the tracker's box. Those detected faintly or not at all get an observed box from
        their keypoints while they can be followed, else the tracker's box if there is one.
        """
        detected = [[box for box in boxes if box.observed and box.score > MIN_SCORE] for boxes in tracked]
        estimates = self._estimate(frames, detected)
        for frame, boxes, seen, keypoints in zip(frames, tracked, detected, estimates, strict=True):
            new = [box for box in seen if box.person_id not in self._tracks]
            seen, keypoints = self._restore_boxes(frame, seen, keypoints)
            self._update(frame, seen, keypoints)
            followed, followed_keypoints = self._follow(frame, seen, new)
            present = [*seen, *followed]
            ids = {box.person_id for box in present}
            rest = [box for box in boxes if box.person_id not in ids]
            rest_keypoints = self._estimate([frame], [rest])[0]
            rest = [
                self._refine_faint(*each, frame, present) for each in zip(rest, rest_keypoints, strict=True)
            ]
            yield [*present, *rest], np.concatenate([keypoints, followed_keypoints, rest_keypoints])

    def _estimate(self, frames: Sequence[Frame], people: Sequence[Sequence[TrackedBox]]) -> list[Floats]:
        return self._pose.candidates(
            [
                (frame.image, np.array([box.box for box in boxes], np.float32).reshape(-1, 4))
                for frame, boxes in zip(frames, people, strict=True)
            ]
        )

    def _restore_boxes(
        self, frame: Frame, people: Sequence[TrackedBox], keypoints: Floats
    ) -> tuple[list[TrackedBox], Floats]:
        """Replace boxes that shrank suddenly or show an occluder, if the recent box gives better keypoints.

        Returns:
            The same people, and their candidates (people, 2, 17, 3).
        """
        people, keypoints = list(people), keypoints.copy()
        occluders = _occluder_joints(people, keypoints[:, 0])
        rows, before = [], []
        for row, person in enumerate(people):
            box = self._recent_box(person, frame.time)
            if box is not None and (occluders[row] is not None or _is_cut_off(person.box, box)):
                rows.append(row)
                before.append(replace(person, box=box))
        for row, person, candidates in zip(rows, before, self._estimate([frame], [before])[0], strict=True):
            box = body_box(candidates[0], frame.image.shape[1::-1])
            if box is None or _overlap(box, person.box) < _CONTINUATION_IOU:
                continue
            if _is_better(candidates[0], keypoints[row, 0], occluders[row]):
                people[row], keypoints[row] = replace(person, box=box), candidates
        return people, keypoints

    def _recent_box(self, person: TrackedBox, time: float) -> Floats | None:
        """Return a person's box (4,) if it is at most `_RECENT_SECONDS` old."""
        track = self._tracks.get(person.person_id)
        return track.box if track is not None and time - track.time <= _RECENT_SECONDS else None

    def _refine_faint(
        self, person: TrackedBox, candidates: Floats, frame: Frame, present: Sequence[TrackedBox]
    ) -> TrackedBox:
        """Replace the box of a faint detection by that of its joints.

        The joints must score high and not be those of a person who is `present`.
        """
        joints = candidates[0]
        box, score = body_box(joints, frame.image.shape[1::-1]), float(joints[:, 2].mean())
        if not person.observed or box is None or score < _RELIABLE_SCORE or _is_present(box, present, ()):
            return person
        if within(person.box.astype(np.float64), box.astype(np.float64)) < _MIN_OVERLAP:
            return person
        self._tracks[person.person_id] = _TrackState(box, joints, frame.time, frame.time, score)
        return replace(person, box=box)

    def _update(self, frame: Frame, people: Sequence[TrackedBox], keypoints: Floats) -> None:
        """Store the state of detected people with candidates (people, 2, 17, 3)."""
        for person, points in zip(people, keypoints, strict=True):
            joints = points[0]
            score = float(joints[:, 2].mean())
            track = self._tracks.get(person.person_id)
            if track is not None:
                joints = _extrapolate_faded(joints, track, frame.time)
            box = body_box(joints, frame.image.shape[1::-1])
            self._tracks[person.person_id] = _TrackState(box, joints, frame.time, frame.time, score)

    def _follow(
        self, frame: Frame, seen: Sequence[TrackedBox], new: Sequence[TrackedBox]
    ) -> tuple[list[TrackedBox], Floats]:
        """Follow the people of the frames before that are not detected in this one.

        Args:
            seen: the detected people.
            new: those of them that are in no frame before.

        Returns:
            The followed people, and their candidates (people, 2, 17, 3).
        """
        detected = {person.person_id for person in seen}
        lost = []
        for number, track in list(self._tracks.items()):
            if number in detected:
                continue
            late = frame.time - track.detected > self._longest or frame.time - track.time > _MAX_COAST_SECONDS
            if track.box is None or late or _is_present(track.box, seen, new):
                del self._tracks[number]
                continue
            lost.append(TrackedBox(number, track.box, 0.0, True))
        followed, poses, missed = [], [missing_keypoints(0, 2)], []
        for person, candidates in zip(lost, self._estimate([frame], [lost])[0], strict=True):
            track = self._tracks[person.person_id]
            score = float(candidates[0, :, 2].mean())
            joints = _extrapolate_faded(candidates[0], track, frame.time)
            box = body_box(joints, frame.image.shape[1::-1])
            faded = score < _MIN_SCORE_RATIO * track.score
            if box is None or faded or _overlap(box, person.box) < _CONTINUATION_IOU:
                missed.append(person)
                continue
            self._tracks[person.person_id] = replace(track, box=box, joints=joints, time=frame.time)
            followed.append(TrackedBox(person.person_id, box, score, True))
            poses.append(candidates[None])
        found = self._redetect(frame, missed, [*seen, *followed])
        found_keypoints = self._estimate([frame], [found])[0]
        for person, candidates in zip(found, found_keypoints, strict=True):
            number = person.person_id
            self._tracks[number] = replace(self._tracks[number], joints=candidates[0])
        return [*followed, *found], np.concatenate([*poses, found_keypoints])

    def _redetect(
        self, frame: Frame, missed: Sequence[TrackedBox], present: Sequence[TrackedBox]
    ) -> list[TrackedBox]:
        """Return those of the missed people that the detector finds in a crop around their last box."""
        if not missed or self._detect_in_crops is None:
            return []
        found: list[TrackedBox] = []
        places = np.stack([person.box for person in missed])
        for person, near in zip(missed, self._detect_in_crops(frame.image, places), strict=True):
            others = [other.box.astype(np.float64) for other in (*present, *found)]
            for box, score in zip(near.boxes, near.scores, strict=True):
                if _overlap(box, person.box) <= _NEW_TRACK_IOU:
                    continue
                if any(within(box.astype(np.float64), other) > SAME_PERSON_OVERLAP for other in others):
                    continue
                number = person.person_id
                self._tracks[number] = replace(self._tracks[number], box=box, time=frame.time)
                found.append(TrackedBox(number, box, float(score), True))
                break
        return found


def body_box(keypoints: Floats, size: tuple[int, ...]) -> Floats | None:
    """Return the box (4,) of a body around its joints (17, 3), within a picture of `size` (width, height).

    None where fewer than six joints reach the minimum score, or the body reaches a side edge: it may be
    leaving.
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


def _is_cut_off(now: Floats, before: Floats) -> bool:
    """Return whether a box (4,) is only a part of the recent one (4,)."""
    small, large = now.astype(np.float64), before.astype(np.float64)
    return bool(area(small) < _CUT_OFF_AREA * area(large) and within(small, large) > _PART_OVERLAP)


def _occluder_joints(people: Sequence[TrackedBox], joints: Floats) -> list[Floats | None]:
    """Return for each person with joints (n, 17, 3) those of a higher-scoring one with the same pose.

    Where two people overlap, a box that holds both shows the one in front. None without such a person.
    """
    boxes = np.array([person.box for person in people], np.float32).reshape(-1, 4)
    occluders: list[Floats | None] = [None] * len(people)
    for row, other in occluded_pairs(joints, boxes):
        if _is_same_pose(joints[row], joints[other]):
            occluders[row] = joints[other]
    return occluders


def _is_same_pose(first: Floats, second: Floats) -> bool:
    """Return whether most visible joints (17, 3) of two people are in the same places."""
    seen = (first[:, 2] >= _MIN_SCORE) & (second[:, 2] >= _MIN_SCORE)
    if not seen.any():
        return False
    distances = np.linalg.norm(first[seen, :2] - second[seen, :2], axis=1)
    return bool(np.median(distances) < _SAME_POSE_DISTANCE * np.ptp(second[seen, :2], axis=0).max())


def _is_better(candidate: Floats, current: Floats, occluder: Floats | None) -> bool:
    """Return whether candidate joints (17, 3) beat the current ones, which may be those of an occluder."""
    score = candidate[:, 2].mean()
    if occluder is None:
        return bool(score > current[:, 2].mean())
    return bool(score > _RELIABLE_SCORE) and not _is_same_pose(candidate, occluder)


def _extrapolate_faded(joints: Floats, track: _TrackState, time: float) -> Floats:
    """Replace joints (17, 3) of low score by those of the frame before, moved along with the others.

    Legs that fade for some frames are then not cut off the box.
    """
    seen, before = joints[:, 2] >= _MIN_SCORE, track.joints[:, 2] >= _MIN_SCORE
    if not (seen & before).any():
        return joints
    moved = track.joints.copy()
    moved[:, :2] += np.median((joints - track.joints)[seen & before, :2], axis=0)
    moved[:, 2] *= 0.5 ** ((time - track.time) / _SCORE_HALF_LIFE)
    return np.where((before & ~seen)[:, None], moved, joints)


def _overlap(first: Floats, second: Floats) -> float:
    return iou(first.astype(np.float64), second.astype(np.float64))


def _is_present(box: Floats, seen: Sequence[TrackedBox], new: Sequence[TrackedBox]) -> bool:
    """Return whether a box (4,) shows one of the `seen` people; `new` tracks need less overlap."""
    by_new = any(_overlap(box, person.box) > _NEW_TRACK_IOU for person in new)
    return by_new or any(_overlap(box, person.box) > _SAME_PERSON_IOU for person in seen)
