"""Motion capture through virtual cameras, as any lifter of the zoo reads it: one camera, or several."""

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

# Several cameras stand on tripods around the person: they neither follow nor tilt as a phone in a hand does.
AROUND = CameraModel(
    pitch=(-10.0, 45.0),
    roll=30.0,
    any_roll_chance=0.0,
    tilted_chance=0.4,
    distance=(2.0, 7.0),
    cut_off_chance=0.05,
    follow_chance=0.0,
)
SPREAD = 0.45  # of a camera's share of the circle, to both sides
H36M_FRAMES = 1_559_752  # of its training subjects, by all cameras
SHORTEST = 9  # frames of a window, where lengths vary
WIDTH = 1000.0  # pixels, of a virtual picture where somebody asks for pixels


@dataclass(frozen=True)
class SyntheticWindows:
    """Windows for a lifter of one view."""

    clips: VirtualClips
    spec: LifterSpec
    size: int
    frames: int
    seed: int
    shorter: float | None = None  # share of the batches whose windows are shorter, `SHORTEST` frames at least

    def __len__(self) -> int:
        return nominal_epoch(self.spec, self.frames)

    def batch(self, step: int) -> Batch:
        """`size` windows, each of another body and camera."""
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
        """Windows and frames a window; shorter windows are more, so that frames a batch are about as many."""
        if self.shorter is None or torch.rand((), generator=generator) >= self.shorter:
            return self.size, self.frames
        part = torch.rand((), generator=generator).item()
        frames = round(SHORTEST * (self.frames / SHORTEST) ** part)
        return self.size * self.frames // frames, frames


@dataclass(frozen=True)
class MultiviewWindows(SyntheticWindows):
    """Windows for a lifter of several views: random cameras around one person, others in every window."""

    def batch(self, step: int) -> Batch:
        """`size` windows, each of another body and other cameras."""
        generator = step_generator(self.seed, step)
        bodies = self.clips.bodies(self.size, self.frames, generator)
        views = render_views_around(bodies.joints, bodies.fps, self.spec.views, self.clips.noise, generator)
        keypoints = views_for_lifter(views.keypoints, bodies.fps, self.spec)
        return Batch(keypoints, views.joints, rig=views.rig, fps=bodies.fps)


def nominal_epoch(spec: LifterSpec, frames: int) -> int:
    """Windows an epoch, which papers' schedules count: as many as Human3.6M gives, for films never end."""
    return H36M_FRAMES // (frames if spec.output == "sequence" else 1)


@dataclass(frozen=True)
class Views:
    """One motion by V cameras at once.

    keypoints: (B, T, V, 17, 3) noisy COCO-17, screen-normalised x, y and score (0 = missing).
    joints: (B, T, 17, 3) Human3.6M-17, metres, relative to the pelvis, in a level world (z up) whose +y is
    where the first camera looks: nobody could tell north from the pictures.
    rig: where the cameras stand in that world.
    """

    keypoints: Tensor
    joints: Tensor
    rig: Rig


def render_views_around(
    joints: Tensor, fps: Tensor, views: int, noise: NoiseModel | None, generator: torch.Generator
) -> Views:
    """World motion (B, T, 17, 3), z up, seen by cameras that stand around the person, counterclockwise."""
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
    """Keypoints (B, T, V, 17, 3) of all views as `to_lifter_input` makes them of one: (B, T, V, 17, C)."""
    return torch.stack([to_lifter_input(view, fps, spec) for view in keypoints.unbind(2)], 2)


def rig_of(shots: list[VirtualCamera]) -> Rig:
    """Cameras that do not follow anybody as a rig: pinholes that look at the middle of their pictures."""

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
    """Where cameras look (B, V), radians: the first along +y, the others going round counterclockwise."""
    spread = SPREAD * (2 * torch.rand(batch, views - 1, generator=generator) - 1)
    others = (torch.arange(1, views) + spread) * (2 * torch.pi / views)
    return torch.cat((torch.zeros(batch, 1), others), 1)


def _spun(joints: Tensor, angle: Tensor) -> Tensor:
    """World motion turned about the vertical by an angle (B,)."""
    c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
    x, y, z = joints.unbind(-1)
    return torch.stack((c * x - s * y, s * x + c * y, z), -1)
