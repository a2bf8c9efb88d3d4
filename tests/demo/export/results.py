"""Small results: a person who marches on the spot, and the cases that every exporter has to write."""

from __future__ import annotations

import dataclasses

import numpy as np

from demo.results.result import Result
from demo.types import Status
from tests.lifter.motions import STANDING

FPS = 30.0


def march(frames=31, fps=FPS, speed=0.0):
    """(T, 17, 3) metres: a standing person who lifts the left knee once a second, turned a little."""
    time = np.arange(frames) / fps
    joints = np.repeat(STANDING[None].astype(np.float64), frames, axis=0)
    lift = np.radians(30) * (1 - np.cos(2 * np.pi * time))  # 0..60 degrees
    thigh, shin = (np.linalg.norm(STANDING[b] - STANDING[a]) for a, b in ((4, 5), (5, 6)))
    joints[:, 5] = joints[:, 4] + thigh * np.stack((0 * lift, -np.sin(lift), -np.cos(lift)), -1)
    joints[:, 6] = joints[:, 5] + shin * np.array((0.0, 0.0, -1.0))
    joints[:, :, 1] -= speed * time[:, None]
    return joints.astype(np.float32)


def result_of(worlds, times=None, status=None, **more):
    """A result of people's joints (T, 17, 3), NaN where absent; boxes and keypoints are made up."""
    worlds = np.asarray(worlds, np.float32)
    people, frames = worlds.shape[:2]
    known = np.isfinite(worlds).all((-1, -2))
    if status is None:
        status = np.where(known, Status.MEASURED, Status.ABSENT).astype(np.uint8)
    keypoints = np.full((people, frames, 17, 3), 0.8, np.float32)
    keypoints[..., :2] = 320.0
    keypoints[~known] = (np.nan, np.nan, 0.0)
    boxes = np.where(known[..., None], np.float32((100, 100, 300, 460)), np.float32(np.nan))
    fields = {
        "joints_world": worlds,
        "joints_camera": worlds,
        "keypoints_2d": keypoints,
        "boxes": boxes,
        "joint_uncertainty": None,
        "person_ids": np.arange(1, people + 1, dtype=np.int32),
        "status": status,
        "times": np.arange(frames) / FPS if times is None else times,
        "meta": {"schema": 1, "clip": "clip.mp4", "fps": FPS, "width": 640, "height": 480},
    }
    known_names = {field.name for field in dataclasses.fields(Result)}
    new = [(name, object) for name in more if name not in known_names]
    extended = dataclasses.make_dataclass("Extended", new, bases=(Result,), frozen=True, kw_only=True)
    return (extended if new else Result)(**fields, **more)


def no_people():
    return result_of(np.zeros((0, 5, 17, 3), np.float32))


def late_and_gap():
    """Two people; the second enters at frame 10; the first is lost in frames 12 to 20."""
    first, second = march(), march() + np.float32((1.0, 0.5, 0.0))
    first[12:21] = np.nan
    second[:10] = np.nan
    return result_of([first, second])


def two_shots():
    """The person is 3 m further from frame 15 on, where the shot changes; frames 13 to 16 are missing."""
    joints = march()
    joints[15:] += np.float32((3.0, 0.0, 0.0))
    joints[13:17] = np.nan
    return result_of([joints], shot=np.array([0] * 15 + [1] * 16))


def uneven():
    """Time stamps of a variable frame rate."""
    steps = np.tile((1 / 30, 1 / 30, 1 / 15), 10)
    return result_of([march()], times=np.concatenate(([0.0], np.cumsum(steps))))


CASES = {
    "two people, one late, and a gap": late_and_gap,
    "one frame": lambda: result_of([march(1)]),
    "no people": no_people,
    "no frames": lambda: result_of(np.zeros((0, 0, 17, 3), np.float32)),
    "variable frame rate": uneven,
    "two shots": two_shots,
}
