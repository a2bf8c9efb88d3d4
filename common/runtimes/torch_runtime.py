"""Networks in PyTorch, on any of its devices."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from common.runtimes.network import Compiled, Floats, Outputs, Precision


class TorchRuntime:
    """A module on a device; it is the reference of the other runtimes.

    Convolutions have their channels last, the layout both cuDNN and oneDNN work in: it halves the time on a
    CPU and changes nothing else.
    """

    name = "torch"

    def __init__(self, module: nn.Module, device: str, precision: Precision | None = None) -> None:
        """`precision` is float16 on a CUDA device by default, float32 elsewhere."""
        self.version = torch.__version__
        self._device = torch.device(device)
        self._module = module.to(self._device).eval()
        self._convolves = any(isinstance(each, nn.Conv2d) for each in module.modules())
        if self._convolves:
            self._module.to(memory_format=torch.channels_last)
        self.precision: Precision = precision or ("float16" if self._device.type == "cuda" else "float32")

    def compile(self, shape: tuple[int, ...]) -> Compiled:
        """Return the network: PyTorch takes any size."""
        return self._run

    @torch.inference_mode()
    def _run(self, inputs: Floats) -> Outputs:
        layout = torch.channels_last if self._convolves else torch.contiguous_format
        batch = torch.from_numpy(inputs).to(self._device, memory_format=layout)
        dtype = getattr(torch, self.precision)
        with torch.autocast(self._device.type, dtype=dtype, enabled=self.precision != "float32"):
            found = self._module(batch)
        outputs = found if isinstance(found, tuple) else (found,)
        return tuple(np.asarray(each.float().cpu().contiguous().numpy()) for each in outputs)
