"""Error of scale from 2.5D poses to metres, and the limb lengths that `lifter.metric` expects.

The exact 2.5D poses of an oracle lifter are given to `lifter.metric.to_metres`, on held-out motion capture
seen by random cameras. The remaining error is that of the conversion itself: limbs that differ from the
average, and an assumed focal length. Captured takes are of adults; all takes include children and bodies of
random proportions, which no prior describes.

    python -m tools.measure_metres --data ../shared/mocap
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from lifter.datasets.mocap.npz import CAPTURED, MotionSequence
from lifter.datasets.synthetic.cameras import CameraModel, draw_camera
from lifter.evaluation.metrics import mpjpe
from lifter.metric import limbs_length, to_image_units, to_metres

CLIP_FRAMES = 150  # as `lifter evaluate` cuts motion capture

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class OracleClip:
    """Exact joints (150, 17, 3), metres from the camera, and focal lengths in screen units, 2 f / width."""

    joints: Floats
    fps: float
    true_focal: float
    assumed_focal: float


@dataclass(frozen=True)
class ScaleError:
    """Means over frames: the error of a pose's scale in percent, and its MPJPE in mm."""

    scale_percent: float
    mpjpe: float


def captured(takes: Sequence[MotionSequence]) -> list[MotionSequence]:
    """Select takes of people: no bodies of random proportions, and no measurements of children."""
    return [take for take in takes if take.kind == CAPTURED]


def oracle_clips(takes: Sequence[MotionSequence], seed: int) -> Iterator[OracleClip]:
    """Cut every take into clips of three seconds, seen by one random camera each."""
    for number, take in enumerate(takes):
        pieces = len(take.joints) // CLIP_FRAMES
        if not pieces:
            continue
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        world = torch.from_numpy(take.joints[: pieces * CLIP_FRAMES]).unflatten(0, (pieces, CLIP_FRAMES))
        camera = draw_camera(world, CameraModel(), generator)
        world = world - camera.drift(world)
        camera = camera.away_from(world)
        seen = camera.to_camera(world).numpy()
        for joints, focal, assumed in zip(seen, camera.scale, camera.assumed_focal, strict=True):
            yield OracleClip(joints, take.fps, float(focal), float(assumed))


def scale_error(clips: Sequence[OracleClip], assume_focal: bool) -> ScaleError:
    """Return the error of oracle poses in metres, with the true focal length or with the application's."""
    off, errors = [], []
    for clip in clips:
        pose, pelvis = to_image_units(clip.joints, clip.true_focal)
        found = to_metres(pose, pelvis, clip.fps, clip.assumed_focal if assume_focal else clip.true_focal)
        truth = clip.joints - clip.joints[:, :1]
        best = (found * truth).sum((1, 2)) / (truth**2).sum((1, 2))
        off.append(np.abs(best - 1))
        errors.append(mpjpe(found, truth))
    return ScaleError(100 * float(np.concatenate(off).mean()), 1000 * float(np.mean(errors)))


def main(
    data: Annotated[Path, typer.Option(help="The motion capture.")],
    seed: Annotated[int, typer.Option(help="Of the cameras.")] = 1,
) -> None:
    """Print the limbs' length in the training split, and the errors of the oracle on the test split."""
    from rich.console import Console

    from lifter.datasets.mocap.folders import load_motion

    console = Console(highlight=False, soft_wrap=True)
    lengths = np.concatenate([limbs_length(take.joints) for take in captured(load_motion(data, "train"))])
    console.print(f"limbs, captured training takes: {lengths.mean():.3f} m, mean over {len(lengths)} frames")
    takes = load_motion(data, "test")
    for name, chosen in (("captured", captured(takes)), ("all", takes)):
        clips = list(oracle_clips(chosen, seed))
        for assumed in (False, True):
            found = scale_error(clips, assumed)
            console.print(
                f"{len(clips)} clips of {name} test takes, exact 2.5D, {'assumed' if assumed else 'true'} "
                f"focal length: mean scale error {found.scale_percent:.1f} %, MPJPE {found.mpjpe:.1f} mm"
            )


if __name__ == "__main__":
    typer.run(main)
