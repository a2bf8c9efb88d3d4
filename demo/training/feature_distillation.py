"""A keypoint network borrows what a detector has learnt to see.

Whoever learnt to tell people, dogs and chairs apart in many pictures has features that a few thousand crops
of people cannot teach. HRNet's branches after stage 3 are to hold, linearly, what the detector sees at the
same resolutions in the same crop (Romero et al., "FitNets: hints for thin deep nets", 2015).
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
_EVERY = 2  # every second crop of a batch is asked about: the detector takes its time


class FeatureHints(nn.Module):
    """What brings HRNet's branches to the detector's features, which are learnt with HRNet.

    Args:
        network: whose branches.
        detector: layers of ultralytics; not a part of this module.
        input_size: width and height of the crops.

    Raises:
        UserError: crops of this size have no whole number of the cells that the detector looks at.
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
        """The part of the detector's features that HRNet's stages for the same crops do not explain."""
        own = [branch[::_EVERY] for branch in stages[_STAGE]]
        with torch.no_grad():
            wanted = self._wanted(crops[::_EVERY], own)
        return mean_unexplained_variance(self.towards, own, wanted)
