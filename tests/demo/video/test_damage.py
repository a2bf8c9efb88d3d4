"""Files that are not what they seem: odd names, no files at all, no picture, cut short, corrupted."""

from __future__ import annotations

import os
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import DamagedVideo, EmptyFile, InputMissing, NotAVideo, NoVideoStream, UserError
from demo.video.reader import VideoReader, probe
from tests.media import corner_image, make_clip, read, truncate


@pytest.mark.parametrize("name", ["with space.mp4", "tänzer 舞.mp4", "new\nline.mp4", "50%d: a,b;'c'.mp4"])
def test_odd_names(tmp_path, name):
    clip = make_clip(tmp_path / "plain.mp4", 2).rename(tmp_path / name)
    assert len(read(clip)) == 2
    clip.write_bytes(b"")
    with pytest.raises(EmptyFile) as caught:
        read(clip)
    assert "\n" not in str(caught.value)


def test_name_that_is_not_utf8(tmp_path):
    clip = make_clip(tmp_path / "plain.mp4", 2).rename(tmp_path / os.fsdecode(b"caf\xe9.mp4"))
    assert len(read(clip)) == 2


def test_inputs_that_are_not_files(tmp_path):
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "fifo.mp4")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    for name in ["none.mp4", "folder.mp4", "fifo.mp4", "loop.mp4", "nul\0.mp4", "x" * 300 + ".mp4"]:
        with pytest.raises(InputMissing, match=r"cannot read|is a folder|not a regular file"):
            probe(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    clip = make_clip(tmp_path / "secret.mp4", 2)
    clip.chmod(0)
    with pytest.raises(InputMissing):
        probe(clip)


@pytest.mark.parametrize(
    "content",
    [
        b"hello, this is no video\n" * 50,
        b"#EXTM3U\n#EXTINF:1\nhttp://localhost/a.ts\n",
        b"ffconcat version 1.0\nfile plain.mp4\n",
        b"WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n",
        b"\0" * 5000,
        b"<html></html>",
        b"x",
    ],
)
def test_not_a_video(tmp_path, content):
    make_clip(tmp_path / "plain.mp4", 2)
    path = tmp_path / "fake.mp4"
    path.write_bytes(content)
    with pytest.raises(NotAVideo, match=r"fake\.mp4"):
        probe(path)


def test_sound_without_picture(tmp_path):
    wave = make_clip(tmp_path / "a.wav", 0, audio="pcm_s16le")
    with pytest.raises(NoVideoStream):
        probe(wave)
    with pytest.raises(NoVideoStream):
        probe(make_clip(tmp_path / "a.mp4", 0, audio="aac"))


def test_cover_art_is_no_video(tmp_path):
    """An ID3v2.3 tag with an attached picture (APIC) in front of an mp3 stream."""
    sound = make_clip(tmp_path / "plain.mp3", 0, audio="libmp3lame").read_bytes()
    picture = cv2.imencode(".jpg", corner_image())[1].tobytes()
    body = b"\0image/jpeg\0\x03\0" + picture
    apic = b"APIC" + len(body).to_bytes(4, "big") + b"\0\0" + body
    size = len(apic)
    syncsafe = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    song = tmp_path / "song.mp3"
    song.write_bytes(b"ID3\x03\0\0" + syncsafe + apic + sound)
    with av.open(str(song)) as container:
        assert len(container.streams.video) == 1, "the test's own file is wrong"
    with pytest.raises(NoVideoStream):
        probe(song)


@pytest.fixture(scope="module")
def noise() -> list[np.ndarray]:
    """60 frames that cannot be compressed: a file's bytes are spread evenly over them."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(60)]


@pytest.fixture(scope="module")
def noisy(tmp_path_factory, noise) -> Path:
    return make_clip(tmp_path_factory.mktemp("noisy") / "noisy.mp4", noise, movflags="faststart")


@pytest.mark.parametrize("tenths", range(1, 10))
def test_truncated_with_the_index_in_front(tmp_path, noisy, tenths):
    cut = truncate(noisy, tmp_path / "cut.mp4", tenths)
    with VideoReader(cut) as reader:
        count = len(list(reader))
    assert 6 * tenths - 8 < count < 6 * tenths + 1
    assert reader.damage == f"breaks off after {count} of 60 frames"


@pytest.mark.parametrize("tenths", range(1, 10))
def test_truncated_with_the_index_at_the_end(tmp_path, tenths):
    cut = truncate(make_clip(tmp_path / "whole.mp4", 60), tmp_path / "cut.mp4", tenths)
    with pytest.raises(DamagedVideo, match=r"cut\.mp4"):
        probe(cut)


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".avi", ".gif"])
@pytest.mark.parametrize("tenths", [5, 9])
def test_truncated_other_containers(tmp_path, noise, suffix, tenths):
    codec = {".mkv": "libx264", ".webm": "libvpx", ".avi": "mpeg4", ".gif": "gif"}[suffix]
    whole = make_clip(
        tmp_path / f"whole{suffix}", noise, codec=codec, pix_fmt="rgb8" if codec == "gif" else "yuv420p"
    )
    with VideoReader(whole) as reader:
        assert len(list(reader)) == 60
    assert reader.damage is None
    with VideoReader(truncate(whole, tmp_path / f"cut{suffix}", tenths)) as reader:
        count = len(list(reader))
    assert 3 * tenths < count < 6 * tenths + 3
    assert str(count) in reader.damage


def test_damage_in_the_middle(tmp_path, noisy):
    data = bytearray(noisy.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 10] = bytes(len(data) // 10)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(data)
    with VideoReader(broken) as reader:
        frames = list(reader)
    assert 50 <= len(frames) < 60
    assert frames[-1].time > 1.9  # what follows the damage is read
    assert "left out" in reader.damage


def test_no_frame_decodes(tmp_path, noisy):
    data = bytearray(noisy.read_bytes())
    start = data.index(b"mdat") + 4
    data[start:] = b"\xff" * (len(data) - start)
    hollow = tmp_path / "hollow.mp4"
    hollow.write_bytes(data)
    with pytest.raises(DamagedVideo, match="not one frame"):
        probe(hollow)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("tiny")
    return make_clip(folder / "tiny.mp4", 6, audio="aac", movflags="faststart").read_bytes()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_never_crash(tmp_path, tiny, data):
    """Whatever the bytes are: frames with increasing times, or an error that explains itself in a line."""
    places = data.draw(
        st.lists(st.tuples(st.integers(0, len(tiny) - 1), st.integers(0, 255)), min_size=1, max_size=12)
    )
    garbage = bytearray(tiny)
    for place, value in places:
        garbage[place] = value
    path = tmp_path / "garbage.mp4"
    path.write_bytes(garbage)
    try:
        times = [f.time for f in read(path)]
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert (np.diff(times) > 0).all()


HEADS = [
    b"",
    b"\0\0\0\x20ftypisom",
    b"RIFF\0\0\0\0AVI ",
    b"\x1a\x45\xdf\xa3",
    b"GIF89a",
    b"\xff\xd8\xff\xe0",
    b"\x89PNG\r\n\x1a\n",
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=st.sampled_from(HEADS), body=st.binary(min_size=1, max_size=2000))
def test_garbage_never_crashes(tmp_path, head, body):
    path = tmp_path / "garbage.bin"
    path.write_bytes(head + body)
    try:
        read(path)
    except UserError as error:
        assert "\n" not in str(error)
