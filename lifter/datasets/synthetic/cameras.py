"""Motion capture rendered by random virtual cameras: endless (2D, 3D) pairs like in-the-wild video."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lifter.cameras import look_rotation, perspective_crop
from lifter.clip_camera import ASSUMED_FOCAL
from lifter.datasets.synthetic.bodies import (
    UPPER_BODY,
    MotionWindows,
    change_proportions,
    coco_joints,
    mirror,
    mix_bodies,
)
from lifter.datasets.synthetic.contacts import contact_labels
from lifter.datasets.synthetic.noise import NoiseModel

_ASPECTS = (9 / 16, 9 / 16, 3 / 4, 1.0, 4 / 3, 16 / 9, 16 / 9)


@dataclass(frozen=True)
class CameraModel:
    """Distribution of cameras. Angles in degrees, distance in metres, focal in the picture's longer side."""

    pitch: tuple[float, float] = (-30.0, 60.0)
    roll: float = 35.0
    tilted_chance: float = 0.45  # of pitch, and of roll, drawn from the whole range, not near level
    distance: tuple[float, float] = (2.0, 8.0)
    any_roll_chance: float = 0.08  # of roll by any angle: clips upside down or on their side
    focal: tuple[float, float] = (0.7, 2.5)
    cut_off_chance: float = 0.12  # the person does not fit the picture
    follow_chance: float = 0.3  # the camera moves along with the person


@dataclass(frozen=True)
class VirtualBatch:
    """Rendered windows.

    keypoints: (B, T, 17, 3) noisy COCO-17, screen-normalised x, y and score (0 = missing).
    joints: (B, T, 17, 3) Human3.6M-17 in camera axes, metres, relative to the pelvis.
    up: (B, 3) the world's up in camera axes. fps: (B,). aspect: (B,) height / width of the picture.
    focal: (B,) in screen units, as the application would assume it; it does not know the true one.
    root: (B, T, 3) the pelvis in camera axes, metres.
    contacts: (B, T, 17) as `contacts.contact_labels`; None if not computed.
    """

    keypoints: Tensor
    joints: Tensor
    up: Tensor
    fps: Tensor
    focal: Tensor
    aspect: Tensor
    root: Tensor
    contacts: Tensor | None = None

    def perspective_crop(self) -> VirtualBatch:
        """Rotate the cameras towards the person, by the assumed focal length."""
        keypoints, rotation = perspective_crop(self.keypoints, self.focal)
        joints = torch.einsum("bij,btkj->btki", rotation, self.joints)
        up = torch.einsum("bij,bj->bi", rotation, self.up)
        root = torch.einsum("bij,btj->bti", rotation, self.root)
        return replace(self, keypoints=keypoints, joints=joints, up=up, root=root)


@dataclass(frozen=True)
class Bodies:
    """Windows of world motion (B, T, 17, 3), z up, their fps (B,), and `contact_labels` (B, T, 17)."""

    joints: Tensor
    fps: Tensor
    contacts: Tensor


@dataclass(frozen=True)
class VirtualClips:
    """The pipeline motion -> body -> camera -> noisy keypoints. All random numbers are from one generator."""

    motion: MotionWindows
    camera: CameraModel = field(default_factory=CameraModel)
    noise: NoiseModel | None = field(default_factory=NoiseModel)
    mix_chance: float = 0.2

    def batch(self, size: int, frames: int, generator: torch.Generator) -> VirtualBatch:
        """Render `size` windows of `frames` frames."""
        bodies = self.bodies(size, frames, generator)
        drawn = render_windows(bodies.joints, bodies.fps, self.camera, self.noise, generator)
        return replace(drawn, contacts=bodies.contacts)

    def bodies(self, size: int, frames: int, generator: torch.Generator) -> Bodies:
        """Draw world motion of random bodies: mixed, mirrored, with changed proportions."""
        joints, fps = self.motion.draw(size, frames, generator)
        other, _ = self.motion.draw(size, frames, generator)
        mixed = torch.rand(size, generator=generator) < self.mix_chance
        joints = torch.where(mixed[:, None, None, None], mix_bodies(joints, other), joints)
        mirrored = torch.rand(size, generator=generator) < 0.5
        joints = torch.where(mirrored[:, None, None, None], mirror(joints), joints)
        # Before proportions change and move hands off the floor. A mixed upper body has unknown contacts.
        contacts = contact_labels(joints, fps)
        contacts[..., UPPER_BODY] = torch.where(mixed[:, None, None], torch.nan, contacts[..., UPPER_BODY])
        return Bodies(change_proportions(joints, generator), fps, contacts)


