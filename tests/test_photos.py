"""Photos: facts, questions and foils from captions, the tower, and the whole recipe on a drawn archive."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from everyday_archive import drawn_archive
from safetensors.torch import save_file

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
from sugar.model.photo import DecoderSizes, build_decoder
from sugar.sequence import Sample
from sugar.training.photos.config import PhotoConfig
from sugar.training.photos.critical import CriticConfig, advantages, policy_loss, sample
from sugar.training.photos.dual import DualConfig
from sugar.training.photos.network import FusedCrossEntropy, Network
from sugar.training.photos.packed import PackedRow, Tokens, batches
from sugar.training.photos.step import StepConfig
from sugar.training.photos.train import average, train


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


def test_fused_cross_entropy_equals_the_plain_one() -> None:
    torch.manual_seed(0)
    hidden, words = torch.randn(300, 8, requires_grad=True), torch.randn(40, 8, requires_grad=True)
    wanted, weights = torch.randint(0, 40, (300,)), torch.rand(300)
    fused = FusedCrossEntropy.apply(hidden, words, wanted, weights)
    got = torch.autograd.grad(fused, (hidden, words))
    plain = (torch.nn.functional.cross_entropy(hidden @ words.T, wanted, reduction="none") * weights).sum()
    torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(got, torch.autograd.grad(plain, (hidden, words)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


WORDS = (
    "a an the two three dog cat star red blue green runs run running in on snow is there what who how many "
    "color does this show picture photo only first second has yes no can say everyday photos short answers "
    "i . , ?"
)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_archive(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="session")
def words_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WordPiece tokenizer and a matrix in place of MiniLM's."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    folder = tmp_path_factory.mktemp("minilm")
    letters = [p for c in "abcdefghijklmnopqrstuvwxyz0123456789" for p in (c, f"##{c}")]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *dict.fromkeys(WORDS.split())]
    pieces = list(dict.fromkeys(pieces))
    vocabulary = {piece: n for n, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    matrix = torch.randn(max(2100, len(pieces)), 40)
    save_file({"embeddings.word_embeddings.weight": matrix}, folder / "model.safetensors")
    return folder


def encode(texts: object) -> np.ndarray:
    """A bag of hashed words in place of MiniLM."""
    rows = np.zeros((len(texts), 8), np.float32)  # type: ignore[arg-type]
    for row, text in zip(rows, texts, strict=True):  # type: ignore[call-overload]
        for word in text.lower().split():
            row[sum(map(ord, word)) % 8] += 1
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


SMALL = PhotoConfig(
    text_steps=2,
    language_steps=1,
    steps=3,
    caption_steps=2,
    warm_up=1,
    sentences=20,
    texts=6,
    classes=2,
    save_every=2,
    dual=DualConfig(hidden=16, size=12, epochs=1, batch=8, kinds=4),
    network=DecoderSizes(width=32, layers=1, mlp=48, heads=2, head_hidden=24),
    step=StepConfig(
        photos=4, plain=2, made=2, sentences=4, words=4, albums=2, differences=2, refusals=1, chats=1
    ),
    critic=CriticConfig(photos=3, samples=2, longest=5),
)


@pytest.fixture(scope="session")
def trained(archive: Path, words_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe, three steps long."""
    from dataclasses import replace

    out = tmp_path_factory.mktemp("run")
    config = replace(SMALL, data=str(archive), out=str(out))
    return train(config, encode=encode, tower=small_tower(), words_folder=words_folder)


def test_the_recipe_ends_in_a_checkpoint_that_opens_like_any_other(trained: Path, archive: Path) -> None:
    model = Sugar.from_pretrained(trained)
    photo = next(Archive(archive).photos("flickr8k", ["0020.jpg"]))
    rows = model.embed([Sample([photo]), Sample("a red dog"), Sample([photo, "a red dog"])])
    assert rows.pooled.shape == (3, 12)
    np.testing.assert_allclose(np.linalg.norm(rows.pooled, axis=1), 1, rtol=1e-4)
    assert isinstance("".join(model.generate(Sample([photo, "what is this?"]), max_new_tokens=4)), str)
    assert json.loads((trained / "training.json").read_text("utf-8"))["steps"] == 3
    assert all(shard.stat().st_size < 9_000_000 for shard in trained.glob("*.safetensors"))


