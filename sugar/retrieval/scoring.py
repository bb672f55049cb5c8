"""The score of a picture for a query, and how far a score stands out from the gallery's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from sugar.dtw import PackedSequences, cdist_gak, choose_path
from sugar.gallery import Gallery
from sugar.retrieval.terms import EmbeddedQuery

FEW = 3
"""With fewer items a gallery has no distribution of scores."""


def alignment_device(device: str) -> torch.device:
    """Where slices are aligned for a model on `device`: there; for mps, which has no float64, on the CPU."""
    return torch.device("cpu" if device.startswith("mps") else device)


def alignment_path(device: str) -> str:
    """How and where a large search is aligned for a model on `device`, for people."""
    where = alignment_device(device)
    return f"{choose_path(None, where)} on {where}"


def alignment_scores(
    query: EmbeddedQuery, items: Sequence[np.ndarray], delta: float, *, align: bool
) -> np.ndarray:
    """Score every item for an embedded query; README.md in this folder has the formula.

    The items' slices go to the model's device in one block and stay there until the scores are known.

    Args:
        query: T weighted terms.
        items: N arrays (m_i, D), the items' slices; the first row is the picture's own vector.
        delta: width of the kernel.
        align: include the alignment of items with several slices; otherwise the picture alone counts.
    Returns:
        (N,) scores in [0, 1].
    """
    device = alignment_device(query.device)
    rows = torch.from_numpy(np.concatenate(items)).to(device).split([len(slices) for slices in items])
    pictures = torch.stack([slices[0] for slices in rows])  # (N, D)
    captioned = [i for i, slices in enumerate(rows) if len(slices) > 1]
    total = torch.zeros(len(rows), dtype=torch.float64, device=device)  # sum of weighted logarithms
    for weight, slices in zip(query.weights.tolist(), query.slices, strict=True):
        own = torch.from_numpy(np.ascontiguousarray(slices)).to(device)  # (n, D)
        whole = slice_kernel(pictures @ own[-1], delta)  # (N,)
        score = whole.clone()
        if align and captioned:  # for an item of one slice, the alignment is the kernel `whole` itself
            aligned = _window_kernel(own, [rows[i] for i in captioned], delta)
            score[captioned] = (whole[captioned] * aligned).sqrt()
        total += abs(weight) * (score if weight > 0 else 1 - score).clamp(1e-12, 1).log()
    return (total / np.abs(query.weights).sum()).exp().cpu().numpy()


def slice_kernel(cosine: torch.Tensor, delta: float) -> torch.Tensor:
    """Cuturi's kernel of two unit slices, element by element, in float64.

    g / (2 - g) with g = exp(-phi / (2 delta^2)) and phi = 2 - 2 cos. Source: Cuturi 2011.
    """
    g = torch.exp(-(2 - 2 * cosine.double()).clamp(min=0) / (2 * delta * delta))
    return g / (2 - g)


def _window_kernel(query: torch.Tensor, items: Sequence[torch.Tensor], delta: float) -> torch.Tensor:
    """The best normalised kernel of the query's last l slices over all windows of l slices of each item.

    query: (n, D). items: N tensors (m_i, D), on the query's device. l = min(n, m_i). Returns (N,).
    """
    best = torch.zeros(len(items), dtype=torch.float64, device=query.device)
    windows: dict[int, list[tuple[int, torch.Tensor]]] = {}
    for number, rows in enumerate(items):
        size = min(len(query), len(rows))
        windows.setdefault(size, []).extend((number, rows[j : j + size]) for j in range(len(rows) - size + 1))
    for size, chosen in windows.items():
        numbers = torch.tensor([n for n, _ in chosen], device=query.device)
        if size == 1:
            values = slice_kernel(torch.cat([w for _, w in chosen]) @ query[-1], delta)
        else:
            packed = PackedSequences.from_list([w for _, w in chosen])
            values = cdist_gak([query[-size:]], packed, delta=delta)[0].double()
        best.scatter_reduce_(0, numbers, values, "amax")
    return best.clamp(0, 1)


def score_distribution(gallery: Gallery, vector: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the inner products of a query vector (D,) with a spread of the gallery.

    (0, 0) for a gallery of fewer than three items.
    """
    scores = gallery.spread() @ vector
    return (float(scores.mean()), float(scores.std())) if len(scores) >= FEW else (0.0, 0.0)


def story_cost_distribution(similarity: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the cost of a story told with one picture per slice, from every start.

    similarity: (story slices, pictures) cosines. (0, 0) where fewer than three starts exist.
    """
    n, total = similarity.shape
    count = total - n + 1
    if count < FEW:
        return 0.0, 0.0
    costs = np.sum([2 - 2 * similarity[i, i : i + count].astype(np.float64) for i in range(n)], axis=0)
    return float(np.mean(costs)), float(np.std(costs))


def relevance(margin: float) -> Literal["clear", "likely", "weak"]:
    """A margin, in standard deviations, as a word: clear, likely or weak."""
    return "clear" if margin >= 3 else "likely" if margin >= 1.5 else "weak"
