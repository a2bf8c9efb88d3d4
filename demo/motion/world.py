"""After lifting: one fit a person to the picture, then one level floor for the whole clip.

Everything here uses whole tracks, so nothing lags. A clip gets one rigid transform from camera to world:
jumps leave the floor, and a rolled camera does not make people lean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from demo.motion.body import SIGMAS, Sigmas
from demo.motion.fit import FittedPose, Floor, fit_person
from demo.motion.ground import (
    CLEARANCE,
    LifterUp,
    axes_from_up,
    bearing_joints,
    common_floor,
    estimate_up,
    resting_places,
    touches,
)
from demo.motion.observations import Observations, observe
from demo.types import (
    SEEN_SCORE,
    Bools,
    CameraPoses,
    Doubles,
    Floats,
    JointStatus,
    Motion,
    SceneTransform,
    Shots,
)
from lifter.clip_camera import ASSUMED_FOCAL
from lifter.skeletons import LIMBS_COCO, LIMBS_H36M
from lifter.windows import blocks

# H36M joints that keypoints show, by the COCO keypoints they need: limbs their own, the trunk shoulders or
# hips, the head the nose.
_SHOWN_BY = {
    **{h36m: (coco,) for h36m, coco in zip(LIMBS_H36M, LIMBS_COCO, strict=True)},
    **{0: (11, 12), 7: (5, 6, 11, 12), 8: (5, 6), 9: (0,), 10: (0,)},
}
_UNSMOOTHED = replace(SIGMAS, acceleration=1000.0)  # no motion is too sudden


COCO_ANKLES = (15, 16)


def place_shots(
    poses: CameraPoses,
    times: Doubles,
    shots: Shots,
    size: tuple[int, int],
    focal: float | None = None,
    smoothing: bool = True,
) -> tuple[Motion, list[SceneTransform]]:
    """Fit and level every shot by itself (`place_in_world`); return the motion and each shot's scene."""
    posed = np.isfinite(poses.joints[..., 0, 0])
    camera, world = np.full_like(poses.joints, np.nan), np.full_like(poses.joints, np.nan)
    uncertainty = None if poses.uncertainty is None else np.full_like(poses.uncertainty, np.nan)
    joints = np.full(poses.joints.shape[:3], JointStatus.MISSING, np.uint8)
    scenes = []
    for part in shots.parts():
        people = np.flatnonzero(posed[:, part].any(1))
        own, scene = place_in_world(poses.select(people, part), times[part], size, focal, smoothing)
        scenes.append(scene)
        camera[people, part], world[people, part] = own.camera, own.world
        joints[people, part] = own.joint_status
        if uncertainty is not None and own.uncertainty is not None:
            uncertainty[people, part] = own.uncertainty
    return Motion(poses.ids, camera, world, uncertainty, poses.status, joints), scenes


