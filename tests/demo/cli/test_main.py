"""The command line: one line and a status for everything that goes wrong, and a quick --help."""

import os
import subprocess
import sys

import pytest

from demo.settings import flag_fields
from tests.conftest import ROOT
from tests.media import make_clip


def app(*flags, **environment):
    return subprocess.run(
        [sys.executable, str(ROOT / "app.py"), *map(str, flags)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )


def one_line(done):
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Error: ")
    return lines[0]


def test_help_does_not_import_the_heavy_packages():
    code = (
        "import sys, typer.testing, demo.cli.main\n"
        "done = typer.testing.CliRunner().invoke(demo.cli.main.app, ['--help'])\n"
        "assert done.exit_code == 0, done.output\n"
        "heavy = {'torch', 'cv2', 'numpy', 'ultralytics', 'av', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print(done.output)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    for flag in ("--video", "--person", "--detector", "--lifter", "--offline", "--overwrite", "--version"):
        assert flag in done.stdout


def test_version_and_weights():
    assert app("--version").stdout.strip()
    listed = app("weights", COLUMNS="200")
    assert listed.returncode == 0
    for name in ("yolo11n", "hrnet-w32", "hrnet-w48-384", "wild"):
        assert name in listed.stdout


@pytest.mark.parametrize(
    ("name", "content", "status", "words"),
    [
        ("missing.mp4", None, 3, "missing.mp4"),
        ("empty.mp4", b"", 4, "empty.mp4"),
        ("text.mp4", b"this is not a video\n" * 50, 5, "text.mp4"),
    ],
)
def test_bad_input(tmp_path, name, content, status, words):
    clip = tmp_path / name
    if content is not None:
        clip.write_bytes(content)
    done = app("--video", clip, "--output", tmp_path / "out")
    assert done.returncode == status
    assert words in one_line(done)
    assert not (tmp_path / "out").exists()


def test_audio_only(tmp_path):
    clip = make_clip(tmp_path / "sound.m4a", 0, audio="aac", container_format="mp4")
    done = app("--video", clip, "--output", tmp_path / "out")
    assert done.returncode == 6
    one_line(done)


def test_unknown_weight_and_no_network(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4")
    unknown = app("--video", clip, "--output", tmp_path / "out", "--pose", "hrnet-w33")
    assert unknown.returncode == 9
    assert "hrnet-w32" in one_line(unknown)
    flags = ("--video", clip, "--output", tmp_path / "out", "--offline", "--detector", "yolo11x")
    offline = app(*flags, XDG_CACHE_HOME=tmp_path / "cache", MOTION_WEIGHTS="")
    assert offline.returncode == 10
    assert "yolo11x.pt" in one_line(offline)
    assert not (tmp_path / "out").exists()


def test_output_that_cannot_be_written(tmp_path, shared):
    clip = make_clip(tmp_path / "clip.mp4")
    (tmp_path / "file").write_text("in the way")
    weights = shared / "weights"
    done = app(
        *("--video", clip, "--output", tmp_path / "file" / "out"),
        *("--detector", weights / "yolo11n-standin.pt", "--pose", weights / "tinypose_256x192.onnx"),
    )
    assert done.returncode == 8
    one_line(done)


def test_wrong_flags_are_a_usage_error():
    done = app("--detect-every", "0")
    assert done.returncode == 2
    assert "--detect-every" in done.stderr


def test_every_setting_has_a_description():
    for name, field in flag_fields().items():
        assert field.description, name