def test_a_finished_run_is_read_not_repeated(
    trained: Path, archive: Path, words_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from sugar.training.photos import train as stages

    monkeypatch.setattr(stages, "objective", None)  # a step would fail
    before = {shard.name: shard.read_bytes() for shard in trained.glob("*.safetensors")}
    config = replace(SMALL, data=str(archive), out=str(trained.parent))
    train(config, encode=encode, tower=small_tower(), words_folder=words_folder)
    assert before == {shard.name: shard.read_bytes() for shard in trained.glob("*.safetensors")}


def test_a_checkpoint_without_further_steps_stays_what_it_was(
    trained: Path, archive: Path, words_folder: Path, tmp_path: Path
) -> None:
    from dataclasses import replace

    config = replace(SMALL, data=str(archive), out=str(tmp_path), start=str(trained), caption_steps=0)
    again = train(config, encode=encode, words_folder=words_folder)
    said, rows = [], []
    for folder in (trained, again):
        model = Sugar.from_pretrained(folder)
        photo = next(Archive(archive).photos("flickr8k", ["0020.jpg"]))
        rows.append(model.embed([Sample([photo]), Sample("a red dog")]).pooled)
        said.append("".join(model.generate(Sample([photo, "what is this?"]), max_new_tokens=6)))
    np.testing.assert_allclose(rows[0], rows[1], atol=2e-3)  # float16 on disk, twice
    assert said[0] == said[1]


def small_network(tokens: Tokens) -> Network:
    """A decoder with random weights; pictures are given as projected features."""
    network = Network.__new__(Network)
    torch.nn.Module.__init__(network)
    torch.manual_seed(0)
    network.decoder = build_decoder(DecoderSizes(width=32, layers=1, mlp=48, heads=2), 40)
    return network


@pytest.fixture
def few_tokens() -> Tokens:
    tokens = Tokens.__new__(Tokens)
    tokens.picture, tokens.pad, tokens.start, tokens.end, tokens.image, tokens.assistant = 2, 0, 1, 2, 3, 4
    return tokens


def test_samples_are_the_models_own_and_hold_no_special_piece(few_tokens: Tokens) -> None:
    network, features = small_network(few_tokens), torch.randn(3, 2, 32)
    config = CriticConfig(samples=4, longest=6)
    one, two = (
        sample(network, features, [7, 8], few_tokens, config, torch.Generator().manual_seed(5))
        for _ in range(2)
    )
    assert one == two, "a step is a function of its generator"
    assert [len(captions) for captions in one] == [4, 4, 4]
    pieces = {piece for captions in one for ids in captions for piece in ids}
    assert len(pieces) > 5 and not pieces & {0, 1, 2, 3, 4}


def test_a_caption_above_the_mean_of_the_others_becomes_likelier(few_tokens: Tokens) -> None:
    torch.testing.assert_close(
        advantages(torch.tensor([[1.0, 0.0, 0.5]])), torch.tensor([[0.75, -0.75, 0.0]])
    )
    network, features = small_network(few_tokens), torch.randn(1, 2, 32)
    good, bad = [9, 10, 11], [12, 13]
    row = (
        PackedRow(few_tokens)
        .picture(0)
        .block()
        ._add([7])
        .sampled(good, 0.5)
        .block()
        ._add([7])
        .sampled(bad, -0.5)
    )

    def chances() -> tuple[float, float]:
        rows = [PackedRow(few_tokens).picture(0).block()._add([7]).sampled(ids, 1.0) for ids in (good, bad)]
        losses = [float(policy_loss(network, [r], features, few_tokens)) for r in rows]
        return -losses[0], -losses[1]

    before = chances()
    loss = policy_loss(network, [row], features, few_tokens)
    expected = -0.5 * (before[0] * 4 - before[1] * 3) / 7  # pieces with the end: 4 and 3
    assert float(loss) == pytest.approx(expected, abs=1e-5)
    loss.backward()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter -= 0.01 * parameter.grad
    after = chances()
    assert after[0] > before[0] and after[1] < before[1]


def test_a_share_of_the_last_stage_is_kept() -> None:
    layer = torch.nn.Linear(2, 1)
    before = {name: value.detach().clone() for name, value in layer.named_parameters()}
    with torch.no_grad():
        layer.weight += 3.0
    average(layer, before, 2 / 3)
    assert torch.allclose(layer.weight, before["weight"] + 2.0) and torch.equal(layer.bias, before["bias"])


def test_cells_answer_where_and_the_hub_has_none(trained: Path) -> None:
    model = Sugar.from_pretrained(trained)
    picture = FOREIGN["text"](np.random.default_rng(0))
    scores = familiarity(model.model, model.processor, [picture, picture])
    assert scores is not None and scores.shape == (2,) and scores[0] == scores[1]
    warm = heat(model.model, model.processor, picture, model.embed([Sample("a dog")]).pooled[0])
    assert warm is not None and warm.shape == (2, 2) and np.abs(warm).max() <= 1.001
    assert not has_cells(object())
    assert familiarity(object(), model.processor, [picture]) is None


def test_every_row_is_measured_beside_its_baselines(trained: Path, archive: Path) -> None:
    found = runner.measure(benchmark(Archive(archive), size=10), Sugar.from_pretrained(trained))
    figures = found.figures
    for key in ("photo_t2i_r1", "photo_bleu4", "photo_pope", "photo_vqa", "photo_kinds_r5", "photo_foil"):
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


def test_rows_keep_their_blocks_apart() -> None:
    class Tokenizer:
        pad_token_id, bos_token_id, eos_token_id = 0, 1, 2

        def convert_tokens_to_ids(self, token: str) -> int:
            return {"<image>": 4, "ASSISTANT:": 6}[token]

        def __call__(self, text: str, **kwargs: object) -> dict[str, list[int]]:
            return {"input_ids": [10 + len(word) for word in text.split()]}

    tokens = Tokens(Tokenizer(), picture=3)
    row = PackedRow(tokens).picture(5, "p")
    row.block().say("who is").answer("a dog")
    row.block().text("dogs run far", "t", weight=1.0)
    (packed,) = batches([row])
    seen = packed.mask[0, 0]
    assert row.pictures == [5] and [s.key for s in row.spans] == ["p", "t"]
    first, second = row.blocks.index(1), row.blocks.index(2)
    assert seen[first, :4].all() and not seen[second, first:second].any() and seen[second, :4].all()
    assert row.positions[first] == row.positions[second] == 4
    assert row.following[second - 1] == tokens.end  # the end is predicted, not fed
    assert row.following[-1] == tokens.end


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"flickr8k_train\.txt"):
        Archive(tmp_path).split("train")
    with pytest.raises(SettingsError, match="--data"):
        train(PhotoConfig())
    from sugar.training.photos.teachers import package

    with pytest.raises(ModelError, match="not installed"):
        package("no_such_package_here", "x")


