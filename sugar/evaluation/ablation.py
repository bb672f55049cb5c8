"""The paper's ablation on the drawn world: every variant trained briefly and alike, from one generative base,
with several seeds.

    python -m sugar evaluate ablation --steps 600 --seeds 2 --out runs/ablation

`base/` is what all variants start from, as the paper's start from VILA: it answers and captions, and its
embeddings are not trained. `VARIANT-SEED/` is a run and what it measured (`measured.json`); `ablation.md`,
`ablation.png` and `ablation.json` are the results, written anew after each run. Finished runs are kept,
interrupted ones resume. "full" is PAPER of `sugar/training/recipes/sugar.py`; every other row but the last
changes one part of it. How to read the results: README.md of this folder.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from sugar.core import Sugar
from sugar.errors import SettingsError
from sugar.evaluation import change, existence, retrieval, story, swapped, vqa
from sugar.evaluation.opening import open_model
from sugar.model.checkpoint import read_state
from sugar.paths import output_folder
from sugar.training.from_nothing import DrawnTask, SugarConfig
from sugar.training.loop import STATE, Run, train
from sugar.training.recipes.sugar import PAPER, SHIPPED, Method, by
from sugar.training.steps import MixConfig


@dataclass(frozen=True)
class Variant:
    """A row: one change of a method. paper: the paper's own figures (SQA-I, POPE, VIST 5c+4i R@5, COCO T2I
    R@5, Winoground image); None where it has no such row."""

    title: str
    method: Method
    paper: tuple[float, float, float, float, float] | None = None


def changed(method: Method, **terms: object) -> Method:
    """The method with one term changed."""
    return replace(method, terms=replace(method.terms, **terms))  # type: ignore[arg-type]


VARIANTS = {
    "full": Variant("the paper's objective", PAPER, (72.6, 86.6, 46.7, 49.1, 36.3)),
    "no-discriminative": Variant(
        "without the similarity loss (generative only)",
        changed(PAPER, similarity=0.0),
        (72.8, 85.3, 42.0, 49.6, 34.8),
    ),
    "no-generative": Variant(
        "without the language loss (similarity only)",
        changed(PAPER, language=0.0),
        (68.0, 86.4, 40.7, 46.0, 33.5),
    ),
    "no-gak": Variant(
        "without GAK (mean slice similarity)",
        changed(PAPER, kernel="mean"),
        (72.1, 86.0, 33.5, 48.2, 29.3),
    ),
    "no-triple": Variant(
        "without Triple Kernel (cross-modal part only)",
        changed(PAPER, triple=False),
        (71.6, 85.3, 44.1, 49.0, 20.5),
    ),
    "no-average": Variant(
        "without average pooling (last token)",
        changed(PAPER, pooling="last"),
        (72.4, 86.2, 38.1, 39.7, 31.5),
    ),
    "infonce": Variant("InfoNCE in place of the squared error", changed(PAPER, contrastive_only=True)),
    "alpha": Variant("+ alpha 5", changed(PAPER, similarity=5.0)),
    "relabelled": Variant("+ relabelling of referents", changed(PAPER, referent_labels=True)),
    "prefixes": Variant("+ kernel between prefixes of one sample", changed(PAPER, same_sample="kernel")),
    "exact": Variant("+ exact cross-modal target", changed(PAPER, cross_modal_target="exact")),
    "swap": Variant("+ swap term", changed(PAPER, swap=0.2)),
    "referent": Variant("+ referent term", changed(PAPER, referent=0.2)),
    "dense": Variant("+ dense term", changed(PAPER, dense=0.2)),
    "length-weighting": Variant("+ length weighting", changed(PAPER, length_weighting=0.5)),
    "alignment": Variant("+ token-word alignment", changed(PAPER, token_word_alignment=0.3)),
    "muon": Variant("+ Muon", replace(PAPER, optimizer="muon")),
    "shipped": Variant("all of these, with the linear schedule: the embedded model's", SHIPPED),
}
COLUMNS = {  # key: (title, the paper's nearest column)
    "vqa": ("VQA", "SQA-I"),
    "pope_adversarial": ("POPE adversarial", "POPE"),
    "story_r1": ("story R@1", "VIST 5c+4i R@5"),
    "t2i_r1": ("text -> image R@1", "COCO T2I R@5"),
    "winoground_image_embedding": ("Winoground image", "Winoground image"),
    "composed_r1": ("picture + change R@1", ""),
    "winoground_image_answer": ("Winoground image by answer", ""),
}
MIX = MixConfig(
    answers=6,
    questions=7,
    swapped=3,
    captions=8,
    stories=3,
    edits=3,
    differences=0,
    cards=0,
    copies=0,
    chats=0,
)
GENERATIVE = replace(SHIPPED, terms=replace(SHIPPED.terms, similarity=0.0, referent=0.0, swap=0.0))
BASE = by(GENERATIVE, SugarConfig(steps=1100, dense_steps=500, mix=MIX, easy_until=700, save_every=100))
"""Of a model from nothing: 500 steps that read the scene graph off the tower, 600 that answer and caption."""
VARIED = SugarConfig(rate=3e-4, dense_steps=0, mix=MIX, easy_until=0, save_every=60)
"""The rate keeps what the base can: at 1.5e-3 its language loss doubled within 200 training steps."""


def measure(model: Sugar, seed: int, size: int) -> dict[str, float]:
    """The columns, in percent, on test scenes."""
    figures = vqa.measure(model, seed, size)
    for benchmark in (existence, story, retrieval, change, swapped):
        figures |= benchmark.measure(model, seed, size)
    return {key: 100 * figures[key].value for key in COLUMNS}


def base(out: Path, config: SugarConfig) -> dict[str, torch.Tensor]:
    """The weights of the shared base, but for the head of the embeddings."""
    config = replace(config, out=str(out / "base"))
    train(DrawnTask(config), quiet=True)
    state = read_state(out / "base" / STATE, "model")["model"]
    return {k: v for k, v in state.items() if not k.startswith("head.")}


def one(folder: Path, config: SugarConfig, start: dict[str, torch.Tensor], size: int) -> dict[str, float]:
    """Train a variant from the shared base, or go on with it, and measure it."""
    done = folder / "measured.json"
    asked = {"steps": config.steps, "size": size}
    if done.is_file() and (known := json.loads(done.read_text("utf-8")))["asked"] == asked:
        return known["figures"]
    config = replace(config, out=str(folder))
    if not (folder / STATE).is_file():
        run = Run(DrawnTask(config))
        own = run.task.module.state_dict().keys()
        missing, unexpected = run.task.module.load_state_dict(
            {k: v for k, v in start.items() if k in own}, strict=False
        )
        new = ("head.", "llava.lm_head.")  # the output layer is the embedding matrix
        assert not unexpected and all(k.startswith(new) for k in missing)
        run.save()
    began = time.process_time()
    train(DrawnTask(config), quiet=True)
    figures = measure(open_model(folder), config.seed, size)
    text = json.dumps(
        {"asked": asked, "figures": figures, "cpu_seconds": round(time.process_time() - began)}, indent=1
    )
    done.write_text(text + "\n", "utf-8")
    (folder / STATE).unlink()
    return figures


def run(
    *,
    out: str | Path,
    steps: int,
    seeds: int,
    size: int,
    only: Sequence[str] | None = None,
    precision: str = "no",
    started: SugarConfig = BASE,
    varied: SugarConfig = VARIED,
) -> int:
    """Train and compare; returns 0.

    precision: of the products, as in SugarConfig. Raises SettingsError for an unknown variant.
    """
    if unknown := set(only or ()) - set(VARIANTS):
        raise SettingsError(
            f"No variant is called {', '.join(sorted(unknown))}. There are {', '.join(VARIANTS)}."
        )
    out = output_folder(out, "--out")
    start = base(out, replace(started, precision=precision))
    results: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        for name in only or VARIANTS:
            config = by(
                VARIANTS[name].method, replace(varied, seed=seed + 1, steps=steps, precision=precision)
            )
            results.setdefault(name, []).append(one(out / f"{name}-{seed}", config, start, size))
            write(results, out, steps=steps, size=size)
            print(
                f"{name}, seed {seed}: " + ", ".join(f"{k} {v:.1f}" for k, v in results[name][-1].items()),
                flush=True,
            )
    print((out / "ablation.md").read_text("utf-8"))
    return 0


def write(results: dict[str, list[dict[str, float]]], out: Path, *, steps: int, size: int) -> None:
    """`ablation.json`, `ablation.md` and `ablation.png` from what is finished so far."""
    facts = {"steps": steps, "size": size, "results": results, "columns": heads(), "rows": rows(results)}
    (out / "ablation.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    (out / "ablation.md").write_text(table(results, steps=steps, size=size) + "\n", "utf-8")
    plot(results, out / "ablation.png")


def spread(values: Sequence[float]) -> tuple[float, float]:
    """(mean, standard deviation of a sample; 0 for one value)."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def table(results: dict[str, list[dict[str, float]]], *, steps: int, size: int) -> str:
    """Markdown: ours as mean ± standard deviation over seeds, and in brackets the paper's own figure
    of its nearest column."""
    seeds = max(map(len, results.values()))
    lines = [
        f"{steps} steps a variant from one generative base, {seeds} seeds, {size} candidates; % mean ± sd "
        "(the paper's own, on its data)",
        "",
        f"| {' | '.join(heads())} |",
        f"|---{'|---' * len(COLUMNS)}|",
    ]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows(results))])


