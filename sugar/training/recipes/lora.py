"""LoRA on a frozen base: the paper's large setting, and what fits one's own machine.

paper: AdamW 1e-4, cosine, warm-up .03, LoRA 128 / 256 on query and value projections, head trained (Sugar
4.1).

own: a person's captioned pictures on a small base, in minutes on a CPU: smaller rank, a higher rate, labels
from the captions' own words, and InfoNCE beside the similarity loss.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sugar.errors import SettingsError
from sugar.training.adapter import AdapterConfig, AdapterTask
from sugar.training.recipes.sugar import PAPER

__all__ = ["CONFIGS", "OWN", "PRESETS", "TASK", "for_card"]

LORA = AdapterConfig(
    optimizer=PAPER.optimizer,
    schedule=PAPER.schedule,
    rate=1e-4,
    steps=3000,
    warmup=90,
    terms=PAPER.terms,
    base_precision="auto",
)
OWN = replace(
    LORA,
    out="runs/own",
    base="sugar-tiny",
    teachers="words",
    steps=60,
    rate=2e-3,
    warmup=10,
    rank=16,
    alpha=32,
    batch=24,
    micro_batch=96,
    held_out=0.2,
    validate_every=20,
    log_every=10,
    terms=replace(PAPER.terms, similarity=5.0, referent=1.0, same_sample="kernel"),
)
CONFIGS = {"paper": LORA, "own": OWN}
TASK = AdapterTask

PRESETS: dict[str, dict[str, Any]] = {
    "12gb": {
        "base_precision": "nf4",
        "batch": 32,
        "micro_batch": 2,
        "checkpointing": True,
        "rank": 64,
        "alpha": 128,
    },
    "24gb": {"base_precision": "nf4", "batch": 64, "micro_batch": 8, "checkpointing": True},
    "80gb": {"base_precision": "bf16", "batch": 128, "micro_batch": 16, "checkpointing": True},
}
"""`--preset-for`: how a 7B base is fitted into a card. The 12 GB one halves the rank."""


def for_card(config: AdapterConfig, card: str) -> AdapterConfig:
    """The settings for a card of that memory."""
    if card not in PRESETS:
        raise SettingsError(f"--preset-for {card!r} is not known. Use {', '.join(PRESETS)}.")
    return replace(config, **PRESETS[card])
