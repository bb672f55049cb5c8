"""The core: bounds, memory running out, several threads, sampling, kept conversations, what is imported
when.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import checkpoints
import numpy as np
import pytest
import torch
from pictures import noise
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from sugar.core import Sugar
from sugar.errors import InputError, ModelError, OutOfMemoryError
from sugar.model.backbone import VisionCache
from sugar.model.decode import PrefixStore, TextStream, pick, signature
from sugar.model.owner import owned_by
from sugar.model.processor import Processor
from sugar.sequence import Sample, Turn

A, B = noise(1, 40, 40), noise(2, 40, 40)


@pytest.fixture(scope="module")
def opened() -> Sugar:
    return Sugar.from_pretrained(checkpoints.built("llava", head=True), device="cpu")


@pytest.fixture
def model(opened: Sugar) -> Sugar:
    """As it was opened: nothing kept, nothing counted, no bound lowered."""
    opened.backbone.vision = VisionCache()
    opened.generator.prefixes = PrefixStore()
    opened.batching.tokens = 2048
    return opened


@contextlib.contextmanager
def out_of_memory_above(model: Sugar, rows: int) -> Iterator[list[int]]:
    """A device on which more than `rows` sequences at once do not fit.

    Yields the batch sizes that were tried.
    """
    tried: list[int] = []

    def limited(module: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        tried.append(len(kwargs["input_ids"]))
        if tried[-1] > rows:
            raise torch.OutOfMemoryError("CUDA out of memory")

    handle = model.model.model.register_forward_pre_hook(limited, with_kwargs=True)
    try:
        yield tried
    finally:
        handle.remove()


def test_a_full_device_means_smaller_batches_and_the_same_vectors(model: Sugar) -> None:
    samples = [Sample([noise(n, 40, 40), "a star"]) for n in range(8)]
    wanted = model.embed(samples).pooled
    with out_of_memory_above(model, 2) as tried:
        assert np.abs(model.embed(samples).pooled - wanted).max() < 2e-5
        assert tried[:3] == [8, 4, 2]
    with out_of_memory_above(model, 0):
        with pytest.raises(OutOfMemoryError, match="full even for one sample"):
            model.embed(samples)
        with pytest.raises(OutOfMemoryError, match="ran out of memory after"):
            list(model.generate(Sample([A, "what?"])))
        with pytest.raises(OutOfMemoryError):
            model.score(Sample([A, "what?"]), ["yes"])
    assert len(model.generator.prefixes) == 0 and len(model.backbone.vision) == 0, (
        "what was kept for speed is given back"
    )
    assert np.abs(model.embed(samples).pooled - wanted).max() < 2e-5, "and the model stays usable"


def test_other_errors_are_not_swallowed(model: Sugar, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(model.model.model, "forward", broken)
    with pytest.raises(RuntimeError, match="a bug of ours"):
        model.embed([Sample("x")])
    with pytest.raises(RuntimeError, match="a bug of ours"):
        list(model.generate(Sample("x")))


def test_a_picture_goes_through_the_tower_once(model: Sugar) -> None:
    model.embed([Sample(A), Sample([A, "x"]), Sample([B, A])])
    assert model.backbone.vision.misses == 2
    list(model.generate(Sample([A, "what?"]), max_new_tokens=2))
    model.score(Sample([B, "what?"]), ["yes", "no"])
    model.embed([Sample(A.copy())])
    assert model.backbone.vision.misses == 2 and model.backbone.vision.hits >= 3


def test_what_is_kept_for_one_owner_saves_another_nothing(model: Sugar) -> None:
    """By the time of an answer a visitor could tell what another had sent."""

    def asked(name: str) -> tuple[int, int]:
        before = model.backbone.vision.misses, model.generator.prefixes.reused
        with owned_by(name):
            steps = model.generate(Sample([A, "what is it?"]), max_new_tokens=3)
            next(steps)
        list(steps)  # later steps may run elsewhere
        return model.backbone.vision.misses - before[0], model.generator.prefixes.reused - before[1]

    assert asked("ann") == (1, 0)
    known = asked("ann")
    assert known[0] == 0 and known[1] > 0
    assert asked("bob") == (1, 0)
    model.forget()
    assert asked("ann") == (1, 0)


def test_the_vision_cache_is_bounded(model: Sugar) -> None:
    one = 16 * checkpoints.HIDDEN * 4  # tokens x width x bytes
    model.backbone.vision = VisionCache(max_bytes=3 * one)
    model.embed([Sample(noise(n, 40, 40)) for n in range(10)])
    assert len(model.backbone.vision) == 3 and model.backbone.vision.used == 3 * one
    model.backbone.vision = VisionCache(max_bytes=one - 1)
    model.embed([Sample(A)])
    assert len(model.backbone.vision) == 0


def test_buckets_hold_like_lengths_under_the_bound(model: Sugar) -> None:
    samples = [Sample("w" * n) for n in (5, 300, 7, 290, 6, 310, 8)]
    layouts = [model.processor.embedding_layout(sample) for sample in samples]
    model.batching.tokens = 700
    batches = list(model.batching.buckets([len(x) for x in layouts]))
    assert sorted(i for batch in batches for i in batch) == list(range(7))
    assert batches == [[0, 4, 2, 6], [3, 1], [5]]
    assert max(len(batch) for batch in model.batching.buckets([len(x) for x in layouts], 2)) == 2


def test_too_long_and_out_of_range_are_refused_with_the_numbers(model: Sugar) -> None:
    with pytest.raises(InputError, match="tokens with 0 pictures; llava reads 4096"):
        model.embed([Sample("w" * 5000)])
    with pytest.raises(InputError, match="llava reads 4096"):
        list(model.generate(Sample("w" * 5000)))
    for options in ({"max_new_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}):
        with pytest.raises(InputError, match="max_new_tokens"):
            model.generate(Sample("x"), **options)  # type: ignore[arg-type]
    for turns in ([], [Turn("assistant", Sample("x"))]):
        with pytest.raises(InputError, match="ends with a turn of the person"):
            model.generate(turns)
    with pytest.raises(InputError, match="empty"):
        model.score(Sample("x"), [" "])
    assert len(model.embed([])) == 0


def test_a_piece_a_token_so_that_a_caller_can_leave_at_any(
    model: Sugar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        TextStream, "push", lambda self, token: ""
    )  # a model that says nothing that can be shown
    monkeypatch.setattr(model.generator, "ends", set())
    assert [p for p in model.generate(Sample([A, "?"]), max_new_tokens=7) if not p] == [""] * 7


def test_sampling_is_decided_by_the_seed(model: Sugar) -> None:
    def say(seed: int, **options: float) -> str:
        return "".join(
            model.generate(Sample([A, "?"]), max_new_tokens=12, temperature=1.5, seed=seed, **options)
        )  # type: ignore[arg-type]

    assert say(1) == say(1) and len({say(seed) for seed in range(6)}) > 1
    greedy = "".join(model.generate(Sample([A, "?"]), max_new_tokens=12))
    assert say(3, top_p=1e-6) == greedy


def test_nucleus_sampling_keeps_the_smallest_set() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
    rng = torch.Generator().manual_seed(0)
    drawn = {pick(logits, temperature=1.0, top_p=0.75, rng=rng) for _ in range(200)}
    assert drawn == {0, 1}
    assert pick(logits, temperature=0.0, top_p=1.0, rng=None) == 0


def test_text_comes_in_whole_characters(model: Sugar) -> None:
    text = "  é ☆ und 星! x"
    ids = model.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    stream = TextStream(model.processor)
    pieces = [stream.push(i) for i in ids] + [stream.flush()]
    assert "".join(pieces) == text.lstrip() and "\N{REPLACEMENT CHARACTER}" not in "".join(pieces)


def word_pieces(pieces: list[str]) -> SimpleNamespace:
    """A processor with a WordPiece tokenizer of these pieces."""
    vocabulary = {piece: number for number, piece in enumerate(["[UNK]", *pieces])}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return SimpleNamespace(tokenizer=PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]"))


def test_unknown_tokens_and_spelt_words_are_not_known() -> None:
    unknown_words: Any = Processor.unknown_words
    letters = [p for c in "abcdefghijklmnopqrstuvwxyz" for p in (c, "##" + c)]
    known = word_pieces(["dog", "##s", "two", ",", *letters])
    assert unknown_words(known, "two dogs, a dog") == ()
    assert unknown_words(known, "two zebras  zebras, \u72d7 a") == ("zebras", "zebras,", "\u72d7")
    assert unknown_words(word_pieces(["dog"]), "dog cat") == ("cat",)
    assert unknown_words(known, " ") == ()


def test_conversations_do_not_take_each_other_s_prefix(model: Sugar) -> None:
    def talk(question: str) -> list[Turn]:
        return [Turn("user", Sample([A, question]))]

    first, second = talk("what is it, in many words, please?"), talk("what is that, in other words, please?")
    for turns in (first, second):
        list(model.generate(turns, max_new_tokens=4))
    assert len(model.generator.prefixes) == 2 or model.generator.prefixes.reused
    list(
        model.generate([*second, Turn("assistant", Sample("x")), Turn("user", Sample("y"))], max_new_tokens=2)
    )
    assert len(model.generator.prefixes) <= model.generator.prefixes.entries == 2
    layout = model.processor.chat_layout(talk("what is it, in many words, please?"))
    other = model.processor.chat_layout([Turn("user", Sample([B, "what is it, in many words, please?"]))])
    marks = [signature(x, model.processor.image_token_id) for x in (layout, other)]
    assert layout.ids == other.ids and (marks[0] != marks[1]).sum() == layout.images[0].tokens, (
        "another picture is another prefix"
    )


def test_threads_share_one_model(model: Sugar) -> None:
    alone = ["".join(model.generate(Sample([image, "what?"]), max_new_tokens=8)) for image in (A, B)]
    vectors = model.embed([Sample(A)]).pooled
    said: dict[int, str] = {}

    def talk(n: int) -> None:
        said[n] = "".join(model.generate(Sample([(A, B)[n % 2], "what?"]), max_new_tokens=8))

    threads = [threading.Thread(target=talk, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    assert np.abs(model.embed([Sample(A)]).pooled - vectors).max() < 2e-5
    for thread in threads:
        thread.join()
    assert [said[n] for n in range(4)] == alone * 2


def test_a_model_in_memory_is_wrapped(model: Sugar) -> None:
    wrapped = Sugar.wrap(model.model, model.processor.hf, model.head)
    assert np.array_equal(wrapped.embed([Sample([A, "x"])]).pooled, model.embed([Sample([A, "x"])]).pooled)
    with pytest.raises(ModelError, match="lives in memory only"):
        _ = wrapped.fingerprint


def test_heavy_libraries_wait_until_they_are_needed() -> None:
    code = (
        "import sys, sugar; a = set(sys.modules); import sugar.core; b = set(sys.modules);"
        "print([m for m in ('torch', 'transformers') if m in a], [m for m in ('peft', 'bitsandbytes', "
        "'gradio', 'faiss') if m in b])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert done.stdout.strip() == "[] []"


def test_the_benchmark_prints_a_table_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from sugar.__main__ import main

    folder = str(checkpoints.built("llava", head=True))
    assert main(["bench", "core", "--model", folder, "--rounds", "1", "--samples", "6"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    made = json.loads(lines[-1])
    assert made["bench"] == "core" and len(made["rows"]) == 4 and made["versions"]["torch"] and made["date"]
