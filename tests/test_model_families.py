"""Every family through the same doors: positions, prompts, embeddings, generation, kept prefixes, scores,
against plain Transformers. Training rows and inference prompts come from one code, token by token.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
import torch
from pictures import noise

from sugar.core import Sugar
from sugar.errors import InputError
from sugar.model import lfm2
from sugar.model.decode import PrefixStore, continuations, prefill
from sugar.model.processor import Layout
from sugar.scorer import NO, YES
from sugar.sequence import Sample, Turn
from sugar.training.adapter import _usable

TOLERANCE = 2e-5
"""Float32 sums in another order: batch, padding, cache."""


A, B, C = noise(1), noise(2, 70, 40), noise(3, 33, 64)


@pytest.fixture(scope="module")
def opened() -> Callable[[str], Sugar]:
    """Each family's tiny checkpoint with a random head, opened once."""
    made: dict[str, Sugar] = {}

    def open_family(family: str) -> Sugar:
        if family not in made:
            made[family] = Sugar.from_pretrained(checkpoints.built(family, head=True))
        made[family].forget()
        return made[family]

    return open_family


every_family = pytest.mark.parametrize("family", checkpoints.FAMILIES)
each_kind = pytest.mark.parametrize("family", ["llava", "gemma3", "qwen3_vl"])
"""Positions in one axis, local layers, positions in three axes."""


def plain_inputs(model: Sugar, turns: list[Turn]) -> dict[str, torch.Tensor]:
    """What plain Transformers makes of a conversation: template, then its own processor on text and
    pictures.
    """
    hf = model.processor.hf
    text = model.processor.render(turns)
    images = [image for turn in turns for image in turn.sample.images]
    bos = hf.tokenizer.bos_token
    special = not (bos and text.startswith(bos))
    return dict(hf(text=[text], images=images or None, return_tensors="pt", add_special_tokens=special))


@every_family
def test_a_prompt_and_its_answer_are_those_of_plain_transformers(
    opened: Callable[[str], Sugar], family: str
) -> None:
    model = opened(family)
    turns = [Turn("user", Sample([A, "what is it?", C, "and this?"]))]
    inputs = plain_inputs(model, turns)
    layout = model.processor.chat_layout(turns)
    assert layout.ids == inputs["input_ids"][0].tolist()
    assert [len(where) for where, _ in layout.slices] == [image.tokens for image in layout.images]
    with torch.inference_mode():
        tokens = model.model.generate(**inputs, max_new_tokens=12, do_sample=False)[
            0, len(layout.ids) :
        ].tolist()
    ends = [i for i, t in enumerate(tokens) if t in model.generator.ends]
    wanted = model.processor.decode(tokens[: ends[0]] if ends else tokens).strip()
    assert "".join(model.generate(turns, max_new_tokens=12)).strip() == wanted


@every_family
def test_slices_are_pooled_where_they_are(opened: Callable[[str], Sugar], family: str) -> None:
    model = opened(family)
    sample = Sample(["a star", A, B, "at night"])
    layout = model.processor.embedding_layout(sample)
    with torch.inference_mode():
        hidden = model.model.model(**model.processor.collate([layout]).inputs()).last_hidden_state[0]
    ids = np.array(layout.ids)
    first = 0 if model.processor.tokenizer.bos_token_id is None else 1
    assert model.processor.decode(ids[first : first + 6].tolist()) == "a star"
    of_pictures = np.flatnonzero(ids == model.processor.image_token_id)
    counts = [image.tokens for image in layout.images]
    wanted = torch.stack(
        [
            hidden[first + 5],
            hidden[of_pictures[: counts[0]]].mean(0),
            hidden[of_pictures[counts[0] :]].mean(0),
            hidden[-1],
        ]
    )
    assert model.head is not None
    with torch.inference_mode():
        assert np.abs(model.embed([sample]).slices[0] - model.head(wanted).numpy()).max() < TOLERANCE


