"""LoRA on a frozen base of any family, trained on any data sets: the recipes `sugar` and `vladva`.

    train(AdapterTask(AdapterConfig(base="sugar-tiny", data=("holiday",), teachers="words", out="runs/mine")))

The rows of a step come from the processor that inference uses. Memory is that of one micro-batch
(gradient_cache.py). Not covered: what a row holds (sample_rows.py), losses over embeddings (losses.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sugar.core import Sugar
from sugar.errors import SettingsError
from sugar.model.adapters import TARGETS, EmbeddingHead
from sugar.model.backbone import VisionFeatures, projector_inputs, reading_size, with_readings
from sugar.model.processor import PreparedImage, pool_slices
from sugar.paths import output_folder
from sugar.training import parallel
from sugar.training.adapter_card import adapter_card
from sugar.training.config import RunConfig
from sugar.training.data import open_data
from sugar.training.data.example import Example, notes_of
from sugar.training.data.mixture import Mixture, Reader
from sugar.training.gradient_cache import backward_in_parts
from sugar.training.losses import Terms, compare
from sugar.training.run_log import StepResult
from sugar.training.sample_rows import SampleRows, StepReader, StepRows, TrainRow
from sugar.training.teachers import BatchFacts, CachedEncoders, label_statistics, labels, merge, open_teachers
from sugar.training.validation import Validation

log = logging.getLogger("sugar")

ADAPTER = "sugar"
VISION_BYTES = 4 << 20
"""Vision features that are kept between passes and steps; the tower is frozen."""

TOWER_BYTES, TOWER_BATCH = 2 << 30, 32
"""What the tower says of pictures, kept over a whole run where the projector above it is trained."""


@dataclass(frozen=True)
class AdapterConfig(RunConfig):
    """The paper's large setting by default: LoRA 128 / 256 on query and value projections, the head trained.

    base: a preset, folder or repository of any family. base_precision: auto, fp32, bf16, nf4 (QLoRA). data:
    what to train on, `FORMAT=PATH#SPLIT:WEIGHT` each. teachers: whose cosines are the labels. batch:
    examples a step, over all processes. micro_batch: rows read at a time. two_passes: keep the
    graph of one micro-batch in memory (gradient_cache.py); False keeps those of a whole step, and reads each
    row once. checkpointing: recompute activations in the backward pass. compiled: the layers by
    torch.compile, which asks for a C++ compiler and a minute at first, and takes a third off each step of a
    CPU. dimension: of a new head. projector: train it too, beside the LoRA. fresh_rate: factor of the rate
    for projector and head. held_out: share of the rows kept aside; measured every `validate_every` steps (0:
    never), and the run ends after `patience`
    of them without a better figure.
    """

    out: str = "runs/sugar"
    base: str = "llava-hf/llava-1.5-7b-hf"
    base_precision: str = "auto"
    data: tuple[str, ...] = ()
    teachers: str = "triple"
    rank: int = 128
    alpha: int = 256
    targets: str = TARGETS
    dimension: int = 768
    projector: bool = False
    fresh_rate: float = 1.0
    batch: int = 32
    micro_batch: int = 8
    two_passes: bool = True
    checkpointing: bool = False
    compiled: bool = False
    held_out: float = 0.05
    validate_every: int = 100
    patience: int = 5
    steps: int = 3000
    warmup: int = 90
    terms: Terms = Terms()
    vectors: str = "runs/vectors"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch", "micro_batch", "rank", "alpha"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if not 0 <= self.held_out < 1:
            raise SettingsError(f"held_out is {self.held_out}; it is a share from 0 up to 1.")


class AdapterModule(nn.Module):
    """A base with a LoRA, its head, and the pass over one micro-batch."""

    def __init__(
        self, sugar: Sugar, head: EmbeddingHead | None, *, pooling: str = "mean", projector: bool = False
    ) -> None:
        super().__init__()
        self.model: nn.Module = sugar.model
        self.head = head
        self.pooling = pooling
        self.backbone: Any = sugar.backbone
        self.projector = sugar.model.model.multi_modal_projector if projector else None
        self._tower: dict[str, Tensor] = {}

    def embeddings(self, rows: Sequence[TrainRow], hidden: Tensor) -> Tensor:
        """Unit vectors (n, D) of the marked spans of rows, row by row."""
        spans = [
            [(where, is_image and self.pooling == "mean") for where, is_image in row.spans] for row in rows
        ]
        if self.head is not None and self.head.reading:
            layouts = [row.layout for row in rows]
            pictures = self._seen([image for layout in layouts for image in layout.images])
            hidden = with_readings(hidden, [x.slices for x in layouts], pictures, self.head.reading)
        d = pool_slices(hidden, spans)
        return self.head(d) if self.head is not None else F.normalize(d.float(), dim=-1)

    def forward(self, rows: Sequence[TrainRow]) -> Tensor:
        """The last layer's states of rows, (B, T, D)."""
        backbone = self.backbone
        batch = backbone.processor.collate([row.layout for row in rows])
        device = backbone.device
        ids, image_mask = batch.input_ids.to(device), batch.image_mask.to(device)
        mask = batch.attention_mask.to(device) if batch.padded else None
        grids = [image.grid for image in batch.images if image.grid is not None]
        positions, _ = backbone.positions(ids, image_mask, grids, mask)
        features = self._features(batch.images)
        return backbone.read(ids, positions, None, features, image_mask=image_mask)

    def _features(self, images: Sequence[PreparedImage]) -> list[Any]:
        """Per picture its features in the language model's width, by the projector where that is trained."""
        if self.projector is None or not images:
            return [_usable(f) for f in self.backbone.features(images)]
        tokens = torch.stack(self._tokens(images))  # (pictures, tokens, tower width)
        return list(self.projector(tokens.float()))

    def _seen(self, images: Sequence[PreparedImage]) -> list[VisionFeatures]:
        """Per picture what the tower says of it."""
        if self.projector is None or not images:
            return [_usable(f) for f in self.backbone.features(images)]
        tokens = self._tokens(images)
        readings = self.backbone.model.model.vision_tower.reading(torch.stack(tokens))
        return [
            VisionFeatures(*row) for row in zip(images, tokens, [()] * len(images), readings, strict=True)
        ]

    def _tokens(self, images: Sequence[PreparedImage]) -> list[Tensor]:
        """Per picture what the frozen tower hands to the projector, (tokens, tower width)."""
        missing = list({i.key: i for i in images if i.key not in self._tower}.values())
        for start in range(0, len(missing), TOWER_BATCH):
            chosen = missing[start : start + TOWER_BATCH]
            rows = projector_inputs(self.backbone.model, chosen, self.backbone.family)
            self._tower |= {image.key: row for image, row in zip(chosen, rows, strict=True)}
        tokens = [self._tower[i.key] for i in images]
        while len(self._tower) * tokens[0].nbytes > TOWER_BYTES:
            del self._tower[next(iter(self._tower))]
        return tokens


