"""The package metadata: one version, dependencies from the requirements files, one console script."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from email import message_from_string
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from demo.version import VERSION

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("cluster", "datasets", "docs", "export", "train")


def requirements(name):
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return {Requirement(line).name for line in lines if line and not line.startswith("-")}


@pytest.fixture(scope="module")
def metadata(tmp_path_factory):
    """What setuptools writes into an installed package."""
    pytest.importorskip("setuptools", minversion="77")
    out = tmp_path_factory.mktemp("metadata")
    code = f"from setuptools.build_meta import prepare_metadata_for_build_wheel as m; print(m({str(out)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.dist-info"))


def test_version(metadata):
    found = message_from_string((metadata / "METADATA").read_text())
    assert found["Version"] == VERSION


def test_version_stands_nowhere_else():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in project
    released = VERSION.partition(".dev")[0]
    assert f"\n## {released} (" in (ROOT / "CHANGELOG.md").read_text()


def test_dependencies_are_those_of_the_requirements_files(metadata):
    found = message_from_string((metadata / "METADATA").read_text())
    given = [Requirement(each) for each in found.get_all("Requires-Dist")]
    plain = {each.name for each in given if each.marker is None}
    assert plain == requirements("requirements.txt")
    for extra in EXTRAS:
        named = {each.name for each in given if each.marker and each.marker.evaluate({"extra": extra})}
        assert named == requirements(f"requirements-{extra}.txt")


def test_the_light_requirements_are_a_part_of_all():
    """The same packages in the same versions, and none of those that make an installation large."""
    light, whole = (
        {line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")}
        for name in ("requirements-light.txt", "requirements.txt")
    )
    assert light <= whole
    left_out = {"onnx", "openvino", "torch", "torchvision", "ultralytics-opencv-headless"}
    left_out |= {"matplotlib", "safetensors"}  # of the report, of training
    assert requirements("requirements.txt") - requirements("requirements-light.txt") == left_out


def test_console_script(metadata):
    text = (metadata / "entry_points.txt").read_text()
    assert re.search(r"^motion-from-video = demo\.cli\.main:main$", text, re.MULTILINE)


def test_development_requirements_contain_what_tests_and_documents_need():
    text = (ROOT / "requirements-dev.txt").read_text()
    for name in ("requirements.txt", "requirements-docs.txt", "requirements-cluster.txt"):
        assert f"-r {name}" in text


@pytest.mark.parametrize("package", ["common", "demo", "lifter"])
def test_typed(package):
    assert (ROOT / package / "py.typed").is_file()
