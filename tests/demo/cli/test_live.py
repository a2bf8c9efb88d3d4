"""`python app.py live`: a clip as camera from the flags to the files, and errors in one line."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from common.errors import DamagedVideo, InputMissing, UserError
from demo.cli.main import app
from demo.live.source import Source, pace
from demo.video.reader import VideoReader
from tests.demo.live.scenes import SIZE, FakeClock, frames, models
from tests.media import make_clip


@pytest.fixture
def live(monkeypatch, tmp_path):
    """The command with a camera that sees one person for a second, in no time."""
    clip = make_clip(tmp_path / "clip.mp4", 2, rate=30)
    with VideoReader(clip) as reader:
        known = reader.info
    info = type(known)(**{**vars(known), "width": SIZE[0], "height": SIZE[1]})
    monkeypatch.setattr("demo.models.resolve_models", lambda settings: None)
    monkeypatch.setattr("demo.cli.console.Console.resolved", lambda self, resolved: None)
    monkeypatch.setattr("demo.models.ModelLoader", lambda *_: lambda: models([(0.3, 0.1, 4.0)] * 30))
    endless = {"value": False}

    class Opened:
        def __enter__(self):
            moments = ((f, type(f)(f.index, f.index * 512, f.time, f.image)) for f in frames(30))
            return Source("camera 0", info, pace((f for _, f in moments), FakeClock()), endless["value"])

        def __exit__(self, *_):
            return None

    monkeypatch.setattr("demo.live.source.open_source", lambda name, clock: Opened())

    def run(*flags, camera=False):
        endless["value"] = camera
        return CliRunner().invoke(app, ["live", "--source", "0", *map(str, flags)])

    return run


def test_from_the_source_to_the_video(live, tmp_path):
    done = live("--no-window", "--record", tmp_path / "out.mp4")
    assert done.exit_code == 0, done.output
    assert "latency" in done.output
    with VideoReader(tmp_path / "out.mp4") as reader:
        assert 1 <= len(list(reader)) <= 30


def test_a_camera_that_ends_is_an_error_and_the_video_is_kept(live, tmp_path):
    done = live("--no-window", "--record", tmp_path / "out.mp4", camera=True)
    assert isinstance(done.exception, DamagedVideo)
    assert str(done.exception).startswith("camera 0: ")
    assert (tmp_path / "out.mp4").is_file()


def test_without_a_display_the_page_is_served(live, monkeypatch):
    monkeypatch.setattr("demo.live.outputs.Window.missing", lambda: "there is no display")
    done = live("--port", 0)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == "No window: there is no display. The page in the browser shows the run."
    assert lines[1].startswith("Open http://127.0.0.1:")


def test_wrong_flags():
    invoke = CliRunner().invoke
    assert isinstance(invoke(app, ["live", "--source", "no.mp4"]).exception, InputMissing)
    assert isinstance(invoke(app, ["live", "--source", "no.mp4", "--osc", "x:y"]).exception, UserError)
    assert invoke(app, ["live", "--source", "no.mp4", "--runtime", "abacus"]).exit_code == 2
    assert invoke(app, ["live"]).exit_code == 2
