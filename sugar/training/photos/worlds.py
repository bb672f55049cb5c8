"""Drawn scenes beside photos, in one network: what both worlds in one checkpoint cost.

    scenes = DrawnScenes(network, tower, tokenizer, WorldsConfig(steps=900))
    loss, report = scenes.loss(rng)          # to be added to the photos' own loss of the step

The step and its losses are those of the embedded model of drawn scenes (training/mix.py, objective.py), over
this network's parameters and the frozen tower. The shipped model has no such stage (LOG.md has the figures).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sugar.model.efficientnet import EfficientNetLite
from sugar.model.photo import build_llava
from sugar.training.mix import draw_step
from sugar.training.objective import Objective, prepare
from sugar.training.photos.network import Network
from sugar.training.recipes.sugar import SHIPPED
from sugar.training.rows import Tokens
from sugar.training.steps import MixConfig
from sugar.training.terms import Terms

__all__ = ["DrawnScenes", "WorldsConfig"]

BUDGET = 1500


@dataclass(frozen=True)
class WorldsConfig:
    """A stage that adds drawn scenes to every step. rate: its first factor of both rates. scenes: what a
    step holds of them; several turns are left out, because the photo model's chat has another form."""

    steps: int = 0
    rate: float = 0.6
    scenes: MixConfig = field(
        default_factory=lambda: MixConfig(
            answers=7,
            questions=8,
            swapped=3,
            captions=4,
            stories=1,
            albums=1,
            edits=2,
            differences=3,
            cards=1,
            copies=1,
            chats=0,
        )
    )
    terms: Terms = field(default_factory=lambda: replace(SHIPPED.terms, dense=0.0))


class _Projector(nn.Module):
    """The network's projector in the place of LLaVA's."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = [network]

    def forward(self, tokens: Tensor) -> Tensor:
        return self._network[0].project(tokens)


class DrawnScenes:
    """The drawn world's objective over the network's own parameters."""

    def __init__(
        self, network: Network, tower: EfficientNetLite, tokenizer: Any, config: WorldsConfig
    ) -> None:
        llava, processor = build_llava(tower, network.decoder.config, tokenizer)
        llava.model.vision_tower = tower
        llava.model.language_model = network.decoder
        llava.model.multi_modal_projector = _Projector(network)
        llava.lm_head.weight = network.words
        self.config, self.side = config, tower.config.image_size
        self.image_processor = processor.image_processor
        self.tokens = Tokens(tokenizer, llava.config.image_token_id, 1 + tower.config.grid**2)
        self.tokens.user = (tokenizer.bos_token_id,)  # a conversation of the photo model begins so
        self.module = Objective(llava, network.head, config.terms, dense=False)

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """The weighted sum of a fresh step's losses, and each for the log."""
        terms = self.config.terms
        step = draw_step(self.config.scenes, self.tokens, rng)
        prepared = prepare(step, terms, self.image_processor, self.side, self.tokens, BUDGET)
        losses, skills = self.module(prepared)
        total = sum((getattr(terms, name) * value for name, value in losses.items()), torch.zeros(()))
        report = {f"drawn {name}": float(value.detach()) for name, value in losses.items()}
        shares = {
            f"drawn {name}": int(right) / int(asked) for name, (right, asked) in skills.items() if asked
        }
        return total, report | shares
