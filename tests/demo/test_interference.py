"""Clips that change while they are read, clocks that jump, and runs that get in each other's way."""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from common.errors import UserError
from demo import pipeline
from demo.models import ModelLoader
from demo.settings import Settings
from tests.demo.test_pipeline import person_frames
from tests.media import make_clip

SETTINGS = Settings.of(height=64, device="cpu")


@pytest.fixture
def process(networks, resolved, tmp_path):
    def run(clip, progress=lambda *_: None, folder="out", wait=0.0):
        models = ModelLoader(resolved, SETTINGS, loaded=networks)
        return pipeline.process(clip, tmp_path / folder, SETTINGS, models, progress=progress, wait=wait)

    return run


def hashes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def replaced(clip, other):
    other.replace(clip)


def overwritten(clip, other):
    clip.write_bytes(other.read_bytes())


def grown(clip, other):
    with clip.open("ab") as file:
        file.write(b"\0" * 1000)


def gone(clip, other):
    clip.unlink()


@pytest.mark.parametrize("change", [replaced, overwritten, grown, gone])
@pytest.mark.parametrize("stage", ["analyse", "render"])
def test_a_clip_that_changes_while_it_is_read_has_no_result(process, tmp_path, stage, change):
    original = make_clip(tmp_path / "original.mp4", person_frames(40))
    other = make_clip(tmp_path / "other.mp4", person_frames(40, present=lambda index: index > 20))
    clip = tmp_path / "clip.mp4"
    shutil.copy(original, clip)
    done = []

    def progress(name, count, total):
        if name == stage and count >= 8 and not done:
            done.append(name)
            change(clip, other)

    with pytest.raises(UserError, match=r"clip\.mp4"):
        process(clip, progress)
    assert done
    assert not (tmp_path / "out" / "clip.json").exists()  # nothing is marked as complete
    shutil.copy(original, clip)  # and nothing of the other clip is kept for this one
    process(clip)
    process(clip, folder="undisturbed")
    assert hashes(tmp_path / "out") == hashes(tmp_path / "undisturbed")


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_the_clock_may_jump(process, tmp_path, monkeypatch, jump):
    clip = make_clip(tmp_path / "clip.mp4", person_frames(20))
    process(clip)
    calls = []

    def wrong():
        calls.append(None)
        return 1.7e9 + jump * (len(calls) % 2)

    monkeypatch.setattr(time, "time", wrong)
    os.utime(clip, (0, 0))  # from before the jump
    process(clip, folder="later")
    assert hashes(tmp_path / "later") == hashes(tmp_path / "out")
    assert process(clip).from_cache


def test_twenty_runs_at_once_write_one_result(process, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", person_frames(12))
    with ThreadPoolExecutor(20) as threads:
        reports = list(threads.map(lambda _: process(clip, wait=-1), range(20)))
    assert sum(not report.from_cache for report in reports) == 1
    process(clip, folder="alone")
    assert hashes(tmp_path / "out") == hashes(tmp_path / "alone")
