"""Everything that is wrong with files in the wild: each has a result, or one clear line and a status."""

import os
import pickle
import resource
import subprocess
import sys
import tempfile
import zipfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import (
    DamagedVideo,
    EmptyFile,
    InputMissing,
    NotAVideo,
    NoVideoStream,
    OutputError,
    UserError,
    WeightsError,
)
from demo import pipeline
from demo.models import ModelLoader
from demo.results.result import read_result
from demo.settings import Settings
from demo.video.reader import VideoReader, probe
from tests.conftest import ROOT
from tests.media import MATRICES, make_clip, truncate

SETTINGS = Settings.of(height=64, device="cpu")
FRAMES = 10


def lit(count=FRAMES, height=48, width=64):
    """A bright block on black that the stand-in detector finds."""
    frames = []
    for index in range(count):
        image = np.zeros((height, width, 3), np.uint8)
        image[height // 6 : height * 5 // 6, width // 3 : width // 2 + index % 4] = 230
        frames.append(image)
    return frames


@pytest.fixture
def process(networks, resolved, tmp_path):
    """Through all stages with stand-in networks; on an error nothing may be left."""

    def run(clip, folder=None, knobs=SETTINGS):
        folder = folder or tmp_path / "out"
        try:
            models = ModelLoader(resolved, knobs, loaded=networks)
            done = pipeline.process(clip, folder, knobs, models)
        except UserError as error:
            assert "\n" not in str(error)
            # What is whole may stay: the analysis, and the data of a video for which there is no room.
            for path in folder.iterdir() if folder.is_dir() else ():
                assert path.suffix == ".npz", path
                np.load(path)
            raise
        assert read_result(done.paths.result).times.shape == (done.frames,)
        assert probe(done.paths.video).frame_count == done.frames
        assert [path.suffixes[-2:] for path in folder.glob(".*")] == [[".analysis", ".npz"]]
        return done

    return run


def make_cases(folder):
    """Name -> file, the frames that must come out, or the error."""
    plain = make_clip(folder / "plain.mp4", lit(), audio="aac")
    shown = {"movflags": "faststart", "options": {"g": "2", "bf": "0"}}
    front = make_clip(folder / "front.mp4", lit(30), **shown)
    cases = {
        "one frame": (make_clip(folder / "one.mp4", lit(1)), 1),
        "two frames": (make_clip(folder / "two.mp4", lit(2)), 2),
        "10 bit": (make_clip(folder / "ten.mp4", lit(), pix_fmt="yuv420p10le"), FRAMES),
        "odd sizes": (
            make_clip(folder / "odd.mkv", lit(height=47, width=63), pix_fmt="yuv444p"),
            FRAMES,
        ),
        "1 px wide": (make_clip(folder / "thin.mkv", lit(width=1), pix_fmt="yuv444p"), FRAMES),
        "1 px high": (make_clip(folder / "flat.mkv", lit(height=1), pix_fmt="yuv444p"), FRAMES),
        "variable rate": (
            make_clip(folder / "vfr.mp4", lit(), pts=[0, 1, 5, 6, 9, 20, 21, 22, 40, 41]),
            FRAMES,
        ),
        "negative times": (
            make_clip(folder / "negative.mkv", lit(), pts=list(range(-5, FRAMES - 5)), options={"bf": "0"}),
            FRAMES,
        ),
        "huge gap": (
            make_clip(folder / "gap.mp4", lit(), pts=[*range(5), *range(90_000, 90_005)], rate=30),
            FRAMES,
        ),
        "wrong extension": (plain.rename(folder / "really_mp4.avi"), FRAMES),
        "no extension": (make_clip(folder / "noext", lit(), container_format="mp4"), FRAMES),
        "strange name": (make_clip(folder / "a b\n'ü\" 日本 %d [1] ;$(x).mp4", lit()), FRAMES),
        "long name": (make_clip(folder / ("é" * 120 + ".mp4"), lit()), FRAMES),
        "bytes in the name": (
            make_clip(folder / "b.mp4", lit()).rename(folder / os.fsdecode(b"\xff\xfe.mp4")),
            FRAMES,
        ),
        "zero bytes": (folder / "zero.mp4", EmptyFile),
        "text": (folder / "text.mp4", NotAVideo),
        "missing": (folder / "missing.mp4", InputMissing),
        "audio only": (make_clip(folder / "sound.mp4", 0, audio="aac"), NoVideoStream),
        "a folder": (folder / "folder.mp4", InputMissing),
        "a link in circles": (folder / "circle.mp4", InputMissing),
        "a FIFO": (folder / "fifo.mp4", InputMissing),
        "no moov": (truncate(make_clip(folder / "m.mp4", lit()), folder / "no_moov.mp4", 8), DamagedVideo),
    }
    for degrees in (0, 90, 180, 270):
        path = make_clip(folder / f"turned{degrees}.mp4", lit(), matrix=MATRICES[degrees])
        cases[f"turned {degrees}"] = (path, FRAMES)
    (folder / "zero.mp4").touch()
    (folder / "text.mp4").write_text("no video\n" * 100)
    (folder / "folder.mp4").mkdir()
    (folder / "circle.mp4").symlink_to(folder / "circle.mp4")
    os.mkfifo(folder / "fifo.mp4")
    for tenths in range(1, 10):
        cases[f"{tenths} tenths"] = (truncate(front, folder / f"cut{tenths}.mp4", tenths), None)
    return cases


def test_the_corpus(process, tmp_path):
    """One test for all, so that a case that spoils the process for the next is noticed."""
    (tmp_path / "in").mkdir()
    wrong = {}
    damaged = []
    for number, (name, (clip, expected)) in enumerate(make_cases(tmp_path / "in").items()):
        try:
            done = process(clip, tmp_path / f"out{number}")
            found = done.frames
            damaged += [name] if done.damage else []
        except UserError as error:
            found = type(error)
        if expected is None:  # truncated: an error about it, or what could be read
            if found is not DamagedVideo and name not in damaged:
                wrong[name] = found
        elif found != expected:
            wrong[name] = (found, expected)
    assert not wrong
    assert set(damaged) >= {"8 tenths", "9 tenths"}
    assert all("tenths" in name for name in damaged)


def test_time_stamps_of_odd_clips_are_kept(process, tmp_path):
    clip = make_clip(tmp_path / "gap.mp4", lit(6), pts=[0, 1, 2, 3000, 3001, 3002], time_base=Fraction(1, 30))
    done = process(clip)
    times = read_result(done.paths.result).times
    np.testing.assert_allclose(times, np.array([0, 1, 2, 3000, 3001, 3002]) / 30, atol=1e-6)
    with VideoReader(done.paths.video) as made:
        np.testing.assert_allclose([frame.time for frame in made], times, atol=1e-3)


def test_8k(process, tmp_path):
    frames = lit(2, 4320, 7680)
    done = process(make_clip(tmp_path / "8k.mp4", frames, options={"preset": "ultrafast"}))
    assert (done.frames, done.people) == (2, 1)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    return [
        make_clip(folder / "a.mp4", lit(), audio="aac", movflags="faststart").read_bytes(),
        make_clip(folder / "a.mkv", lit(), audio="libopus", audio_rate=48000).read_bytes(),
        make_clip(folder / "a.avi", lit(), codec="mpeg4").read_bytes(),
        make_clip(folder / "a.gif", lit(), codec="gif", pix_fmt="rgb8").read_bytes(),
    ]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    which=st.integers(0, 3),
    flips=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=40
    ),
    head=st.booleans(),
)
def test_flipped_bytes_end_in_a_result_or_in_one_line(process, sources, which, flips, head):
    data = bytearray(sources[which])
    for place, change in flips:
        data[int(place * (min(len(data), 600) if head else len(data)))] ^= change
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "flipped.mp4"
        clip.write_bytes(data)
        try:
            done = process(clip, Path(folder) / "out")
        except (EmptyFile, NotAVideo, NoVideoStream, DamagedVideo, UserError):
            return
        assert done.frames >= 1


