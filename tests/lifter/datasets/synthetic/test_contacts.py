"""Contact labels: low and slow joints, at any frame rate; unknown for a body off the floor."""

import numpy as np
import pytest
import torch

from lifter.datasets.mocap.npz import load_mocap
from lifter.datasets.synthetic.contacts import contact_labels
from lifter.skeletons import H36M_17
from tests.lifter.motions import STANDING

FEET = (3, 6)


def still(frames=9):
    return torch.from_numpy(STANDING)[None, None].repeat(1, frames, 1, 1)


def labels(joints, fps=50.0):
    return contact_labels(joints, torch.full((len(joints),), fps))


def test_a_standing_body_has_contacts_at_the_feet_alone():
    found = labels(still())
    assert (found[..., FEET] == 1).all()
    assert found.sum() == 2 * 9


@pytest.mark.parametrize("fps", [10.0, 30.0, 120.0])
@pytest.mark.parametrize(("speed", "contact"), [(0.2, 1.0), (0.8, 0.0)])
def test_a_sliding_foot_is_in_contact_below_a_speed_in_metres_a_second(fps, speed, contact):
    joints = still()
    joints[:, :, 3, 1] += speed * torch.arange(9) / fps
    assert (labels(joints, fps)[..., 3] == contact).all()


def test_a_body_on_its_back_has_contacts_at_hips_and_head():
    # z from y: lying with the back on the floor, joint centres a hand above it
    lying = still()[..., (0, 2, 1)].clone()
    lying[..., 2] = 0.1
    found = labels(lying)[0, 0]
    assert all(found[H36M_17.joints.index(name)] == 1 for name in ("pelvis", "left_hip", "thorax", "head"))


def test_a_raised_foot_has_no_contact_and_on_a_chair_all_are_unknown():
    raised = still()
    raised[..., 3, 2] += 0.1
    assert (labels(raised)[..., 3] == 0).all()
    assert labels(still() + torch.tensor((0, 0, 0.4))).isnan().all()


def test_a_walker_of_the_real_data_has_a_foot_down_most_of_the_time(shared):
    takes = [take for take in load_mocap(shared / "mocap", "val") if take.data_set == "biomechzoo"]
    found = [labels(torch.from_numpy(take.joints)[None])[0].numpy() for take in takes]
    feet = np.concatenate(found)[:, FEET]
    assert (feet.max(1) == 1).mean() > 0.9
    assert 0.5 < feet.mean() < 0.9
