"""The stages together: frame counts, time stamps, people who come and go, re-runs, the real clips."""

import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest

from common.errors import OutputError, UserError
from demo import pipeline
from demo.models import ModelLoader, load_models
from demo.results.outputs import ClipPaths
from demo.results.result import read_result
from demo.settings import Settings
from demo.types import Status
from demo.video.reader import VideoReader, probe
from tests.media import make_clip, tone, truncate

SETTINGS = Settings.of(height=64, device="cpu")


def person_frames(count, present=lambda index: True, size=(96, 128)):
    """A bright standing block that walks to the right, on black."""
    frames = []
    for index in range(count):
        image = np.zeros((*size, 3), np.uint8)
        if present(index):
            image[20:80, 20 + index // 2 : 44 + index // 2] = 230
        frames.append(image)
    return frames


@pytest.fixture
def process(networks, resolved, tmp_path):
    def run(clip, settings=SETTINGS, overwrite=False, folder=None):
        folder = folder or tmp_path / "out"
        models = ModelLoader(resolved, settings, loaded=networks)
        return pipeline.process(clip, folder, settings, models, overwrite=overwrite)

    return run


def test_a_clip_gives_video_data_and_summary(process, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", person_frames(40), audio="aac", sound=tone(40 / 30, 44100))
    done = process(clip)
    assert (done.people, done.frames, done.damage, done.notes) == (1, 40, None, ())
    assert done.seconds == pytest.approx(40 / 30)
    source, made = probe(clip), probe(done.paths.video)
    assert made.frame_count == 40
    assert made.has_audio
    assert made.duration == pytest.approx(source.duration, abs=1 / 30)
    assert made.height == 64
    result = read_result(done.paths.result)
    assert result.joints_world.shape == (1, 40, 17, 3)
    assert np.isfinite(result.joints_world).all()
    np.testing.assert_allclose(result.times, np.arange(40) / 30, atol=1e-6)
    summary = json.loads(done.paths.summary.read_text())
    assert summary["people"][0]["frames"] == 40
    assert {weight["role"] for weight in summary["weights"]} == {"detector", "pose", "lifter"}


def test_progress_names_every_stage_and_counts_its_frames(networks, resolved, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", person_frames(20))
    seen = []
    pipeline.process(
        *(clip, tmp_path / "out", SETTINGS, ModelLoader(resolved, SETTINGS, loaded=networks)),
        progress=lambda *event: seen.append(event),
    )
    last = {stage: (done, total) for stage, done, total in seen}
    assert last == {"analyse": (20, 20), "lift": (1, 1), "render": (20, 20), "export": (1, 1)}
    assert list(last) == ["analyse", "lift", "render", "export"]


def test_time_stamps_of_a_variable_rate_clip_survive(process, tmp_path):
    pts = np.cumsum([0, 1, 1, 3, 1, 2, 5, 1, 1, 1]).tolist()
    clip = make_clip(tmp_path / "vfr.mp4", person_frames(10), pts=pts, time_base=Fraction(1, 30))
    done = process(clip)
    with VideoReader(clip) as source, VideoReader(done.paths.video) as made:
        assert [frame.time for frame in made] == pytest.approx([frame.time for frame in source])


def test_nobody_in_the_picture_still_gives_a_video_and_a_note(process, tmp_path):
    clip = make_clip(tmp_path / "empty.mp4", person_frames(12, present=lambda index: False))
    done = process(clip)
    assert done.people == 0
    assert "no person was detected" in done.notes[0]
    assert probe(done.paths.video).frame_count == 12
    assert read_result(done.paths.result).joints_world.shape == (0, 12, 17, 3)


def test_somebody_who_comes_late_leaves_and_returns_has_a_status_in_every_frame(process, tmp_path):
    here = lambda index: 15 <= index < 45 or 60 <= index < 80  # noqa: E731
    clip = make_clip(tmp_path / "late.mp4", person_frames(90, present=here))
    done = process(clip)
    status = read_result(done.paths.result).status[0]
    assert (status[:15] == Status.ABSENT).all()
    assert (status[15:45] == Status.MEASURED).all()
    assert (status[80:] == Status.ABSENT).all()
    assert done.notes == (f"person 1 is in {np.isin(status, (1, 2)).sum()} of 90 frames",)


def test_a_second_run_does_nothing_and_another_drawing_does_not_detect_again(process, networks, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", person_frames(20))
    first = process(clip)
    assert networks.detector.frames == 20
    before = {path: path.stat().st_mtime_ns for path in first.paths.folder.iterdir()}
    again = process(clip)
    assert (first.from_cache, again.from_cache) == (False, True)
    assert (again.people, again.frames) == (1, 20)
    assert before == {path: path.stat().st_mtime_ns for path in first.paths.folder.iterdir()}

    taller = SETTINGS.but(height=96)
    with pytest.raises(OutputError, match="--overwrite"):
        process(clip, taller)
    first.paths.summary.unlink()  # as if killed before the end
    process(clip, taller)
    assert probe(first.paths.video).height == 96
    assert networks.detector.frames == 20  # the kept analysis was used


def test_overwriting_starts_from_the_pictures(process, networks, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", person_frames(10))
    process(clip)
    process(clip, overwrite=True)
    assert networks.detector.frames == 20


def test_runs_are_byte_identical(process, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", person_frames(25))
    a = process(clip, folder=tmp_path / "a").paths
    b = process(clip, folder=tmp_path / "b").paths
    for name in ("video", "result", "summary"):
        assert getattr(a, name).read_bytes() == getattr(b, name).read_bytes(), name


def test_cut_in_time_and_detecting_every_third_frame(process, networks, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", person_frames(60))
    done = process(clip, SETTINGS.but(start=0.5, end=1.5, detect_every=3))
    assert done.frames == 30
    assert networks.detector.frames == 10
    result = read_result(done.paths.result)
    assert result.times[0] == pytest.approx(0.5)
    assert np.isfinite(result.joints_world).all()


def test_without_rendering_there_is_no_video(process, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", person_frames(8))
    done = process(clip, SETTINGS.but(render=False))
    assert sorted(path.name for path in done.paths.folder.iterdir()) == [
        ".clip.analysis.npz",
        "clip.json",
        "clip.npz",
        "clip_viewer.html",
    ]


def test_without_the_viewer_there_is_no_page(process, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", person_frames(8))
    done = process(clip, SETTINGS.but(render=False, viewer=False))
    assert sorted(path.name for path in done.files) == ["clip.json", "clip.npz"]


def test_somebody_not_in_the_clip_is_told_with_who_is(process, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", person_frames(8))
    with pytest.raises(UserError, match=r"--person 7.*1"):
        process(clip, SETTINGS.but(person="7"))


def test_a_clip_that_breaks_off_gives_what_could_be_read_and_says_so(process, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", person_frames(60), movflags="faststart", options={"g": "5"})
    done = process(truncate(clip, tmp_path / "broken.mp4", 6))
    assert done.damage
    assert 0 < done.frames < 60
    assert probe(done.paths.video).frame_count == done.frames


def test_a_still_picture(process, tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "still.png"), person_frames(1)[0])
    done = process(tmp_path / "still.png")
    assert (done.people, done.frames) == (1, 1)
    assert np.isfinite(read_result(done.paths.result).joints_world).all()
    assert probe(done.paths.video).frame_count == 1


def test_a_lifter_that_fails_leaves_nothing_half_written(process, networks, tmp_path, resolved):
    clip = make_clip(tmp_path / "clip.mp4", person_frames(10))

    class Broken:
        def predict(self, windows):
            raise RuntimeError("no")

    bad = dataclasses.replace(networks, lifter=Broken())
    with pytest.raises(RuntimeError):
        pipeline.process(clip, tmp_path / "out", SETTINGS, ModelLoader(resolved, SETTINGS, loaded=bad))
    paths = ClipPaths.of(clip, tmp_path / "out")
    assert list(paths.folder.iterdir()) == [paths.analysis(0, 1)]


@pytest.mark.parametrize("name", ["squats.mp4", "street.mp4"])
def test_real_clips_with_the_stand_ins(name, shared, tmp_path):
    settings = Settings.of(
        detector=str(shared / "weights" / "yolo11n-standin.pt"),
        pose=str(shared / "weights" / "tinypose_256x192.onnx"),
        device="cpu",
        height=240,
        end=2.0,
    )
    done = pipeline.process(shared / "videos" / name, tmp_path, settings, load_models(settings))
    result = read_result(done.paths.result)
    assert done.people >= 1
    assert (result.status[0] == Status.MEASURED).mean() > 0.95
    assert probe(done.paths.video).frame_count == done.frames == len(result.times)
    # The main person stands upright on the floor: the head above the feet, the feet near the ground.
    height = np.nanmedian(result.joints_world[0, :, 10, 2])
    feet = np.nanmedian(result.joints_world[0][:, (3, 6), 2].min(-1))
    assert 0.9 < height < 2.2
    assert abs(feet) < 0.3
