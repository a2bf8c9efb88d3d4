"""The keypoint stage: geometry, batching, mirroring, and a real network on real people."""

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from common.errors import InputMissing, MissingExtra, WeightsError
from common.runtimes.torch_runtime import TorchRuntime
from demo.pose import estimator as pose2d
from demo.pose.estimator import HeatmapGrid, PoseEstimator, load_pose, normalise
from demo.pose.hrnet import HRNetConfig, build, save_hrnet
from demo.pose.networks import HeatmapNetwork, OnnxNetwork, hrnet_source

SIZE = (192, 256)
finite = st.floats(-500, 2000)


class Beacon:
    """A heatmap network made by hand: joint j responds to blobs of brightness 50 + 10 j, on any grid.

    The blobs are drawn as the Gaussian of the heatmap itself, so a cell samples the crop at its centre.
    """

    def __init__(self, alignment="index", joints=17):
        self.alignment = alignment
        self.sizes = []

    def __call__(self, crops):
        self.sizes.append(len(crops))
        red = crops[:, 0] * 0.229 + 0.485
        height, width = red.shape[1:]
        columns, rows = (HeatmapGrid.of(self.alignment, side, side // 4) for side in (width, height))
        x = columns.to_crop(np.arange(width // 4, dtype=np.float32))
        y = rows.to_crop(np.arange(height // 4, dtype=np.float32))
        grid = np.meshgrid(x, y)
        maps = [cv2.remap(image, *grid, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for image in red]
        return np.repeat(np.stack(maps)[:, None], 17, axis=1).astype(np.float32)


def picture_of_a_blob(x, y, sigma, width=640, height=480):
    rows, columns = np.mgrid[:height, :width]
    blob = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.repeat(blob.round().astype(np.uint8)[..., None], 3, axis=2)


def test_window_by_hand():
    # 100 wide, 300 high: width grows to 300 * 3/4 = 225, both by 1.25; the centre (150, 250) stays
    tall = pose2d.crop_windows(np.float32([[100, 100, 200, 400]]), SIZE)
    np.testing.assert_allclose(tall, [[150 - 140.625, 250 - 187.5, 281.25, 375]])
    # 300 wide, 100 high: height grows to 400
    wide = pose2d.crop_windows(np.float32([[100, 100, 400, 200]]), SIZE)
    np.testing.assert_allclose(wide, [[250 - 187.5, 150 - 250, 375, 500]])


def test_window_matches_the_aspect_the_classic_demo_intended(shared):
    reference = np.load(shared / "vectors" / "demo_pipeline_seed0.npz")
    windows = pose2d.crop_windows(reference["box/boxes"], (288, 384))
    centre = reference["box/model_aspect_288x384/center"]
    size = 200 * reference["box/model_aspect_288x384/scale"]
    np.testing.assert_allclose(windows, np.concatenate([centre - size / 2, size], axis=1), rtol=1e-5)


def test_edges_of_the_window_are_edges_of_the_crop():
    window = np.array([100.0, 50.0, 96.0, 128.0])  # zoom 2: a picture pixel becomes 2x2 crop pixels
    # the middle of picture pixel 100 is between the crop's first two pixels
    np.testing.assert_allclose(pose2d.to_crop(np.array([100.0, 50.0]), window, SIZE), [0.5, 0.5])
    # the left and upper edge of the window is half a pixel before the first
    np.testing.assert_allclose(pose2d.to_crop(np.array([99.5, 49.5]), window, SIZE), [-0.5, -0.5])


@given(x=finite, y=finite, left=finite, top=finite, width=st.floats(1, 3000))
def test_to_crop_and_back(x, y, left, top, width):
    window = np.array([left, top, width, width * 4 / 3])
    point = np.array([x, y])
    back = pose2d.to_picture(pose2d.to_crop(point, window, SIZE), window, SIZE)
    np.testing.assert_allclose(back, point, atol=1e-6)


def test_crop_at_zoom_one_is_a_cut_out_and_black_outside():
    image = np.random.default_rng(0).integers(1, 255, (300, 300, 3), dtype=np.uint8)
    cut = pose2d.crop(image, np.array([20.0, 10.0, 192.0, 256.0]), SIZE)
    np.testing.assert_array_equal(cut, image[10:266, 20:212])
    over = pose2d.crop(image, np.array([-50.0, 0.0, 192.0, 256.0]), SIZE)
    assert not over[:, :50].any()
    np.testing.assert_array_equal(over[:, 50:], image[:256, :142])


def test_normalise_turns_bgr_into_imagenet_rgb():
    red = np.zeros((1, 2, 2, 3), np.uint8)
    red[..., 2] = 255
    channels = normalise(red)[0, :, 0, 0]
    np.testing.assert_allclose(channels, [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    x=st.floats(200, 440),
    y=st.floats(180, 300),
    height=st.floats(150, 420),
    alignment=st.sampled_from(["index", "centre", "corner"]),
    flip=st.booleans(),
)
def test_a_blob_is_found_where_it_is(x, y, height, alignment, flip):
    box = np.float32([[x - 40, y - height / 2 + 11, x + 55, y + height / 2 + 11]])
    cell = pose2d.crop_windows(box, SIZE)[0, 3] / 64  # a heatmap cell in picture pixels
    image = picture_of_a_blob(x, y, sigma=2 * cell)
    estimator = PoseEstimator(Beacon(alignment), SIZE, flip, alignment=alignment)
    (found,) = estimator.estimate([(image, box)])
    assert np.abs(found[0, :, :2] - [x, y]).max() < 0.1 * cell


def test_the_wrong_grid_is_noticed():
    image = picture_of_a_blob(320, 240, sigma=10)
    box = np.float32([[220, 90, 420, 390]])
    found = PoseEstimator(Beacon("index"), SIZE, alignment="centre").estimate([(image, box)])[0]
    # three half crop pixels, at 375 / 256 picture pixels each
    np.testing.assert_allclose(found[0, 0, :2] - [320, 240], 1.5 * 375 / 256, atol=0.15)


def test_the_shift_of_the_mirror_image():
    assert HeatmapGrid.of("index", 192, 48).mirror_shift(192, 48) == 3
    assert HeatmapGrid.of("centre", 192, 48).mirror_shift(192, 48) == 0
    assert HeatmapGrid.of("corner", 192, 48).mirror_shift(192, 48) == 0
    batch = np.arange(12, dtype=np.float32).reshape(1, 1, 2, 6)
    assert pose2d.mirror(batch, 2)[0, 0, 0].tolist() == [3, 2, 1, 0, 0, 0]


class Sided:
    """Distinguishes left from right by brightness: joint 5 (left shoulder) is the bright half's blob."""

    def __call__(self, crops):
        maps = np.zeros((len(crops), 17, 64, 48), np.float32)
        for crop, person in zip(crops, maps, strict=True):
            bright = crop[0, :, :96].mean() > crop[0, :, 96:].mean()  # bright half on the left of the crop
            person[5, 30, 10 if bright else 37] = 1
            person[6, 30, 37 if bright else 10] = 1
        return maps


def test_flip_test_swaps_left_and_right():
    image = np.zeros((256, 192, 3), np.uint8)
    image[:, :96] = 200
    box = np.float32([[19.2, 25.6, 172.8, 230.4]])  # x1.25 is the whole picture
    plain, flipped = (
        PoseEstimator(Sided(), SIZE, flip, alignment="centre").estimate([(image, box)])[0]
        for flip in (False, True)
    )
    # The network finds joint 5 on the bright side. Mirrored, that is the other side, so swapped back it is
    # joint 6: the two estimates must fall on different joints, half each.
    assert plain[0, 5, 2] == 1
    assert flipped[0, 5, 2] == pytest.approx(0.5)
    assert flipped[0, 6, 2] == pytest.approx(0.5)


def test_many_pictures_are_one_stream_of_batches():
    network = Beacon()
    places = [(200, 200), (320, 240), (420, 260)]
    image = np.maximum.reduce([picture_of_a_blob(*place, sigma=8) for place in places])
    boxes = np.float32([[x - 60, y - 80, x + 60, y + 80] for x, y in places])
    items = [(image, boxes[:2]), (image, boxes[:0]), (image, boxes[2:]), (image, boxes)]
    found = PoseEstimator(network, SIZE, batch_size=4).estimate(items)
    assert network.sizes == [4, 2]
    assert [len(people) for people in found] == [2, 0, 1, 3]
    assert all(people.shape[1:] == (17, 3) and people.dtype == np.float32 for people in found)
    np.testing.assert_allclose(np.concatenate(found[:3]), found[3], atol=1e-4)
    np.testing.assert_allclose(found[3][:, 0, :2], places, atol=0.3)


@pytest.mark.parametrize(
    "bad",
    [
        [np.nan, 0, 10, 10], [0, 0, np.inf, 10], [50, 50, 50, 90], [90, 90, 50, 50],
        [700, 10, 800, 90], [-90, 10, -5, 90], [10, 500, 90, 600],
    ],
)  # fmt: skip
def test_boxes_without_a_person_in_the_picture_are_missing(bad):
    image = picture_of_a_blob(320, 240, sigma=10)
    good = [220, 90, 420, 390]
    found = PoseEstimator(Beacon(), SIZE).estimate([(image, np.float32([bad, good]))])[0]
    assert np.isnan(found[0, :, :2]).all()
    assert not found[0, :, 2].any()
    assert np.isfinite(found[1]).all()


def test_no_pictures():
    assert PoseEstimator(Beacon(), SIZE).estimate([]) == []


def onnx_file(path, inputs=("N", 3, 64, 48), joints=17, kind=TensorProto.FLOAT):
    """A model whose every joint is the mean colour, 4x4 pooled."""
    nodes = [
        helper.make_node("AveragePool", ["image"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Conv", ["small", "kernel"], ["heatmap"]),
    ]
    kernel = helper.make_tensor("kernel", TensorProto.FLOAT, (joints, 3, 1, 1), np.full(joints * 3, 1 / 3))
    image = helper.make_tensor_value_info("image", kind, inputs)
    heatmap = helper.make_tensor_value_info("heatmap", TensorProto.FLOAT, (inputs[0], joints, 16, 12))
    graph = helper.make_graph(nodes, "pose", [image], [heatmap], [kernel])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("batch", ["N", 1, 2])
def test_onnx_models_of_any_batch_size(tmp_path, batch):
    network = OnnxNetwork(onnx_file(tmp_path / "a.onnx", (batch, 3, 64, 48)), "cpu")
    assert network.input_size == (48, 64)
    crops = np.random.default_rng(0).normal(size=(3, 3, 64, 48)).astype(np.float32)
    wanted = crops.mean(1).reshape(3, 16, 4, 12, 4).mean((2, 4))
    found = network(crops)
    assert found.shape == (3, 17, 16, 12)
    np.testing.assert_allclose(found[:, 5], wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"joints": 21}, "COCO-17"),
        ({"inputs": ("N", 3, "H", "W")}, "fixed size"),
    ],
)
def test_onnx_models_of_another_kind_are_refused(tmp_path, options, words):
    with pytest.raises(WeightsError, match=words):
        load_pose(onnx_file(tmp_path / "a.onnx", **options), "cpu")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no model")
    with pytest.raises(WeightsError, match=r"a\.onnx"):
        load_pose(tmp_path / "a.onnx", "cpu")
    with pytest.raises(InputMissing, match=r"b\.pth"):
        load_pose(tmp_path / "b.pth", "cpu")


def test_onnxruntime_is_asked_for_when_absent(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match="onnxruntime"):
        load_pose(onnx_file(tmp_path / "a.onnx"), "cpu")


def test_hrnet_weights_become_an_estimator(tmp_path):
    torch.manual_seed(0)
    config = HRNetConfig(4, (1, 1, 1), input_size=(96, 128))
    save_hrnet(build(config), config, tmp_path / "a.safetensors")
    image = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    box = np.float32([[50, 20, 150, 180]])
    (found,) = load_pose(tmp_path / "a.safetensors", "cpu").estimate([(image, box)])
    assert found.shape == (1, 17, 3)
    five = HRNetConfig(4, (1, 1, 1), joints=5)
    save_hrnet(build(five), five, tmp_path / "five.safetensors")
    with pytest.raises(WeightsError, match="5 joints"):
        load_pose(tmp_path / "five.safetensors", "cpu")


def test_torch_network_gives_what_the_model_gives():
    torch.manual_seed(0)
    model = build(HRNetConfig(4, (1, 1, 1), input_size=(96, 128))).eval()
    crops = torch.randn(2, 3, 128, 96)
    with torch.inference_mode():
        wanted = model(crops).numpy()
    found = HeatmapNetwork(TorchRuntime(model, "cpu"), (96, 128))(crops.numpy())
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_half_precision_on_a_gpu_is_close():
    torch.manual_seed(0)
    model = build(HRNetConfig(4, (1, 1, 1), input_size=(96, 128)))
    crops = np.random.default_rng(0).normal(size=(2, 3, 128, 96)).astype(np.float32)
    exact = HeatmapNetwork(TorchRuntime(model, "cuda", "float32"), (96, 128))(crops)
    half = HeatmapNetwork(TorchRuntime(model, "cuda"), (96, 128))(crops)
    assert np.abs(half - exact).max() < 0.02 * np.abs(exact).max()


def test_people_of_coco_are_found(shared):
    """Joints of well labelled people, by the stand-in network: 9 of 10 within a tenth of the box."""
    folder = shared / "people" / "test"
    content = json.loads((folder / "person_keypoints.json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    people = [person for person in content["annotations"] if person["num_keypoints"] >= 12][::2]
    items = []
    for person in people:
        x, y, width, height = person["bbox"]
        image = cv2.imread(str(folder / "images" / names[person["image_id"]]))
        items.append((image, np.float32([[x, y, x + width, y + height]])))
    found = np.concatenate(load_pose(shared / "weights" / "tinypose_256x192.onnx", "cpu").estimate(items))
    truth = np.array([person["keypoints"] for person in people]).reshape(-1, 17, 3)
    reach = np.array([0.1 * max(person["bbox"][2:]) for person in people])
    near = np.linalg.norm(found[..., :2] - truth[..., :2], axis=-1) < reach[:, None]
    assert near[truth[..., 2] > 0].mean() > 0.9


def peaks(count=17, height=0.9):
    """An answer (17, 3) of the runtimes' test: a body of 100 cells, `count` joints above the height."""
    found = np.zeros((17, 3), np.float32)
    found[:, 1] = np.linspace(0, 100, 17)
    found[:, 2] = np.where(np.arange(17)[::-1] < count, height, 0.1)
    return found


@pytest.mark.parametrize(
    ("expected", "moved", "agrees"),
    [
        (peaks(), 1.9, True),  # of 100
        (peaks(), 2.1, False),
        (peaks(), np.nan, False),
        (peaks(height=0.31), 50, False),
        (peaks(16), 50, True),  # of the joint that is not clear
        (peaks(height=0.29), 0, False),  # nothing to compare
        (peaks(8), 0, True),
        (peaks(7), 0, False),
    ],
)
def test_runtimes_agree_when_they_find_the_same_joints(expected, moved, agrees):
    ours = expected.copy()
    ours[0, 0] += moved
    assert (hrnet_source(Path("any.pth")).difference(expected, ours) == "") == agrees
