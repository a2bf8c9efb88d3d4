"""Quality measures of a person's motion in a result: time, gaps, scores, reprojection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.export.source import joint_status, known_frames
from demo.results.result import Result, camera_of
from demo.types import SEEN_SCORE, JointStatus, Status
from lifter.skeletons import LIMBS_COCO, LIMBS_H36M


@dataclass(frozen=True)
class Quality:
    """Quality measures of one person.

    Attributes:
        first, last: times of the first and the last known frame, seconds.
        frames: number of frames by status between them.
        score: mean of the 2D scores in measured frames.
        inferred: share of joints of known frames that were not seen.
        reprojection: median distance of the 12 limb joints from their keypoints, in pixels and as a share of
            the box height; None if the result has no camera.
    """

    first: float
    last: float
    frames: dict[Status, int]
    score: float
    inferred: float
    reprojection: tuple[float, float] | None

    @property
    def measured(self) -> float:
        """Share of measured frames between the first and the last known frame."""
        return self.frames[Status.MEASURED] / max(1, sum(self.frames.values()))


def person_quality(result: Result, person: int) -> Quality:
    """Measure the person at index `person`, who has a position in at least one frame."""
    known = np.flatnonzero(known_frames(result, person))
    part = slice(known[0], known[-1] + 1)
    status = result.status[person, part]
    measured = result.status[person] == Status.MEASURED
    states = joint_status(result)[person, known]
    scores = result.keypoints_2d[person, measured, :, 2]
    return Quality(
        float(result.times[known[0]]),
        float(result.times[known[-1]]),
        {state: int((status == state).sum()) for state in Status},
        float(np.nanmean(scores)) if scores.size else 0.0,
        float((states == JointStatus.INFERRED).sum() / max(1, (states != JointStatus.MISSING).sum())),
        _reprojection(result, person),
    )


def _reprojection(result: Result, person: int) -> tuple[float, float] | None:
    projected = project(result, result.joints_world[person][:, LIMBS_H36M], person)
    if projected is None:
        return None
    seen = result.keypoints_2d[person][:, LIMBS_COCO]
    distance = np.linalg.norm(projected - seen[..., :2], axis=-1)
    boxes = result.boxes[person]
    share = distance / (boxes[:, 3] - boxes[:, 1])[:, None]
    usable = np.isfinite(distance) & (seen[..., 2] >= SEEN_SCORE) & np.isfinite(share)
    if not usable.any():
        return None
    return float(np.median(distance[usable])), float(np.median(share[usable]))


def project(result: Result, points: NDArray[np.floating], person: int = 0) -> NDArray[np.float64] | None:
    """Project world points (..., 3) of a person's shot to pixels (..., 2); None without a camera."""
    camera = camera_of(result, person)
    if camera is None:
        return None
    rotation, position = np.array(camera["world_from_camera"]), np.array(camera["camera_position"])
    local = (points - position) @ rotation
    with np.errstate(divide="ignore", invalid="ignore"):
        ahead = np.where(local[..., 2:] > 0, local[..., 2:], np.nan)
        pixels = local[..., :2] / ahead * camera["focal_pixels"]
    middle: NDArray[np.float64] = pixels + np.array((result.meta["width"], result.meta["height"])) / 2
    return middle
