"""A base trained whole: every weight and the head, no LoRA; what comes out is a checkpoint.

    train(WholeTask(WholeConfig(base="sugar-tiny", data=("album",), teachers="words", out="runs/whole")))
    train(WholeTask(WholeConfig(base="", ...)))       # from nothing, in the embedded model's shape

Float32, any family. Not covered: FSDP, which shares out frozen weights.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sugar.core import Sugar
from sugar.model.adapters import EmbeddingHead
from sugar.model.backbone import reading_size
from sugar.model.processor import PreparedImage
from sugar.training import parallel
from sugar.training.adapter import AdapterConfig, AdapterModule, AdapterTask
from sugar.training.adapter_card import adapter_card
from sugar.training.data import open_data
from sugar.training.data.example import BadRow, Dataset, texts_of
from sugar.training.data.mixture import Mixture, read_row
from sugar.training.validation import Validation

WORD_ROWS = 2000
"""Rows of a data set whose words a base from nothing knows."""


@dataclass(frozen=True)
class WholeConfig(AdapterConfig):
    """base: what to train whole; "" for the embedded model's shape with random weights of `seed`, kept in
    `out/base`."""

    out: str = "runs/whole"
    base_precision: str = "fp32"


def from_nothing(folder: Path, data: Sequence[Dataset], seed: int) -> Path:
    """A checkpoint with random weights in the embedded model's shape; its words are those of the data."""
    from sugar.model.tiny import TinyConfig, build

    words: set[str] = set()
    for dataset in data:
        for row in (read_row(dataset, n) for n in range(min(len(dataset), WORD_ROWS))):
            if not isinstance(row, BadRow):
                words.update(re.findall(r"\w+|[^\w\s]", " ".join(texts_of(row)).lower()))
    words.update(re.findall(r"\w+|[^\w\s]", "user: assistant:"))
    sizes = TinyConfig()
    torch.manual_seed(seed)
    model, processor = build(sizes, sorted(words))
    head = EmbeddingHead(sizes.hidden_size, sizes.head_hidden, sizes.head_size)
    Sugar.wrap(model, processor, head, name=folder.parent.name).save_pretrained(folder)
    return folder


class WholeModule(AdapterModule):
    def _features(self, images: Sequence[PreparedImage]) -> list[Any]:
        return self.backbone.features(images, grad=True)


class WholeTask(AdapterTask):
    """Every weight of a base, its head, data, teachers and validation."""

    def __init__(self, config: WholeConfig, mixture: Mixture | None = None) -> None:
        if not config.base:
            parallel.join()
            base = Path(config.out) / "base"
            data = mixture.datasets if mixture is not None else [d for d, _ in open_data(config.data)]
            if parallel.rank() == 0 and not base.is_dir():
                from_nothing(base, data, config.seed)
            parallel.barrier()
            config = replace(config, base=str(base))
        super().__init__(config, mixture)
        self.validation = Validation(self.sugar, self.mixture, None, Path(config.out))

    def _module(self) -> AdapterModule:
        base, c = self.sugar, self.config
        hidden = base.backbone.hidden_size
        head = base.head or EmbeddingHead(hidden, hidden, c.dimension, reading_size(base.model))
        self.sugar = Sugar.wrap(
            base.model.requires_grad_(True),
            base.processor.hf,
            head.requires_grad_(True),
            name=Path(c.out).name,
            device=str(self.device),
            profile=base.profile,
        )
        return WholeModule(self.sugar, self.sugar.head, pooling=c.terms.pooling)

    def export(self, folder: Path) -> None:
        """The checkpoint."""
        self.sugar.card = adapter_card(self.config, self.mixture, self.reader.bad, "every weight")
        self.sugar.save_pretrained(folder)
