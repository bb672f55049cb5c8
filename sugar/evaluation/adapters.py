"""VladVA's own ablation, and Sugar beside it, as adapters of one base on the drawn world.

    python -m sugar evaluate adapters --base sugar-tiny --steps 300 --seeds 1 --out runs/adapters

Every row is an adapter trained alike on the same rows for as many steps, and measured on test scenes by
embedding alone: `ROW-SEED/` a run, `adapters.json` and `adapters.md` the results. What is finished is kept,
what is broken off goes on. The base has seen the drawn world; what differs is how it is asked to embed. Not
covered: training from nothing (ablation.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sugar.core import Sugar
from sugar.errors import SettingsError
from sugar.evaluation import change, retrieval, swapped
from sugar.evaluation.ablation import spread
from sugar.evaluation.provenance import ROOT, provenance
from sugar.paths import output_folder
from sugar.training.loop import train
from sugar.training.recipes import RECIPES
from sugar.training.terms import Terms

__all__ = ["COLUMNS", "ROWS", "AdapterRow", "run", "table"]

FIGURES = ROOT / "assets" / "figures" / "adapters.json"
COLUMNS = {
    "t2i_r1": "text -> picture R@1",
    "i2t_r1": "picture -> text R@1",
    "t2i_r1_short": "short caption -> picture R@1",
    "winoground_group_embedding": "swapped pairs, group",
    "composed_r1": "picture + change R@1",
}


THEIRS = {"t2i_r1": "Flickr T2I", "i2t_r1": "Flickr I2T", "winoground_group_embedding": "SugarCrepe swap"}
"""The nearest columns of VladVA's own ablation, at a million pairs (arXiv 2412.04378)."""


@dataclass(frozen=True)
class AdapterRow:
    """recipe and changes: what is trained; None for no training. paper: VladVA's own figures, as THEIRS."""

    title: str
    recipe: str | None
    changes: tuple[tuple[str, Any], ...] = ()
    paper: tuple[float, float, float] | None = None


def _vladva(**parts: bool) -> tuple[tuple[str, Any], ...]:
    chosen = {"soft_prompt": False, "low_rank": False, "autoregressive": False, **parts}
    return tuple(chosen.items())


def _sugar(**terms: Any) -> tuple[tuple[str, Any], ...]:
    return (("terms", Terms(**terms)), ("teachers", "scenes"), ("held_out", 0.0), ("validate_every", 0))


ROWS = {
    "hand-prompt": AdapterRow("hand prompt, no training", None, paper=(59.6, 65.6, 59.8)),
    "soft-prompt": AdapterRow("VladVA: soft prompt", "vladva", _vladva(soft_prompt=True), (76.7, 91.7, 66.9)),
    "lora": AdapterRow("VladVA: LoRA", "vladva", _vladva(low_rank=True), (79.1, 91.4, 69.8)),
    "both": AdapterRow(
        "VladVA: both", "vladva", _vladva(soft_prompt=True, low_rank=True), (79.6, 92.9, 72.0)
    ),
    "autoregressive": AdapterRow(
        "VladVA: both, and the autoregressive loss",
        "vladva",
        _vladva(soft_prompt=True, low_rank=True, autoregressive=True),
        (80.6, 91.8, 75.5),
    ),
    "generative": AdapterRow("Sugar's LoRA: generative only", "lora", _sugar(similarity=0.0)),
    "contrastive": AdapterRow(
        "Sugar's LoRA: contrastive only", "lora", _sugar(language=0.0, contrastive_only=True)
    ),
    "sugar": AdapterRow("Sugar's LoRA: the paper's objective", "lora", _sugar()),
    "sugar-vladva": AdapterRow("Sugar's LoRA + InfoNCE of the pairs", "lora", _sugar(referent=1.0)),
}
"""The last row adds VladVA's contrastive loss on captions to Sugar's objective, on Sugar's embeddings."""


def measure(model: Sugar, seed: int, size: int) -> dict[str, float]:
    """The columns, in percent, on test scenes."""
    figures = retrieval.measure(model, seed, size)
    for benchmark in (swapped, change):
        figures |= benchmark.measure(model, seed, size)
    return {key: round(100 * figures[key].value, 2) for key in COLUMNS}


