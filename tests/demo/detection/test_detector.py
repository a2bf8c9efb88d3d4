"""The detector finds people, and refuses files that could execute code."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InputMissing, WeightsError
from demo.boxes import iou
from demo.detection.detector import PersonDetector, load_detector, yolo_source
from demo.detection.ultralytics_files import check_checkpoint, ultralytics_offline
from demo.types import Image

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def standin(shared: Path) -> Path:
    return shared / "weights" / "yolo11n-standin.pt"


@pytest.fixture(scope="module")
def detector(standin: Path) -> PersonDetector:
    return load_detector(standin, "cpu", batch=3)


def first_frame(path: Path) -> Image:
    read, image = cv2.VideoCapture(str(path)).read()
    assert read
    return np.asarray(image, np.uint8)


@pytest.fixture(scope="module")
def frames(shared: Path) -> list[Image]:
    """The first frame of each of the four views (portrait, 1920 x 1080 or 1088)."""
    return [first_frame(shared / "videos" / "fourviews" / f"cam0{view}.mp4") for view in (1, 2, 3, 4)]


def test_box_holds_the_reference_keypoints(detector, frames, shared):
    keypoints = np.load(shared / "videos" / "fourviews" / "reference_coco17_60fps.npz")["kp2d"]
    views = keypoints.shape.index(4)
    for view, found in enumerate(detector.detect(frames)):
        joints = np.take(keypoints, view, axis=views)[0, :, :2]
        x1, y1, x2, y2 = found.boxes[0]
        assert found.boxes.dtype == found.scores.dtype == np.float32
        inside = (joints > (x1, y1)).all(1) & (joints < (x2, y2)).all(1)
        assert inside.sum() >= 16, f"view {view + 1}: {inside.sum()} of 17 joints inside"
        spread = np.ptp(joints, axis=0)
        assert (np.array([x2 - x1, y2 - y1]) < 1.6 * spread + 60).all()  # and is no larger than needed
        assert found.scores[0] > 0.8
        assert (np.diff(found.scores) <= 0).all()


def test_batches_change_nothing(detector, frames):
    together = detector.detect([*frames, frames[0][:900]])  # sizes mixed, more than one batch
    for image, found in zip([*frames, frames[0][:900]], together, strict=True):
        alone = detector.detect([image])[0]
        strong = alone.scores > 0.5
        assert strong.sum() == (found.scores > 0.5).sum()
        np.testing.assert_allclose(found.boxes[: strong.sum()], alone.boxes[strong], atol=12)


@pytest.mark.parametrize("size", [(480, 640), (1, 1), (700, 1), (2, 3000)])
def test_pictures_without_people(detector, size):
    (found,) = detector.detect([np.zeros((*size, 3), np.uint8)])
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == (0,)


def test_crops_give_the_same_person_in_the_same_pixels(detector, frames):
    whole = detector.detect(frames[:1])[0].boxes[0]
    beyond = np.float32([-300, -300, -100, -50])  # outside the picture
    near, nothing = detector.detect_in_crops(
        frames[0], np.stack([whole + np.float32([20, -15, 20, -15]), beyond])
    )
    assert iou(near.boxes[0].astype(np.float64), whole.astype(np.float64)) > 0.8
    assert len(nothing.boxes) == 0
    height, width = frames[0].shape[:2]
    assert (near.boxes >= 0).all() and (near.boxes <= [width, height, width, height]).all()


def test_no_frames(detector):
    assert detector.detect([]) == []


def test_confidence_cuts_weak_boxes(standin, frames):
    strict = load_detector(standin, "cpu", confidence=0.7)
    assert all(found.scores.min() >= 0.7 for found in strict.detect(frames))


def test_shut_off_from_home_network_and_terminal(standin, tmp_path):
    script = f"""
