"""Folders of motion capture: our npz, BVH files, or Acclaim's .asf and .amc.

Subjects are read from file names: CMU's (02_01.amc is of subject 02), HDM05's (HDM_bd_... of bd), "subject5"
anywhere in a name (LAFAN1), else from the name of the folder. Any other file at the top is its own subject.
Whole subjects go to train, val and test, by a hash of their names. Subjects of CMU and HDM05 that our npz has
in val and test are in the same split here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import DataError, InputMissing
from lifter.datasets.mocap.asf import load_amc
from lifter.datasets.mocap.bvh import load_bvh
from lifter.datasets.mocap.kinematics import Capture, at_fps
from lifter.datasets.mocap.npz import FPS, NPZ_NAME, MotionSequence, load_mocap

SPLITS = ("train", "val", "test")
HELD_OUT = {
    **dict.fromkeys(("09", "35", "91", "mm"), "val"),
    **dict.fromkeys(("05", "13", "16", "49", "tr"), "test"),
}
HELD_OUT_PART = 0.15  # of the subjects, for each of val and test
ACCLAIM_FPS = 120.0
# Recorded at 60 frames a second; CMU's files of these subjects declare 120, or no rate.
SLOW_SUBJECTS = frozenset({"60", "61", "88", "90"})
SLOW_FPS = 60.0

NEED = (
    f"it must hold index.csv and {NPZ_NAME}, or .bvh files, or .amc files with their .asf skeletons; "
    "free ones are at mocap.cs.cmu.edu (CMU) and at the HDM05 page of resources.mpi-inf.mpg.de"
)
_CMU, _HDM05, _SUBJECT = r"(\d{2,3})_\d{2,3}", r"hdm_([a-z]{2})_.*", r".*subject[ _-]?(\d+).*"


@dataclass(frozen=True)
class Take:
    """A motion file, not read yet. `skeleton` is the .asf of an .amc."""

    path: Path
    key: str
    subject: str
    skeleton: Path | None = None


def is_mocap(folder: Path) -> bool:
    """Whether a folder has any file of our npz layout."""
    return any((folder / name).is_file() for name in ("index.csv", NPZ_NAME))


def is_files(folder: Path) -> bool:
    """Whether a folder has BVH or Acclaim files, at any depth."""
    return any(True for _ in _files(folder, ".bvh", ".amc"))


def load_motion(folder: Path, split: str) -> list[MotionSequence]:
    """Load all takes of a split ("train", "val" or "test"): (T, 17, 3) metres, z up, 50 frames a second.

    Raises:
        InputMissing: there is no such folder.
        DataError: the folder has no motion capture, none of this split, or a damaged file.
    """
    if not folder.is_dir():
        raise InputMissing(f"{folder}: no such folder: {NEED}")
    if is_mocap(folder):
        return load_mocap(folder, split)
    if split not in SPLITS:
        raise DataError(f"{folder}: has no split {split!r}; use train, val or test")
    takes = find_takes(folder)
    splits = split_takes(takes)
    mine = [take for take in takes if splits[take.key] == split]
    if not mine:
        raise DataError(
            f"{folder}: none of its {len(takes)} takes is for {split}: subjects {_listed(HELD_OUT)} are "
            "never trained on and the others are shared out; add takes of three other subjects or more"
        )
    return [read_take(take, split) for take in mine]


def find_takes(folder: Path) -> list[Take]:
    """List the BVH or the .amc files of a folder, in the order of their names.

    Raises:
        DataError: there are none, there are both, or an .amc has no .asf.
    """
    bvh, amc = sorted(_files(folder, ".bvh")), sorted(_files(folder, ".amc"))
    if bvh and amc:
        raise DataError(
            f"{folder}: holds both .bvh and .amc files, maybe of the same takes: give one kind's folder"
        )
    if not bvh and not amc:
        raise DataError(f"{folder}: holds no motion capture: {NEED}")
    skeletons = sorted(_files(folder, ".asf"))
    return [
        Take(
            path,
            path.relative_to(folder).with_suffix("").as_posix(),
            subject_of(path, folder),
            _skeleton(path, skeletons) if amc else None,
        )
        for path in bvh or amc
    ]


def subject_of(path: Path, folder: Path) -> str:
    """Return the subject of a file, from the names of the file and its folder."""
    for pattern in (_CMU, _HDM05, _SUBJECT):
        if found := re.fullmatch(pattern, path.stem.lower()):
            return found[1]
    above = path.relative_to(folder).parent.as_posix()
    return path.stem if above == "." else above


def split_takes(takes: list[Take]) -> dict[str, str]:
    """Assign takes to splits: key -> split. Whole subjects; single takes for fewer than three subjects."""
    subjects = {take.subject for take in takes}
    if len(subjects) >= len(SPLITS) or subjects & HELD_OUT.keys():
        by_subject = share_out(subjects)
        return {take.key: by_subject[take.subject] for take in takes}
    return share_out([take.key for take in takes])


def share_out(names: Iterable[str]) -> dict[str, str]:
    """Assign names to splits: `HELD_OUT` as listed, the others in the order of their hashes.

    Test and val get 15 % of the others each, at least one if there are three or more.
    """
    out = {name: HELD_OUT[name] for name in names if name in HELD_OUT}
    rest = sorted(set(names) - out.keys(), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    part = max(round(HELD_OUT_PART * len(rest)), 1) if len(rest) >= len(SPLITS) else 0
    for number, name in enumerate(rest):
        out[name] = "test" if number < part else "val" if number < 2 * part else "train"
    return out


def read_take(take: Take, split: str) -> MotionSequence:
    """Read a take at 50 frames a second. Raises DataError if its files are damaged or unknown."""
    capture = read_capture(take)
    joints = at_fps(capture.joints, capture.fps)
    if len(joints) < 2:
        raise DataError(f"{take.path}: shorter than two frames at {FPS:g} a second: leave it out")
    return MotionSequence(take.key, take.subject, split, FPS, joints.astype(np.float32))


def read_capture(take: Take) -> Capture:
    """Read a take at its recorded frame rate. Raises DataError as `read_take`."""
    slow = take.subject in SLOW_SUBJECTS and re.fullmatch(_CMU, take.path.stem)
    if take.skeleton is not None:
        return load_amc(take.path, take.skeleton, SLOW_FPS if slow else ACCLAIM_FPS)
    capture = load_bvh(take.path)
    return Capture(capture.joints, SLOW_FPS, capture.skeleton) if slow else capture


def _files(folder: Path, *endings: str) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix.lower() in endings and path.is_file())


def _skeleton(path: Path, skeletons: list[Path]) -> Path:
    """Find the .asf whose name begins the .amc's, or the only one, in its folder or the nearest one above."""
    for folder in path.parents:
        here = [each for each in skeletons if each.parent == folder]
        named = [each for each in here if path.stem.lower().startswith(each.stem.lower())]
        if named:
            return max(named, key=lambda each: len(each.stem))
        if len(here) == 1:
            return here[0]
    raise DataError(f"{path}: its skeleton is not there: put the .asf that belongs to it into its folder")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
