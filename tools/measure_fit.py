"""How the fit changes poses, on simulated detections of validation motion.

    python -m tools.measure_fit ../shared/mocap
    python -m tools.measure_fit ../shared/mocap --set direction=0.3 --set keypoint=0.03

The first three seconds of every validation take, with changed proportions, from a random camera. The rows are
the lifter by itself, the fit, and the fit with each changed sigma.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from demo.motion.body import SIGMAS, Sigmas
from demo.motion.fit import fit_person
from demo.motion.observations import Observations, observe
from lifter.angles import flexion
from lifter.checkpoints.files import load_checkpoint
from lifter.clip_camera import ClipCamera
from lifter.datasets.mocap.folders import load_motion
from lifter.datasets.mocap.npz import MotionSequence
from lifter.datasets.synthetic.bodies import change_proportions
from lifter.datasets.synthetic.cameras import CameraModel, render_windows
from lifter.datasets.synthetic.noise import NoiseModel
from lifter.evaluation.metrics import p_mpjpe_per_frame
from lifter.gaps import to_lifter_input
from lifter.inference import lift_track
from lifter.network import Lifter
from lifter.spec import LifterSpec

FRAMES = 150
CAMERA = CameraModel(tilted_chance=0.2, any_roll_chance=0)  # as people hold cameras
KNEES = ((0, 12), (25, 60), (60, 180))  # true flexion in degrees: straight, walking, deep


@dataclass(frozen=True)
class SimulatedClip:
    """observations: what the fit reads. lifted, true: joints (T, 17, 3), metres, pelvis at 0, camera axes."""

    observations: Observations
    lifted: NDArray[np.float32]
    true: NDArray[np.float32]


def simulate(take: MotionSequence, seed: int, lifter: Lifter, spec: LifterSpec) -> SimulatedClip:
    """Render the first `FRAMES` frames of a take, and lift them."""
    generator = torch.Generator().manual_seed(seed)
    world = change_proportions(torch.from_numpy(take.joints[:FRAMES])[None], generator)
    fps = torch.full((1,), take.fps)
    seen = render_windows(world, fps, CAMERA, NoiseModel(), generator)
    camera = ClipCamera(float(seen.focal), aspect=float(seen.aspect), fps=take.fps)
    window = to_lifter_input(seen.keypoints, fps, spec)[0].numpy()
    lifted = lift_track(lifter, spec, window, camera=camera)
    keypoints = seen.keypoints[0].numpy().copy()
    keypoints[keypoints[..., 2] <= 0, :2] = np.nan
    times = np.arange(FRAMES) / take.fps
    observations = observe(keypoints, lifted.joints, times, (0.0, 0.0), float(seen.focal), lifted.contacts)
    return SimulatedClip(observations, lifted.joints, seen.joints[0].numpy())


def compare(found: list[NDArray[np.floating]], clips: list[SimulatedClip]) -> list[str]:
    """Return the cells of a row: P-MPJPE, error of knees and elbows, mean difference of knees by `KNEES`."""
    p_mpjpe = np.mean([p_mpjpe_per_frame(f, c.true).mean() for f, c in zip(found, clips, strict=True)])
    knee, elbow, true = (
        np.concatenate(each)
        for each in zip(
            *(
                (
                    flexion(f, "knee") - flexion(c.true, "knee"),
                    flexion(f, "elbow") - flexion(c.true, "elbow"),
                    flexion(c.true, "knee"),
                )
                for f, c in zip(found, clips, strict=True)
            ),
            strict=True,
        )
    )
    parts = [knee[(true >= low) & (true < high)] for low, high in KNEES]
    biases = [part.mean() if part.size else np.nan for part in parts]
    return [f"{value:.1f}" for value in (1000 * p_mpjpe, np.abs(knee).mean(), np.abs(elbow).mean(), *biases)]


def changed(setting: str) -> Sigmas:
    """Return the sigmas with `NAME=VALUE`.

    Raises:
        typer.BadParameter: there is no such sigma, or no number.
    """
    name, _, value = setting.partition("=")
    if name not in [field.name for field in fields(Sigmas)]:
        raise typer.BadParameter(f"no sigma is called {name!r}")
    try:
        return replace(SIGMAS, **{name: float(value)})
    except ValueError as error:
        raise typer.BadParameter(f"{setting!r}: {value!r} is no number") from error


def main(
    data: Path,
    weights: Path = Path("weights/wild.safetensors"),
    settings: list[str] = typer.Option([], "--set", help="NAME=VALUE of a sigma; a row each."),
) -> None:
    """Print P-MPJPE in mm and joint angles in degrees of the lifter and of the fit."""
    rows = {"fit": SIGMAS} | {setting: changed(setting) for setting in settings}
    lifter, entry, config = load_checkpoint(weights)
    spec = entry.spec(config)
    takes = [take for take in load_motion(data, "val") if take.kind != "authored"]
    takes = [take for take in takes if len(take.joints) >= FRAMES]
    clips = [
        simulate(take, 1000 + number, lifter, spec) for number, take in enumerate(track(takes, "Simulating"))
    ]
    names = [f"knee bias {low} to {high}" for low, high in KNEES]
    table = Table("what", "P-MPJPE mm", "knee error", "elbow error", *names)
    table.add_row("lifter", *compare([clip.lifted for clip in clips], clips))
    for name, sigmas in rows.items():
        fits = [fit_person(clip.observations, sigmas=sigmas).joints for clip in track(clips, name)]
        table.add_row(name, *compare([each - each[:, :1] for each in fits], clips))
    Console().print(table, f"{len(clips)} clips of {FRAMES} frames")


if __name__ == "__main__":
    typer.run(main)
