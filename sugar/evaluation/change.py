"""Composed retrieval and its mirror: picture + change -> picture, and "what differs between these two?"."""

from __future__ import annotations

from collections import Counter

import numpy as np

from sugar.core import Sugar
from sugar.evaluation.figures import BLANK, Figure, picture, test_rng
from sugar.evaluation.loops import generate, retrieve
from sugar.metrics import recall_at_k, vqa_accuracy
from sugar.scenes import Scene, sample_edit, sample_scene, split_rng
from sugar.scenes.words import DIFFERENCE_QUESTION, OPERATIONS, Edit
from sugar.sequence import Sample


def measure(model: Sugar, seed: int, size: int) -> dict[str, Figure]:
    """`size` candidates: the targets of size / 2 changes and their sources, each source a decoy for its own
    target.

    language: the instruction alone; picture: the picture nearest to the source, itself left out, which most
    changes are small enough for. `composed_targets_*`: among the targets only. `composed_siblings_r1`: among
    six pictures, the source, the target and four other changes of the same source, so that only who reads the
    change finds it. Differences: the commonest one of the tuning split, and what is said of two blanks.
    """
    rng = test_rng(seed, "change")
    count = max(2, size // 2)
    edits = [sample_edit(sample_scene(rng), rng) for _ in range(count)]
    before, after = (
        [picture(s) for s in scenes] for scenes in ([e.before for e in edits], [e.after for e in edits])
    )
    queries = [Sample([b, e.instruction]) for b, e in zip(before, edits, strict=True)]
    sources, targets = [Sample(b) for b in before], [Sample(a) for a in after]
    own = np.arange(count)
    whole = retrieve(model, queries, targets + sources)
    words = retrieve(model, [Sample(e.instruction) for e in edits], targets + sources)
    alone = retrieve(model, sources, targets + sources)
    alone[
        own, count + own
    ] = -np.inf  # as a query a source meets itself first: the picture-only baseline may leave it out
    figures = {}
    for k in (1, 5):
        one, many = min(1.0, k / count), k / (2 * count)
        figures[f"composed_r{k}"] = Figure(
            recall_at_k(whole, own, k), many, recall_at_k(words, own, k), recall_at_k(alone, own, k)
        )
        there = slice(0, count)
        figures[f"composed_targets_r{k}"] = Figure(
            recall_at_k(whole[:, there], own, k),
            one,
            recall_at_k(words[:, there], own, k),
            recall_at_k(alone[:, there], own, k),
        )
    figures |= _siblings(model, seed, count)
    figures |= _difference(model, seed, size)
    return figures


def _siblings(model: Sugar, seed: int, count: int, others: int = 4) -> dict[str, Figure]:
    rng = test_rng(seed, "siblings")
    families = [_family(sample_scene(rng), 1 + others, rng) for _ in range(count)]
    sources = [Sample(picture(f[0].before)) for f in families]
    candidates = [
        Sample(picture(f[i].after)) for i in range(1 + others) for f in families
    ] + sources  # the targets first
    own = np.arange(count)
    strange = own[:, None] != np.tile(own, 2 + others)  # another source's picture

    def recall(queries: list[Sample], left_out: np.ndarray) -> float:
        return recall_at_k(np.where(left_out, -np.inf, retrieve(model, queries, candidates)), own, 1)

    instructions = [f[0].instruction for f in families]
    whole = recall([s + Sample(i) for s, i in zip(sources, instructions, strict=True)], strange)
    words = recall([Sample(i) for i in instructions], strange)
    is_source = np.arange(len(candidates)) >= len(candidates) - count
    alone = recall(sources, strange | is_source)
    return {"composed_siblings_r1": Figure(whole, 1 / (2 + others), words, alone)}


def _family(scene: Scene, count: int, rng: np.random.Generator) -> list[Edit]:
    """`count` changes of one scene with different outcomes."""
    found: list[Edit] = []
    while len(found) < count:
        edit = sample_edit(scene, rng)
        if all(edit.after != e.after for e in found):
            found.append(edit)
    return found


def _difference(model: Sugar, seed: int, size: int) -> dict[str, Figure]:
    rng = test_rng(seed, "difference")
    edits = [sample_edit(sample_scene(rng), rng) for _ in range(size)]
    said = generate(
        model,
        [Sample([picture(e.before), picture(e.after), DIFFERENCE_QUESTION]) for e in edits],
        max_new_tokens=24,
    )
    truth = [e.difference for e in edits]
    tuning = split_rng("tuning", 1)
    common = Counter(sample_edit(sample_scene(tuning), tuning).difference for _ in range(1500)).most_common(
        1
    )[0][0]
    blind = generate(model, [Sample([BLANK, BLANK, DIFFERENCE_QUESTION])], max_new_tokens=24) * size
    language = max(vqa_accuracy([common] * size, truth), vqa_accuracy(blind, truth))
    figures = {"difference": Figure(vqa_accuracy(said, truth), 0.0, language)}
    for operation in OPERATIONS:
        chosen = [i for i, e in enumerate(edits) if e.operation == operation]
        if chosen:
            figures[f"difference {operation}"] = Figure(
                vqa_accuracy([said[i] for i in chosen], [truth[i] for i in chosen])
            )
    return figures
