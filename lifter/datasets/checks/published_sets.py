"""Checks of HumanEva, MPI-INF-3DHP, Ski-Pose PTZ, BVH and Acclaim files; `integrity` lists them all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError
from lifter.datasets import humaneva, ski_pose
from lifter.datasets.checks.findings import Finding, height, in_picture, legs, lens_residual, pixels_off
from lifter.datasets.humaneva import HUMANEVA_15
from lifter.datasets.mocap.folders import SPLITS, Take, find_takes, read_capture, split_takes
from lifter.datasets.mpi_inf_3dhp import NAME_TEST, NAMES, OUTDOOR, Take3DHP, load_3dhp, picture_size

_LEFT, _RIGHT = (4, 5, 6), (1, 2, 3)  # hip, knee, ankle of H36M_17


def check_humaneva(folder: Path) -> Iterator[Finding]:
    """Check the 3D, then each set of 2D against it."""
    try:
        positions = humaneva.load_3d(folder)
    except DataError as error:
        yield Finding(False, str(error))
        return
    name = humaneva.NAME_3D
    takes = [joints for subject in positions.values() for joints in subject.values()]
    missing = [s for s in (*humaneva.TRAIN_SUBJECTS, *humaneva.TEST_SUBJECTS) if s not in positions]
    found = f"{name}: {len(positions)} subjects, {len(takes)} sequences, {sum(map(len, takes))} frames"
    if not takes:
        yield Finding(False, f"{found}: it holds no subject of HumanEva-I")
        return
    yield Finding(True, found + (f"; without {', '.join(missing)}" if missing else ""))
    yield height(name, takes)
    yield legs(name, takes, HUMANEVA_15.left[3:], HUMANEVA_15.right[3:])
    sets = humaneva.keypoint_sets(folder)
    if not sets:
        yield Finding(False, f"{folder}: holds no 2D keypoints ({humaneva.name_2d('gt')} and others)")
    for keypoints in sets:
        try:
            seen = humaneva.load_humaneva(folder, keypoints, tuple(positions))
        except DataError as error:
            yield Finding(False, str(error))
            continue
        name = humaneva.name_2d(keypoints)
        joints = seen[0].keypoints.shape[2]
        yield Finding(True, f"{name}: {len(seen)} sequences, 3 cameras, {joints} joints")
        yield in_picture(name, [take.keypoints for take in seen], humaneva.SIZE)
        if joints == len(HUMANEVA_15.joints):
            pairs = [pair for take in seen for pair in zip(take.in_cameras, take.keypoints, strict=True)]
            yield pixels_off(name, (lens_residual(*pair, humaneva.SIZE[0]) for pair in pairs))


def check_3dhp(folder: Path) -> Iterator[Finding]:
    """Check the files that are present, of both splits."""
    for split, name in NAMES.items():
        if not (folder / name).is_file():
            yield Finding(True, f"{name}: not there; {split} cannot be used without it")
            continue
        try:
            takes = load_3dhp(folder, split)
        except DataError as error:
            yield Finding(False, str(error))
            continue
        yield from _check_3dhp(name, takes)


def _check_3dhp(name: str, takes: list[Take3DHP]) -> Iterator[Finding]:
    sequences = {take.sequence for take in takes}
    frames, valid = (sum(len(t.joints) for t in takes), sum(int(t.valid.sum()) for t in takes))
    text = f"{name}: {len(sequences)} sequences, {len(takes)} takes, {frames} frames"
    yield Finding(True, f"{text}, {valid} of them valid" if name == NAME_TEST else text)
    joints = [take.joints for take in takes]
    yield height(name, joints)
    yield legs(name, joints, _LEFT, _RIGHT)
    for outdoor in (False, True):
        some = [take for take in takes if (take.sequence in OUTDOOR) == outdoor]
        if some:
            size = picture_size(some[0].sequence)
            where = f"{name}, {size[0]} x {size[1]}"
            yield in_picture(where, [take.keypoints for take in some], size)
            yield pixels_off(where, (lens_residual(t.joints, t.keypoints, size[0]) for t in some))


def check_ski_pose(folder: Path) -> Iterator[Finding]:
    """Check the label files that are present, of both splits. Raises MissingExtra without h5py."""
    for split in ski_pose.SPLITS:
        name = f"{split}/{ski_pose.NAME}"
        if not (folder / name).is_file():
            yield Finding(True, f"{name}: not there; {split} cannot be used without it")
            continue
        try:
            takes = ski_pose.load_ski_pose(folder, split)
        except DataError as error:
            yield Finding(False, str(error))
            continue
        people, frames = {take.subject for take in takes}, sum(len(take.frames) for take in takes)
        yield Finding(True, f"{name}: {len(people)} subjects, {len(takes)} sequences, {frames} pictures")
        joints = [take.joints for take in takes]
        yield height(name, joints)
        yield legs(name, joints, _LEFT, _RIGHT)
        yield in_picture(name, [take.keypoints for take in takes], (1, 1))
        yield pixels_off(name, map(ski_pose.reprojection, takes), ski_pose.PICTURE / 20)


def check_motion_files(folder: Path) -> Iterator[Finding]:
    """Check every BVH or .amc file, read completely, then the takes and bodies of each split."""
    try:
        takes = find_takes(folder)
    except DataError as error:
        yield Finding(False, str(error))
        return
    splits = split_takes(takes)
    kinds: Counter[str] = Counter()
    joints: dict[str, list[NDArray[Any]]] = defaultdict(list)
    hours: dict[str, float] = defaultdict(float)
    good: dict[str, list[Take]] = defaultdict(list)
    for take in takes:
        try:
            capture = read_capture(take)
        except DataError as error:
            yield Finding(False, str(error))
            continue
        kinds[f"{capture.skeleton} at {capture.fps:.0f} frames a second"] += 1
        split = splits[take.key]
        # A sample of about 100 frames is enough for medians and fits in memory for all of CMU.
        joints[split].append(capture.joints[:: max(len(capture.joints) // 100, 1)])
        hours[split] += len(capture.joints) / capture.fps / 3600
        good[split].append(take)
    for kind, count in kinds.most_common():
        yield Finding(True, f"{count} takes: {kind}")
    for split in SPLITS:
        people = {take.subject for take in good[split]}
        text = f"{split}: {len(people)} subjects, {len(good[split])} takes, {hours[split]:.2f} h"
        if not good[split]:
            yield Finding(False, f"{text}: add takes of other subjects, three or more in all")
            continue
        yield Finding(True, text)
        yield height(split, joints[split])
        yield legs(split, joints[split], _LEFT, _RIGHT)
        if not all(np.isfinite(each).all() for each in joints[split]):
            yield Finding(False, f"{split}: some joints are no numbers")
    shared = {t.subject for t in good["train"]} & {t.subject for s in ("val", "test") for t in good[s]}
    if shared:
        yield Finding(True, f"{', '.join(sorted(shared))}: in train and test, there are no other subjects")
