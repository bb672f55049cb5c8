"""Photos: the tower, what it says before any words, and the benchmark on a drawn archive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from everyday_archive import drawn_archive

from sugar.core import Sugar
from sugar.errors import InputError, ModelError, SettingsError
from sugar.evaluation import runner
from sugar.evaluation.report import barred_table
from sugar.evaluation.tasks.photos import FOREIGN, ROWS, Asked, area, benchmark, captions
from sugar.everyday.archive import Archive, clean
from sugar.everyday.facts import questions
from sugar.everyday.scope import OUT_OF_SCOPE, OUT_OF_SCOPE_TEST
from sugar.model.cells import familiarity, has_cells, heat
from sugar.model.efficientnet import STAGES, EfficientNetLite, EfficientNetLiteConfig, fold_weights
from sugar.sequence import Sample


def test_what_is_measured_was_never_learnt() -> None:
    assert not set(OUT_OF_SCOPE) & set(OUT_OF_SCOPE_TEST)


def small_tower() -> EfficientNetLite:
    torch.manual_seed(0)
    config = EfficientNetLiteConfig(image_size=64, grid=2, aligned_hidden=16, aligned_size=12, class_size=8)
    return EfficientNetLite(config).eval().requires_grad_(False)


def test_folded_normalisation_gives_what_normalisation_gave() -> None:
    torch.manual_seed(0)
    state = {"_fc.weight": torch.randn(1000, 1280), "_fc.bias": torch.randn(1000)}

    def layer(conv: str, norm: str, out: int, into: int, kernel: int) -> None:
        state[f"{conv}.weight"] = torch.randn(out, into, kernel, kernel)
        for name in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{name}"] = torch.rand(out) + 0.5

    layer("_conv_stem", "_bn0", 32, 3, 3)
    channels, n = 32, 0
    for count, kernel, _, expansion, out in STAGES:
        for _ in range(count):
            wide = channels * expansion
            if expansion > 1:
                layer(f"_blocks.{n}._expand_conv", f"_blocks.{n}._bn0", wide, channels, 1)
            layer(f"_blocks.{n}._depthwise_conv", f"_blocks.{n}._bn1", wide, 1, kernel)
            layer(f"_blocks.{n}._project_conv", f"_blocks.{n}._bn2", out, wide, 1)
            channels, n = out, n + 1
    layer("_conv_head", "_bn1", 1280, 320, 1)
    folded = fold_weights(state)
    tower = EfficientNetLite(EfficientNetLiteConfig(aligned_hidden=4, aligned_size=4))
    missing, unexpected = tower.load_state_dict(folded, strict=False)
    assert not unexpected and {name.split(".")[0] for name in missing} == {
        "class_vectors",
        "aligned_first",
        "aligned_second",
        "usual",
        "spread",
    }
    x = torch.randn(1, 3, 8, 8)
    plain = torch.nn.functional.conv2d(x, state["_conv_stem.weight"])
    norm = torch.nn.functional.batch_norm(
        plain,
        state["_bn0.running_mean"],
        state["_bn0.running_var"],
        state["_bn0.weight"],
        state["_bn0.bias"],
        eps=1e-3,
    )
    ours = torch.nn.functional.conv2d(x, folded["stem.weight"], folded["stem.bias"])
    torch.testing.assert_close(ours, norm, rtol=1e-4, atol=1e-4)


def test_the_tower_gives_the_whole_picture_and_then_its_cells() -> None:
    tower = small_tower()
    tokens = tower(torch.randn(2, 3, 64, 64)).last_hidden_state
    assert tokens.shape == (2, 1 + 4, 1280 + 12 + 8)
    x = tokens[..., :1280]
    torch.testing.assert_close(x[:, 1:].mean(1), x[:, 0], rtol=1e-4, atol=1e-5)
    assert (tower.familiarity(torch.randn(2, 3, 64, 64)) <= 0).all()


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_archive(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def photo() -> Sugar:
    return Sugar.from_pretrained("sugar-photo", precision="fp32")


def test_cells_answer_where_and_the_hub_has_none(photo: Sugar) -> None:
    model = photo
    picture = FOREIGN["text"](np.random.default_rng(0))
    scores = familiarity(model.model, model.processor, [picture, picture])
    assert scores is not None and scores.shape == (2,) and scores[0] == scores[1]
    warm = heat(model.model, model.processor, picture, model.embed([Sample("a dog")]).pooled[0])
    assert warm is not None and warm.shape == (7, 7) and np.abs(warm).max() <= 1.001
    assert not has_cells(object())
    assert familiarity(object(), model.processor, [picture]) is None


def test_every_row_is_measured_beside_its_baselines(photo: Sugar, archive: Path) -> None:
    found = runner.measure(benchmark(Archive(archive), size=10), photo)
    figures = found.figures
    told = ("photo_bleu4", "photo_pope", "photo_pope_talked", "photo_vqa", "note_read")
    for key in ("photo_t2i_r1", "photo_word_map", "photo_kinds_r5", "photo_foil", *told):
        assert figures[key] >= 0 and f"{key}_baseline" in figures
    assert figures["photo_t2i_r1_baseline"] == 10
    assert len(captions(found)) == 10
    assert "MISSED" in barred_table("photos", ROWS, figures)
    with pytest.raises(SettingsError):
        benchmark(Archive(archive), split="train")


def test_habits_answer_without_looking(archive: Path) -> None:
    asked = Asked(Archive(archive), size=10)
    habits = asked.habits
    assert habits.likelihood("a red dog runs in the snow") > habits.likelihood("snow the in runs dog red a")
    assert {habits.answer(q.text, q.kind) for q in questions(asked.facts[0], asked.rng("x"))} - {""}


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"flickr8k_train\.txt"):
        Archive(tmp_path).split("train")
    from sugar.training.dual import package

    with pytest.raises(ModelError, match="not installed"):
        package("no_such_package_here", "x")


def test_captions_are_cleaned_and_areas_counted() -> None:
    assert clean("A dog 's ball , in the Grass .") == "a dog's ball, in the grass"
    assert area([2, 3], [1, 2]) == 0.875
