"""The causal tracker: people of one frame after another, from what the past shows.

Each person is a track: box, joints, velocity, and the probability that the person is there. In every frame

1. tracks are moved on at constant velocity;
2. detections and tracks are matched in one assignment, by boxes and joints (OKS) alike;
3. a track without a detection is searched for by the keypoint network, where its joints are predicted, then
   by the detector in a crop around the prediction;
4. detections without a track begin one.

Nothing counts frames: what a track may have moved and how fast it is forgotten depend on seconds alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from demo.boxes import area, centre, within
from demo.pose.estimator import KeypointEstimator, missing_keypoints
from demo.pose.rotated import rotation_test_time_augmentation
from demo.tracking.association import FEWEST, enlarged_iou, explained, likely, oks
from demo.tracking.candidates import FramePeople
from demo.tracking.shared_keypoints import recognition, suppress_shared_keypoints
from demo.tracking.track import Observation, Track, body_box
from demo.types import Detections, Doubles, Floats, Frame, Image

# Chosen with `tools.measure_tracking` (scenes before its first seed) and `tools.measure_clips`.
START = 0.4  # evidence of a person from which a detection begins a track
MATCH = 0.3  # IoU or OKS from which a detection may be a track's
SCORE_WEIGHT = 0.5  # of a detection's score beside the mean of IoU and OKS: of two alike the stronger wins
SAME = 0.4  # OKS from which joints are those of one person: mixtures of two reach about half
UNSEEN_HALF_LIFE = 0.6  # seconds that halve the probability of existence while the person is not seen at all
FOLLOWED_HALF_LIFE = 1.5  # seconds that do while only keypoints or faint detections show the person
PRESENT = 0.3  # probability of existence down to which a track without any observation is shown
GONE = 0.1  # down to which it is kept; a detection up to this score is faint: it shows no person by itself
JOINT_HALF_LIFE = 0.4  # seconds that halve the score of a joint that is not seen any more
CUT_OFF = 0.75  # part of the predicted area: a smaller detection within it may lack the legs
INSIDE = 0.8  # part of that detection that lies within the predicted box
FADED = 0.6  # part of the score under the last detection: below, the keypoints are of the background

log = logging.getLogger(__name__)


class Detector(Protocol):
    """What the tracker needs of a detector."""

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Return the people in each image."""
        ...

    def detect_in_crops(self, image: Image, places: Floats) -> list[Detections]:
        """Return the people about each of some boxes (n, 4)."""
        ...


