"""The trainer measured: `python -m sugar bench train`.

    python -m sugar bench train  # CPU: a random LLaVA of a few million parameters, minutes
    python -m sugar bench train --only large  # memory at 200 M parameters, 576 tokens a picture: half an hour

Rows: samples/s beside HF `Trainer` on the same model, LoRA and rows, alternating; the share of a step's time
in data, tower, decoder and loss; peak memory of a step above the idle process at batch 8, 32 and 128, with
micro-batches of 8 rows of a random LLaVA of some ten million parameters (`large`: of 200 million, with
checkpointing). A table for people, then one JSON line. Not covered: what a run learns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import torch
from PIL import Image

from sugar.bench import peak_memory
from sugar.bench.core import WORDS, random_base
from sugar.core import Sugar
from sugar.sequence import Sample, Turn
from sugar.training.adapter import AdapterConfig, AdapterTask
from sugar.training.data.example import Conversation, Example, captioned
from sugar.training.data.mixture import Mixture
from sugar.training.loop import Run
from sugar.training.terms import Terms

OPTIONS = {
    "batch": (16, "samples of a step"),
    "steps": (4, "steps that are timed"),
    "rounds": (3, "medians of so many, for the speed"),
    "only": (("usual", "speed", "shares", "memory", "large"), "one part; usual: the first three"),
}


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


def peak_of_a_step(base: Path, batch: int, large: bool) -> float:
    """Megabytes that steps need above the process before them, in a process of its own.

    Tensors get pages of their own there, so that what is free again does not count.
    """
    code = f"from sugar.bench.train import _measure; _measure({str(base)!r}, {batch}, {large})"
    own = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=own)
    return round(float(done.stdout.strip().splitlines()[-1]), 1)


def _measure(base: str, batch: int, large: bool) -> None:
    """Print the peak; called in a process of its own. The large model takes one step, with checkpointing."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as out:
        task = task_of(Path(base), Path(out), batch=batch, micro=8, embedded=True, checkpointing=large)
        run = Run(task)
        data = run.task.reader(0)
        with peak_memory(psutil.Process()) as most:
            for _ in range(1 if large else 2):
                run.train_step(data)
        print(most[0])


# --- the command --------------------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print. Returns what was measured."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        large = options.only == "large"
        base = random_base(here / "base", "large" if large else "small")
        model = Sugar.from_pretrained(base, device="cpu").model
        found["parameters"] = sum(p.numel() for p in model.parameters())
        how = {"batch": options.batch, "steps": options.steps}
        if options.only in ("usual", "speed"):
            found["samples/s"] = against_trainer(base, here, rounds=options.rounds, **how)
        if options.only in ("usual", "shares"):
            found["share of time, %"] = shares(base, here / "shares", **how)
        if options.only in ("usual", "memory", "large"):
            larger = base if large else random_base(here / "medium", "medium")
            found["peak of a step, MB"] = {
                f"batch {b}": peak_of_a_step(larger, b, large) for b in (8, 32, 128)
            }
    for name, value in found.items():
        print(f"{name:24} {value}")
    return {"threads": torch.get_num_threads(), "rows": found}
