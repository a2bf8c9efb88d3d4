"""A run replaces what it wrote itself, and nothing else without `--overwrite`."""

import json
from pathlib import Path

import numpy as np
import pytest

from common.errors import OutputError
from demo.batch.folders import Job, find_clips
from demo.batch.report import Row, claim_reports, write_reports
from demo.export import ENDINGS, EXPORTERS, endings, export
from demo.results.claims import claim_outputs, is_result_video
from demo.results.outputs import ClipPaths


@pytest.fixture
def paths(tmp_path):
    return ClipPaths.of(Path("a.mp4"), tmp_path)


def claim(paths, overwrite=False, video=True, formats=()):
    claim_outputs(paths, paths.patterns(video, endings(formats)), overwrite)


def write_meta(path, **meta):
    np.savez(path, meta=np.array(json.dumps({"schema": 1, **meta})))


OWN = {
    "a_3d.mp4": b"my own film",
    "a.npz": b"PK my own arrays",
    "a.json": b'["my", "own", "list"]',
}


@pytest.mark.parametrize("name", OWN)
def test_files_of_the_users_are_never_replaced(paths, name):
    path = paths.folder / name
    path.write_bytes(OWN[name])
    with pytest.raises(OutputError, match="--overwrite") as caught:
        claim(paths)
    assert caught.value.status == 8
    assert path.read_bytes() == OWN[name]
    claim(paths, overwrite=True)


def test_an_npz_of_numpy_is_not_ours(paths):
    np.savez(paths.result, points=np.zeros(3))
    with pytest.raises(OutputError, match=r"a\.npz"):
        claim(paths)


def test_exported_files_of_the_users_are_not_replaced(paths):
    for name in ("a_person1.bvh", "a.glb"):
        (paths.folder / name).touch()
    (paths.folder / "a_notes.csv").touch()  # no run writes this name
    claim(paths)
    with pytest.raises(OutputError, match=r"a_person1\.bvh"):
        claim(paths, formats=["bvh"])
    (paths.folder / "a_person1.bvh").unlink()
    with pytest.raises(OutputError, match=r"a\.glb"):
        claim(paths, formats=["bvh", "glb", "csv"])


def test_what_the_summary_lists_is_ours(paths):
    paths.summary.write_text(
        json.dumps({"fingerprint": "x", "files": {"a_3d.mp4": 1, "a.npz": 1, "a.glb": 2}})
    )
    for name in ("a_3d.mp4", "a.npz", "a.glb"):
        (paths.folder / name).touch()
    claim(paths, formats=["glb"])
    (paths.folder / "a_person1.bvh").touch()
    with pytest.raises(OutputError, match="bvh"):
        claim(paths, formats=["glb", "bvh"])


def test_a_killed_run_is_recognised_by_the_meta_of_its_result(paths):
    write_meta(paths.result, outputs=paths.patterns(True, endings(["bvh"])))
    for name in ("a_3d.mp4", "a_person1.bvh"):
        (paths.folder / name).touch()
    claim(paths, formats=["bvh"])
    write_meta(paths.result)  # as version 0.2 wrote it
    claim(paths)
    write_meta(paths.result, outputs=paths.patterns(False, []))  # it was not to write a video
    with pytest.raises(OutputError, match=r"a_3d\.mp4"):
        claim(paths)


def test_a_folder_in_the_way_is_told_at_once(paths):
    paths.result.mkdir()
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="folder has this name"):
            claim(paths, overwrite)


def test_stems_with_the_letters_of_patterns(tmp_path):
    paths = ClipPaths.of(Path("take[1].mp4"), tmp_path)
    (tmp_path / "take[1]_3d.mp4").touch()
    (tmp_path / "take1_3d.mp4").touch()
    with pytest.raises(OutputError, match=r"take\[1\]_3d"):
        claim(paths)


def test_the_endings_are_those_of_the_exporters(tmp_path):
    from fnmatch import fnmatchcase

    from common.errors import MissingExtra
    from tests.demo.export.results import march, result_of

    assert ENDINGS.keys() == EXPORTERS.keys()
    for name in EXPORTERS.keys() - {"fbx"}:
        try:
            written = export(result_of(march()[None]), tmp_path, "a", [name])
        except MissingExtra:
            continue
        for path in written:
            assert any(fnmatchcase(path.name, "a" + ending) for ending in ENDINGS[name]), path


@pytest.mark.parametrize(("name", "text"), [("report.json", "[1]"), ("report.csv", "my,table\n")])
def test_reports_of_the_users_are_not_replaced(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(OutputError, match=name) as caught:
        claim_reports(tmp_path, overwrite=False)
    assert caught.value.status == 8
    assert (tmp_path / name).read_text() == text
    claim_reports(tmp_path, overwrite=True)


def test_own_reports_are_replaced_and_a_trial_leaves_nothing(tmp_path):
    claim_reports(tmp_path / "new", overwrite=False)
    assert list((tmp_path / "new").iterdir()) == []
    write_reports(tmp_path, [Row(Job(Path("a.mp4"), tmp_path), "done")], [])
    claim_reports(tmp_path, overwrite=False)
    (tmp_path / "report.json").unlink()
    claim_reports(tmp_path, overwrite=False)


def test_reports_that_cannot_be_written_are_told_before_the_first_clip(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        claim_reports(tmp_path / "file", overwrite=False)
    with pytest.raises(OutputError):
        claim_reports(tmp_path / "file" / "below", overwrite=False)
    (tmp_path / "report.csv").mkdir()
    with pytest.raises(OutputError, match="folder"):
        claim_reports(tmp_path, overwrite=True)


def test_results_do_not_become_clips(tmp_path):
    """The folder is run again: into itself, into a folder inside, and into one behind a link."""
    clips = tmp_path / "clips"
    (clips / "out" / "b").mkdir(parents=True)
    for folder, stem in ((clips, "a"), (clips / "out" / "b", "b")):
        (folder / f"{stem}_3d.mp4").touch()
        write_meta(folder / f"{stem}.npz")
    for name in ("a.mp4", "c_3d.mp4"):  # the second is a film of the user's
        (clips / name).touch()
    (clips / "link").symlink_to(clips / "out")
    assert is_result_video(clips / "a_3d.mp4")
    assert not is_result_video(clips / "c_3d.mp4")
    for output in (clips, clips / "out", clips / "link", tmp_path / "clips" / "out" / ".." / "out"):
        found = find_clips([clips], output, recursive=True)
        assert sorted(job.clip.name for job in found.jobs) == ["a.mp4", "c_3d.mp4"], output
    given = find_clips([clips / "a_3d.mp4"], tmp_path / "elsewhere")
    assert len(given.jobs) == 1  # a file given by its path is a clip
