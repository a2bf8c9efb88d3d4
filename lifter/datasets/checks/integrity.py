"""Check that a folder follows the layout of its data set, file by file.

A new data set is a new row of FORMATS.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import DataError, InputMissing
from lifter.datasets import humaneva
from lifter.datasets.checks.findings import FAR_PIXELS, Finding, height
from lifter.datasets.checks.published_sets import (
    check_3dhp,
    check_humaneva,
    check_motion_files,
    check_ski_pose,
)
from lifter.datasets.h36m import (
    NAME_3D,
    TEST_SUBJECTS,
    TRAIN_SUBJECTS,
    is_h36m,
    keypoint_sets,
    load_3d,
    load_h36m,
    name_2d,
    reprojection,
)
from lifter.datasets.mocap.folders import is_files, is_mocap
from lifter.datasets.mocap.npz import FPS, NPZ_NAME, load_mocap
from lifter.datasets.mpi_inf_3dhp import NAME_TEST, NAME_TRAIN, is_3dhp
from lifter.datasets.ski_pose import is_ski_pose


@dataclass(frozen=True)
class Format:
    """A layout: its file names, a test for folders, and the check of every file."""

    name: str
    files: str
    known: Callable[[Path], bool]
    check: Callable[[Path], Iterator[Finding]]


def check(folder: Path) -> tuple[str, Iterator[Finding]]:
    """Return the name of a folder's format, and the findings of its check.

    Raises:
        InputMissing: there is no such folder.
        DataError: it is of no known format.
    """
    if not folder.is_dir():
        raise InputMissing(f"{folder}: no such folder: give the folder with the data files")
    for each in FORMATS:
        if each.known(folder):
            return each.name, each.check(folder)
    known = "; ".join(f"{each.name}: {each.files}" for each in FORMATS)
    raise DataError(f"{folder}: holds no data set that is known here ({known})")


def check_h36m(folder: Path) -> Iterator[Finding]:
    """Check the 3D, then each set of 2D: completeness, shapes, and agreement with the projected 3D."""
    try:
        positions = load_3d(folder)
    except DataError as error:
        yield Finding(False, str(error))
        return
    missing = [s for s in (*TRAIN_SUBJECTS, *TEST_SUBJECTS) if s not in positions]
    takes = [joints for subject in positions.values() for joints in subject.values()]
    found = f"{NAME_3D}: {len(positions)} subjects, {len(takes)} takes, {sum(map(len, takes))} frames"
    yield Finding(True, found + (f"; without {', '.join(missing)}" if missing else ""))
    yield height(NAME_3D, takes)
    sets = keypoint_sets(folder)
    if not sets:
        yield Finding(False, f"{folder}: holds no 2D keypoints ({name_2d('gt')} and others)")
    for keypoints in sets:
        yield _check_2d(folder, keypoints, tuple(positions))


def _check_2d(folder: Path, keypoints: str, subjects: tuple[str, ...]) -> Finding:
    try:
        takes = load_h36m(folder, keypoints, subjects)
    except DataError as error:
        return Finding(False, str(error))
    pixels = float(np.median([reprojection(take) for take in takes]))
    channels = takes[0].keypoints.shape[-1]
    text = (
        f"{name_2d(keypoints)}: {len(takes)} takes, {takes[0].layout}, {channels} channels, "
        f"{pixels:.2f} pixels from the projected 3D on the median"
    )
    if pixels > FAR_PIXELS:
        return Finding(False, f"{text}: other cameras, units or order of joints than Human3.6M's")
    return Finding(True, text)


def check_mocap(folder: Path) -> Iterator[Finding]:
    """Check every split: takes, frames, and that no subject is in two splits."""
    seen: dict[str, str] = {}
    for split in ("train", "val", "test"):
        try:
            takes = load_mocap(folder, split)
        except DataError as error:
            yield Finding(False, str(error))
            continue
        except (zipfile.BadZipFile, ValueError, KeyError, OSError, EOFError) as error:
            yield Finding(False, f"{folder}: index.csv or {NPZ_NAME} is damaged ({error}); get them again")
            return
        frames = sum(len(take.joints) for take in takes)
        subjects = {take.subject for take in takes}
        hours = frames / FPS / 3600
        yield Finding(
            True, f"{split}: {len(subjects)} subjects, {len(takes)} takes, {frames} frames, {hours:.2f} h"
        )
        yield height(split, [take.joints for take in takes])
        for subject in sorted(subjects & seen.keys()):
            yield Finding(
                False, f"index.csv: subject {subject} is in {seen[subject]} and in {split}: choose one"
            )
        seen |= dict.fromkeys(subjects, split)


FORMATS = (
    Format(
        "Human3.6M in VideoPose3D's layout", f"{NAME_3D}, {name_2d('gt')} and others", is_h36m, check_h36m
    ),
    Format(
        "HumanEva in VideoPose3D's layout",
        f"{humaneva.NAME_3D}, {humaneva.name_2d('gt')} and others",
        humaneva.is_humaneva,
        check_humaneva,
    ),
    Format("MPI-INF-3DHP in P-STMO's layout", f"{NAME_TRAIN}, {NAME_TEST}", is_3dhp, check_3dhp),
    Format("Ski-Pose PTZ", "train/labels.h5, test/labels.h5", is_ski_pose, check_ski_pose),
    Format("motion capture", f"index.csv and {NPZ_NAME}", is_mocap, check_mocap),
    Format("motion capture files", ".bvh, or .amc with their .asf", is_files, check_motion_files),
)
