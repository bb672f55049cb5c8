"""Sugar's recipes, and the one constant that says what the paper does.

PAPER: the objective and optimiser as the paper has them. The recipe `paper`, the ablation's first row and
the README all take it from here. SHIPPED: what the embedded model was trained by. `deviations(config)`
lists, by name, all that differs.

tiny: the embedded model from nothing, in bfloat16 (`--precision no` on a CPU without bfloat16 products).
paper: the same shape by PAPER. The dense stage stands in for the paper's pretrained base, which a model from
nothing lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from sugar.training.from_nothing import DrawnTask, SugarConfig
from sugar.training.terms import Terms


@dataclass(frozen=True)
class Method:
    """An objective and the way it is descended."""

    terms: Terms = Terms()
    optimizer: str = "adamw"
    schedule: str = "cosine"


PAPER = Method()
"""L_g + 1.0 x L_d on the 1/n^2 form, Triple Kernel and GAK, mean pooling, AdamW, cosine; no added term,
no relabelling."""

SHIPPED = Method(
    Terms(
        similarity=5.0,
        swap=0.2,
        referent=0.2,
        dense=0.2,
        length_weighting=0.5,
        token_word_alignment=0.3,
        cross_modal_target="exact",
        referent_labels=True,
        same_sample="kernel",
    ),
    optimizer="muon",
    schedule="linear",
)

DEVIATIONS = {
    "similarity": "alpha, the weight of the similarity loss, is {} (paper: 1 on the 1/n^2 form)",
    "language": "the weight of the language loss is {} (paper: 1)",
    "swap": "a 2 x 2 cross-entropy over swapped pairs at weight {}",
    "referent": "InfoNCE for queries with a known referent, and for captions, at weight {}",
    "dense": "the scene graph is read off the vision tower at weight {} in every step",
    "length_weighting": "a token of an answer of n tokens weighs n^-{} in the language loss",
    "token_word_alignment": "picture tokens are drawn to the words for what they show, at weight {}",
    "cross_modal_target": "the cross-modal encoder of the drawn world is `{}` (the paper's CLIP is "
    "near a bag of attributes)",
    "kernel": "the label of two sequences is `{}` (paper: gak)",
    "triple": "Triple Kernel is {} (paper: True)",
    "pooling": "pictures are pooled by `{}` (paper: mean)",
    "form": "the similarity loss has the form `{}`",
    "referent_labels": "relabelling of (query with a referent, picture) by the slice kernel with the "
    "referent: {}",
    "same_sample": "two positions of one sample are labelled by the `{}` of their prefixes (paper: 1)",
    "contrastive_only": "InfoNCE in place of the squared error: {}",
    "optimizer": "the optimiser is {} for matrices, AdamW for the rest (paper: AdamW for every weight)",
    "schedule": "the rate follows `{}` (paper: cosine)",
    "dense_steps": "a dense stage trains the vision tower on the scene graph for {} steps first",
}


def deviations(config: Mapping[str, Any]) -> dict[str, str]:
    """What a run did otherwise than the paper: name of the setting -> one sentence.

    Args:
        config: its settings as `training.json` keeps them (`dataclasses.asdict`).
    """
    terms = {f.name: getattr(PAPER.terms, f.name) for f in fields(Terms)}
    found = {n: v for n, v in config["terms"].items() if n in terms and v != terms[n]}
    found |= {n: config[n] for n in ("optimizer", "schedule") if config[n] != getattr(PAPER, n)}
    if config["dense_steps"]:
        found["dense_steps"] = config["dense_steps"]
    return {name: DEVIATIONS[name].format(value) for name, value in found.items()}


def by(method: Method, config: SugarConfig) -> SugarConfig:
    """The run of `config` by another method."""
    return replace(config, terms=method.terms, optimizer=method.optimizer, schedule=method.schedule)


TINY = by(SHIPPED, SugarConfig(precision="bf16"))
CONFIGS = {"tiny": TINY, "paper": by(PAPER, replace(TINY, out="runs/paper"))}
TASK = DrawnTask
