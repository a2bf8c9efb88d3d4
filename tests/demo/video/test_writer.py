"""Writing: exact time stamps, colours, sound, and nothing half-written."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from common.errors import OutputError
from demo.video.reader import VideoReader, probe
from demo.video.writer import VideoWriter
from tests.media import corner_image, make_clip, tone


def transcode(
    source: Path, target: Path, start: float | None = None, end: float | None = None
) -> list[float]:
    """Read and write a clip; the times that were read."""
    times = []
    with VideoReader(source, start, end) as reader:
        info = reader.info
        with VideoWriter(target, (info.width, info.height), info, audio_from=source, end=end) as writer:
            for frame in reader:
                writer.write(frame.image, frame.pts)
                times.append(frame.time)
    return times


def read_times(path: Path) -> list[float]:
    with VideoReader(path) as reader:
        return [frame.time for frame in reader]


def read_sound(path: Path) -> tuple[str, np.ndarray, int]:
    """Codec, samples (N,) as played (from time 0), and rate."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler("fltp", "mono", stream.rate)
        frames = [f for packet in container.decode(stream) for f in resampler.resample(packet)]
        begin = round(frames[0].time * stream.rate)
        samples = np.concatenate([f.to_ndarray()[0] for f in frames])
        played = samples[-begin:] if begin < 0 else np.concatenate([np.zeros(begin, np.float32), samples])
        return stream.codec_context.codec.canonical_name, played, stream.rate


def onset(path: Path) -> float:
    """Seconds at which the sound becomes loud, counted from the first video frame."""
    _, samples, rate = read_sound(path)
    with av.open(str(path)) as container:
        first = next(container.decode(video=0)).time
    return float(np.argmax(np.abs(samples) > 0.2)) / rate - first


@pytest.mark.parametrize(
    ("name", "pts", "base"),
    [
        ("vfr.mp4", [0, 1000, 1001, 7000, 90000, 500000], Fraction(1, 90000)),
        ("ms.mkv", [0, 33, 67, 100, 133, 5000], Fraction(1, 1000)),
        ("ntsc.mp4", [0, 1, 2, 3, 4, 5], Fraction(1001, 30000)),
        ("slow.mp4", [0, 1, 2, 3, 4, 5], Fraction(7, 3)),
        ("late.ts", [900, 930, 960, 990, 1020, 1080], Fraction(1, 900)),
    ],
)
def test_time_stamps_survive_exactly(tmp_path, name, pts, base):
    source = make_clip(tmp_path / name, 6, pts=pts, time_base=base, rate=30)
    times = transcode(source, tmp_path / "out.mp4")
    assert len(times) == 6
    assert read_times(tmp_path / "out.mp4") == pytest.approx(times, abs=1e-9)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".gif", ".avi", ".webm"])
def test_duration_is_kept(tmp_path, suffix):
    codec = {".gif": "gif", ".avi": "mpeg4", ".webm": "libvpx"}.get(suffix, "libx264")
    pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
    source = make_clip(tmp_path / f"in{suffix}", 25, codec=codec, pix_fmt=pix_fmt, rate=25)
    transcode(source, tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4").duration == pytest.approx(1.0, abs=0.041)
    assert probe(tmp_path / "out.mp4").frame_count == 25


def test_still_image_lasts_a_second(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), corner_image(63, 47))
    transcode(tmp_path / "a.png", tmp_path / "out.mp4")
    info = probe(tmp_path / "out.mp4")
    assert (info.frame_count, info.duration) == (1, 1.0)
    assert (info.width, info.height) == (64, 48)


def test_odd_size_is_padded_not_scaled(tmp_path):
    source = make_clip(tmp_path / "odd.mkv", [corner_image(63, 47)] * 2, codec="ffv1", pix_fmt="yuv444p")
    transcode(source, tmp_path / "out.mp4")
    with VideoReader(tmp_path / "out.mp4") as reader:
        image = next(reader).image
    assert image.shape == (48, 64, 3)
    np.testing.assert_allclose(image[40, [4, 30, 60, 63]], 60, atol=8)
    np.testing.assert_allclose(image[46:, 10:50].mean(axis=(0, 1)), 60, atol=5)


