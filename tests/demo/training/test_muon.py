"""Muon's steps are orthogonal matrices of AdamW's size, and it goes on as if it had not stopped."""

import copy

import pytest
import torch
from torch import nn

from demo.training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_every_direction_of_a_gradient_counts_alike(shape):
    torch.manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(shape[0], min(shape)))
    right, _ = torch.linalg.qr(torch.randn(shape[1], min(shape)))
    sizes = torch.logspace(-1, 1, min(shape))  # a hundred times as large one way as another
    found = orthogonal(left @ torch.diag(sizes) @ right.T)
    seen = left.T @ found @ right  # the identity, were it exact; Newton and Schulz's are 0.7 to 1.2
    assert seen.diagonal().min() > 0.6 and seen.diagonal().max() < 1.3
    assert (seen - torch.diag(seen.diagonal())).abs().max() < 0.05


def test_a_kernel_s_step_is_as_long_as_adam_s():
    torch.manual_seed(0)
    kernel = nn.Parameter(torch.zeros(16, 8, 3, 3))
    kernel.grad = torch.randn_like(kernel) * 1e-4  # its size does not matter
    Muon([kernel], lr=1e-3).step()
    assert kernel.square().mean().sqrt().item() == pytest.approx(0.2e-3, rel=0.2)
    assert (kernel * kernel.grad).sum() < 0


def test_what_is_no_kernel_is_stepped_by_adam():
    ours, theirs = (nn.Parameter(torch.tensor([1.0, -2.0, 3.0])) for _ in range(2))
    muon, adam = Muon([ours], lr=0.1, weight_decay=0.5), torch.optim.Adam([theirs], lr=0.1)
    for step in range(5):
        for weight, optimizer in ((ours, muon), (theirs, adam)):
            weight.grad = torch.sin(weight.detach() + step)
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_weight_decay_shrinks_kernels():
    kernel = nn.Parameter(torch.ones(4, 4))
    kernel.grad = torch.zeros(4, 4)
    Muon([kernel], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(kernel.data, torch.full((4, 4), 0.95))


def test_goes_on_from_its_state():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    twin = copy.deepcopy(model)
    first, second = Muon(model.parameters(), lr=1e-2), Muon(twin.parameters(), lr=1e-2)
    pictures = torch.randn(2, 3, 8, 8)

    def step(network, optimizer):
        optimizer.zero_grad()
        network(pictures)[:, 0].square().mean().backward()
        optimizer.step()

    step(model, first)
    step(twin, second)
    again = Muon(twin.parameters(), lr=1e-2)
    again.load_state_dict(second.state_dict())
    step(model, first)
    step(twin, again)
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