import socket, sys
def refuse(*args): raise OSError("the network was used")
socket.socket.connect = socket.getaddrinfo = refuse
import numpy as np, pathlib, demo.detection.detector
assert "ultralytics" not in sys.modules
before = np.get_printoptions()
detector = demo.detection.detector.load_detector(pathlib.Path({str(standin)!r}), "cpu")
found = detector.detect([np.zeros((64, 64, 3), np.uint8)])
assert found[0].boxes.shape == (0, 4) and np.get_printoptions() == before
"""
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / ".config")}
    environment |= {"TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # matplotlib, torch and fontconfig may keep caches; ultralytics must leave nothing anywhere
    assert [path for path in tmp_path.rglob("*") if "ultralytics" in path.name.lower()] == []


class Evil:
    """Unpickling it calls `function(*arguments)`."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


def checkpoint(path: Path, data: bytes, name: str = "archive/data.pkl") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/version", "3\n")
        archive.writestr(name, data)
    return path


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", ["archive/data.pkl", "archive/DATA.PKL"])
def test_a_malicious_pickle_is_named_and_does_not_run(tmp_path, protocol, name):
    witness = tmp_path / "witness"
    data = pickle.dumps({"model": Evil(os.system, f"touch {witness}")}, protocol)
    path = checkpoint(tmp_path / "evil.pt", data, name)
    with pytest.raises(WeightsError, match=rf"evil\.pt: refused.*{os.system.__module__}\.system"):
        load_detector(path, "cpu")
    assert not witness.exists()
    pickle.loads(data)  # the trap does work
    assert witness.exists()


@pytest.mark.parametrize(
    "line",
    [
        "builtins eval", "builtins getattr", "__builtin__ exec", "torch load", "torch.hub load", "os system",
        "ultralytics.nn.tasks torch_safe_load", "ultralytics.nn.tasks YAML.save", "collections sys",
        "ultralytics.utils.loss os.system", "torch.nn.modules.conv torch.hub.load",
    ],
)  # fmt: skip
def test_globals_outside_the_list(tmp_path, line):
    path = checkpoint(tmp_path / "x.pt", b"\x80\x02c" + line.replace(" ", "\n").encode() + b"\n.")
    with pytest.raises(WeightsError, match=line.replace(" ", ".").replace(".", r"\.")):
        check_checkpoint(path)


def test_globals_of_a_trained_detector_pass(tmp_path):
    lines = [
        "ultralytics.nn.tasks DetectionModel", "ultralytics.nn.modules.head Detect", "torch Size",
        "torch.nn.modules.conv Conv2d", "torch._utils _rebuild_tensor_v2", "torch HalfStorage",
        "collections OrderedDict", "__builtin__ set", "ultralytics.utils.loss v8DetectionLoss",
        "ultralytics.utils.tal TaskAlignedAssigner", "numpy._core.multiarray scalar", "torch float16",
    ]  # fmt: skip
    data = b"\x80\x02" + b"".join(b"c" + line.replace(" ", "\n").encode() + b"\n0" for line in lines) + b"N."
    check_checkpoint(checkpoint(tmp_path / "x.pt", data))


def test_damaged_files(standin, tmp_path):
    whole = standin.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    path = tmp_path / "x.pt"
    for damaged in (b"", b"not a checkpoint", whole[: len(whole) // 2], whole[:-30], bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(WeightsError, match=r"x\.pt: damaged"):
            load_detector(path, "cpu")


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


SMALL = saved({"weight": torch.arange(6.0)})


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, len(SMALL) - 1), value=st.integers(0, 255), cut=st.booleans())
def test_any_damage_is_explained(tmp_path_factory, place, value, cut):
    path = tmp_path_factory.getbasetemp() / "fuzzed.pt"
    data = bytearray(SMALL)
    data[place] = value
    path.write_bytes(data[:place] if cut else data)
    try:
        check_checkpoint(path)
    except WeightsError as error:
        assert str(path) in str(error)
    else:
        assert not cut


