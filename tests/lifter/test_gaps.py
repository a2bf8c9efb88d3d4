"""Keypoints for lifters of windows: the same as the application computes from whole tracks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from demo.motion import lifting
from lifter.datasets.synthetic.bodies import MotionWindows
from lifter.datasets.synthetic.cameras import VirtualClips
from lifter.gaps import to_lifter_input
from lifter.spec import LifterSpec
from tests.lifter.motions import take

CONTRACT = LifterSpec("any", 60)


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("joints", ["h36m17", "coco17"])
def test_equals_what_the_application_does(joints, channels):
    spec = replace(CONTRACT, joints=joints, channels=channels)
    seen = VirtualClips(MotionWindows([take()])).batch(24, 60, torch.Generator().manual_seed(5))
    ours = to_lifter_input(seen.keypoints, seen.fps, spec).numpy()
    assert (seen.keypoints[..., 2] == 0).any()  # or nothing would be missing
    if joints == "coco17" and channels == 3:
        assert np.array_equal(ours, seen.keypoints.numpy())
        return
    for number in range(24):
        times = np.arange(60) / seen.fps[number].item()
        known, _ = lifting.usable(seen.keypoints[number].numpy())
        # Pictures of 2 x 2 pixels: screen units are pixels less one.
        pixels = known + np.array((1, 1, 0), np.float32)
        theirs = lifting.to_lifter_input(lifting.fill_gaps(pixels, times), spec, (2, 2))
        np.testing.assert_allclose(ours[number], theirs[..., :channels], atol=2e-5)


def test_gaps_by_hand():
    keypoints = torch.zeros(1, 5, 17, 3)
    keypoints[..., 2] = 0.8
    keypoints[0, :, 9, 0] = torch.tensor([1.0, 7.0, 7.0, 4.0, 7.0])
    keypoints[0, (1, 2, 4), 9, 2] = 0.0  # two frames between, one at the end
    keypoints[0, :, 10, 2] = 0.04  # never likely
    keypoints[0, :, 10, 0] = 9.0
    found = to_lifter_input(keypoints, torch.tensor([50.0]), replace(CONTRACT, joints="coco17"))
    assert found[0, :, 9, 0].tolist() == pytest.approx([1, 2, 3, 4, 4])
    # 16 joints in 5 frames are known or near; one of them has 1, 2, 3 and 4 there.
    assert found[0, :, 10, 0].tolist() == pytest.approx([10 / (16 * 5 - 1)] * 5)