def one(row: AdapterRow, folder: Path, base: str, *, seed: int, steps: int, size: int) -> dict[str, Any]:
    """Train a row, or go on with it, and measure it."""
    done = folder / "measured.json"
    asked = {"base": base, "steps": steps if row.recipe else 0, "size": size, "seed": seed}
    if done.is_file() and (known := json.loads(done.read_text("utf-8")))["asked"] == asked:
        return known
    folder.mkdir(parents=True, exist_ok=True)
    began, adapter = time.process_time(), None
    if row.recipe:
        recipe = RECIPES[row.recipe]
        settings = replace(
            recipe.configs["own"],
            **{
                "out": str(folder),
                "base": base,
                "data": ("drawn",),
                "steps": steps,
                "seed": seed,
                **dict(row.changes),
            },
        )
        adapter = train(recipe.task(settings), quiet=True)
    forced = "prompt" if row.recipe in (None, "vladva") else "auto"
    model = Sugar.from_pretrained(base, adapter=adapter, encoder=forced)
    trained = time.process_time() - began
    found = {"asked": asked, "figures": measure(model, seed, size), "cpu_seconds": round(trained)}
    done.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return found


def run(
    *,
    base: str,
    out: str | Path,
    steps: int,
    seeds: int,
    size: int,
    only: Sequence[str] | None = None,
    save: bool = False,
) -> int:
    """Train and compare; returns 0.

    save: write assets/figures/adapters.json too. Raises SettingsError for an unknown row.
    """
    if unknown := set(only or ()) - set(ROWS):
        raise SettingsError(f"No row is called {', '.join(sorted(unknown))}. There are {', '.join(ROWS)}.")
    out = output_folder(out, "--out")
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in range(seeds):
        for name in only or ROWS:
            measured = one(ROWS[name], out / f"{name}-{seed}", base, seed=seed, steps=steps, size=size)
            found.setdefault(name, []).append(measured)
            facts = {"base": base, "steps": steps, "size": size, "rows": found}
            (out / "adapters.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
            (out / "adapters.md").write_text(table(facts) + "\n", "utf-8")
            if save:
                FIGURES.write_text(json.dumps(figures(facts), indent=1) + "\n", "utf-8")
            print(name, seed, measured["figures"], flush=True)
    print((out / "adapters.md").read_text("utf-8"))
    return 0


def table(facts: dict[str, Any]) -> str:
    """Markdown of the rows so far."""
    figure = figures(facts)
    lines = [
        f"| {' | '.join(figure['columns'])} |",
        f"|{'---|' * len(figure['columns'])}",
        *(f"| {' | '.join(row)} |" for row in figure["rows"]),
    ]
    return "\n".join([f"{figure['command']}; {figure['note']}", "", *lines])


def figures(facts: dict[str, Any]) -> dict[str, Any]:
    """What `python -m sugar figures` puts into a README: means over seeds, deviations, the command."""
    rows: dict[str, list[dict[str, Any]]] = facts["rows"]
    seeds = max(map(len, rows.values()))
    cells = []
    for name, measured in rows.items():
        paper = dict(zip(THEIRS, ROWS[name].paper or (), strict=False))
        shown = []
        for key in COLUMNS:
            middle, deviation = spread([m["figures"][key] for m in measured])
            own = f"{middle:.1f}" + (f" ± {deviation:.1f}" if len(measured) > 1 else "")
            shown.append(f"{own} ({paper[key]})" if key in paper else own)
        cells.append([ROWS[name].title, *shown, str(measured[0]["cpu_seconds"])])
    heads = [f"{title} ({THEIRS[key]})" if key in THEIRS else title for key, title in COLUMNS.items()]
    size, steps = facts["size"], facts["steps"]
    command = f"python -m sugar evaluate adapters --base {facts['base']} --steps {steps}"
    command += f" --seeds {seeds} --size {size}"
    if set(rows) != set(ROWS):
        command += f" --only {' '.join(rows)}"
    return {
        "command": command,
        **provenance(),
        "note": f"%, {size} candidates, by embedding alone; {steps} steps each",
        "columns": ["row", *heads, "CPU seconds of training"],
        "rows": cells,
    }