def test_captions_are_cleaned_and_areas_counted() -> None:
    assert clean("A dog 's ball , in the Grass .") == "a dog's ball, in the grass"
    assert area([2, 3], [1, 2]) == 0.875


def test_the_exported_projector_is_the_trained_one() -> None:
    from sugar.model.photo import build_tokenizer
    from sugar.training.photos.dual import Dual
    from sugar.training.photos.export import assemble
    from sugar.training.photos.network import Network

    tower = small_tower()
    torch.manual_seed(1)
    dual = Dual(tower, torch.rand(20, 1280), DualConfig(hidden=16, size=12), text_size=8)
    dual.eval().install(tower, torch.randn(1000, 8))
    tokenizer = build_tokenizer(["a", "dog"])
    sizes = DecoderSizes(width=32, layers=1, mlp=48, heads=2, head_hidden=24)
    network = Network(tower, dual, torch.randn(len(tokenizer), 32), sizes).eval()
    model, _ = assemble(network, tower, tokenizer)
    x = torch.rand(3, 5, 1280) * 3
    tokens = network.read_tower(x)
    torch.testing.assert_close(tokens[..., 1280:1292], dual.photos(x), rtol=1e-3, atol=1e-4)
    projected = model.model.multi_modal_projector(tokens)
    torch.testing.assert_close(projected, network.project(tokens), rtol=1e-3, atol=1e-3)