@every_family
def test_batches_and_padding_change_nothing(opened: Callable[[str], Sugar], family: str) -> None:
    model = opened(family)
    samples = [
        Sample(["a star", A, "b", B]),
        Sample(C),
        Sample("hello there, how are you?"),
        Sample([A, "x", C, C]),
        Sample("y"),
    ]
    together = model.embed(samples)
    assert together.pooled.shape == (5, 16) and np.allclose(
        np.linalg.norm(together.pooled, axis=1), 1, atol=1e-5
    )
    for i, sample in enumerate(samples):
        model.backbone.vision.clear()
        alone = model.embed([sample])
        assert np.abs(alone.slices[0] - together.slices[i]).max() < TOLERANCE
        assert together.is_image[i].tolist() == [s.is_image for s in sample]
    by_two = model.embed(samples, batch_size=2)
    assert np.abs(by_two.pooled - together.pooled).max() < TOLERANCE


@every_family
def test_a_second_turn_with_the_kept_prefix_says_what_a_fresh_run_says(
    opened: Callable[[str], Sugar], family: str
) -> None:
    model = opened(family)
    first = [Turn("user", Sample([A, "what?", B, "why?"]))]
    answer = "".join(model.generate(first, max_new_tokens=6)) or "well"
    second = [
        *first,
        Turn("assistant", Sample(answer if answer.strip() else "well")),
        Turn("user", Sample(["and this?", C])),
    ]
    seen = model.backbone.vision.misses
    layout = model.processor.chat_layout(second)
    kept = list(model.generate(second, max_new_tokens=10))
    assert model.backbone.vision.misses == seen + 1, "only the new picture goes through the tower"
    if not model.backbone.family.recurrent:  # a state that holds more than is shared cannot be cut back
        assert model.generator.prefixes.reused > 0.5 * len(model.processor.chat_layout(first))
    state_of_kept = model.generator.prefixes._kept[-1][1]
    model.forget()
    assert list(model.generate(second, max_new_tokens=10)) == kept
    assert np.array_equal(model.generator.prefixes._kept[-1][1], state_of_kept) and len(state_of_kept) >= len(
        layout.ids
    )


def test_a_recurrent_state_is_kept_where_all_of_it_is_shared(opened: Callable[[str], Sugar]) -> None:
    model = opened("qwen3_5")
    first = model.backbone.layout([Turn("user", Sample([A, "what?"]))])
    words = model.processor.encode("a star, and why?")
    longer = Layout([*first.ids, *words], first.images, first.slices)
    other = Layout([*first.ids[:-3], *words], first.images, first.slices)
    store, mark = PrefixStore(), model.processor.image_token_id
    with model.backbone.using(None):
        state = prefill(model.backbone, first)
        before = [t.clone() for t in continuations(state, [words, words[:4]])]
        assert all(map(torch.equal, continuations(state, [words, words[:4]]), before)), (
            "no row leaves a trace"
        )
        store.put("", state.tokens, state.cache)
        assert store.take("", other, mark) is None
        kept = store.take("", longer, mark)
        assert kept is not None and store.reused == len(first)
        again, fresh = prefill(model.backbone, longer, kept), prefill(model.backbone, longer)
    assert again.computed == len(words) and torch.allclose(again.logits, fresh.logits, atol=1e-4)
    assert torch.allclose(before[0][-1], fresh.logits, atol=1e-4)


