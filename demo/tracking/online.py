"""Online tracking: ids for the boxes of each frame, from the frames before only.

Every frame's boxes get an id at once, so that keypoints can be estimated in the same pass.
`demo.tracking.tracklets` then merges these ids into people over the whole clip.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.boxes import centre, iou, within
from demo.types import Detections, Floats, TrackedBox

Doubles = NDArray[np.float64]

MIN_SCORE = 0.1  # the library drops detections that are no stronger
LOST_TRACK_IOU = 0.5  # with the box of a lost track: above, a weak detection continues it
SAME_PERSON_OVERLAP = 0.75  # of the smaller of two boxes: above, they show the same person


@dataclass
class _OnlineTrack:
    """An online track at its last detection.

    time: seconds. box: (4,) pixels. velocity: (2,) of the centre, pixels a second. clear: seconds of the last
    detection that scored above `MIN_SCORE`.
    """

    time: float
    box: Doubles
    velocity: Doubles
    clear: float

    def at(self, time: float) -> Floats:
        """The box moved on to `time`, at constant velocity and size."""
        shift = self.velocity * (time - self.time)
        return (self.box + np.tile(shift, 2)).astype(np.float32)


class PersonTracker:
    """Online ids by C-BIoU (Yang et al., WACV 2023: Kalman boxes matched by the IoU of enlarged boxes).

    Enlarged boxes still overlap when a person jumps or is filmed at 5 frames a second, where plain boxes do
    not. The filter runs on times, not frame counts, so frame rates may vary.

    Args:
        fps: average frame rate.
        detect_every: the detector runs on every n-th frame (`update` gets None on the others).
        start: a detection below this score never starts a track; it can only continue one, or recover a lost
            one near its last box.
        lost: seconds without a detection above `MIN_SCORE` after which a track ends.
        coast: seconds for which an undetected person still gets a box, extrapolated at constant velocity.
    """

    def __init__(
        self, fps: float, *, detect_every: int = 1, start: float = 0.4, lost: float = 1.5, coast: float = 0.5
    ) -> None:
        from trackers import CBIoUTracker

        self._step = 1 / fps if fps > 0 else 0.04
        self._tracker = CBIoUTracker(
            frame_rate=1 / (self._step * detect_every),
            lost_track_buffer=round(30 * lost),  # the library counts in 30ths of a second
            track_activation_threshold=start,
            high_conf_det_threshold=start,
            minimum_consecutive_frames=1,
        )
        self._start = start
        self._lost = lost
        self._coast = coast
        self._time = -np.inf
        self._detected = -np.inf  # when the detector ran last
        self._tracks: dict[int, _OnlineTrack] = {}
        self._ids: dict[int, int] = {}  # the library's id -> ours
        self._unnumbered: set[int] = set()  # our ids of the last frame without an id of the library

    def update(self, detections: Detections | None, time: float) -> list[TrackedBox]:
        """Assign ids to one frame's detections.

        Undetected people get extrapolated boxes, `observed` False.

        Args:
            detections: None when the detector did not run on this frame.
            time: seconds; one that does not grow is taken as one frame later.
        """
        self._time = time if time > self._time else self._time + self._step
        boxes = [] if detections is None else self._observe(detections)
        seen_now = {box.person_id for box in boxes}
        for person, seen in list(self._tracks.items()):
            if person in seen_now:
                continue
            if self._time - seen.time <= self._coast or seen.time >= self._detected:
                boxes.append(TrackedBox(person, seen.at(self._time), 0.0, False))
        return boxes

    def _observe(self, detections: Detections) -> list[TrackedBox]:
        """Update the library's tracker; return detections that continue or start a track, with our ids."""
        import supervision as sv

        self._detected = self._time
        tracked = self._tracker.update(
            sv.Detections(
                xyxy=detections.boxes.astype(np.float64).reshape(-1, 4),
                confidence=detections.scores.astype(np.float64),
            ),
            timestamp=self._time,
        )
        ids = np.empty(0, int) if tracked.tracker_id is None else tracked.tracker_id
        scores = np.empty(0) if tracked.confidence is None else tracked.confidence
        unnumbered, self._unnumbered = self._unnumbered, set()
        boxes: dict[int, TrackedBox] = {}

        def add(person: int, box: Doubles, score: float) -> None:
            self._update_track(person, box, score)
            boxes[person] = TrackedBox(person, box.astype(np.float32), score, True)

        for index in np.flatnonzero(ids >= 0).tolist():
            box = tracked.xyxy[index]
            add(self._person_id(int(ids[index]), box, unnumbered), box, float(scores[index]))
        for index in np.flatnonzero(ids < 0).tolist():
            # The library recovers lost tracks by strong detections only. In a rare pose a person scores low
            # but is still near the last box.
            sure = scores[index] >= self._start
            person = self._find_lost(tracked.xyxy[index], unnumbered if sure else self._tracks, boxes)
            if person is None:
                if not sure:
                    continue
                person = self._new_id()  # the library assigns an id after two detections only
            self._unnumbered.add(person)
            add(person, tracked.xyxy[index], float(scores[index]))
        # A faint detection is reliable where a track had a clear one a moment ago.
        faint = detections.scores <= MIN_SCORE
        clear = [person for person, seen in self._tracks.items() if self._time - seen.clear <= self._lost]
        for box, score in zip(
            detections.boxes[faint].astype(np.float64), detections.scores[faint], strict=True
        ):
            person = self._find_lost(box, clear, boxes)
            if person is not None:
                self._unnumbered.add(person)
                add(person, box, float(score))
        return list(boxes.values())

    def _find_lost(
        self, box: Doubles, people: Iterable[int], present: Mapping[int, TrackedBox]
    ) -> int | None:
        """Return the lost one of `people` whose box overlaps this one most, None without enough overlap.

        None also if the box is within one of the `present` people.
        """
        if any(within(box, other.box.astype(np.float64)) > SAME_PERSON_OVERLAP for other in present.values()):
            return None
        overlap = {
            person: max(iou(seen.box, box), iou(seen.at(self._time).astype(np.float64), box))
            for person, seen in ((person, self._tracks[person]) for person in people)
            if person not in present and self._time - seen.time <= self._lost
        }
        nearest = max(overlap, key=lambda person: overlap[person], default=None)
        return nearest if nearest is not None and overlap[nearest] > LOST_TRACK_IOU else None

    def _person_id(self, number: int, box: Doubles, unnumbered: set[int]) -> int:
        """Return our id for the library's; a new number belongs to the nearest track without one."""
        if number not in self._ids:
            nearest = max(unnumbered, key=lambda person: iou(self._tracks[person].box, box), default=None)
            if nearest is not None:
                unnumbered.remove(nearest)
                # the library may have lost this track under another number
                self._ids = {other: person for other, person in self._ids.items() if person != nearest}
            self._ids[number] = self._new_id() if nearest is None else nearest
        return self._ids[number]

    def _new_id(self) -> int:
        return len(self._tracks) + 1

    def _update_track(self, person: int, box: Doubles, score: float) -> None:
        last = self._tracks.get(person)
        clear = self._time if last is None or score > MIN_SCORE else last.clear
        velocity = np.zeros(2)
        if last is not None:
            elapsed = self._time - last.time
            measured = (centre(box) - centre(last.box)) / elapsed
            weight = 1 - np.exp(-elapsed / 0.1)  # a tenth of a second evens out the detector's jitter
            velocity = last.velocity + weight * (measured - last.velocity)
        self._tracks[person] = _OnlineTrack(self._time, box.astype(np.float64), velocity, clear)
