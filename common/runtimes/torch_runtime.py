"""Networks in PyTorch, on any of its devices."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import nn

from common.runtimes.network import Compiled, Floats, Outputs

Precision = Literal["float32", "float16", "bfloat16"]


class TorchRuntime:
    """A module on a device; it is the reference of the other runtimes.

    Channels last is the layout both cuDNN and oneDNN work in: it halves the time on a CPU and changes nothing
    else.
    """

    name = "torch"

    def __init__(self, module: nn.Module, device: str, precision: Precision | None = None) -> None:
        """`precision` is float16 on a CUDA device by default, float32 elsewhere."""
        self.version = torch.__version__
        self._device = torch.device(device)
        self._module = module.to(self._device).to(memory_format=torch.channels_last).eval()
        self.precision: Precision = precision or ("float16" if self._device.type == "cuda" else "float32")

    def compile(self, height: int, width: int) -> Compiled:
        """Return the network: PyTorch takes any size."""
        return self._run

    @torch.inference_mode()
    def _run(self, pictures: Floats) -> Outputs:
        batch = torch.from_numpy(pictures).to(self._device, memory_format=torch.channels_last)
        dtype = getattr(torch, self.precision)
        with torch.autocast(self._device.type, dtype=dtype, enabled=self.precision != "float32"):
            found = self._module(batch)
        outputs = found if isinstance(found, tuple) else (found,)
        return tuple(np.asarray(each.float().cpu().contiguous().numpy()) for each in outputs)
