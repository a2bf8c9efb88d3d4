"""The folders of the server: uploads, and a folder for each clip with its results.

    ROOT/uploads/...                  what browsers send
    ROOT/jobs/<id>/clip/<name>        the clip
    ROOT/jobs/<id>/results/...        what the run writes
    ROOT/jobs/<id>/<stem>.zip         the same in one file

Files are found by their name in a listing of the folder, never by a path from a request.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common.errors import EmptyFile, InputMissing, OutputError, UserError
from common.files import replace_file

_LONGEST_NAME = 100  # bytes of a clip's name; file systems allow 255, and names of results are longer
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class ClipFolder:
    """The folder of one clip and its results."""

    path: Path
    name: str

    @property
    def clip(self) -> Path:
        """Path of the clip."""
        return self.path / "clip" / self.name

    @property
    def results(self) -> Path:
        """Folder of the results."""
        return self.path / "results"

    @property
    def archive(self) -> Path:
        """Path of the zip file with all results."""
        return self.path / f"{self.clip.stem}.zip"

    def files(self) -> dict[str, Path]:
        """Return the finished results by name, without hidden files, links and folders."""
        if not self.results.is_dir():
            return {}
        found = sorted(self.results.iterdir(), key=lambda path: path.name)
        return {path.name: path for path in found if _is_plain(path) and not path.name.startswith(".")}

    def find(self, name: str) -> Path | None:
        """Return the result or the archive with exactly this name."""
        archive = {self.archive.name: self.archive} if _is_plain(self.archive) else {}
        return (self.files() | archive).get(name)

    def pack(self) -> None:
        """Write all results into the archive.

        Raises:
            OutputError: it cannot be written.
        """
        with replace_file(self.archive) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for name, path in self.files().items():
                packed = zipfile.ZIP_STORED if path.suffix == ".mp4" else zipfile.ZIP_DEFLATED
                archive.write(path, name, compress_type=packed)

    def remove(self) -> None:
        """Remove the clip and all results."""
        shutil.rmtree(self.path, ignore_errors=True)


class ServerFolders:
    """All folders of a server below `root`.

    Args:
        largest: bytes that a clip may have.
    """

    def __init__(self, root: Path, largest: int) -> None:
        self.root, self.largest = root, largest
        self.uploads, self._jobs = root / "uploads", root / "jobs"
        for folder in (self.uploads, self._jobs):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._seen: dict[Path, float] = {}  # when an upload was first seen, on the caller's clock

    def adopt(self, upload: Path) -> tuple[str, ClipFolder]:
        """Move an uploaded file into a new folder.

        Returns:
            The id of the clip, which cannot be guessed, and its folder.

        Raises:
            InputMissing: the file is not one of the uploads. EmptyFile: it is empty.
            UserError: it is too large. OutputError: the folder cannot be written.
        """
        name = safe_name(upload.name)
        if not (_is_plain(upload) and self.uploads.resolve() in upload.resolve().parents):
            raise InputMissing(f"{name}: is not an uploaded file; drop it again")
        size = upload.stat().st_size
        if size > self.largest:
            upload.unlink()
            raise UserError(
                f"{name}: has {size / MEGABYTE:.1f} MB, and at most {self.largest / MEGABYTE:g} MB are "
                "allowed (--max-size of the server)"
            )
        if size == 0:
            upload.unlink()
            raise EmptyFile(f"{name}: is empty")
        number = secrets.token_hex(16)
        folder = ClipFolder(self._jobs / number, name)
        try:
            folder.clip.parent.mkdir(parents=True, mode=0o700)
            upload.rename(folder.clip)
            with suppress(OSError):
                upload.parent.rmdir()
        except OSError as error:
            folder.remove()
            raise OutputError(f"{name}: the server cannot store it ({error.strerror or error})") from error
        return number, folder

    def remove_uploads(self, older: float, now: float) -> None:
        """Remove uploads that no clip was made of and that were first seen `older` seconds before `now`.

        The times of files do not count: the system's clock may jump.
        """
        uploads = [path for path in self.uploads.rglob("*") if _is_plain(path)]
        self._seen = {path: self._seen.get(path, now) for path in uploads}
        for path, since in self._seen.items():
            if now - since >= older:
                with suppress(OSError):
                    path.unlink()
                    path.parent.rmdir()

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.root, ignore_errors=True)


def safe_name(name: str) -> str:
    """Return the last part of a name that a browser sent: printable, not hidden, not too long."""
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(c if c.isprintable() and c not in '<>:"|?*' else "_" for c in last)
    stem, suffix = os.path.splitext(plain.strip().lstrip("."))  # noqa: PTH122 (a name, not a path)
    suffix = _first_bytes(suffix, 10)
    return (_first_bytes(stem, _LONGEST_NAME - 10).strip() or "clip") + suffix


def _first_bytes(text: str, count: int) -> str:
    return text.encode("utf-8", "replace")[:count].decode("utf-8", "ignore")


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False
