"""Muon for the weight matrices, AdamW for the rest: what let a CPU train the embedded model in hours.

    optimizer = Muon(matrices(model), lr=0.02)

Muon (Jordan 2024) steps along the orthogonalised momentum of each matrix, by five Newton-Schulz iterations.
torch.optim.Muon iterates one matrix at a time in bfloat16, which a CPU without bfloat16 units runs several
times slower than float32; this one keeps float32 and stacks matrices of one shape.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def matrices(model: nn.Module) -> list[nn.Parameter]:
    """The trainable two-dimensional weights of linear layers: not embeddings, positions, norms or
    biases, nor the LM head tied to them."""
    tied = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    linear = dict.fromkeys(
        m.weight for m in model.modules() if isinstance(m, nn.Linear) and id(m.weight) not in tied
    )
    return [w for w in linear if isinstance(w, nn.Parameter) and w.requires_grad]


def orthogonalise(x: Tensor, iterations: int = 5) -> Tensor:
    """Nearly the closest semi-orthogonal matrices: singular values of x (k, rows, columns) are pushed
    to about 1, rows <= columns."""
    a, b, c = COEFFICIENTS
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class Muon(torch.optim.Optimizer):
    """lr is in units of spectral norm; a matrix that is taller than wide steps sqrt(rows / columns) as far.
    half: iterate in bfloat16, for machines that are faster at it."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
        *,
        half: bool = False,
    ) -> None:
        self.half = half
        super().__init__(list(params), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(state["momentum"], group["momentum"])
                update = update.T if p.shape[0] > p.shape[1] else update
                shapes.setdefault(tuple(update.shape), []).append((p, update))
            for same in shapes.values():
                stacked = torch.stack([u for _, u in same])
                steps = orthogonalise(stacked.bfloat16() if self.half else stacked).to(stacked.dtype)
                for (p, _), u in zip(same, steps, strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.add_(
                        u.T if p.shape[0] > p.shape[1] else u,
                        alpha=-group["lr"] * max(1.0, p.shape[0] / p.shape[1]) ** 0.5,
                    )
