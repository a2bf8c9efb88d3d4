"""The overview of a batch: one HTML page with a picture, a verdict and links for every clip."""

from __future__ import annotations

import base64
import html
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from urllib.parse import quote

import cv2

from common.errors import UserError
from common.files import replace_file
from demo.video.reader import VideoReader, probe

log = logging.getLogger(__name__)

THUMBNAIL_WIDTH = 320  # pixels


@dataclass(frozen=True)
class OverviewClip:
    """One clip of a batch.

    Attributes:
        name: the clip's name.
        status: done, damaged, failed or in use.
        verdict: one line on the result.
        files: the outputs; existing ones are linked.
        picture: a video or picture for the thumbnail.
    """

    name: str
    status: str
    verdict: str
    files: tuple[Path, ...] = ()
    picture: Path | None = None


def write_overview(path: Path, clips: Sequence[OverviewClip]) -> None:
    """Write the page `path`. Links are relative to its folder.

    Raises:
        OutputError: it cannot be written.
    """
    page = files("demo.export") / "page"
    items = "\n".join(_item(path.parent, clip) for clip in clips)
    text = Template((page / "overview.html").read_text(encoding="utf-8")).substitute(
        style=(page / "report.css").read_text(encoding="utf-8"),
        count=f"{len(clips)} {'clip' if len(clips) == 1 else 'clips'}",
        body=f'<ul class="clips">\n{items}\n</ul>',
    )
    with replace_file(path) as temporary:
        # File names may hold bytes that are not UTF-8.
        temporary.write_text(text, encoding="utf-8", errors="replace")


def thumbnail(picture: Path) -> bytes | None:
    """Return a JPEG of a picture or of a video's middle, or None if it cannot be read."""
    try:
        info = probe(picture)
        with VideoReader(picture, start=info.duration / 2 if not info.is_image else None) as reader:
            image = next(reader).image
    except (UserError, StopIteration) as error:
        log.info("%s: no thumbnail (%s)", picture, error)
        return None
    height = max(1, round(image.shape[0] * THUMBNAIL_WIDTH / image.shape[1]))
    small = cv2.resize(image, (THUMBNAIL_WIDTH, height), interpolation=cv2.INTER_AREA)
    written, data = cv2.imencode(".jpg", small, (cv2.IMWRITE_JPEG_QUALITY, 80))
    return bytes(data) if written else None


def _item(folder: Path, clip: OverviewClip) -> str:
    data = None if clip.picture is None or not clip.picture.is_file() else thumbnail(clip.picture)
    image = "" if data is None else f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"
    links = " &middot; ".join(
        f'<a href="{quote(_relative(file, folder), errors="surrogateescape")}">{html.escape(file.name)}</a>'
        for file in clip.files
        if file.is_file()
    )
    picture = f'<img alt="" src="{image}">' if image else ""
    return (
        f"<li>{picture}<h3>{html.escape(clip.name)}</h3>"
        f'<p class="{html.escape(clip.status)}">{html.escape(clip.status)}: {html.escape(clip.verdict)}</p>'
        f"<p>{links}</p></li>"
    )


def _relative(file: Path, folder: Path) -> str:
    return Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
