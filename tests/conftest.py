"""Fixtures for all tests."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# A loaded machine is not a failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what a command line that runs inside a test does to the folder of temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", tempfile.gettempdir())
    monkeypatch.setenv("TMPDIR", tempfile.gettempdir())


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of clips, stand-in weights and reference vectors beside the checkout, or a skip."""
    folder = Path(os.environ.get("SHARED_DIR", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: it holds the real clips, stand-in weights and reference vectors")
    return folder
