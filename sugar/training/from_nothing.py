"""The embedded model from nothing, or a LLaVA base trained whole, on packed steps of the drawn world.

    train(DrawnTask(SugarConfig(out="runs/tiny")))

Stage 0 (`dense_steps`) trains the vision tower on the scene graph; then every step holds every task
(mix.py). With several processes each reads its share of a step's rows. Not covered: LoRA on a frozen base
(adapter.py).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sugar.core import Sugar
from sugar.errors import ModelError, SettingsError
from sugar.model.adapters import EmbeddingHead
from sugar.model.backbone import attend_in_float32
from sugar.model.checkpoint import write_settings
from sugar.scenes.vocabulary import vocabulary
from sugar.scenes.world import sample_scene, split_rng
from sugar.training import parallel
from sugar.training.config import RunConfig
from sugar.training.mix import draw_step
from sugar.training.objective import Objective, Prepared, prepare
from sugar.training.profile import DRAWN
from sugar.training.rows import Tokens
from sugar.training.run_log import StepResult
from sugar.training.scene_targets import pixels_of, scene_labels
from sugar.training.steps import MixConfig, Step
from sugar.training.terms import Terms

__all__ = ["DrawnReader", "DrawnTask", "SugarConfig", "build_model"]

SHARED_OUT = {"language", "dense", "token_word_alignment"}
"""Losses of which each process computes a part; the others it computes whole."""


@dataclass(frozen=True)
class SugarConfig(RunConfig):
    """A run on the drawn world. Steps count from 0 and include the dense stage.

    base: a LLaVA checkpoint to train whole, or "" for the embedded model's shape from nothing. budget:
    padded tokens a batch of rows; small ones stay in a CPU's cache, and a step takes two thirds of the time
    that 6000 takes. easy_until: steps over which the share of easy exercises falls to 0.
    """

    out: str = "runs/tiny"
    optimizer: str = "muon"
    schedule: str = "linear"
    steps: int = 6000
    rate: float = 1.5e-3
    warmup: int = 60
    weight_decay: float = 0.02
    threads: int = 1
    workers: int = 1
    trackers: str = ""
    base: str = ""
    dense_steps: int = 1200
    dense_batch: int = 96
    budget: int = 1500
    easy_until: int = 1200
    terms: Terms = Terms()
    mix: MixConfig = field(default_factory=MixConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.dense_steps <= self.steps:
            raise SettingsError(
                f"dense_steps is {self.dense_steps} of {self.steps} steps; it must lie between 0 and steps."
            )

    @property
    def stage_start(self) -> int:
        return self.dense_steps


def build_model(config: SugarConfig) -> tuple[Any, EmbeddingHead, Any]:
    """(LLaVA, head, Hugging Face processor) to train whole, on the CPU, in float32.

    Raises ModelError: a base that is missing, unsafe, too large, or not of the LLaVA architecture.
    """
    torch.manual_seed(config.seed)
    if not config.base:
        from sugar.model.tiny import TinyConfig, build

        tiny = TinyConfig()
        llava, processor = build(tiny, vocabulary())
        return llava, EmbeddingHead(tiny.hidden_size, tiny.head_hidden, tiny.head_size), processor
    from sugar.model.tiny import trainable_whole

    base = Sugar.from_pretrained(config.base, device="cpu", precision="fp32")
    if not trainable_whole(base.family):
        raise ModelError(
            f"{config.base} is a {base.family} model; this recipe takes the LLaVA architecture. Use "
            "`lora` for others."
        )
    hidden = base.model.config.text_config.hidden_size
    head = (base.head or EmbeddingHead(hidden, hidden, 768)).requires_grad_(True).train()
    return base.model.requires_grad_(True), head, base.processor.hf


class DrawnReader:
    """The data of a step, the same in every process. Holds what workers need, and no weights."""

    def __init__(self, config: SugarConfig, image_processor: Any, side: int, tokens: Tokens) -> None:
        self.config, self.image_processor, self.side, self.tokens = config, image_processor, side, tokens

    def __call__(self, step: int) -> Prepared:
        c = self.config
        rng = split_rng("train", c.seed * 10_000_019 + step)
        if step < c.dense_steps:
            scenes = [sample_scene(rng) for _ in range(c.dense_batch)]
            pixels = pixels_of(scenes, self.image_processor, self.side)
            return Prepared(pixels, [], Step(scenes=scenes), scene_labels(scenes), None, None, None, {})
        easy = max(0.0, 1 - (step - c.dense_steps) / max(1, c.easy_until)) * 0.8
        drawn = draw_step(c.mix, self.tokens, rng, easy=easy)
        return prepare(drawn, c.terms, self.image_processor, self.side, self.tokens, c.budget)


class DrawnTask:
    """The embedded model, its head and its objective."""

    def __init__(self, config: SugarConfig) -> None:
        parallel.join()
        self.config = config
        llava, head, self.processor = build_model(config)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if config.precision == "bf16" and self.device.type == "cpu":
            attend_in_float32(llava)
        dense = bool(config.terms.dense or config.dense_steps)
        self.module = Objective(llava, head, config.terms, dense=dense).to(self.device)
        vision = llava.config.vision_config
        side = int(vision.image_size)
        tokens = Tokens(
            self.processor.tokenizer, llava.config.image_token_id, (side // int(vision.patch_size)) ** 2
        )
        self.reader = DrawnReader(config, self.processor.image_processor, side, tokens)

    def resumable(self) -> dict[str, Any]:
        return {"recipe": "sugar", "seed": self.config.seed, "base": self.config.base}

    def backward(self, data: Prepared, step: int) -> StepResult:
        dense_only = step < self.config.dense_steps
        half = self.config.precision == "bf16"
        share = (parallel.rank(), parallel.world())
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            losses, skills = self.module(data, dense_only=dense_only, share=share)
        weights = {name: 1.0 if dense_only else self._weight(name) for name in losses}
        total = sum(losses[name] * weights[name] for name in losses)
        if isinstance(total, torch.Tensor) and total.requires_grad:
            total.backward()
        values = {name: float(value.detach()) for name, value in losses.items()}
        values = {n: parallel.total(v) if n in SHARED_OUT else v for n, v in values.items()}
        counted = {name: (int(pair[0]), int(pair[1])) for name, pair in skills.items()}
        return StepResult(values, counted, data.label_counts)

    def _weight(self, name: str) -> float:
        terms = self.config.terms
        return terms.similarity if name == "contrastive" else float(getattr(terms, name))

    def validate(self, step: int) -> None:
        """Nothing is kept aside: every step's skills are measured on scenes never seen before."""

    def export(self, folder: Path) -> None:
        """The checkpoint, in bfloat16, as `Sugar.from_pretrained` and plain Transformers open it."""
        copy.deepcopy(self.module.llava).to(torch.bfloat16).save_pretrained(folder)
        self.processor.save_pretrained(folder)
        self.module.head.save(folder)
        name = Path(self.config.out).name if self.config.base else "sugar-tiny"
        head = self.module.head.sizes
        write_settings(folder, name=name, encoder="sugar", head=head, profile=DRAWN.to_json())
