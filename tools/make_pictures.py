"""Take the documents' pictures of the viewer, the report and the live page, from the outputs of `make demo`.

    NODE_TOOLS=FOLDER python -m tools.make_pictures outputs/sample

Needs node, chromium, and a folder with playwright-core in its node_modules. Pictures lie in `docs/pictures/`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import typer

from common.command_line import echo, run
from common.errors import InputMissing, MissingExtra

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
PROGRAM = Path(__file__).with_name("take_pictures.mjs")
LARGEST = 120_000  # bytes of a picture
QUALITY = 85  # of WebP, 100 is the best; lowered until a picture is small enough
FRAME = 40  # of the sample clip: arms and legs are apart

app = typer.Typer()


@app.command()
def main(outputs: Path, live: bool = typer.Option(True, help="Also run the live mode.")) -> None:
    """Take the pictures of a folder of outputs."""
    stem = outputs.name
    pages = {kind: (outputs / f"{stem}_{kind}.html").resolve() for kind in ("viewer", "report")}
    for page in pages.values():
        if not page.is_file():
            raise InputMissing(f"{page}: is not there; run `make demo` first")
    seek = f"go({FRAME})"
    shots = [
        shot(pages["viewer"].as_uri(), "viewer", 1200, 760, "!hasVideo || video.readyState >= 2", seek),
        shot(pages["viewer"].as_uri(), "viewer_phone", 390, 844, "!hasVideo || video.readyState >= 2", seek),
        shot(pages["report"].as_uri(), "report", 1200, 900, "true", "0"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        take(shots, Path(folder))
        if live:
            with live_page() as address:
                ready = "document.getElementById('state').textContent.includes('1 person')"
                take([shot(address, "live", 1200, 460, ready, "0")], Path(folder))
        PICTURES.mkdir(exist_ok=True)
        for picture in sorted(Path(folder).iterdir()):
            echo(reduce(picture, PICTURES / f"{picture.stem}.webp"))


def shot(url: str, name: str, width: int, height: int, until: str, script: str) -> dict[str, object]:
    """Return one picture to take, as `take_pictures.mjs` reads it."""
    return {
        "url": url, "out": f"{name}.png", "width": width, "height": height, "until": until, "script": script
    }  # fmt: skip


def take(shots: list[dict[str, object]], folder: Path) -> None:
    """Take pictures of pages as PNG files in a folder.

    Raises:
        MissingExtra: node, chromium or playwright-core is absent.
    """
    tools, chromium = os.environ.get("NODE_TOOLS"), shutil.which("chromium")
    if tools is None or chromium is None or shutil.which("node") is None:
        raise MissingExtra("pictures need node, chromium, and NODE_TOOLS, a folder with playwright-core")
    words = ["node", str(PROGRAM), str(Path(tools).resolve()), chromium, json.dumps(shots)]
    subprocess.run(words, cwd=folder, check=True, timeout=300)


@contextmanager
def live_page() -> Iterator[str]:
    """Run the live mode on the sample clip with the shipped networks, and yield the address of its page."""
    words = ["live", "--source", "videos/sample.mp4", "--browser", "--port", "0", "--quality", "shipped"]
    process = subprocess.Popen(
        [sys.executable, "app.py", *words, "--offline"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        yield next(line.split()[1] for line in process.stderr if line.startswith("Open "))
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def reduce(picture: Path, target: Path) -> Path:
    """Write a picture as WebP, small enough for a page, and return its path."""
    image = cv2.imread(str(picture))
    for quality in range(QUALITY, 0, -10):
        data = cv2.imencode(".webp", image, (cv2.IMWRITE_WEBP_QUALITY, quality))[1].tobytes()
        if len(data) <= LARGEST:
            break
    target.write_bytes(data)
    return target


if __name__ == "__main__":
    run(app)