def test_colours_are_bt709_limited(tmp_path):
    """BGR (40, 80, 200) is Y 104, Cb 98, Cr 182 in limited-range BT.709 (ITU-R BT.709-6, by hand)."""
    path = tmp_path / "out.mp4"
    image = np.full((64, 64, 3), (40, 80, 200), np.uint8)
    info = probe(make_clip(tmp_path / "in.mp4", 1))
    with VideoWriter(path, (64, 64), info) as writer:
        writer.write(image, 0)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (
            1,
            1,
            1,
            1,
        )
        assert context.pix_fmt == "yuv420p"
        frame = next(container.decode(video=0))
        for plane, value in zip(frame.planes, (104, 98, 182), strict=True):
            assert abs(int(np.frombuffer(plane, np.uint8)[0]) - value) <= 1
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")


@pytest.mark.parametrize(
    ("suffix", "audio", "result"),
    [
        (".mp4", "aac", "aac"),
        (".mkv", "libmp3lame", "mp3"),
        (".mkv", "ac3", "ac3"),
        (".mov", "alac", "alac"),
        (".webm", "libopus", "opus"),
        (".ts", "aac", "aac"),
        (".mov", "pcm_s16le", "aac"),
        (".mkv", "flac", "aac"),
        (".avi", "pcm_s16le", "aac"),
    ],
)
def test_sound_is_copied_or_becomes_aac(tmp_path, suffix, audio, result):
    if audio not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no encoder {audio}")
    video = {".webm": "libvpx", ".avi": "mpeg4"}.get(suffix, "libx264")
    rate = 48000 if audio == "libopus" else 44100
    source = make_clip(
        tmp_path / f"in{suffix}",
        60,
        codec=video,
        audio=audio,
        audio_rate=rate,
        sound=tone(2.0, rate, start=1.0),
    )
    assert probe(source).has_audio
    transcode(source, tmp_path / "out.mp4")
    codec, samples, rate = read_sound(tmp_path / "out.mp4")
    assert codec == result
    assert len(samples) / rate == pytest.approx(2.0, abs=0.08)
    assert onset(tmp_path / "out.mp4") == pytest.approx(onset(source), abs=0.004)
    assert read_times(tmp_path / "out.mp4") == pytest.approx(read_times(source), abs=1e-9)


def test_copied_sound_is_the_same_bytes(tmp_path):
    source = make_clip(tmp_path / "in.mp4", 60, audio="aac")
    transcode(source, tmp_path / "out.mp4")
    packets = []
    for path in (source, tmp_path / "out.mp4"):
        with av.open(str(path)) as container:
            packets.append([bytes(p) for p in container.demux(audio=0) if p.size])
    assert packets[0] == packets[1]


@pytest.mark.parametrize("audio", ["aac", "pcm_s16le"])
@pytest.mark.parametrize(("start", "end"), [(0.5, 1.5), (0.5, None), (None, 1.5)])
def test_sound_is_cut_with_the_picture(tmp_path, audio, start, end):
    source = make_clip(tmp_path / "in.mov", 60, audio=audio, sound=tone(2.0, 44100, start=1.0))
    transcode(source, tmp_path / "out.mp4", start, end)
    begin = start or 0.0
    assert onset(tmp_path / "out.mp4") == pytest.approx(1.0 - begin, abs=0.012)
    _, samples, rate = read_sound(tmp_path / "out.mp4")
    assert len(samples) / rate == pytest.approx((end or 2.0) - begin, abs=0.08)


def test_sound_follows_a_late_picture(tmp_path):
    """The picture starts at 0.5 s of the file's clock: sound before it is dropped."""
    pts = [15 + i for i in range(45)]
    source = make_clip(tmp_path / "in.mkv", 45, pts=pts, audio="aac", sound=tone(2.0, 44100, start=1.0))
    transcode(source, tmp_path / "out.mp4")
    assert onset(tmp_path / "out.mp4") == pytest.approx(0.5, abs=0.012)


