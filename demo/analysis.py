"""The first pass over a clip: decode, find shots, detect and track with keypoints. Only numbers are kept."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import groupby, islice
from operator import attrgetter

import numpy as np

from demo.models import Models
from demo.settings import AnalysisSettings
from demo.tracking.candidates import CandidateStore
from demo.tracking.online import PoseTracker
from demo.tracking.people import join_shots, refine_tracks
from demo.types import Analysis, ClipInfo, Frame, Progress, Shots, Tracks2D
from demo.video.prefetch import Prefetch
from demo.video.reader import VideoReader
from demo.video.shots import CameraMotion, mark_shots

CHUNK_PIXELS = 16e6  # pixels of the frames that go through the networks together: bounds memory for 8K too


def analyse(info: ClipInfo, settings: AnalysisSettings, models: Models, progress: Progress) -> Analysis:
    """Find the shots, and the boxes and 2D keypoints of all people in every frame."""
    pts, times, index = array("q"), array("d"), array("i")
    people: list[Tracks2D] = []
    camera = CameraMotion()

    def counted(frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            pts.append(frame.pts)
            times.append(frame.time)
            index.append(frame.shot)
            progress("analyse", len(pts), expected_frames(info, settings))
            yield frame

    chunk = int(max(1, min(models.batch, CHUNK_PIXELS // (info.width * info.height))))
    with (
        VideoReader(info.path, settings.start, settings.end) as reader,
        Prefetch(mark_shots(reader, float(info.fps)), 2 * chunk) as frames,
    ):
        for _, shot in groupby(counted(frames), key=attrgetter("shot")):
            people.append(_analyse_shot(shot, info, settings, models, camera, chunk))
    moving = tuple(camera.moving(shot) for shot in range(max(len(people), 1)))
    shots = Shots(np.array(index, np.int32), moving)
    return Analysis(join_shots(people), np.array(pts, np.int64), np.array(times), shots, reader.damage)


def expected_frames(info: ClipInfo, settings: AnalysisSettings) -> int:
    """Return how many frames of a clip will be read according to its header; 0 when unknown."""
    if settings.start is None and settings.end is None:
        return info.frame_count or round(info.duration * info.fps)
    span = min(settings.end or info.duration, info.duration or np.inf) - (settings.start or 0)
    return max(round(span * float(info.fps)), 0) if np.isfinite(span) else 0


def _analyse_shot(
    frames: Iterator[Frame],
    info: ClipInfo,
    settings: AnalysisSettings,
    models: Models,
    camera: CameraMotion,
    chunk: int,
) -> Tracks2D:
    """Track the people of one shot, `chunk` frames at a time, and measure the camera's motion."""
    tracker = PoseTracker(models.detector, models.pose, float(info.fps), settings.detect_every)
    store = CandidateStore()
    times = array("d")
    while some := list(islice(frames, chunk)):
        for frame, people in zip(some, tracker.track(some), strict=True):
            store.append(people)
            camera.add(frame, people.boxes)
            times.append(frame.time)
    return refine_tracks(store, np.array(times), info.size, settings.detect_every)
