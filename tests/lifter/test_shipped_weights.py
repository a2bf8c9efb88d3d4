"""The shipped weights: one file for every lifter, intact, with the accuracy in the manifest."""

from __future__ import annotations

import re

import pytest

from common.files import sha256
from common.weights import FOLDER, manifest
from lifter.checkpoints.files import load_checkpoint
from lifter.datasets.mocap.folders import load_motion
from lifter.datasets.synthetic.noise import NoiseModel
from lifter.evaluation.mocap import evaluate, virtual_clips, virtual_views
from lifter.registry import REGISTRY

# For these only their authors' weights exist so far.
NOT_SHIPPED = {"mixste", "motionbert", "motionagformer"}
SHIPPED = [name for name in REGISTRY if name not in NOT_SHIPPED]


@pytest.fixture(scope="module")
def takes(shared):
    """Every twelfth held-out take: enough to detect a broken lifter."""
    return load_motion(shared / "mocap", "test")[::12]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_file_is_the_lifter_of_its_name(name):
    path = FOLDER / manifest()[name].file
    assert sha256(path) == manifest()[name].sha256
    assert path.stat().st_size == manifest()[name].size_bytes
    lifter, found, config = load_checkpoint(path)
    assert found.name == name
    assert type(lifter) is type(found.build(config))


@pytest.mark.parametrize("name", SHIPPED)
def test_some_held_out_takes_are_measured_about_as_all_were(name, takes):
    lifter, found, config = load_checkpoint(FOLDER / manifest()[name].file)
    spec = found.spec(config)
    if spec.views == 1:
        clips = virtual_clips(takes, 1, NoiseModel())
    else:
        clips = virtual_views(takes, 1, NoiseModel(), spec.views)
    *_, (_, measured) = evaluate(lifter, spec, clips)
    stated = re.search(r"MPJPE ([\d.]+) mm, P-MPJPE ([\d.]+) mm", manifest()[name].figures)
    assert stated is not None
    assert measured.mpjpe == pytest.approx(float(stated[1]), rel=0.2)
    assert measured.p_mpjpe == pytest.approx(float(stated[2]), rel=0.2)
