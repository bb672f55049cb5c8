"""VladVA: one model as two towers, contrastive on short captions, autoregressive on long ones (arXiv
2412.04378).

    train(VladvaTask(VladvaConfig(base="sugar-tiny", data=("drawn",), out="runs/vladva")))

The embedding is the normalised last state of a one-word summary prompt. A long caption follows the picture's
summary token in the same row, so one pass gives both losses. Soft prompts start from the hand prompt's
embeddings, one for each modality.

Otherwise than published: a batch of 64 instead of 1,024, and steps instead of 7 epochs over 8.1 million
pairs; captions have no upper bound of 500 tokens; where a picture has only short captions, all of them joined
are its long one; where it has only long ones, the first sentence of one is its short one; prompts,
temperature and equal weights are ours (METHOD.md B).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor, nn

from sugar.errors import SettingsError
from sugar.model.adapters import SoftPrompts
from sugar.model.encoders import prompt_turns
from sugar.model.processor import Layout, PreparedImage
from sugar.sequence import Sample, Turn
from sugar.training.adapter import ADAPTER, AdapterConfig, AdapterModule, AdapterTask
from sugar.training.data.example import Conversation, Example, Target
from sugar.training.losses import Terms, match_pairs
from sugar.training.sample_rows import SampleRows, TrainRow
from sugar.training.teachers import BatchFacts, CachedEncoders

ALL_LINEARS = r".*(language_model|text_model).*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
"""The linear layers of the language model."""


@dataclass(frozen=True)
class VladvaConfig(AdapterConfig):
    """LoRA 16 / 16 on all linear layers of the language model and soft prompts.

    temperature: of the InfoNCE. short: captions of fewer tokens are contrastive, longer ones autoregressive.
    soft_prompt, low_rank, autoregressive: the parts, for its own ablation; without low_rank the LoRA stays
    at zero.
    """

    out: str = "runs/vladva"
    rank: int = 16
    alpha: int = 16
    targets: str = ALL_LINEARS
    batch: int = 64
    temperature: float = 0.02
    short: int = 30
    soft_prompt: bool = True
    low_rank: bool = True
    autoregressive: bool = True
    terms: Terms = Terms(similarity=0.0, contrastive_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.soft_prompt or self.low_rank):
            raise SettingsError(
                "Without soft prompts and without LoRA nothing is trained. Keep one of the two."
            )


class PromptRows(SampleRows):
    """A picture row and a text row for each pair; a long caption follows the picture's prompt."""

    def __init__(self, processor: Any, config: VladvaConfig) -> None:
        super().__init__(processor, config.terms)
        self.short, self.autoregressive = config.short, config.autoregressive

    def choose(self, example: Example, rng: np.random.Generator) -> Example:
        """One picture, a short caption of it, and a long one where there is any: (short, long) as pairs."""
        if not example.pairs:
            return replace(example, samples=(), conversations=(), referents=(), swaps=())
        _, picture = example.pairs[int(rng.integers(len(example.pairs)))]
        texts = [t.sample for n, t in enumerate(example.samples) if n != picture and not t.sample.images]
        own = {text for text, owner in example.pairs if owner == picture}
        if (
            len({owner for _, owner in example.pairs}) > 1
        ):  # several pictures: only texts that are paired with this one
            texts = [example.samples[n].sample for n in sorted(own)]
        sizes = [len(self.processor.encode(t.text)) for t in texts]
        shorter = [t for t, n in zip(texts, sizes, strict=True) if n < self.short]
        longer = [t for t, n in zip(texts, sizes, strict=True) if n >= self.short]
        if not longer and sum(sizes) >= self.short:
            longer = [Sample(" ".join(t.text for t in texts))]
        long = longer[int(rng.integers(len(longer)))] if longer else None
        first = shorter[int(rng.integers(len(shorter)))] if shorter or long is None else _first_sentence(long)
        shown = example.samples[picture].sample
        spoken: tuple[Conversation, ...] = ()
        if self.autoregressive and long is not None:
            spoken = (Conversation((Turn("user", shown), Turn("assistant", long)), "long caption"),)
        return Example((Target(shown), Target(first)), spoken, pairs=((1, 0),), source=example.source)

    def rows(self, example: Example, positions: Sequence[Sequence[int]]) -> list[TrainRow]:
        """Rows of an example: a picture, its short caption, and perhaps a long one behind
        the picture."""
        pictures: dict[str, PreparedImage] = {}
        spoken = {id(c.turns[0].sample): c.turns[1].sample.text for c in example.conversations}
        found: list[TrainRow] = []
        for text, picture in example.pairs:
            sample = example.samples[picture].sample
            turns = prompt_turns(sample, 1)
            layout = self.processor.chat_layout(turns, images=self.prepared(sample, pictures))
            span = [(np.array([len(layout) - 1]), False)]
            if id(sample) in spoken:
                words = self.processor.answer_ids(turns, layout, spoken[id(sample)], end=True)
                learnt = ((len(layout), len(layout) + len(words)),)
                layout = Layout([*layout.ids, *words], layout.images, layout.slices, learnt)
            found.append(TrainRow(layout, span, [picture], "long caption"))
            own = self.processor.chat_layout(prompt_turns(example.samples[text].sample, 1))
            found.append(TrainRow(own, [(np.array([len(own) - 1]), False)], [text]))
        return found


