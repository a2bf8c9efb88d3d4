"""Reading: pixels, orientation, time stamps, damage and every kind of bad file."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from common.errors import UserError
from demo.video import reader as reader_module
from demo.video.reader import VideoReader, probe
from tests.media import MATRICES, ONE, W, corner_image, make_clip, read

RED, BLUE, GRAY = (0, 0, 200), (200, 0, 0), (60, 60, 60)


def quarters(image: np.ndarray) -> list[tuple[int, ...]]:
    """Mean colour of the middles of the quarters: top left, top right, bottom left, bottom right."""
    h, w = image.shape[:2]
    rows = (slice(h // 8, 3 * h // 8), slice(5 * h // 8, 7 * h // 8))
    cols = (slice(w // 8, 3 * w // 8), slice(5 * w // 8, 7 * w // 8))
    return [tuple(image[r, c].reshape(-1, 3).mean(0)) for r in rows for c in cols]


def assert_quarters(image: np.ndarray, expected: list[tuple[int, ...]], tolerance: float = 6) -> None:
    np.testing.assert_allclose(quarters(image), expected, atol=tolerance)


# Where the red, blue and the two gray quarters of `corner_image` end up after a clockwise turn.
TURNED = {
    0: [RED, BLUE, GRAY, GRAY],
    90: [GRAY, RED, GRAY, BLUE],
    180: [GRAY, GRAY, BLUE, RED],
    270: [BLUE, GRAY, RED, GRAY],
}


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_rotation_is_applied(tmp_path, angle):
    clip = make_clip(tmp_path / "turned.mp4", 3, matrix=MATRICES[angle])
    info = probe(clip)
    assert info.rotation == angle
    assert (info.width, info.height) == ((64, 48) if angle % 180 == 0 else (48, 64))
    for frame in read(clip):
        assert frame.image.shape == (info.height, info.width, 3)
        assert_quarters(frame.image, TURNED[angle])


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((-ONE, 0, 0, 0, ONE, 0, 0, 0, W), [BLUE, RED, GRAY, GRAY]),  # x' = -x
        ((ONE, 0, 0, 0, -ONE, 0, 0, 0, W), [GRAY, GRAY, RED, BLUE]),  # y' = -y
        ((0, ONE, 0, ONE, 0, 0, 0, 0, W), [RED, GRAY, BLUE, GRAY]),  # x and y swapped
    ],
)
def test_mirrored_recordings(tmp_path, matrix, expected):
    assert_quarters(read(make_clip(tmp_path / "selfie.mp4", 2, matrix=matrix))[0].image, expected)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("a.mp4", "libx264", "yuv420p", {}),
        ("full.mp4", "libx264", "yuvj420p", {}),
        ("ten.mp4", "libx265", "yuv420p10le", {"x265-params": "log-level=none"}),
        ("a.mkv", "ffv1", "yuv444p16le", {}),
        ("a.webm", "libvpx", "yuv420p", {}),
        ("a.avi", "mpeg4", "yuv420p", {}),
        ("a.mov", "mjpeg", "yuvj422p", {}),
        ("a.ts", "libx264", "yuv420p", {}),
        ("rgb.mkv", "ffv1", "bgr0", {}),
    ],
)
def test_codecs_and_pixel_formats(tmp_path, name, codec, pix_fmt, options):
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no encoder {codec}")
    frames = read(make_clip(tmp_path / name, 8, codec=codec, pix_fmt=pix_fmt, options=options))
    assert len(frames) == 8
    assert frames[0].image.dtype == np.uint8
    assert_quarters(frames[0].image, TURNED[0], tolerance=12)
    np.testing.assert_allclose([f.time for f in frames], np.arange(8) / 30, atol=1e-3)


def test_gray_and_odd_sizes(tmp_path):
    images = [corner_image(63, 47)] * 3
    odd = make_clip(tmp_path / "odd.mkv", images, codec="ffv1", pix_fmt="yuv444p")
    assert read(odd)[2].image.shape == (47, 63, 3)
    gray = make_clip(
        tmp_path / "gray.mkv", [np.full((48, 64, 3), 111, np.uint8)], codec="ffv1", pix_fmt="gray"
    )
    np.testing.assert_allclose(read(gray)[0].image, 111, atol=1)


@pytest.mark.parametrize("size", [(1, 48), (64, 1), (1, 1)])
def test_one_pixel_wide(tmp_path, size):
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    clip = make_clip(tmp_path / "thin.mov", [image] * 2, codec="png", pix_fmt="rgb24")
    assert read(clip)[1].image.shape == (size[1], size[0], 3)


def test_8k(tmp_path):
    big = make_clip(tmp_path / "8k.mp4", [corner_image(7680, 4320)], options={"preset": "ultrafast"})
    assert_quarters(read(big)[0].image, TURNED[0])


def test_alpha_is_laid_on_black(tmp_path):
    image = np.zeros((48, 64, 4), np.uint8)
    image[..., :3] = 200
    image[:, :32, 3] = 255
    image[:, 32:, 3] = 128
    clip = make_clip(tmp_path / "alpha.mkv", [image], codec="ffv1", pix_fmt="bgra")
    pixels = read(clip)[0].image
    np.testing.assert_allclose(pixels[:, :32], 200, atol=1)
    np.testing.assert_allclose(pixels[:, 32:], 200 * 128 / 255, atol=1)


def test_gif(tmp_path):
    clip = make_clip(
        tmp_path / "a.gif",
        5,
        codec="gif",
        pix_fmt="rgb8",
        pts=[0, 10, 30, 35, 80],
        time_base=Fraction(1, 100),
    )
    frames = read(clip)
    assert [f.time for f in frames] == [0, 0.1, 0.3, 0.35, 0.8]
    assert_quarters(frames[0].image, TURNED[0], tolerance=40)  # 8 bits for three colours


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.webp", "seq%03d.jpg", "jpeg named.mp4"])
def test_still_images(tmp_path, name):
    path = tmp_path / name
    kind = ".jpg" if name.endswith(".mp4") else path.suffix
    path.write_bytes(cv2.imencode(kind, corner_image())[1].tobytes())
    info = probe(path)
    assert info.is_image
    assert (info.width, info.height, info.frame_count, info.duration) == (64, 48, 1, 1.0)
    frames = read(path)
    assert len(frames) == 1
    assert (frames[0].index, frames[0].pts, frames[0].time) == (0, 0, 0.0)
    assert_quarters(frames[0].image, TURNED[0])


@pytest.mark.parametrize(("orientation", "angle"), [(1, 0), (3, 180), (6, 90), (8, 270)])
def test_photo_is_rotated_by_its_exif(tmp_path, orientation, angle):
    """EXIF 2.32, tag 0x0112: 6 is a camera held so that the picture has to turn 90 degrees clockwise."""
    jpeg = cv2.imencode(".jpg", corner_image())[1].tobytes()
    entry = struct.pack("<HHHII", 1, 0x0112, 3, 1, orientation) + bytes(4)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + entry
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    assert probe(photo).rotation == angle
    assert_quarters(read(photo)[0].image, TURNED[angle])


def test_anamorphic_becomes_square(tmp_path):
    wide = probe(make_clip(tmp_path / "wide.mp4", 2, aspect=Fraction(4, 3)))
    assert (wide.width, wide.height) == (85, 48)  # 64 * 4/3
    tall = make_clip(tmp_path / "tall.mp4", 2, aspect=Fraction(2, 3), matrix=MATRICES[90])
    assert (probe(tall).width, probe(tall).height) == (72, 64)  # 48 * 3/2, then turned
    assert_quarters(read(tall)[0].image, TURNED[90])


@pytest.mark.parametrize(("tag", "height"), [(1, 48), (5, 48), (2, 48), (2, 720)])
def test_colour_matrix(tmp_path, tag, height):
    """One colour, coded by hand with the tagged matrix (untagged: BT.601 below 720 lines, else BT.709)."""
    kr, kb = (0.2126, 0.0722) if tag == 1 or height == 720 else (0.299, 0.114)
    r, g, b = 200 / 255, 80 / 255, 40 / 255
    y = kr * r + (1 - kr - kb) * g + kb * b
    codes = (16 + 219 * y, 128 + 112 * (b - y) / (1 - kb), 128 + 112 * (r - y) / (1 - kr))
    width = height * 16 // 9 // 2 * 2
    planes = [np.full((height, width), round(codes[0]), np.uint8)]
    planes += [np.full((height // 2, width // 2), round(c), np.uint8) for c in codes[1:]]
    frame = av.VideoFrame.from_ndarray(
        np.concatenate([p.ravel() for p in planes]).reshape(-1, width), "yuv420p"
    )
    frame.pts, frame.time_base, frame.colorspace, frame.color_range = 0, Fraction(1, 30), tag, 1
    path = tmp_path / "colour.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = tag, 1
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    np.testing.assert_allclose(read(path)[0].image.reshape(-1, 3).mean(0), [40, 80, 200], atol=4)


def test_variable_frame_rate_and_time_base(tmp_path):
    pts = [0, 1000, 1001, 7000, 90000, 500000]
    clip = make_clip(tmp_path / "vfr.mp4", 6, pts=pts, time_base=Fraction(1, 90000))
    frames = read(clip)
    assert [f.index for f in frames] == list(range(6))
    base = probe(clip).time_base
    assert [f.pts * base * 90000 for f in frames] == pts


def test_rate_is_exact(tmp_path):
    ntsc = Fraction(30000, 1001)
    info = probe(make_clip(tmp_path / "ntsc.mp4", 30, rate=ntsc))
    assert info.fps == ntsc
    assert info.frame_count == 30
    assert info.duration == pytest.approx(30 * 1001 / 30000)
    assert not info.has_audio


@pytest.mark.parametrize("first", [-9, 7, 100000])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_time_counts_from_the_first_frame(tmp_path, first, suffix):
    pts = [first + 3 * i for i in range(10)]
    clip = make_clip(tmp_path / f"shifted{suffix}", 10, pts=pts, time_base=Fraction(1, 90))
    times = [f.time for f in read(clip)]
    assert times[0] == 0
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=1.1e-3)
    # An mp4's edit list excludes what lies before time 0.
    assert len(times) == (7 if suffix == ".mp4" and first < 0 else 10)


def test_long_gaps_stay_and_clock_resets_do_not(tmp_path):
    minute = 60 * 90
    gap = make_clip(
        tmp_path / "gap.mkv", 4, pts=[0, 3, 10 * minute, 10 * minute + 3], time_base=Fraction(1, 90)
    )
    assert [round(f.time) for f in read(gap)] == [0, 0, 600, 600]
    lost = make_clip(
        tmp_path / "lost.mkv", 4, pts=[0, 3, 9000 * minute, 9000 * minute + 3], time_base=Fraction(1, 90)
    )
    times = [f.time for f in read(lost)]
    assert len(times) == 4
    assert times[-1] < 1
    assert (np.diff(times) > 0).all()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi", ".gif"])
def test_cut_by_time(tmp_path, suffix):
    codec = {".avi": "mpeg4", ".gif": "gif"}.get(suffix, "libx264")
    rate = 25
    images = [np.full((48, 64, 3), 2 * i, np.uint8) for i in range(100)]
    clip = make_clip(
        tmp_path / f"long{suffix}",
        images,
        codec=codec,
        pix_fmt="rgb8" if suffix == ".gif" else "yuv420p",
        rate=rate,
        options={} if suffix == ".gif" else {"g": "20"},
    )
    whole = read(clip)
    part = read(clip, start=2.4, end=3.2)
    assert [f.index for f in part] == list(range(20))
    assert [f.pts for f in part] == [f.pts for f in whole[60:80]]
    for cut, full in zip(part[::5], whole[60:80:5], strict=True):
        np.testing.assert_array_equal(cut.image, full.image)
    assert len(read(clip, start=3.2)) == 20
    assert len(read(clip, end=0.5)) == 13  # 0.00 to 0.48


def test_empty_cut(tmp_path):
    clip = make_clip(tmp_path / "short.mp4", 6)
    with pytest.raises(UserError, match="no frame from 5 s"):
        read(clip, start=5)
    with pytest.raises(UserError, match="after the start"):
        read(clip, start=1, end=1)


def test_one_and_two_frames(tmp_path):
    assert len(read(make_clip(tmp_path / "one.mp4", 1))) == 1
    assert len(read(make_clip(tmp_path / "two.mp4", 2))) == 2


def test_real_clips(shared):
    """Frame counts as their containers declare them (park and fourviews/cam02 are VP9, the rest H.264)."""
    known = {
        "park.mp4": (230, 1768, 994, 30),
        "squats.mp4": (65, 720, 1280, 5),
        "street.mp4": (5, 960, 540, 5),
    }
    for name, (count, width, height, fps) in known.items():
        with VideoReader(shared / "videos" / name) as reader:
            times = [frame.time for frame in reader]
        info = reader.info
        assert (len(times), info.width, info.height, info.fps) == (count, width, height, fps)
        np.testing.assert_allclose(times, np.arange(count) / fps, atol=1e-9)
        assert reader.damage is None


def test_a_clip_is_opened_once_until_its_file_changes(tmp_path, monkeypatch):
    opened = []
    plain = reader_module.VideoReader
    monkeypatch.setattr(reader_module, "VideoReader", lambda path: opened.append(path) or plain(path))
    clip = make_clip(tmp_path / "clip.mp4", [np.zeros((32, 48, 3), np.uint8)] * 3)
    assert probe(clip) == probe(str(clip))
    assert len(opened) == 1
    make_clip(clip, [np.zeros((64, 48, 3), np.uint8)] * 5)
    assert probe(clip).height == 64
