"""Pixels against the `ffmpeg` program's, which turns, converts and scales without this project's code."""

from __future__ import annotations

import subprocess
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from demo.video.reader import VideoReader
from tests.conftest import ROOT
from tests.media import MATRICES, make_clip

FRAMES = 4
FLAGS = "bicubic"  # without `accurate_rnd`, as the reader: the quick conversion
BT709, BT601 = 1, 5  # AVColorSpace: ITU709, ITU601 (PAL)
LIMITED, FULL = 1, 2  # AVColorRange


@pytest.fixture(scope="module")
def ffmpeg():
    return pytest.importorskip("imageio_ffmpeg", reason="needs imageio-ffmpeg").get_ffmpeg_exe()


@pytest.fixture(scope="module")
def pictures():
    """Four frames of the sample clip, 320 x 180."""
    with VideoReader(ROOT / "videos" / "sample.mp4") as reader:
        return [
            cv2.resize(next(reader).image, (320, 180), interpolation=cv2.INTER_AREA) for _ in range(FRAMES)
        ]


def decoded_by(ffmpeg, path, size):
    """All frames (T, H, W, 3) BGR that ffmpeg writes."""
    words = [ffmpeg, "-v", "error", "-i", path, "-fps_mode", "passthrough", "-sws_flags", FLAGS]
    words += ["-f", "rawvideo", "-pix_fmt", "bgr24", "-"]
    raw = subprocess.run([*map(str, words)], capture_output=True, check=True, timeout=60).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, size[1], size[0], 3)


def compare(ffmpeg, path):
    """Mean absolute difference, largest mean difference of a channel, and 99th percentile, of 255."""
    with VideoReader(path) as reader:
        size = reader.info.size
        ours = np.stack([frame.image for frame in reader]).astype(float)
    theirs = decoded_by(ffmpeg, path, size).astype(float)
    assert ours.shape == theirs.shape
    difference = ours - theirs
    return (
        np.abs(difference).mean(),
        np.abs(difference.mean((0, 1, 2))).max(),
        np.percentile(np.abs(difference), 99),
    )


def assert_same(ffmpeg, path, exactly=True):
    """Frames are equal. Not exactly: within rounding, which differs with FFmpeg's version."""
    mean, bias, most = compare(ffmpeg, path)
    print(f"{path.name}: mean {mean:.2f}, bias {bias:.2f}, 99 %: {most:.0f}")  # noqa: T201
    assert mean < (0.01 if exactly else 1.5)
    assert bias < 1.4
    assert most <= (0 if exactly else 8)


FORMATS = [
    ("libx264", "yuv420p", ".mp4"), ("libx264", "yuv422p", ".mp4"), ("libx264", "yuv444p", ".mp4"),
    ("libx264", "yuv420p10le", ".mp4"), ("libx264", "yuvj420p", ".mp4"), ("libx265", "yuv420p10le", ".mkv"),
    ("libvpx-vp9", "yuv420p", ".webm"), ("mpeg2video", "yuv420p", ".ts"), ("mpeg4", "yuv420p", ".avi"),
    ("mjpeg", "yuvj422p", ".mov"), ("prores_ks", "yuv422p10le", ".mov"), ("ffv1", "bgr0", ".mkv"),
    ("ffv1", "gray", ".mkv"), ("ffv1", "yuv420p16le", ".mkv"), ("qtrle", "rgb24", ".mov"),
    ("rawvideo", "yuyv422", ".avi"),
]  # fmt: skip


@pytest.mark.parametrize(("codec", "pix_fmt", "suffix"), FORMATS)
def test_formats(ffmpeg, pictures, tmp_path, codec, pix_fmt, suffix):
    path = make_clip(tmp_path / f"{codec}_{pix_fmt}{suffix}", pictures, codec=codec, pix_fmt=pix_fmt)
    assert_same(ffmpeg, path, exactly=pix_fmt not in ("yuv420p10le", "yuv420p16le"))


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_rotated(ffmpeg, pictures, tmp_path, angle):
    assert_same(ffmpeg, make_clip(tmp_path / f"rotated{angle}.mp4", pictures, matrix=MATRICES[angle]))


@pytest.mark.parametrize("size", [(319, 179), (317, 180), (320, 177), (33, 21)])
@pytest.mark.parametrize("codec", ["ffv1", "libvpx-vp9"])
def test_odd_sizes(ffmpeg, pictures, tmp_path, codec, size):
    small = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures]
    path = make_clip(tmp_path / f"{codec}_{size[0]}x{size[1]}.mkv", small, codec=codec, pix_fmt="yuv420p")
    assert_same(ffmpeg, path, exactly=False)


@pytest.mark.parametrize("matrix", [BT709, BT601], ids=["bt709", "bt601"])
@pytest.mark.parametrize("levels", [LIMITED, FULL], ids=["limited", "full"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_colour_tags(ffmpeg, pictures, tmp_path, matrix, levels, pix_fmt):
    path = tmp_path / f"{matrix}_{levels}_{pix_fmt}.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, pix_fmt
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, levels
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "bgr24").reformat(
                format=pix_fmt, dst_colorspace=matrix, dst_color_range=levels
            )
            frame.pts, frame.time_base = number, Fraction(1, 30)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert_same(ffmpeg, path, exactly=pix_fmt == "yuv420p")
    with VideoReader(path) as reader:  # and both are the pictures that went in
        assert np.abs(next(reader).image.astype(float) - pictures[0]).mean() < 3
