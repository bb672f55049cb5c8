"""The label matrix of a batch: which positions are drawn, and what their cosines should be.

    positions = draw_positions(example, rng)
    facts = batch_facts(example, positions, teachers)     # what labels need, without a picture or a token
    labels(merge([facts, facts_of_another_process]))      # (P, P)

The kernel and its normalisation stand in sugar/dtw; this file feeds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sugar.dtw import TwoPart, label_matrix, triple_kernel
from sugar.training.data.example import Example
from sugar.training.teachers.encoders import EncoderSet

Links = list[tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class BatchFacts:
    """What losses over embeddings need of a batch of S samples, conversations among them.

    flags: per sample which of its slices are pictures. positions: per sample the drawn slice ends, the last
    slice last. pairs, referents, swaps: as in Example. part1, part2: teachers' unit rows of all slices, None
    without labels.
    """

    flags: list[list[bool]]
    positions: list[list[int]]
    pairs: Links
    referents: Links
    swaps: Links
    part1: np.ndarray | None = None
    part2: np.ndarray | None = None

    @property
    def last(self) -> list[int]:
        """Of each sample, where its last position stands among all drawn positions."""
        return [int(e) - 1 for e in np.cumsum([len(p) for p in self.positions])]

    @property
    def count(self) -> int:
        return sum(len(p) for p in self.positions)


def draw_positions(
    example: Example, rng: np.random.Generator, *, conversations: bool = True
) -> list[list[int]]:
    """Per sequence of an example 2 to 4 of the allowed slice ends where there are that many, the last one
    always; of its samples alone without `conversations`."""
    allowed = [target.allowed for target in example.samples]
    if conversations:
        allowed += [tuple(range(len(c.sample))) for c in example.conversations]
    found = []
    for *inner, last in allowed:
        chosen = rng.permutation(len(inner))[: int(rng.integers(1, 4))]
        found.append([*sorted(inner[i] for i in chosen), last])
    return found


def batch_facts(
    example: Example, positions: Sequence[Sequence[int]], teachers: EncoderSet | None
) -> BatchFacts:
    """The facts of the sequences of an example that have positions. teachers: None where nothing is
    labelled."""
    sequences = example.sequences[: len(positions)]
    slices = [s for sample in sequences for s in sample]
    parts = teachers.encode(slices) if teachers is not None and slices else (None, None)
    return BatchFacts(
        [[s.is_image for s in sample] for sample in sequences],
        [list(p) for p in positions],
        list(example.pairs),
        list(example.referents),
        list(example.swaps),
        *parts,
    )


def merge(found: Sequence[BatchFacts]) -> BatchFacts:
    """The facts of several examples, or processes, as one batch, in order."""
    whole, *others = [f for f in found if f.flags] or [BatchFacts([], [], [], [], [])]
    for f in others:
        shift = len(whole.flags)
        links = {
            name: getattr(whole, name) + [tuple(i + shift for i in link) for link in getattr(f, name)]
            for name in ("pairs", "referents", "swaps")
        }
        parts = {
            name: np.concatenate([a, b])
            for name in ("part1", "part2")
            if (a := getattr(whole, name)) is not None and (b := getattr(f, name)) is not None
        }
        whole = replace(
            whole,
            flags=whole.flags + f.flags,
            positions=whole.positions + f.positions,
            **links,
            **parts,  # type: ignore[arg-type]
        )
    return whole


def labels(
    facts: BatchFacts,
    *,
    relabel: bool = False,
    same_sample: str = "one",
    kernel: str = "gak",
    triple: bool = True,
    delta: float = 1.0,
    device: torch.device | str = "cpu",
) -> Tensor:
    """The Triple Kernel's label matrix (P, P) float32 of all drawn positions, sample by sample.

    Args:
        relabel: label the last position of a query as its referent.
        same_sample: label of two positions of one sample: "one" (the paper's), or "kernel": as any other two
            sequences.
        kernel: "gak", K / D(n, m); "gak-self", K / sqrt(K(x,x) K(y,y)), whose amplitude is gone for long
            sequences; or "mean", the mean slice similarity. triple: False compares within a modality by the
            cross-modal part too. Both are the paper's ablation.
        device: where the teachers' rows are compared, and where the labels lie.
    """
    assert facts.part1 is not None and facts.part2 is not None, "labels need teachers"
    ends = np.cumsum([0, *(len(f) for f in facts.flags)])
    kept = (facts.part1 if triple else facts.part2, facts.part2)
    part1, part2 = (torch.from_numpy(p).to(device) for p in kept)
    sequences = [
        TwoPart(part1[a:b], part2[a:b], flags)
        for a, b, flags in zip(ends[:-1], ends[1:], facts.flags, strict=True)
    ]
    positions = facts.positions
    if same_sample == "kernel":
        sequences = [s[: p + 1] for s, row in zip(sequences, positions, strict=True) for p in row]
        positions = [[len(s) - 1] for s in sequences]
    if kernel == "mean":
        target = mean_matrix(sequences, positions)
    else:
        normalized = "self" if kernel == "gak-self" else "paths"
        target = label_matrix(sequences, positions, delta=delta, normalized=normalized).float()
    if relabel:
        source = torch.arange(len(target), device=target.device)
        for query, referent in facts.referents:
            source[facts.last[query]] = facts.last[referent]
        target = target[source][:, source]
    return target


def mean_matrix(sequences: Sequence[TwoPart], positions: Sequence[Sequence[int]]) -> Tensor:
    """Labels (P, P) of the ablation without GAK: the mean cosine over all pairs of slices of two prefixes,
    1 within a sequence."""
    part1, part2, flags = (
        torch.cat([getattr(s, name) for s in sequences]) for name in ("part1", "part2", "is_image")
    )
    cosines = 1 - triple_kernel(part1, part2, flags, part1, part2, flags).float() / 2  # (T, T)
    starts = np.cumsum([0, *map(len, sequences)])
    ends = [(s, int(starts[s]), int(starts[s]) + p + 1) for s, row in enumerate(positions) for p in row]
    chosen = torch.zeros(len(ends), len(cosines), device=cosines.device)
    for i, (_, low, high) in enumerate(ends):
        chosen[i, low:high] = 1 / (high - low)
    target = chosen @ cosines @ chosen.T
    owner = torch.tensor([s for s, _, _ in ends], device=cosines.device)
    target[owner[:, None] == owner[None, :]] = 1.0
    return target


def label_statistics(target: Tensor, positions: Sequence[Sequence[int]]) -> dict[str, int]:
    """How much of a label matrix carries signal. Counts pairs of positions of different samples.

    Returns: pairs; kernel, those where at least one position has seen several slices (an alignment kernel,
    not a plain cosine); kernel_signal and signal, those of the kernel pairs and of all pairs whose label
    exceeds 0.05.
    """
    device = target.device
    owner = torch.tensor([s for s, row in enumerate(positions) for _ in row], device=device)
    several = torch.tensor([p > 0 for row in positions for p in row], device=device)
    apart = torch.triu(owner[:, None] != owner[None, :])
    kernel = apart & (several[:, None] | several[None, :])
    high = target > 0.05
    return {
        "pairs": int(apart.sum()),
        "kernel": int(kernel.sum()),
        "kernel_signal": int((kernel & high).sum()),
        "signal": int((apart & high).sum()),
    }
