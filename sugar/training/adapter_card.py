"""What the card of an adapter says of its training.

adapter_card(config, mixture, bad=3)         # Markdown, for Sugar.save_adapter(card=...)
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sugar.training.config import RunConfig
from sugar.training.terms import Terms

__all__ = ["adapter_card", "deviations"]


def deviations(config: Any) -> dict[str, str]:
    """What a run does otherwise than Sugar's paper, whose choices are the defaults: name of the setting -> a
    sentence."""
    found = {}
    for default, given, names in (
        (Terms(), config.terms, [f.name for f in fields(Terms)]),
        (RunConfig(), config, ["optimizer", "schedule"]),
    ):
        for name in names:
            value, paper = getattr(given, name), getattr(default, name)
            if value != paper:
                found[name] = f"{name.replace('_', ' ')} {value} (paper: {paper})"
    return found


def adapter_card(config: Any, mixture: Any, bad: int, trained: str = "") -> str:
    """What the card of an adapter says of its training: data, settings, rows left out."""
    sets = [
        f"{dataset.name} ({len(rows):,} rows, share {share:.0%})"
        for dataset, rows, share in zip(mixture.datasets, mixture.kept, mixture.shares, strict=True)
    ]
    lines = [
        "## How it was trained",
        "",
        f"- data: {'; '.join(sets)}; {len(mixture.validation)} rows kept aside, {bad} rows that could "
        "not be read left out",
        f"- {config.steps} steps of {config.batch} examples, {config.optimizer} at {config.rate:g}, "
        f"{config.schedule}, "
        f"{trained or f'LoRA rank {config.rank}, alpha {config.alpha}'}, seed {config.seed}",
        f"- labels: {config.teachers}" if config.terms.similarity else "- no labels: contrastive",
        f"- otherwise than the paper: {'; '.join(deviations(config).values()) or 'nothing'}",
        "",
        "All settings, time and hardware stand in `training.json`, the figures on rows kept aside "
        "under `best`.",
    ]
    return "\n".join(lines)
