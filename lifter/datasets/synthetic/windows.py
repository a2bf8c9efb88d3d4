"""Training batches of motion capture through one or several virtual cameras, for any lifter."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from lifter.batches import Batch, step_generator
from lifter.datasets.synthetic.bodies import coco_joints
from lifter.datasets.synthetic.cameras import CameraModel, VirtualCamera, VirtualClips, draw_camera
from lifter.datasets.synthetic.noise import NoiseModel
from lifter.gaps import to_lifter_input
from lifter.spec import LifterSpec
from lifter.training.multiview_losses import Rig

# Several cameras are on tripods around the person: they do not follow, and tilt less than a phone.
AROUND = CameraModel(
    pitch=(-10.0, 45.0),
    roll=30.0,
    any_roll_chance=0.0,
    tilted_chance=0.4,
    distance=(2.0, 7.0),
    cut_off_chance=0.05,
    follow_chance=0.0,
)
SPREAD = 0.45  # largest deviation from even spacing, in spacings
H36M_FRAMES = 1_559_752  # of Human3.6M's training subjects, by all cameras
SHORTEST = 9  # frames of the shortest window, if lengths vary
WIDTH = 1000.0  # pixels of a virtual picture, for rigs


@dataclass(frozen=True)
class SyntheticWindows:
    """Windows for a lifter of one view."""

    clips: VirtualClips
    spec: LifterSpec
    size: int
    frames: int
    seed: int
    shorter: float | None = None  # share of the batches with shorter windows, at least `SHORTEST` frames

    def __len__(self) -> int:
        return nominal_epoch(self.spec, self.frames)

    def batch(self, step: int) -> Batch:
        """Return `size` windows, each with its own body and camera."""
        generator = step_generator(self.seed, step)
        size, frames = self._drawn_size(generator)
        drawn = self.clips.batch(size, frames, generator)
        if self.spec.perspective_crop:
            drawn = drawn.perspective_crop()
        keypoints = to_lifter_input(drawn.keypoints, drawn.fps, self.spec)
        return Batch(
            keypoints, drawn.joints, drawn.up, fps=drawn.fps, root=drawn.root, contacts=drawn.contacts
        )

    def _drawn_size(self, generator: torch.Generator) -> tuple[int, int]:
        """Draw the number of windows and their length; the frames a batch are about constant."""
        if self.shorter is None or torch.rand((), generator=generator) >= self.shorter:
            return self.size, self.frames
        part = torch.rand((), generator=generator).item()
        frames = round(SHORTEST * (self.frames / SHORTEST) ** part)
        return self.size * self.frames // frames, frames


@dataclass(frozen=True)
class MultiviewWindows(SyntheticWindows):
    """Windows for a lifter of several views: new random cameras around the person in every window."""

    def batch(self, step: int) -> Batch:
        """Return `size` windows, each with its own body and cameras."""
        generator = step_generator(self.seed, step)
        bodies = self.clips.bodies(self.size, self.frames, generator)
        views = render_views_around(bodies.joints, bodies.fps, self.spec.views, self.clips.noise, generator)
        keypoints = views_for_lifter(views.keypoints, bodies.fps, self.spec)
        return Batch(keypoints, views.joints, rig=views.rig, fps=bodies.fps)


def nominal_epoch(spec: LifterSpec, frames: int) -> int:
    """Return the windows an epoch, for papers' schedules: Human3.6M's number, since windows are endless."""
    return H36M_FRAMES // (frames if spec.output == "sequence" else 1)


@dataclass(frozen=True)
class Views:
    """B motions, each by V cameras at once.

    keypoints: (B, T, V, 17, 3) noisy COCO-17, screen-normalised x, y and score (0 = missing).
    joints: (B, T, 17, 3) Human3.6M-17, metres, relative to the pelvis, in a level world (z up) whose +y is
    the heading of the first camera, since pictures do not determine north.
    rig: the cameras in that world.
    """

    keypoints: Tensor
    joints: Tensor
    rig: Rig


def render_views_around(
    joints: Tensor, fps: Tensor, views: int, noise: NoiseModel | None, generator: torch.Generator
) -> Views:
    """Render world motion (B, T, 17, 3), z up, with cameras around the person, counterclockwise."""
    batch = joints.shape[0]
    joints = _spun(joints, 2 * torch.pi * torch.rand(batch, generator=generator))
    coco, ahead = coco_joints(joints, generator)
    keypoints, shots = [], []
    for yaw in _directions(batch, views, generator).unbind(1):
        shot = draw_camera(joints, AROUND, generator, yaw).away_from(coco)
        keypoints.append(shot.keypoints(coco, ahead, fps, noise, generator))
        shots.append(shot)
    return Views(torch.stack(keypoints, 2), joints - joints[:, :, :1], rig_of(shots))


def views_for_lifter(keypoints: Tensor, fps: Tensor, spec: LifterSpec) -> Tensor:
    """Apply `to_lifter_input` to each view of keypoints (B, T, V, 17, 3): (B, T, V, 17, C)."""
    return torch.stack([to_lifter_input(view, fps, spec) for view in keypoints.unbind(2)], 2)


def rig_of(shots: list[VirtualCamera]) -> Rig:
    """Convert static cameras to a rig of pinholes with the principal point in the middle of the picture."""

    def stack(parts: list[Tensor]) -> Tensor:
        return torch.stack([part.double() for part in parts], 1)

    size = stack([torch.stack((torch.full_like(s.aspect, WIDTH), WIDTH * s.aspect), -1) for s in shots])
    turned = [torch.from_numpy(Rotation.from_matrix(s.rotation.mT.numpy()).as_quat()) for s in shots]
    return Rig(
        rotation=stack([torch.cat((q[:, 3:], q[:, :3]), -1) for q in turned]),
        position=stack([s.middle - torch.einsum("bji,bj->bi", s.rotation, s.offset) for s in shots]),
        focal=stack([(s.scale * WIDTH / 2)[:, None].expand(-1, 2) for s in shots]),
        centre=size / 2,
        radial=size.new_zeros(*size.shape[:2], 3),
        tangential=torch.zeros_like(size),
        size=size,
    )


def _directions(batch: int, views: int, generator: torch.Generator) -> Tensor:
    """Draw headings (B, V) of cameras, radians: the first is +y, the others follow counterclockwise."""
    spread = SPREAD * (2 * torch.rand(batch, views - 1, generator=generator) - 1)
    others = (torch.arange(1, views) + spread) * (2 * torch.pi / views)
    return torch.cat((torch.zeros(batch, 1), others), 1)


def _spun(joints: Tensor, angle: Tensor) -> Tensor:
    """Rotate world motion about the vertical by an angle (B,)."""
    c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
    x, y, z = joints.unbind(-1)
    return torch.stack((c * x - s * y, s * x + c * y, z), -1)
