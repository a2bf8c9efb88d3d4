"""FBX through Blender: the BVH files of all people, imported and written as one FBX.

Blender runs as a program of its own: `pip install bpy` in this environment, a `blender` on the path, or the
environment variable BLENDER with the path of a Blender or of a Python that has `bpy`.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from common.errors import MissingExtra, OutputError
from common.files import replace_file
from demo.export.bvh import export_bvh
from demo.results.result import Result

log = logging.getLogger(__name__)

LONGEST = 600  # time-out of Blender, seconds
SCRIPT = Path(__file__).with_name("blender_fbx.py")


def export_fbx(result: Result, path: Path) -> list[Path]:
    """Write all people of the clip to the file `path`.

    Raises:
        MissingExtra: there is no Blender.
        OutputError: Blender did not write the file.
    """
    command = blender_command()
    with tempfile.TemporaryDirectory() as folder:
        written = export_bvh(result, Path(folder) / f"{path.stem}.bvh")
        people = [str(file) for file in written if file.suffix == ".bvh"]
        if not people:
            log.info("%s: no person in the clip, no FBX written", path.name)
            return []
        with replace_file(path) as temporary:
            words = [*command, str(temporary.absolute()), *people]
            try:
                run = subprocess.run(words, capture_output=True, text=True, timeout=LONGEST, check=False)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise OutputError(f"{path}: Blender failed ({error})") from error
            if not temporary.is_file():
                last = (run.stderr.strip() or run.stdout.strip() or "no message").splitlines()[-1]
                raise OutputError(f"{path}: Blender did not write it ({last})")
    return [path]


def blender_command() -> list[str]:
    """Return the command that runs our script in Blender, up to the script's own arguments.

    Raises:
        MissingExtra: there is no Blender.
    """
    program = os.environ.get("BLENDER") or shutil.which("blender")
    if program is None and importlib.util.find_spec("bpy") is not None:
        program = sys.executable
    if program is None:
        raise MissingExtra(
            "FBX needs Blender: pip install bpy (Python 3.11 or 3.13, 1 GB), install Blender, or set BLENDER"
        )
    if Path(program).name.startswith("python"):
        return [program, str(SCRIPT), "--"]
    return [program, "--background", "--factory-startup", "--python", str(SCRIPT), "--"]