class PoseTracker:
    """Follows people by their boxes and keypoints.

    Args:
        detector: of people.
        pose: the keypoint stage, with calibrated scores.
        fps: average frame rate, for clips whose clock stands still.
        detect_every: the detector runs on every n-th frame.
    """

    def __init__(
        self, detector: Detector, pose: KeypointEstimator, fps: float, detect_every: int = 1
    ) -> None:
        self._detector, self._pose = detector, pose
        self._step = 1 / fps if fps > 0 else 0.04
        self._every = detect_every
        self._tracks: list[Track] = []
        self._count = 0
        self._time = -np.inf
        self._detected = -np.inf  # when the detector ran last

    def track(self, frames: Sequence[Frame]) -> Iterator[FramePeople]:
        """Yield the people of each of some consecutive frames. The networks see the frames together."""
        wanted = [frame for frame in frames if frame.index % self._every == 0]
        detections = self._detector.detect([frame.image for frame in wanted])
        clear = [found.boxes[found.scores > GONE] for found in detections]
        poses = self._pose.candidates(list(zip([frame.image for frame in wanted], clear, strict=True)))
        found = {
            frame.index: _observations(detected, candidates)
            for frame, detected, candidates in zip(wanted, detections, poses, strict=True)
        }
        for frame in frames:
            yield self._advance(frame, found.get(frame.index))

    def _advance(self, frame: Frame, found: list[Observation] | None) -> FramePeople:
        self._time = frame.time if frame.time > self._time else self._time + self._step
        matched = self._match(found or [])
        clear = [(track, seen) for track, seen in matched if seen.candidates is not None]
        clear = self._repair(frame.image, clear)
        for track, seen in clear:
            self._update(track, seen)
            track.score = float(seen.joints[:, 2].mean())
        missing = [track for track in self._tracks if all(track is not other for other, _ in clear)]
        faint = {track.number: seen.box for track, seen in matched if seen.candidates is None}
        followed, lost = self._follow(frame.image, missing, faint, [seen for _, seen in clear])
        people = clear + followed
        again, lost = self._find_again(frame.image, lost, [seen for _, seen in people])
        people += again
        if found is not None:
            self._weigh(clear + again, followed)
            people += self._begin(found, [seen for _, seen in matched], people)
        guessed = [each for each in lost if each[0].existence > PRESENT]
        return self._gather(frame.image, people, guessed)

    def _match(self, found: list[Observation]) -> list[tuple[Track, Observation]]:
        """Assign observations to tracks."""
        if not self._tracks or not found:
            return []
        from scipy.optimize import linear_sum_assignment  # only now: its import delays the first frame

        boxes, joints = self._predict(self._tracks)
        margin = np.array([track.margin(self._time) for track in self._tracks])
        overlap = enlarged_iou(boxes, np.stack([seen.box for seen in found]), margin)
        alike = oks(joints, np.stack([seen.joints for seen in found]), boxes, margin)
        similarity = np.where(np.isnan(alike), overlap, (overlap + alike) / 2)
        scores = SCORE_WEIGHT * np.array([seen.score for seen in found])
        possible = np.fmax(overlap, alike) >= MATCH  # keypoints of odd poses are wrong, boxes may be
        gain = np.where(possible, similarity + scores, 0)
        rows, columns = linear_sum_assignment(-gain)
        return [
            (self._tracks[row], found[column])
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
            if gain[row, column] > 0
        ]

    def _predict(self, tracks: Sequence[Track]) -> tuple[Doubles, Floats]:
        """Return boxes (n, 4) and joints (n, 17, 3) of n tracks at the present time."""
        if not tracks:
            return np.zeros((0, 4)), missing_keypoints(0)
        boxes, joints = zip(*(track.predict(self._time) for track in tracks), strict=True)
        return np.stack(boxes), np.stack(joints)

    def _places(self, tracks: Sequence[Track], size: tuple[int, ...]) -> Doubles:
        """Return the boxes (n, 4) around the predicted joints of n tracks, or else the predicted boxes."""
        boxes, joints = self._predict(tracks)
        for row, body in enumerate(body_box(each, size) for each in joints):
            boxes[row] = boxes[row] if body is None else body
        return boxes

    def _repair(
        self, image: Image, matched: list[tuple[Track, Observation]]
    ) -> list[tuple[Track, Observation]]:
        """Replace detections that lack the legs, or show another person, by the keypoints where predicted.

        Not where these keypoints are those of other people.
        """
        boxes = self._places([track for track, _ in matched], image.shape[1::-1])
        shared = _behind([seen for _, seen in matched])
        doubtful = [
            row for row, (_, seen) in enumerate(matched) if row in shared or _cut_off(seen.box, boxes[row])
        ]
        result = list(matched)
        for row, candidates in zip(doubtful, self._estimate(image, boxes[doubtful]), strict=True):
            track, seen = matched[row]
            box = body_box(candidates[0], image.shape[1::-1])
            if box is None or not self._near(track, box):
                continue
            others = np.array([other.joints for _, other in matched if other is not seen], np.float32)
            score = candidates[0, :, 2].mean()
            better = score >= FADED * track.score if row in shared else score > seen.joints[:, 2].mean()
            better &= explained(candidates[0], others, box) < SAME
            if better:
                result[row] = track, Observation(box, seen.score, candidates)
        return result

    def _follow(
        self, image: Image, tracks: Sequence[Track], faint: dict[int, Doubles], there: Sequence[Observation]
    ) -> tuple[list[tuple[Track, Observation]], list[tuple[Track, Observation]]]:
        """Search for tracks by their keypoints; return those found, and predictions of the others.

        Args:
            faint: boxes of faint detections, by track.
            there: people who are found already.
        """
        size = image.shape[1::-1]
        boxes = self._places(tracks, size)
        for row, track in enumerate(tracks):
            boxes[row] = faint.get(track.number, boxes[row])
        found: list[tuple[Track, Observation]] = []
        lost: list[tuple[Track, Observation]] = []
        for track, box, candidates in zip(tracks, boxes, self._estimate(image, boxes), strict=True):
            joints = self._carry(track, candidates[0])
            body = body_box(joints, size)
            score = float(candidates[0, :, 2].mean())
            others = [seen.joints for seen in [*there, *(seen for _, seen in found)]]
            if (
                body is not None
                and score >= FADED * track.score
                and self._near(track, body)
                and not _same([joints], others, body)
            ):
                seen = Observation(body, score, candidates)
                self._update(track, seen)
                found.append((track, seen))
            elif track.number in faint:
                seen = Observation(box, 0.0, candidates)
                self._update(track, seen)
                found.append((track, seen))
            else:
                lost.append((track, Observation(track.predict(self._time)[0], 0.0, candidates)))
        return found, lost

    def _find_again(
        self, image: Image, lost: list[tuple[Track, Observation]], there: list[Observation]
    ) -> tuple[list[tuple[Track, Observation]], list[tuple[Track, Observation]]]:
        """Search for tracks with the detector in crops; return those found and the others."""
        sought = [each for each in lost if each[0].existence > PRESENT]
        if not sought:
            return [], lost
        found: list[tuple[Track, Observation]] = []
        places = np.stack([seen.box for _, seen in sought]).astype(np.float32)
        for (track, _), near in zip(sought, self._detector.detect_in_crops(image, places), strict=True):
            others = [seen.box for seen in there] + [seen.box for _, seen in found]
            for box, score in zip(near.boxes.astype(np.float64), near.scores.tolist(), strict=True):
                if self._near(track, box) and all(within(box, other) <= INSIDE for other in others):
                    found.append((track, Observation(box, score)))
                    break
        boxes = np.array([seen.box for _, seen in found]).reshape(-1, 4)
        for (track, seen), candidates in zip(found, self._estimate(image, boxes), strict=True):
            seen.candidates = candidates
            self._update(track, seen)
        rest = [each for each in lost if all(each[0] is not track for track, _ in found)]
        return found, rest

    def _weigh(
        self,
        detected: Sequence[tuple[Track, Observation]],
        followed: Sequence[tuple[Track, Observation]],
    ) -> None:
        """Update each track's probability of existence after a frame with the detector; drop those gone."""
        scores = {track.number: found.score for track, found in detected}
        seen = scores.keys() | {track.number for track, _ in followed}
        elapsed = self._time - self._detected if np.isfinite(self._detected) else 0.0
        self._detected = self._time
        for track in self._tracks:
            half_life = FOLLOWED_HALF_LIFE if track.number in seen else UNSEEN_HALF_LIFE
            faded = track.existence * 0.5 ** (elapsed / half_life)
            track.existence = max(faded, scores.get(track.number, 0.0))
            if track.existence < GONE:
                log.debug(
                    "%.2f s: track %d is gone, last seen at %.2f s", self._time, track.number, track.time
                )
        self._tracks = [track for track in self._tracks if track.existence >= GONE]

    def _begin(
        self,
        found: Sequence[Observation],
        matched: Sequence[Observation],
        there: Sequence[tuple[Track, Observation]],
    ) -> list[tuple[Track, Observation]]:
        """Begin tracks of strong detections that show none of the people found already."""
        begun: list[tuple[Track, Observation]] = []
        for seen in found:
            others = [other for _, other in [*there, *begun]]
            if seen.evidence < START or any(seen is other for other in matched):
                continue
            joints = np.array([other.joints for other in others], np.float32).reshape(-1, 17, 3)
            if explained(seen.joints, joints, seen.box) >= SAME:
                continue
            self._count += 1
            track = Track(
                self._count, seen.box, seen.joints, self._time, seen.evidence, float(seen.joints[:, 2].mean())
            )
            self._tracks.append(track)
            begun.append((track, seen))
            log.debug("%.2f s: track %d begins at %s", self._time, track.number, seen.box.round().tolist())
        return begun

    def _update(self, track: Track, seen: Observation) -> None:
        """Move a track to where it is observed now."""
        joints = self._carry(track, seen.joints)
        both = likely(track.joints) & likely(seen.joints)
        if both.sum() >= FEWEST:
            moved = np.median((seen.joints - track.joints)[both, :2], axis=0)
        else:
            moved = centre(seen.box) - centre(track.box)
        track.move(seen.box, joints, moved, self._time)

    def _carry(self, track: Track, joints: Floats) -> Floats:
        """Replace joints (17, 3) that are not seen by the track's, moved along with those that are seen."""
        _, before = track.predict(self._time)
        both = likely(joints) & likely(before)
        if not both.any():
            return joints
        before[:, :2] += np.median((joints - before)[both, :2], axis=0)
        before[:, 2] *= 0.5 ** ((self._time - track.time) / JOINT_HALF_LIFE)
        return np.where((likely(before) & ~likely(joints))[:, None], before, joints)

    def _near(self, track: Track, box: Doubles) -> bool:
        """Whether a box may be the track's, for its predicted box and the time since it was seen."""
        margin = np.array([track.margin(self._time)])
        return bool(enlarged_iou(track.predict(self._time)[0][None], box[None], margin)[0, 0] >= MATCH)

    def _gather(
        self,
        image: Image,
        people: Sequence[tuple[Track, Observation]],
        guessed: Sequence[tuple[Track, Observation]],
    ) -> FramePeople:
        """Return the frame's people; those far from upright with the keypoints of rotated crops."""
        shown = [*people, *guessed]
        boxes = np.array([seen.box for _, seen in shown], np.float32).reshape(-1, 4)
        estimated = [seen.candidates for _, seen in shown if seen.candidates is not None]
        candidates = np.stack(estimated) if estimated else missing_keypoints(0, 2)
        candidates = rotation_test_time_augmentation(self._pose, image, boxes, candidates)
        return FramePeople(
            np.array([track.number for track, _ in shown], np.int64),
            boxes,
            np.array([seen.score for _, seen in shown], np.float32),
            np.arange(len(shown)) < len(people),
            suppress_shared_keypoints(candidates, boxes),
        )

    def _estimate(self, image: Image, boxes: Doubles) -> Floats:
        """Return the candidates (n, 2, 17, 3) of boxes (n, 4) of an image."""
        if len(boxes) == 0:
            return missing_keypoints(0, 2)
        return self._pose.candidates([(image, boxes.astype(np.float32))])[0]


