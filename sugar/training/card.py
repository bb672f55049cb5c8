"""The model card of a checkpoint: recipe, data, seeds, hardware, time, measured quality and limits, from the
files beside it.

    write_card("assets/sugar-tiny", titles)         # reads training.json and quality.json, writes README.md

Nothing in the card is typed by hand that a file could say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sugar.scenes.vocabulary import vocabulary
from sugar.training.recipes.sugar import deviations

INTRO = """---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
tags: [sugar, retrieval, interleaved, tiny]
---
# sugar-tiny

A very small multimodal language model ({parameters:.1f} M parameters, {megabytes:.1f} MB in bfloat16) that
both answers questions about drawn scenes and embeds interleaved sequences of pictures and words for
retrieval. It was trained from nothing by this project, by the method of *Unified Generative and
Discriminative Training for Multi-modal Large Language Models* (Sugar, NeurIPS 2024), so that every tab
works on any CPU without a download.

**Limits.** It knows a drawn world only: {kinds} kinds of objects in 10 colours on a 3 x 3 grid, 8 places,
day and night, four kinds of weather, and {words} words. It does not understand photographs, and words that
it was not taught are blanks to it. Use a hub model for photos.

## How it was trained

- shape: LLaVA architecture. CLIP vision tower on 96 x 96 pictures in 32 x 32 patches, two-layer projector,
  Llama decoder, word-level tokenizer; head: two-layer GELU MLP to {dimension} dimensions.
- data: the drawn world, endless, from the `train` seeds only (seed {seed}). Held-out (object, colour) pairs
  never occur. Held-out relations are in no picture and no caption, but 202 of 4,049 yes/no questions about
  relations named one, always with the answer "no"; that is mended since, and this checkpoint was made
  before.
- objective: next-token cross-entropy on answers (L_g) plus {similarity} x squared error between embedding
  cosines and the label matrix (L_d, mean over pairs): normalised Global Alignment Kernel over slices with
  the Triple Kernel, delta 0.7.
- **what the labels were.** Most entries compared two single slices, where the label is a plain cosine: of
  9,153 entries of a step 3,249 came from the alignment kernel, and 137 of those exceeded 0.05. 3 % of the
  samples drew more than one position. A query with a referent was labelled by K(query + c, query +
  referent), which is .68 to .76 for every wrong picture and cannot be fitted below a squared error of
  .0088. Today's recipe draws 2 to 4 positions of every longer sample, adds samples of like length that
  share parts, and labels such a query as its referent; this checkpoint was made before.
- **deviations from the paper, each a switch:** {deviations}.
- {steps} steps, {hours:.1f} hours on {hardware}.
- again, from nothing: `python -m sugar train --recipe sugar --config tiny`

## Measured

On fresh scenes of the `test` seeds ({size} a task), beside what chance or a baseline gives; `python -m
sugar evaluate drawn --seed {test_seed} --size {size}`.

{table}

All other figures stand in `quality.json` beside this card.
"""


def write_card(folder: str | Path, titles: Mapping[str, str]) -> Path:
    """Write `folder`/README.md. titles: what the card shows of quality.json, by key. Raises
    FileNotFoundError when training.json or quality.json is missing, KeyError when a figure is."""
    folder = Path(folder)
    training = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    quality: dict[str, Any] = json.loads((folder / "quality.json").read_text(encoding="utf-8"))
    config, terms = training["config"], training["config"]["terms"]
    size = (folder / "model.safetensors").stat().st_size
    head = json.loads((folder / "sugar.json").read_text(encoding="utf-8"))["head"]
    text = INTRO.format(
        parameters=size / 2e6,
        megabytes=size / 1e6,
        kinds=24,
        words=len(vocabulary()),
        dimension=head["dimension"],
        seed=config["seed"],
        dense_steps=config["dense_steps"],
        decay=config["decay"],
        steps=training["step"],
        hours=training["seconds"] / 3600,
        hardware=training["hardware"],
        size=quality.get("size", ""),
        test_seed=quality.get("seed", ""),
        table=quality_table(quality, titles),
        deviations="; ".join(deviations(config).values()),
        **terms,
    )
    path = folder / "README.md"
    path.write_text(text, encoding="utf-8")
    return path


def quality_table(quality: dict[str, Any], titles: Mapping[str, str]) -> str:
    """Markdown rows of the figures with a title, and of the strongest baseline of each."""
    rows = [f"| {title} | {quality[k]:.1f} | {quality[f'{k}_baseline']:.1f} |" for k, title in titles.items()]
    return "\n".join(["| % | this model | baseline |", "|---|---|---|", *rows])