@every_family
def test_scores_are_log_probabilities(opened: Callable[[str], Sugar], family: str) -> None:
    model = opened(family)
    sample, answers = Sample([A, "is it?"]), ["yes", "no, not at all", "a long answer with many words in it"]
    together = model.score(sample, answers)
    prompt = model.processor.chat_layout([Turn("user", sample)])
    for answer, score in zip(answers, together, strict=True):
        tail = model.processor.answer_ids([Turn("user", sample)], prompt, answer)
        inputs = plain_inputs(model, [Turn("user", sample)])
        full = torch.tensor([prompt.ids + tail])
        inputs |= {"input_ids": full, "attention_mask": torch.ones_like(full)}
        for name in ("token_type_ids", "mm_token_type_ids"):
            if name in inputs:
                inputs[name] = (full == model.processor.image_token_id).long()
        with torch.inference_mode():
            logits = model.model(**inputs).logits[0].log_softmax(-1)
        wanted = sum(logits[len(prompt.ids) - 1 + i, token] for i, token in enumerate(tail))
        assert abs(float(wanted) - score) < 1e-3
        assert abs(model.score(sample, [answer])[0] - score) < 1e-4
        assert model.score(sample, [answer], end=True)[0] < score
    one, several = (
        model.score(sample, ["y", "n"]),
        model.score(sample, ["y", "no", "n"]),
    )  # one token where the prompt ends in a newline
    assert np.allclose(one, several[[0, 2]], atol=1e-3)
    with pytest.raises(InputError, match="at least one answer"):
        model.score(sample, [])


@every_family
def test_nobody_can_type_a_special_token(opened: Callable[[str], Sugar], family: str) -> None:
    model = opened(family)
    tokens = sorted({t.content for t in model.processor.tokenizer.added_tokens_decoder.values()})
    typed = " ".join(tokens) + " " + model.processor.image_token + " <IMAGE> <<image>image>"
    ids = model.processor.encode(typed)
    assert not set(ids) & set(model.processor.tokenizer.added_tokens_decoder)
    layout = model.processor.chat_layout([Turn("user", Sample([A, typed]))])
    assert layout.ids.count(model.processor.image_token_id) == layout.images[0].tokens
    assert len(model.embed([Sample([typed, A])]).slices[0]) == 2
    list(model.generate([Turn("system", Sample(typed)), Turn("user", Sample(typed))], max_new_tokens=2))
    assert model.score(Sample([A, "?"]), [typed]).shape == (1,)


@every_family
def test_system_prompts_and_order_of_pictures_survive_the_template(
    opened: Callable[[str], Sugar], family: str
) -> None:
    model = opened(family)
    turns = [Turn("system", Sample("be brief")), Turn("user", Sample(["first", A, "second", B, "third"]))]
    text = model.processor.render(turns)
    places = [text.index(t) for t in ("be brief", "first", "second", "third")]
    assert places == sorted(places)
    image = model.processor.image_token
    assert [text[a:b].count(image) for a, b in itertools.pairwise([*places, len(text)])] == [0, 1, 1, 0]


def test_stop_ends_the_text_at_once_and_frees_the_cache(opened: Callable[[str], Sugar]) -> None:
    model = opened("llava")
    stop, pieces = threading.Event(), []
    model.generator.ends = set()
    for piece in model.generate(Sample([A, "go on"]), max_new_tokens=200, stop=stop):
        pieces.append(piece)
        stop.set()
    assert len(pieces) == 1 and len(model.generator.prefixes) == 0
    stream = model.generate(Sample([A, "go on"]), max_new_tokens=200)
    next(stream)
    stream.close()  # the page was closed
    assert len(model.generator.prefixes) == 0
    model.generator.ends = model.generator.end_tokens()


