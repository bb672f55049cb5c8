"""The cross-modal teacher: a photo network and a text network over frozen features, trained by contrast.

    dual = train_dual(photos, texts, DualConfig())     # InfoNCE with softened targets, minutes on one core
    dual.photos(x), dual.texts(v)                      # unit rows in one space
    dual.install(tower)                                # the photo network becomes the tower's aligned reading

A photo is its pooled features and the classifier's logits, a text its sentence vector. Photos of a known
class learn its name beside their captions. Not covered: cells, which the tower reads by the same network.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sugar.model.efficientnet import EfficientNetLite

__all__ = ["Captioned", "Dual", "DualConfig", "train_dual"]

log = logging.getLogger("sugar")
TEXT_SCALE = 20.0


@dataclass(frozen=True)
class DualConfig:
    """The settings of the shipped teacher; they were chosen on the dev split."""

    hidden: int = 1536
    size: int = 256
    epochs: int = 16
    batch: int = 512
    kinds: int = 128
    rate: float = 1e-3
    weight_decay: float = 0.5
    dropout: float = 0.6
    noise: float = 0.25
    mixed_captions: float = 0.6
    mixed_photos: float = 0.3
    softness: float = 0.25
    cropped: float = 0.5
    kinds_weight: float = 0.3
    sure: float = 0.35
    temperature: float = 0.05
    seed: int = 1


@dataclass(frozen=True)
class Captioned:
    """Training data. views: (P, 17, F) each, as photographed and mirrored. captions: (P, 5, D). plain: (Q,
    F), photos without captions. class_names, class_phrases: (C, D), "beagle" and "a photo of a beagle"."""

    views: Sequence[Tensor]
    captions: Tensor
    plain: Tensor
    class_names: Tensor
    class_phrases: Tensor


class Dual(nn.Module):
    """Both networks, with the statistics by which features and logits are standardised."""

    def __init__(self, tower: EfficientNetLite, pooled: Tensor, config: DualConfig, text_size: int) -> None:
        super().__init__()
        c = config
        self.dropout = c.dropout
        logits = tower.classifier(pooled)
        self.register_buffer("classifier", tower.classifier.weight.detach().clone())
        self.register_buffer("classifier_bias", tower.classifier.bias.detach().clone())
        self.register_buffer("mean", pooled.mean(0))
        self.register_buffer("spread", pooled.std(0) + 0.05)
        self.register_buffer("logit_mean", logits.mean(0))
        self.register_buffer("logit_spread", logits.std(0))
        self.photo_first = nn.Linear(pooled.shape[1] + logits.shape[1], c.hidden)
        self.photo_second = nn.Linear(c.hidden, c.size)
        self.text_first = nn.Linear(text_size, c.hidden)
        self.text_second = nn.Linear(c.hidden, c.size)
        self.text_skip = nn.Linear(text_size, c.size)
        self.log_scale = nn.Parameter(torch.tensor(1 / c.temperature).log())
        self.reads = False

    mean: Tensor
    spread: Tensor
    classifier: Tensor
    classifier_bias: Tensor
    logit_mean: Tensor
    logit_spread: Tensor

    def photos(self, x: Tensor) -> Tensor:
        """(..., F) pooled features to (..., size) unit rows."""
        logits = F.linear(x, self.classifier, self.classifier_bias)
        y = torch.cat([(x - self.mean) / self.spread, (logits - self.logit_mean) / self.logit_spread], -1)
        learns = self.training and not self.reads
        y = F.gelu(self.photo_first(F.dropout(y, self.dropout / 2, learns)))
        return F.normalize(self.photo_second(F.dropout(y, self.dropout, learns)), dim=-1)

    @torch.no_grad()
    def read_as(self, tower: EfficientNetLite) -> None:
        """Take the photo network from a checkpoint's tower, the reverse of `install`, and freeze it."""
        first = tower.aligned_first
        self.photo_first.weight.copy_(F.pad(first.weight * self.spread, (0, len(self.logit_mean))))
        self.photo_first.bias.copy_(first.bias + first.weight @ self.mean)
        self.photo_second.load_state_dict(tower.aligned_second.state_dict())
        self.photo_first.requires_grad_(False)
        self.photo_second.requires_grad_(False)
        self.reads = True

    def texts(self, v: Tensor) -> Tensor:
        """(..., D) sentence vectors to (..., size) unit rows."""
        v = v * TEXT_SCALE
        y = F.gelu(self.text_first(F.dropout(v, 0.3 * self.dropout, self.training)))
        y = self.text_second(F.dropout(y, self.dropout, self.training)) + self.text_skip(v)
        return F.normalize(y, dim=-1)

    @torch.no_grad()
    def install(self, tower: EfficientNetLite, class_vectors: Tensor) -> None:
        """Write the photo network into the tower; standardisation and logits fold into its first layer."""
        weight = self.photo_first.weight.double()
        n = len(self.mean)
        own, of_logits = weight[:, :n], weight[:, n:] / self.logit_spread
        tower.aligned_first.weight.copy_(own / self.spread + of_logits @ self.classifier.double())
        shift = of_logits @ (self.classifier_bias - self.logit_mean).double()
        shift = shift - own @ (self.mean / self.spread).double()
        tower.aligned_first.bias.copy_(self.photo_first.bias + shift)
        tower.aligned_second.load_state_dict(self.photo_second.state_dict())
        tower.class_vectors.copy_(class_vectors)
        tower.usual.copy_(self.mean)
        tower.spread.copy_(self.spread)


