"""Training windows of Human3.6M's takes: each once an epoch, in random order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lifter.batches import Batch, Places, step_generator
from lifter.cameras import perspective_crop, quaternion_inverse, quaternion_rotate
from lifter.datasets.h36m import FPS, H36MTake
from lifter.evaluation.h36m import Clip, chunk_starts, clips, sliding_starts
from lifter.inference import mirror_2d, mirror_3d
from lifter.spec import LifterSpec
from lifter.training.multiview_losses import Rig
from lifter.windows import cut_windows

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Flip = Literal["twice", "half", "never"]


class H36MWindows:
    """A source of batches.

    A lifter of whole windows gets windows side by side, centred on the take, as in KTPFormer's code. All
    others get the window around every frame. Frames outside the take repeat its first or last frame.

    Args:
        takes: with the 2D set `keypoints`, whose joints the spec's lifter must be able to read.
        size: windows a batch.
        frames: of a window.
        flip: mirror every window in addition ("twice"), half of them, or none. Always none for several views:
            a mirrored rig is another rig.

    Raises:
        DataError: the 2D has other joints, or too few views.
    """

    def __init__(
        self,
        takes: Sequence[H36MTake],
        spec: LifterSpec,
        keypoints: str,
        size: int,
        frames: int,
        seed: int,
        flip: Flip,
    ) -> None:
        self.spec, self.size, self.frames, self.seed = spec, size, frames, seed
        self.flip: Flip = "never" if spec.views > 1 else flip
        self._clips: list[Clip] = []
        self._takes: list[H36MTake] = []
        ups: list[Tensor] = []
        for take in takes:
            found = list(clips(take, spec, keypoints))
            self._clips += found
            self._takes += [take] * len(found)
            ups += _ups(take, spec)
        self._ups = torch.stack(ups)
        cut = chunk_starts if spec.output == "sequence" and spec.views == 1 else sliding_starts
        starts = [cut(len(clip.joints), frames) for clip in self._clips]
        self._starts = np.concatenate(starts)
        self._clip = np.repeat(np.arange(len(starts)), [len(each) for each in starts])
        self._order: tuple[int, Ints] = (-1, np.empty(0, np.int64))  # an epoch and its shuffled windows

    def __len__(self) -> int:
        return len(self._starts) * (2 if self.flip == "twice" else 1)

    def batch(self, step: int) -> Batch:
        """Return the windows of a step, a part of its epoch."""
        picks = self._picks(step)
        mirrored = torch.from_numpy(picks >= len(self._starts))
        if self.flip == "half":
            mirrored = torch.rand(self.size, generator=step_generator(self.seed, step)) < 0.5
        windows = picks % len(self._starts)
        which, starts = self._clip[windows], self._starts[windows]
        chosen = [self._clips[each] for each in which]
        keypoints = _cut([clip.keypoints for clip in chosen], starts, self.frames)
        joints, up = _cut([clip.joints for clip in chosen], starts, self.frames), self._ups[which]
        if self.spec.views > 1:
            takes = [self._takes[each] for each in which]
            lengths = np.array([len(clip.joints) for clip in chosen])
            first, end = starts.clip(0), np.minimum(starts + self.frames, lengths)
            names = [(take.subject, take.name) for take in takes]
            places = Places(names, torch.from_numpy(first), torch.from_numpy(end))
            return Batch(keypoints, joints, rig=Rig.of([take.cameras for take in takes]), places=places)
        flip = mirrored[:, None, None, None]
        keypoints = torch.where(flip, mirror_2d(keypoints, self.spec), keypoints)
        joints = torch.where(flip, mirror_3d(joints), joints)
        up = torch.where(mirrored[:, None], up * up.new_tensor((-1.0, 1.0, 1.0)), up)
        if self.spec.perspective_crop:
            focal = torch.tensor([clip.camera.focal or 0.0 for clip in chosen])
            keypoints, turn = perspective_crop(keypoints, focal)
            joints = torch.einsum("bij,btkj->btki", turn, joints)
            up = torch.einsum("bij,bj->bi", turn, up)
        return Batch(keypoints, joints, up, fps=torch.full((len(joints),), FPS))

    def _picks(self, step: int) -> Ints:
        """Return the indices (size,) of a step's windows; mirror images follow the plain windows."""
        epochs, places = np.divmod(step * self.size + np.arange(self.size), len(self))
        picks = np.empty(self.size, np.int64)
        for epoch in np.unique(epochs):
            if self._order[0] != epoch:
                self._order = int(epoch), np.random.default_rng([self.seed, epoch]).permutation(len(self))
            picks[epochs == epoch] = self._order[1][places[epochs == epoch]]
        return picks


def _cut(tracks: Sequence[Floats], starts: Ints, frames: int) -> Tensor:
    """Cut one window of each track (T, ...): (B, frames, ...)."""
    windows = [
        cut_windows(track, start[None], frames)[0] for track, start in zip(tracks, starts, strict=True)
    ]
    return torch.from_numpy(np.stack(windows).astype(np.float32))


def _ups(take: H36MTake, spec: LifterSpec) -> list[Tensor]:
    """Return the world's up (3,) in the axes of each sequence of a take."""
    up = torch.tensor((0.0, 0.0, 1.0))
    if spec.views > 1:
        return [up]
    return [quaternion_rotate(quaternion_inverse(camera.rotation), up) for camera in take.cameras]
