"""Human3.6M's windows: each once an epoch, mirrored ones too, in the axes of the lifter."""

import numpy as np
import pytest
import torch

from lifter.datasets.h36m import load_h36m, root_relative
from lifter.datasets.h36m_windows import H36MWindows
from lifter.inference import mirror_3d
from lifter.registry import REGISTRY
from lifter.training.multiview_losses import triangulate
from tests.lifter.datasets.h36m_folder import write_h36m
from tests.lifter.tiny import CONFIGS

FRAMES = {"Walking": 21, "Sitting 1": 10}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("h36m")
    write_h36m(folder, ("S1",), FRAMES)
    return folder


def windows(folder, name, flip, size=4, frames=9, keypoints="gt"):
    takes = load_h36m(folder, keypoints, ("S1",))
    return takes, H36MWindows(takes, REGISTRY[name].spec(CONFIGS[name]), keypoints, size, frames, 3, flip)


@pytest.mark.parametrize(
    ("name", "flip", "expected"),
    [
        ("ktpformer", "never", 4 * (3 + 2)),  # 21 frames are three windows of nine, 10 are two
        ("ktpformer", "twice", 2 * 4 * (3 + 2)),
        ("lstm_posenet", "never", 4 * 31),  # around every frame of four cameras
        ("esmformer", "twice", 31),  # of all cameras at once; never mirrored
    ],
)
def test_an_epoch_has_every_window_once(folder, name, flip, expected):
    _, source = windows(folder, name, flip)
    assert len(source) == expected
    steps = -(-expected // 4)
    picks = np.concatenate([source._picks(step) for step in range(steps)])[:expected]
    assert sorted(picks) == list(range(expected))
    again = np.concatenate([source._picks(step) for step in range(steps, 2 * steps)])
    assert not np.array_equal(picks[: len(again)], again[: len(picks)])  # another order in the next


def test_the_centre_of_a_window_is_its_frame(folder):
    takes, source = windows(folder, "lstm_posenet", "never", size=124)
    batch = source.batch(0)
    centres = {tuple(np.round(pose, 4).ravel()) for pose in batch.joints[:, 4].numpy()}
    truth = np.concatenate([root_relative(take.in_cameras).reshape(-1, 51) for take in takes])
    assert centres == {tuple(np.round(pose, 4)) for pose in truth}


def test_mirror_images_are_of_both_sides_of_the_window(folder):
    _, source = windows(folder, "ktpformer", "twice", size=40)
    batch = source.batch(0)
    picks = source._picks(0)
    plain = {int(p): i for i, p in enumerate(picks) if p < 20}
    for index, pick in enumerate(picks):
        if pick >= 20:
            twin = plain[int(pick) - 20]
            assert torch.equal(batch.joints[index], mirror_3d(batch.joints[twin]))
            assert torch.equal(batch.keypoints[index, :, 1, 0], -batch.keypoints[twin, :, 4, 0])
            assert torch.equal(batch.keypoints[index, :, 1, 1], batch.keypoints[twin, :, 4, 1])


def test_views_come_with_their_cameras_and_places(folder):
    takes, source = windows(folder, "esmformer", "never", size=31)
    batch = source.batch(0)
    found = triangulate(batch.keypoints[:, 4].double(), batch.rig)
    assert (found - found[:, :1] - batch.joints[:, 4]).norm(dim=-1).max() < 1e-3
    spans = (batch.places.ends - batch.places.starts).tolist()
    assert min(spans) == 5 and max(spans) == 9  # at the ends half of the window is outside
    lengths = {take.name: len(take.world) for take in takes}
    assert all(
        end <= lengths[name] for (_, name), end in zip(batch.places.takes, batch.places.ends, strict=True)
    )


def test_lifters_with_perspective_crop_get_rotated_poses(folder):
    takes, source = windows(folder, "wild", "never", size=20, keypoints="coco")
    batch = source.batch(0)
    middle = batch.keypoints[..., :2].mean((1, 2))
    assert middle.abs().max() < 0.02  # the person is in the middle of the picture
    height = (batch.joints[:, :, 10] * batch.up[:, None]).sum(-1)
    assert ((height > 0.6) & (height < 0.7)).all()  # 0.67 m above the pelvis in the world
    assert len(takes) == 2
