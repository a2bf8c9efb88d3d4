"""A trained HRNet made deeper, trained in part, or averaged with what became of it.

Net2Net (Chen, Goodfellow, Shlens, "Net2Net: accelerating learning via knowledge transfer", 2016): a network
that is grown by layers which change nothing yet starts where the smaller one ended.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from common.errors import WeightsError
from demo.pose.hrnet import BasicBlock, HighResolutionModule, HRNet, HRNetConfig, build, load_hrnet


def grow_network(path: Path, config: HRNetConfig, like: HRNet | None = None) -> HRNet:
    """A network of `config` that gives what the one in a file gives; its new exchange modules come first.

    What has no effect yet in the new modules is random, or that of `like`.

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
    """Let an exchange module give what it gets, which is never negative."""
    assert isinstance(module, HighResolutionModule)
    blocks = [block for block in module.branches.modules() if isinstance(block, BasicBlock)]
    exchanges = [exchange for target in module.fuse_layers for exchange in target.children()]
    for part in (*blocks, *exchanges):
        norms = [layer for layer in part.modules() if isinstance(layer, nn.BatchNorm2d)]
        for last in norms[-1:]:  # nothing in a branch's exchange with itself
            last.weight.zero_()
            last.bias.zero_()


def interpolate_weights(first: Path, second: Path, share: float) -> tuple[HRNet, HRNetConfig]:
    """`second`'s network, its weights a `share` of the way from `first`'s, which it was trained from.

    Between a network and what further training made of it, weights are often better than both at what
    neither was trained for (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).

    Raises:
        WeightsError: `first` is another network, and none with fewer exchange modules either.
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
    """Leave the layers before stage 2 as they are in a training, also their running means."""
    for layer in model.start():
        layer.requires_grad_(False).eval()