@dataclass(frozen=True)
class VirtualCamera:
    """One random camera for each of B windows, with its pose.

    rotation: (B, 3, 3) world to camera. middle: (B, 3) world point, the middle of the person, which
    lies at `offset` (B, 3) in camera axes, metres. aspect: (B,) height / width of the picture. scale: (B,)
    focal length in screen units. follow: (B,) share of the person's path that the camera follows.
    """

    rotation: Tensor
    middle: Tensor
    offset: Tensor
    aspect: Tensor
    scale: Tensor
    follow: Tensor

    @property
    def assumed_focal(self) -> Tensor:
        """The focal length (B,) in screen units that the application would assume."""
        return 2 * ASSUMED_FOCAL * self.aspect.clamp(min=1.0)

    def drift(self, joints: Tensor) -> Tensor:
        """Return the translation (B, T, 1, 3) of a camera that follows world motion (B, T, 17, 3)."""
        path = joints[:, :, :1] - self.middle[:, None, None]
        return self.follow[:, None, None, None] * path

    def to_camera(self, points: Tensor) -> Tensor:
        """Transform world points (B, T, J, 3), minus the drift, to camera axes."""
        turned = torch.einsum("bij,btkj->btki", self.rotation, points - self.middle[:, None, None])
        return turned + self.offset[:, None, None]

    def away_from(self, points: Tensor) -> VirtualCamera:
        """Move the camera back until all points (B, T, J, 3) are at least 0.8 m in front of it."""
        back = (0.8 - self.to_camera(points)[..., 2].amin((1, 2))).clamp(min=0)
        return replace(self, offset=self.offset + back[:, None] * self.offset.new_tensor((0.0, 0.0, 1.0)))

    def keypoints(
        self, coco: Tensor, ahead: Tensor, fps: Tensor, noise: NoiseModel | None, generator: torch.Generator
    ) -> Tensor:
        """Return detections (B, T, 17, 3), 2D and score, of COCO joints in world axes, minus the drift.

        ahead: (B, T, 3) facing direction.
        """
        seen = self.to_camera(coco)
        points = self.scale[:, None, None, None] * seen[..., :2] / seen[..., 2:]
        if noise is None:
            return torch.cat((points, torch.ones_like(points[..., :1])), -1)
        gaze = torch.einsum("bij,btj->bti", self.rotation, ahead)
        return noise.apply(points, _hidden(seen, points, gaze), self.aspect, fps, generator)