def in_child(code, *arguments, **options):
    """Python code in a process of its own, so that limits and rights stay there."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=100,
        check=False,
        **options,
    )


def one_line(done, status):
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert (done.returncode, len(lines)) == (status, 1), done.stderr
    assert lines[0].startswith("Error: ")
    return lines[0]


@pytest.fixture
def open_folder():
    """A folder that every user may enter, which pytest's are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become a user without rights")
def test_no_permission(open_folder, process):
    secret = make_clip(open_folder / "secret.mp4", lit())
    secret.chmod(0o600)
    public = make_clip(open_folder / "public.mp4", lit())
    (open_folder / "out").mkdir(mode=0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(InputMissing, match=r"secret\.mp4.*Permission denied"):
            process(secret, open_folder / "out")
        with pytest.raises(OutputError, match="cannot be written"):
            process(public, open_folder / "out")
    finally:
        os.seteuid(0)


def test_a_full_disk(process, tmp_path):
    """A tiny file system where one may be mounted, else a limit on the size of files."""
    clip = make_clip(
        tmp_path / "clip.mp4", [np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)] * 40
    )
    small = tmp_path / "small"
    small.mkdir()
    knobs = Settings.of(height=240, device="cpu")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", small], capture_output=True, check=False
    )
    if mounted.returncode == 0:
        try:
            with pytest.raises(OutputError, match="space"):
                process(clip, small / "out", knobs)
        finally:
            subprocess.run(["umount", small], check=True)
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        with pytest.raises(OutputError, match="cannot"):
            process(clip, small / "out", knobs)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Hostile:
    """A pickle that leaves a file behind when it is opened."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (Path(self.mark),))


def test_weights_that_would_run_code_do_not(tmp_path, resolved, shared):
    from demo.models import ResolvedModels, ResolvedWeight, load_networks

    mark = tmp_path / "ran"
    evil = pickle.dumps({"model": Hostile(mark)}, protocol=2)
    pickle.loads(evil)
    assert mark.exists()  # it is hostile indeed
    mark.unlink()
    bare = tmp_path / "bare.pth"
    bare.write_bytes(evil)
    packed = tmp_path / "packed.pt"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("archive/data.pkl", evil)
        archive.writestr("archive/version", "3")
    detector = shared / "weights" / "yolo11n-standin.pt"
    pose = shared / "weights" / "tinypose_256x192.onnx"
    corrupted = tmp_path / "corrupted.pt"
    corrupted.write_bytes(detector.read_bytes()[:-100_000])
    half = tmp_path / "half.onnx"
    half.write_bytes(pose.read_bytes()[:100_000])
    for files in (
        (packed, pose, bare),
        (bare, pose, bare),
        (corrupted, pose, bare),
        (detector, bare, bare),
        (detector, packed, bare),
        (detector, half, bare),
        (detector, pose, bare),
        (detector, pose, packed),
    ):
        with pytest.raises(WeightsError) as raised:
            roles = zip(("detector", "pose", "lifter"), files, strict=True)
            weights = [ResolvedWeight(role, "x", file, "") for role, file in roles]
            load_networks(ResolvedModels(*weights, "cpu"), SETTINGS, "cpu")
        assert "\n" not in str(raised.value)
    assert not mark.exists()


def test_the_program_with_a_folder_in_which_nothing_can_run(tmp_path, small_weights):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "text.mp4").write_text("no video")
    flags = ["--output", tmp_path / "out", "--device", "cpu", *small_weights]
    code = "import sys, demo.cli.main; sys.argv[0] = 'app.py'; demo.cli.main.main()"
    done = in_child(code, "--video", tmp_path / "in", *flags)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert "neither a video" in (tmp_path / "out" / "report.csv").read_text()
    (tmp_path / "empty").mkdir()
    assert "no clip" in one_line(in_child(code, "--video", tmp_path / "empty", *flags), 2)
    # A path with a newline is printed on one line.
    one_line(in_child(code, "--video", tmp_path / "not\nthere.mp4", *flags), InputMissing.status)


def test_damaged_weights_stop_a_batch_with_one_line(tmp_path, small_weights):
    (tmp_path / "in").mkdir()
    make_clip(tmp_path / "in" / "a.mp4", 2)
    bad = tmp_path / "bad.pt"
    bad.write_bytes(b"PK\x03\x04" + bytes(1000))
    flags = ["--output", tmp_path / "out", "--device", "cpu", *small_weights, "--detector", bad]
    code = "import sys, demo.cli.main; sys.argv[0] = 'app.py'; demo.cli.main.main()"
    done = in_child(code, "--video", tmp_path / "in", *flags)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("Error: ")
    assert "bad.pt" in done.stderr
    assert not list((tmp_path / "out").rglob("*.npz"))


def test_av_has_the_codecs_that_the_corpus_needs():
    assert {"libx264", "mpeg4", "aac", "libopus", "gif"} <= av.codecs_available
