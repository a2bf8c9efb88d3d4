"""A keypoint network in ONNX teaches: what it sees reaches HRNet's cells, and HRNet follows."""

import sys
from dataclasses import replace

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch.nn.functional import conv2d
from typer.testing import CliRunner

from common.errors import MissingExtra, WeightsError
from demo.pose.estimator import HeatmapGrid, normalise
from demo.pose.heatmaps import decode
from demo.pose.hrnet import VARIANTS, HRNetConfig, build, load_hrnet
from demo.training.__main__ import app
from demo.training.crops_dataset import load_people
from demo.training.heatmap_loss import heatmap_distillation_loss, heatmaps
from demo.training.pose import PoseTraining, train
from demo.training.pose_distillation import FeatureAdapter, Targets, Teacher, on_grid
from lifter.skeletons import COCO_17
from tests.demo.training.people import figure, write_people

TINY = HRNetConfig(width=8, modules=(1, 1, 1), blocks=1, input_size=(96, 128), alignment="centre")
SIZE = (144, 192)  # of the teacher's crops
CHANNELS = (5, 6, 7)
GENERATOR = np.random.default_rng(0)
KERNELS = {
    "at4": GENERATOR.normal(size=(5, 3, 4, 4), scale=0.2).astype(np.float32),
    "at8": GENERATOR.normal(size=(6, 5, 2, 2), scale=0.4).astype(np.float32),
    "at16": GENERATOR.normal(size=(7, 6, 2, 2), scale=0.4).astype(np.float32),
    "head": GENERATOR.normal(size=(17, 5, 1, 1), scale=0.2).astype(np.float32),
}


