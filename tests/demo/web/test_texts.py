"""What the page says of a clip in each state."""

from dataclasses import replace

import pytest

from demo.web import texts
from demo.web.folders import ClipFolder
from demo.web.jobs import Clip
from demo.web.progress import Progress


@pytest.fixture
def clip(tmp_path):
    folder = ClipFolder(tmp_path / "job", "a & b #1.mp4")
    folder.results.mkdir(parents=True)
    return Clip("0123", folder, 2.0)


def test_a_waiting_clip_is_told_its_place(clip):
    assert texts.label(clip, Progress()) == "a & b #1.mp4 · waiting"
    assert "<b>a &amp; b #1.mp4</b> waits. 2 clips are processed before it." in texts.state_html(
        clip, Progress(), 2
    )
    assert "1 clip is processed before it." in texts.state_html(clip, Progress(), 1)
    assert "It is next." in texts.state_html(clip, Progress(), 0)


def test_a_running_clip_shows_stage_frames_percent_and_remaining_time(clip):
    running = replace(clip, state="running")
    progress = Progress("analyse", 30, 120, 0.2, 83.0)
    assert texts.label(running, progress) == "a & b #1.mp4 · 20%"
    shown = texts.state_html(running, progress, 0)
    assert "finding people · frame 30 of 120 · 20% · about 1 min 20 s left" in shown
    assert "aria-valuenow='20'" in shown
    assert texts.progress_text(Progress()) == "loading the networks"
    assert texts.progress_text(Progress("lift", 0, 1, 0.7)) == "lifting to 3D · 70%"
    assert texts.progress_text(Progress("analyse", 7, 0, 0.0)) == "finding people · frame 7 · 0%"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59.4, "59 s"), (59.6, "1 min"), (84, "1 min 20 s"), (3599, "1 h"), (5400, "1 h 30 min")],
)
def test_durations(seconds, text):
    assert texts.duration(seconds) == text


def test_failures_and_refusals_are_escaped_lines_with_the_name(clip):
    failed = replace(clip, state="failed", why="no <memory>")
    assert "a &amp; b #1.mp4: no &lt;memory&gt;" in texts.state_html(failed, Progress(), 0)
    failed = replace(clip, state="failed", why="a & b #1.mp4: is cut")
    assert ">a &amp; b #1.mp4: is cut<" in texts.state_html(failed, Progress(), 0)
    assert "&lt;b&gt;" in texts.refusals_html(["<b>"])
    assert "cancelled" in texts.state_html(replace(clip, state="cancelled"), Progress(), 0)


def test_a_result_has_the_viewer_and_a_link_to_every_file(clip):
    for name in ("a & b #1_viewer.html", "a & b #1.npz"):
        (clip.folder.results / name).write_bytes(b"x" * 1500)
    assert texts.result_html(clip) == ""
    clip.folder.pack()
    done = replace(clip, state="done", took=12.0, notes=("a note",))
    shown = texts.result_html(done)
    assert "src='results/0123/a%20%26%20b%20%231_viewer.html'" in shown
    assert "href='results/0123/a%20%26%20b%20%231.npz' download>a &amp; b #1.npz</a> <span>1.5 kB" in shown
    assert "href='results/0123/a%20%26%20b%20%231.zip' download>Download all" in shown
    assert "is done in 12 s" in texts.state_html(done, Progress(), 0)
    assert "<li>a note</li>" in texts.state_html(done, Progress(), 0)
    damaged = replace(done, why="breaks off after 3 s")
    assert "breaks off after 3 s; the results cover what could be read" in texts.state_html(
        damaged, Progress(), 0
    )


def test_sizes():
    assert [texts.size_text(count) for count in (3, 99_000, 2_340_000)] == ["0.1 kB", "99.0 kB", "2.3 MB"]
