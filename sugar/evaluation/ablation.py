"""Variants of a recipe, trained alike and measured on rows kept aside: the papers' ablations.

    python -m sugar evaluate ablation --base sugar-tiny --data drawn --steps 300 --seeds 2 --out runs/ablation

Any base and any data. A variant changes one thing of the paper's settings. `VARIANT-SEED/` is a run and what
it measured (`measured.json`); `ablation.json` and `ablation.md` are the results, written anew after each run.
Finished runs are kept, interrupted ones resume.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sugar.core import Sugar
from sugar.errors import SettingsError
from sugar.metrics import recall_at_k
from sugar.model.processor import Batch, Layout, Processor
from sugar.training.data import open_data
from sugar.training.data.example import BadRow, Example, join
from sugar.training.data.mixture import Mixture, read_row
from sugar.training.loop import train
from sugar.training.recipes import RECIPES
from sugar.training.terms import Terms

__all__ = ["COLUMNS", "VARIANTS", "Variant", "measure", "run", "spread", "table"]

COLUMNS = {
    "text_to_picture": "text -> picture R@1",
    "picture_to_text": "picture -> text R@1",
    "query_to_picture": "query -> picture R@1",
    "swapped": "swapped pairs, group",
}
SUGAR = ("text_to_picture", "query_to_picture", "swapped")
"""Sugar's nearest columns: COCO T2I R@5, VIST 5c+4i R@5, Winoground image (its tables 6 and 7)."""
VLADVA = ("text_to_picture", "picture_to_text", "swapped")
"""VladVA's: Flickr T2I, Flickr I2T, SugarCrepe swap, at a million pairs (arXiv 2412.04378)."""
HELD_OUT = 0.2


@dataclass(frozen=True)
class Variant:
    """A row. recipe: None for no training. changes: settings that differ from the recipe's. paper: the
    paper's own figures, by column."""

    title: str
    recipe: str | None = "sugar"
    changes: Mapping[str, Any] = field(default_factory=dict)
    paper: Mapping[str, float] = field(default_factory=dict)


def _terms(title: str, paper: Sequence[float] = (), **changed: Any) -> Variant:
    return Variant(title, "sugar", {"terms": Terms(**changed)}, dict(zip(SUGAR, paper, strict=False)))


def _vladva(title: str, paper: Sequence[float], **parts: bool) -> Variant:
    switched = {"soft_prompt": False, "low_rank": False, "autoregressive": False, **parts}
    return Variant(title, "vladva", switched, dict(zip(VLADVA, paper, strict=True)))


VARIANTS = {
    "full": _terms("the paper's objective", (49.1, 46.7, 36.3)),
    "no-discriminative": _terms("without the similarity loss", (49.6, 42.0, 34.8), similarity=0.0),
    "no-generative": _terms("without the language loss", (46.0, 40.7, 33.5), language=0.0),
    "no-gak": _terms("without GAK (mean slice similarity)", (48.2, 33.5, 29.3), kernel="mean"),
    "no-triple": _terms("without Triple Kernel (cross-modal part only)", (49.0, 44.1, 20.5), triple=False),
    "no-average": _terms("without average pooling (last token)", (39.7, 38.1, 31.5), pooling="last"),
    "infonce": _terms("InfoNCE in place of the squared error", contrastive_only=True),
    "alpha": _terms("+ alpha 5", similarity=5.0),
    "relabelled": _terms("+ relabelling of referents", referent_labels=True),
    "prefixes": _terms("+ kernel between prefixes of one sample", same_sample="kernel"),
    "swap": _terms("+ swap term", swap=0.2),
    "referent": _terms("+ InfoNCE of pairs and queries", referent=1.0),
    "length-weighting": _terms("+ length weighting", length_weighting=0.5),
    "muon": Variant("+ Muon", "sugar", {"terms": Terms(), "optimizer": "muon"}),
    "hand-prompt": Variant(
        "VladVA: hand prompt, no training", None, {}, dict(zip(VLADVA, (59.6, 65.6, 59.8), strict=True))
    ),
    "soft-prompt": _vladva("VladVA: soft prompt", (76.7, 91.7, 66.9), soft_prompt=True),
    "lora": _vladva("VladVA: LoRA", (79.1, 91.4, 69.8), low_rank=True),
    "both": _vladva("VladVA: both", (79.6, 92.9, 72.0), soft_prompt=True, low_rank=True),
    "autoregressive": _vladva(
        "VladVA: both, and the autoregressive loss",
        (80.6, 91.8, 75.5),
        soft_prompt=True,
        low_rank=True,
        autoregressive=True,
    ),
}


class LastToken(Processor):
    """Pictures are read at their last token, as texts are: how `pooling="last"` was trained."""

    def collate(self, layouts: Sequence[Layout], side: str = "right") -> Batch:
        plain = [replace(x, slices=[(where, False) for where, _ in x.slices]) for x in layouts]
        return super().collate(plain, side)