def draw_camera(
    joints: Tensor, camera: CameraModel, generator: torch.Generator, yaw: Tensor | None = None
) -> VirtualCamera:
    """Draw a random camera for each window of world motion (B, T, 17, 3); `yaw` (B,) in radians."""
    batch = joints.shape[0]

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(batch).uniform_(low, high, generator=generator)

    def chance(p: float) -> Tensor:
        return torch.rand(batch, generator=generator) < p

    wide_pitch, wide_roll = uniform(*camera.pitch), uniform(-camera.roll, camera.roll)
    usual_pitch = (8 + 12 * torch.randn(batch, generator=generator)).clamp(*camera.pitch)
    usual_roll = 4 * torch.randn(batch, generator=generator)
    pitch = torch.where(chance(camera.tilted_chance), wide_pitch, usual_pitch).deg2rad()
    roll = torch.where(chance(camera.tilted_chance), wide_roll, usual_roll)
    roll = torch.where(chance(camera.any_roll_chance), uniform(-180, 180), roll).deg2rad()
    yaw = uniform(-torch.pi, torch.pi) if yaw is None else yaw
    rotation = look_rotation(yaw, pitch, roll)

    aspect = torch.tensor(_ASPECTS)[torch.randint(len(_ASPECTS), (batch,), generator=generator)]
    longer = aspect.clamp(min=1.0)  # the picture's longer side, in widths
    focal = camera.focal[0] * (camera.focal[1] / camera.focal[0]) ** torch.rand(batch, generator=generator)
    distance = uniform(*camera.distance)
    # If the person does not fit, shorten the focal length, then increase the distance.
    room = (
        0.9
        * torch.minimum(aspect / longer, torch.ones(()))
        * torch.empty(batch).uniform_(0.5, 1, generator=generator)
    )
    fits = torch.where(chance(camera.cut_off_chance), 2.0, 1.0) * room * distance / 1.8
    focal = torch.minimum(focal, fits.clamp(min=camera.focal[0]))
    distance = torch.maximum(distance, torch.where(fits < camera.focal[0], 1.8 * focal / room, distance))
    scale = 2 * focal * longer

    # The camera is placed so that the person's middle projects to a random point of the picture.
    middle = joints[:, :, 0].mean(1)
    spot = torch.stack((uniform(-0.6, 0.6), uniform(-0.35, 0.35) * aspect), -1)
    ray = torch.cat((spot / scale[:, None], torch.ones(batch, 1)), -1)
    offset = ray * distance[:, None]
    follow = torch.where(chance(camera.follow_chance), uniform(0.3, 1.0), torch.zeros(batch))
    return VirtualCamera(rotation, middle, offset, aspect, scale, follow)


def render_windows(
    joints: Tensor, fps: Tensor, camera: CameraModel, noise: NoiseModel | None, generator: torch.Generator
) -> VirtualBatch:
    """Render world motion (B, T, 17, 3), z up, with one random camera for each window."""
    shot = draw_camera(joints, camera, generator)
    still = joints - shot.drift(joints)
    coco, ahead = coco_joints(still, generator)
    shot = shot.away_from(coco)
    target = shot.to_camera(still)
    keypoints = shot.keypoints(coco, ahead, fps, noise, generator)
    up, root = shot.rotation[..., 2], target[:, :, 0]
    return VirtualBatch(keypoints, target - target[:, :, :1], up, fps, shot.assumed_focal, shot.aspect, root)


def _hidden(seen: Tensor, points: Tensor, gaze: Tensor) -> Tensor:
    """Return the self-occlusion (B, T, 17) of COCO joints, in [0, 1]. Camera axes."""
    hidden = torch.zeros(points.shape[:3])
    # Arms and legs behind the trunk: inside its outline in the picture and farther away.
    trunk, trunk_seen = points[:, :, (5, 6, 11, 12)], seen[:, :, (5, 6, 11, 12)]
    low, high = trunk.amin(2, keepdim=True), trunk.amax(2, keepdim=True)
    inside = ((points > low) & (points < high)).all(-1)
    behind = seen[..., 2] > trunk_seen[..., 2].mean(2, keepdim=True) + 0.08
    limbs = list(range(7, 11)) + list(range(13, 17))
    hidden[..., limbs] = (inside & behind)[..., limbs].float()
    # The face seen from behind, and the far ear.
    away = (gaze[..., 2] + 0.1).clamp(0, 0.6)[..., None] / 0.6
    hidden[..., :3] = away
    ears = seen[..., (3, 4), 2] - seen[..., (3, 4), 2].mean(-1, keepdim=True)
    hidden[..., 3:5] = (ears / 0.06).clamp(0, 1)
    return hidden