def place_in_world(
    poses: CameraPoses,
    times: Doubles,
    size: tuple[int, int],
    focal: float | None = None,
    smoothing: bool = True,
) -> tuple[Motion, SceneTransform]:
    """Fit the poses of one shot's people to the picture; bring them into one space, z up, floor at z = 0.

    Args:
        times: (T,) seconds.
        size: of the picture, pixels.
        focal: pixels; None assumes 0.9 of the picture's longer side.
        smoothing: penalise accelerations beyond those of people.
    """
    focal = focal or ASSUMED_FOCAL * max(size)
    sigmas = SIGMAS if smoothing else _UNSMOOTHED
    people = _People(poses, times, size, focal, sigmas)
    people.fit()
    places = [
        resting_places(joints, times, None if poses.contacts is None else poses.contacts[number])
        for number, joints in enumerate(people.joints)
    ]
    found = estimate_up(places, LifterUp.of(poses.up, poses.joints))
    touch = people.touch(found.up)
    scales, height = common_floor(
        [own[np.isfinite(own)] for own in touch],
        [float(keypoints[:, COCO_ANKLES, 2].mean()) for keypoints in poses.keypoints],
    )
    people.fit([Floor(found.up, height / scale) for scale in scales])
    joints = people.joints * np.array(scales).reshape(-1, 1, 1, 1)

    rotation = axes_from_up(found.up)
    offset = np.array((0.0, 0.0, -height))
    if len(joints):
        ground = np.nanmedian(joints[0, :, 0], axis=0) @ rotation.T
        if np.isfinite(ground).all():
            offset[:2] = -ground[:2]
    world = np.empty(joints.shape, np.float32)
    for own, there in zip(joints, world, strict=True):
        for part in blocks(0, len(own)):
            there[part] = own[part] @ rotation.T + offset
    camera = (joints - joints[:, :, :1]).astype(np.float32)
    uncertainty = poses.uncertainty
    if uncertainty is not None:
        uncertainty = (np.asarray(scales)[:, None, None] * uncertainty).astype(np.float32)
    moved = np.linalg.norm(camera - poses.joints, axis=-1)
    motion = Motion(
        poses.ids,
        camera,
        world,
        uncertainty,
        poses.status,
        joint_status(poses.keypoints, np.isfinite(poses.joints[..., 0, 0]), size),
    )
    tilt = float(np.degrees(np.arccos(np.clip(-found.up[1], -1, 1))))
    return motion, SceneTransform(
        rotation=rotation,
        offset=offset,
        focal=focal,
        contacts=sum(len(own.points) for own in places),
        tilt=tilt,
        up_sigma=found.sigma,
        smoothing_moved=float(np.nanmean(moved) * 1000) if np.isfinite(moved).any() else 0.0,
    )


class _People:
    """The fits of all people.

    joints: (people, T, 17, 3) metres from the camera, NaN where there is no pose.
    """

    def __init__(
        self, poses: CameraPoses, times: Doubles, size: tuple[int, int], focal: float, sigmas: Sigmas
    ) -> None:
        self.poses, self.times, self.size, self.focal, self.sigmas = poses, times, size, focal, sigmas
        self.joints = np.full(poses.joints.shape, np.nan)
        self._fits: dict[tuple[int, int], FittedPose] = {}

    def fit(self, floors: list[Floor] | None = None) -> None:
        """Fit every stretch: without a floor, or again from there with each person's."""
        for person, part, seen in self._stretches():
            key = person, part.start
            if floors is None:
                self._fits[key] = fit_person(seen, sigmas=self.sigmas)
            else:
                floor, start = floors[person], self._fits[key]
                if self.poses.contacts is None:
                    seen = replace(seen, contacts=bearing_joints(start.joints, self.times[part], floor.up))
                self._fits[key] = fit_person(seen, floor, start, self.sigmas, CLEARANCE)
            self.joints[person, part] = self._fits[key].joints

    def touch(self, up: Doubles) -> list[Doubles]:
        """Return the heights (T,) along up at which each person touches the ground."""
        return [
            touches(joints, segments, self.times, up)
            for joints, segments in zip(self.joints, self.poses.segments, strict=True)
        ]

    def _stretches(self) -> Iterator[tuple[int, slice, Observations]]:
        poses, centre = self.poses, (self.size[0] / 2, self.size[1] / 2)
        for person, segments in enumerate(poses.segments):
            for first, end in segments:
                part = slice(first, end)
                contacts = None if poses.contacts is None else poses.contacts[person, part]
                keypoints, joints = poses.keypoints[person, part], poses.joints[person, part]
                yield person, part, observe(keypoints, joints, self.times[part], centre, self.focal, contacts)


def joint_status(keypoints: Floats, posed: Bools, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return `JointStatus` (..., T, 17): seen where a joint's keypoints score enough inside the picture.

    keypoints: (..., T, 17, 3) COCO-17, pixels and score. posed: (..., T) whether there is a pose.
    """
    inside = (keypoints[..., :2] >= 0).all(-1) & (keypoints[..., :2] <= np.array(size)).all(-1)
    shown = inside & (keypoints[..., 2] >= SEEN_SCORE)
    status = np.where(posed, JointStatus.INFERRED, JointStatus.MISSING)[..., None].repeat(17, -1)
    for joint, needed in _SHOWN_BY.items():
        seen = posed & shown[..., needed].all(-1)
        status[..., joint][seen] = JointStatus.SEEN
    return status.astype(np.uint8)
