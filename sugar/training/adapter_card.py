"""What the card of an adapter says of its training.

adapter_card(config, mixture, bad=3)         # Markdown, for Sugar.save_adapter(card=...)
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sugar.training.config import RunConfig
from sugar.training.losses import Terms

SILENT = {"similarity", "delta"}
"""Settings that the paper does not give: alpha, and the bandwidth of the labels' kernel."""


def deviations(config: Any) -> dict[str, str]:
    """What a run does otherwise than Sugar's paper, whose choices are the defaults where it makes them: name
    of the setting -> a sentence."""
    found = {}
    for default, given, names in (
        (Terms(), config.terms, [f.name for f in fields(Terms)]),
        (RunConfig(), config, ["optimizer", "schedule"]),
    ):
        for name in names:
            value, paper = getattr(given, name), getattr(default, name)
            if value != paper:
                other = f"default {paper}, the paper has none" if name in SILENT else f"paper: {paper}"
                found[name] = f"{name.replace('_', ' ')} {value} ({other})"
    return found


def _label(terms: Terms) -> str:
    """What stands where the paper is silent, or can be read in two ways."""
    kernel = {"gak": "K / D(n, m)", "gak-self": "K / sqrt(K(x,x) K(y,y))"}.get(terms.kernel, terms.kernel)
    over = "pairs of positions" if terms.form == "pairs" else "positions"
    return f"{kernel}, delta {terms.delta:g}; alpha {terms.similarity:g} on the error over {over}"


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
        f"- labels: {config.teachers}, {_label(config.terms)}"
        if config.terms.labelled
        else "- no labels: contrastive",
        f"- otherwise than the paper: {'; '.join(deviations(config).values()) or 'nothing'}",
        "",
        "All settings, time and hardware stand in `training.json`, the figures on rows kept aside "
        "under `best`.",
    ]
    return "\n".join(lines)
