"""State of a training: weights, their running average, optimiser, log.

It is written atomically to `state.pt`, so a killed training resumes without a difference.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from common.errors import UserError, WeightsError
from common.files import replace_file
from lifter.training.parallel import SINGLE_PROCESS, ProcessGroup

LOG_EVERY = 50  # steps


def warmup_cosine(step: int, steps: int, peak: float, warmup: int) -> float:
    """Return the learning rate of a step: a linear warm-up, then a cosine to a hundredth of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    part = (step - warmup) / max(steps - warmup, 1)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(part, 1.0))))


@runtime_checkable
class Stateful(Protocol):
    """An object with `state_dict` and `load_state_dict`."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state: tensors and plain values."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state from a `state_dict`."""
        ...


class TrainingState:
    """A model in training.

    Args:
        model: trained in place; on its device already.
        optimizer: over the model's parameters.
        folder: for `state.pt` and `log.csv`; an existing `state.pt` is resumed.
        settings: plain values, stored with the weights as a record.
        measures: the names of the log's columns for the validation figures.
        memory: other state that changes with every step, by name (a loss with adaptive weights).
        team: the processes of a distributed training; the first writes the files.

    If TensorBoard is installed, the log is also written as event files.

    Raises:
        WeightsError: `state.pt` is of another model.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        folder: Path,
        settings: Mapping[str, Any],
        measures: Sequence[str],
        memory: Mapping[str, Stateful] | None = None,
        team: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.model, self.optimizer, self.settings = model, optimizer, dict(settings)
        self.memory, self.team = dict(memory or {}), team
        self.step = 0
        self._file, self._log = folder / "state.pt", folder / "log.csv"
        self._average = {key: value.detach().clone() for key, value in model.state_dict().items()}
        if self._file.is_file():
            self._resume()
        self._measures, self._events = tuple(measures), None
        if team.first:
            self._trim_log(["step", "loss", *measures])
            self._events = _event_writer(folder, self.step)

    def update(self, loss: Tensor, learning_rate: float, clip_norm: float, keep: float) -> None:
        """Take an optimiser step; `keep` is the decay of the averaged weights.

        Raises:
            UserError: the loss is not a number.
        """
        if not loss.isfinite():
            raise UserError(
                f"{self._file.parent}: the loss is {loss.item()} at step {self.step}: train with a lower "
                "learning rate, or check the data"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.team.average_gradients(self.model)
        nn.utils.clip_grad_norm_(self.model.parameters(), clip_norm)
        self.optimizer.step()
        # lower decay at first, so that the average forgets the random start
        self._move_average(min(keep, (self.step + 1) / (self.step + 10)))
        self.step += 1

    @torch.no_grad()
    def _move_average(self, keep: float) -> None:
        for key, value in self.model.state_dict().items():
            if value.is_floating_point():
                self._average[key].lerp_(value, 1 - keep)
            else:
                self._average[key].copy_(value)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Temporarily put the averaged weights into the model, in eval mode and without gradients."""
        own = {key: value.clone() for key, value in self.model.state_dict().items()}
        self.finish()
        with torch.no_grad():
            yield
        self.model.load_state_dict(own)
        self.model.train()

    def finish(self) -> None:
        """Put the averaged weights into the model, in eval mode."""
        self.model.load_state_dict(self._average)
        self.model.eval()

    def save(self) -> None:
        """Write `state.pt` atomically."""
        if not self.team.first:
            return
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self._average,
            "optimizer": self.optimizer.state_dict(),
            "settings": self.settings,
            "memory": {name: each.state_dict() for name, each in self.memory.items()},
        }
        with replace_file(self._file) as temporary:
            torch.save(state, temporary)

    def log(self, loss: float, measured: Sequence[float] | None) -> None:
        """Append a row for the last step, every `LOG_EVERY` steps and with every measurement."""
        if not self.team.first or (measured is None and self.step % LOG_EVERY):
            return
        with self._log.open("a", newline="", encoding="utf-8") as file:
            figures = [""] * len(self._measures) if measured is None else [f"{each:.5g}" for each in measured]
            csv.writer(file).writerow([self.step, f"{loss:.5f}", *figures])
        if self._events is not None:
            self._events.add_scalar("loss", loss, self.step)
            for name, value in zip(self._measures, measured or (), strict=False):
                self._events.add_scalar(name, value, self.step)
            self._events.flush()

    def _resume(self) -> None:
        device = next(self.model.parameters()).device
        try:
            state: dict[str, Any] = torch.load(self._file, map_location=device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            for key, value in state["average"].items():
                self._average[key].copy_(value)
            for name, each in self.memory.items():
                each.load_state_dict(state["memory"][name])
            self.step = int(state["step"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise WeightsError(
                f"{self._file} is of another model or another training: give an empty folder ({error})"
            ) from error

    def _trim_log(self, columns: list[str]) -> None:
        """Drop the rows after the checkpoint, or start the file."""
        rows = [columns]
        if self._log.is_file():
            with self._log.open(newline="", encoding="utf-8") as file:
                rows += [row for row in list(csv.reader(file))[1:] if row and int(row[0]) <= self.step]
        with self._log.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)


def _event_writer(folder: Path, step: int) -> Any:
    """Create TensorBoard's writer, to continue after `step`; None if TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)