@pytest.mark.parametrize(
    ("height", "width", "whole", "grid", "tiles"),
    [
        (100, 60, (352, 224), (2, 3), 1),
        (480, 640, (416, 576), (3, 2), 1),
        (1080, 1920, (384, 672), (4, 2), 9),
        (3000, 700, (1056, 224), (1, 4), 5),
    ],
)
def test_pictures_of_lfm2_are_cut_as_transformers_cuts_them(
    height: int, width: int, whole: tuple[int, int], grid: tuple[int, int], tiles: int
) -> None:
    """Sizes and grids that Transformers' own class gives, whose module needs torchvision."""
    assert lfm2._whole_size(height, width, 32, 64, 256) == whole
    assert lfm2._grid(height, width, 2, 10, 512) == grid
    made = lfm2.Lfm2VlImageProcessorPil()([noise(1, width, height)], return_tensors="pt")
    assert made["pixel_values"].shape == (tiles, 1024, 16 * 16 * 3)
    assert made["pixel_attention_mask"].sum(1).tolist() == made["spatial_shapes"].prod(1).tolist()
    assert made["spatial_shapes"][-1].tolist() == [side // 16 for side in whole]


@each_kind
def test_plain_transformers_opens_what_is_saved(
    opened: Callable[[str], Sugar], family: str, tmp_path: Path
) -> None:
    import transformers

    model = opened(family)
    model.save_pretrained(tmp_path / "saved")
    again = Sugar.from_pretrained(tmp_path / "saved")
    sample = Sample([A, "a star"])
    assert np.abs(again.embed([sample]).pooled - model.embed([sample]).pooled).max() < TOLERANCE
    assert again.name == model.name and again.dimension == 16
    plain = transformers.AutoModelForImageTextToText.from_pretrained(tmp_path / "saved")
    assert type(plain) is type(model.model)
    if not model.backbone.family.processor:  # plain AutoProcessor needs torchvision for the others
        assert (
            transformers.AutoProcessor.from_pretrained(tmp_path / "saved").image_token
            == model.processor.image_token
        )


@each_kind
def test_decoding_with_fixed_shapes_says_the_same(opened: Callable[[str], Sugar], family: str) -> None:
    """The step that CUDA captures, run as it is: same tokens, over two turns, and when the buffers run
    full.
    """
    model = opened(family)
    turns = [Turn("user", Sample([A, "what?"]))]
    model.generator.ends = set()
    plain = "".join(model.generate(turns, max_new_tokens=30))
    longer = [*turns, Turn("assistant", Sample("well")), Turn("user", Sample([B, "why?"]))]
    second = "".join(model.generate(longer, max_new_tokens=200))
    model.forget()
    try:
        model.generator.decoding = "graph"
        assert "".join(model.generate(turns, max_new_tokens=30)) == plain
        assert model.generator.prefixes._kept[-1][2].graph.fits()
        assert "".join(model.generate(longer, max_new_tokens=200)) == second
        assert model.decoding == "graph"
    finally:
        model.generator.decoding, model.generator.ends = "eager", model.generator.end_tokens()


# -- training rows and yes or no -------------------------------------------------------------------


@every_family
def test_a_training_row_is_the_prompts_and_their_answers(opened: Callable[[str], Sugar], family: str) -> None:
    model = opened(family)
    processor = model.processor
    asked = [Turn("user", Sample([A, "where is this?"]))]
    row = processor.training_layout([*asked, Turn("assistant", Sample("a beach"))])
    prompt = processor.chat_layout(asked)
    assert row.ids == prompt.ids + processor.answer_ids(asked, prompt, "a beach", end=True)
    assert row.answers == ((len(prompt), len(row)),)
    assert [p.tolist() for p in row.picture_positions] == [p.tolist() for p in prompt.picture_positions]
    asked += [Turn("assistant", Sample("a beach")), Turn("user", Sample([B, "and this?"]))]
    row = processor.training_layout([*asked, Turn("assistant", Sample("two stars"))])
    prompt = processor.chat_layout(asked)
    assert row.ids[: len(prompt)] == prompt.ids and len(row.images) == 2
    said = [processor.decode(row.ids[start:stop]).strip() for start, stop in row.answers]
    assert said == ["a beach", "two stars"]
    assert row.ids[-1] in model.generator.ends and row.answers[1][1] == len(row)
    assert [is_image for _, is_image in row.slices] == [True, False, False, True, False, False]
    texts = [int(where[-1]) for where, is_image in row.slices if not is_image]
    for end, text in zip(texts, ("where is this?", "a beach", "and this?", "two stars"), strict=True):
        alone = processor.decode(processor.encode(text)).split()
        assert processor.decode(row.ids[: end + 1]).split()[-len(alone) :] == alone


@every_family
def test_the_loss_of_a_training_row_is_the_score(opened: Callable[[str], Sugar], family: str) -> None:
    """The gradient path reads the same hidden states as inference: its log-likelihood is what `score`
    says.
    """
    model = opened(family)
    asked = Turn("user", Sample([A, "where is this?"]))
    row = model.processor.training_layout([asked, Turn("assistant", Sample("a beach"))])
    short = model.processor.training_layout([Turn("user", Sample("x")), Turn("assistant", Sample("y"))])
    model.model.get_output_embeddings().weight.requires_grad_(True)
    try:
        batch = model.processor.collate([short, row])
        grids = [image.grid for image in batch.images if image.grid is not None]
        at, _ = model.backbone.positions(batch.input_ids, batch.image_mask, grids, batch.attention_mask)
        seen = [_usable(f) for f in model.backbone.features(batch.images)]
        hidden = model.backbone.read(batch.input_ids, at, None, seen, image_mask=batch.image_mask)
        start, stop = row.answers[0]
        log_p = torch.log_softmax(model.backbone.logits(hidden[1, start - 1 : stop - 1]).float(), -1)
        total = log_p.gather(1, torch.tensor(row.ids[start:stop])[:, None]).sum()
        total.backward()
        assert model.model.get_output_embeddings().weight.grad.abs().sum() > 0
    finally:
        model.model.requires_grad_(False)
        model.model.zero_grad(set_to_none=True)
    assert float(total.detach()) == pytest.approx(model.score([asked], ["a beach"], end=True)[0], abs=1e-3)


@each_kind
def test_yes_is_every_way_to_begin_it(opened: Callable[[str], Sugar], family: str) -> None:
    model = opened(family)
    questions = [
        Sample([A, "is it red?"]),
        Sample("is it, in more words than before, a star?"),
        Sample([B, A, "?"]),
    ]
    odds = model.log_odds(questions)
    for question, value in zip(questions, odds, strict=True):
        asked = [Turn("user", question)]
        layout = model.backbone.layout(asked)
        sums = []
        for words in (YES, NO):
            forms = model.scorer.forms(asked, layout, words)
            assert {model.processor.decode(f).strip() for f in forms} == set(words)
            assert len(set(forms)) == len(forms)
            sums.append(np.logaddexp.reduce([_log_p(model, layout.ids, layout.images, f) for f in forms]))
        assert value == pytest.approx(sums[0] - sums[1], abs=2e-3)
    assert model.probability_of_yes(questions) == pytest.approx(1 / (1 + np.exp(-odds)))


def _log_p(model: Sugar, ids: list[int], images: list, form: tuple[int, ...]) -> float:
    with model.backbone.using(None):
        hidden = model.backbone.forward([Layout([*ids, *form], images, [])]).hidden[0]
        log_p = torch.log_softmax(model.backbone.logits(hidden[len(ids) - 1 : -1]).float(), -1)
    return float(log_p.gather(1, torch.tensor(form)[:, None]).sum())


def test_a_row_without_an_answer_is_refused(opened: Callable[[str], Sugar]) -> None:
    processor = opened("llava").processor
    for turns in ([], [Turn("user", Sample("x"))]):
        with pytest.raises(InputError, match="ends with an answer"):
            processor.training_layout(turns)
    with pytest.raises(InputError, match="empty"):
        processor.training_layout([Turn("user", Sample("x")), Turn("assistant", Sample(" "))])


def test_a_template_that_rewrites_texts_has_rows_without_their_ends(
    opened: Callable[[str], Sugar], monkeypatch: pytest.MonkeyPatch
) -> None:
    processor, turns = opened("llava").processor, [Turn("user", Sample([A, "where?"]))]
    turns.append(Turn("assistant", Sample("a beach")))
    render = processor.render

    def clean(*asked: Any, **how: Any) -> str:
        return render(*asked, **how).replace("\ufdd0", "")

    monkeypatch.setattr(processor, "render", clean)
    with pytest.raises(InputError, match=r"terms\.conversations false"):
        processor.training_layout(turns)
    row = processor.training_layout(turns, texts=False)
    assert [is_image for _, is_image in row.slices] == [True] and row.answers[-1][1] == len(row)