def projector_layers(model: Any) -> list[str]:
    """The full names of the projector's layers. Raises SettingsError for a family without one such module."""
    found = [
        n
        for n, m in model.named_modules()
        if ".multi_modal_projector." in n and list(m.parameters(recurse=False))
    ]
    if not found:
        raise SettingsError(
            f"The projector of a {model.config.model_type} base cannot be trained. Leave --projector out."
        )
    return found


def _usable(found: VisionFeatures) -> VisionFeatures:
    """Features that a backward pass may hold on to; the cache made them under inference mode."""
    deepstack = tuple(layer.clone() for layer in found.deepstack)
    reading = None if found.reading is None else found.reading.clone()
    return replace(found, features=found.features.clone(), deepstack=deepstack, reading=reading)


class AdapterTask:
    """A LoRA, a head, data, teachers and validation."""

    makes_head = True

    def __init__(self, config: AdapterConfig, mixture: Mixture | None = None) -> None:
        """mixture: data that the caller has open already, in place of `config.data`."""
        parallel.join()
        self.config = config
        torch.manual_seed(config.seed)
        self.sugar = Sugar.from_pretrained(config.base, precision=config.base_precision)
        self.device = self.sugar.backbone.device
        if self.device.type == "cpu":  # the fused attention's backward pass took ten times as long there
            self.sugar.model.set_attn_implementation("eager")
        self.sugar.backbone.vision.max_bytes = VISION_BYTES
        if mixture is None:
            opened = open_data(config.data)
            for dataset, _ in opened:
                for note in notes_of(dataset) if parallel.rank() == 0 else ():
                    log.warning("%s: %s", dataset.name, note)
            mixture = Mixture(
                [d for d, _ in opened], [w for _, w in opened], seed=config.seed, held_out=config.held_out
            )
        self.mixture = mixture
        self.module = self._module()
        if config.checkpointing:
            self.sugar.model.activation_checkpointing_enable(
                activation_checkpointing_kwargs={"use_reentrant": False}
            )
            self.sugar.model.train()
        if config.compiled:
            for layer in self.sugar.model.get_decoder().layers:
                layer.compile(dynamic=True)
        self.teachers = self._teachers()
        self.reader = StepReader(
            Reader(mixture), self.rows(), self.teachers, config.seed, config.batch, config.micro_batch
        )
        if parallel.shares_base():
            self.sugar.generator.decoding = "eager"  # a captured step cannot gather weights
        self.validation = Validation(self.sugar, mixture, ADAPTER, Path(config.out))

    def _module(self) -> AdapterModule:
        """The LoRA and the head, put into the base."""
        head = None
        if self.makes_head:
            hidden = self.sugar.backbone.hidden_size
            reading = reading_size(self.sugar.model)
            head = self.sugar.head or EmbeddingHead(hidden, hidden, self.config.dimension, reading)
            head = head.copy().to(self.device).requires_grad_(True)
        c = self.config
        whole = projector_layers(self.sugar.model) if c.projector else ()
        self.sugar.new_adapter(ADAPTER, head, rank=c.rank, alpha=c.alpha, targets=c.targets, whole=whole)
        for weight in self.sugar.model.parameters():
            if weight.requires_grad:  # a whole module comes in the base's precision
                weight.data = weight.data.float()
        for layer in self.sugar.model.modules():  # autocast decides the types; PEFT would cast to and fro
            if c.precision == "bf16" and hasattr(layer, "cast_input_dtype_enabled"):
                layer.cast_input_dtype_enabled = False
        return AdapterModule(self.sugar, head, pooling=c.terms.pooling, projector=c.projector)

    def rate_of(self, name: str) -> float:
        """The factor of the rate for a weight of the module."""
        return self.config.fresh_rate if name.startswith("head.") or "projector" in name else 1.0

    def _teachers(self) -> CachedEncoders | None:
        if not self.config.terms.labelled:
            return None
        teachers = CachedEncoders(
            open_teachers(self.config.teachers), output_folder(self.config.vectors, "--vectors")
        )
        if teachers.encoders.name.startswith("scenes"):
            return teachers
        if parallel.rank() == 0 or not teachers.cached:
            teachers.learn(self._examples())
            talks = self.config.terms.conversations
            sequences = (
                s for e in self._examples() for s in e.sequences[: None if talks else len(e.samples)]
            )
            teachers.prepare(s for sequence in sequences for s in sequence)
        parallel.barrier()
        return teachers

    def _examples(self) -> Iterator[Example]:
        """Every row that is trained on, one after the other."""
        reader = Reader(self.mixture)
        for d, rows in enumerate(self.mixture.kept):
            for row in rows:
                yield reader.example(d, int(row))

    def rows(self) -> SampleRows:
        """What turns an example into rows of tokens."""
        return SampleRows(self.sugar.processor, self.config.terms)

    def resumable(self) -> dict[str, Any]:
        c = self.config
        return {
            "recipe": type(self).__name__,
            "seed": c.seed,
            "base": c.base,
            "rank": c.rank,
            "batch": c.batch,
        }

    # -- a step
    # ----------------------------------------------------------------------------------------------------

    def backward(self, data: StepRows, step: int) -> StepResult:
        terms, found = self.config.terms, parallel.gather(data.facts)
        facts, counts = merge(found), [f.count for f in found]
        tokens = parallel.total(sum(row.weight(terms.length_weighting) for row in data.rows))
        losses: dict[str, float] = {}
        skills: dict[str, tuple[int, int]] = {}  # of the batch
        said: dict[str, tuple[int, int]] = {}  # of this process's answers
        spoken = [0.0]
        target = self.target(facts)
        sharded = parallel.shares_base()
        micro_batches = parallel.in_step(data.parts()) if sharded else data.parts()

        def forward(part: list[TrainRow]) -> tuple[Tensor, list[int], Tensor | None]:
            indices = [p for row in part for p in row.indices]
            if not (indices or sharded or torch.is_grad_enabled()):  # nothing of it is compared
                return torch.zeros(0, 1), [], None
            with self.autocast():
                hidden = self.module(part)
            embeddings = self.module.embeddings(part, hidden) if indices else hidden.new_zeros(0, 1).float()
            if not torch.is_grad_enabled():
                return embeddings, indices, None
            own = self._language(part, hidden, said) if terms.language else None
            if own is None:  # sharded layers are gathered by the other processes' backward passes
                return embeddings, indices, hidden.sum() * 0 if sharded and not indices else None
            spoken[0] += float(own.detach()) / tokens
            return embeddings, indices, own * (terms.language / tokens)

        def over_batch(r: Tensor) -> Tensor | None:
            with torch.autocast(self.device.type, enabled=False):
                parts, found_skills = self.compare(r.float(), facts, target)
            skills.update(found_skills)
            losses.update({name: float(value.detach()) for name, value in parts.items()})
            weighted = [value * self.weight(name) for name, value in parts.items()]
            return sum(weighted[1:], weighted[0]) if weighted else None

        over = over_batch if facts.count else None
        backward_in_parts(micro_batches, forward, over, counts, two_passes=self.config.two_passes)
        if tokens and terms.language:
            losses["language"] = parallel.total(spoken[0])
        for theirs in parallel.gather(said):
            for name, (right, asked) in theirs.items():
                before = skills.get(name, (0, 0))
                skills[name] = (before[0] + right, before[1] + asked)
        signal = label_statistics(target, facts.positions) if target is not None else {}
        rows = sum(parallel.gather(len(data.rows)))
        return StepResult(losses, skills, {**signal, "rows": rows, "bad rows": data.bad})

    def autocast(self) -> Any:
        """Products in bfloat16 where the settings say so."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def target(self, facts: BatchFacts) -> Tensor | None:
        """The label matrix, where there are teachers."""
        if facts.part1 is None:
            return None
        t = self.config.terms
        return labels(
            facts,
            relabel=t.referent_labels,
            same_sample=t.same_sample,
            kernel=t.kernel,
            triple=t.triple,
            device="cpu" if self.device.type == "mps" else self.device,  # mps has no float64
            delta=t.delta,
        )

    def compare(
        self, r: Tensor, facts: BatchFacts, target: Tensor | None
    ) -> tuple[dict[str, Tensor], dict[str, tuple[int, int]]]:
        """Losses over the whole batch's embeddings."""
        return compare(r, facts, target, self.config.terms)

    def weight(self, name: str) -> float:
        terms = self.config.terms
        return terms.similarity if name == "contrastive" else float(getattr(terms, name))

    def _language(
        self, part: list[TrainRow], hidden: Tensor, skills: dict[str, tuple[int, int]]
    ) -> Tensor | None:
        """The weighted sum of next-token losses of rows; None where nothing is learnt."""
        at = [
            (b, t, row, span)
            for b, row in enumerate(part)
            for span in row.layout.answers
            for t in range(*span)
        ]
        if not at:
            return None
        power = self.config.terms.length_weighting
        states = hidden[[b for b, *_ in at], [t - 1 for _, t, *_ in at]]  # (tokens, D)
        with self.autocast():
            logits = self.module.backbone.logits(states)
        logits = logits.float()
        wanted = torch.tensor([row.layout.ids[t] for _, t, row, _ in at], device=logits.device)
        weights = torch.tensor([(b - a) ** -power for *_, (a, b) in at], device=logits.device)
        right = (logits.argmax(-1) == wanted).tolist()
        spans: dict[tuple[int, int], list[bool]] = {}
        for (b, _, _, span), hit in zip(at, right, strict=True):
            spans.setdefault((b, span[0]), []).append(hit)
        for (b, _), hits in spans.items():
            seen, asked = skills.get(part[b].skill, (0, 0))
            skills[part[b].skill] = (seen + all(hits), asked + 1)
        return (F.cross_entropy(logits, wanted, reduction="none") * weights).sum()

    # -- what comes out
    # --------------------------------------------------------------------------------------------

    def validate(self, step: int) -> dict[str, float] | None:
        self.sugar.backbone.vision.clear()  # a trained projector says something else by now
        with self.autocast():
            return self.validation.measure(step)

    def export(self, folder: Path) -> None:
        """The adapter's folder: LoRA, head, card."""
        self.sugar.save_adapter(
            folder, ADAPTER, card=adapter_card(self.config, self.mixture, self.reader.bad)
        )