def measure(model: Sugar, examples: Sequence[Example]) -> dict[str, float]:
    """The columns that the rows have, in percent, by embedding alone: texts against texts of all rows,
    pictures against all pictures."""
    rows = join(examples)
    first = {
        picture: text for text, picture in reversed(rows.pairs)
    }  # captions of one picture would be rivals
    r = model.embed([t.sample for t in rows.samples]).pooled
    pictures = [n for n, t in enumerate(rows.samples) if [s.is_image for s in t.sample] == [True]]
    column = {n: k for k, n in enumerate(pictures)}

    def recall(queries: Sequence[int], candidates: Sequence[int], right: Sequence[int]) -> float:
        return float(recall_at_k(r[list(queries)] @ r[list(candidates)].T, np.array(right), 1))

    found: dict[str, float] = {}
    if first:
        shown, texts = list(first), list(first.values())
        found["text_to_picture"] = recall(texts, pictures, [column[p] for p in shown])
        found["picture_to_text"] = recall(shown, texts, range(len(texts)))
    asked = [(q, p) for q, p in rows.referents if p in column]
    if asked:
        found["query_to_picture"] = recall([q for q, _ in asked], pictures, [column[p] for _, p in asked])
    if rows.swaps:
        index = np.array(rows.swaps)
        four = r[index[:, :2]] @ r[index[:, 2:]].transpose(0, 2, 1)  # [pair, picture, caption]
        right, wrong = four.diagonal(axis1=1, axis2=2), four[:, ::-1].diagonal(axis1=1, axis2=2)
        found["swapped"] = float((right.min(1) > wrong.max(1)).mean())
    return {key: round(100 * value, 2) for key, value in found.items()}


def one(variant: Variant, folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Train a variant, or go on with it, and measure it."""
    done = folder / "measured.json"
    if done.is_file() and (known := json.loads(done.read_text("utf-8")))["asked"] == asked:
        return known
    folder.mkdir(parents=True, exist_ok=True)
    data, shared = open_data(asked["data"]), {k: asked[k] for k in ("base", "seed")}
    mixture = Mixture([d for d, _ in data], [w for _, w in data], seed=asked["seed"], held_out=HELD_OUT)
    adapter, began = None, time.process_time()
    if variant.recipe:
        recipe = RECIPES[variant.recipe]
        more = {k: asked[k] for k in ("steps", "teachers")} | dict(variant.changes)
        config = replace(recipe.configs["own"], out=str(folder), validate_every=0, trackers="", **shared)
        adapter = train(recipe.task(replace(config, **more), mixture), quiet=True)
    trained = time.process_time() - began
    encoder = "auto" if variant.recipe == "sugar" else "prompt"
    model = Sugar.from_pretrained(asked["base"], adapter=adapter, encoder=encoder)
    terms = variant.changes.get("terms")
    if terms is not None and terms.pooling == "last":
        p = model.processor
        model.backbone.processor = LastToken(p.hf, p.image_token_id, p.family.name)
    chosen = mixture.validation[: asked["size"]]
    read: list[Example | BadRow] = [read_row(mixture.datasets[d], row) for d, row in chosen]
    figures = measure(model, [e for e in read if not isinstance(e, BadRow)])
    found = {"asked": asked, "figures": figures, "cpu_seconds": round(trained)}
    done.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return found


def run(
    *,
    base: str,
    data: Sequence[str],
    teachers: str,
    out: Path,
    steps: int,
    seeds: int,
    size: int,
    only: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Train and compare; returns what `ablation.json` holds.

    base: may hold {seed}, where each seed has a base of its own. size: rows kept aside that are measured.
    Raises SettingsError for an unknown variant.
    """
    if unknown := set(only or ()) - set(VARIANTS):
        raise SettingsError(
            f"No variant is called {', '.join(sorted(unknown))}. There are {', '.join(VARIANTS)}."
        )
    found: dict[str, list[dict[str, Any]]] = {}
    facts: dict[str, Any] = {}
    for seed in range(seeds):
        for name in only or VARIANTS:
            asked: dict[str, Any] = {"base": base.replace("{seed}", str(seed)), "data": list(data)}
            asked |= {"teachers": teachers, "steps": steps, "size": size, "seed": seed}
            measured = one(VARIANTS[name], out / f"{name}-{seed}", asked)
            found.setdefault(name, []).append(measured)
            facts = {"runs": found, **table(found)}
            (out / "ablation.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
            lines = [facts["columns"], ["---"] * len(facts["columns"]), *facts["rows"]]
            (out / "ablation.md").write_text("".join(f"| {' | '.join(x)} |\n" for x in lines), "utf-8")
            print(name, seed, measured["figures"], flush=True)
    return facts


def spread(values: Sequence[float]) -> tuple[float, float]:
    """(mean, standard deviation of a sample; 0 for one value)."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Columns and cells: ours as mean ± standard deviation over seeds, in brackets the paper's own figure of
    its nearest column."""
    keys = [key for key in COLUMNS if any(key in m["figures"] for runs in found.values() for m in runs)]
    rows = []
    for name, runs in found.items():
        cells = []
        for key in keys:
            middle, deviation = spread([m["figures"][key] for m in runs])
            own = f"{middle:.1f}" + (f" ± {deviation:.1f}" if len(runs) > 1 else "")
            paper = VARIANTS[name].paper
            cells.append(f"{own} ({paper[key]})" if key in paper else own)
        rows.append([VARIANTS[name].title, *cells, str(runs[0]["cpu_seconds"])])
    return {"columns": ["variant", *(COLUMNS[k] for k in keys), "CPU seconds"], "rows": rows}
