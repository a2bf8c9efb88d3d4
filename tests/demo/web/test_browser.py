"""The page in a real browser: NODE_TOOLS is a folder with playwright-core in its node_modules."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from demo.video.reader import VideoReader
from tests.conftest import ROOT
from tests.media import make_clip

pytestmark = [pytest.mark.extra, pytest.mark.long, pytest.mark.timeout(600)]
PROGRAM = Path(__file__).with_name("programs") / "use_page.mjs"
SAMPLE = ROOT / "videos" / "sample.mp4"


@pytest.fixture
def address(tmp_path):
    """A server in a process of its own, which leaves nothing behind."""
    pytest.importorskip("gradio", reason="needs requirements-web.txt")
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    command = [sys.executable, "app.py", "web", "--port", "0", "--quality", "shipped", "--offline"]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    server = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield server.stdout.readline().split()[0]
    finally:
        server.send_signal(signal.SIGTERM)
        _, errors = server.communicate(timeout=60)
    assert errors.strip().splitlines()[-1] == "Stopped."
    assert list(scratch.iterdir()) == []


def test_two_people_use_the_page(address, tmp_path):
    if "NODE_TOOLS" not in os.environ or (chromium := shutil.which("chromium")) is None:
        pytest.skip("NODE_TOOLS is not set, or chromium is not on the path")
    with VideoReader(SAMPLE) as reader:
        frames = [frame.image for frame in reader]
    short, long, wrong = (tmp_path / name for name in ("short.mp4", "long.mp4", "wrong.mp4"))
    make_clip(short, frames[:40])
    make_clip(long, frames * 5)  # is in work while the other person comes
    wrong.write_text("no video")
    out = Path(os.environ.get("PICTURES", tempfile.mkdtemp(dir=tmp_path)))
    words = ["node", PROGRAM, os.environ["NODE_TOOLS"], chromium, address, out, short, long, wrong]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert {urlsplit(each).hostname for each in seen["requests"]} == {"127.0.0.1"}
    assert [each for each in seen["messages"] if not each.startswith("warning")] == []
    assert seen["refused"] == ["wrong.mp4 is neither a video nor an image that can be read: check the file"]
    assert any("frame" in each and "of 40" in each and "%" in each for each in seen["progress"])
    assert any("left" in each for each in seen["progress"])
    assert seen["done"].startswith("short.mp4 is done in")
    assert seen["figures"] >= 1
    assert {"short.npz", "short_3d.mp4", "short_viewer.html", "short_report.html", "short.glb"} <= {
        *seen["links"]
    }
    assert seen["zip"] == [200, "PK"]
    assert seen["phone_width"] == 390
    assert seen["waiting"] == "short.mp4 waits. 1 clip is processed before it."
    assert seen["cancelled"] == "long.mp4 was cancelled; nothing of it was kept."
    assert seen["second"].startswith("short.mp4 is done")
    assert (seen["strangers"], seen["after_reload"]) == (1, 2)
