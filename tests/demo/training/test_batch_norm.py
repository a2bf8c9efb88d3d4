"""What normalisations subtract is measured, whatever it was before."""

import torch

from demo.pose.hrnet import HRNetConfig, build
from demo.training.batch_norm import recompute_batch_norm
from demo.training.crops_dataset import load_people
from tests.demo.training.people import write_people

SMALL = HRNetConfig(width=8, modules=(1, 2, 1), blocks=2, input_size=(96, 128), alignment="centre")


def test_means_are_those_of_the_pictures_whatever_they_were(tmp_path):
    people = load_people([write_people(tmp_path / "people")], "train")
    torch.manual_seed(0)
    model = build(SMALL)
    model.bn1.running_mean += 100
    model.stage4[0].branches[0][0].bn1.running_var *= 9
    seen, reported = [], []
    model.bn1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].mean(dim=(0, 2, 3))))
    recompute_batch_norm(
        model, SMALL.input_size, people, lambda *done: reported.append(done), batches=3, batch=4
    )
    torch.testing.assert_close(model.bn1.running_mean, torch.stack(seen).mean(dim=0), rtol=1e-3, atol=1e-3)
    deep = model.stage4[0].branches[0][0].bn1
    before = deep.running_mean.clone(), deep.running_var.clone()
    recompute_batch_norm(model, SMALL.input_size, people, lambda *done: None, batches=3, batch=4)
    torch.testing.assert_close((deep.running_mean, deep.running_var), before, rtol=1e-3, atol=1e-3)
    assert reported == [(0, 3), (1, 3), (2, 3), (3, 3)]
