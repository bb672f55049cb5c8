"""Self-critical captions: of the captions that the model samples for a photo, the better ones are learnt.

    critic = Critic(material, tokens, CriticConfig())
    loss, report = critic.loss(network, np.random.default_rng([seed, step]))

The reward of a caption is its CIDEr-D against the photo's own captions; its baseline is the mean reward of
the other samples of the same photo.
Source: Rennie et al. 2017 (self-critical sequence training), the baseline of Kool et al. 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sugar.everyday.scope import DESCRIBE
from sugar.metrics.captions import CiderD
from sugar.training.photos.material import Material
from sugar.training.photos.network import FusedCrossEntropy, Network
from sugar.training.photos.packed import PackedRow, Tokens, batches

__all__ = ["Critic", "CriticConfig", "advantages", "sample"]


@dataclass(frozen=True)
class CriticConfig:
    """photos: in a step. samples: captions of each. longest: a caption in pieces. weight: of the loss."""

    photos: int = 32
    samples: int = 5
    longest: int = 22
    weight: float = 2.0


def advantages(rewards: Tensor) -> Tensor:
    """Each sample's reward above the mean of the other samples. rewards: (N, S), S at least 2."""
    count = rewards.shape[1]
    return (rewards - rewards.mean(1, keepdim=True)) * count / (count - 1)


@torch.no_grad()
def sample(
    network: Network,
    features: Tensor,
    question: Sequence[int],
    tokens: Tokens,
    config: CriticConfig,
    generator: torch.Generator,
) -> list[list[list[int]]]:
    """Captions drawn from the model at temperature 1, as pieces without the end.

    Args:
        features: (N, tokens, width), projected pictures. question: the pieces of what is asked.
    Returns:
        For each picture, `config.samples` captions.
    """
    ids = [tokens.start, *[tokens.image] * tokens.picture, *question, tokens.assistant]
    embeds = network.decoder.embed_tokens(torch.tensor(ids)).repeat(len(features), 1, 1)
    embeds[:, 1 : 1 + tokens.picture] = features
    states = network.decoder(inputs_embeds=embeds, use_cache=True)
    cache = states.past_key_values
    cache.batch_repeat_interleave(config.samples)
    last = states.last_hidden_state[:, -1].repeat_interleave(config.samples, 0)
    drawn = []
    for _ in range(config.longest):
        logits = last @ network.words.T  # (N S, vocabulary)
        logits[:, [tokens.pad, tokens.start, tokens.image, tokens.assistant]] = -torch.inf
        following = torch.multinomial(logits.softmax(-1), 1, generator=generator)
        drawn.append(following)
        embeds = network.decoder.embed_tokens(following)
        states = network.decoder(inputs_embeds=embeds, past_key_values=cache, use_cache=True)
        last = states.last_hidden_state[:, -1]
    captions = [_until(row, tokens.end) for row in torch.cat(drawn, 1).tolist()]
    return [captions[i : i + config.samples] for i in range(0, len(captions), config.samples)]


def _until(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end)] if end in ids else ids


class Critic:
    """Draws photos, lets the network caption them, and weighs what it said."""

    def __init__(self, material: Material, tokens: Tokens, config: CriticConfig) -> None:
        self.material, self.tokens, self.config = material, tokens, config
        self.reward = CiderD([[material.captions.words[i] for i in own] for own in material.owned])

    def loss(self, network: Network, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """The loss, to be minimised, and the mean reward for the log."""
        m, c = self.material, self.config
        photos = np.sort(rng.choice(len(m.owned), min(c.photos, len(m.owned)), replace=False))
        view = m.mirrored if rng.random() < 0.5 else m.photos
        features = network.project(network.read_tower(torch.from_numpy(np.array(view.features[photos]))))
        asked = DESCRIBE[int(rng.integers(len(DESCRIBE)))] if rng.random() < 0.8 else ""
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        question = self.tokens.encode(asked)
        said = sample(network, features.detach(), question, self.tokens, c, generator)
        rewards = torch.tensor(
            [
                [self.reward.score(int(photo), self.tokens.decode(ids)) for ids in captions]
                for photo, captions in zip(photos, said, strict=True)
            ]
        )
        rows = []
        for number, (captions, gains) in enumerate(zip(said, advantages(rewards).tolist(), strict=True)):
            rows.append(PackedRow(self.tokens).picture(number))
            for ids, gain in zip(captions, gains, strict=True):
                rows[-1].block().say(asked).sampled(ids, gain)
        loss = policy_loss(network, rows, features, self.tokens)
        return c.weight * loss, {"reward": float(rewards.mean())}


def policy_loss(network: Network, rows: Sequence[PackedRow], features: Tensor, tokens: Tokens) -> Tensor:
    """The mean over all learnt pieces of advantage times -log p; its gradient is that of REINFORCE."""
    hidden, wanted, weights = [], [], []
    for packed in batches(rows):
        states = network(packed, features, tokens.image)
        learnt = packed.following >= 0
        hidden.append(states[learnt])
        wanted.append(packed.following[learnt])
        weights.append(packed.weights[learnt])
    weight = torch.cat(weights)
    return FusedCrossEntropy.apply(torch.cat(hidden), network.words, torch.cat(wanted), weight / len(weight))
