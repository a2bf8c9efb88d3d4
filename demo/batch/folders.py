"""Resolve files, folders and globs to clips, and choose the result folder of each clip."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from common.files import exists, is_folder
from demo.results.claims import is_result_video

# Suffixes that are taken from a folder without `include`. A file given by its path is always taken.
_SUFFIXES = "mp4 mov m4v avi mkv webm gif mpg mpeg m2v ts mts m2ts wmv asf flv f4v 3gp 3g2 ogv mxf vob dv"
VIDEOS = frozenset("." + suffix for suffix in _SUFFIXES.split())


@dataclass(frozen=True)
class Job:
    """A clip and the folder for its results."""

    clip: Path
    folder: Path


@dataclass(frozen=True)
class SkippedPath:
    """A path in a folder that cannot be a clip, and the reason."""

    path: Path
    why: str


@dataclass(frozen=True)
class ClipList:
    """The clips of a run in a fixed order, and the paths that were left out."""

    jobs: tuple[Job, ...]
    left_out: tuple[SkippedPath, ...]


@dataclass(frozen=True)
class _Clip:
    path: Path
    inside: Path  # the path below the folder that the user gave
    root: str  # that folder's name, "" for a file given by its path


def find_clips(
    given: Sequence[Path],
    output: Path,
    recursive: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> ClipList:
    """List the clips of files, folders and globs.

    Folders contribute their videos, sorted by name. Hidden files, the output folder and paths that `exclude`
    matches are skipped. A file given by its path is a clip whatever its suffix, even if it does not exist.

    Args:
        output: the result folder of a clip lies below this, under the clip's name and its subfolders.
        recursive: search subfolders; links are followed, each folder once.
        include, exclude: shell patterns for the name, or for the path below the folder; case is ignored.
    """
    clips: list[_Clip] = []
    left_out: list[SkippedPath] = []
    for path in _expanded(given, output, left_out):
        if not is_folder(path):
            clips.append(_Clip(path, Path(path.name), ""))
            continue
        for entry in _walk(path, output, recursive, left_out):
            inside = entry.relative_to(path)
            wanted = _matches(inside, include) if include else entry.suffix.lower() in VIDEOS
            if not wanted or _matches(inside, exclude):
                continue
            why = _no_clip(entry)
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
    """Return whether the user gave a single clip, not a folder, a pattern or several clips."""
    return len(given) == 1 and not is_folder(given[0]) and (exists(given[0]) or not _is_pattern(given[0]))


def _expanded(given: Sequence[Path], output: Path, left_out: list[SkippedPath]) -> Iterator[Path]:
    for path in given:
        if _is_pattern(path) and not exists(path):
            found = _glob(path, output, left_out)
            yield from found or [path]
        else:
            yield path


def _is_pattern(path: Path) -> bool:
    return glob.has_magic(str(path))


def _glob(pattern: Path, output: Path, left_out: list[SkippedPath]) -> list[Path]:
    """List the paths that match; `**` is any number of folders, each of which is listed once."""
    parts = pattern.parts
    if "**" not in parts:
        return sorted(map(Path, glob.glob(str(pattern))))  # noqa: PTH207 (pathlib globs below one folder)
    first = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    below, rest = Path(*parts[:first]), parts[first:]
    entries = _walk(below, output, True, left_out)
    return sorted(path for path in entries if _fits(path.relative_to(below).parts, rest))


def _fits(names: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    if not patterns:
        return not names
    if patterns[0] == "**":
        return _fits(names, patterns[1:]) or (bool(names) and _fits(names[1:], patterns))
    return bool(names) and fnmatchcase(names[0], patterns[0]) and _fits(names[1:], patterns[1:])


def _walk(folder: Path, output: Path, recursive: bool, left_out: list[SkippedPath]) -> Iterator[Path]:
    """Yield all paths that are not folders, sorted. Each folder is listed once, so cycles of links end.

    The output folder is left out, also when a link leads to it, unless it is `folder` itself.
    """
    results = os.path.realpath(output)
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
            elif recursive and os.path.realpath(entry) != results:
                deeper.append(entry)
        waiting.extend(reversed(deeper))


def _no_clip(path: Path) -> str | None:
    """Return why a path inside a folder is not to be processed, or None.

    A path whose status cannot be read is kept: reading it as a video gives the exact error.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"a link to a missing file ({error.strerror})" if path.is_symlink() else None
    if not stat.S_ISREG(mode):
        return "not a regular file"
    return "a result of this program" if is_result_video(path) else None


def _matches(path: Path, patterns: Sequence[str]) -> bool:
    name, whole = path.name.lower(), path.as_posix().lower()
    return any(fnmatchcase(part, pattern.lower()) for pattern in patterns for part in (name, whole))


def _folders(clips: Sequence[_Clip]) -> list[Path]:
    """Return a folder for each clip: its name without suffix, below its subfolders.

    Clips whose folders would be the same, case ignored, all get longer names: with the suffix, then with the
    folder that the user gave, then with a number. All other names are independent of the other clips.
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
