"""What shows poses: the side-by-side picture in a window or a video, lines of text."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from common.errors import UserError
from demo.live.pipeline import LiveFrame
from demo.live.run import Figures
from demo.render.frame import Renderer
from demo.render.panel import View
from demo.types import ClipInfo, Doubles, Image
from demo.video.writer import VideoWriter

WINDOW = "motion from video (q ends)"
HEIGHT = (240, 540)  # pixels of the picture: drawing must not cost more than the poses
ROOM = 1.5  # metres about the people that the view shows
LEAVES = 1.0  # metres beyond that, after which the view moves
LINE_EVERY = 5.0  # seconds between two lines of figures


class Picture:
    """The side-by-side picture of the latest frame, drawn once for all outputs that show it.

    The 3D view stands still while people stay within a metre of what it shows.
    """

    def __init__(self, info: ClipInfo) -> None:
        self._size = info.size
        self._height = int(np.clip(info.height, *HEIGHT))
        self._centre: Doubles | None = None
        self._renderer = self._look(np.zeros(2), None)
        self._drawn: tuple[int, Image] | None = None

    @property
    def output_size(self) -> tuple[int, int]:
        """(width, height), pixels."""
        return self._renderer.output_size

    def draw(self, live: LiveFrame) -> Image:
        """Return the picture (H, W, 3) of a frame."""
        if self._drawn is None or self._drawn[0] != live.frame.index:
            self._follow(live)
            people = [pose.drawn for pose in live.people]
            picture = self._renderer.render(live.frame.image, people, live.frame.time)
            self._drawn = live.frame.index, picture
        return self._drawn[1]

    def _follow(self, live: LiveFrame) -> None:
        if not live.people:
            return
        places = np.stack([pose.world[0, :2] for pose in live.people]).astype(np.float64)
        middle = (places.min(0) + places.max(0)) / 2
        far = self._centre is None or np.abs(places - self._centre).max() > ROOM + LEAVES
        if far and np.isfinite(middle).all() and live.ground is not None:
            self._centre = middle
            self._renderer = self._look(middle, live.ground.forward)

    def _look(self, middle: Doubles, forward: Doubles | None) -> Renderer:
        """Return a renderer that shows a body's height and some metres about a place (2,) of the floor."""
        sides = (-ROOM, ROOM)
        corners = [(middle[0] + x, middle[1] + y, z) for x in sides for y in sides for z in (0.0, 1.8)]
        direction = None if forward is None else forward.tolist()
        return Renderer(self._size, self._height, View.fit(np.array(corners, np.float32), direction))


class Window:
    """A window of the desktop; `q` or closing it ends the run."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture

    @staticmethod
    def missing() -> str | None:
        """Return why there can be no window, or None."""
        if sys.platform.startswith("linux") and not (
            os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        ):
            return "there is no display"
        gui = [line for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GUI:")]
        if any("NONE" in line for line in gui):
            return "this OpenCV is the headless one, without windows"
        return None

    def __enter__(self) -> Self:
        if missing := self.missing():
            raise UserError(f"no window: {missing}; use --browser")
        cv2.namedWindow(WINDOW, cv2.WINDOW_AUTOSIZE)
        return self

    def __exit__(self, *_: object) -> None:
        cv2.destroyAllWindows()

    def show(self, live: LiveFrame) -> bool:
        """Show a frame; return False once `q` is pressed or the window is closed."""
        cv2.imshow(WINDOW, self._picture.draw(live))
        pressed = cv2.waitKey(1) & 0xFF
        return pressed != ord("q") and cv2.getWindowProperty(WINDOW, cv2.WND_PROP_VISIBLE) >= 1


class Recorder:
    """A side-by-side video of the run, at the frames' own times; a context manager.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path, picture: Picture, info: ClipInfo) -> None:
        self._picture = picture
        source = replace(info, has_audio=False, frame_count=0, duration=0.0)
        self._writer = VideoWriter(path, picture.output_size, source)
        self._last: int | None = None

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def show(self, live: LiveFrame) -> bool:
        """Write a frame."""
        if self._last is None or live.frame.pts > self._last:
            self._writer.write(self._picture.draw(live), live.frame.pts)
            self._last = live.frame.pts
        return True


class Lines:
    """A line of figures every five seconds of the source."""

    def __init__(self, say: Callable[[str], None], figures: Figures, dropped: Callable[[], int]) -> None:
        self._say, self._figures, self._dropped = say, figures, dropped
        self._next = LINE_EVERY

    def show(self, live: LiveFrame) -> bool:
        """Print the figures if it is time."""
        if live.frame.time >= self._next:
            self._next = live.frame.time + LINE_EVERY
            people = f"{len(live.people)} {'person' if len(live.people) == 1 else 'people'}"
            self._say(f"{live.frame.time:.0f} s: {people}, {self._figures.line(self._dropped())}")
        return True
