"""The app's own lifter: it grows without a change of its output, and files without the contact head load."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import save_file

from lifter.checkpoints.files import load_checkpoint
from lifter.checkpoints.onnx import example
from lifter.models.wild import WildConfig, WildLifter, grow, spec

SMALL = WildConfig(frames=9, encoder_width=32, encoder_depth=1, width=16, depth=2, heads=2, contacts=False)


def lifter(config=SMALL):
    torch.manual_seed(0)
    return WildLifter(config).eval()


def test_a_grown_network_has_the_same_output_and_learns_in_its_new_blocks():
    small = lifter()
    large = grow(small, replace(SMALL, encoder_depth=3, depth=4, contacts=True)).eval()
    x = example(spec(SMALL), batch=2)
    before, after = small.lift(x), large.lift(x)
    assert torch.equal(before.joints, after.joints)
    assert torch.equal(before.up, after.up)
    assert before.contacts is None
    assert after.contacts.shape == (2, 9, 17)
    assert ((after.contacts > 0) & (after.contacts < 1)).all()
    after.joints.square().sum().backward()
    assert large.blocks[3][0].out.weight.grad.abs().max() > 0
    assert large.encoder[2].fc2.weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [({"depth": 1}, "only grow"), ({"depth": 3, "frames": 27}, "only encoder_depth, depth, contacts")],
)
def test_nothing_else_can_change(change, words):
    with pytest.raises((ValueError, RuntimeError), match=words):
        grow(lifter(), replace(SMALL, **change))


def test_a_file_from_before_the_contact_head_loads_without_it(tmp_path):
    written = {key: value for key, value in asdict(SMALL).items() if key != "contacts"}
    path = tmp_path / "old.safetensors"
    save_file(lifter().state_dict(), path, metadata={"lifter": "wild", "config": json.dumps(written)})
    loaded, _, config = load_checkpoint(path)
    assert config == SMALL
    assert loaded.lift(example(spec(SMALL), batch=1)).contacts is None
