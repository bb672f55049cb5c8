"""Variants of a recipe, trained alike and measured on rows kept aside: the papers' ablations.

    python -m sugar evaluate ablation --base runs/base-{seed}/model --data drawn --steps 1200 --seed 0
    python -m sugar evaluate labels --data drawn --size 240        # what labels teach, without a model

Any base and any data. A variant changes one thing of the paper's settings. `VARIANT-SEED/` is a run and what
it measured (`measured.json`, item by item); `ablation.json` and `ablation.md` are the table of all seeds that
are finished, written anew after each run. Finished runs are kept, interrupted ones resume.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sugar.core import Sugar
from sugar.errors import SettingsError
from sugar.evaluation.comparison import interval
from sugar.evaluation.report import markdown_table
from sugar.metrics.retrieval import ranks
from sugar.model.processor import Batch, Layout, Processor
from sugar.sequence import Sample
from sugar.training.data import open_data
from sugar.training.data.example import Example, Target, join
from sugar.training.data.mixture import Mixture, read_row
from sugar.training.loop import train
from sugar.training.losses import Terms
from sugar.training.recipes import RECIPES
from sugar.training.teachers import batch_facts, draw_positions, labels, open_teachers

COLUMNS = {
    "text_to_picture": "text -> picture R@1",
    "picture_to_text": "picture -> text R@1",
    "story_to_picture": "story -> picture R@1",
    "query_to_picture": "picture + change -> picture R@1",
    "album_to_album": "album -> album R@1",
    "in_order": "retold in order against shuffled",
    "swapped_image": "swapped pairs, image",
    "swapped": "swapped pairs, group",
}
SUGAR = ("text_to_picture", "story_to_picture", "swapped_image")
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


# The papers' rows without data have no bracket: they drop data, these drop the loss on them.
VARIANTS = {
    "full": _terms("the paper's objective", (49.1, 46.7, 36.3)),
    "no-discriminative": _terms("without the similarity loss", similarity=0.0),
    "no-generative": _terms("without the language loss", language=0.0),
    "no-gak": _terms("without GAK (mean slice similarity)", (48.2, 33.5, 29.3), kernel="mean"),
    "no-triple": _terms("without Triple Kernel (cross-modal part only)", (49.0, 44.1, 20.5), triple=False),
    "no-average": _terms("without average pooling (last token)", (39.7, 38.1, 31.5), pooling="last"),
    "infonce": _terms("InfoNCE in place of the squared error", contrastive_only=True),
    "apart": _terms("slice ends of samples alone, none within conversations", conversations=False),
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


LABELS: dict[str, dict[str, Any]] = {
    "self-0.7": {"kernel": "gak-self", "delta": 0.7},
    "gak-0.7": {"delta": 0.7},
    "gak-1": {"delta": 1.0},
    "gak-1-prefixes": {"delta": 1.0, "same_sample": "kernel"},
    "gak-1.5": {"delta": 1.5},
    "mean": {"kernel": "mean"},
}
SWEEP = {
    f"{name}-alpha-{alpha}": _terms(f"label {name}, alpha {alpha}", similarity=float(alpha), **choice)
    for name, choice in LABELS.items()
    for alpha in (1, 10, 100)
}
"""Every label under every alpha, to choose one of each: these rows run where `--only` names them."""
ROWS = VARIANTS | SWEEP


class LastToken(Processor):
    """Pictures are read at their last token, as texts are: how `pooling="last"` was trained."""

    def collate(self, layouts: Sequence[Layout], side: str = "right") -> Batch:
        plain = [replace(x, slices=[(where, False) for where, _ in x.slices]) for x in layouts]
        return super().collate(plain, side)


def shuffled(sample: Sample, rng: np.random.Generator) -> Sample:
    """A story in another order: its slices, or its pictures each with the texts up to the next."""
    starts = [n for n, s in enumerate(sample) if s.is_image or not sample.images] or [0]
    chapters = [sample.slices[a:b] for a, b in zip(starts, [*starts[1:], len(sample)], strict=True)]
    order = np.arange(len(chapters))
    while len(chapters) > 1 and (order == np.arange(len(chapters))).all():
        order = rng.permutation(len(chapters))
    return Sample([*sample.slices[: starts[0]], *(s for n in order for s in chapters[n])])


class Measurement:
    """What the columns ask of rows kept aside, by embedding alone: texts against texts of all rows, pictures
    against all pictures, stories against all retellings, and each against its own in another order."""

    def __init__(self, examples: Iterable[Example]) -> None:
        self.rows = join(examples)
        rng = np.random.default_rng(0)
        self.samples = [t.sample for t in self.rows.samples]
        self.samples += [shuffled(self.samples[again], rng) for _, again in self.rows.retold]
        pictures = [n for n, s in enumerate(self.samples) if [x.is_image for x in s] == [True]]
        self.column = {n: k for k, n in enumerate(pictures)}

    def hits(self, r: np.ndarray) -> dict[str, list[int]]:
        """By column, 1 for each item that is right and 0 for the others. r: (samples, D) unit rows."""
        rows, column = self.rows, self.column
        found: dict[str, np.ndarray] = {}

        def first(queries: Sequence[int], candidates: Sequence[int], right: Sequence[int]) -> np.ndarray:
            return ranks(r[list(queries)] @ r[list(candidates)].T, np.array(right)) < 1

        # captions of one picture would be rivals
        if pairs := {picture: text for text, picture in reversed(rows.pairs)}:
            shown, texts = list(pairs), list(pairs.values())
            found["text_to_picture"] = first(texts, list(column), [column[p] for p in shown])
            found["picture_to_text"] = first(shown, texts, range(len(texts)))
        asked = [(q, p) for q, p in rows.referents if p in column]
        stories = [(q, p) for q, p in asked if len(self.samples[q]) > 2]
        changes = [(q, p) for q, p in asked if len(self.samples[q]) <= 2]
        for name, chosen in (("story_to_picture", stories), ("query_to_picture", changes)):
            if chosen:
                found[name] = first([q for q, _ in chosen], list(column), [column[p] for _, p in chosen])
        if rows.swaps:
            index = np.array(rows.swaps)
            s = r[index[:, 2:]] @ r[index[:, :2]].transpose(0, 2, 1)  # [pair, caption, picture]
            right, wrong = s.diagonal(axis1=1, axis2=2), s[:, :, ::-1].diagonal(axis1=1, axis2=2)
            found["swapped_image"] = (right > wrong).all(1)
            found["swapped"] = right.min(1) > wrong.max(1)
        if rows.retold:
            told, again = (list(side) for side in zip(*rows.retold, strict=True))
            found["album_to_album"] = first(told, again, range(len(again)))
            other = list(range(len(rows.samples), len(self.samples)))
            cosines = [(r[told] * r[way]).sum(1) for way in (again, other)]
            found["in_order"] = cosines[0] > cosines[1]
        return {key: values.astype(int).tolist() for key, values in found.items()}


def fitted(target: torch.Tensor, width: int = 192, steps: int = 150) -> torch.Tensor:
    """Free unit vectors (P, width) whose cosines come near a label matrix (P, P): the best that a model could
    learn of it. By Adam, from random ones."""
    start = torch.randn(len(target), width, generator=torch.Generator().manual_seed(0))
    free = torch.nn.Parameter(start)
    optimizer = torch.optim.Adam([free], lr=0.05)
    for _ in range(steps):
        r = torch.nn.functional.normalize(free, dim=1)
        loss = (r @ r.T - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return torch.nn.functional.normalize(free.detach(), dim=1)


def label_table(data: Sequence[str], teachers: str, size: int) -> dict[str, Any]:
    """What free unit vectors find after they were fitted to each label: columns and rows, as of `table`.

    Of `size` rows that are kept aside, with slice ends drawn as in training; the last of each is measured.
    The lead: the label of a story and its referent, less the mean label of the story and the other pictures.
    """
    measured = Measurement(kept_aside(data, 0, size)[1])
    encoders = open_teachers(teachers)
    own = measured.rows.samples
    example = Example((*own, *map(Target, measured.samples[len(own) :])))
    facts = batch_facts(example, draw_positions(example, np.random.default_rng(0)), encoders)
    stories = [(q, p) for q, p in measured.rows.referents if len(measured.samples[q]) > 2]
    keys: list[str] = []
    rows = []
    for name, choice in LABELS.items():
        target = labels(facts, **choice)
        found = measured.hits(fitted(target).numpy()[facts.last])
        target = target[facts.last][:, facts.last]
        keys = list(found)
        seen = target[[q for q, _ in stories]][:, list(measured.column)]
        right = seen[range(len(stories)), [measured.column[p] for _, p in stories]]
        lead = right - (seen.sum(1) - right) / (seen.shape[1] - 1)
        rows.append([name, f"{float(lead.mean()):.4f}", *(cell([v]) for v in found.values())])
    return {"columns": ["label", "lead of the referent", *(COLUMNS[k] for k in keys)], "rows": rows}


def kept_aside(data: Sequence[str], seed: int, size: int) -> tuple[Mixture, list[Example]]:
    """The mixture of a seed, and the first `size` rows that it keeps aside."""
    opened = open_data(data)
    shares = [weight for _, weight in opened]
    mixture = Mixture([d for d, _ in opened], shares, seed=seed, held_out=HELD_OUT, most_held_out=size)
    read = [read_row(mixture.datasets[d], row) for d, row in mixture.validation[:size]]
    return mixture, [e for e in read if isinstance(e, Example)]


def one(variant: Variant, folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Train a variant, or go on with it, and measure it."""
    done = folder / "measured.json"
    if done.is_file() and (known := json.loads(done.read_text("utf-8")))["asked"] == asked:
        return known
    folder.mkdir(parents=True, exist_ok=True)
    shared = {k: asked[k] for k in ("base", "seed")}
    mixture, examples = kept_aside(asked["data"], asked["seed"], asked["size"])
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
    measured = Measurement(examples)
    hits = measured.hits(model.embed(measured.samples).pooled)
    found = {"asked": asked, "hits": hits, "cpu_seconds": round(trained)}
    done.write_text(json.dumps(found) + "\n", "utf-8")
    return found