def _observations(found: Detections, poses: Floats) -> list[Observation]:
    """Return a frame's detections; those that are not faint with their candidates (n, 2, 17, 3)."""
    estimated = iter(poses)
    return [
        Observation(box, score, next(estimated) if score > GONE else None)
        for box, score in zip(found.boxes.astype(np.float64), found.scores.tolist(), strict=True)
    ]


def _cut_off(box: Doubles, predicted: Doubles) -> bool:
    """Whether a box (4,) is only a part of the predicted one."""
    return bool(area(box) < CUT_OFF * area(predicted) and within(box, predicted) > INSIDE)


def _same(joints: Sequence[Floats], others: Sequence[Floats], box: Doubles) -> bool:
    """Whether joints (17, 3) in a box are those of one of some others."""
    if not others:
        return False
    return bool(np.nanmax(np.append(oks(np.stack(joints), np.stack(others), box[None])[0], 0)) >= SAME)


def _behind(people: Sequence[Observation]) -> dict[int, int]:
    """Return whose joints are those of another person with a higher score, and whose they are."""
    if len(people) < 2:
        return {}
    joints = np.stack([seen.joints for seen in people])
    alike = oks(joints, joints, np.stack([seen.box for seen in people])) >= SAME
    level = recognition(joints)
    pairs = np.argwhere(alike & (level[None] > level[:, None]))
    return {int(one): int(other) for one, other in pairs}
