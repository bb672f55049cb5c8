"""The losses over embeddings: the paper's similarity loss, and the named terms that we add.

    L = L_g + alpha * L_d                          (Sugar 3.4)
    similarity_loss(r, m_l)                        L_d = mean_ij (m_r[i, j] - m_l[i, j])^2
    contrastive_loss(s, positives, temperature)    InfoNCE: the ablation's stand-in for L_d, and `referent`
    swap_loss(s, temperature)                      2 x 2 cross-entropy of swapped pairs: the `swap` term

Arrays in, scalars out; nothing here knows a model or the drawn world. Not covered: L_g (adapter.py).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
