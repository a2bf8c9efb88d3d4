"""Folders: names are harmless, only listed results are found, uploads alone are adopted."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import EmptyFile, InputMissing, UserError
from demo.web.folders import ClipFolder, ServerFolders, safe_name


@given(st.text(max_size=400))
def test_every_name_becomes_one_harmless_part_of_a_path(name):
    safe = safe_name(name)
    assert safe not in ("", ".", "..")
    assert not safe.startswith(".")
    assert not set(safe) & set('/\\<>:"|?*\0')
    assert safe.isprintable()
    assert len(os.fsencode(safe)) <= 100


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("clip.mp4", "clip.mp4"),
        ("../../etc/passwd", "passwd"),
        ("C:\\films\\Läufer 1.mov", "Läufer 1.mov"),
        ("..", "clip"),
        (".hidden.mp4", "hidden.mp4"),
        ("a\x1b[31m\n.mp4", "a_[31m_.mp4"),
        ("<b>.mp4", "_b_.mp4"),
    ],
)
def test_names(name, safe):
    assert safe_name(name) == safe


@pytest.fixture
def folder(tmp_path):
    folder = ClipFolder(tmp_path / "job", "clip.mp4")
    folder.results.mkdir(parents=True)
    folder.clip.parent.mkdir()
    folder.clip.write_text("clip")
    (folder.results / "clip.npz").write_text("result")
    (folder.results / ".clip.analysis.npz").write_text("hidden")
    (folder.results / "link.npz").symlink_to("/etc/passwd")
    (folder.results / "sub").mkdir()
    return folder


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../clip/clip.mp4", "/etc/passwd", "sub", "link.npz", ".clip.analysis.npz", "clip.zip",
     "clip.npz/", "./clip.npz", "clip.npz\0", "..\\clip\\clip.mp4", "%2e%2e/clip/clip.mp4"],
)  # fmt: skip
def test_only_results_are_found(name, folder):
    assert folder.find(name) is None
    assert folder.find("clip.npz") == folder.results / "clip.npz"


@pytest.fixture
def folders(tmp_path):
    return ServerFolders(tmp_path / "server", largest=10)


def upload(folders, content="clip"):
    path = folders.uploads / "hash" / "clip.mp4"
    path.parent.mkdir()
    path.write_text(content)
    return path


def test_an_upload_is_moved_and_its_id_cannot_be_guessed(folders):
    path = upload(folders)
    number, folder = folders.adopt(path)
    assert folder.clip.read_text() == "clip"
    assert not path.parent.exists()
    assert len(number) == 32
    assert folders.adopt(upload(folders))[0] != number


def test_what_is_no_upload_is_never_touched(folders, tmp_path):
    own = tmp_path / "own.mp4"
    own.write_text("own")
    link = folders.uploads / "link.mp4"
    link.symlink_to(own)
    (folders.uploads / "folder").symlink_to(tmp_path)
    paths = [own, link, folders.uploads / "folder" / "own.mp4", folders.uploads / ".." / ".." / "own.mp4",
             folders.uploads, folders.uploads / "missing.mp4"]  # fmt: skip
    for path in paths:
        with pytest.raises(InputMissing, match="not an uploaded file"):
            folders.adopt(path)
    assert own.read_text() == "own"


def test_empty_and_large_uploads_are_refused_and_removed(folders):
    for content, kind, line in (("", EmptyFile, "is empty"), ("x" * 11, UserError, "--max-size")):
        path = upload(folders, content)
        with pytest.raises(kind, match=line):
            folders.adopt(path)
        assert not path.exists()
        path.parent.rmdir()
    folders.adopt(upload(folders, "x" * 10))


def test_old_uploads_that_nobody_used_are_removed_whatever_the_clock_says(folders):
    old = upload(folders)
    os.utime(old, (0, 0))  # as after a jump of the system's clock
    folders.remove_uploads(100, now=1000.0)
    folders.remove_uploads(100, now=1099.0)
    assert old.exists()
    folders.remove_uploads(100, now=1100.0)
    assert not old.parent.exists()
