"""The core against plain Transformers calls, as ratios of one run.

    taskset -c 1 python -m sugar bench core           # CPU: two shapes with random weights, two minutes
    python -m sugar bench core --model sugar-tiny     # any preset, folder or repository instead
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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sugar.core import Sugar
from sugar.errors import SettingsError
from sugar.model.adapters import EmbeddingHead
from sugar.sequence import Sample, Turn

CAPTIONS = [
    f"a {size} {color} star in the {place}"
    for size, color, place in (
        ("small", "red", "sky"),
        ("large", "blue", "field"),
        ("small", "green", "street"),
        ("large", "red", "garden"),
        ("small", "blue", "sea"),
        ("large", "green", "sky"),
    )
]


def timed(work: Callable[[], Any]) -> float:
    """Seconds that `work` takes, the device included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def against(
    ours: Callable[[], Any], plain: Callable[[], Any], rounds: int, before: Callable[[], Any] | None = None
) -> tuple[float, float, float]:
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


def shaped(size: str) -> Sugar:
    """Random weights: `tiny` has the embedded model's shape, `small` 196 tokens a picture and some 40 million
    parameters.
    """
    from sugar.model.tiny import TinyConfig, build

    torch.manual_seed(0)
    words = sorted(
        {word for caption in CAPTIONS for word in caption.split()}
        | {"what", "color", "is", "the", "?", "and", "this", "one"}
    )
    config = TinyConfig()
    if size == "small":
        config = TinyConfig(
            image_size=224,
            patch_size=16,
            vision_size=384,
            vision_layers=8,
            vision_mlp=1536,
            hidden_size=512,
            layers=8,
            mlp=1376,
            heads=8,
        )
    model, processor = build(config, words)
    head = EmbeddingHead(config.hidden_size, config.head_hidden, config.head_size)
    return Sugar.wrap(model.eval(), processor, head.eval(), name=f"the {size} shape, random weights")


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
    images = pictures(max(3, count), 96 if "tiny" in model.name else 336)
    alone = 2 * count // 3
    samples = [Sample(i) for i in images[:alone]] + [
        Sample([i, CAPTIONS[n % 6]]) for n, i in enumerate(images[alone:])
    ]
    samples += [Sample(caption) for caption in CAPTIONS]
    rows = []

    def row(name: str, ours: float, plain: float, value: float, aim: str, met: bool) -> None:
        rows.append(
            {
                "model": model.name,
                "row": name,
                "ours_ms": 1000 * ours,
                "plain_ms": 1000 * plain,
                "value": value,
                "aim": aim,
                "met": met,
            }
        )

    def one_at_a_time() -> None:
        model.backbone.vision.clear()
        for sample in samples:
            model.embed([sample])

    ours, plain, ratio = against(lambda: model.embed(samples), one_at_a_time, rounds, model.forget)
    row(f"embed {len(samples)} samples at once / one at a time", ours, plain, 1 / ratio, "> 1x", ratio < 1)

    first = [Turn("user", Sample([*images[:3], "what color is the star?"]))]
    second = [*first, Turn("assistant", Sample("red")), Turn("user", Sample("and this one?"))]

    def first_turn() -> None:
        model.forget()
        list(model.generate(first, max_new_tokens=1))

    ours, plain, ratio = against(
        lambda: list(model.generate(second, max_new_tokens=1)),
        lambda: plain_generate(model, second, 1),
        rounds,
        first_turn,
    )
    row(
        "first token of a second turn, three pictures / plain generate",
        ours,
        plain,
        ratio,
        "<= 0.25x",
        ratio <= 0.25,
    )

    question = Sample([images[0], "what is this?"])

    def separately() -> None:
        for caption in CAPTIONS:
            model.score(question, [caption])

    ours, plain, ratio = against(lambda: model.score(question, CAPTIONS), separately, rounds)
    row("score 6 captions / 6 calls", ours, plain, 1 / ratio, ">= 3x", ratio <= 1 / 3)

    turns, ends, tokens = (
        [Turn("user", Sample([images[0], "what color is the star?"]))],
        model.generator.ends,
        64,
    )
    model.generator.ends = set()
    ours, plain, ratio = against(
        lambda: list(model.generate(turns, max_new_tokens=tokens)),
        lambda: plain_generate(model, turns, tokens),
        rounds,
        model.forget,
    )
    model.generator.ends = ends
    row(f"stream {tokens} tokens / plain generate", ours, plain, ratio, "<= 1.05x", ratio <= 1.05)
    return rows


# -- the GPU part
# ------------------------------------------------------------------------------------------------------


def build_7b(folder: Path) -> None:
    """LLaVA-1.5-7B's configuration with random fp16 weights, saved shard by shard; a byte-level tokenizer.

    14 GB of disk.
    """
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    inner.pre_tokenizer, inner.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
    )
    image_id = tokenizer.get_vocab()["<image>"]
    vision = transformers.CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
        projection_dim=768,
    )
    text = transformers.LlamaConfig(vocab_size=32064, max_position_embeddings=4096)
    config = transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_index=image_id)
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.get_device_properties(0).total_memory > 20e9 else "cpu"):
        model = transformers.LlavaForConditionalGeneration._from_config(config, dtype=torch.float16)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    transformers.LlavaProcessor(
        transformers.CLIPImageProcessorPil(
            size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}
        ),
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    del model
    gc.collect()
    torch.cuda.empty_cache()