def _first_sentence(sample: Sample) -> Sample:
    head, stop, _ = sample.text.partition(". ")
    return Sample(head + stop.strip())


class VladvaTask(AdapterTask):
    """Two towers of one model."""

    makes_head = False
    config: VladvaConfig

    def _module(self) -> AdapterModule:
        module = super()._module()
        if not self.config.low_rank:
            for name, p in module.named_parameters():
                if "lora_" in name:
                    p.requires_grad_(False)
        if self.config.soft_prompt:
            prompts = SoftPrompts.of(self.sugar.model, *hand_prompts(self.sugar.processor)).to(self.device)
            adapters = self.sugar.backbone.adapters
            prompts.attach(self.sugar.model, active=lambda: adapters.active == ADAPTER)
            module.prompts = prompts
        return module

    def _teachers(self) -> CachedEncoders | None:
        return None

    def rows(self) -> PromptRows:
        return PromptRows(self.sugar.processor, self.config)

    def compare(
        self, r: Tensor, facts: BatchFacts, target: Tensor | None
    ) -> tuple[dict[str, Tensor], dict[str, tuple[int, int]]]:
        return match_pairs(r, facts, temperature=self.config.temperature)

    def weight(self, name: str) -> float:
        return 1.0

    def resumable(self) -> dict[str, Any]:
        c = self.config
        return {**super().resumable(), "soft_prompt": c.soft_prompt, "low_rank": c.low_rank}

    def export(self, folder: Path) -> None:
        super().export(folder)
        prompts = getattr(self.module, "prompts", None)
        if isinstance(prompts, nn.Module):
            prompts.save(folder)  # type: ignore[operator]


def hand_prompts(processor: Any) -> tuple[list[int], list[int]]:
    """The token ids of the summary prompt behind a picture and behind a text: what soft prompts stand in for.

    Found by what two rows with different content have in common at their end.
    """
    blank = Image.new("RGB", (64, 64))
    found = []
    for pair in ((Sample(blank), Sample(blank.resize((80, 60)))), (Sample("a"), Sample("the red cat"))):
        one, other = (processor.chat_layout(prompt_turns(s, 1)).ids for s in pair)
        length = 0
        while length < min(len(one), len(other)) and one[-1 - length] == other[-1 - length]:
            length += 1
        ids = one[len(one) - length :]
        while processor.image_token_id in ids:
            ids = ids[ids.index(processor.image_token_id) + 1 :]
        found.append(ids)
    return found[0], found[1]
