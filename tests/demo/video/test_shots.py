"""Cuts and camera motion: synthetic scenes with known answers, and real clips."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from demo.types import Frame
from demo.video.reader import VideoReader
from demo.video.shots import MOVED, CameraMotion, mark_shots

NOBODY = np.zeros((0, 4))


def scene(seed, size=(180, 320)):
    """A picture of random blobs."""
    rng = np.random.default_rng(seed)
    noise = rng.uniform(0, 255, (size[0] // 12, size[1] // 12, 3)).astype(np.float32)
    return cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def film(pictures, fps=25.0):
    return [Frame(i, i, i / fps, picture) for i, picture in enumerate(pictures)]


def shots(frames, fps=25.0):
    marked = list(mark_shots(iter(frames), fps))
    assert [frame.index for frame in marked] == [frame.index for frame in frames]
    return [frame.shot for frame in marked]


@pytest.mark.parametrize("fps", [5.0, 10.0, 25.0, 120.0])
def test_cuts_are_found_at_their_frame(fps):
    length = max(4, round(fps))
    pictures = [scene(n) for n in (1, 2, 3) for _ in range(length)]
    assert shots(film(pictures, fps), fps) == [0] * length + [1] * length + [2] * length


def test_a_flash_and_a_change_of_light_are_no_cuts():
    picture = scene(1)
    bright = cv2.convertScaleAbs(picture, alpha=0.5, beta=120)
    assert set(shots(film([picture] * 20 + [bright] + [picture] * 20))) == {0}
    assert set(shots(film([picture] * 20 + [bright] * 20))) == {0}


def test_a_fast_pan_is_no_cut():
    wide = scene(1, (180, 1200))
    assert set(shots(film([wide[:, 10 * n : 10 * n + 320] for n in range(80)]))) == {0}


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_clips_of_a_few_frames_keep_all(count):
    assert shots(film([scene(1)] * count)) == [0] * count


@pytest.mark.parametrize(("name", "cuts"), [("field/two_shots.mp4", [65]), ("park.mp4", [])])
def test_real_clips(shared, name, cuts):
    """In park a jumping man covers the sun for a moment, which changes the exposure."""
    with VideoReader(shared / "videos" / name) as reader:
        found = [frame.shot for frame in mark_shots(reader, float(reader.info.fps))]
    assert (np.flatnonzero(np.diff(found)) + 1).tolist() == cuts


def moves(frames, boxes=NOBODY):
    motion = CameraMotion()
    for frame in frames:
        motion.add(frame, boxes)
    return motion.moving(frames[0].shot)


@pytest.mark.parametrize("fps", [5.0, 25.0, 120.0])
def test_a_pan_moves_and_a_still_camera_does_not(fps):
    wide = scene(1, (180, 900))
    seconds = np.arange(0, 2, 1 / fps)
    pan = [wide[:, int(100 * t) : int(100 * t) + 320] for t in seconds]
    assert moves(film(pan, fps))
    assert not moves(film([wide[:, :320]] * len(pan), fps))


def test_a_zoom_moves():
    picture = scene(1, (360, 640))
    zoom = []
    for n in range(50):
        cut = round(n * 1.5)
        zoom.append(cv2.resize(picture[cut : 360 - cut, 2 * cut : 640 - 2 * cut], (320, 180)))
    assert moves(film(zoom))


def test_a_person_who_fills_most_of_the_picture_is_not_the_camera():
    background, person = scene(1), scene(2, (180, 900))
    frames = []
    for n in range(50):
        picture = background.copy()
        picture[:, 80:280] = person[:, 8 * n : 8 * n + 200]
        frames.append(picture)
    assert not moves(film(frames), np.array([[80.0, 0.0, 280.0, 180.0]]))


def test_a_tripod_in_the_wind_does_not_move():
    """A jitter of half of `MOVED` is none, one of twice as much is."""
    picture, rng = scene(1, (720, 1280)), np.random.default_rng(0)

    def shaken(amount):
        steps = rng.choice((-1, 1), (60, 2)) * amount * 1280 / 2 / np.sqrt(2)
        return [
            cv2.warpAffine(
                picture, np.float32(((1, 0, x), (0, 1, y))), (1280, 720), borderMode=cv2.BORDER_REFLECT
            )
            for x, y in steps
        ]

    assert not moves(film(shaken(MOVED / 2), 5.0))
    assert moves(film(shaken(MOVED * 2), 5.0))


def test_motion_is_not_measured_across_a_cut():
    first = film([scene(1)] * 25)
    second = [replace(frame, shot=1, time=frame.time + 1) for frame in film([scene(2)] * 25)]
    motion = CameraMotion()
    for frame in (*first, *second):
        motion.add(frame, NOBODY)
    assert (motion.moving(0), motion.moving(1), motion.moving(2)) == (False, False, False)