def test_files_that_are_no_detectors(tmp_path):
    with pytest.raises(InputMissing, match=r"none\.pt"):
        load_detector(tmp_path / "none.pt", "cpu")
    (tmp_path / "x.onnx").write_bytes(b"onnx")
    with pytest.raises(WeightsError, match=r"a detector is a \.pt file"):
        load_detector(tmp_path / "x.onnx", "cpu")
    for content in ({"weight": torch.zeros(2)}, torch.zeros(2), {"model": torch.nn.Linear(2, 2)}):
        path = tmp_path / "x.pt"
        path.write_bytes(saved(content))
        with pytest.raises(WeightsError, match=r"x\.pt: "):
            load_detector(path, "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_half_precision_on_a_gpu_agrees_with_the_cpu(standin, detector, frames):
    for half, full in zip(
        load_detector(standin, "cuda").detect(frames), detector.detect(frames), strict=True
    ):
        np.testing.assert_allclose(half.boxes[0], full.boxes[0], atol=8)


def test_other_networks_keep_their_threads(standin):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        load_detector(standin, "cpu").detect([np.zeros((96, 128, 3), np.uint8)])
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def sample() -> list[Image]:
    return [first_frame(ROOT / "videos" / "sample.mp4")]


SHIPPED = ROOT / "weights" / "yolo-person.pt"


@pytest.fixture(scope="module")
def old_way() -> object:
    """The shipped detector through ultralytics' own predictor."""
    ultralytics_offline()
    from ultralytics import YOLO

    return YOLO(str(SHIPPED), task="detect")


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", "openvino"])
@pytest.mark.parametrize("size", [(960, 540), (300, 520), (511, 512)])
def test_every_runtime_finds_the_boxes_of_ultralytics(old_way, sample, runtime, size):
    image = cv2.resize(sample[0], size)
    options = {"classes": [0], "conf": 0.03, "iou": 0.6, "imgsz": 512, "rect": True, "verbose": False}
    theirs = old_way.predict([image], device="cpu", **options)[0].boxes
    (ours,) = load_detector(SHIPPED, "cpu", runtime=runtime).detect([image])
    assert len(ours.boxes) == len(theirs) >= 1
    order = np.argsort(-theirs.conf.numpy(), kind="stable")
    for box, score, row in zip(ours.boxes, ours.scores, order, strict=True):
        assert iou(box.astype(np.float64), theirs.xyxy[row].double().numpy()) > 0.98
        assert abs(score - float(theirs.conf[row])) < 0.02


def test_an_exported_detector_needs_neither_ultralytics_nor_torch(sample):
    load_detector(SHIPPED, "cpu", runtime="openvino")
    script = f"""
import sys, cv2, pathlib
from demo.detection.detector import load_detector
detector = load_detector(pathlib.Path({str(SHIPPED)!r}), "cpu", runtime="openvino")
image = cv2.VideoCapture({str(ROOT / "videos" / "sample.mp4")!r}).read()[1]
assert len(detector.detect([image])[0].boxes) == 1
heavy = ("torch", "torchvision", "ultralytics", "sympy", "triton", "matplotlib", "scipy.signal", "onnx")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def people(*scores, moved=0.0):
    """Answers (n, 5) of the runtimes' test: boxes of 100 pixels side by side, and their scores."""
    left = 200.0 * np.arange(len(scores)) + moved
    return np.stack([left, 0 * left, left + 100, 0 * left + 100, np.array(scores)], 1).astype(np.float32)


@pytest.mark.parametrize(
    ("ours", "agrees"),
    [
        (people(0.5, 0.9), True),
        (people(0.5, 0.9, moved=2.5), True),  # IoU 97.5 / 102.5 = .951
        (people(0.5, 0.9, moved=2.6), False),  # .949
        (people(0.549, 0.9), True),
        (people(0.551, 0.9), False),
        (people(0.5), False),
    ],
)
def test_runtimes_agree_when_they_find_the_same_people(ours, agrees):
    assert (yolo_source(Path("any.pt")).difference(people(0.5, 0.9), ours) == "") == agrees


@pytest.mark.parametrize(("score", "counts"), [(0.26, 1), (0.24, 0)])
def test_runtimes_are_compared_by_people_with_a_clear_score(score, counts):
    source = yolo_source(Path("any.pt"))
    meta = {"image_size": 64}
    height, width = source.example(meta).shape[2:]
    cells = sum((height // stride) * (width // stride) for stride in (8, 16, 32))
    logits = np.full((1, cells), -30, np.float32)
    logits[0, 0] = np.log(score / (1 - score))
    assert len(source.answer(meta, (np.ones((1, 4, cells), np.float32), logits))) == counts
