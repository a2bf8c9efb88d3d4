"""What a run must not import: each of these costs a second or more before the first result."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from common.weights import FOLDER, manifest
from demo.models import load_models
from demo.settings import Settings
from tests.demo.test_pipeline import person_frames
from tests.media import make_clip
from tools.make_graphs import SHIPPED

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("matplotlib", "onnx", "scipy.signal", "sympy", "torch", "torchvision", "triton", "ultralytics")


def loaded_by(script: str) -> set[str]:
    report = f"\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    command = [sys.executable, "-c", script + report]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_help_imports_no_network_and_no_picture():
    assert not loaded_by("import demo.cli.main, sys\nassert not {'torch', 'cv2', 'av'} & set(sys.modules)")


def test_a_run_with_shipped_networks_imports_nothing_heavy(tmp_path):
    for name in SHIPPED:
        if not (FOLDER / manifest()[name].file).with_suffix(".onnx").is_file():
            pytest.skip(f"{name} has no ONNX file yet: python -m tools.make_graphs")
    clip = make_clip(tmp_path / "clip.mp4", person_frames(12))
    settings = Settings.of(quality="shipped", device="cpu", height=64)
    runtimes = load_models(settings)().runtimes
    assert {each["runtime"] for each in runtimes.values()} == {"openvino"}
    script = f"""
from demo import Settings, load_models, process
settings = Settings.of(quality="shipped", device="cpu", height=64)
report = process({str(clip)!r}, {str(tmp_path / "out")!r}, settings, load_models(settings))
assert report.frames == 12
"""
    assert not loaded_by(script)


def test_smoothing_needs_no_scipy_signal():
    script = "import numpy as np, lifter.smoothing as s\ns.smooth(np.zeros((40, 17, 3), np.float32), 30.0)"
    assert not loaded_by(script)