def bandwidth() -> float:
    """GB/s that a large copy reaches on the device."""
    a = torch.empty(1 << 28, dtype=torch.float32, device="cuda")
    b = torch.empty_like(a)
    b.copy_(a)
    return 5 * 2 * a.numel() * 4 / timed(lambda: [b.copy_(a) for _ in range(5)]) / 1e9


def long_chat(count: int, tokens: int) -> list[Turn]:
    """A question about `count` pictures, filled with words to about `tokens` tokens of prompt (the tokenizer
    is byte level).
    """
    words = "tell me all that you see here, please. " * (max(0, tokens - 576 * count) // 40)
    return [Turn("user", Sample([*pictures(count, 336, seed=count), words + "what is it?"]))]


def gpu_rows(folder: Path, rounds: int) -> list[dict[str, Any]]:
    if not torch.cuda.is_available():
        raise SettingsError(
            "--gpu needs a CUDA device, and PyTorch sees none here. Leave --gpu out for the CPU part."
        )
    if not (folder / "config.json").is_file():
        build_7b(folder)
    rows: list[dict[str, Any]] = []

    def row(name: str, value: float, unit: str, aim: str = "", met: bool | None = None) -> None:
        rows.append({"row": name, "value": value, "unit": unit, "aim": aim, "met": met})

    total = torch.cuda.get_device_properties(0).total_memory
    tokens = 128
    rate = 0.0
    nf4 = np.zeros((0, 0))
    samples = [Sample(i) for i in pictures(64, 336)]
    for card in (8, 12):
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(min(1.0, card * 1e9 / total))
        torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        model = Sugar.from_pretrained(folder, device="cuda", precision="nf4", encoder="prompt")
        row(f"{card} GB: load", time.perf_counter() - start, "s")
        row(f"{card} GB: weights", torch.cuda.memory_allocated() / 1e9, "GB")
        model.generator.ends = set()
        for count in (1, 3):
            model.forget()
            torch.cuda.reset_peak_memory_stats()
            list(model.generate(long_chat(count, 2000 - 64), max_new_tokens=64))
            peak = torch.cuda.max_memory_reserved() / 1e9
            row(
                f"{card} GB: peak of a chat of 2,000 tokens, {count} picture(s)",
                peak,
                "GB",
                "<= 6.5" if count == 1 else "",
                peak <= 6.5,
            )
        turns = long_chat(1, 1000)
        ours, plain, ratio = against(
            lambda m=model, t=turns: list(m.generate(t, max_new_tokens=tokens)),  # type: ignore[misc]
            lambda m=model, t=turns: plain_generate(m, t, tokens),  # type: ignore[misc]
            max(1, rounds // 2),
            model.forget,
        )
        rate = tokens / ours
        row(f"{card} GB: tokens/s ({model.decoding}), prompt included", rate, "1/s")
        row(
            f"{card} GB: tokens/s / plain generate ({tokens / plain:.1f} 1/s)",
            1 / ratio,
            "x",
            ">= 2",
            ratio <= 0.5,
        )
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
    limit = bandwidth() / weights
    row("tokens/s / memory-bandwidth limit", rate / limit, "x")
    if total > 20e9:
        gc.collect()
        torch.cuda.empty_cache()
        wide = Sugar.from_pretrained(folder, device="cuda", precision="bf16", encoder="prompt")
        row(
            "NF4 against bf16, least cosine of 16 embeddings",
            float((wide.embed(samples[:16]).pooled * nf4).sum(1).min()),
            "",
        )
    return rows


def run(args: list[str]) -> dict[str, Any]:
    """Print the table. Returns what was measured, met or missed."""
    parser = argparse.ArgumentParser(
        prog="python -m sugar bench core", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--gpu",
        action="store_true",
        help="LLaVA-1.5-7B's shape in NF4 on CUDA, memory capped as on 8 and 12 GB cards",
    )
    parser.add_argument(
        "--model", default="", help="preset, folder or repository; two shapes with random weights by default"
    )
    parser.add_argument(
        "--folder",
        default="",
        help="where --gpu keeps its 14 GB of random weights; a temporary folder by default",
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--samples", type=int, default=48, help="pictures that the embedding row takes, beside six captions"
    )
    options = parser.parse_args(args)
    if options.gpu:
        with tempfile.TemporaryDirectory() as temporary:
            rows = gpu_rows(Path(options.folder or temporary), options.rounds)
        device, name = torch.cuda.get_device_name(0), "LLaVA-1.5-7B's shape"
    else:

        def rounds(model: Sugar) -> int:
            return options.rounds // 3 if "small" in model.name else options.rounds

        models = (
            [Sugar.from_pretrained(options.model)] if options.model else [shaped("tiny"), shaped("small")]
        )
        rows = [row for model in models for row in cpu_rows(model, rounds(model), options.samples)]
        device, name = (
            f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} thread(s)",
            " and ".join(m.name for m in models),
        )
    shown = ""
    for r in rows:
        if shown != r.get("model", name):
            shown = r.get("model", name)
            print(f"{shown} on {device}")
        value = f"{r['value']:8.2f}"
        times = f"{r['ours_ms']:9.1f} ms {r['plain_ms']:9.1f} ms" if "ours_ms" in r else f"{r['unit']:>24}"
        met = "" if r["met"] is None or not r["aim"] else "met" if r["met"] else "missed"
        print(f"{r['row']:<66} {value} {times}  {r['aim']:<9} {met}")
    return {"model": name, "device": device, "rows": rows}
