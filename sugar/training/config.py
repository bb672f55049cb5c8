"""The settings that every run has, whatever it trains.

Not covered: what a recipe adds (adapter.py, vladva.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sugar.errors import SettingsError


@dataclass(frozen=True)
class RunConfig:
    """Saved beside the checkpoint.

    steps: optimiser steps in all. rate, matrix_rate: peak rates of AdamW and of Muon. optimizer: "adamw" for
    every weight (the paper), or "muon" for matrices and AdamW for the rest. schedule: "cosine" (the paper),
    or "linear": constant, then falling to 0 over the last `decay` share of the steps, so that a run may be
    prolonged. warmup: steps of rising rate. clip: largest norm of the gradient. precision: "no" (float32) or
    "bf16"; fp16 is refused, because its gradients overflow without a scaler that the two-pass gradients
    cannot share. workers: processes that read ahead; 0 reads in between. trackers: accelerate's, with commas
    (tensorboard, wandb, trackio); "" for none.
    """

    out: str = "runs/run"
    seed: int = 0
    steps: int = 1000
    optimizer: str = "adamw"
    schedule: str = "cosine"
    rate: float = 1e-4
    matrix_rate: float = 0.008
    warmup: int = 30
    decay: float = 0.6
    clip: float = 1.0
    weight_decay: float = 0.0
    matrix_decay: float = 0.1  # 0.02 let attention logits grow until no lookup could be learnt
    precision: str = "no"
    save_every: int = 200
    log_every: int = 25
    threads: int = 0
    workers: int = 0
    trackers: str = "tensorboard"

    def __post_init__(self) -> None:
        if self.precision not in ("no", "bf16"):
            raise SettingsError(
                f"precision is {self.precision!r}; use no or bf16. fp16 needs a loss scaler and is not "
                "offered."
            )
        if self.optimizer not in ("adamw", "muon") or self.schedule not in ("cosine", "linear"):
            raise SettingsError(
                f"optimizer is {self.optimizer!r} and schedule {self.schedule!r}; use adamw or muon, "
                "and cosine or linear."
            )


def rate_at(step: int, config: RunConfig) -> float:
    """Share of the peak rate: a linear warm-up, then the fall of the schedule to 0."""
    rise = min(1.0, (step + 1) / max(1, config.warmup))
    if config.schedule == "cosine":
        return rise * (1 + math.cos(math.pi * min(1.0, step / max(1, config.steps)))) / 2
    left = (config.steps - step) / max(1.0, config.decay * config.steps)
    return rise * min(1.0, left)
