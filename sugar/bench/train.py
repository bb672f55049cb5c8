"""The trainer measured: `python -m sugar bench train`.

    python -m sugar bench train  # CPU: a random LLaVA of a few million parameters, minutes
    python -m sugar bench train --only large  # memory at 200 M parameters, 576 tokens a picture: half an hour
    python -m sugar bench train --gpu  # CUDA: a 7B shape, random weights, NF4, under 12 and 24 GB

Rows: samples/s beside HF `Trainer` on the same model, LoRA and rows, alternating; the share of a step's time
in data, tower, decoder and loss; peak memory of a step above the idle process at batch 8, 32 and 128, with
micro-batches of 8 rows of a random LLaVA of some ten million parameters (`large`: of 200 million, with
checkpointing). A table for people, then one JSON line. Not covered: what a run learns.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch
from PIL import Image

from sugar.core import Sugar
from sugar.errors import SettingsError
from sugar.sequence import Sample, Turn
from sugar.training.adapter import AdapterConfig, AdapterTask
from sugar.training.data.example import Conversation, Example, captioned
from sugar.training.data.mixture import Mixture
from sugar.training.loop import Run
from sugar.training.terms import Terms


class Shape(NamedTuple):
    """Widths and layers of a random LLaVA."""

    hidden: int
    layers: int
    mlp: int
    vision: int
    side: int
    patch: int
    vocabulary: int
    vision_layers: int


SHAPES = {
    "small": Shape(128, 4, 344, 96, 64, 8, 2000, 4),
    "medium": Shape(384, 6, 1024, 192, 64, 8, 4000, 6),
    "large": Shape(1024, 8, 2816, 512, 336, 14, 32000, 8),
    "7b": Shape(4096, 32, 11008, 1024, 336, 14, 32064, 24),
}
CAPTION = "a red star and a blue cat by the lake at night in the rain"
WORDS = CAPTION.split()


class Squares:
    """Coloured squares with captions of a dozen words. embedded: with samples to embed; else answers only."""

    name = "bench"

    def __init__(self, side: int, *, embedded: bool, size: int = 512) -> None:
        self.side, self.embedded, self.size = side, embedded, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Example:
        picture = Image.new("RGB", (self.side, self.side), (index % 256, 90, 200))
        words = " ".join(WORDS[(index + k) % len(WORDS)] for k in range(12))
        if self.embedded:
            return captioned(picture, [words])
        asked = Turn("user", Sample([picture, "what is it?"]))
        return Example(conversations=(Conversation((asked, Turn("assistant", Sample(words)))),))

    def captions(self, index: int) -> list[str]:
        return []


def random_base(folder: Path, shape: str) -> Path:
    """A LLaVA of the shape with random weights, as a checkpoint folder."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    from sugar.model.tiny import TinyConfig, build

    s = SHAPES[shape]
    _, processor = build(
        replace(TinyConfig(), image_size=s.side, patch_size=s.patch), WORDS + ["what", "is", "it"]
    )
    processor.patch_size = s.patch
    heads = max(1, s.hidden // 128)
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=s.vision,
        intermediate_size=4 * s.vision,
        num_hidden_layers=s.vision_layers,
        num_attention_heads=max(1, s.vision // 64),
        image_size=s.side,
        patch_size=s.patch,
    )
    text = LlamaConfig(
        vocab_size=s.vocabulary,
        hidden_size=s.hidden,
        intermediate_size=s.mlp,
        num_hidden_layers=s.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
    )
    image_token = processor.tokenizer.convert_tokens_to_ids("<image>")
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        settings: Any = {"vision_config": vision, "text_config": text, "image_token_id": image_token}
        model: Any = LlavaForConditionalGeneration(LlavaConfig(**settings))
    model = model.to(torch.bfloat16 if shape == "7b" else torch.float32)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def task_of(base: Path, out: Path, *, batch: int, micro: int, embedded: bool, **changes: Any) -> AdapterTask:
    """A LoRA task on the drawn rows."""
    terms = Terms(similarity=1.0, referent=1.0, contrastive_only=True) if embedded else Terms(similarity=0.0)
    config = replace(
        AdapterConfig(base=str(base), out=str(out), terms=terms, trackers="", validate_every=0),
        batch=batch,
        micro_batch=micro,
        rank=16,
        alpha=32,
        dimension=128,
        **changes,
    )
    side = json.loads((base / "config.json").read_text("utf-8"))["vision_config"]["image_size"]
    return AdapterTask(config, Mixture([Squares(side, embedded=embedded)]))


# --- against HF Trainer -------------------------------------------------------------------------------------


def against_trainer(base: Path, out: Path, *, batch: int, steps: int, rounds: int) -> dict[str, Any]:
    """samples/s of both on the same rows, alternating; medians."""
    from transformers import Trainer, TrainingArguments

    ours: list[float] = []
    theirs: list[float] = []
    for n in range(rounds):
        task = task_of(base, out / f"ours{n}", batch=batch, micro=batch, embedded=False)
        run = Run(task)
        ahead = [task.reader(step) for step in range(steps + 1)]  # the other side's rows are prepared too
        run.train_step(ahead.pop())
        start = time.perf_counter()
        for data in ahead:
            run.train_step(data)
        ours.append(steps * batch / (time.perf_counter() - start))
        other = task_of(base, out / f"theirs{n}", batch=batch, micro=batch, embedded=False)
        rows = [row.layout for step in range(steps + 1) for row in other.reader(step).rows]

        def collated(layouts: list[Any], processor: Any = other.sugar.processor) -> dict[str, Any]:
            made = processor.collate(layouts)
            labels = torch.full_like(made.input_ids, -100)
            for b, layout in enumerate(layouts):
                for a, z in layout.answers:
                    labels[b, a:z] = made.input_ids[b, a:z]
            return {**made.inputs(), "labels": labels}

        settings = TrainingArguments(
            output_dir=str(out / f"hf{n}"),
            per_device_train_batch_size=batch,
            max_steps=steps,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            remove_unused_columns=False,
            dataloader_pin_memory=False,
        )
        trainer = Trainer(model=other.sugar.model, args=settings, train_dataset=rows, data_collator=collated)
        start = time.perf_counter()
        trainer.train()
        theirs.append(steps * batch / (time.perf_counter() - start))
    mine, other_rate = statistics.median(ours), statistics.median(theirs)
    return {"ours": round(mine, 2), "hf_trainer": round(other_rate, 2), "ratio": round(mine / other_rate, 2)}


# --- where the time goes ------------------------------------------------------------------------------------


@contextmanager
def clocked(target: Any, name: str, spent: dict[str, float], part: str) -> Iterator[None]:
    """Add up the seconds inside a method."""
    plain: Callable[..., Any] = getattr(target, name)

    def timed(*args: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return plain(*args, **named)
        finally:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            spent[part] = spent.get(part, 0.0) + time.perf_counter() - start

    setattr(target, name, timed)
    try:
        yield
    finally:
        setattr(target, name, plain)


def shares(base: Path, out: Path, *, batch: int, steps: int) -> dict[str, float]:
    """Percent of a step in data, tower, decoder (forward and backward) and loss over embeddings."""
    task = task_of(base, out, batch=batch, micro=min(batch, 16), embedded=True)
    run = Run(task)
    run.train_step()
    spent: dict[str, float] = {}
    start = time.perf_counter()
    with (
        clocked(task.sugar.backbone, "features", spent, "tower"),
        clocked(task, "compare", spent, "loss"),
    ):
        for _ in range(steps):
            began = time.perf_counter()
            data = task.reader(run.step)
            spent["data"] = spent.get("data", 0.0) + time.perf_counter() - began
            run.train_step(data)
    whole = time.perf_counter() - start
    spent["decoder"] = whole - sum(spent.values())
    return {name: round(100 * seconds / whole, 1) for name, seconds in sorted(spent.items())}


# --- memory ----------------------------------------------------------------------------------------------


def peak_of_a_step(base: Path, batch: int, *, steps: int = 2, checkpointing: bool = False) -> float:
    """Megabytes that steps need above the process before them, in a process of its own.

    Tensors get pages of their own there, so that what is free again does not count.
    """
    code = (
        f"from sugar.bench.train import _measure; _measure({str(base)!r}, {batch}, {steps}, {checkpointing})"
    )
    own = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=own)
    return float(done.stdout.strip().splitlines()[-1])


def _measure(base: str, batch: int, steps: int, checkpointing: bool) -> None:
    """Print the peak; called in a process of its own."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as out:
        task = task_of(
            Path(base), Path(out), batch=batch, micro=8, embedded=True, checkpointing=checkpointing
        )
        run = Run(task)
        data = run.task.reader(0)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            run.train_step(data)
            print((torch.cuda.max_memory_allocated() - before) / 1e6)
            return
        process, over, peak = psutil.Process(), threading.Event(), [0]

        def watch() -> None:
            while not over.wait(0.002):
                peak[0] = max(peak[0], process.memory_info().rss)

        before = process.memory_info().rss
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        for _ in range(steps):
            run.train_step(data)
        over.set()
        watcher.join()
        print((peak[0] - before) / 1e6)


# --- the command --------------------------------------------------------------------------------------------


def on_gpu(folder: Path) -> dict[str, Any]:
    """A 7B shape in NF4 under 12 and 24 GB: does a step fit, samples/s, share of the card's bf16 peak."""
    if not torch.cuda.is_available():
        raise SettingsError("--gpu needs a CUDA device.")
    base = random_base(folder / "7b", "7b")
    found: dict[str, Any] = {}
    total = torch.cuda.get_device_properties(0).total_memory
    for cap, micro in ((12, 2), (24, 8)):
        torch.cuda.set_per_process_memory_fraction(min(1.0, cap * 1e9 / total))
        task = task_of(
            base,
            folder / f"gpu{cap}",
            batch=16,
            micro=micro,
            embedded=True,
            base_precision="nf4",
            checkpointing=True,
        )
        run = Run(task)
        run.train_step()
        torch.cuda.synchronize()
        start = time.perf_counter()
        data = task.reader(run.step)
        run.train_step(data)
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        tokens = sum(len(row.layout) for row in data.rows)
        parameters = sum(p.numel() for p in task.sugar.model.parameters())
        found[f"{cap} GB"] = {
            "fits": True,
            "samples/s": round(16 / seconds, 2),
            "TFLOP/s": round(8 * parameters * tokens / seconds / 1e12, 1),
            "peak GB": round(torch.cuda.max_memory_allocated() / 1e9, 1),
        }
        del task, run
        torch.cuda.empty_cache()
    return found


def run(argv: list[str]) -> dict[str, Any]:
    """Measure and print. Returns what was measured."""
    parser = argparse.ArgumentParser(prog="python -m sugar bench train", description=__doc__)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=["speed", "shares", "memory", "large"])
    args = parser.parse_args(argv)
    wanted = args.only or ["speed", "shares", "memory"]
    about: dict[str, Any] = {"date": datetime.date.today().isoformat(), "machine": platform.machine()}
    about |= {"torch": torch.__version__, "threads": torch.get_num_threads()}
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        if args.gpu:
            found["gpu"] = on_gpu(here)
        else:
            base = random_base(here / "base", "small")
            model = Sugar.from_pretrained(base, device="cpu").model
            found["parameters"] = sum(p.numel() for p in model.parameters())
            if "speed" in wanted:
                found["samples/s"] = against_trainer(
                    base, here, batch=args.batch, steps=args.steps, rounds=args.rounds
                )
            if "shares" in wanted:
                found["share of time, %"] = shares(base, here / "shares", batch=args.batch, steps=args.steps)
            if "memory" in wanted:
                larger = random_base(here / "medium", "medium")
                found["peak of a step, MB"] = {
                    f"batch {b}": round(peak_of_a_step(larger, b), 1) for b in (8, 32, 128)
                }
            if "large" in wanted:
                larger = random_base(here / "large", "large")
                model = Sugar.from_pretrained(larger, device="cpu").model
                found["parameters"] = sum(p.numel() for p in model.parameters())
                found["peak of a step, MB"] = {
                    f"batch {b}": round(peak_of_a_step(larger, b, steps=1, checkpointing=True), 1)
                    for b in (8, 32, 128)
                }
    for name, value in found.items():
        print(f"{name:24} {value}")
    return {**about, "rows": found}
