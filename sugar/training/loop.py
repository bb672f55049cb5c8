"""The one training loop: the embedded model from nothing, or LoRA on a frozen base.

    train(SugarConfig(out="runs/tiny"))                 # resumes by itself when `out` holds a state
    python -m sugar train --recipe sugar --config tiny --out runs/tiny

Stage 0 (`dense_steps`) trains the vision tower on the scene graph; then every step holds every task. Data are drawn from (seed, step,
process), so a run can stop at any step and goes on as if it had not; on a CPU one seed gives one result. `log.jsonl` has a line every
`log_every` steps with losses, skills and speed; `curves.png` shows them. Devices and precision are accelerate's business.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import os
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from sugar.core import Sugar
from sugar.errors import ModelError, SettingsError
from sugar.model.attention import attend_in_float32
from sugar.model.checkpoint import write_settings
from sugar.model.head import EmbeddingHead
from sugar.scenes.vocabulary import vocabulary
from sugar.scenes.world import sample_scene, split_rng
from sugar.training.mix import MixConfig, Step, draw_step
from sugar.training.objective import Objective, Prepared, Terms, pixels_of, prepare, scene_labels
from sugar.training.optimizer import Muon, matrices
from sugar.training.rows import Tokens

STATE = "state.pt"
LOG = "log.jsonl"
ADAPTER = "sugar"


@dataclass(frozen=True)
class SugarConfig:
    """All that decides a run; saved beside its checkpoint. Steps count from 0 and include the dense stage.

    base: a LLaVA checkpoint to start from, or "" for the embedded model's shape from nothing. lora: rank of LoRA on the query and value
    projections with the base frozen (the paper: 128, alpha twice that), 0 trains everything. decay: the last share of the steps, over which
    the rate falls to 0; before it the rate is constant, so that a run may be prolonged (the paper: cosine). budget: padded tokens a batch.
    """

    out: str = "runs/tiny"
    base: str = ""
    seed: int = 0
    steps: int = 6000
    dense_steps: int = 1200
    dense_batch: int = 96
    rate: float = 1.5e-3
    matrix_rate: float = 0.008
    warmup: int = 60
    decay: float = 0.6
    clip: float = 1.0
    weight_decay: float = 0.02
    matrix_decay: float = 0.1  # 0.02 let attention logits grow until no lookup could be learnt
    lora: int = 0
    precision: str = "no"
    budget: int = 1500  # small batches stay in a CPU's cache: a step takes two thirds of the time that 6000 takes
    easy_until: int = 1200
    save_every: int = 200
    log_every: int = 25
    threads: int = 1
    workers: int = 1  # processes that draw steps ahead of the model; 0 draws in between
    terms: Terms = field(default_factory=Terms)
    mix: MixConfig = field(default_factory=MixConfig)

    def __post_init__(self) -> None:
        if self.precision not in ("no", "bf16", "fp16"):
            raise SettingsError(f"precision is {self.precision!r}; use no, bf16 or fp16.")
        if not 0 <= self.dense_steps <= self.steps:
            raise SettingsError(f"dense_steps is {self.dense_steps} of {self.steps} steps; it must lie between 0 and steps.")


def rate_at(step: int, config: SugarConfig) -> float:
    """Share of the peak rate: a linear warm-up at the start of each stage, constant, then linear to 0 over the last `decay`."""
    since = step if step < config.dense_steps else step - config.dense_steps
    rise = min(1.0, (since + 1) / max(1, config.warmup))
    left = (config.steps - step) / max(1.0, config.decay * config.steps)
    return rise * min(1.0, left)


def build_model(config: SugarConfig) -> tuple[Any, EmbeddingHead, Any]:
    """(LLaVA, head, Hugging Face processor) to train whole, on the CPU, in float32. Raises ModelError as `open_base` does."""
    torch.manual_seed(config.seed)
    if not config.base:
        from sugar.model.tiny import TinyConfig, build

        tiny = TinyConfig()
        llava, processor = build(tiny, vocabulary())
        return llava, EmbeddingHead(tiny.hidden_size, tiny.head_hidden, tiny.head_size), processor
    base, head = open_base(config.base, device="cpu", precision="fp32")
    return base.model.requires_grad_(True), head, base.processor.hf


def open_base(name: str, **how: Any) -> tuple[Sugar, EmbeddingHead]:
    """A base to start from, through the same door as any model, and its head, or a fresh one, trainable.

    Raises ModelError: missing, unsafe, too large, or not of the LLaVA architecture.
    """
    base = Sugar.from_pretrained(name, **how)
    if base.family != "llava":
        raise ModelError(f"{name} is a {base.family} model; the training recipes take the LLaVA architecture.")
    hidden = base.model.config.text_config.hidden_size
    return base, (base.head or EmbeddingHead(hidden, hidden, 768)).requires_grad_(True).train()


class Run:
    """A training run: model, optimisers, and the step it stands at."""

    def __init__(self, config: SugarConfig) -> None:
        from accelerate import Accelerator

        if config.threads:
            torch.set_num_threads(config.threads)
        self.config = config
        self.out = Path(config.out)
        self.accelerator = Accelerator(mixed_precision=config.precision, cpu=not torch.cuda.is_available())
        self.adapted: Sugar | None = None
        if config.lora:
            self.adapted, head = open_base(config.base)
            llava, self.processor = self.adapted.model, self.adapted.processor.hf
            self.adapted.new_adapter(ADAPTER, head, rank=config.lora, alpha=2 * config.lora)
        else:
            llava, head, self.processor = build_model(config)
        if config.precision == "bf16" and self.accelerator.device.type == "cpu":
            attend_in_float32(llava)
        self.objective = Objective(llava, head, config.terms)
        chosen = matrices(self.objective)
        known = {id(p) for p in chosen}
        others = [p for p in self.objective.parameters() if p.requires_grad and id(p) not in known]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(others, lr=config.rate, betas=(0.9, 0.98), weight_decay=config.weight_decay),
            Muon(chosen, lr=config.matrix_rate, weight_decay=config.matrix_decay, half=config.precision == "bf16"),
        ]
        self.peaks = [config.rate, config.matrix_rate]
        vision = llava.config.vision_config
        self.side = int(vision.image_size)
        self.image_processor = self.processor.image_processor
        self.tokens = Tokens(self.processor.tokenizer, llava.config.image_token_id, (self.side // int(vision.patch_size)) ** 2)
        self.step = 0
        self.model = self.accelerator.prepare(self.objective)

    # -- checkpoints -----------------------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """The whole state, written aside and put in place at once."""
        if not self.accelerator.is_main_process:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        state = {"step": self.step, "model": self.trained(), "optimizers": [o.state_dict() for o in self.optimizers],
                 "config": dataclasses.asdict(self.config)}  # fmt: skip
        partial = self.out / (STATE + ".part")
        torch.save(state, partial)
        os.replace(partial, self.out / STATE)

    def trained(self) -> dict[str, torch.Tensor]:
        """The weights that are trained, by name: all of the embedded model, LoRA and head of a frozen base."""
        return {name: p.detach() for name, p in self.objective.named_parameters() if p.requires_grad}

    def resume(self) -> bool:
        """Go on from `out`, if it holds a state. Raises SettingsError when that run had another seed, mix or terms."""
        path = self.out / STATE
        if not path.is_file():
            return False
        state = torch.load(path, map_location="cpu", weights_only=True)
        for key in ("seed", "base", "lora"):
            if state["config"][key] != getattr(self.config, key):
                raise SettingsError(
                    f"{path} was made with {key}={state['config'][key]!r}, not {getattr(self.config, key)!r}. Use another --out."
                )
        own = self.trained()
        if own.keys() != state["model"].keys():
            raise SettingsError(f"{path} holds other weights than this run trains; the terms or the base differ. Use another --out.")
        for name, value in own.items():
            value.copy_(state["model"][name])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step = state["step"]
        return True

    def export(self, folder: str | Path) -> Path:
        """The checkpoint, in bfloat16, as `Sugar.from_pretrained` and plain Transformers open it; of a LoRA run, the adapter's folder.
        Settings, time and hardware are written beside it."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if self.adapted is not None:
            self.adapted.save_adapter(folder, ADAPTER)
        else:
            copy.deepcopy(self.objective.llava).to(torch.bfloat16).save_pretrained(folder)
            self.processor.save_pretrained(folder)
            self.objective.head.save(folder)
            name = self.out.name if self.config.base else "sugar-tiny"
            write_settings(folder, name=name, encoder="sugar", head=self.objective.head.sizes)
        for file in folder.glob("*.safetensors"):
            file.chmod(0o644)
        facts = {"config": dataclasses.asdict(self.config), "step": self.step, "seconds": self.seconds(), "hardware": self.hardware()}
        (folder / "training.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        return folder

    def seconds(self) -> float:
        """Seconds spent on all steps so far, over every resumption, from the log."""
        from sugar.training.curves import read_log

        path = self.out / LOG
        lines = read_log(path) if path.is_file() else []
        starts = [0, *(line["step"] for line in lines)]
        return round(sum(line["seconds_per_step"] * (line["step"] - start) for start, line in zip(starts, lines, strict=False)))

    def hardware(self) -> str:
        device = self.accelerator.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU, {self.config.threads} thread(s)"
        return f"{name}, {self.accelerator.num_processes} process(es), torch {torch.__version__}"

    # -- steps -----------------------------------------------------------------------------------------------------------------------

    def draw(self, step: int) -> Prepared:
        """The data of a step: a function of (seed, step, process) alone."""
        c = self.config
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        rng = split_rng("train", (c.seed * 10_000_019 + step) * world + rank)
        if step < c.dense_steps:
            scenes = [sample_scene(rng) for _ in range(c.dense_batch)]
            return Prepared(
                pixels_of(scenes, self.image_processor, self.side), [], Step(scenes=scenes), scene_labels(scenes), None, None, None
            )
        easy = max(0.0, 1 - (step - c.dense_steps) / max(1, c.easy_until)) * 0.8
        return prepare(draw_step(c.mix, self.tokens, rng, easy=easy), c.terms, self.image_processor, self.side, self.tokens, c.budget)

    def steps_ahead(self) -> Iterable[Prepared]:
        """The data of every step from here to the last, drawn ahead by `workers` processes."""
        c = self.config
        return DataLoader(
            _Steps(self),
            batch_size=None,
            sampler=range(self.step, c.steps),
            num_workers=c.workers,
            prefetch_factor=2 if c.workers else None,
        )

    def train_step(self, data: Prepared | None = None) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
        """One optimiser step, on `data` (default: drawn here and now). Returns the unweighted losses and the skills."""
        c = self.config
        dense_only = self.step < c.dense_steps
        losses, skills = self.model(self.draw(self.step) if data is None else data, dense_only=dense_only)
        total = sum(losses[name] * (1.0 if dense_only else self._weight(name)) for name in losses)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(total)
        self.accelerator.clip_grad_norm_(self.objective.parameters(), c.clip)
        share = rate_at(self.step, c)
        for optimizer, peak in zip(self.optimizers, self.peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * share
            optimizer.step()
        self.step += 1
        return {name: float(value.detach()) for name, value in losses.items()}, skills

    def _weight(self, name: str) -> float:
        return self.config.terms.similarity if name == "contrastive" else float(getattr(self.config.terms, name))


class _Steps(Dataset):
    """Steps by number, for the workers."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def __getitem__(self, step: int) -> Prepared:
        return self.run.draw(step)


def train(config: SugarConfig, *, quiet: bool = False) -> Path:
    """Train, or go on training, to `config.steps`; then export to `out/model`. Returns that folder."""
    from tqdm import tqdm

    run = Run(config)
    if run.resume() and not quiet:
        print(f"going on from step {run.step} of {config.steps} in {run.out}")
    run.out.mkdir(parents=True, exist_ok=True)
    main = run.accelerator.is_main_process
    sums: dict[str, float] = {}
    counts: dict[str, torch.Tensor] = {}
    began, since = time.perf_counter(), run.step
    bar = tqdm(total=config.steps, initial=run.step, disable=quiet or not main, unit="step", mininterval=5, smoothing=0.05)
    for data in run.steps_ahead():
        losses, skills = run.train_step(data)
        bar.update()
        for name, value in losses.items():
            if not math.isfinite(value):
                raise ModelError(
                    f"the {name} loss became {value} at step {run.step}; lower --rate or --matrix-rate and go on from the last state."
                )
            sums[name] = sums.get(name, 0.0) + value
        for name, pair in skills.items():
            counts[name] = counts.get(name, torch.zeros(2)) + pair.cpu()
        if run.step % config.log_every == 0 or run.step == config.steps:
            n, seconds = run.step - since, time.perf_counter() - began
            line = {
                "step": run.step, "seconds_per_step": round(seconds / n, 3), "rate": round(rate_at(run.step - 1, config), 4),
                "losses": {k: round(v / n, 5) for k, v in sums.items()},
                "skills": {k: [int(v[0]), int(v[1])] for k, v in sorted(counts.items())},
            }  # fmt: skip
            if main:
                with open(run.out / LOG, "a", encoding="utf-8") as log:
                    log.write(json.dumps(line) + "\n")
                bar.set_postfix({k: f"{v / n:.3f}" for k, v in sums.items()}, refresh=False)
            sums, counts, began, since = {}, {}, time.perf_counter(), run.step
        if run.step % config.save_every == 0:
            run.save()
    bar.close()
    run.save()
    folder = run.out / "model"
    if main:
        from sugar.training.curves import plot_curves

        run.export(folder)
        plot_curves(run.out / LOG, run.out / "curves.png")
    return folder
