"""The objective L = L_g + alpha L_d plus named terms (Sugar 3.4), and the losses over a batch's embeddings.

    Terms()                              # the paper's objective
    Terms(similarity=5.0, swap=0.2)      # two deviations
    losses, skills = compare(embeddings, facts, target, terms)  # scalars by name; found and asked by name
    losses, skills = match_pairs(embeddings, facts, temperature=0.02)  # VladVA's InfoNCE

Embeddings are (P, D) unit rows in the order of `facts.positions`. Not covered: L_g (adapter.py), where
embeddings come from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sugar.errors import SettingsError
from sugar.training.teachers.labels import BatchFacts

Skills = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Terms:
    """Weights of the loss terms and choices of the method. The defaults are the paper's where it says
    something.

    similarity: alpha. The paper gives no figure, and prints L_d over n positions (form "positions"); ours
    stands on form "pairs", over n^2, where 1 is n times weaker: about 100 times for 100 positions.
    kernel: "gak", K over the number of alignments; "gak-self", K over the root of the self-kernels;
    "mean", the mean slice similarity. delta: the kernel's bandwidth, which the paper does not give.
    triple: False reads the cross-modal part within modalities too. pooling: "mean" over a picture's
    tokens, or "last". form: of L_d, see similarity_loss. conversations: draw slice ends inside
    conversations too, in the forward of L_g, as the paper does; False embeds separate samples alone.
    referent_labels: label the last position of a query as its referent. same_sample: the label of two
    positions of one sample, "one" or "kernel" (teachers/labels.py). contrastive_only: InfoNCE in place of
    the squared error.
    """

    language: float = 1.0
    similarity: float = 1.0
    pull: float = 0.0  # 1 - cosine of a slice's embedding and the cross-modal teacher's vector of it
    swap: float = 0.0  # 2 x 2 cross-entropy of swapped pairs
    referent: float = (
        0.0  # InfoNCE of queries with a referent, and of captions, over the pictures of the step
    )
    length_weighting: float = (
        0.0  # a token of an answer of n tokens weighs n^-length_weighting in the language loss
    )
    kernel: str = "gak"
    delta: float = 1.0
    triple: bool = True
    pooling: str = "mean"
    form: str = "pairs"
    conversations: bool = True
    referent_labels: bool = False
    same_sample: str = "one"
    contrastive_only: bool = False

    @property
    def labelled(self) -> bool:
        """Whether teachers label positions."""
        return bool(self.similarity) and not self.contrastive_only

    @property
    def embeds(self) -> bool:
        """Whether any loss is taken over embeddings."""
        return any((self.similarity, self.pull, self.swap, self.referent, self.contrastive_only))


def similarity_loss(embeddings: Tensor, target: Tensor, *, form: str = "pairs") -> Tensor:
    """Squared error between the cosines of n embeddings and their target similarities (Sugar 3.4).

    embeddings: (n, D) unit rows; target: (n, n), m_l. form "positions" divides by n, as the paper prints it;
    "pairs" by n^2, so that the right weight does not depend on the batch.

    # two orthogonal rows, wanted equal: (0 + 1 + 1 + 0) / 4
    >>> similarity_loss(torch.eye(2), torch.ones(2, 2)).item()
    0.5
    """
    cosines = embeddings @ embeddings.T  # (n, n)
    error = (cosines - target.to(cosines.dtype)).square()
    return error.mean() if form == "pairs" else error.sum() / len(embeddings)


def contrastive_loss(similarity: Tensor, positives: Tensor, temperature: float = 0.05) -> Tensor:
    """InfoNCE with any number of positives a row: -log of the share of probability that falls on them,
    averaged over rows that have one.

    similarity: (n, m) cosines; positives: (n, m) bool. Entries of -inf in `similarity` are left out of the
    competition.

    >>> contrastive_loss(torch.zeros(1, 4), torch.tensor([[True, False, False, False]])).item()      # log 4
    1.3862943649291992
    """
    rows = positives.any(dim=1)
    if not bool(rows.any()):
        return similarity.new_zeros(())
    logits = similarity[rows] / temperature
    hits = logits.masked_fill(~positives[rows], -torch.inf)
    return (logits.logsumexp(dim=1) - hits.logsumexp(dim=1)).mean()


def swap_loss(similarity: Tensor, temperature: float = 0.05) -> Tensor:
    """Winoground's 2 x 2 comparison as a loss, over both directions.

    similarity: (p, 2, 2), [pair, picture, caption].
    """
    if not len(similarity):
        return similarity.new_zeros(())
    logits = similarity / temperature
    right = torch.arange(2, device=logits.device).expand(len(logits), 2)
    return (F.cross_entropy(logits.transpose(1, 2), right) + F.cross_entropy(logits, right)) / 2


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
