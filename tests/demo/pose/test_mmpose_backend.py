"""MMPose as a keypoint stage, and our HRNet held against MMPose's. The last part needs `make mmpose`."""

import numpy as np
import pytest
import torch

from common.errors import InputMissing, MissingExtra, WeightsError
from common.runtimes.torch_runtime import TorchRuntime
from demo.pose.estimator import PoseEstimator, crop_windows, load_pose, to_crop
from demo.pose.hrnet import load_hrnet
from demo.pose.networks import HeatmapNetwork

CONFIG = "td-hm_hrnet-w32_8xb64-210e_coco-256x192"


def test_without_mmpose_the_message_names_the_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mmpose", None)
    with pytest.raises(MissingExtra, match="make mmpose"):
        load_pose(f"mmpose:{CONFIG}", "cpu")


@pytest.fixture(scope="module")
def mmpose_model():
    pytest.importorskip("mmpose", reason="MMPose is not installed: make mmpose")
    torch.manual_seed(0)
    model = load_pose(f"mmpose:{CONFIG}", "cpu")._model
    # running means and variances that are not 0 and 1, and heatmaps that are not flat
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)
        elif isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return model.eval()


@pytest.fixture(scope="module")
def checkpoint(mmpose_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("mmpose") / "hrnet_w32_256x192.pth"
    torch.save({"meta": {"log": np.arange(3.0)}, "state_dict": mmpose_model.state_dict()}, path)
    return path


@pytest.mark.extra
def test_heatmaps_are_those_of_mmpose(mmpose_model, checkpoint):
    model, config = load_hrnet(checkpoint)
    assert (config.width, config.modules, config.input_size) == (32, (1, 4, 3), (192, 256))
    crop = torch.randn(1, 3, 256, 192)
    with torch.inference_mode():
        wanted = mmpose_model.head(mmpose_model.backbone(crop))
        found = model(crop)
    assert wanted.std() > 0
    assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()


@pytest.mark.extra
def test_keypoints_are_those_of_mmpose(checkpoint):
    """From boxes to keypoints. At zoom 1 both crops are the same pixels."""
    image = np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    centres, half = np.float32([[200, 180], [150, 210]]), np.float32([192 / 2.5, 256 / 2.5])
    boxes = np.concatenate([centres - half, centres + half], axis=1)
    with_nan = np.insert(boxes, 1, np.nan, axis=0)
    theirs, empty = load_pose(f"mmpose:{CONFIG}:{checkpoint}", "cpu").estimate(
        [(image, with_nan), (image, boxes[:0])]
    )
    model, config = load_hrnet(checkpoint)
    network = HeatmapNetwork(TorchRuntime(model, "cpu"), config.input_size)
    (ours,) = PoseEstimator(network, config.input_size, decoding="quarter").estimate([(image, with_nan)])
    assert empty.shape == (0, 17, 3)
    assert np.isnan(theirs[1, :, :2]).all()
    # In the two outermost cells the rules of MMPose's quarter step and ours differ: compare the others.
    windows = crop_windows(with_nan, config.input_size)[:, None]
    cells = to_crop(theirs[..., :2], windows, config.input_size) / 4
    inner = ((cells > 1.5) & (cells < [45.5, 61.5])).all(-1) & np.isfinite(ours[..., 0])
    assert inner.sum() > 20
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=0.01)


@pytest.mark.extra
def test_unknown_configurations_and_odd_checkpoints(mmpose_model, tmp_path):
    with pytest.raises(InputMissing, match="no_such"):
        load_pose("mmpose:no_such_config", "cpu")
    torch.save({"state_dict": {"backbone.conv1.weight": torch.zeros(64, 3, 3, 3)}}, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match=r"odd\.pth .* missing"):
        load_pose(f"mmpose:{CONFIG}:{tmp_path / 'odd.pth'}", "cpu")
