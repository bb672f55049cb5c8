"""The core against plain Transformers calls, as ratios of one run.

    taskset -c 1 python -m sugar bench core           # CPU: the photo model; --model for another
    python -m sugar bench core --gpu                  # CUDA: LLaVA-1.5-7B's shape in NF4, on 8 and 12 GB

CPU rows: embedding against one call a sample; a second turn's first token with three pictures; six captions
scored at once; streaming. Both sides alternate, and a ratio is the median over rounds. GPU rows: peak memory,
load time, tokens/s, pictures/s, NF4 against bf16. Not covered: quality (`sugar evaluate`).
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sugar.core import Sugar
from sugar.errors import SettingsError
from sugar.model.adapters import EmbeddingHead
from sugar.model.tiny import TinyConfig, build
from sugar.sequence import Sample, Turn

OPTIONS = {
    "gpu": (False, "LLaVA-1.5-7B's shape in NF4 on CUDA, memory capped as on 8 and 12 GB cards"),
    "model": ("sugar-photo", "preset, folder or repository of the CPU part"),
    "rounds": (15, "how often each pair is timed"),
    "samples": (48, "pictures that the embedding row takes, beside six captions"),
}
STARS = ("small red", "large blue", "small green", "large red", "small blue", "large green")
PLACES = ("sky", "field", "street", "garden", "sea", "sky")
CAPTIONS = [f"a {star} star in the {place}" for star, place in zip(STARS, PLACES, strict=True)]


Work = Callable[[], Any]


def timed(work: Work) -> float:
    """Seconds that `work` takes, the device included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def against(ours: Work, plain: Work, rounds: int, before: Work | None = None) -> tuple[float, float, float]:
    """(seconds ours, seconds plain, median of the rounds' ours / plain); the two take turns, after one
    warm-up each.

    before: done untimed before each of ours (to set its scene)."""
    times: list[tuple[float, float]] = []
    for _ in range(rounds + 1):
        if before is not None:
            before()
        times.append((timed(ours), timed(plain)))
    times = times[1:]
    return (
        statistics.median(a for a, _ in times),
        statistics.median(b for _, b in times),
        statistics.median(a / b for a, b in times),
    )


def pictures(count: int, side: int, seed: int = 0) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    return [Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(count)]


def shaped() -> Sugar:
    """A model of some 40 million random parameters, 196 tokens a picture."""
    torch.manual_seed(0)
    words = {word for caption in CAPTIONS for word in caption.split()}
    sizes = {"vision_size": 384, "vision_layers": 8, "vision_mlp": 1536, "hidden_size": 512, "layers": 8}
    config = TinyConfig(image_size=224, patch_size=16, mlp=1376, heads=8, **sizes)
    words |= {"what", "color", "is", "the", "?", "and", "this", "one"}
    model, processor = build(config, sorted(words))
    head = EmbeddingHead(config.hidden_size, config.head_hidden, config.head_size)
    return Sugar.wrap(model.eval(), processor, head.eval(), name="random weights")


CAPTION = "a red star and a blue cat by the lake at night in the rain"
WORDS = CAPTION.split()


