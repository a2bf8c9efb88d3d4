"""Boxes -> ids, frame by frame: what goes with the decoder and sees the past only.

Every frame's boxes get an id at once, so that keypoints can be found in the same pass.
`demo.tracking.tracklets` then sees the whole clip and merges these ids into people.
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
SAME_PLACE = 0.5  # IoU with where somebody was lost: above, a weak detection is this person
SAME_PERSON_OVERLAP = 0.75  # of the smaller of two boxes within the other: above, they show the same person


@dataclass
class _Seen:
    """Where an online track was seen last, and how fast its centre moved (pixels per second)."""

    time: float
    box: Doubles
    velocity: Doubles
    clear: float  # when they were last seen more than faintly

    def at(self, time: float) -> Floats:
        """The box moved on to `time`, at constant velocity and size."""
        shift = self.velocity * (time - self.time)
        return (self.box + np.tile(shift, 2)).astype(np.float32)


class PersonTracker:
    """Online ids by C-BIoU (Yang et al., WACV 2023: Kalman boxes matched by the IoU of enlarged boxes).

    Enlarged boxes still overlap when somebody jumps or is filmed at 5 frames a second, where plain IoU
    loses people. Times, not frame counts, drive the filter: variable frame rates are fine.

    Args:
        fps: average frame rate.
        detect_every: the detector runs on every n-th frame (`update` gets None on the others).
        start: a detection below this score never starts a person; weaker ones only continue one, or find one
            again where they were lost.
        lost: seconds after which the id of a person who is not seen, or but faintly, is given up.
        coast: seconds for which an unseen person still gets a box, moved on at constant velocity.
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
        self._seen: dict[int, _Seen] = {}
        self._ids: dict[int, int] = {}  # the library's id -> ours
        self._unnumbered: set[int] = set()  # our ids of the last frame that the library has no number for

    def update(self, detections: Detections | None, time: float) -> list[TrackedBox]:
        """Ids for one frame's detections, and moved-on boxes (`observed` False) for people not seen in it.

        Args:
            detections: None when the detector did not run on this frame.
            time: seconds; one that does not grow is taken as one frame later.
        """
        self._time = time if time > self._time else self._time + self._step
        boxes = [] if detections is None else self._observe(detections)
        seen_now = {box.person_id for box in boxes}
        for person, seen in list(self._seen.items()):
            if person in seen_now:
                continue
            if self._time - seen.time <= self._coast or seen.time >= self._detected:
                boxes.append(TrackedBox(person, seen.at(self._time), 0.0, False))
        return boxes

    def _observe(self, detections: Detections) -> list[TrackedBox]:
        """Feed the library; every detection that continues or starts a person comes back with our id."""
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
            self._remember(person, box, score)
            boxes[person] = TrackedBox(person, box.astype(np.float32), score, True)

        for index in np.flatnonzero(ids >= 0).tolist():
            box = tracked.xyxy[index]
            add(self._known(int(ids[index]), box, unnumbered), box, float(scores[index]))
        for index in np.flatnonzero(ids < 0).tolist():
            # The library finds lost people again by sure detections only, but who is in a pose that the
            # detector hardly knows is still about where they were lost.
            sure = scores[index] >= self._start
            person = self._lost_at(tracked.xyxy[index], unnumbered if sure else self._seen, boxes)
            if person is None:
                if not sure:
                    continue
                person = self._new_id()  # the library holds its id back until somebody is seen twice
            self._unnumbered.add(person)
            add(person, tracked.xyxy[index], float(scores[index]))
        # A detector that hardly sees somebody is still right about the place, where they were a moment ago.
        faint = detections.scores <= MIN_SCORE
        clear = [person for person, seen in self._seen.items() if self._time - seen.clear <= self._lost]
        for box, score in zip(
            detections.boxes[faint].astype(np.float64), detections.scores[faint], strict=True
        ):
            person = self._lost_at(box, clear, boxes)
            if person is not None:
                self._unnumbered.add(person)
                add(person, box, float(score))
        return list(boxes.values())

    def _lost_at(self, box: Doubles, people: Iterable[int], there: Mapping[int, TrackedBox]) -> int | None:
        """Who of some people was lost a moment ago where the box is, unless it shows one who is there."""
        if any(within(box, other.box.astype(np.float64)) > SAME_PERSON_OVERLAP for other in there.values()):
            return None
        overlap = {
            person: max(iou(seen.box, box), iou(seen.at(self._time).astype(np.float64), box))
            for person, seen in ((person, self._seen[person]) for person in people)
            if person not in there and self._time - seen.time <= self._lost
        }
        nearest = max(overlap, key=lambda person: overlap[person], default=None)
        return nearest if nearest is not None and overlap[nearest] > SAME_PLACE else None

    def _known(self, number: int, box: Doubles, unnumbered: set[int]) -> int:
        """Our id for the library's; a number met for the first time belongs to the nearest without one."""
        if number not in self._ids:
            nearest = max(unnumbered, key=lambda person: iou(self._seen[person].box, box), default=None)
            if nearest is not None:
                unnumbered.remove(nearest)
                # they may have been lost by the library under another number
                self._ids = {other: person for other, person in self._ids.items() if person != nearest}
            self._ids[number] = self._new_id() if nearest is None else nearest
        return self._ids[number]

    def _new_id(self) -> int:
        return len(self._seen) + 1

    def _remember(self, person: int, box: Doubles, score: float) -> None:
        last = self._seen.get(person)
        clear = self._time if last is None or score > MIN_SCORE else last.clear
        velocity = np.zeros(2)
        if last is not None:
            elapsed = self._time - last.time
            measured = (centre(box) - centre(last.box)) / elapsed
            weight = 1 - np.exp(-elapsed / 0.1)  # a tenth of a second evens out the detector's jitter
            velocity = last.velocity + weight * (measured - last.velocity)
        self._seen[person] = _Seen(self._time, box.astype(np.float64), velocity, clear)