def write_teacher(path, strides=(4, 8, 16), batch="N"):
    """Three convolutions, each with a Relu, to the strides 4, 8 and 16; heatmaps off the finest."""
    nodes, seen = [], "image"
    for stride in strides:
        name, side = f"at{stride}", KERNELS[f"at{stride}"].shape[2]
        nodes.append(helper.make_node("Conv", [seen, name], [f"{name}_in"], strides=[side, side]))
        nodes.append(helper.make_node("Relu", [f"{name}_in"], [f"{name}_out"]))
        seen = f"{name}_out"
    nodes.append(helper.make_node("Conv", ["at4_out", "head"], ["heatmap"]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (batch, 3, SIZE[1], SIZE[0]))
    shape = (batch, 17, SIZE[1] // 4, SIZE[0] // 4)
    heatmap = helper.make_tensor_value_info("heatmap", TensorProto.FLOAT, shape)
    kernels = [onnx.numpy_helper.from_array(kernel, name) for name, kernel in KERNELS.items()]
    graph = helper.make_graph(nodes, "pose", [image], [heatmap], kernels)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory):
    return write_teacher(tmp_path_factory.mktemp("teacher") / "teacher.onnx")


@pytest.fixture(scope="module")
def teacher(teacher_file):
    return Teacher(teacher_file)


def crops(count):
    generator = np.random.default_rng(1)
    return [figure(generator, SIZE)[0] for _ in range(count)]


def test_a_teacher_returns_its_heatmaps_and_its_last_activations(teacher):
    assert teacher.input_size == SIZE
    assert tuple(teacher.channels) == CHANNELS
    pictures = crops(6)  # more than go into one call
    targets = teacher(pictures)
    seen, expected = torch.from_numpy(normalise(np.stack(pictures))), []
    for name in ("at4", "at8", "at16"):
        kernel = torch.from_numpy(KERNELS[name])
        seen = conv2d(seen, kernel, stride=kernel.shape[2]).relu()
        expected.append(seen)
    for found, wanted in zip(targets.features, expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_a_teacher_averages_the_mirror_image(teacher):
    """Cells of both lie on each other: cell i of a mirror image, moved by 3 pixels, is cell -1 - i."""
    pictures = crops(2)
    mirrored = [cv2.warpAffine(p[:, ::-1], np.eye(2, 3) - [[0, 0, 3], [0, 0, 0]], SIZE) for p in pictures]
    expected = 0.0
    for each, back in ((pictures, False), (mirrored, True)):
        inputs = torch.from_numpy(normalise(np.stack(each)))
        seen = conv2d(inputs, torch.from_numpy(KERNELS["at4"]), stride=4).relu()
        heatmap = conv2d(seen, torch.from_numpy(KERNELS["head"]))
        expected = expected + 0.5 * (heatmap[:, COCO_17.mirror].flip(-1) if back else heatmap)
    # the first column depends on pixels beyond the edge
    torch.testing.assert_close(teacher(pictures).heatmaps[..., 1:], expected[..., 1:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("alignment", ["centre", "index", "corner"])
@pytest.mark.parametrize("size", [(96, 128), (120, 160), (144, 192)])
def test_a_joint_stays_in_its_place_on_the_cells_of_another_network(alignment, size):
    theirs = HRNetConfig(width=8, input_size=(192, 256), alignment="index")
    own = HRNetConfig(width=8, input_size=size, alignment=alignment)
    keypoints = np.random.default_rng(0).uniform((25, 25), (165, 230), (3, 17, 2)).astype(np.float32)
    features = tuple(torch.zeros(3, 4, 256 // stride, 192 // stride) for stride in (4, 8, 16))
    drawn = heatmaps(torch.from_numpy(keypoints), theirs)
    targets = on_grid(Targets(drawn, features), theirs.input_size, own)
    found = decode(targets.heatmaps.numpy(), "dark")
    for axis in (0, 1):
        grid = HeatmapGrid.of(alignment, size[axis], size[axis] // 4)
        wanted = (keypoints[..., axis] + 0.5) * size[axis] / theirs.input_size[axis] - 0.5
        np.testing.assert_allclose(grid.to_crop(found[..., axis]), wanted, atol=0.3)
    with torch.no_grad():
        branches = build(own).eval().stages(torch.zeros(1, 3, *size[::-1]))
    own_sizes = [branches[-1][0].shape[2:], *(each.shape[2:] for each in branches[-2][1:])]
    assert [each.shape[2:] for each in targets.features] == own_sizes


def test_the_loss_is_least_at_the_teachers_heatmaps():
    def drawn(x):
        return heatmaps(torch.tensor([[[x, 60.0]] * 17]), TINY)

    wanted = 0.6 * drawn(40.0)
    losses = [
        heatmap_distillation_loss(found, wanted).item()
        for found in (wanted, 0.6 * drawn(44.0), 0.6 * drawn(80.0))
    ]
    assert losses == sorted(losses)
    assert losses[0] < heatmap_distillation_loss(torch.zeros_like(wanted), wanted).item()
    assert (
        losses[0] < heatmap_distillation_loss(drawn(40.0), wanted).item()
    )  # nor is it to be surer than the teacher


def test_branches_learn_the_teachers_features(teacher):
    torch.manual_seed(0)
    network = build(TINY)
    adapter = FeatureAdapter(network, teacher.channels)
    targets = on_grid(teacher(crops(4)), teacher.input_size, TINY)
    pictures = [cv2.resize(each, TINY.input_size) for each in crops(4)]
    inputs = torch.from_numpy(normalise(np.stack(pictures)))
    optimizer = torch.optim.Adam([*network.parameters(), *adapter.parameters()], lr=0.01)
    unlike = []
    for _ in range(12):
        loss = adapter(network.train().stages(inputs), targets.features)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        unlike.append(loss.item())
    assert unlike[-1] < 0.7 * unlike[0]


def test_a_pupil_needs_no_labels(teacher, tmp_path):
    """The loss falls although no joints are labelled."""
    folder = write_people(tmp_path / "people", train=8, val=2)
    people = load_people([folder], "train")
    unlabelled = replace(people, keypoints=np.zeros_like(people.keypoints))
    settings = PoseTraining(steps=40, batch=4, warmup=5, learning_rate=4e-3, sizes=((1.0, 1.0),))
    torch.manual_seed(0)
    states = list(
        train(
            build(TINY),
            TINY,
            unlabelled,
            load_people([folder], "val"),
            tmp_path / "run",
            settings,
            None,
            teacher,
        )
    )
    first, last = ([state.loss for state in part] for part in (states[:8], states[-8:]))
    assert sum(last) < 0.8 * sum(first)


def test_faces_are_covered_for_the_pupil_alone(teacher, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "demo.training.pose.with_covered_heads", lambda pictures, *_: [np.zeros_like(p) for p in pictures]
    )
    folder = write_people(tmp_path / "people", train=4, val=2)
    people, held_out = (load_people([folder], split) for split in ("train", "val"))
    network, seen, shown = build(TINY), [], []
    network.conv1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    call = Teacher.__call__
    monkeypatch.setattr(Teacher, "__call__", lambda self, crops: (shown.extend(crops), call(self, crops))[1])
    steps = train(network, TINY, people, held_out, tmp_path / "run", PoseTraining(2, 4), None, teacher)
    seen.clear()  # the adapter's calls
    next(steps)
    assert min(np.ptp(each) for each in shown) > 50
    assert np.ptp(seen[-1].numpy(), axis=(0, 2, 3)).max() == 0


def test_the_command_writes_hrnet_alone(teacher_file, tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "tiny", TINY)
    people = str(write_people(tmp_path / "people", train=4, val=2))
    flags = ["--variant", "tiny", "--steps", "1", "--batch", "2", "--teacher", str(teacher_file)]
    done = CliRunner().invoke(app, ["pose", "--data", people, "--out", str(tmp_path / "run"), *flags])
    assert done.exit_code == 0, done.output
    assert load_hrnet(tmp_path / "run" / "hrnet.safetensors")[1] == TINY


def test_an_unsuitable_teacher_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.onnx").write_bytes(b"no model")
    with pytest.raises(WeightsError, match=r"a\.onnx cannot be read"):
        Teacher(tmp_path / "a.onnx")
    with pytest.raises(WeightsError, match=r"b\.onnx has no activations"):
        Teacher(write_teacher(tmp_path / "b.onnx", strides=(4, 8)))
    with pytest.raises(WeightsError, match=r"c\.onnx takes a fixed number"):
        Teacher(write_teacher(tmp_path / "c.onnx", batch=1))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"requirements-train\.txt"):
        Teacher(tmp_path / "a.onnx")
