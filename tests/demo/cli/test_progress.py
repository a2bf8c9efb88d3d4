"""Progress without a terminal: few lines, or one JSON event a line."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from common.errors import InputMissing
from demo.batch.folders import Job
from demo.batch.report import Row
from demo.cli.progress import JsonConsole, LineConsole, open_console

CLIP = Path("clip.mp4")


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def events(text):
    return [json.loads(line) for line in text.splitlines()]


def test_lines_are_five_seconds_apart(capsys):
    clock = Clock()
    console = LineConsole(clock=clock)
    with console.progress(CLIP) as report:
        for done in range(1, 121):
            clock.now = done / 10
            report("analyse", done, 240)
    assert capsys.readouterr().err.splitlines() == [
        "clip.mp4: finding people, 50 of 240 (20 %)",
        "clip.mp4: finding people, 100 of 240 (41 %)",
    ]


def test_quiet_prints_nothing(capsys):
    clock = Clock()
    with LineConsole(quiet=True, clock=clock).progress(CLIP) as report:
        clock.now = 100
        report("analyse", 1, 2)
    assert capsys.readouterr().err == ""


def test_events_of_a_clip(capsys):
    clock = Clock()
    console = JsonConsole(clock=clock)
    with console.progress(CLIP) as report:
        for done in range(0, 13):
            clock.now = 10 + done / 10
            report("analyse", done, 12)
        report("lift", 0, 1)
    done = SimpleNamespace(
        clip=CLIP, damage=None, people=2, frames=12, seconds=0.4, files=[Path("a.npz")], notes=("dark",)
    )
    console.finished(done)
    found = events(capsys.readouterr().err)
    analysed = [each["done"] for each in found if each.get("stage") == "analyse"]
    assert analysed == [0, 5, 10, 12]  # half a second apart, and the end
    assert found[0] == {"event": "progress", "clip": "clip.mp4", "stage": "analyse", "done": 0, "total": 12}
    assert found[-2] == {"event": "note", "text": "dark"}
    assert found[-1]["event"] == "finished"
    assert (found[-1]["people"], found[-1]["files"]) == (2, ["a.npz"])


def test_events_of_a_batch(capsys):
    jobs = [Job(Path(f"{name}.mp4"), Path("out")) for name in "ab"]
    with JsonConsole(clock=Clock()).batch([]) as watcher:
        watcher.progress(jobs[0], "analyse", 1, 10)
        watcher.progress(jobs[1], "analyse", 1, 10)
        watcher.finished(Row(jobs[0], "done", people=1, frames=10, seconds=0.3))
        watcher.finished(Row(jobs[1], "failed", why="no picture"))
    found = events(capsys.readouterr().err)
    assert [each["event"] for each in found] == ["progress", "progress", "finished", "error"]
    assert [each["clip"] for each in found] == ["a.mp4", "b.mp4", "a.mp4", "b.mp4"]
    assert found[3]["error"] == "no picture"


def test_an_error_is_an_event_and_the_usual_status(capsys):
    with pytest.raises(typer.Exit) as ended, JsonConsole().errors():
        raise InputMissing("no such clip")
    assert ended.value.exit_code == InputMissing.status
    assert events(capsys.readouterr().err) == [{"event": "error", "error": "no such clip", "status": 3}]


def test_without_a_terminal_there_are_lines(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    assert isinstance(open_console("auto", False, 0), LineConsole)
    assert isinstance(open_console("json", False, 0), JsonConsole)
