"""A clip plays in real time, the newest frame wins, and what cannot be opened is one clear error."""

from __future__ import annotations

import threading

import pytest

from common.errors import DamagedVideo, InputMissing
from demo.live.source import Arrival, Newest, open_source, pace, without_password
from tests.demo.live.scenes import FakeClock, frames
from tests.media import make_clip


def test_a_clip_is_paced_by_its_time_stamps():
    clock = FakeClock(50.0)
    seen = [(arrival.due, clock.now()) for arrival in pace(frames(4, fps=10), clock)]
    assert [due for due, _ in seen] == pytest.approx([50.0, 50.1, 50.2, 50.3])
    assert [now for _, now in seen] == pytest.approx([50.0, 50.1, 50.2, 50.3])


def test_a_late_frame_keeps_the_time_it_was_due():
    clock = FakeClock(0.0)
    paced = pace(frames(3, fps=10), clock)
    next(paced)
    clock.spend(0.35)
    assert next(paced).due == pytest.approx(0.1)
    assert clock.now() == pytest.approx(0.35)


def test_the_newest_frame_wins_and_the_last_is_delivered():
    read, go_on = threading.Event(), threading.Event()

    def arrivals():
        for frame in list(frames(5))[:4]:
            yield Arrival(frame, frame.time)
        read.set()
        go_on.wait(10)
        yield Arrival(list(frames(5))[4], 1.0)

    with Newest(arrivals()) as newest:
        assert read.wait(10)
        assert next(newest).frame.index == 3
        go_on.set()
        assert [arrival.frame.index for arrival in newest] == [4]
        assert newest.dropped == 3


def test_a_silent_source_has_ended():
    never = threading.Event()

    def arrivals():
        never.wait(20)
        yield from ()

    with Newest(arrivals(), silence=0.01) as newest:
        assert list(newest) == []
        never.set()


def test_errors_of_the_reading_arrive():
    def arrivals():
        yield Arrival(next(frames(1)), 0.0)
        raise DamagedVideo("broken off")

    with Newest(arrivals()) as newest, pytest.raises(DamagedVideo, match="broken off"):
        list(newest)


def test_a_clip_as_source(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", 6, rate=30)
    clock = FakeClock()
    with open_source(str(clip), clock) as source:
        assert source.info.size == (64, 48)
        assert not source.endless
        assert len(list(source.arrivals)) == 6
    assert clock.now() == pytest.approx(100 + 5 / 30, abs=1e-3)


@pytest.mark.parametrize("name", ["99", "no such clip.mp4", "rtsp://me:secret@127.0.0.1:9/camera"])
def test_what_cannot_be_opened(name):
    with pytest.raises(InputMissing) as error, open_source(name, FakeClock()):
        pass
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_passwords_are_not_shown():
    assert without_password("rtsp://me:a:b@host:554/x") == "rtsp://host:554/x"
    assert without_password("rtsp://host/a@b") == "rtsp://host/a@b"
