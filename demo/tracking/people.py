"""From online ids with keypoint candidates to people's tracks, over the whole clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from demo.tracking.candidates import CandidateStore
from demo.tracking.left_right import fix_left_right
from demo.tracking.tracklets import merge_tracklets
from demo.types import Doubles, Tracks2D


def join_shots(shots: Sequence[Tracks2D]) -> Tracks2D:
    """Concatenate the tracks of consecutive shots in time; people are numbered on from shot to shot."""
    people, length = sum(map(len, shots)), sum(each.boxes.shape[1] for each in shots)
    boxes = np.full((people, length, 4), np.nan, np.float32)
    keypoints = np.full((people, length, 17, 3), (np.nan, np.nan, 0), np.float32)
    ids = np.zeros(people, np.int32)
    row, frame = 0, 0
    for each in shots:
        where = slice(row, row + len(each)), slice(frame, frame + each.boxes.shape[1])
        boxes[where], keypoints[where] = each.boxes, each.keypoints
        ids[where[0]] = ids[:row].max(initial=0) + each.ids
        row, frame = row + len(each), frame + each.boxes.shape[1]
    return Tracks2D(ids, boxes, keypoints)


def refine_tracks(
    store: CandidateStore, times: Doubles, size: tuple[int, int], detect_every: int = 1
) -> Tracks2D:
    """Merge online ids into people, then choose every joint's candidate over time.

    Where two ids of one person meet in a frame, the observed one counts.

    Args:
        times: (T,) seconds.
        size: width and height of the picture, pixels.
        detect_every: the detector ran on every n-th frame.
    """
    merged = merge_tracklets(store, times, size, detect_every=detect_every)
    people, length = len(merged.tracks), len(times)
    boxes = np.array([track.boxes for track in merged.tracks], np.float32).reshape(people, length, 4)
    candidates = np.full((people, length, 2, 17, 3), (np.nan, np.nan, 0), np.float32)
    inside = np.isfinite(boxes[..., 0])
    row = {track.person_id: at for at, track in enumerate(merged.tracks)}
    for index, (tracked, poses) in enumerate(zip(store, store.keypoints(), strict=True)):
        for box, pose in sorted(zip(tracked, poses, strict=True), key=lambda pair: pair[0].observed):
            person = row.get(merged.mapping.get(box.person_id, -1))
            if person is not None and inside[person, index]:
                candidates[person, index] = pose
    keypoints = np.empty((people, length, 17, 3), np.float32)
    for at in range(people):
        keypoints[at] = fix_left_right(candidates[at], boxes[at], times)
    return Tracks2D(np.array(list(row), np.int32), boxes, keypoints)
