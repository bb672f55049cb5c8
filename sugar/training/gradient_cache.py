"""Gradients of a loss over a whole batch's embeddings, while only one part of the batch is in memory at a
time.

    losses = backward_in_parts(parts, forward, compare)

First pass, without gradients: the embeddings of all parts. The loss over them gives its gradient for each
embedding. Second pass: each part again, with gradients, which those are handed back into. The result equals
one pass over everything (Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited
setup"); memory is that of one part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sugar.training import parallel

Forward = Callable[[Any], tuple[Tensor, list[int], Tensor | None]]
"""A part -> (embeddings (n, D), their indices among this process's positions, the part's own loss, scaled
and summed)."""

Compare = Callable[[Tensor], Tensor | None]
"""All processes' embeddings (P, D) -> the loss over them, weighted."""


def backward_in_parts(
    parts: Sequence[Any],
    forward: Forward,
    compare: Compare | None,
    counts: Sequence[int],
    *,
    two_passes: bool = True,
) -> None:
    """Leave the gradients of sum(own losses) + compare(all embeddings) on the weights.

    Args:
        compare: None where no loss is taken over embeddings; then there is one pass.
        counts: positions of each process.
        two_passes: False keeps the graphs of all parts and reads each part once.
    """
    if not two_passes:
        return _in_one_pass(parts, forward, compare, counts)
    gradients = _of_embeddings(parts, forward, compare, counts) if compare is not None else None
    for part, state in gradients[1] if gradients else [(part, None) for part in parts]:
        if state is not None:
            _restore(state)
        embeddings, indices, own = forward(part)
        terms = [] if own is None else [own]
        if gradients is not None and indices:
            terms.append((embeddings * gradients[0][indices]).sum())
        if terms:
            sum(terms[1:], terms[0]).backward()


def _in_one_pass(
    parts: Sequence[Any], forward: Forward, compare: Compare | None, counts: Sequence[int]
) -> None:
    found: list[Tensor] = []
    indices: list[int] = []
    terms: list[Tensor] = []
    for part in parts:
        embeddings, where, own = forward(part)
        if where:
            found.append(embeddings)
            indices += where
        if own is not None:
            terms.append(own)
    if compare is not None:
        rows = torch.cat(found)[torch.argsort(torch.tensor(indices))]
        everyone, mine = parallel.gather_rows(rows.detach(), counts)
        loss = compare(torch.cat([everyone[: mine.start], rows, everyone[mine.stop :]]))
        if loss is not None and loss.requires_grad:
            terms.append(loss)
    if terms:
        sum(terms[1:], terms[0]).backward()


def _of_embeddings(
    parts: Sequence[Any], forward: Forward, compare: Compare, counts: Sequence[int]
) -> tuple[Tensor, list[tuple[Any, Any]]]:
    """The loss's gradient for each of this process's embeddings, and the parts with the random state
    of their first pass."""
    found: list[Tensor] = []
    indices: list[int] = []
    states = []
    with torch.no_grad():
        for part in parts:
            states.append((part, _random_state()))
            embeddings, where, _ = forward(part)
            if where:
                found.append(embeddings)
                indices += where
    flat = torch.cat(found)
    own = torch.empty_like(flat)
    own[indices] = flat
    everyone, mine = parallel.gather_rows(own, counts)
    leaf = own.requires_grad_(True)
    with torch.enable_grad():
        loss = compare(torch.cat([everyone[: mine.start], leaf, everyone[mine.stop :]]))
    if loss is None or not loss.requires_grad:
        return torch.zeros_like(own), states
    (gradient,) = torch.autograd.grad(loss, leaf)
    return gradient, states


def _random_state() -> Any:
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    return torch.get_rng_state(), cuda


def _restore(state: Any) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1])