def run(
    *,
    base: str,
    data: Sequence[str],
    teachers: str,
    out: Path,
    steps: int,
    seeds: Sequence[int],
    size: int,
    only: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Train and compare; returns what `ablation.json` holds: the seeds that are finished in `out`.

    base: may hold {seed}, where each seed has a base of its own. size: rows kept aside that are measured.
    Raises SettingsError for an unknown variant.
    """
    if unknown := set(only or ()) - set(ROWS):
        raise SettingsError(
            f"No variant is called {', '.join(sorted(unknown))}. There are {', '.join(ROWS)}."
        )
    shared = {"data": list(data), "teachers": teachers, "steps": steps, "size": size}
    facts: dict[str, Any] = {}
    for seed in seeds:
        for name in only or VARIANTS:
            asked = {"base": base.replace("{seed}", str(seed)), "seed": seed, **shared}
            measured = one(ROWS[name], out / f"{name}-{seed}", asked)
            facts = table(finished(out, only or tuple(VARIANTS), shared))
            (out / "ablation.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
            (out / "ablation.md").write_text(f"{markdown_table(facts['columns'], facts['rows'])}\n", "utf-8")
            told = {key: round(100 * float(np.mean(hits)), 1) for key, hits in measured["hits"].items()}
            print(name, seed, told, flush=True)
    return facts


def finished(out: Path, names: Sequence[str], shared: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """By variant, what its seeds measured under these settings, in order of the seeds."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        for file in out.glob(f"{name}-*/measured.json"):
            run = json.loads(file.read_text("utf-8"))
            if (
                file.parent.name == f"{name}-{run['asked']['seed']}"
                and shared.items() <= run["asked"].items()
            ):
                found.setdefault(name, []).append(run)
        found.get(name, []).sort(key=lambda run: run["asked"]["seed"])
    return found


def cell(runs: Sequence[Sequence[int]]) -> str:
    """Percent of right items over all runs, and the 95 % interval."""
    low, high = interval([np.array(hits) for hits in runs])
    return f"{100 * np.mean([np.mean(hits) for hits in runs]):.1f} ({100 * low:.0f} to {100 * high:.0f})"


def table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Columns and cells: percent with the 95 % interval over seeds and items, bold where the interval of the
    paired difference from the whole method leaves zero out; in brackets the paper's own figure of its nearest
    column."""
    keys = [key for key in COLUMNS if any(key in run["hits"] for runs in found.values() for run in runs)]
    rows = []
    for name, runs in found.items():
        variant = ROWS[name]
        whole = {r["asked"]["seed"]: r["hits"] for r in found.get(reference(variant), ())}
        cells = []
        for key in keys:
            text = cell([run["hits"][key] for run in runs])
            pairs = [(r["hits"][key], whole[s][key]) for r in runs if (s := r["asked"]["seed"]) in whole]
            low, high = interval([np.subtract(a, b) for a, b in pairs]) if pairs else (0.0, 0.0)
            text = f"**{text}**" if low > 0 or high < 0 else text
            cells.append(f"{text} [{variant.paper[key]}]" if key in variant.paper else text)
        seeds = f"{len(runs)} x {round(float(np.mean([run['cpu_seconds'] for run in runs])))}"
        rows.append([variant.title, *cells, seeds])
    columns = ["variant", *(COLUMNS[k] for k in keys), "seeds x CPU seconds"]
    return {"columns": columns, "rows": rows}


def reference(variant: Variant) -> str:
    """The row of the whole method: the paper's objective, or VladVA's last row."""
    return "full" if variant.recipe == "sugar" else "autoregressive"
