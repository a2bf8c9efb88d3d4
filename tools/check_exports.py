"""Read the motion files of a result with the programs they are written for, and print how far joints are off.

    python -m tools.check_exports outputs/sample/sample.npz

Programs are named by environment variables; what is not named is left out:

    BLENDER          a Python that has bpy
    NODE_TOOLS       a folder with gltf-validator in its node_modules
    OPENSIM_PYTHON   a Python that has opensim
    OPENSIM_MODEL    Pose2Sim's Model_Pose2Sim_simple.osim
    C3D_PYTHON       a Python that has c3d
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from common.command_line import run
from demo.export import export
from demo.motion.rig import OBSERVED, RIG_JOINTS, solve_rig
from demo.results.result import Result, read_result
from lifter.skeletons import H36M_17

PROGRAMS = Path(__file__).resolve().parents[1] / "tests" / "demo" / "export" / "programs"
LONGEST = 600  # seconds a program may take
C3D_SCRIPT = (
    "import sys, c3d, numpy as np; reader = c3d.Reader(open(sys.argv[1], 'rb'));"
    "np.save(sys.argv[2], np.stack([points for _, points, _ in reader.read_frames()]))"
)
RIG_ROWS = [RIG_JOINTS.index(name) for name in OBSERVED]
JOINT_ROWS = [H36M_17.joints.index(name) for name in OBSERVED.values()]
Row = tuple[str, str, str]

app = typer.Typer()


@app.command()
def main(result: Path) -> None:
    """Print a table: file, program, figure."""
    table = Table("file", "read by", "figure")
    motion = read_result(result)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if blender := os.environ.get("BLENDER"):
            for kind in ("bvh", "glb", "fbx"):
                table.add_row(*check_in_blender(motion, kind, blender, folder))
        if tools := os.environ.get("NODE_TOOLS"):
            table.add_row(*check_gltf(motion, tools, folder))
        if (python := os.environ.get("OPENSIM_PYTHON")) and (model := os.environ.get("OPENSIM_MODEL")):
            for row in check_in_opensim(motion, python, Path(model), folder):
                table.add_row(*row)
        if python := os.environ.get("C3D_PYTHON"):
            table.add_row(*check_c3d(motion, python, folder))
    Console().print(table)


def check_in_blender(result: Result, kind: str, blender: str, folder: Path) -> Row:
    """Compare joints in Blender with those of the rig, and with those of the result where both have one."""
    files = [file for file in export(result, folder, "clip", [kind]) if file.suffix == f".{kind}"]
    rate = round(float(1 / np.median(np.diff(result.times))))
    rig, lifted = [], []
    for file in files:
        call(blender, PROGRAMS / "blender_joints.py", rate, kind, file, folder / "joints.npz")
        with np.load(folder / "joints.npz") as found:
            for name in sorted(key.split("/")[0] for key in found.files if key.endswith("/names")):
                person = int(name.split(".")[0].removesuffix("_mesh").rpartition("person")[2])
                joints = result.joints_world[result.person_ids.tolist().index(person)]
                bones = found[f"{name}/names"].tolist()
                places = found[f"{name}/places"][:, [bones.index(bone) for bone in RIG_JOINTS]]
                x, y, z = np.moveaxis(solve_rig(joints, result.times).positions(), -1, 0)
                rig.append(distances(places, np.stack((x, -z, y), -1)))
                lifted.append(distances(places[:, RIG_ROWS], joints[:, JOINT_ROWS]))
    own, other = np.concatenate(rig), np.concatenate(lifted)
    figure = (
        f"{own.max():.4f} mm at most from the rig; from the lifter's joints {other.mean():.0f} mm on "
        f"average, 95 %: {np.percentile(other, 95):.0f} mm"
    )
    return kind.upper(), "Blender", figure


def check_gltf(result: Result, tools: str, folder: Path) -> Row:
    """Count the issues that Khronos' validator finds."""
    (file,) = export(result, folder, "clip", ["glb"])
    issues = json.loads(call("node", PROGRAMS / "validate_gltf.mjs", tools, file))
    counts = [issues[name] for name in ("numErrors", "numWarnings", "numInfos", "numHints")]
    return "GLB", "gltf-validator", "{} errors, {} warnings, {} infos, {} hints".format(*counts)


def check_in_opensim(result: Result, python: str, model: Path, folder: Path) -> Iterator[Row]:
    """Scale the model and run inverse kinematics for each person."""
    files = export(result, folder, "clip", ["trc"])
    shutil.copy(model, folder / "Model_Pose2Sim_simple.osim")
    for file in files:
        if file.suffix == ".trc":
            words = call(python, PROGRAMS / "opensim_ik.py", folder, file.stem).split()
            frames, mean, worst = map(float, words[-3:])
            yield (
                "TRC",
                "OpenSim",
                f"marker error {mean:.1f} mm RMS, at most {worst:.1f}; {frames:.0f} frames",
            )


def check_c3d(result: Result, python: str, folder: Path) -> Row:
    """Compare points and gaps with the result's."""
    (file,) = export(result, folder, "clip", ["c3d"])
    call(python, "-c", C3D_SCRIPT, file, folder / "points.npy")
    points = np.load(folder / "points.npy")
    expected = result.joints_world.transpose(1, 0, 2, 3).reshape(len(points), -1, 3)
    gaps = int(((points[..., 3] < 0) != ~np.isfinite(expected).all(-1)).sum())
    worst = distances(points[..., :3] / 1000, expected).max()
    return "C3D", "c3d", f"{worst:.4f} mm at most; gaps that differ: {gaps}"


def distances(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the distances in mm of points (..., 3) in metres, without those that are unknown."""
    apart = 1000 * np.linalg.norm(one - other, axis=-1)
    return apart[np.isfinite(apart)]


def call(*words: object) -> str:
    """Run a program and return what it printed.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=LONGEST, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{words[0]} failed: {done.stderr[-2000:]}{done.stdout[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    run(app)
