"""Which clips are meant: folders, globs, patterns, clashing names, and what can be no clip."""

import os

import pytest

from demo.batch.folders import find_clips, is_one_file
from demo.cli.main import expand_multi_values


@pytest.fixture
def tree(tmp_path):
    for name in ("a.mp4", "b.MOV", "notes.txt", "still.jpg", ".hidden.mp4", "sub/c.mkv", "sub/deep/d.webm"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "in"


def names(clips):
    return [job.clip.name for job in clips.jobs]


def test_a_folder_gives_its_videos_and_recursive_those_below(tree, tmp_path):
    assert names(find_clips([tree], tmp_path / "out")) == ["a.mp4", "b.MOV"]
    clips = find_clips([tree], tmp_path / "out", recursive=True)
    assert names(clips) == ["a.mp4", "b.MOV", "c.mkv", "d.webm"]
    folders = [job.folder.relative_to(tmp_path / "out").as_posix() for job in clips.jobs]
    assert folders == ["a", "b", "sub/c", "sub/deep/d"]


def test_include_and_exclude(tree, tmp_path):
    out = tmp_path / "out"
    assert names(find_clips([tree], out, include=["*.jpg", "A.*"])) == ["a.mp4", "still.jpg"]
    assert names(find_clips([tree], out, recursive=True, exclude=["sub/*", "b.*"])) == ["a.mp4"]


def test_files_and_globs_are_taken_once_and_as_they_are(tree, tmp_path):
    given = [tree / "a.mp4", tree / "*.txt", tree, tree / "missing.mp4", tree / "no*thing"]
    assert sorted(names(find_clips(given, tmp_path / "out"))) == sorted(
        ["a.mp4", "b.MOV", "notes.txt", "missing.mp4", "no*thing"]
    )
    strange = tree / "take[1].mp4"
    strange.touch()
    assert names(find_clips([strange], tmp_path / "out")) == ["take[1].mp4"]


def test_results_are_no_clips(tree, tmp_path):
    out = tree / "out"
    (out / "a").mkdir(parents=True)
    (out / "a" / "a_3d.mp4").touch()
    assert "a_3d.mp4" not in names(find_clips([tree], out, recursive=True))


def test_clashing_names_are_made_distinct_and_others_keep_theirs(tmp_path):
    for name in ("x/a.mp4", "x/a.mov", "x/b.mp4", "y/b.mp4", "y/A.avi", "y/c.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    clips = find_clips([tmp_path / "x", tmp_path / "y"], tmp_path / "out")
    folders = {
        str(job.clip.relative_to(tmp_path)): str(job.folder.relative_to(tmp_path / "out"))
        for job in clips.jobs
    }
    assert folders == {
        "x/a.mp4": "a.mp4",
        "x/a.mov": "a.mov",
        "y/A.avi": "A.avi",
        "x/b.mp4": "x/b.mp4",
        "y/b.mp4": "y/b.mp4",
        "y/c.mp4": "c",
    }
    assert len({folder.lower() for folder in folders.values()}) == 6


def test_what_can_be_no_clip_is_left_out_with_a_reason(tree, tmp_path):
    os.mkfifo(tree / "pipe.mp4")
    (tree / "folder.mp4").mkdir()
    (tree / "round.mp4").symlink_to(tree / "round.mp4")
    (tree / "sub" / "up").symlink_to(tree)
    clips = find_clips([tree], tmp_path / "out", recursive=True)
    assert names(clips) == ["a.mp4", "b.MOV", "c.mkv", "d.webm"]
    assert {each.path.name for each in clips.left_out} == {"pipe.mp4", "round.mp4", "up"}
    assert all(each.why for each in clips.left_out)


def test_one_file_and_many(tree):
    assert is_one_file([tree / "a.mp4"])
    assert is_one_file([tree / "missing.mp4"])
    assert not is_one_file([tree])
    assert not is_one_file([tree / "*.mp4"])
    assert not is_one_file([tree / "a.mp4", tree / "b.MOV"])


def test_flags_as_shells_expand_them():
    for typed, meant in [
        ("--video a b c -q --cluster", "--video a --video b --video c -q --cluster local"),
        ("--cluster --video a --output o", "--cluster local --video a --output o"),
        ("weights", "weights"),
    ]:
        assert expand_multi_values(typed.split()) == meant.split()
    assert expand_multi_values(["--cluster", "tcp://h:1", "weights"]) == ["--cluster", "tcp://h:1", "weights"]
