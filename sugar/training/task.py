"""What the loop trains: the five functions of a task.

One exists, AdapterTask (adapter.py), and VladvaTask over it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from sugar.training.run_log import StepResult

__all__ = ["Stopped", "Task"]


class Task(Protocol):
    """What is trained.

    module: its `requires_grad` weights are. reader: draws a step, and can be sent to another process.
    """

    config: Any

    @property
    def module(self) -> nn.Module: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def reader(self) -> Callable[[int], Any]: ...

    def rate_of(self, name: str) -> float:
        """The factor of the rate for a weight of the module, by its name."""

    def backward(self, data: Any, step: int) -> StepResult:
        """Losses of this process's part of a step; gradients of the whole batch's loss are left
        on the weights."""

    def export(self, folder: Path) -> None:
        """Write what an app opens."""

    def validate(self, step: int) -> dict[str, float] | None:
        """Percent on rows kept aside, the first of them decides; None where nothing is kept aside."""

    def resumable(self) -> dict[str, Any]:
        """What must agree before a state is taken up again."""


class Stopped(Exception):
    """The caller asked the run to end; its state is saved."""
