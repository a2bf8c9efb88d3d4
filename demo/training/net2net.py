"""Grow a trained HRNet, freeze a part of it, or average it with its further training.

Net2Net (Chen, Goodfellow, Shlens, "Net2Net: accelerating learning via knowledge transfer", 2016): a network
that is grown by layers that are the identity at first computes the same function as the smaller one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from common.errors import WeightsError
from demo.pose.hrnet import BasicBlock, HighResolutionModule, HRNet, HRNetConfig, build, load_hrnet


def grow_network(path: Path, config: HRNetConfig, like: HRNet | None = None) -> HRNet:
    """Return a network of `config` with the function of the one in a file; new exchange modules come first.

    Weights of the new modules that have no effect at first are random, or those of `like`.

    Raises:
        WeightsError: the file's network differs in more than its input size, or has more modules.
    """
    known, shape = load_hrnet(path)
    more = [new - old for new, old in zip(config.modules, shape.modules, strict=True)]
    if replace(shape, input_size=config.input_size, modules=config.modules) != config or min(more) < 0:
        raise WeightsError(
            f"{path} is of another network, {shape}: it cannot grow into {config}; match width and blocks"
        )
    model = build(config)
    new = dict(zip(("stage2", "stage3", "stage4"), more, strict=True))
    weights = {}
    for name, value in known.state_dict().items():
        stage, _, rest = name.partition(".")
        if stage in new:
            number, _, rest = rest.partition(".")
            name = f"{stage}.{int(number) + new[stage]}.{rest}"
        weights[name] = value
    model.load_state_dict({**(model if like is None else like).state_dict(), **weights})
    for stage, count in new.items():
        for module in list(model.get_submodule(stage).children())[:count]:
            _pass_on(module)
    return model


@torch.no_grad()
def _pass_on(module: nn.Module) -> None:
    """Make an exchange module the identity; its inputs are never negative."""
    assert isinstance(module, HighResolutionModule)
    blocks = [block for block in module.branches.modules() if isinstance(block, BasicBlock)]
    exchanges = [exchange for target in module.fuse_layers for exchange in target.children()]
    for part in (*blocks, *exchanges):
        norms = [layer for layer in part.modules() if isinstance(layer, nn.BatchNorm2d)]
        for last in norms[-1:]:  # none in a branch's exchange with itself
            last.weight.zero_()
            last.bias.zero_()


def interpolate_weights(first: Path, second: Path, share: float) -> tuple[HRNet, HRNetConfig]:
    """Interpolate from `first`'s weights to those of `second`, which was trained from it, by `share` in 0..1.

    The average of a network before and after fine-tuning is often better than both on other data (Wortsman et
    al., "Robust fine-tuning of zero-shot models", CVPR 2022).

    Raises:
        WeightsError: `first` is another network, and not one with fewer exchange modules either.
    """
    model, config = load_hrnet(second)
    old, new = grow_network(first, config, model).state_dict(), model.state_dict()
    model.load_state_dict(
        {
            name: torch.lerp(old[name], value, share) if value.is_floating_point() else value
            for name, value in new.items()
        }
    )
    return model, config


def freeze_stem(model: HRNet) -> None:
    """Exclude the layers before stage 2 from a training, their running means included."""
    for layer in model.start():
        layer.requires_grad_(False).eval()
