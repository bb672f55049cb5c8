"""Training: losses and labels against values worked out apart, masks and padding, and a loop that resumes as if it had not stopped.

The model of these tests is the embedded one's shape with a few dozen channels (`small`). Not covered: the shipped checkpoint
(test_checkpoint.py), the drawn world (test_scenes.py).
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import checkpoints
import numpy as np
import pytest
import torch
from PIL import Image

import sugar.training.loop as loop
from sugar.core import Sugar
from sugar.dtw import reference
from sugar.errors import ModelError, SettingsError
from sugar.evaluation import retrieval
from sugar.model.head import EmbeddingHead
from sugar.model.tiny import TinyConfig, build
from sugar.scenes import draw, encode_facts, sample_scene, scene_facts, short_caption, split_rng, vocabulary
from sugar.scenes.encoders import ROLES
from sugar.scenes.world import COLORS, KINDS, Scene, Thing
from sugar.sequence import Sample, Turn
from sugar.training.losses import contrastive_loss, language_loss, similarity_loss, swap_loss
from sugar.training.mix import MixConfig, Step, StepBuilder, _card_row, draw_step
from sugar.training.objective import Objective, Prepared, Terms, last_places, prepare, scene_labels, scene_words
from sugar.training.optimizer import Muon, matrices, orthogonalise
from sugar.training.recipes import RECIPES
from sugar.training.rows import IGNORED, Row, RowBuilder, Tokens, collate
from sugar.training.targets import DELTA, completion_kernel, slice_distances, target_matrix

SMALL = TinyConfig(
    vision_size=48, vision_layers=2, vision_mlp=96, hidden_size=48, layers=2, mlp=96, vision_heads=3, heads=3, head_hidden=64, head_size=48
)
LITTLE = MixConfig(answers=2, questions=3, swapped=1, captions=2, stories=1, edits=1, differences=1, cards=1, copies=1, chats=1)


def small(config: loop.SugarConfig) -> tuple:
    """`build_model` of these tests."""
    torch.manual_seed(config.seed)
    llava, processor = build(SMALL, vocabulary())
    return llava, EmbeddingHead(SMALL.hidden_size, SMALL.head_hidden, SMALL.head_size), processor


@pytest.fixture(scope="module")
def parts() -> tuple:
    """(llava, head, processor, tokens) with weights large enough that what is read matters."""
    llava, head, processor = small(loop.SugarConfig())
    with torch.no_grad():
        for p in llava.parameters():
            if p.dim() > 1:
                p.mul_(3.0)
    tokens = Tokens(processor.tokenizer, llava.config.image_token_id, 9)
    return llava.eval(), head.eval(), processor, tokens


@pytest.fixture
def small_models(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    monkeypatch.setattr(loop, "build_model", small)
    yield
    torch.set_num_threads(threads)


# --- losses ---------------------------------------------------------------------------------------------------------------------------


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
    assert contrastive_loss(s, torch.tensor([[True, False, False]])).item() == pytest.approx(-math.log(e / (e + 2)))
    assert contrastive_loss(s, torch.tensor([[True, True, False]])).item() == pytest.approx(-math.log((e + 1) / (e + 2)))
    blind = torch.tensor([[0.05, -torch.inf, 0.0]])
    assert contrastive_loss(blind, torch.tensor([[True, False, False]])).item() == pytest.approx(-math.log(e / (e + 1)))
    assert contrastive_loss(s, torch.zeros(1, 3, dtype=torch.bool)).item() == 0.0


def test_swap_loss_by_hand() -> None:
    assert swap_loss(torch.zeros(2, 2, 2)).item() == pytest.approx(math.log(2))
    right = torch.tensor([[[0.05, 0.0], [0.0, 0.05]]])
    assert swap_loss(right).item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert swap_loss(-right).item() == pytest.approx(math.log(1 + math.e))
    assert swap_loss(torch.zeros(0, 2, 2)).item() == 0.0


# --- labels ---------------------------------------------------------------------------------------------------------------------------


def slices(n: int, seed: int = 0) -> tuple[list, list[bool]]:
    """n slices, pictures and texts in turn, with the facts that they show or state."""
    rng = split_rng("test", seed)
    facts, flags = [], []
    for i in range(n):
        scene = sample_scene(rng)
        facts.append(short_caption(scene, rng).facts if i % 2 else scene_facts(scene))
        flags.append(i % 2 == 0)
    return facts, flags


@pytest.mark.parametrize("across", ["bag", "sharp"])
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
                blocks = [[[phi[a, b].item() for b in right] for a in left] for left, right in ((x, y), (x, x), (y, y))]
                wanted = reference.gak(*blocks, sigma)
            assert target[i, j].item() == pytest.approx(wanted, abs=1e-5)


def test_mean_similarity_by_hand() -> None:
    phi = torch.tensor([[0.0, 2.0, 0.4], [2.0, 0.0, 1.2], [0.4, 1.2, 0.0]])  # cosines 1 - phi / 2
    target = target_matrix(phi, [2, 1], [[1], [0]], kind="mean")
    assert target.tolist() == pytest.approx(np.array([[1.0, (0.8 + 0.4) / 2], [0.6, 1.0]]))


def test_completions_are_the_reference() -> None:
    facts, flags = slices(9, seed=2)
    phi = slice_distances(facts, flags, across="bag")
    query, referent, candidates = [0, 1, 3], 4, [2, 4, 6, 8]
    found = completion_kernel(phi, query, referent, candidates)
    for k, c in enumerate(candidates):
        x, y = [*query, c], [*query, referent]
        blocks = [[[phi[a, b].item() for b in right] for a in left] for left, right in ((x, y), (x, x), (y, y))]
        assert found[k].item() == pytest.approx(reference.gak(*blocks, DELTA * math.sqrt(4)), abs=1e-5)
    assert found[1].item() == pytest.approx(1.0, abs=1e-6)


def test_queries_with_a_referent_are_labelled_by_their_completions(parts: tuple) -> None:
    *_, processor, tokens = parts
    step = draw_step(LITTLE, tokens, split_rng("train", 0))
    made = prepare(step, Terms(across="bag"), processor.image_processor, 96, tokens)
    place = last_places(step)
    assert made.target is not None and torch.equal(made.target, made.target.T) and made.target.max() <= 1 + 1e-6
    for query, referent in step.referents:
        row = made.target[place[query]]
        assert row[place[referent]].item() == pytest.approx(1.0, abs=1e-5)
        others = [place[i] for i, s in enumerate(step.samples) if s.is_image == [True] and i != referent]
        assert (row[others] < 1).all() and row[others].max() > row[others].min()


# --- rows and masks -------------------------------------------------------------------------------------------------------------------


def picture_row(tokens: Tokens) -> Row:
    return RowBuilder(tokens).user().picture(0).turn("where is this?", "beach", "a").turn("what color is the star?", "red", "b").row()


def test_a_row_by_hand(parts: tuple) -> None:
    tokens = parts[3]
    row = picture_row(tokens)
    first = [*tokens.encode("where is this?"), *tokens.assistant, *tokens.encode("beach"), tokens.eos]
    second = [*tokens.encode("what color is the star?"), *tokens.assistant, *tokens.encode("red"), tokens.eos]
    assert row.ids == [*tokens.user, *[tokens.image_token_id] * 9, *first, *second]
    (a, b, _), (c, d, _) = row.answers
    assert [i for i, label in enumerate(row.labels) if label != IGNORED] == [a, b - 1, c, d - 1]
    assert row.positions[:10] == list(range(10)) and row.positions[10] == row.positions[b] == 10  # each turn starts after the picture
    assert row.blocks == [0] * 10 + [1] * (b - 10) + [2] * (d - b)
    assert row.slices == [(1, 10, True)]


def read(parts: tuple, rows: list[Row], pictures: torch.Tensor, budget: int = 6000) -> list[torch.Tensor]:
    """Hidden states of each row, (T, hidden), as the objective computes them."""
    llava, head, _, tokens = parts
    objective = Objective(llava, head, Terms(dense=0.0))
    out: list[torch.Tensor] = [torch.empty(0)] * len(rows)
    with torch.inference_mode():
        features = torch.stack(list(llava.model.get_image_features(pixel_values=pictures, return_dict=True).pooler_output))
        for batch in collate(rows, tokens.pad, budget):
            hidden = objective._read(batch, features, torch.device("cpu"))
            for b, n in enumerate(batch.which):
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
    assert torch.allclose(one[:seen], two[:seen], atol=1e-6) and not torch.allclose(one[seen : seen + 9], two[seen : seen + 9], atol=1e-2)


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
    assert sorted(n for b in batches for n in b.which) == list(range(8))
    assert all(b.ids.numel() <= 60 or len(b.which) == 1 for b in batches)
    for b in batches:
        lengths = [len(rows[n]) for n in b.which]
        assert min(lengths) >= 0.6 * max(lengths)
        assert not b.mask[:, 0].diagonal(dim1=1, dim2=2).logical_not().any()  # every token, a pad too, sees itself: no nan


def test_batch_of_one_is_batch_of_many(parts: tuple) -> None:
    llava, head, processor, tokens = parts
    step = draw_step(LITTLE, tokens, split_rng("train", 3))
    objective = Objective(llava, head, Terms(dense=0.0))
    with torch.inference_mode():
        many, one = (objective(prepare(step, objective.terms, processor.image_processor, 96, tokens, budget))[0] for budget in (6000, 1))
    assert many.keys() == one.keys() == {"language", "similarity", "referent", "swap", "align"}
    for name in many:
        assert many[name].item() == pytest.approx(one[name].item(), rel=1e-4)


# --- training and use read alike ------------------------------------------------------------------------------------------------------


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
        Objective(llava, head, Terms(dense=0.0, language=0.0))(prepare(b.step, Terms(align=0.0), processor.image_processor, 96, tokens))
    images = [Image.fromarray(draw(s)) for s in scenes]
    used = model.embed([Sample([words[0].words, images[0], words[1].words, images[1]]), Sample(words[1].words)])
    assert np.allclose(got[0].numpy(), np.concatenate(used.slices), atol=1e-5)


def test_training_asks_as_the_chat_does(parts: tuple) -> None:
    llava, head, processor, tokens = parts
    model = Sugar.wrap(llava, processor, head)
    images = [Image.new("RGB", (96, 96), c) for c in ("red", "blue")]
    question = "what is the name of the red star?"
    b = StepBuilder(tokens, split_rng("test", 0))
    row = _card_row(b, 0, question, "ba mi", 1, question, "ba mi")
    turns = [
        Turn("user", Sample([images[0], "what is the name of the red star?", "ba mi", images[1], "what is the name of the red star?"]))
    ]
    prompt = model.processor.chat_layout(turns)
    assert row.ids == prompt.ids + model.processor.answer_ids(turns, prompt, "ba mi", end=True)


def test_scene_labels_by_hand() -> None:
    box = Thing("box", "red", "big", "plain", 0, 1)
    star = Thing("star", "blue", "small", "dotted", 0, 1, inside=0)
    things, setting = scene_labels([Scene((box, star), "beach", "night", "clear")])
    assert things.shape == (1, 9, 8)
    assert things[0, 1].tolist() == [KINDS.index("box"), COLORS.index("red"), 0, 1, KINDS.index("star"), COLORS.index("blue"), 2, 0]
    assert things[0, 0].tolist() == [24, 10, 3, 2] * 2 and setting.tolist() == [[0, 1, 0]]


# --- optimiser ------------------------------------------------------------------------------------------------------------------------


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
    c = loop.SugarConfig(steps=1000, dense_steps=200, warmup=50, decay=0.25)
    assert [loop.rate_at(s, c) for s in (0, 49, 199)] == pytest.approx([1 / 50, 1, 1])
    assert [loop.rate_at(s, c) for s in (200, 249, 500, 750, 875, 999)] == pytest.approx([1 / 50, 1, 1, 1, 0.5, 0.004])


# --- the loop -------------------------------------------------------------------------------------------------------------------------


def config(out: Path, **changes: object) -> loop.SugarConfig:
    base = loop.SugarConfig(
        out=str(out), steps=6, dense_steps=2, dense_batch=8, warmup=2, save_every=100, log_every=2, workers=0, mix=LITTLE
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def weights(run: loop.Run) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in run.objective.state_dict().items()}


def test_resumed_is_uninterrupted_to_the_bit(tmp_path: Path, small_models: None) -> None:
    whole = loop.Run(config(tmp_path / "whole"))
    for _ in range(6):
        whole.train_step()
    first = loop.Run(config(tmp_path / "parts"))
    for _ in range(3):  # past the dense stage, and not at its edge
        first.train_step()
    first.save()
    second = loop.Run(config(tmp_path / "parts"))
    assert second.resume() and second.step == 3
    for _ in range(3):
        second.train_step()
    a, b = weights(whole), weights(second)
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    for x, y in zip(whole.optimizers, second.optimizers, strict=True):
        for p, q in zip(x.state.values(), y.state.values(), strict=True):
            assert all(torch.equal(torch.as_tensor(p[k]), torch.as_tensor(q[k])) for k in p)


def test_a_run_is_its_seed(tmp_path: Path, small_models: None) -> None:
    runs = [loop.Run(config(tmp_path, seed=s)) for s in (5, 5, 6)]
    for run in runs:
        for _ in range(3):
            run.train_step()
    a, b, c = map(weights, runs)
    assert all(torch.equal(a[k], b[k]) for k in a) and any(not torch.equal(a[k], c[k]) for k in a)


def test_another_seed_does_not_resume(tmp_path: Path, small_models: None) -> None:
    loop.Run(config(tmp_path)).save()
    with pytest.raises(SettingsError, match="seed"):
        loop.Run(config(tmp_path, seed=1)).resume()


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


def on_a_base(out: Path, base: Path, lora: int, steps: int = 2) -> loop.SugarConfig:
    return replace(
        RECIPES["sugar"]["lora"], out=str(out), base=str(base), lora=lora, steps=steps, rate=1e-2, matrix_rate=1e-2, mix=LITTLE,
        precision="no", threads=1, workers=0, log_every=1,
    )  # fmt: skip


def test_lora_on_a_frozen_base_by_the_same_loop(tmp_path: Path, base: Path, threads: None) -> None:
    folder = loop.train(on_a_base(tmp_path / "run", base, 4), quiet=True)
    folder = loop.train(on_a_base(tmp_path / "run", base, 4, steps=3), quiet=True)  # prolonged: goes on from step 2
    assert '"step": 3' in (folder / "training.json").read_text() and (folder / "adapter_model.safetensors").is_file()
    assert not (folder / "model.safetensors").exists()
    alone, adapted = Sugar.from_pretrained(base), Sugar.from_pretrained(base, adapter=folder)
    before, after = alone.embed(ASKED).pooled, adapted.embed(ASKED).pooled
    assert np.abs(after - before).max() > 1e-3 and np.allclose(adapted.embed(ASKED, adapter=None).pooled, before, atol=1e-6)


def test_a_base_is_trained_whole(tmp_path: Path, base: Path, threads: None) -> None:
    run = loop.Run(on_a_base(tmp_path / "run", base, 0))
    weights = {name: p.detach().clone() for name, p in run.objective.named_parameters()}
    assert all(p.requires_grad for p in run.objective.parameters())
    run.train_step()
    moved = [name for name, p in run.objective.named_parameters() if not torch.equal(p, weights[name])]
    assert any("vision_tower" in name for name in moved) and any("language_model" in name for name in moved)
    assert not np.allclose(
        Sugar.from_pretrained(run.export(tmp_path / "out")).embed(ASKED).pooled, Sugar.from_pretrained(base).embed(ASKED).pooled
    )


@pytest.mark.parametrize("lora", [0, 4])
def test_a_base_comes_through_the_same_door_as_any_model(tmp_path: Path, base: Path, lora: int, threads: None) -> None:
    with pytest.raises(ModelError, match="takes? the LLaVA architecture"):
        loop.Run(on_a_base(tmp_path, checkpoints.build("idefics3", tmp_path), lora))
    with pytest.raises(ModelError, match="owner/name"):
        loop.Run(on_a_base(tmp_path, tmp_path / "nowhere", lora))
    pickled = Path(shutil.copytree(base, tmp_path / "pickled"))
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors only"):
        loop.Run(on_a_base(tmp_path, pickled, lora))


@pytest.mark.parametrize("bad", [{"precision": "int8"}, {"dense_steps": 7}])
def test_settings_out_of_range_are_refused(tmp_path: Path, bad: dict) -> None:
    with pytest.raises(SettingsError):
        config(tmp_path, **bad)


@pytest.mark.parametrize(
    "terms, names",
    [
        (Terms(), {"language", "similarity", "swap", "referent", "dense", "align"}),
        (Terms(swap=0, referent=0, dense=0, align=0, across="bag"), {"language", "similarity"}),
        (Terms(similarity=0, swap=0, referent=0), {"language", "dense", "align"}),
        (Terms(language=0, swap=0, referent=0, align=0), {"similarity", "dense"}),
        (Terms(swap=0, referent=0, dense=0, align=0, contrastive_only=True), {"language", "contrastive"}),
        (Terms(swap=0, referent=0, dense=0, align=0, kernel="mean", triple=False, pooling="last"), {"language", "similarity"}),
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


def test_even_weighs_answers_by_their_length(parts: tuple) -> None:
    """An answer of two tokens and one of four: with 1, both answers count alike; with 0, all tokens do."""
    llava, head, processor, tokens = parts
    rows = [RowBuilder(tokens).user().text("red").answer(words, "x").row() for words in ("star", "star cat dog")]
    found = {}
    for name, chosen, even in (("both", rows, 0.5), ("plain", rows, 0.0), ("first", rows[:1], 1.0), ("second", rows[1:], 1.0)):
        terms = Terms(similarity=0, swap=0, referent=0, dense=0, align=0, even=even)
        step = Step(scenes=[sample_scene(split_rng("train", 0))], rows=chosen)
        with torch.inference_mode():
            found[name] = Objective(llava, head, terms)(prepare(step, terms, processor.image_processor, 96, tokens))[0]["language"].item()
    assert found["plain"] == pytest.approx((2 * found["first"] + 4 * found["second"]) / 6, rel=1e-5)
    weights = (2 * 2**-0.5, 4 * 4**-0.5)
    assert found["both"] == pytest.approx((weights[0] * found["first"] + weights[1] * found["second"]) / sum(weights), rel=1e-5)


def test_pooling_last_reads_the_last_token(parts: tuple) -> None:
    llava, head, *_ = parts
    mean, last = (Objective(llava, head, Terms(pooling=p, dense=0.0))._slice((3, 12, True)) for p in ("mean", "last"))
    assert mean[1] and not last[1]


def test_a_short_training_lowers_the_loss_and_finds_pictures(tmp_path: Path, small_models: None) -> None:
    mix = MixConfig(answers=2, questions=4, swapped=0, captions=12, stories=0, edits=0, differences=0, cards=0, copies=0, chats=0)
    run = loop.Run(config(tmp_path, steps=70, dense_steps=25, dense_batch=24, warmup=5, decay=0.25, rate=5e-3, matrix_rate=0.02, mix=mix))
    first: dict[str, float] = {}
    while run.step < run.config.steps:
        losses, _ = run.train_step()
        for name, value in losses.items():
            first.setdefault(name, value)
    assert losses["language"] < 0.7 * first["language"] and losses["similarity"] < 0.7 * first["similarity"]
    model = Sugar.wrap(run.objective.llava.eval(), run.processor, run.objective.head.eval())
    found = retrieval.measure(model, seed=0, size=80)
    assert found["t2i_r10"].value > 2 * found["t2i_r10"].chance
    assert found["t2i_r1"].value > 2 * found["t2i_r1"].chance
    opened = Sugar.from_pretrained(run.export(tmp_path / "model"), device="cpu", precision="fp32")
    scene = sample_scene(split_rng("test", 1))
    picture = Sample(Image.fromarray(draw(scene)))
    assert np.allclose(opened.embed([picture]).pooled, model.embed([picture]).pooled, atol=0.05)  # the export is bfloat16


def test_words_name_what_a_cell_shows(parts: tuple) -> None:
    tokens = parts[3]
    scene = Scene((Thing("star", "red", "big", "plain", 0, 2),), "beach", "day", "clear")
    rows, weights = scene_words([scene], tokens)
    wanted = [("star", 0.3), ("red", 0.3), ("plain", 0.1), ("big", 0.1), ("top", 0.1), ("right", 0.1)]
    assert rows.tolist() == [[0, 2, tokens.encode(w)[0]] for w, _ in wanted]
    assert weights.tolist() == pytest.approx([x for _, x in wanted])


def test_data_drawn_ahead_are_the_data_drawn_now(tmp_path: Path, small_models: None) -> None:
    run = loop.Run(config(tmp_path, steps=3, workers=1))
    for step, ahead in enumerate(run.steps_ahead()):
        now = run.draw(step)
        assert torch.equal(ahead.pixels, now.pixels) and len(ahead.batches) == len(now.batches)
        assert all(torch.equal(a.ids, b.ids) for a, b in zip(ahead.batches, now.batches, strict=True))