def random_7b(folder: Path) -> Path:
    """A model of LLaVA-1.5-7B's sizes with random weights in bf16, as a checkpoint folder of 14 GB."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    _, processor = build(replace(TinyConfig(), image_size=336, patch_size=14), [*WORDS, "what", "is", "it"])
    processor.patch_size = 14
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
    )
    text = LlamaConfig(vocab_size=32_064)  # its defaults are those of 7B
    image_token = processor.tokenizer.convert_tokens_to_ids("<image>")
    settings: Any = {"vision_config": vision, "text_config": text, "image_token_id": image_token}
    roomy = torch.cuda.is_available() and torch.cuda.get_device_properties(0).total_memory > 20e9
    with torch.device("cuda" if roomy else "cpu"):
        model: Any = LlavaForConditionalGeneration._from_config(LlavaConfig(**settings), dtype=torch.bfloat16)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def plain_inputs(model: Sugar, turns: list[Turn]) -> dict[str, Any]:
    """What plain Transformers does before `generate`: the template, then the processor."""
    images = [image for turn in turns for image in turn.sample.images]
    text = model.processor.render(turns)
    return {
        k: v.to(model.device)
        for k, v in model.processor.hf(text=[text], images=images or None, return_tensors="pt").items()
    }


def plain_generate(model: Sugar, turns: list[Turn], tokens: int) -> Any:
    with torch.inference_mode():
        return model.model.generate(
            **plain_inputs(model, turns),
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
            pad_token_id=model.processor.pad_id,
        )


def cpu_rows(model: Sugar, rounds: int, count: int) -> list[dict[str, Any]]:
    images = pictures(max(3, count), 336)
    alone = 2 * count // 3
    both = [Sample([image, CAPTIONS[n % 6]]) for n, image in enumerate(images[alone:])]
    samples = [*map(Sample, images[:alone]), *both, *map(Sample, CAPTIONS)]
    rows = []

    def row(name: str, aim: str, most: float, ours: Work, plain: Work, before: Work | None = None) -> None:
        """A row whose aim is met where ours takes at most `most` of the plain side's time."""
        mine, other, ratio = against(ours, plain, rounds, before)
        times = {"ours_ms": 1000 * mine, "plain_ms": 1000 * other}
        judged = {"value": 1 / ratio if aim.startswith(">") else ratio, "aim": aim, "met": ratio <= most}
        rows.append({"model": model.name, "row": name, **times, **judged})

    def one_at_a_time() -> None:
        model.backbone.vision.clear()
        for sample in samples:
            model.embed([sample])

    name = f"embed {len(samples)} samples at once / one at a time"
    row(name, "> 1x", 1, lambda: model.embed(samples), one_at_a_time, before=model.forget)

    first = [Turn("user", Sample([*images[:3], "what color is the star?"]))]
    second = [*first, Turn("assistant", Sample("red")), Turn("user", Sample("and this one?"))]

    def first_turn() -> None:
        model.forget()
        list(model.generate(first, max_new_tokens=1))

    row(
        "first token of a second turn, three pictures / plain generate",
        "<= 0.25x",
        0.25,
        lambda: list(model.generate(second, max_new_tokens=1)),
        lambda: plain_generate(model, second, 1),
        before=first_turn,
    )

    question = Sample([images[0], "what is this?"])

    def separately() -> None:
        for caption in CAPTIONS:
            model.score(question, [caption])

    row("score 6 captions / 6 calls", ">= 3x", 1 / 3, lambda: model.score(question, CAPTIONS), separately)

    turns = [Turn("user", Sample([images[0], "what color is the star?"]))]
    ends, tokens = model.generator.ends, 64
    model.generator.ends = set()
    row(
        f"stream {tokens} tokens / plain generate",
        "<= 1.05x",
        1.05,
        lambda: list(model.generate(turns, max_new_tokens=tokens)),
        lambda: plain_generate(model, turns, tokens),
        before=model.forget,
    )
    model.generator.ends = ends
    return rows


# -- the GPU part -------------------------------------------------------------------------------------------


def bandwidth() -> float:
    """GB/s that a large copy reaches on the device."""
    a = torch.empty(1 << 28, dtype=torch.float32, device="cuda")
    b = torch.empty_like(a)
    b.copy_(a)
    return 5 * 2 * a.numel() * 4 / timed(lambda: [b.copy_(a) for _ in range(5)]) / 1e9


