"""Where frames come from: a camera, a stream, or a clip that plays in real time. The newest frame wins."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import av.error
import cv2
import numpy as np

from common.errors import InputMissing, UserError
from demo.types import ClipInfo, Frame, Image
from demo.video.reader import VideoReader

STREAMS = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "srt")
USUAL_RATE = Fraction(30)  # frames a second, of a camera that does not say
TICKS = 1000  # a second, of a camera's time stamps
SILENCE = 10.0  # seconds without a frame after which a camera counts as ended


class Clock(Protocol):
    """Seconds that pass, of any origin."""

    def now(self) -> float:
        """Return the present time."""
        ...

    def wait_until(self, due: float) -> None:
        """Return at a time, at once if it is past."""
        ...


class WallClock:
    """The machine's clock, which no adjustment moves."""

    def now(self) -> float:
        """Return seconds."""
        return time.monotonic()

    def wait_until(self, due: float) -> None:
        """Sleep until a time."""
        time.sleep(max(due - self.now(), 0.0))


@dataclass(frozen=True)
class Arrival:
    """A frame, and when it was due by the clock: a pose that is found later is late by the difference."""

    frame: Frame
    due: float


@dataclass(frozen=True)
class Source:
    """An open source.

    name: for messages. info: size and rate; of a camera the file is only a name. endless: a camera, which
    does not end by itself.
    """

    name: str
    info: ClipInfo
    arrivals: Iterator[Arrival]
    endless: bool


@contextmanager
def open_source(name: str, clock: Clock) -> Iterator[Source]:
    """Open a camera by its number, a stream by its address, or a clip by its path.

    Raises:
        InputMissing: there is no such camera, or the stream cannot be opened.
        UserError: see `VideoReader`, for a clip.
    """
    if name.isdigit():
        camera = _open_camera(int(name))
        try:
            yield _watch(f"camera {name}", _camera_images(camera), clock, _camera_rate(camera))
        finally:
            camera.release()
    elif name.partition("://")[0].lower() in STREAMS and "://" in name:
        with _open_stream(name) as stream:
            rate = stream.streams.video[0].average_rate or USUAL_RATE
            yield _watch(without_password(name), _stream_images(stream), clock, Fraction(rate))
    else:
        with VideoReader(Path(name)) as reader:
            yield Source(name, reader.info, pace(reader, clock), endless=False)


def without_password(address: str) -> str:
    """Return an address without user name and password."""
    return re.sub(r"://[^/@]*@", "://", address)


def pace(frames: Iterator[Frame], clock: Clock) -> Iterator[Arrival]:
    """Yield the frames of a clip at their times, as a camera would."""
    start: float | None = None
    for frame in frames:
        if start is None:
            start = clock.now() - frame.time
        clock.wait_until(start + frame.time)
        yield Arrival(frame, start + frame.time)


def _watch(name: str, images: Iterator[Image], clock: Clock, rate: Fraction) -> Source:
    """Make a source of pictures that arrive when they are taken; the first gives their size."""
    first = next(images, None)
    if first is None:
        raise InputMissing(f"{name}: it opens and sends no picture; is another program using it?")
    height, width = first.shape[:2]
    info = ClipInfo(Path(name), width, height, rate, Fraction(1, TICKS), 0, 0.0, 0, False, False)

    def arrivals() -> Iterator[Arrival]:
        start, index, ticks = clock.now(), 0, -1
        image: Image | None = first
        while image is not None:
            now = clock.now()
            ticks = max(round((now - start) * TICKS), ticks + 1)
            yield Arrival(Frame(index, ticks, ticks / TICKS, image), now)
            index += 1
            image = next(images, None)

    return Source(name, info, arrivals(), endless=True)


def _open_camera(number: int) -> cv2.VideoCapture:
    with _quiet_opencv():
        camera = cv2.VideoCapture(number)
    if not camera.isOpened():
        raise InputMissing(
            f"--source {number}: there is no such camera, or it is in use, or this program may not see it"
        )
    camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # older frames are of no use
    return camera


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Keep OpenCV from printing warnings of its own."""
    logs = cv2.utils.logging
    before = logs.getLogLevel()
    logs.setLogLevel(logs.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logs.setLogLevel(before)


def _camera_rate(camera: cv2.VideoCapture) -> Fraction:
    rate = camera.get(cv2.CAP_PROP_FPS)
    return Fraction(rate).limit_denominator(1001) if 1 <= rate <= 1000 else USUAL_RATE


def _camera_images(camera: cv2.VideoCapture) -> Generator[Image, None, None]:
    while True:
        read, image = camera.read()
        if not read:
            return
        yield np.asarray(image, np.uint8)


def _open_stream(address: str) -> av.container.InputContainer:
    tcp = {"rtsp_transport": "tcp"} if address.lower().startswith("rtsp") else {}
    try:
        stream = av.open(address, timeout=SILENCE, options={"fflags": "nobuffer", **tcp})
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputMissing(f"--source {without_password(address)}: cannot be opened ({reason})") from error
    if not stream.streams.video:
        stream.close()
        raise InputMissing(f"--source {without_password(address)}: there is no picture in it")
    return stream


def _stream_images(stream: av.container.InputContainer) -> Generator[Image, None, None]:
    try:
        for frame in stream.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    except (av.error.FFmpegError, OSError):
        return  # the stream broke off: it has ended


class Newest(Iterator[Arrival]):
    """The newest of some arrivals, which a thread reads; a context manager.

    An arrival that is not taken before the next one comes is dropped. The last one is always delivered. A
    source that is silent for `silence` seconds has ended.

    Attributes:
        dropped: the number of frames that were.

    Raises:
        UserError: what the reading raised.
    """

    def __init__(self, arrivals: Iterator[Arrival], silence: float = SILENCE) -> None:
        self.dropped = 0
        self._arrivals, self._silence = arrivals, silence
        self._change = threading.Condition()
        self._newest: Arrival | None = None
        self._error: BaseException | None = None
        self._ended = self._stopped = False
        self._thread = threading.Thread(target=self._read, name="source", daemon=True)

    def __enter__(self) -> Newest:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._change:
            self._stopped = True
        self._thread.join(timeout=self._silence)

    def __next__(self) -> Arrival:
        with self._change:
            self._change.wait_for(lambda: self._newest is not None or self._ended, self._silence)
            arrival, self._newest = self._newest, None
        if arrival is not None:
            return arrival
        if self._error is not None:
            raise self._error
        raise StopIteration

    def _read(self) -> None:
        try:
            for arrival in self._arrivals:
                with self._change:
                    if self._stopped:
                        return
                    self.dropped += self._newest is not None
                    self._newest = arrival
                    self._change.notify_all()
        except (UserError, av.error.FFmpegError, cv2.error, OSError) as error:
            self._error = error
        finally:
            with self._change:
                self._ended = True
                self._change.notify_all()
