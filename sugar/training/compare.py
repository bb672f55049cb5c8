"""Losses over the embeddings of a whole batch: Sugar's similarity loss with its added terms, and VladVA's
InfoNCE.

    losses, skills = compare(embeddings, facts, target, terms)  # scalars by name; found and asked by name
    losses, skills = match_pairs(embeddings, facts, temperature=0.02)

embeddings (P, D) unit rows in the order of `facts.positions`. Not covered: where the embeddings come from.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sugar.errors import SettingsError
from sugar.training.losses import contrastive_loss, similarity_loss, swap_loss
from sugar.training.teachers.labels import BatchFacts
from sugar.training.terms import Terms

Skills = dict[str, tuple[int, int]]


def pull_loss(r: Tensor, facts: BatchFacts) -> Tensor:
    """Mean of 1 - cosine of embeddings of single slices to the cross-modal teacher's vectors of them.

    r: (P, D) unit rows, where D is the teacher's width. Raises SettingsError for another width.
    """
    assert facts.part2 is not None, "a pull needs teachers"
    if facts.part2.shape[1] != r.shape[1]:
        raise SettingsError(
            f"The head has {r.shape[1]} numbers and the cross-modal teacher {facts.part2.shape[1]}; "
            f"terms.pull needs both alike. Use --dimension {facts.part2.shape[1]}."
        )
    starts = np.cumsum([0, *(len(flags) for flags in facts.flags)])
    last = facts.last
    single = [i for i, flags in enumerate(facts.flags) if len(flags) == 1]
    wanted = torch.from_numpy(facts.part2[starts[single]]).to(r)
    return (1 - (r[[last[i] for i in single]] * wanted).sum(1)).mean() if single else r.sum() * 0


def compare(
    r: Tensor, facts: BatchFacts, target: Tensor | None, terms: Terms
) -> tuple[dict[str, Tensor], Skills]:
    """L_d and the added terms, unweighted, and retrieval within the batch."""
    losses: dict[str, Tensor] = {}
    skills: Skills = {}
    if terms.similarity and not terms.contrastive_only and target is not None:
        losses["similarity"] = similarity_loss(r, target.to(r.device), form=terms.form)
    cosines = r @ r.T  # (P, P)
    last = facts.last
    pictures = [i for i, flags in enumerate(facts.flags) if flags == [True]]
    column = {sample: n for n, sample in enumerate(pictures)}
    asks = [(q, t, "caption") for q, t in facts.pairs if t in column]
    asks += [(q, t, "query") for q, t in facts.referents if t in column]
    if asks and len(pictures) > 1:
        similarity = cosines[[last[q] for q, _, _ in asks]][
            :, [last[t] for t in pictures]
        ]  # (asks, pictures)
        right = torch.tensor([column[t] for _, t, _ in asks], device=r.device)
        if terms.contrastive_only or terms.referent:
            positives = F.one_hot(right, len(pictures)).bool()
            name = "contrastive" if terms.contrastive_only else "referent"
            losses[name] = contrastive_loss(similarity, positives)
        found = (similarity.argmax(1) == right).tolist()
        for name in {kind for _, _, kind in asks}:
            hits = [hit for hit, (_, _, kind) in zip(found, asks, strict=True) if kind == name]
            skills[f"find by {name}"] = (sum(hits), len(hits))
    if facts.part2 is not None and terms.pull:
        losses["pull"] = pull_loss(r, facts)
    if facts.swaps and terms.swap:
        index = torch.tensor([[last[i] for i in swap] for swap in facts.swaps], device=r.device)
        four = [cosines[index[:, a], index[:, b]] for a in (0, 1) for b in (2, 3)]
        losses["swap"] = swap_loss(torch.stack(four, 1).view(-1, 2, 2))  # [pair, picture, caption]
    return losses, skills


def match_pairs(r: Tensor, facts: BatchFacts, *, temperature: float) -> tuple[dict[str, Tensor], Skills]:
    """Symmetric InfoNCE summed over both directions (VladVA): each text against all pictures, and back."""
    if not facts.pairs:
        return {}, {}
    last = facts.last
    texts = r[[last[q] for q, _ in facts.pairs]]  # (pairs, D)
    pictures = r[[last[t] for _, t in facts.pairs]]
    logits = texts @ pictures.T / temperature
    right = torch.arange(len(logits), device=r.device)
    loss = F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)
    hits = int((logits.argmax(1) == right).sum())
    return {"contrastive": loss}, {"find by caption": (hits, len(logits))}
