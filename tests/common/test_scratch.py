"""Nothing of ours stays in the folder for temporary files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PROGRAM = """
import sys, tempfile
from common.scratch import use_scratch
use_scratch()
open(tempfile.mkdtemp() + "/file", "w").close()
print(tempfile.gettempdir(), flush=True)
{rest}
"""


def start(folder, rest):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(rest=rest)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )


def test_a_process_removes_its_folder_and_those_of_killed_ones(tmp_path):
    first = start(tmp_path, "sys.stdin.read()")
    folder = first.stdout.readline().strip()
    assert [str(path) for path in tmp_path.iterdir()] == [folder]
    first.kill()
    first.communicate()
    second = start(tmp_path, "sys.stdin.read()")
    assert second.stdout.readline().strip() != folder
    assert len(list(tmp_path.iterdir())) == 1  # the killed one's has gone
    third = start(tmp_path, "")
    third.communicate()
    assert len(list(tmp_path.iterdir())) == 1  # that of a living process stays
    second.communicate()
    assert list(tmp_path.iterdir()) == []


def test_foreign_folders_stay(tmp_path):
    (tmp_path / "motion-from-video-notes").mkdir()
    (tmp_path / "other").mkdir()
    start(tmp_path, "").communicate()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="an ended process has an entry in /proc on Linux only")
def test_the_folder_of_a_killed_process_goes_before_its_parent_has_asked_for_it(tmp_path):
    first = start(tmp_path, "sys.stdin.read()")
    folder = Path(first.stdout.readline().strip())
    first.kill()
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)  # ended, and still in the table of processes
    assert folder.is_dir()
    second = start(tmp_path, "")
    second.communicate()
    assert not folder.exists()
    first.communicate()
