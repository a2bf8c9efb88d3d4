"""Recompute the means and variances of a network's batch normalisations.

The stored statistics are those of the features during training. Averaged weights give different features, and
need new statistics (Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI
2018, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from demo.pose.estimator import normalise
from demo.pose.hrnet import HRNet
from demo.training.augment import Augmentation, with_covered_heads
from demo.training.crops_dataset import LabelledPeople
from demo.training.pose import draw


def recompute_batch_norm(
    model: HRNet,
    input_size: tuple[int, int],
    people: LabelledPeople,
    report: Callable[[int, int], None],
    batches: int = 100,
    batch: int = 64,
    seed: int = 1,
) -> None:
    """Set the means and variances of all normalisations in `model` to those over people as in a training.

    `report` is called with the number of batches done and in all.
    """

    def inputs() -> Iterator[Tensor]:
        how = Augmentation()
        for step in range(batches):
            report(step, batches)
            generator = np.random.default_rng([seed, step])
            pictures, keypoints = draw(people, input_size, batch, generator, how)
            covered = with_covered_heads(pictures, keypoints[:, 0], generator, how.covered_head_chance)
            crops = torch.from_numpy(normalise(np.stack(covered).astype(np.uint8, copy=False)))
            yield crops.to(memory_format=torch.channels_last)
        report(batches, batches)

    model.to(memory_format=torch.channels_last)
    update_bn(inputs(), model)
    model.to(memory_format=torch.contiguous_format)
