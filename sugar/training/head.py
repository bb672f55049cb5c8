"""The recipe `head`: the embedding head of a trained adapter, fitted anew to its frozen states; minutes.

    train(HeadTask(HeadConfig(base="runs/base-4bit", adapter="runs/photo/model", data=("folder=photos",))))

A head that is trained beside the layers lags behind them, for its input changes at every step
(`sugar/training/LOG.md`). Here every picture and text is read once, and the head alone is trained on what the
layers gave: InfoNCE of captions and pictures, single words that captions agree on, and the pull to the
cross-modal teacher's vectors. Not covered: the layers (adapter.py), bases without a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sugar.core import Sugar
from sugar.errors import SettingsError
from sugar.metrics.retrieval import recall_at_k
from sugar.model.adapters import EmbeddingHead
from sugar.sequence import Sample
from sugar.training.config import RunConfig
from sugar.training.data import open_data
from sugar.training.data.example import Example
from sugar.training.data.mixture import Mixture, Reader
from sugar.training.dual import agreed_words
from sugar.training.run_log import StepResult
from sugar.training.teachers import open_teachers

PART = 256
"""Samples that are read at once."""


@dataclass(frozen=True)
class HeadConfig(RunConfig):
    """base, adapter: a checkpoint and the folder of the adapter whose head is fitted.

    data: captioned pictures, and texts of their own, which are drawn to the teacher only. captions: of a
    picture, the first ones. pull, texts, words: weights beside the InfoNCE of captions. dropout: of states.
    """

    out: str = "runs/head"
    base: str = "runs/base-4bit"
    adapter: str = "runs/photo/model"
    data: tuple[str, ...] = ()
    teachers: str = "dual:runs/dual/model"
    captions: int = 2
    steps: int = 1400
    batch: int = 256
    schedule: str = "linear"
    decay: float = 1.0
    warmup: int = 50
    rate: float = 1e-3
    weight_decay: float = 0.05
    pull: float = 30.0
    texts: float = 20.0
    words: float = 1.0
    dropout: float = 0.1
    held_out: float = 0.0
    validate_every: int = 0
    patience: int = 5
    trackers: str = ""


@dataclass(frozen=True, eq=False)
class States:
    """What the head reads of samples, (N, hidden + reading), and what the teacher says of them, (N, D)."""

    read: Tensor
    wanted: Tensor


class Fitted(nn.Module):
    """The head, and the logarithms by which cosines of captions and of words are scaled."""

    def __init__(self, head: EmbeddingHead) -> None:
        super().__init__()
        self.head = head
        self.scales = nn.Parameter(torch.tensor([3.0, 2.5]))


class HeadTask:
    """The task of the one loop."""

    def __init__(self, config: HeadConfig) -> None:
        self.config = config
        self.sugar = Sugar.from_pretrained(config.base, adapter=config.adapter)
        self.device = torch.device("cpu")
        self.teachers = open_teachers(config.teachers)
        if (head := self.sugar.backbone.adapters.heads.get(self.sugar.adapter)) is None:
            raise SettingsError(f"{config.adapter} has no embedding head. Train one with --recipe sugar.")
        if head.dimension != (width := self.teachers.widths[1]):
            raise SettingsError(
                f"The head has {head.dimension} numbers and the cross-modal teacher {width}. Use the teacher "
                "that it was trained with."
            )
        opened = open_data(config.data)
        self.mixture = Mixture(
            [d for d, _ in opened], [w for _, w in opened], seed=config.seed, held_out=config.held_out
        )
        kept = [(d, int(row)) for d, rows in enumerate(self.mixture.kept) for row in rows]
        self.pictures, self.captions, self.rest, self.words, self.said = self._read(kept)
        if len(self.pictures.read) < 2:
            raise SettingsError(
                "The recipe head needs at least two pictures with captions. Name them with --data."
            )
        self.aside = self._read(self.mixture.validation)[:2] if self.mixture.validation else None
        both = torch.cat([self.pictures.read, self.captions.read])
        self.mean, self.spread = both.mean(0), both.std(0) + 1e-3
        self.mean[head.hidden :], self.spread[head.hidden :] = 0, float(both[:, head.hidden :].std() + 1e-3)
        self.module = Fitted(self._standardised(head))

    # -- data

    def _read(self, rows: Sequence[tuple[int, int]]) -> tuple[States, States, States, States, Tensor]:
        """Pictures, `captions` a picture in their order, other texts, words, and what is said of pictures."""
        reader, many = Reader(self.mixture), self.config.captions
        pictures: list[Sample] = []
        written: list[list[str]] = []
        texts: list[str] = []
        for d, row in rows:
            example: Example = reader.example(d, row)
            for at, target in enumerate(example.samples):
                own = [example.samples[t].sample.text for t, picture in example.pairs if picture == at]
                if target.sample.images and own:
                    pictures.append(target.sample)
                    written.append([own[n % len(own)] for n in range(many)])
            if not example.pairs:
                texts += [t.sample.text for t in example.samples if not t.sample.images]
        listed, said = agreed_words(written)
        told = [Sample(caption) for own in written for caption in own]
        parts = [self._states(s) for s in (pictures, told, [*map(Sample, texts)], [*map(Sample, listed)])]
        return parts[0], parts[1], parts[2], parts[3], said

    def _states(self, samples: Sequence[Sample]) -> States:
        read, wanted = [torch.zeros(0)], [torch.zeros(0, self.teachers.widths[1])]
        for start in range(0, len(samples), PART):
            part = samples[start : start + PART]
            read.append(torch.from_numpy(self.sugar.embedder.states(part, adapter=self.sugar.adapter)))
            wanted.append(torch.from_numpy(self.teachers.encode([s.slices[-1] for s in part])[1]).float())
        return States(torch.cat(read[1:] or read), torch.cat(wanted))

    def _standardised(self, head: EmbeddingHead, back: bool = False) -> EmbeddingHead:
        """The head for states from which the mean was taken, and that were divided by the spread; or back."""
        found = head.copy().requires_grad_(not back)
        with torch.no_grad():
            if back:
                found.first.weight.div_(self.spread)
                found.first.bias.sub_(found.first.weight @ self.mean)
            else:
                found.first.bias.add_(found.first.weight @ self.mean)
                found.first.weight.mul_(self.spread)
            if found.beside is not None:
                scale = self.spread[found.hidden :]
                found.beside.weight.mul_(1 / scale if back else scale)
        return found

    # -- the loop's functions

    def reader(self, step: int) -> np.random.Generator:
        """What a step draws from; the states stay where they are."""
        return np.random.default_rng([self.config.seed, step])

    def rate_of(self, name: str) -> float:
        return 1.0

    def _embed(self, states: States, rows: Tensor) -> Tensor:
        x = (states.read[rows] - self.mean) / self.spread
        return self.module.head(F.dropout(x, self.config.dropout, self.module.training))

    def backward(self, data: np.random.Generator, step: int) -> StepResult:
        c, rng = self.config, data
        torch.manual_seed(int(rng.integers(2**62)))
        self.module.train()
        count = len(self.pictures.read)
        chosen = torch.from_numpy(rng.choice(count, min(c.batch, count), replace=False))
        told = chosen * c.captions + torch.from_numpy(rng.integers(0, c.captions, len(chosen)))
        pictures, captions = self._embed(self.pictures, chosen), self._embed(self.captions, told)
        scale = self.module.scales.exp().clamp(max=100)
        similarity, right = scale[0] * captions @ pictures.T, torch.arange(len(chosen))
        both = F.cross_entropy(similarity, right) + F.cross_entropy(similarity.T, right)
        pulls = _pull(pictures, self.pictures.wanted[chosen]) + _pull(captions, self.captions.wanted[told])
        losses = {"captions": both / 2, "pull": c.pull * pulls}
        if c.texts and len(self.rest.read):
            rows = torch.from_numpy(rng.integers(0, len(self.rest.read), len(chosen)))
            losses["texts"] = c.texts * _pull(self._embed(self.rest, rows), self.rest.wanted[rows])
        used = (self.said[chosen] == 1).any(0).nonzero()[:, 0]
        if c.words and len(used):
            said = self.said[chosen][:, used]
            similarity = scale[1] * self._embed(self.words, used) @ pictures.T  # (words, pictures)
            similarity = similarity.masked_fill(said.T == 0.5, -1e4)
            hits = (similarity.log_softmax(1) * (said.T == 1)).sum(1) / (said == 1).sum(0)
            losses["words"] = -c.words * hits.mean()
        torch.stack(list(losses.values())).sum().backward()
        return StepResult({name: float(value.detach()) for name, value in losses.items()}, {}, {})

    @torch.inference_mode()
    def validate(self, step: int) -> dict[str, float] | None:
        """Percent of captions kept aside that find their picture, and back."""
        if self.aside is None:
            return None
        self.module.eval()
        pictures, captions = (self._embed(s, torch.arange(len(s.read))) for s in self.aside)
        cosines, own = (captions[:: self.config.captions] @ pictures.T).numpy(), np.arange(len(pictures))
        forth, back = (100 * recall_at_k(s, own, 1) for s in (cosines, cosines.T))
        return {"R@1": (forth + back) / 2, "text -> picture R@1": forth, "picture -> text R@1": back}

    def export(self, folder: Path) -> None:
        """The adapter's folder with the new head."""
        fitted = self._standardised(self.module.head, back=True).eval()
        self.sugar.backbone.adapters.heads[self.sugar.adapter] = fitted
        self.sugar.save_adapter(folder)

    def resumable(self) -> dict[str, Any]:
        c = self.config
        return {"recipe": type(self).__name__, "seed": c.seed, "data": list(c.data), "batch": c.batch}


def _pull(r: Tensor, wanted: Tensor) -> Tensor:
    """Mean of 1 - cosine of unit rows."""
    return (1 - (r * wanted).sum(1)).mean()
