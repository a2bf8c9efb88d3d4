"""Find weight files: a path, `weights/`, the folders in $MOTION_WEIGHTS, the user's cache, a download.

`weights/manifest.toml` is the only list of named weights. A file whose sha256 the manifest states is checked
wherever it is found, so that a damaged or exchanged file is never opened.
"""

from __future__ import annotations

import os
import tempfile
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from platformdirs import user_cache_dir

from common.errors import DownloadError, OutputError, WeightsError
from common.files import expand_user, is_file, require_file, sha256

FOLDER = Path(__file__).resolve().parent.parent / "weights"
MANIFEST = FOLDER / "manifest.toml"
VARIABLE = "MOTION_WEIGHTS"  # further folders to search, separated like those of $PATH
KINDS = ("detector", "pose", "lifter")
_SUFFIXES = {".pt", ".pth", ".bin", ".tr", ".onnx", ".safetensors"}  # a name with one of these is a path


@dataclass(frozen=True)
class WeightInfo:
    """One entry of the manifest, and the path of its file on this machine."""

    name: str
    kind: str  # one of KINDS
    file: str  # file name, without a folder
    urls: tuple[str, ...]  # tried in this order
    licence: str
    trained_on: str
    figures: str  # the measured accuracy, its data set, and its source
    notice: str = ""  # the limits of its licence, shown to the user
    sha256: str = ""  # 64 hex digits, "" when unknown
    sha256_prefix: str = ""  # the leading digits, where only these are published
    graph_sha256: str = ""  # of the ONNX file beside it, "" without one (tools/make_graphs.py)
    size_bytes: int = 0  # shown to the user; approximate while sha256 is unknown, 0 when unknown
    found: Path | None = None


def resolve(name_or_path: str, kind: str, offline: bool, progress: bool = True) -> Path:
    """Return the file of a weight named in the manifest, or of a path; download it where needed and allowed.

    Args:
        name_or_path: for example "yolo11n" or "../my/detector.pt". A file of that path wins.
        kind: "detector", "pose" or "lifter": a name of another kind is refused.
        offline: never touch the network.
        progress: show a bar on the terminal (stderr) while downloading.

    Raises:
        InputMissing: the path of a file that does not exist.
        WeightsError: neither a known name nor a file, or the file's sha256 is not the manifest's.
        DownloadError: the file is not on this machine and cannot, or must not, be downloaded.
        OutputError: the download cannot be written to the cache.
    """
    path = expand_user(name_or_path)
    known = manifest()
    if is_file(path):
        for info in known.values():
            # Published files have distinctive names; a file named like ours may be the user's own training.
            meant = bool(info.urls) or path.parent.resolve() == FOLDER
            if info.file == path.name and info.kind == kind and meant:
                verify(path, info)
        return path
    names = [info.name for info in known.values() if info.kind == kind]
    if name_or_path not in names:
        if is_path(name_or_path):
            require_file(path, f"{kind} weights file")
        raise WeightsError(
            f"{name_or_path!r} is neither a file nor a known {kind}; known: {', '.join(names) or 'none'}"
        )
    info = known[name_or_path]
    found = find(info)
    if found is None:
        return _download(info, offline, progress)
    verify(found, info)
    return found


def is_path(name_or_path: str) -> bool:
    """Return whether a name is written like a path: with a folder, or the suffix of a weights file."""
    path = Path(name_or_path)
    return len(path.parts) > 1 or path.suffix in _SUFFIXES


def list_weights() -> list[WeightInfo]:
    """Return all entries of the manifest, with `found` set if the file is on this machine (not hashed)."""
    return [replace(info, found=find(info)) for info in manifest().values()]


