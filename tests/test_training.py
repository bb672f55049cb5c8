"""Training: losses and labels against values worked out apart, masks and padding, and a loop that resumes as
if it had not stopped.

The model of these tests is the embedded one's shape with a few dozen channels (`small`). Not covered: the
shipped checkpoint (test_checkpoint.py), the drawn world (test_scenes.py).
"""

from __future__ import annotations

import io
import math
import pickle
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
import torch
from PIL import Image

import sugar.training.from_nothing as nothing
import sugar.training.loop as loop
from sugar.core import Sugar
from sugar.dtw import reference
from sugar.errors import ModelError, SettingsError
from sugar.evaluation import retrieval
from sugar.evaluation.opening import open_model
from sugar.model.adapters import EmbeddingHead
from sugar.model.tiny import TinyConfig, build
from sugar.scenes import draw, encode_facts, sample_scene, scene_facts, short_caption, split_rng, vocabulary
from sugar.scenes.encoders import ROLES
from sugar.scenes.world import COLORS, KINDS, Scene, SceneObject, is_held_out_relation
from sugar.sequence import Sample, Turn
from sugar.training.config import rate_at
from sugar.training.losses import contrastive_loss, language_loss, similarity_loss, swap_loss
from sugar.training.mix import _card_row, draw_step
from sugar.training.objective import Objective, Prepared, last_positions, prepare
from sugar.training.optimizer import Muon, matrices, orthogonalise
from sugar.training.recipes.sugar import CONFIGS, DEVIATIONS, SHIPPED, deviations
from sugar.training.rows import IGNORED, Row, RowBuilder, Tokens, collate
from sugar.training.scene_targets import scene_labels, scene_words
from sugar.training.steps import MixConfig, Step, StepBuilder
from sugar.training.targets import DELTA, label_statistics, slice_distances, target_matrix
from sugar.training.terms import Terms

SMALL = TinyConfig(
    vision_size=48,
    vision_layers=2,
    vision_mlp=96,
    hidden_size=48,
    layers=2,
    mlp=96,
    vision_heads=3,
    heads=3,
    head_hidden=64,
    head_size=48,
)
LITTLE = MixConfig(
    answers=2,
    questions=3,
    swapped=1,
    captions=2,
    stories=1,
    albums=1,
    edits=1,
    differences=1,
    cards=1,
    copies=1,
    chats=1,
)


def small(config: nothing.SugarConfig) -> tuple:
    """`build_model` of these tests."""
    torch.manual_seed(config.seed)
    llava, processor = build(SMALL, vocabulary())
    return llava, EmbeddingHead(SMALL.hidden_size, SMALL.head_hidden, SMALL.head_size), processor


@pytest.fixture(scope="module")
def parts() -> tuple:
    """(llava, head, processor, tokens) with weights large enough that what is read matters."""
    llava, head, processor = small(nothing.SugarConfig())
    with torch.no_grad():
        for p in llava.parameters():
            if p.dim() > 1:
                p.mul_(3.0)
    tokens = Tokens(processor.tokenizer, llava.config.image_token_id, 9)
    return llava.eval(), head.eval(), processor, tokens


