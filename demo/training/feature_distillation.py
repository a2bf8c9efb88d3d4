"""Distil a detector's features into HRNet.

A detector trained on many pictures and classes has features that a few thousand crops of people do not give.
A linear map of HRNet's branches after stage 3 is trained to predict the detector's features of the same crop
at the same resolutions (Romero et al., "FitNets: hints for thin deep nets", 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.errors import UserError
from demo.pose.estimator import denormalised
from demo.pose.hrnet import HRNet
from demo.training.detector_distillation import mean_unexplained_variance, predict, zeroed_projections

_STAGE = 1  # of those that HRNet.stages gives: stage 3, with strides 4, 8 and 16
_ENLARGED = 2  # crops for the detector: its strides are 8, 16 and 32
_CELL = 32 // _ENLARGED  # pixels of a crop
_EVERY = 2  # only every second crop of a batch is used: the detector is slow


class FeatureHints(nn.Module):
    """Projections of HRNet's branches to the detector's features, trained with HRNet.

    Args:
        network: the HRNet with these branches.
        detector: layers of ultralytics; not a submodule.
        input_size: width and height of the crops, pixels.

    Raises:
        UserError: the size is not a multiple of the detector's largest stride.
    """

    def __init__(self, network: HRNet, detector: nn.Module, input_size: tuple[int, int]) -> None:
        super().__init__()
        self._ask = partial(predict, detector)  # no submodule: it is neither trained nor saved
        width, height = input_size
        if width % _CELL or height % _CELL:
            raise UserError(f"hints need crops of multiples of {_CELL} pixels, not {width} x {height}")
        with torch.no_grad():
            crops = torch.zeros(1, 3, height, width)
            own = network.eval().stages(crops)[_STAGE]
            detector.eval()
            wanted = self._wanted(crops, own)
        self.towards = zeroed_projections([each.shape[1] for each in own], [each.shape[1] for each in wanted])

    def _wanted(self, crops: Tensor, own: Sequence[Tensor]) -> list[Tensor]:
        seen = functional.interpolate(denormalised(crops), scale_factor=_ENLARGED, mode="bilinear")
        features = self._ask(seen).features
        fitting = [[each for each in features if each.shape[2:] == mine.shape[2:]] for mine in own]
        return [torch.cat(each, 1) for each in fitting]

    def forward(self, crops: Tensor, stages: Sequence[Sequence[Tensor]]) -> Tensor:
        """Return the share of the variance of the detector's features that HRNet's stages do not explain."""
        own = [branch[::_EVERY] for branch in stages[_STAGE]]
        with torch.no_grad():
            wanted = self._wanted(crops[::_EVERY], own)
        return mean_unexplained_variance(self.towards, own, wanted)
