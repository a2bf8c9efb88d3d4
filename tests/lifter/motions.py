"""A small walking figure as motion capture, for tests that must not need any data."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from lifter.datasets.mocap.npz import FPS, NPZ_NAME, MotionSequence
from lifter.metric import LIMBS_LENGTH, limbs_length

# Standing, facing -y, left side at +x; metres, z up.
STANDING = np.array(
    [
        (0, 0, 0.95), (-0.09, 0, 0.95), (-0.09, 0, 0.52), (-0.09, 0, 0.08), (0.09, 0, 0.95),
        (0.09, 0, 0.52), (0.09, 0, 0.08), (0, 0, 1.1), (0, 0, 1.35), (0, -0.02, 1.5),
        (0, -0.02, 1.62), (0.2, 0, 1.4), (0.22, 0, 1.12), (0.24, 0, 0.88), (-0.2, 0, 1.4),
        (-0.22, 0, 1.12), (-0.24, 0, 0.88),
    ],
    np.float32,
)  # fmt: skip

# The same in camera axes, x right, y down, z forward, with the limbs of the average adult.
_LEVEL = np.stack((STANDING[:, 0], -STANDING[:, 2], STANDING[:, 1]), -1)
ADULT = (_LEVEL * LIMBS_LENGTH / limbs_length(_LEVEL[None])).astype(np.float32)


def walk(frames: int = 200, stride: float = 0.35) -> np.ndarray:
    """(T, 17, 3): arms and legs swing while the body moves along -y; not anatomical, but a motion."""
    t = np.arange(frames) / FPS
    joints = np.tile(STANDING, (frames, 1, 1))
    for chain, sign in (((2, 3), 1), ((5, 6), -1), ((12, 13), 0.7), ((15, 16), -0.7)):
        for depth, joint in enumerate(chain, start=1):
            joints[:, joint, 1] += sign * depth / 2 * stride * np.sin(2 * np.pi * t)
    joints[..., 1] -= 0.8 * t[:, None]
    return joints.astype(np.float32)


def take(split: str = "train", frames: int = 200, stride: float = 0.35) -> MotionSequence:
    """The walk as a take."""
    return MotionSequence(f"walk_{stride}", "walker", split, FPS, walk(frames, stride))


def write_mocap(folder: Path) -> None:
    """A motion-capture folder with one take for each split, in the layout of the real one."""
    arrays = {}
    rows = []
    for split, stride in (("train", 0.35), ("val", 0.3), ("test", 0.4)):
        joints = walk(160, stride).astype(np.float64)
        packed = joints.copy()
        packed[:, 1:] -= joints[:, :1]
        ticks = np.rint(packed * 1e4).astype(np.int32)
        arrays[f"walk_{split}/first"] = ticks[0]
        arrays[f"walk_{split}/step"] = np.diff(ticks, axis=0).astype(np.int16)
        rows.append({"key": f"walk_{split}", "subject": split, "split": split})
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / NPZ_NAME, **arrays)
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("key", "subject", "split"))
        writer.writeheader()
        writer.writerows(rows)