def train_dual(tower: EfficientNetLite, data: Captioned, config: DualConfig, *, reads: bool = False) -> Dual:
    """Train both networks and return them in evaluation mode.

    reads: the tower is a checkpoint's; its reading of photos stays, and only the text network is trained.
    """
    c = config
    torch.manual_seed(c.seed)
    rng = np.random.default_rng(c.seed)
    pooled = data.views[0][:, 0].float()
    dual = Dual(tower, pooled, c, data.captions.shape[-1])
    if reads:
        dual.read_as(tower)
    matrices = [p for p in dual.parameters() if p.ndim > 1 and p.requires_grad]
    vectors = [p for p in dual.parameters() if p.ndim < 2 and p.requires_grad]
    groups = [{"params": matrices, "weight_decay": c.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=c.rate, betas=(0.9, 0.98))
    kinds = Kinds(tower, torch.cat([pooled, data.plain.float()]), c)
    count, own = data.captions.shape[:2]
    steps = max(1, c.epochs * count * own // c.batch)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = c.rate * min(1, step / 50) * (1 - step / steps)
        chosen = torch.from_numpy(rng.permutation(count)[: c.batch])
        x = _view(data.views, chosen, rng, c.cropped)
        sentence = data.captions[chosen, torch.from_numpy(rng.integers(0, own, len(chosen)))]
        loss = _caption_loss(dual, x, sentence, data.captions[chosen], c, rng)
        features, classes = kinds.draw(rng)
        names = data.class_names if rng.random() < 0.7 else data.class_phrases
        same = classes[:, None] == classes
        kinds_loss = _contrast(dual, dual.photos(features), dual.texts(names[classes]), same)
        loss = loss + c.kinds_weight * kinds_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 99:
            log.info("dual: step %d of %d, loss %.3f", step + 1, steps, float(loss.detach()))
    return dual.eval().requires_grad_(False)


def _view(views: Sequence[Tensor], chosen: Tensor, rng: np.random.Generator, cropped: float) -> Tensor:
    """The chosen photos, mirrored or not, whole or without an edge of cells: (B, F)."""
    view = views[int(rng.integers(len(views)))][chosen]
    if rng.random() >= cropped:
        return view[:, 0].float()
    side = int((view.shape[1] - 1) ** 0.5)
    top, left = rng.integers(0, 2, 2)
    cells = view[:, 1:].unflatten(1, (side, side))[:, top : top + side - 1, left : left + side - 1]
    return cells.float().mean((1, 2))


def _caption_loss(
    dual: Dual, x: Tensor, sentence: Tensor, captions: Tensor, c: DualConfig, rng: np.random.Generator
) -> Tensor:
    """InfoNCE of photos and captions, both noisy and mixed; targets softened by how alike the captions
    are.
    """
    n = len(x)
    likeness = sentence @ sentence.T
    x = x * (1 + c.noise * torch.randn_like(x))
    text = F.normalize(sentence + c.noise * torch.randn_like(sentence) / TEXT_SCALE, dim=1)
    other = captions[torch.arange(n), torch.from_numpy(rng.integers(0, captions.shape[1], n))]
    share = torch.rand(n, 1) * (torch.rand(n, 1) < c.mixed_captions)
    text = F.normalize((1 - share) * text + share * other, dim=1)
    share = 0.5 * torch.rand(n, 1) * (torch.rand(n, 1) < c.mixed_photos)
    x = (1 - share) * x + share * x.roll(-1, 0)
    text = F.normalize((1 - share) * text + share * text.roll(-1, 0), dim=1)
    similarity = dual.photos(x) @ dual.texts(text).T * dual.log_scale.exp().clamp(max=100)
    target = (1 - c.softness) * torch.eye(n) + c.softness * (likeness / 0.1).softmax(1)
    return (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2


def _contrast(dual: Dual, photos: Tensor, texts: Tensor, same: Tensor) -> Tensor:
    """InfoNCE with all pairs of one class as positives."""
    similarity = photos @ texts.T * dual.log_scale.exp().clamp(max=100)
    right = similarity.masked_fill(~same, -1e9)
    rows = similarity.logsumexp(1) - right.logsumexp(1)
    columns = similarity.logsumexp(0) - right.logsumexp(0)
    return (rows.mean() + columns.mean()) / 2


class Kinds:
    """Photos with a class: those of which the classifier is sure, and photos pushed towards a row of its
    weights.
    """

    def __init__(self, tower: EfficientNetLite, pooled: Tensor, config: DualConfig) -> None:
        self.pooled, self.count = pooled, config.kinds
        confidence, self.classes = tower.classifier(pooled).softmax(-1).max(1)
        self.sure = (confidence > config.sure).nonzero()[:, 0]
        self.rows = F.normalize(tower.classifier.weight, dim=1)

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Features (2n, F) and classes (2n,)."""

        def pick(n: int) -> Tensor:
            return torch.from_numpy(rng.integers(0, n, self.count))

        real = self.sure[pick(len(self.sure))] if len(self.sure) else pick(len(self.pooled))
        wanted = pick(len(self.rows))
        push = self.rows[wanted] * (10 + 20 * torch.rand(self.count, 1))
        made = (self.pooled[pick(len(self.pooled))] * torch.rand(self.count, 1) + push).clamp(0, 6)
        return torch.cat([self.pooled[real], made]), torch.cat([self.classes[real], wanted])