def long_chat(count: int, tokens: int) -> list[Turn]:
    """A question about `count` pictures, filled with words to about `tokens` tokens of prompt."""
    words = f"{' '.join(WORDS)} " * (max(0, tokens - 576 * count) // len(WORDS))
    return [Turn("user", Sample([*pictures(count, 336, seed=count), words + "what is it?"]))]


def gpu_rows(folder: Path, rounds: int) -> list[dict[str, Any]]:
    if not torch.cuda.is_available():
        raise SettingsError(
            "--gpu needs a CUDA device, and PyTorch sees none. Leave it out for the CPU part."
        )
    random_7b(folder)
    rows: list[dict[str, Any]] = []

    def row(name: str, value: float, unit: str, aim: str = "", met: bool | None = None) -> None:
        rows.append({"row": name, "value": value, "unit": unit, "aim": aim, "met": met})

    def opened(precision: str) -> Sugar:
        gc.collect()
        torch.cuda.empty_cache()
        return Sugar.from_pretrained(folder, device="cuda", precision=precision, encoder="prompt")

    total = torch.cuda.get_device_properties(0).total_memory
    tokens = 128
    rate = 0.0
    nf4 = np.zeros((0, 0))
    samples = [Sample(i) for i in pictures(64, 336)]
    for card in (8, 12):
        torch.cuda.set_per_process_memory_fraction(min(1.0, card * 1e9 / total))
        start = time.perf_counter()
        model = opened("nf4")
        row(f"{card} GB: load", time.perf_counter() - start, "s")
        row(f"{card} GB: weights", torch.cuda.memory_allocated() / 1e9, "GB")
        model.generator.ends = set()
        for count in (1, 3):
            model.forget()
            torch.cuda.reset_peak_memory_stats()
            list(model.generate(long_chat(count, 2000 - 64), max_new_tokens=64))
            peak = torch.cuda.max_memory_reserved() / 1e9
            name = f"{card} GB: peak of a chat of 2,000 tokens, {count} picture(s)"
            row(name, peak, "GB", "<= 6.5" if count == 1 else "", peak <= 6.5)
        turns = long_chat(1, 1000)
        ours, plain, ratio = against(
            lambda m=model, t=turns: list(m.generate(t, max_new_tokens=tokens)),  # type: ignore[misc]
            lambda m=model, t=turns: plain_generate(m, t, tokens),  # type: ignore[misc]
            max(1, rounds // 2),
            model.forget,
        )
        rate = tokens / ours
        row(f"{card} GB: tokens/s ({model.decoding}), prompt included", rate, "1/s")
        name = f"{card} GB: tokens/s / plain generate ({tokens / plain:.1f} 1/s)"
        row(name, 1 / ratio, "x", ">= 2", ratio <= 0.5)
        best = 0.0
        for batch in (1, 4, 8, 16, 32):
            model.forget()
            if model.batching.tokens < batch * 640:
                break
            seconds = timed(lambda m=model, b=batch: m.embed(samples, batch_size=b))  # type: ignore[misc]
            best = max(best, len(samples) / seconds)
        row(f"{card} GB: pictures/s embedded, best batch", best, "1/s")
        nf4 = model.embed(samples[:16]).pooled
        weights = torch.cuda.memory_allocated() / 1e9
        del model
    torch.cuda.set_per_process_memory_fraction(1.0)
    row("tokens/s / memory-bandwidth limit", rate / (bandwidth() / weights), "x")
    if total > 20e9:
        cosines = (opened("bf16").embed(samples[:16]).pooled * nf4).sum(1)
        row("NF4 against bf16, least cosine of 16 embeddings", float(cosines.min()), "")
    return rows


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Print the table. Returns what was measured, met or missed."""
    if options.gpu:
        with tempfile.TemporaryDirectory() as folder:
            rows = gpu_rows(Path(folder), options.rounds)
        device, name = torch.cuda.get_device_name(0), "LLaVA-1.5-7B's shape"
    else:
        model = Sugar.from_pretrained(options.model)
        rows, name = cpu_rows(model, options.rounds, options.samples), model.name
        device = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} thread(s)"
    print(f"{name} on {device}")
    for r in rows:
        times = f"{r['ours_ms']:9.1f} ms {r['plain_ms']:9.1f} ms" if "ours_ms" in r else f"{r['unit']:>24}"
        met = "" if not r["aim"] else "met" if r["met"] else "missed"
        print(f"{r['row']:<66} {r['value']:8.2f} {times}  {r['aim']:<9} {met}")
    return {"model": name, "device": device, "rows": rows}
