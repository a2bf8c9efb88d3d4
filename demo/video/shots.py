"""Shots: cuts are found while frames are decoded, and whether the camera moves within a shot.

A cut is a frame whose content differs from the previous one far more than its neighbours do from theirs
(PySceneDetect's adaptive detector), and after which the picture has another structure: a flash or a cloud
changes the light only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.types import Doubles, Frame, Image

SMALL = 256  # pixels of the longer side that pictures are compared at
SHORTEST = 0.3  # seconds of a shot at least
WINDOW = 2  # frames on both sides that a cut is compared with; PySceneDetect's default
DIFFERENT = 15.0  # mean difference in hue, saturation and value (0..255) of a cut; PySceneDetect's default

# Likeness of two pictures from which on they show one scene. On 25 clips pictures three frames apart have .82
# or more, pictures of two scenes .27 or less.
SAME_SCENE = 0.5
BLUR = 2.0  # pixels, sigma: a camera turns so far between the compared pictures

MOTION_INTERVAL = 0.2  # seconds between the pictures that camera motion is measured on
CORNERS = 200  # of the background that are followed
MOVED = 0.004  # of the picture's longer side between two of them: more than hands on a tripod, or codecs, do
MOVING = 0.3  # share of the pictures in which the background moved, from which on the camera moves


class _Cuts:
    """PySceneDetect's adaptive detector, fed frame by frame."""

    def __init__(self, fps: float) -> None:
        from scenedetect import FrameTimecode
        from scenedetect.detectors import AdaptiveDetector

        self._timecode = lambda index: FrameTimecode(index, fps)
        self._detector = AdaptiveDetector(
            min_scene_len=max(1, round(SHORTEST * fps)), window_width=WINDOW, min_content_val=DIFFERENT
        )

    def add(self, index: int, image: Image) -> list[int]:
        """Return the numbers of earlier frames that begin a shot, once `WINDOW` more frames are known."""
        found = self._detector.process_frame(self._timecode(index), image)
        return [each.frame_num for each in found]


def mark_shots(frames: Iterator[Frame], fps: float) -> Iterator[Frame]:
    """Yield the frames with the number of their shot, `WINDOW` frames late."""
    cuts, shot = _Cuts(fps), 0
    waiting: deque[tuple[Frame, Image]] = deque()
    before: Image | None = None  # the last picture that was yielded
    for count, frame in enumerate(frames):
        waiting.append((frame, _small(frame.image)))
        found = cuts.add(count, waiting[-1][1])
        if found and before is not None and _likeness(before, waiting[-1][1]) < SAME_SCENE:
            shot += 1
        if len(waiting) > WINDOW:
            first, before = waiting.popleft()
            yield replace(first, shot=shot)
    for first, _ in waiting:
        yield replace(first, shot=shot)


class CameraMotion:
    """Measures how far the background moves in the picture, shot by shot.

    Corners outside the people are followed from picture to picture (Lucas-Kanade) and one similarity
    transform is fitted to them, robustly: what moves by itself is an outlier.
    """

    def __init__(self) -> None:
        self._last: tuple[int, float, NDArray[np.uint8], Doubles] | None = None
        self._steps: dict[int, list[float]] = {}

    def add(self, frame: Frame, boxes: NDArray[np.floating]) -> None:
        """Compare a frame with an earlier one of its shot. boxes: (N, 4) pixels, of the people in it."""
        steps = self._steps.setdefault(frame.shot, [])
        last = self._last
        if last is not None and last[0] == frame.shot and frame.time - last[1] < MOTION_INTERVAL:
            return
        picture = cv2.cvtColor(_small(frame.image), cv2.COLOR_BGR2GRAY)
        if last is not None and last[0] == frame.shot:
            steps.append(_background_step(last[2], picture, last[3]))
        scale = picture.shape[1] / frame.image.shape[1]
        self._last = frame.shot, frame.time, np.asarray(picture, np.uint8), np.asarray(boxes * scale, float)

    def moving(self, shot: int) -> bool:
        """Return whether the camera moves in a shot."""
        steps = self._steps.get(shot, [])
        return bool(steps) and float(np.mean(np.array(steps) > MOVED)) > MOVING


def _background_step(before: NDArray[np.uint8], after: NDArray[np.uint8], boxes: Doubles) -> float:
    """Return how far the background moved between two pictures, as a part of the longer side; 0 if unknown.

    It is the mean over the picture's corners and middle, so that turns and zooms count too.
    """
    mask = np.full(before.shape, 255, np.uint8)
    for left, top, right, bottom in np.clip(boxes, 0, max(before.shape)).astype(int):
        mask[top : bottom + 1, left : right + 1] = 0
    corners = cv2.goodFeaturesToTrack(before, CORNERS, 0.01, 5, mask=mask)
    if corners is None or len(corners) < 8:
        return 0.0
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, np.zeros_like(corners))
    good = found.ravel() == 1
    if good.sum() < 8:
        return 0.0
    transform, _ = cv2.estimateAffinePartial2D(corners[good], moved[good], ransacReprojThreshold=1.0)
    if transform is None:
        return 0.0
    high, wide = before.shape
    points = np.array(((0, 0), (wide, 0), (0, high), (wide, high), (wide / 2, high / 2)))
    step = np.linalg.norm(points @ transform[:, :2].T + transform[:, 2] - points, axis=1)
    return float(step.mean() / max(before.shape))


def _small(image: Image) -> Image:
    scale = min(1.0, SMALL / max(image.shape[:2]))
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _likeness(a: Image, b: Image) -> float:
    """Return the correlation of the gradients of two pictures: of structure, whatever the light."""
    size = []
    for each in (a, b):
        grey = cv2.cvtColor(each, cv2.COLOR_BGR2GRAY).astype(np.float32)
        gradient = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
        size.append(cv2.GaussianBlur(np.log1p(gradient), (0, 0), BLUR))
    first, second = (each - each.mean() for each in size)
    return float((first * second).mean() / max(float(first.std() * second.std()), 1e-6))
