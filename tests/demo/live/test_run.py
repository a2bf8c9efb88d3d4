"""The loop: latency against due times, limits, stopping; the outputs."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from demo.live.outputs import Lines, Picture, Recorder, Window
from demo.live.pipeline import LivePipeline
from demo.live.run import Figures, run
from demo.live.source import Arrival
from demo.types import ClipInfo
from demo.video.reader import VideoReader, probe
from tests.demo.live.scenes import SIZE, FakeClock, frames, models
from tests.media import make_clip

STILL = [(0.3, 0.1, 4.0)] * 12


class Slow:
    """A pipeline that takes its time."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds = clock, seconds
        self.pipeline = LivePipeline(models(STILL), SIZE, 30.0)

    def step(self, frame):
        self.clock.spend(self.seconds)
        return self.pipeline.step(frame)


class Kept:
    def __init__(self, until=99, error=None):
        self.frames, self.until, self.error = [], until, error

    def show(self, live):
        self.frames.append(live)
        if self.error and len(self.frames) == self.until:
            raise self.error
        return len(self.frames) < self.until


def arrivals(clock, count=12):
    for frame in frames(count):
        clock.wait_until(100 + frame.time)
        yield Arrival(frame, 100 + frame.time)


def test_latency_is_from_due_to_pose():
    clock, figures = FakeClock(), Figures()
    assert run(arrivals(clock), Slow(clock, 0.01), [], clock, figures)
    assert np.array(figures.latencies) == pytest.approx(np.full(12, 0.01))
    assert figures.rate == pytest.approx(12 / (11 / 30 + 0.01))
    assert figures.percentile(50) == pytest.approx(0.01)
    assert "latency 10 ms (95 %: 10 ms), 3 frames dropped" in figures.line(3)


def test_latency_counts_the_time_before_the_frame_was_taken():
    clock, figures = FakeClock(), Figures()
    run(arrivals(clock), Slow(clock, 0.1), [], clock, figures)  # three times too slow, and nothing dropped
    assert figures.latencies[-1] == pytest.approx(12 * 0.1 - 11 / 30)


def test_ends():
    clock, kept = FakeClock(), Kept()
    assert not run(arrivals(clock), Slow(clock, 0), [kept], clock, Figures(), seconds=0.2)
    assert len(kept.frames) == 6
    for output in (Kept(until=4), Kept(until=4, error=KeyboardInterrupt())):
        clock = FakeClock()
        assert not run(arrivals(clock), Slow(clock, 0), [output], clock, Figures())
        assert len(output.frames) == 4


def test_recording(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", 12, rate=30)
    info, clock = probe(clip), FakeClock()
    info = ClipInfo(**{**vars(info), "width": SIZE[0], "height": SIZE[1]})
    picture = Picture(info)
    with Recorder(tmp_path / "out.mp4", picture, info) as recorder:
        taken = (each for each in arrivals(clock) if each.frame.index % 3 == 0)  # the others were dropped
        scaled = (
            Arrival(type(a.frame)(a.frame.index, a.frame.index * 512, a.frame.time, a.frame.image), a.due)
            for a in taken
        )
        run(scaled, Slow(clock, 0), [recorder], clock, Figures())
    with VideoReader(tmp_path / "out.mp4") as reader:
        read = list(reader)
        assert reader.info.size == picture.output_size
    step = float(512 * info.time_base)
    assert [frame.time for frame in read] == pytest.approx([0, 3 * step, 6 * step, 9 * step], abs=1e-3)
    room = read[-1].image[:, picture.output_size[0] - picture.output_size[1] :]
    assert room.max() > 200  # a lit figure stands in the room


def test_a_figure_stays_in_the_view_while_it_walks():
    info = ClipInfo(**{**vars(_info()), "width": SIZE[0], "height": SIZE[1]})
    picture, clock = Picture(info), FakeClock()
    seen = []

    class Watch:
        def show(self, live):
            picture.draw(live)
            seen.append(picture._centre)
            return True

    pipeline = LivePipeline(models([(0.02 * at, 0.1, 6.0) for at in range(200)]), SIZE, 30.0)
    run(arrivals(clock, 200), pipeline, [Watch()], clock, Figures())
    moves = sum(a is not b for a, b in pairwise(seen))
    assert moves == 1  # once in 4 metres: the view stands still otherwise


def test_lines_come_every_five_seconds():
    said, figures = [], Figures()
    clock = FakeClock()
    lines = Lines(said.append, figures, lambda: 7)
    pipeline = LivePipeline(models([(0.3, 0.1, 4.0)] * 30), SIZE, 2.0)
    for frame in frames(30, fps=2.0):
        live = pipeline.step(frame)
        figures.add(Arrival(frame, clock.now()), live, clock.now())
        lines.show(live)
    assert [line.partition(":")[0] for line in said] == ["5 s", "10 s"]
    assert "1 person" in said[0]
    assert "7 frames dropped" in said[0]


def test_no_display_no_window(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert Window.missing() == "there is no display"
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("cv2.getBuildInformation", lambda: "\n  GUI:                           NONE\n")
    assert "headless" in Window.missing()
    monkeypatch.setattr("cv2.getBuildInformation", lambda: "\n  GUI:                           QT5\n")
    assert Window.missing() is None


def _info():
    return ClipInfo(Path("camera 0"), 64, 48, Fraction(30), Fraction(1, 1000), 0, 0.0, 0, False, False)
