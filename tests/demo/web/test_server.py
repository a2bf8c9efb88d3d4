"""The server: flags in one line, and over HTTP nothing but the page and finished results."""

import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from common.errors import MissingExtra, UserError
from demo.cli.main import app
from demo.web import server
from demo.web.server import ServerOptions, parse_login, require_gradio


def test_others_are_let_in_with_a_password_only():
    with pytest.raises(UserError, match="--auth user:password"):
        ServerOptions(host="0.0.0.0")
    assert ServerOptions(host="0.0.0.0", login=("a", "b")).login == ("a", "b")
    assert ServerOptions().host == "127.0.0.1"


@pytest.mark.parametrize("text", ["", "anna", "anna:", ":secret"])
def test_a_login_has_two_parts(text):
    with pytest.raises(UserError, match="user:password"):
        parse_login(text)
    assert parse_login("anna:a:b") == ("anna", "a:b")
    assert parse_login(None) is None


def test_without_gradio_one_line_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(MissingExtra, match=r"pip install -r requirements-web\.txt"):
        require_gradio()


@pytest.mark.parametrize(
    "flags",
    [["--host", "0.0.0.0"], ["--auth", "anna"], ["--max-size", "nan"], ["--keep", "0"], ["--quality", "no"],
     ["--port", "70000"]],
)  # fmt: skip
def test_wrong_flags_are_refused_before_anything_is_loaded(flags, monkeypatch):
    monkeypatch.setattr(server, "require_gradio", lambda: pytest.fail("too late"))
    result = CliRunner().invoke(app, ["web", *flags])
    assert result.exit_code != 0
    assert "Traceback" not in result.output


def test_a_port_in_use_is_one_line():
    with server._listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(UserError, match=f"127.0.0.1:{port} cannot be used .*--port"):
            server._listen("127.0.0.1", port)
    with pytest.raises(UserError, match="--host"):
        server._listen("no such host.invalid", 1)


@pytest.fixture
def browser(workers, monkeypatch):
    """A client of the whole application, without a socket."""
    pytest.importorskip("gradio", reason="needs requirements-web.txt")
    from starlette.testclient import TestClient

    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    options = ServerOptions(largest=workers.folders.largest)
    application = server.build_application(workers.queue, workers.folders, options)
    with TestClient(application, base_url="http://127.0.0.1:7860") as client:
        yield client


@pytest.mark.extra
def test_finished_results_are_served_and_nothing_else(workers, browser):
    clip = workers.queue.add(workers.upload("a #1.mp4", "content"))
    workers.wait_for_start()
    (clip.folder.results / "a #1.npz").write_text("half")
    assert browser.get(f"/results/{clip.number}/a%20%231.npz").status_code == 404
    workers.finish(clip.number)
    reply = browser.get(f"/results/{clip.number}/a%20%231.npz")
    assert (reply.status_code, reply.text) == (200, "content")
    assert browser.get(f"/results/{clip.number}/a%20%231.zip").content[:2] == b"PK"
    wanted = ("../clip/a%20%231.mp4", "..%2fclip%2fa%20%231.mp4", "%2e%2e/clip", "%2fetc%2fpasswd",
              ".half.part", "a%20%231.mp4", "", "..", "..%5cclip")  # fmt: skip
    for name in wanted:
        assert browser.get(f"/results/{clip.number}/{name}").status_code == 404, name
    for number in ("", ".", "..", "%2e%2e", "jobs", "0" * 32):
        assert browser.get(f"/results/{number}/a%20%231.npz").status_code == 404, number


@pytest.mark.extra
def test_gradio_serves_no_file_of_the_machine_and_takes_no_large_one(workers, browser):
    own = workers.folders.root.parent / "own.txt"
    own.write_text("own")
    clip = workers.queue.add(workers.upload("a.mp4"))
    for path in (
        "/etc/passwd",
        own,
        "../own.txt",
        "app.py",
        clip.folder.clip,
        clip.folder.results,
        "http://h/",
    ):
        for route in ("gradio_api/file=", "file=", "gradio_api/file/", "static/", "assets/"):
            assert browser.get(f"/{route}{path}").status_code in (403, 404, 405), (route, path)
    assert browser.post("/gradio_api/upload", files={"files": b"x" * 900}).status_code == 200
    assert browser.post("/gradio_api/upload", files={"files": b"x" * 3000}).status_code == 413
    assert browser.get("/", headers={"host": "evil.example"}).status_code == 421
    upload = {"files": b"x"}
    assert browser.post("/gradio_api/upload", files=upload, headers={"origin": "http://e"}).status_code == 403
    assert browser.get("/docs").status_code == 404


@pytest.mark.extra
def test_the_page_names_no_foreign_address_for_fonts_or_scripts(browser):
    page = browser.get("/").text
    theme = browser.get("/theme.css").text
    for address in ("fonts.googleapis", "fonts.gstatic", "cdnjs", "api.gradio.app"):
        assert address not in page + theme
    assert "system-ui" in theme
    assert browser.get("/config").json()["analytics_enabled"] is False


WICKED_NAMES = (
    "../../evil.mp4", "..\\..\\evil.mp4", "/etc/evil.mp4", "a\x1b[2J\x07.mp4", "n" * 5000 + ".mp4",
    "a\r\nb.mp4", "a\0b.mp4", "..", ".", "", ".hidden", "con|<>*?.mp4", "\u202egpj.mp4", "\udcff.mp4",
    "e\u0301" * 200 + ".mp4",
)  # fmt: skip


@pytest.mark.extra
@pytest.mark.parametrize("name", WICKED_NAMES, ids=range(len(WICKED_NAMES)))
def test_names_of_uploads_lead_nowhere_and_control_nothing(workers, browser, name, tmp_path):
    """Uploads are stored in their folder, or refused; the name of the clip is one harmless line."""
    before = {path for path in tmp_path.rglob("*") if workers.folders.uploads not in path.parents}
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n'
    body = head % name.encode("utf-8", "surrogateescape") + b"clip\r\n--x--\r\n"
    reply = browser.post(
        "/gradio_api/upload", content=body, headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert reply.status_code < 500
    after = {path for path in tmp_path.rglob("*") if workers.folders.uploads not in path.parents}
    assert after == before
    for path in reply.json() if reply.status_code == 200 else []:
        assert workers.folders.uploads in Path(path).resolve().parents
        clip = workers.queue.add(Path(path))
        assert clip.folder.clip.resolve().parent == clip.folder.path.resolve() / "clip"
        assert clip.folder.name.isprintable()
        assert len(os.fsencode(clip.folder.name)) <= 100


@pytest.mark.extra
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x",
        b"--x\r\n\r\n",
        b"\0" * 500,
        b'--x\r\nContent-Disposition: form-data; name="files"\r\n\r\n',
    ],
)
def test_broken_uploads_are_refused(browser, body):
    kind = "multipart/form-data; boundary=x"
    assert browser.post("/gradio_api/upload", content=body, headers={"content-type": kind}).status_code < 500
    assert browser.get("/").status_code == 200
