"""VladVA's recipe: symmetric InfoNCE at .02, LoRA 16 / 16 on all linear layers, soft prompts, long captions
as language.

paper: AdamW 1e-4, cosine, as published. own: a small base in minutes on a CPU.
"""

from __future__ import annotations

from dataclasses import replace

from sugar.training.vladva import VladvaConfig, VladvaTask

__all__ = ["CONFIGS", "TASK"]

VLADVA = VladvaConfig(rate=1e-4, steps=3000, warmup=90)
OWN = replace(
    VLADVA,
    out="runs/vladva-own",
    base="sugar-tiny",
    steps=300,
    rate=2e-3,
    warmup=10,
    batch=32,
    micro_batch=64,
    short=16,
    held_out=0.0,
    validate_every=0,
    log_every=10,
)
CONFIGS = {"paper": VLADVA, "own": OWN}
TASK = VladvaTask
