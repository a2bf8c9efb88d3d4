"""COCO-17 to Human3.6M-17, and the pairs of both."""

import numpy as np
import pytest

from lifter.skeletons import COCO_17, H36M_17, LIMBS_COCO, LIMBS_H36M, SKELETONS, coco_to_h36m


def test_recipe_equals_the_classic_demo(shared):
    with np.load(shared / "vectors" / "demo_pipeline_seed0.npz") as truth:
        coco = np.concatenate([truth["coco/kpts"][0], truth["coco/scores"][0][..., None]], -1)
        valid = truth["h36m/valid_frames"]
        converted = coco_to_h36m(coco[valid])
        np.testing.assert_allclose(converted[..., :2], truth["h36m/kpts"][0][valid], atol=2e-3)
        np.testing.assert_allclose(converted[..., 2], truth["h36m/scores"][0][valid], atol=1e-6)


def test_a_missing_hip_makes_the_pelvis_missing_but_not_the_wrist():
    coco = np.ones((17, 3), np.float32)
    coco[11] = np.nan, np.nan, 0
    converted = coco_to_h36m(coco)
    assert np.isnan(converted[0, :2]).all()
    assert converted[0, 2] == 0
    assert converted[13].tolist() == [1, 1, 1]


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=list(SKELETONS))
def test_mirroring_twice_changes_nothing_and_pairs_bear_opposite_names(skeleton):
    order = np.array(skeleton.mirror)
    assert (order[order] == np.arange(17)).all()
    for a, b in zip(skeleton.left, skeleton.right, strict=True):
        assert skeleton.joints[a].replace("left", "right") == skeleton.joints[b]


def test_limbs_have_the_same_names_in_both():
    for h36m, coco in zip(LIMBS_H36M, LIMBS_COCO, strict=True):
        assert H36M_17.joints[h36m] == COCO_17.joints[coco]
