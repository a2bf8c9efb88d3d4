"""Files as other programs read them: Blender, Khronos' validator, OpenSim, c3d, and a browser for the viewer.

Each needs a program that is not part of this project, named by an environment variable:

    BLENDER          a Python that has bpy
    NODE_TOOLS       a folder with gltf-validator and playwright-core in its node_modules
    OPENSIM_PYTHON   a Python that has opensim
    OPENSIM_MODEL    Pose2Sim's Model_Pose2Sim_simple.osim
    C3D_PYTHON       a Python that has c3d
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import cv2
import numpy as np
import pytest

from demo.export import export
from demo.motion.rig import RIG_JOINTS, solve_rig
from demo.video.reader import VideoReader
from tests.conftest import ROOT
from tests.demo.export.results import CASES, late_and_gap, march, result_of
from tests.lifter.motions import walk

pytestmark = pytest.mark.extra
PROGRAMS = Path(__file__).with_name("programs")
LONGEST = 250  # seconds


def needed(variable):
    """The value of an environment variable, or a skip."""
    if variable not in os.environ:
        pytest.skip(f"{variable} is not set: see the top of {Path(__file__).name}")
    return os.environ[variable]


def run(*words):
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=LONGEST, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    return done.stdout


def world_joints(result, person):
    """The rig's joints (T, 20, 3) in the world, which Blender's axes are."""
    x, y, z = np.moveaxis(solve_rig(result.joints_world[person], result.times).positions(), -1, 0)
    return np.stack((x, -z, y), -1)


def two_walkers():
    """Two people for two seconds, the second of which comes later."""
    first = walk(60) + np.random.default_rng(0).normal(0, 0.01, (60, 17, 3)).astype(np.float32)
    second = march(60) + np.float32((1.5, 0.0, 0.0))
    second[:20] = np.nan
    return result_of([first, second])


@pytest.mark.parametrize("kind", ["bvh", "glb", "fbx"])
def test_blender_has_our_joints_within_a_millimetre_in_every_frame(kind, tmp_path):
    blender = needed("BLENDER")
    result = two_walkers()
    files = [file for file in export(result, tmp_path, "clip", [kind]) if file.suffix == f".{kind}"]
    worst = 0.0
    seen = 0
    for file in files:
        run(blender, PROGRAMS / "blender_joints.py", 30, kind, file, tmp_path / "joints.npz")
        with np.load(tmp_path / "joints.npz") as found:
            for name in sorted(key.split("/")[0] for key in found.files if key.endswith("/names")):
                person = int(name.split(".")[0].removesuffix("_mesh")[-1]) - 1
                bones = found[f"{name}/names"].tolist()
                places = found[f"{name}/places"][:, [bones.index(bone) for bone in RIG_JOINTS]]
                expected = world_joints(result, person)
                assert places.shape == expected.shape
                worst = max(worst, float(np.linalg.norm(places - expected, axis=-1).max()))
                seen += 1
    print(f"{kind}: {1000 * worst:.4f} mm")  # noqa: T201
    assert seen == 2
    assert worst < 0.001


@pytest.mark.parametrize("case", [name for name in CASES if not name.startswith("no")])
def test_khronos_validator_finds_nothing(case, tmp_path):
    (file,) = export(CASES[case](), tmp_path, "clip", ["glb"])
    issues = json.loads(run("node", PROGRAMS / "validate_gltf.mjs", needed("NODE_TOOLS"), file))
    assert issues["messages"] == []


def test_opensim_scales_and_runs_inverse_kinematics(tmp_path):
    python, model = needed("OPENSIM_PYTHON"), Path(needed("OPENSIM_MODEL"))
    with np.load(ROOT / "videos" / "sample_truth.npz") as truth:
        joints, times = truth["joints_world"].astype(np.float32)[:90], truth["times"][:90]
    joints[40:43] = np.nan
    export(result_of([joints], times=times), tmp_path, "clip", ["trc"])
    shutil.copy(model, tmp_path / "Model_Pose2Sim_simple.osim")
    frames, mean, _ = map(
        float, run(python, PROGRAMS / "opensim_ik.py", tmp_path, "clip_person1").split()[-3:]
    )
    print(f"IK: {mean:.1f} mm RMS over {frames:.0f} frames")  # noqa: T201
    assert frames >= 87
    assert mean < 25


def test_the_c3d_package_reads_our_c3d(tmp_path):
    python = needed("C3D_PYTHON")
    pytest.importorskip("ezc3d")
    result = late_and_gap()
    (file,) = export(result, tmp_path, "clip", ["c3d"])
    script = (
        "import sys, c3d, numpy as np; reader = c3d.Reader(open(sys.argv[1], 'rb'));"
        "points = np.stack([points for _, points, _ in reader.read_frames()]);"
        "labels = [label.strip() for label in reader.point_labels];"
        "np.savez(sys.argv[2], points=points, rate=reader.point_rate, labels=labels)"
    )
    run(python, "-c", script, file, tmp_path / "read.npz")
    with np.load(tmp_path / "read.npz") as read:
        points, rate, labels = read["points"], float(read["rate"]), read["labels"].tolist()
    assert rate == pytest.approx(30)
    assert labels[0].startswith("person1:pelvis")
    expected = result.joints_world.transpose(1, 0, 2, 3).reshape(31, 34, 3) * 1000
    known = np.isfinite(expected).all(-1)
    assert np.array_equal(points[..., 3] >= 0, known)
    worst = np.abs(points[..., :3] - expected)[known].max()
    print(f"C3D: {worst:.5f} mm")  # noqa: T201
    assert worst < 0.01


@pytest.fixture
def chromium():
    tools, program = needed("NODE_TOOLS"), shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not on the path")

    def open_page(page, out, frames):
        words = (PROGRAMS / "open_viewer.mjs", tools, program, page, out, ",".join(map(str, frames)))
        return json.loads(run("node", *words).splitlines()[-1])

    return open_page


@pytest.mark.parametrize("linked", [False, True], ids=["in the page", "beside the page"])
def test_the_viewer_shows_the_video_in_step_without_any_request(linked, tmp_path, chromium, monkeypatch):
    if linked:
        monkeypatch.setattr("demo.export.viewer.LARGEST_EMBEDDED", 0)
    clip = ROOT / "videos" / "sample.mp4"
    with np.load(ROOT / "videos" / "sample_truth.npz") as truth:
        result = result_of([truth["joints_world"].astype(np.float32)], times=truth["times"])
    page, *beside = export(result, tmp_path, "a #1 clip", ["viewer"], clip)
    assert len(beside) == linked
    assert page.stat().st_size < 2.5e6 * result.times[-1] / 10
    frames = (0, 61, 107, 150, 221)
    seen = chromium(page, tmp_path, frames)
    assert seen["messages"] == []
    assert {Path(unquote(urlsplit(each).path)) for each in seen["requests"]} == {page, *beside}
    assert {urlsplit(each).scheme for each in seen["requests"]} == {"file"}
    with VideoReader(clip) as reader:
        pictures = [frame.image for frame in reader]
    for frame in frames:
        assert seen["frames"][str(frame)]["frame"] == frame
        assert seen["frames"][str(frame)]["figures"] == 1
        shown = cv2.imread(str(tmp_path / f"{frame}.png")).astype(float)
        near = range(max(0, frame - 3), min(len(pictures), frame + 4))
        distance = {
            other: np.abs(
                cv2.resize(pictures[other], shown.shape[1::-1], interpolation=cv2.INTER_AREA) - shown
            ).mean()
            for other in near
        }
        # Of the frames around it the shown picture fits this one best.
        print(frame, {other: round(value, 2) for other, value in distance.items()})  # noqa: T201
        assert min(distance, key=distance.get) == frame
        assert distance[frame] < 6
    assert 10 < seen["played"] < 60
    assert seen["stepped"] == 6
    assert seen["turned"]
    assert seen["turned_back"]
    assert seen["hidden"] == 1
    assert seen["phone_width"] == 390


@pytest.mark.parametrize("case", CASES)
def test_the_viewer_opens_every_case_without_a_video(case, tmp_path, chromium):
    result = CASES[case]()
    (page,) = export(result, tmp_path, "clip", ["viewer"])
    last = max(0, len(result.times) - 1)
    seen = chromium(page, tmp_path, [0, last])
    assert seen["messages"] == []
    assert seen["requests"] == [f"file://{page}"]
    assert seen["phone_width"] == 390


def lit(picture):
    """Where the 3D view is as colourful as a figure in full strength, and in which columns and rows."""
    hue = cv2.cvtColor(cv2.imread(str(picture))[60:-40], cv2.COLOR_BGR2HSV)  # without buttons and captions
    found = (hue[..., 1] > 120) & (hue[..., 2] > 200)
    rows, columns = np.nonzero(found)
    return np.array((columns.min(), columns.max())) / found.shape[1], np.ptp(rows)


def test_each_shot_has_a_view_of_its_own(tmp_path, chromium):
    """The second shot shows a person of twice the size, 40 m further: one view of both shows dots."""
    joints = march(30)
    joints[15:] = 2 * joints[15:] + np.float32((40.0, 0.0, 0.0))
    result = result_of([joints], shot=np.repeat((0, 1), 15).astype(np.int32))
    (page,) = export(result, tmp_path, "clip", ["viewer"])
    assert chromium(page, tmp_path, (7, 22))["messages"] == []
    for frame in (7, 22):
        (left, right), high = lit(tmp_path / f"{frame}_3d.png")
        assert abs((left + right) / 2 - 0.5) < 0.05
        assert high > 150


def test_bystanders_are_faint(tmp_path, chromium):
    worlds = [march(9) - np.float32((0.8, 0, 0)), march(9) + np.float32((0.8, 0, 0))]
    widths = {}
    for name, second in (("main", True), ("bystander", False)):
        result = result_of(worlds, main=np.array((True, second)))
        (page,) = export(result, tmp_path, name, ["viewer"])
        assert chromium(page, tmp_path, (4,))["frames"]["4"]["figures"] == 2
        (left, right), _ = lit(tmp_path / "4_3d.png")
        widths[name] = right - left
    assert widths["main"] > 0.2  # two people in full colours beside each other
    assert widths["bystander"] < 0.1  # one