def heads() -> list[str]:
    """The table's columns: ours, with the paper's nearest one in brackets."""
    return ["variant", *(f"{title} ({paper})" if paper else title for title, paper in COLUMNS.values())]


def rows(results: dict[str, list[dict[str, float]]]) -> list[list[str]]:
    """The table's cells, a row a variant."""
    found = []
    for name, measured in results.items():
        cells = [VARIANTS[name].title]
        for i, key in enumerate(COLUMNS):
            middle, deviation = spread([m[key] for m in measured])
            paper = VARIANTS[name].paper
            beside = f" ({paper[i]})" if paper and i < len(paper) else ""
            cells.append(f"{middle:.1f} ± {deviation:.1f}{beside}")
        found.append(cells)
    return found


def plot(results: dict[str, list[dict[str, float]]], path: str | Path) -> None:
    """A panel per column: bars are ours with their standard deviation, dots the paper's."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(results)[::-1]
    figure, axes = plt.subplots(1, len(COLUMNS), figsize=(19, 4.5), sharey=True)
    for i, (axis, (key, (title, paper))) in enumerate(zip(axes, COLUMNS.items(), strict=True)):
        spreads = [spread([m[key] for m in results[n]]) for n in names]
        axis.barh(
            range(len(names)),
            [s[0] for s in spreads],
            xerr=[s[1] for s in spreads],
            color="#7aa6d6",
            capsize=3,
        )
        published = [(VARIANTS[n].paper, y) for y, n in enumerate(names)]
        theirs = [(row[i], y) for row, y in published if row is not None and i < len(row)]
        if theirs:
            axis.plot(*zip(*theirs, strict=True), "ko", markersize=4, label=f"paper: {paper}")
            axis.legend(fontsize=7)
        axis.set_title(f"{title}, %", fontsize=10)
    axes[0].set_yticks(range(len(names)), [VARIANTS[n].title for n in names], fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