@pytest.fixture
def small_models(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    monkeypatch.setattr(nothing, "build_model", small)
    yield
    torch.set_num_threads(threads)


# --- losses -------------------------------------------------------------------------------------------------


def test_language_loss_by_hand() -> None:
    assert language_loss(torch.zeros(3, 8), torch.tensor([1, 2, 3])).item() == pytest.approx(math.log(8))
    logits = torch.tensor([[0.0, math.log(3.0)]])
    assert language_loss(logits, torch.tensor([1])).item() == pytest.approx(-math.log(0.75))
    assert language_loss(torch.zeros(0, 8), torch.zeros(0, dtype=torch.long)).item() == 0.0
    both = torch.cat([logits, torch.zeros(1, logits.shape[1])])
    weighed = language_loss(both, torch.tensor([1, 0]), torch.tensor([3.0, 1.0])).item()
    assert weighed == pytest.approx((-3 * math.log(0.75) + math.log(logits.shape[1])) / 4)


def test_similarity_loss_by_hand() -> None:
    r = torch.tensor([[1.0, 0.0], [0.6, 0.8]])  # cosine 0.6
    wanted = torch.tensor([[1.0, 0.1], [0.1, 1.0]])
    assert similarity_loss(r, wanted).item() == pytest.approx(2 * 0.25 / 4)
    assert similarity_loss(r, wanted, form="positions").item() == pytest.approx(2 * 0.25 / 2)
    assert similarity_loss(r, r @ r.T).item() == pytest.approx(0.0, abs=1e-12)


def test_contrastive_loss_by_hand() -> None:
    s = torch.tensor([[0.05, 0.0, 0.0]])  # logits 1, 0, 0 at temperature 0.05
    e = math.e
    assert contrastive_loss(s, torch.tensor([[True, False, False]])).item() == pytest.approx(
        -math.log(e / (e + 2))
    )
    assert contrastive_loss(s, torch.tensor([[True, True, False]])).item() == pytest.approx(
        -math.log((e + 1) / (e + 2))
    )
    blind = torch.tensor([[0.05, -torch.inf, 0.0]])
    assert contrastive_loss(blind, torch.tensor([[True, False, False]])).item() == pytest.approx(
        -math.log(e / (e + 1))
    )
    assert contrastive_loss(s, torch.zeros(1, 3, dtype=torch.bool)).item() == 0.0


def test_swap_loss_by_hand() -> None:
    assert swap_loss(torch.zeros(2, 2, 2)).item() == pytest.approx(math.log(2))
    right = torch.tensor([[[0.05, 0.0], [0.0, 0.05]]])
    assert swap_loss(right).item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert swap_loss(-right).item() == pytest.approx(math.log(1 + math.e))
    assert swap_loss(torch.zeros(0, 2, 2)).item() == 0.0


# --- labels -------------------------------------------------------------------------------------------------


def slices(n: int, seed: int = 0) -> tuple[list, list[bool]]:
    """n slices, pictures and texts in turn, with the facts that they show or state."""
    rng = split_rng("test", seed)
    facts, flags = [], []
    for i in range(n):
        scene = sample_scene(rng)
        facts.append(short_caption(scene, rng).facts if i % 2 else scene_facts(scene))
        flags.append(i % 2 == 0)
    return facts, flags


@pytest.mark.parametrize("across", ["bag", "exact"])
def test_slice_distance_reads_the_part_that_belongs(across: str) -> None:
    facts, flags = slices(6)
    phi = slice_distances(facts, flags, across=across)
    for i in range(6):
        for j in range(6):
            roles = ("image" if flags[i] else "text") if flags[i] == flags[j] else across
            a, b = (encode_facts(facts[k], ROLES[roles]) for k in (i, j))
            assert phi[i, j].item() == pytest.approx(float(((a - b) ** 2).sum()), abs=1e-5)
    single = slice_distances(facts, flags, across=across, triple=False)
    a, b = (encode_facts(facts[k], ROLES[across]) for k in (0, 2))
    assert single[0, 2].item() == pytest.approx(float(((a - b) ** 2).sum()), abs=1e-5)


def test_label_matrix_is_the_reference() -> None:
    facts, flags = slices(9, seed=1)
    lengths, positions = [4, 1, 1, 3], [[1, 3], [0], [0], [2, 0]]
    phi = slice_distances(facts, flags, across="bag")
    target = target_matrix(phi, lengths, positions)
    starts = np.cumsum([0, *lengths])
    ends = [(s, range(starts[s], starts[s] + p + 1)) for s, row in enumerate(positions) for p in row]
    for i, (s, x) in enumerate(ends):
        for j, (t, y) in enumerate(ends):
            if s == t:
                wanted = 1.0
            elif len(x) == len(y) == 1:
                wanted = 1 - phi[x[0], y[0]].item() / 2
            else:
                sigma = DELTA * math.sqrt((len(x) + len(y)) / 2)
                blocks = [
                    [[phi[a, b].item() for b in right] for a in left]
                    for left, right in ((x, y), (x, x), (y, y))
                ]
                wanted = reference.gak(*blocks, sigma)
            assert target[i, j].item() == pytest.approx(wanted, abs=1e-5)


def test_prefixes_of_one_sample_may_be_labelled_by_the_kernel() -> None:
    facts, flags = slices(5, seed=3)
    phi = slice_distances(facts, flags, across="bag")
    positions = [[0, 2], [1]]
    one, kernel = (target_matrix(phi, [3, 2], positions, same_sample=s) for s in ("one", "kernel"))
    assert one[0, 1] == 1 and torch.allclose(one[:2, 2], kernel[:2, 2])
    sigma = DELTA * math.sqrt((1 + 3) / 2)
    blocks = [[[phi[a, b].item() for b in range(n)] for a in range(m)] for m, n in ((1, 3), (1, 1), (3, 3))]
    assert kernel[0, 1].item() == pytest.approx(reference.gak(*blocks, sigma), abs=1e-5)


def test_mean_similarity_by_hand() -> None:
    phi = torch.tensor([[0.0, 2.0, 0.4], [2.0, 0.0, 1.2], [0.4, 1.2, 0.0]])  # cosines 1 - phi / 2
    target = target_matrix(phi, [2, 1], [[1], [0]], kind="mean")
    assert target.tolist() == pytest.approx(np.array([[1.0, (0.8 + 0.4) / 2], [0.6, 1.0]]))


def drawn_targets(tokens: Tokens, processor: object, terms: Terms, seed: int) -> tuple[Step, Prepared]:
    mix = MixConfig(answers=0, differences=0, copies=0, chats=0)
    step = draw_step(mix, tokens, split_rng("train", seed))
    return step, prepare(step, terms, processor.image_processor, 96, tokens)  # type: ignore[attr-defined]


def test_a_query_s_last_position_is_labelled_by_its_referent(parts: tuple) -> None:
    *_, processor, tokens = parts
    step, made = drawn_targets(tokens, processor, SHIPPED.terms, 0)
    assert made.target is not None and made.phi is not None and torch.equal(made.target, made.target.T)
    last, starts = last_positions(step), np.cumsum([0, *(len(s.facts) for s in step.samples)])
    pictures = [i for i, s in enumerate(step.samples) if s.is_image == [True]]
    for query, referent in step.referents:
        row = made.target[last[query]]
        assert row[last[referent]].item() == pytest.approx(1.0, abs=1e-5)
        for i in pictures:
            assert row[last[i]].item() == pytest.approx(
                1 - made.phi[starts[i], starts[referent]].item() / 2, abs=1e-5
            )
    plain = drawn_targets(tokens, processor, replace(SHIPPED.terms, referent_labels=False), 0)[1].target
    changed = (made.target != plain).any(1).nonzero()[:, 0].tolist()
    queries = {last[q] for q, _ in step.referents}
    rest = [i for i in range(len(plain)) if i not in queries]
    assert queries <= set(changed) and torch.equal(made.target[rest][:, rest], plain[rest][:, rest])


@pytest.mark.parametrize("seed", [0, 1])
def test_drawn_targets_can_be_fitted_by_unit_vectors(parts: tuple, seed: int) -> None:
    *_, processor, tokens = parts
    target = drawn_targets(tokens, processor, SHIPPED.terms, seed)[1].target
    assert target is not None
    assert torch.linalg.eigvalsh(target.double())[0] > -0.2
    free = torch.nn.Parameter(torch.randn(len(target), 192, generator=torch.Generator().manual_seed(0)))
    optimizer = torch.optim.Adam([free], lr=0.05)
    for _ in range(150):
        loss = similarity_loss(torch.nn.functional.normalize(free, dim=-1), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.0005


def test_every_sample_of_several_slices_draws_two_to_four_positions(parts: tuple) -> None:
    *_, processor, tokens = parts
    step, made = drawn_targets(tokens, processor, SHIPPED.terms, 1)
    for s in step.samples:
        assert s.positions == sorted(set(s.positions)) and s.positions[-1] == len(s.facts) - 1
        assert len(s.positions) == 1 if len(s.facts) == 1 else 2 <= len(s.positions) <= 4
    counts = made.label_counts
    assert 0 < counts["kernel_signal"] < counts["kernel"] and counts["signal"] <= counts["pairs"]


def test_label_statistics_by_hand() -> None:
    target = torch.tensor(
        [[1.0, 1.0, 0.2, 0.0], [1.0, 1.0, 0.3, 0.01], [0.2, 0.3, 1.0, 0.9], [0.0, 0.01, 0.9, 1.0]]
    )
    assert label_statistics(target, [[0, 1], [0], [0]]) == {
        "pairs": 5,
        "kernel": 2,
        "kernel_signal": 1,
        "signal": 3,
    }


HELD_OUT_TEXT = re.compile(
    rf"\b({'|'.join(KINDS)})( with (?:stripes|dots))? (inside|on) "
    rf"(?:the|a|an) (?:\w+ )*?({'|'.join(KINDS)})\b"
)


def test_no_training_text_names_a_held_out_relation(parts: tuple) -> None:
    """Questions, answers and captions of every kind, yes/no questions that are answered "no" included."""
    *_, tokens = parts
    decode = parts[2].tokenizer.decode
    mix = MixConfig(
        answers=30, swapped=8, captions=20, stories=6, albums=6, edits=10, differences=12, cards=2, copies=1
    )
    seen = held_out = 0
    for seed in range(8):
        for row in draw_step(mix, tokens, split_rng("train", seed)).rows:
            text = decode([i for i in row.ids if i != tokens.image_token_id])
            for a, _, name, b in HELD_OUT_TEXT.findall(text):
                seen += 1
                held_out += is_held_out_relation(a, name, b)
    assert seen > 50 and held_out == 0


# --- rows and masks -----------------------------------------------------------------------------------------


def picture_row(tokens: Tokens) -> Row:
    return (
        RowBuilder(tokens)
        .user()
        .picture(0)
        .turn("where is this?", "beach", "a")
        .turn("what color is the star?", "red", "b")
        .row()
    )


def test_a_row_by_hand(parts: tuple) -> None:
    tokens = parts[3]
    row = picture_row(tokens)
    first = [*tokens.encode("where is this?"), *tokens.assistant, *tokens.encode("beach"), tokens.eos]
    second = [*tokens.encode("what color is the star?"), *tokens.assistant, *tokens.encode("red"), tokens.eos]
    assert row.ids == [*tokens.user, *[tokens.image_token_id] * 9, *first, *second]
    (a, b, _), (c, d, _) = row.answers
    assert [i for i, label in enumerate(row.labels) if label != IGNORED] == [a, b - 1, c, d - 1]
    assert (
        row.positions[:10] == list(range(10)) and row.positions[10] == row.positions[b] == 10
    )  # each turn starts after the picture
    assert row.blocks == [0] * 10 + [1] * (b - 10) + [2] * (d - b)
    assert row.slices == [(1, 10, True)]


def read(parts: tuple, rows: list[Row], pictures: torch.Tensor, budget: int = 6000) -> list[torch.Tensor]:
    """Hidden states of each row, (T, hidden), as the objective computes them."""
    llava, head, _, tokens = parts
    objective = Objective(llava, head, Terms())
    out: list[torch.Tensor] = [torch.empty(0)] * len(rows)
    with torch.inference_mode():
        features = torch.stack(
            list(llava.model.get_image_features(pixel_values=pictures, return_dict=True).pooler_output)
        )
        for batch in collate(rows, tokens.pad, budget):
            hidden = objective._read(batch, features, torch.device("cpu"))
            for b, n in enumerate(batch.row_numbers):
                out[n] = hidden[b, : len(rows[n])]
    return out


def noise(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 3, 96, 96, generator=torch.Generator().manual_seed(seed))


def test_packed_turns_do_not_see_each_other(parts: tuple) -> None:
    tokens, pixels = parts[3], noise(1)
    packed = picture_row(tokens)
    cut = packed.answers[0][1]
    (first,) = read(parts, [packed], pixels)
    changed = replace(packed, ids=[*packed.ids[:10], *reversed(packed.ids[10:cut]), *packed.ids[cut:]])
    (second,) = read(parts, [changed], pixels)
    assert torch.equal(first[:10], second[:10]) and torch.allclose(first[cut:], second[cut:], atol=1e-6)
    assert not torch.allclose(first[10:cut], second[10:cut], atol=1e-2)
    alone = RowBuilder(tokens).user().picture(0).turn("what color is the star?", "red", "b").row()
    (third,) = read(parts, [alone], pixels)
    assert torch.allclose(first[cut:], third[10:], atol=1e-5)  # a packed turn is the turn alone


def test_nothing_leaks_from_later_slices(parts: tuple) -> None:
    tokens, pixels = parts[3], noise(3)
    made = [
        RowBuilder(tokens).bos().picture(0).text("a red star").picture(k).text(words).row()
        for k, words in ((1, "at night"), (2, "a blue cat"))
    ]
    one, two = read(parts, made, pixels)
    seen = made[0].slices[1][1]
    assert torch.allclose(one[:seen], two[:seen], atol=1e-6) and not torch.allclose(
        one[seen : seen + 9], two[seen : seen + 9], atol=1e-2
    )


def test_padding_and_company_change_nothing(parts: tuple) -> None:
    tokens, pixels = parts[3], noise(2)
    rows = [
        picture_row(tokens),
        RowBuilder(tokens).bos().text("a red star").row(),
        RowBuilder(tokens).bos().picture(1).text("a red star and a blue cat by the lake").row(),
        RowBuilder(tokens).bos().picture(0).row(),
    ]
    together = read(parts, rows, pixels)
    for row, hidden in zip(rows, together, strict=True):
        (alone,) = read(parts, [row], pixels)
        assert torch.allclose(hidden, alone, atol=1e-5)


def test_collate_keeps_to_its_budget_and_loses_no_row(parts: tuple) -> None:
    tokens = parts[3]
    rows = [RowBuilder(tokens).bos().text(" ".join(["star"] * n)).row() for n in (1, 40, 3, 3, 3, 90, 20, 2)]
    batches = collate(rows, tokens.pad, budget=60)
    assert sorted(n for b in batches for n in b.row_numbers) == list(range(8))
    assert all(b.ids.numel() <= 60 or len(b.row_numbers) == 1 for b in batches)
    for b in batches:
        lengths = [len(rows[n]) for n in b.row_numbers]
        assert min(lengths) >= 0.6 * max(lengths)
        assert (
            not b.mask[:, 0].diagonal(dim1=1, dim2=2).logical_not().any()
        )  # every token, a pad too, sees itself: no nan


def test_batch_of_one_is_batch_of_many(parts: tuple) -> None:
    llava, head, processor, tokens = parts
    step = draw_step(LITTLE, tokens, split_rng("train", 3))
    objective = Objective(llava, head, replace(SHIPPED.terms, dense=0.0))
    with torch.inference_mode():
        many, one = (
            objective(prepare(step, objective.terms, processor.image_processor, 96, tokens, budget))[0]
            for budget in (6000, 1)
        )
    assert many.keys() == one.keys() == {"language", "similarity", "referent", "swap", "token_word_alignment"}
    for name in many:
        assert many[name].item() == pytest.approx(one[name].item(), rel=1e-4)


# --- training and use read alike ----------------------------------------------------------------------------


def test_training_embeds_as_the_model_does(parts: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    llava, head, processor, tokens = parts
    model = Sugar.wrap(llava, processor, head)
    rng = split_rng("test", 0)
    scenes = [replace(sample_scene(rng), seed=0) for _ in range(2)]  # drawn at the model's own size
    b = StepBuilder(tokens, rng)
    p, q = (b.picture(s) for s in scenes)
    words = [short_caption(s, rng) for s in scenes]
    b.embed([words[0], (p, scene_facts(scenes[0])), words[1], (q, scene_facts(scenes[1]))], [0, 1, 2, 3])
    b.embed([words[1]])
    got = []
    monkeypatch.setattr(Objective, "_similarity", lambda self, r, prepared, skills: got.append(r) or {})
    with torch.inference_mode():
        Objective(llava, head, Terms(language=0.0))(
            prepare(b.step, Terms(), processor.image_processor, 96, tokens)
        )
    images = [Image.fromarray(draw(s)) for s in scenes]
    used = model.embed(
        [Sample([words[0].words, images[0], words[1].words, images[1]]), Sample(words[1].words)]
    )
    assert np.allclose(got[0].numpy(), np.concatenate(used.slices), atol=1e-5)


def test_training_asks_as_the_chat_does(parts: tuple) -> None:
    llava, head, processor, tokens = parts
    model = Sugar.wrap(llava, processor, head)
    images = [Image.new("RGB", (96, 96), c) for c in ("red", "blue")]
    question = "what is the name of the red star?"
    b = StepBuilder(tokens, split_rng("test", 0))
    row = _card_row(b, 0, question, "ba mi", 1, question, "ba mi")
    turns = [
        Turn(
            "user",
            Sample(
                [
                    images[0],
                    "what is the name of the red star?",
                    "ba mi",
                    images[1],
                    "what is the name of the red star?",
                ]
            ),
        )
    ]
    prompt = model.processor.chat_layout(turns)
    assert row.ids == prompt.ids + model.processor.answer_ids(turns, prompt, "ba mi", end=True)


def test_scene_labels_by_hand() -> None:
    box = SceneObject("box", "red", "big", "plain", 0, 1)
    star = SceneObject("star", "blue", "small", "dotted", 0, 1, inside=0)
    objects, setting = scene_labels([Scene((box, star), "beach", "night", "clear")])
    assert objects.shape == (1, 9, 8)
    assert objects[0, 1].tolist() == [
        KINDS.index("box"),
        COLORS.index("red"),
        0,
        1,
        KINDS.index("star"),
        COLORS.index("blue"),
        2,
        0,
    ]
    assert objects[0, 0].tolist() == [24, 10, 3, 2] * 2 and setting.tolist() == [[0, 1, 0]]


# --- optimiser ----------------------------------------------------------------------------------------------


def test_orthogonalise_pushes_singular_values_to_one() -> None:
    x = torch.randn(3, 6, 20, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(x))
    assert values.min() > 0.6 and values.max() < 1.25
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    assert torch.linalg.matrix_norm(orthogonalise(x) - u @ v).max() < 0.3 * math.sqrt(6)


def test_muon_takes_the_matrices_and_leaves_the_rest(parts: tuple) -> None:
    llava, head, _, _ = parts
    objective = Objective(llava, head, Terms())
    chosen = {id(p) for p in matrices(objective)}
    assert id(llava.get_input_embeddings().weight) not in chosen and id(llava.lm_head.weight) not in chosen
    assert id(head.first.weight) in chosen and all(p.dim() == 2 for p in matrices(objective))


def test_a_muon_step_by_hand() -> None:
    for shape in ((4, 8), (8, 4)):
        p = torch.nn.Parameter(torch.zeros(shape))
        p.grad = torch.eye(*shape) * 0.01  # the size of the gradient does not matter
        Muon([p], lr=0.1, weight_decay=0.0).step()
        steps = torch.linalg.svdvals(p.detach()) / (0.1 * math.sqrt(max(1, shape[0] / shape[1])))
        assert steps.min() > 0.6 and steps.max() < 1.25
        assert (p.detach().diagonal() < 0).all()


def test_rate_rises_holds_and_falls() -> None:
    c = nothing.SugarConfig(steps=1000, dense_steps=200, warmup=50, decay=0.25)
    assert [rate_at(s, c) for s in (0, 49, 199)] == pytest.approx([1 / 50, 1, 1])
    assert [rate_at(s, c) for s in (200, 249, 500, 750, 875, 999)] == pytest.approx(
        [1 / 50, 1, 1, 1, 0.5, 0.004]
    )


# --- the loop -----------------------------------------------------------------------------------------------


def config(out: Path, **changes: object) -> nothing.SugarConfig:
    base = nothing.SugarConfig(
        terms=SHIPPED.terms,
        out=str(out),
        steps=6,
        dense_steps=2,
        dense_batch=8,
        warmup=2,
        save_every=100,
        log_every=2,
        workers=0,
        mix=LITTLE,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def run_of(config: nothing.SugarConfig) -> loop.Run:
    return loop.Run(nothing.DrawnTask(config))


def weights(run: loop.Run) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in run.task.module.state_dict().items()}


def test_resumed_is_uninterrupted_to_the_bit(tmp_path: Path, small_models: None) -> None:
    whole = run_of(config(tmp_path / "whole"))
    for _ in range(6):
        whole.train_step()
    first = run_of(config(tmp_path / "parts"))
    for _ in range(3):  # past the dense stage, and not at its edge
        first.train_step()
    first.save()
    second = run_of(config(tmp_path / "parts"))
    assert second.resume() and second.step == 3
    for _ in range(3):
        second.train_step()
    a, b = weights(whole), weights(second)
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    for x, y in zip(whole.optimizers, second.optimizers, strict=True):
        for p, q in zip(x.state.values(), y.state.values(), strict=True):
            assert all(torch.equal(torch.as_tensor(p[k]), torch.as_tensor(q[k])) for k in p)


def test_a_run_is_its_seed(tmp_path: Path, small_models: None) -> None:
    runs = [run_of(config(tmp_path, seed=s)) for s in (5, 5, 6)]
    for run in runs:
        for _ in range(3):
            run.train_step()
    a, b, c = map(weights, runs)
    assert all(torch.equal(a[k], b[k]) for k in a) and any(not torch.equal(a[k], c[k]) for k in a)


def test_another_seed_does_not_resume(tmp_path: Path, small_models: None) -> None:
    run_of(config(tmp_path)).save()
    with pytest.raises(SettingsError, match="seed"):
        run_of(config(tmp_path, seed=1)).resume()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[: len(data) // 2], "damaged or cut short.*Delete it to begin again"),
        (lambda data: b"", "is empty"),
        (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (lambda data: pickle.dumps({"step": print}), "damaged or cut short"),
        (lambda data: _saved({"step": 1}), "no state of such a run"),
        (lambda data: _saved([1]), "no state of such a run"),
    ],
    ids=["cut", "empty", "a pointer", "a pickle", "another state", "a list"],
)
def test_a_damaged_state_says_so(damage: Any, message: str, tmp_path: Path, small_models: None) -> None:
    run_of(config(tmp_path)).save()
    file = next(tmp_path.rglob("state.pt"))
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ModelError, match=message):
        run_of(config(tmp_path)).resume()
    with pytest.raises(ModelError):
        open_model(file.parent)


def _saved(value: Any) -> bytes:
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue()


@pytest.fixture(scope="module")
def base(parts: tuple, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model to start from."""
    llava, head, processor, _ = parts
    folder = tmp_path_factory.mktemp("base")
    Sugar.wrap(llava, processor, head, name="base").save_pretrained(folder)
    return folder


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


ASKED = [Sample([Image.new("RGB", (96, 96), "red"), "a red star"])]


def on_a_base(out: Path, base: Path, steps: int = 2) -> nothing.SugarConfig:
    return nothing.SugarConfig(
        out=str(out),
        base=str(base),
        steps=steps,
        dense_steps=0,
        rate=1e-2,
        mix=LITTLE,
        workers=0,
        log_every=1,
    )


def test_a_base_is_trained_whole(tmp_path: Path, base: Path, threads: None) -> None:
    run = run_of(on_a_base(tmp_path / "run", base))
    weights = {name: p.detach().clone() for name, p in run.task.module.named_parameters()}
    assert all(p.requires_grad for p in run.task.module.parameters())
    run.train_step()
    moved = [name for name, p in run.task.module.named_parameters() if not torch.equal(p, weights[name])]
    assert any("vision_tower" in name for name in moved) and any("language_model" in name for name in moved)
    assert not np.allclose(
        Sugar.from_pretrained(run.export(tmp_path / "out")).embed(ASKED).pooled,
        Sugar.from_pretrained(base).embed(ASKED).pooled,
    )


def test_a_base_comes_through_the_same_door_as_any_model(tmp_path: Path, base: Path, threads: None) -> None:
    with pytest.raises(ModelError, match="takes the LLaVA architecture"):
        run_of(on_a_base(tmp_path, checkpoints.build("idefics3", tmp_path)))
    with pytest.raises(ModelError, match="owner/name"):
        run_of(on_a_base(tmp_path, tmp_path / "nowhere"))
    pickled = Path(shutil.copytree(base, tmp_path / "pickled"))
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors only"):
        run_of(on_a_base(tmp_path, pickled))


@pytest.mark.parametrize("bad", [{"precision": "fp16"}, {"dense_steps": 7}, {"optimizer": "sgd"}])
def test_settings_out_of_range_are_refused(tmp_path: Path, bad: dict) -> None:
    with pytest.raises(SettingsError):
        config(tmp_path, **bad)


@pytest.mark.parametrize(
    "terms, names",
    [
        (
            SHIPPED.terms,
            {"language", "similarity", "swap", "referent", "dense", "token_word_alignment"},
        ),
        (Terms(), {"language", "similarity"}),
        (Terms(similarity=0, dense=1, token_word_alignment=1), {"language", "dense", "token_word_alignment"}),
        (Terms(language=0, dense=1), {"similarity", "dense"}),
        (Terms(contrastive_only=True), {"language", "contrastive"}),
        (Terms(kernel="mean", triple=False, pooling="last"), {"language", "similarity"}),
    ],
)
def test_terms_switch(parts: tuple, terms: Terms, names: set[str]) -> None:
    llava, head, processor, tokens = parts
    step = draw_step(LITTLE, tokens, split_rng("train", 1))
    made: Prepared = prepare(step, terms, processor.image_processor, 96, tokens)
    with torch.inference_mode():
        losses, skills = Objective(llava, head, terms)(made)
    assert set(losses) == names and all(math.isfinite(v) for v in losses.values())
    assert all(0 <= right <= asked for right, asked in ((int(a), int(b)) for a, b in skills.values()))


def test_length_weighting_weighs_answers_by_their_length(parts: tuple) -> None:
    """An answer of two tokens and one of four: with 1, both answers count alike; with 0, all tokens do."""
    llava, head, processor, tokens = parts
    rows = [
        RowBuilder(tokens).user().text("red").answer(words, "x").row() for words in ("star", "star cat dog")
    ]
    found = {}
    for name, chosen, power in (
        ("both", rows, 0.5),
        ("plain", rows, 0.0),
        ("first", rows[:1], 1.0),
        ("second", rows[1:], 1.0),
    ):
        terms = Terms(similarity=0, length_weighting=power)
        step = Step(scenes=[sample_scene(split_rng("train", 0))], rows=chosen)
        with torch.inference_mode():
            found[name] = Objective(llava, head, terms)(
                prepare(step, terms, processor.image_processor, 96, tokens)
            )[0]["language"].item()
    assert found["plain"] == pytest.approx((2 * found["first"] + 4 * found["second"]) / 6, rel=1e-5)
    weights = (2 * 2**-0.5, 4 * 4**-0.5)
    assert found["both"] == pytest.approx(
        (weights[0] * found["first"] + weights[1] * found["second"]) / sum(weights), rel=1e-5
    )


def test_pooling_last_reads_the_last_token(parts: tuple) -> None:
    llava, head, *_ = parts
    mean, last = (Objective(llava, head, Terms(pooling=p))._slice((3, 12, True)) for p in ("mean", "last"))
    assert mean[1] and not last[1]


def test_a_short_training_lowers_the_loss_and_finds_pictures(tmp_path: Path, small_models: None) -> None:
    mix = MixConfig(
        answers=2,
        questions=4,
        swapped=0,
        captions=12,
        stories=0,
        albums=0,
        edits=0,
        differences=0,
        cards=0,
        copies=0,
        chats=0,
    )
    run = run_of(
        config(
            tmp_path,
            steps=70,
            dense_steps=25,
            dense_batch=24,
            warmup=5,
            decay=0.25,
            rate=5e-3,
            matrix_rate=0.02,
            mix=mix,
        )
    )
    first: dict[str, float] = {}
    while run.step < run.config.steps:
        losses = run.train_step().losses
        for name, value in losses.items():
            first.setdefault(name, value)
    assert losses["language"] < 0.7 * first["language"] and losses["similarity"] < 0.7 * first["similarity"]
    model = Sugar.wrap(run.task.module.llava.eval(), run.task.processor, run.task.module.head.eval())
    found = retrieval.measure(model, seed=0, size=80)
    assert found["t2i_r10"].value > 2 * found["t2i_r10"].chance
    assert found["t2i_r1"].value > 2 * found["t2i_r1"].chance
    opened = Sugar.from_pretrained(run.export(tmp_path / "model"), device="cpu", precision="fp32")
    scene = sample_scene(split_rng("test", 1))
    picture = Sample(Image.fromarray(draw(scene)))
    assert np.allclose(
        opened.embed([picture]).pooled, model.embed([picture]).pooled, atol=0.05
    )  # the export is bfloat16


def test_words_name_what_a_cell_shows(parts: tuple) -> None:
    tokens = parts[3]
    scene = Scene((SceneObject("star", "red", "big", "plain", 0, 2),), "beach", "day", "clear")
    rows, weights = scene_words([scene], tokens)
    wanted = [("star", 0.3), ("red", 0.3), ("plain", 0.1), ("big", 0.1), ("top", 0.1), ("right", 0.1)]
    assert rows.tolist() == [[0, 2, tokens.encode(w)[0]] for w, _ in wanted]
    assert weights.tolist() == pytest.approx([x for _, x in wanted])


def test_data_drawn_ahead_are_the_data_drawn_now(tmp_path: Path, small_models: None) -> None:
    run = run_of(config(tmp_path, steps=3, workers=1))
    for step, ahead in enumerate(run.steps_ahead()):
        now = run.task.reader(step)
        assert torch.equal(ahead.pixels, now.pixels) and len(ahead.batches) == len(now.batches)
        assert all(torch.equal(a.ids, b.ids) for a, b in zip(ahead.batches, now.batches, strict=True))


def test_deviations_are_listed_by_name() -> None:
    tiny, paper = (asdict(CONFIGS[name]) for name in ("tiny", "paper"))
    assert set(deviations(paper)) == {"dense_steps"}
    added = {"similarity", "swap", "referent", "dense", "length_weighting", "token_word_alignment"}
    chosen = {"cross_modal_target", "referent_labels", "same_sample", "optimizer", "schedule", "dense_steps"}
    assert set(deviations(tiny)) == added | chosen
    assert set(DEVIATIONS) >= {f.name for f in fields(Terms)}
