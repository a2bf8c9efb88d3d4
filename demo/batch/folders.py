"""Which clips a run is about: files, folders and globs in, clips and where their results go out."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

# What is taken from a folder unless `include` says otherwise; files named by the user are taken as they are.
_SUFFIXES = "mp4 mov m4v avi mkv webm gif mpg mpeg m2v ts mts m2ts wmv asf flv f4v 3gp 3g2 ogv mxf vob dv"
VIDEOS = frozenset("." + suffix for suffix in _SUFFIXES.split())


@dataclass(frozen=True)
class Job:
    """A clip and the folder for its results."""

    clip: Path
    folder: Path


@dataclass(frozen=True)
class SkippedPath:
    """Something in a folder that cannot be a clip, and why."""

    path: Path
    why: str


@dataclass(frozen=True)
class ClipList:
    """The clips of a run in a fixed order, and what was left out."""

    jobs: tuple[Job, ...]
    left_out: tuple[SkippedPath, ...]


@dataclass(frozen=True)
class _Clip:
    path: Path
    inside: Path  # the path below the folder that the user named
    root: str  # that folder's name, "" for a file named by itself


def find_clips(
    given: Sequence[Path],
    output: Path,
    recursive: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> ClipList:
    """The clips that are meant by paths of files, folders and globs.

    Folders give their videos by name, in order; hidden files, the output folder and what `exclude` matches
    are passed over. A file named by itself is a clip whatever it is, there or not.

    Args:
        output: results of a clip go to a folder of its name below this, in the folders it was found in.
        recursive: look into folders inside folders; links are followed unless they lead in circles.
        include, exclude: shell patterns for the name, or for the path below the folder; case is ignored.
    """
    clips: list[_Clip] = []
    left_out: list[SkippedPath] = []
    for path in _expanded(given):
        if not path.is_dir():
            clips.append(_Clip(path, Path(path.name), ""))
            continue
        for entry in _walk(path, output.absolute(), recursive, left_out):
            inside = entry.relative_to(path)
            wanted = _matches(inside, include) if include else entry.suffix.lower() in VIDEOS
            if not wanted or _matches(inside, exclude):
                continue
            why = _not_a_file(entry)
            if why:
                left_out.append(SkippedPath(entry, why))
            else:
                clips.append(_Clip(entry, inside, path.resolve().name))
    unique = {os.path.realpath(clip.path.parent) + os.sep + clip.path.name: clip for clip in reversed(clips)}
    kept = sorted(unique.values(), key=lambda clip: (clip.root, str(clip.inside), str(clip.path)))
    folders = _folders(kept)
    return ClipList(
        tuple(Job(clip.path, output / folder) for clip, folder in zip(kept, folders, strict=True)),
        tuple(left_out),
    )


def is_one_file(given: Sequence[Path]) -> bool:
    """Whether the user named one clip, and not a folder, a pattern or several."""
    return len(given) == 1 and not given[0].is_dir() and (given[0].exists() or not _is_pattern(given[0]))


def _expanded(given: Sequence[Path]) -> Iterator[Path]:
    for path in given:
        if _is_pattern(path) and not path.exists():
            found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 (pathlib globs below one folder)
            yield from map(Path, found) if found else [path]
        else:
            yield path


def _is_pattern(path: Path) -> bool:
    return glob.has_magic(str(path))


def _walk(folder: Path, output: Path, recursive: bool, left_out: list[SkippedPath]) -> Iterator[Path]:
    """All that is not a folder, sorted; each folder once, so that links cannot lead in circles."""
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            status = here.stat()
            if (status.st_dev, status.st_ino) in seen:
                left_out.append(SkippedPath(here, "a link to a folder that is listed already"))
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(here.iterdir())
        except OSError as error:
            left_out.append(SkippedPath(here, f"the folder cannot be listed ({error.strerror})"))
            continue
        deeper = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                is_folder = stat.S_ISDIR(entry.stat().st_mode)
            except OSError:
                is_folder = False
            if not is_folder:
                yield entry
            elif recursive and entry.absolute() != output:
                deeper.append(entry)
        waiting.extend(reversed(deeper))


def _not_a_file(path: Path) -> str | None:
    """Why a path inside a folder cannot be a clip, or None. Where that cannot be told, reading will tell."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"a link that leads nowhere ({error.strerror})" if path.is_symlink() else None
    return None if stat.S_ISREG(mode) else "not a regular file"


def _matches(path: Path, patterns: Sequence[str]) -> bool:
    name, whole = path.name.lower(), path.as_posix().lower()
    return any(fnmatchcase(part, pattern.lower()) for pattern in patterns for part in (name, whole))


def _folders(clips: Sequence[_Clip]) -> list[Path]:
    """A folder for each clip: its name without suffix, inside the folders it was found in.

    Where two would share one (or only case tells them apart) all of them get longer names: with the suffix,
    then with the folder that was named, then numbered. So names do not depend on the clips around them
    unless they must.
    """
    names = [
        lambda clip: clip.inside.with_suffix("") if clip.path.stem else clip.inside,
        lambda clip: clip.inside,
        lambda clip: Path(clip.root or clip.path.absolute().parent.name) / clip.inside,
    ]
    chosen: list[Path] = [names[0](clip) for clip in clips]
    for name in names[1:]:
        clashes = _clashes(chosen)
        chosen = [
            name(clip) if clash else old for clip, clash, old in zip(clips, clashes, chosen, strict=True)
        ]
    counts: dict[str, int] = {}
    numbered = []
    for folder in chosen:
        key = str(folder).lower()
        counts[key] = counts.get(key, 0) + 1
        numbered.append(folder if counts[key] == 1 else folder.with_name(f"{folder.name}-{counts[key]}"))
    return numbered


def _clashes(folders: Sequence[Path]) -> list[bool]:
    keys = [str(folder).lower() for folder in folders]
    counts: dict[str, int] = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    return [counts[key] > 1 for key in keys]