def find(info: WeightInfo) -> Path | None:
    """Search `weights/`, $MOTION_WEIGHTS and the cache for a weight's file; None if it is in none of them."""
    extra = [expand_user(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    candidates = (folder / info.file for folder in (FOLDER, *extra, cache_folder()))
    return next((path for path in candidates if is_file(path)), None)


def cache_folder() -> Path:
    """Return the folder of downloads: the platform's folder for caches. It need not exist."""
    return Path(user_cache_dir("motion-from-video")) / "weights"


def verify(path: Path, info: WeightInfo) -> None:
    """Compare a file with the sha256 in the manifest.

    Raises:
        WeightsError: it differs.
    """
    if difference := _difference(path, info):
        raise WeightsError(f"{path}: {difference}; delete it and fetch it again")


def _difference(path: Path, info: WeightInfo) -> str | None:
    """Return how a file differs from the sha256 in the manifest, or None."""
    expected = info.sha256 or info.sha256_prefix
    actual = sha256(path) if expected else ""
    if actual.startswith(expected):
        return None
    return (
        f"damaged or not the file meant: its sha256 starts with {actual[: len(expected)]}, "
        f"that of {info.name} with {expected}"
    )


def manifest(path: Path | None = None) -> dict[str, WeightInfo]:
    """Return the entries of the manifest by name, in the file's order. The shipped manifest is read once.

    Raises:
        WeightsError: the manifest is missing or malformed.
    """
    return _read(path or MANIFEST)


def calibrations(path: Path | None = None) -> dict[str, tuple[float, float]]:
    """SHA-256 of a keypoint network's file -> intercept and slope of its score calibration.

    Raises:
        WeightsError: the manifest is missing or malformed.
    """
    manifest_path = path or MANIFEST
    try:
        entries = _tables(manifest_path).get("calibrations", [])
        return {entry["sha256"]: (float(entry["intercept"]), float(entry["slope"])) for entry in entries}
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{manifest_path}: a calibration without {error}") from error


@cache
def _tables(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: the list of weights cannot be read: {error}") from error


@cache
def _read(path: Path) -> dict[str, WeightInfo]:
    entries = _tables(path).get("weights", [])
    known: dict[str, WeightInfo] = {}
    for entry in entries:
        try:
            info = WeightInfo(**{**entry, "urls": tuple(entry["urls"])})
        except (KeyError, TypeError) as error:
            raise WeightsError(f"{path}: the entry {entry.get('name', entry)}: {error}") from error
        if info.kind not in KINDS or info.name in known or Path(info.file).name != info.file:
            raise WeightsError(
                f"{path}: the entry {info.name}: wrong kind, repeated name or folder in its file"
            )
        known[info.name] = info
    return known


def _download(info: WeightInfo, offline: bool, progress: bool) -> Path:
    """Download from the first url that answers into the cache: to a temporary name, checked, then renamed."""
    where = f"download it from {' or '.join(info.urls) or 'its authors'} and put it into {FOLDER}"
    if offline or not info.urls:
        why = "downloading is forbidden (--offline)" if offline else "it cannot be downloaded"
        raise DownloadError(f"{info.file} ({info.name}) is not on this machine and {why}: {where}")
    folder = cache_folder()
    failures: list[str] = []
    wrong = False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A folder of its own: several processes may fetch the same file at the same time.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as scratch:
            part = Path(scratch) / info.file
            for url in info.urls:
                failure = _fetch(url, part, info, progress)
                if failure is None and (difference := _difference(part, info)) is None:
                    return part.replace(folder / info.file)
                wrong = wrong or failure is None
                failures.append(failure or f"{_host(url)}: {difference}")
    except OSError as error:
        raise OutputError(f"{folder}: cannot write {info.file} there: {error.strerror or error}") from error
    kind = WeightsError if wrong else DownloadError
    raise kind(f"{info.file} ({info.name}) cannot be downloaded ({'; '.join(failures)}): {where}")


def _fetch(url: str, part: Path, info: WeightInfo, progress: bool) -> str | None:
    """Download to `part`. Return None, or the reason of a failure in a few words."""
    import pooch  # type: ignore[import-untyped]
    from requests.exceptions import ConnectionError as NoConnection
    from requests.exceptions import HTTPError, RequestException

    host = _host(url)
    bar = _Bar(info.file) if progress else None
    try:
        pooch.HTTPDownloader(progressbar=bar or False, chunk_size=1 << 18, timeout=30)(url, str(part), None)
    except HTTPError as error:
        answer = error.response
        return f"{host}: {answer.status_code} {answer.reason}" if answer is not None else f"{host}: {error}"
    except NoConnection:
        return f"{host}: no connection"
    except (RequestException, ValueError) as error:
        return f"{host}: {type(error).__name__}"
    finally:
        if bar:
            bar.finish()
    return None


def _host(url: str) -> str:
    return url.split("/")[2] if url.count("/") > 2 else url


class _Bar:
    """A rich progress bar with the interface that pooch expects: `total`, `update`, `reset`, `close`."""

    def __init__(self, label: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
            console=Console(stderr=True),
        )  # fmt: skip
        self._task = self._progress.add_task(label, total=None)

    @property
    def total(self) -> float | None:
        return self._progress.tasks[0].total

    @total.setter
    def total(self, value: float) -> None:
        self._progress.update(self._task, total=value or None)
        self._progress.start()  # the server has answered: the total is known

    def update(self, count: int) -> None:
        self._progress.advance(self._task, count)

    def reset(self) -> None:
        """Ignore pooch's call after the last byte."""
        self._progress.reset(self._task, total=self.total)

    def close(self) -> None:
        """Stop the bar: pooch calls this when the download is complete."""

    def finish(self) -> None:
        if self._progress.live.is_started:  # stopping writes a line even where nothing was shown
            self._progress.stop()
