"""Named settings: `python -m sugar train --recipe NAME --config CONFIG`.

sugar: the paper's recipe on any base and any data; `paper` is its large setting (4.1): AdamW 1e-4, cosine,
warm-up .03, LoRA 128 / 256 on query and value projections, the head trained. vladva: symmetric InfoNCE at
.02, LoRA 16 / 16 on all linear layers, soft prompts, long captions as language. `own`, of both, is for a
person's captioned pictures and a small base, minutes on a CPU. `photo` is how sugar-photo is trained, on the
files of `python -m sugar material`. head: the head of a trained adapter, fitted anew to what the layers give.
dual: a cross-modal teacher for `--teachers dual:FOLDER`, on captioned pictures. whole: every weight, `tiny`
from nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sugar.errors import SettingsError
from sugar.training.adapter import AdapterConfig, AdapterTask
from sugar.training.dual import DualConfig, DualTask
from sugar.training.head import HeadConfig, HeadTask
from sugar.training.vladva import ALL_LINEARS, VladvaConfig, VladvaTask
from sugar.training.whole import WholeConfig, WholeTask


@dataclass(frozen=True)
class Recipe:
    """configs: settings by name, the first the default. task: what they train."""

    configs: dict[str, Any]
    task: Any


PAPER = AdapterConfig()
OWN = replace(
    PAPER,
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
    terms=replace(PAPER.terms, similarity=5.0, referent=1.0),
)
PHOTO = replace(
    PAPER,
    out="runs/photo",
    base="runs/base-4bit",
    base_precision="bf16",
    precision="bf16",
    data=(
        "folder=runs/material/photos:40",
        "llava=runs/material/photos/questions.json:36",
        "llava=runs/material/photos/pairs.json:1",
        "llava=runs/material/photos/replay.json:6",
        "llava=runs/material/notes.json:5",
        "llava=runs/material/kinds.json:4",
        "albums=runs/material/photos:1",
        "texts=runs/material/sentences.txt:8",
        "texts=runs/material/words.txt:8",
    ),
    teachers="dual:runs/dual/model",
    rank=16,
    alpha=32,
    targets=ALL_LINEARS,
    dimension=256,
    projector=True,
    fresh_rate=2.5,
    two_passes=False,
    batch=108,
    micro_batch=12,
    steps=450,
    schedule="linear",
    decay=0.5,
    rate=4e-4,
    seed=11,
    save_every=25,
    held_out=0.0,
    validate_every=0,
    terms=replace(
        PAPER.terms, similarity=2.0, referent=0.5, pull=3.0, length_weighting=0.35, same_sample="kernel"
    ),
)
HEAD = HeadConfig(
    data=(
        "folder=runs/material/photos",
        "texts=runs/material/sentences.txt",
        "texts=runs/material/words.txt",
    )
)
VLADVA = VladvaConfig()
VLADVA_OWN = replace(
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
WHOLE = WholeConfig(
    base="",
    teachers="words",
    optimizer="muon",
    schedule="linear",
    steps=6000,
    rate=1.5e-3,
    warmup=60,
    weight_decay=0.02,
    batch=48,
    micro_batch=96,
    terms=OWN.terms,
)
RECIPES = {
    "sugar": Recipe({"paper": PAPER, "own": OWN, "photo": PHOTO}, AdapterTask),
    "head": Recipe({"photo": HEAD}, HeadTask),
    "dual": Recipe({"photos": DualConfig()}, DualTask),
    "vladva": Recipe({"paper": VLADVA, "own": VLADVA_OWN}, VladvaTask),
    "whole": Recipe({"tiny": WHOLE}, WholeTask),
}

_IN_FOUR_BITS = {"base_precision": "nf4", "checkpointing": True}
CARDS: dict[str, dict[str, Any]] = {
    "12gb": {**_IN_FOUR_BITS, "batch": 32, "micro_batch": 2, "rank": 64, "alpha": 128},
    "24gb": {**_IN_FOUR_BITS, "batch": 64, "micro_batch": 8},
    "80gb": {"base_precision": "bf16", "batch": 128, "micro_batch": 16, "checkpointing": True},
}
"""`--preset-for`: how a 7B base is fitted into a card's memory. The 12 GB one halves the rank."""


def for_card(config: AdapterConfig, card: str) -> AdapterConfig:
    """The settings for a card of that memory."""
    if card not in CARDS:
        raise SettingsError(f"--preset-for {card!r} is not known. Use {', '.join(CARDS)}.")
    return replace(config, **CARDS[card])
