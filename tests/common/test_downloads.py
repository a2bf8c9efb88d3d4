"""Downloads that break off, lie about their length, lead elsewhere, or hold something else."""

from __future__ import annotations

import hashlib
import http.server
import threading

import pytest

from common import weights
from common.errors import DownloadError, UserError, WeightsError

CONTENT = bytes(range(256)) * 1024  # more than one chunk of the reader
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Wicked(http.server.BaseHTTPRequestHandler):
    """Answers as the first part of the path says."""

    def do_GET(self):
        kind = self.path.split("/")[1]
        if kind == "elsewhere":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
            return
        if kind == "circle":
            self.send_response(302)
            self.send_header("Location", self.path)
            self.end_headers()
            return
        body = {
            "half": CONTENT[: len(CONTENT) // 2],
            "page": b"<html>Sign in to continue</html>",
            "long": CONTENT + b"more",
            "nothing": b"",
        }.get(kind, CONTENT)
        self.send_response(200)
        if kind != "silent":
            self.send_header("Content-Length", str(len(CONTENT) if kind in ("half", "cut") else len(body)))
        if kind == "packed":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Wicked) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    """Resolve a weight of some addresses; the cache may hold it afterwards, and nothing else."""
    cache = tmp_path / "cache"
    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "weights")
    monkeypatch.setattr(weights, "MANIFEST", tmp_path / "manifest.toml")
    monkeypatch.setattr(weights, "cache_folder", lambda: cache)
    monkeypatch.delenv("MOTION_WEIGHTS", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def run(*urls, known=f'sha256 = "{SHA256}"'):
        lines = [
            "[[weights]]",
            f"urls = {list(urls)}",
            'name = "abc"',
            'kind = "detector"',
            'file = "abc.pt"',
        ]
        lines += ['licence = "MIT"', 'trained_on = "letters"', 'figures = "none"', known]
        (tmp_path / "manifest.toml").write_text("\n".join(lines))
        try:
            return weights.resolve("abc", "detector", offline=False, progress=False)
        finally:
            left = list(cache.iterdir()) if cache.is_dir() else []
            assert [path.name for path in left] in ([], ["abc.pt"])
            assert all(path.read_bytes() == CONTENT for path in left)

    return run


@pytest.mark.parametrize("kind", ["half", "page", "long", "nothing", "elsewhere", "circle", "packed"])
def test_what_is_not_the_file_is_not_kept(server, fetch, kind):
    with pytest.raises((DownloadError, WeightsError)) as caught:
        fetch(f"{server}/{kind}/abc.pt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["half", "page", "nothing", "elsewhere", "circle", "packed"])
def test_the_next_address_is_tried(server, fetch, kind):
    assert fetch(f"{server}/{kind}/abc.pt", f"{server}/good/abc.pt").read_bytes() == CONTENT


def test_a_download_without_a_declared_length_is_whole(server, fetch):
    assert fetch(f"{server}/silent/abc.pt").read_bytes() == CONTENT


def test_a_download_that_breaks_off_is_refused_without_a_checksum(server, fetch):
    with pytest.raises(UserError):
        fetch(f"{server}/half/abc.pt", known="")
