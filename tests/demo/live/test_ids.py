"""A real clip live and offline: the same people, each under one id."""

from __future__ import annotations

from benchmarks.live_ids import compare_ids
from demo.live.pipeline import LivePipeline
from demo.models import load_models
from demo.pipeline import process
from demo.results.result import read_result
from demo.settings import Settings
from demo.video.reader import VideoReader
from tests.media import make_clip


def test_ids_are_those_of_the_offline_result(shared, small_weights, tmp_path):
    with VideoReader(shared / "videos" / "twopeople" / "cam01.mp4") as reader:
        pictures = [frame.image for frame in reader if frame.index % 6 == 0]  # 10 a second
    clip = make_clip(tmp_path / "clip.mp4", pictures, rate=10)
    flags = dict(zip((flag.lstrip("-") for flag in small_weights[::2]), small_weights[1::2], strict=True))
    settings = Settings.of(**flags, render=False, viewer=False)
    loader = load_models(settings)
    process(clip, tmp_path / "out", settings, loader)
    offline = read_result(tmp_path / "out" / "clip.npz")
    with VideoReader(clip) as reader:
        pipeline = LivePipeline(loader(), reader.info.size, float(reader.info.fps))
        live = [pipeline.step(frame) for frame in reader]
    rows = compare_ids(live, offline)
    assert sum(row.main for row in rows) == 2
    for row in rows:
        assert row.frames >= 6, row
        assert row.found == row.same == row.frames, row
        assert row.changes == 0, row
    assert len({pose.drawn.person_id for frame in live for pose in frame.people}) == len(rows)
