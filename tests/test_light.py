"""The installation without PyTorch, in a fresh environment: the same results in a tenth of the room."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.runtimes.exports import find_shipped
from common.weights import FOLDER, manifest
from demo.results.result import read_result
from tools.make_graphs import SHIPPED, SOURCES

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "videos" / "sample.mp4"
MOST_INSTALLED, MOST_MEMORY = 700, 650  # MB

pytestmark = [pytest.mark.extra, pytest.mark.long, pytest.mark.timeout(1800)]

# Runs app.py with the given arguments, then prints the peak of its memory in MB.
MEASURED = """
import resource, subprocess, sys
status = subprocess.run([sys.executable, "app.py", *sys.argv[1:]]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
sys.exit(status)
"""


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """The Python of an environment made from requirements-light.txt."""
    for name in SHIPPED:
        info = manifest()[name]
        if find_shipped(SOURCES[info.kind](FOLDER / info.file)) is None:
            pytest.skip(f"{name} has no ONNX file: python -m tools.make_graphs")
    folder = tmp_path_factory.mktemp("light") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "-r", ROOT / "requirements-light.txt"]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the packages cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return python


def app(python, tmp_path, *flags):
    command = [python, "-c", MEASURED, *map(str, flags)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "MOTION_WEIGHTS": ""}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_it_is_small(light):
    size = sum(path.lstat().st_size for path in light.parents[1].rglob("*") if path.is_file())
    assert size < MOST_INSTALLED * 1e6
    packages = subprocess.run([light, "-m", "pip", "list"], capture_output=True, text=True).stdout
    assert not {"torch", "ultralytics", "nvidia"} & set(packages.split())


def test_the_sample_has_the_joints_that_pytorch_gives(light, tmp_path):
    flags = ("--video", SAMPLE, "--quality", "shipped", "--no-render")
    for python, name, more in ((light, "light", ()), (sys.executable, "torch", ("--runtime", "torch"))):
        done = app(python, tmp_path, *flags, "--output", tmp_path / name, *more)
        assert done.returncode == 0, done.stderr
    ours, theirs = (read_result(tmp_path / name / "sample.npz") for name in ("light", "torch"))
    assert {each["runtime"] for each in ours.meta["runtimes"].values()} == {"onnxruntime"}
    assert ours.joints_camera.shape == theirs.joints_camera.shape
    height = np.ptp(theirs.joints_world[..., 2], axis=-1).max()
    moved = np.linalg.norm(ours.joints_camera - theirs.joints_camera, axis=-1) / height
    median, most = np.nanpercentile(moved, (50, 95))
    assert median < 0.002
    assert most < 0.02


def test_a_folder_of_two_clips(light, tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (clips / name).symlink_to(SAMPLE)
    done = app(light, tmp_path, "--video", clips, "--end", "1", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for name in ("a", "b"):
        assert (tmp_path / "out" / name / f"{name}_3d.mp4").stat().st_size > 10_000


def test_memory_of_a_clip_of_a_phone(light, tmp_path, shared):
    flags = ("--video", shared / "videos" / "squats.mp4", "--output", tmp_path / "out")
    done = app(light, tmp_path, *flags)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < MOST_MEMORY


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--quality", "shipped", "--lifter", "martinez"), "martinez.safetensors needs torch"),
        (("--detector", ROOT / "weights" / "yolo-person.pt", "--pose", "{pose}"), "needs torch"),
        (("--lifter", "ktpformer:small"), "--lifter ktpformer:small needs torch"),
    ],
)
def test_what_needs_pytorch_says_so_in_one_line(light, tmp_path, flags, words):
    pose = tmp_path / "other.safetensors"
    pose.write_bytes(b"weights of the user's own")
    flags = [str(flag).format(pose=pose) for flag in flags]
    done = app(light, tmp_path, "--video", SAMPLE, *flags, "--output", tmp_path / "out")
    assert done.returncode == 11
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert words in errors[0]
    assert "pip install -r requirements.txt" in errors[0]


@pytest.mark.parametrize(
    "command", [("lifter", "list"), ("demo.training", "detector", "--data", ".", "--out", "{out}")]
)
def test_training_says_what_it_needs(light, tmp_path, command):
    words = [word.format(out=tmp_path / "out") for word in command]
    done = subprocess.run([light, "-m", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 11, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "pip install -r requirements.txt" in done.stderr