def test_damaged_sound_does_not_cost_the_picture(tmp_path):
    data = make_clip(tmp_path / "in.mkv", 30, audio="flac").read_bytes()
    assert data.count(b"fLaC") == 1
    (tmp_path / "broken.mkv").write_bytes(data.replace(b"fLaC", b"fLaX"))
    assert len(transcode(tmp_path / "broken.mkv", tmp_path / "out.mp4")) == 30
    assert len(read_times(tmp_path / "out.mp4")) == 30


def test_nothing_is_left_after_an_error(tmp_path):
    info = probe(make_clip(tmp_path / "in.mp4", 2))
    folder = tmp_path / "out"
    folder.mkdir()
    for frames in (0, 1, 2):
        with pytest.raises(RuntimeError), VideoWriter(folder / "a.mp4", (64, 48), info) as writer:
            for index in range(frames):
                writer.write(corner_image(), index * 512)
            raise RuntimeError
    with pytest.raises(OutputError, match="no frame"), VideoWriter(folder / "a.mp4", (64, 48), info):
        pass
    assert list(folder.iterdir()) == []


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path):
    info = probe(make_clip(tmp_path / "in.mp4", 2))
    target = tmp_path / "out" / "a.mp4"
    target.parent.mkdir()
    target.write_bytes(b"old")
    with VideoWriter(target, (64, 48), info) as writer:
        writer.write(corner_image(), 0)
        assert target.read_bytes() == b"old"
    assert probe(target).frame_count == 1
    assert list(target.parent.iterdir()) == [target]


def test_outputs_that_cannot_be(tmp_path):
    info = probe(make_clip(tmp_path / "in.mp4", 2))
    (tmp_path / "taken.mp4").mkdir()
    (tmp_path / "file").write_text("")
    names = ["none/a.mp4", "file/a.mp4", "taken.mp4", "x" * 300 + ".mp4"]
    if os.path.isdir("/proc/self/fd"):  # noqa: PTH112
        names.append("/proc/a.mp4")  # no user, not even root, may create a file there
    for name in names:
        with (
            pytest.raises(OutputError, match="cannot write"),
            VideoWriter(tmp_path / name, (64, 48), info),
        ):
            pytest.fail("the block was entered: hours of work would end in this error")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "in.mp4", "taken.mp4"]


def test_full_disk(tmp_path):
    """A file size limit stands in for a full disk: the write fails in the same place."""
    resource = pytest.importorskip("resource")
    import signal

    rng = np.random.default_rng(0)
    info = probe(make_clip(tmp_path / "in.mp4", 2))
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        with pytest.raises(OutputError), VideoWriter(tmp_path / "a.mp4", (256, 256), info) as writer:
            for index in range(60):
                writer.write(rng.integers(0, 255, (256, 256, 3), np.uint8), index * 512)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_frame_of_another_size_is_refused(tmp_path):
    info = probe(make_clip(tmp_path / "in.mp4", 2))
    with pytest.raises(ValueError, match="32x48"), VideoWriter(tmp_path / "a.mp4", (64, 48), info) as writer:
        writer.write(corner_image(32, 48), 0)


def test_real_clip_with_sound(shared, tmp_path):
    source = shared / "videos" / "fourviews" / "cam02.mp4"
    times = []
    with VideoReader(source) as reader:
        info = reader.info
        with VideoWriter(tmp_path / "out.mp4", (108, 192), info, audio_from=source) as writer:
            for frame in reader:
                writer.write(np.ascontiguousarray(frame.image[::10, ::10]), frame.pts)
                times.append(frame.time)
    assert len(times) == 100
    assert read_times(tmp_path / "out.mp4") == times
    with av.open(str(source)) as a, av.open(str(tmp_path / "out.mp4")) as b:
        assert a.duration == b.duration
        assert b.streams.audio[0].frames == 75
