"""What training on a base put together from a tower and a language model adds to an adapter's run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partialmethod
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.models.bert import BertConfig, BertModel, BertTokenizer

from sugar.core import Sugar
from sugar.errors import SettingsError
from sugar.model.adapters import EmbeddingHead
from sugar.model.assembled import SPARE, assemble_pretrained
from sugar.model.backbone import reading_size
from sugar.model.efficientnet import EfficientNetLite, EfficientNetLiteConfig
from sugar.sequence import Sample, Slice, Turn
from sugar.training import loop
from sugar.training.adapter import AdapterConfig, AdapterTask
from sugar.training.data import open_one
from sugar.training.dual import DualConfig, DualTask
from sugar.training.head import HeadConfig, HeadTask
from sugar.training.losses import Terms
from sugar.training.recipes import OWN
from sugar.training.teachers import open_teachers
from sugar.training.teachers.dual import TextNetwork, save_dual

CAPTIONS = ["A red dog runs.", "Two blue cats sleep.", "A green bird sings.", "One white horse eats."]


@pytest.fixture(autouse=True)
def one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four captioned pictures, a dual encoder, a language model, and the base made of tower and model."""
    made = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    (made / "album").mkdir()
    for n in range(4):
        pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(made / "album" / f"{n}.png")
    rows = [f"{n}.png\t{c}" for n, c in enumerate(CAPTIONS)]
    (made / "album" / "captions.tsv").write_text("\n".join(["file_name\tcaption", *rows]), "utf-8")
    (made / "lines.txt").write_text("dog\nA cat sits on a red chair.\n\nbird\n", "utf-8")
    tower = EfficientNetLite(
        EfficientNetLiteConfig(image_size=64, grid=2, aligned_hidden=16, aligned_size=8, class_size=16)
    )
    tower.config.standardised = True
    _sentences(made / "sentences")
    save_dual(made / "dual", tower.eval(), TextNetwork(16, 12, 8), made / "sentences")
    _language(made / "language")
    assemble_pretrained(tower, made / "language", made / "assembled")
    return made


def _sentences(folder: Path) -> None:
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "cat", "red", "blue", "bird", "two"]
    (folder / "vocab.txt").write_text("\n".join(words), "utf-8")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    BertModel(config).save_pretrained(folder)


def _language(folder: Path) -> None:
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", SPARE]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({t: i for i, t in enumerate([*specials, *alphabet])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, additional_special_tokens=specials)
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def config(folder: Path, out: Path, **changes: object) -> AdapterConfig:
    made = replace(
        OWN,
        out=str(out),
        base=str(folder / "assembled"),
        data=(f"folder={folder / 'album'}", f"albums={folder / 'album'}", f"texts={folder / 'lines.txt'}"),
        teachers=f"dual:{folder / 'dual'}",
        vectors=str(out / "vectors"),
        targets=r".*language_model.*(q|v)_proj",
        steps=2,
        batch=6,
        micro_batch=4,
        rank=4,
        alpha=8,
        dimension=8,
        projector=True,
        validate_every=0,
        held_out=0.0,
        trackers="",
        log_every=1,
        terms=Terms(similarity=2.0, referent=1.0, pull=1.0, same_sample="kernel"),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_tower_and_a_language_model_are_one_base(folder: Path) -> None:
    sugar = Sugar.from_pretrained(str(folder / "assembled"), precision="fp32")
    picture = Image.new("RGB", (40, 30), "red")
    text = sugar.processor.render([Turn("user", Sample([picture, "what is it?"]))])
    assert text == "<|im_start|>user\n<image>what is it?<|im_end|>\n<|im_start|>assistant\n"
    layout = sugar.processor.embedding_layout(Sample(picture))
    assert layout.ids.count(sugar.processor.image_token_id) == 1 + 2 * 2
    language = LlamaForCausalLM.from_pretrained(folder / "language")
    assert sugar.model.config.text_config.vocab_size == language.config.vocab_size
    ids = torch.tensor([sugar.processor.encode("a dog")])
    ours = sugar.model(input_ids=ids).logits
    assert torch.allclose(ours, language(input_ids=ids).logits, atol=0.05)  # the base is kept in bfloat16


@pytest.mark.parametrize("projector", [True, False])
def test_a_run_trains_what_it_says(folder: Path, tmp_path: Path, projector: bool) -> None:
    task = AdapterTask(config(folder, tmp_path, projector=projector, fresh_rate=3.0))
    run = loop.Run(task)
    before = {name: value.clone() for name, value in run.trained().items()}
    assert any("projector" in name for name in before) == projector
    assert {g["factor"] for g in run.optimizers[0].param_groups} == {1.0, 3.0}
    result = run.train_step()
    assert {"language", "similarity", "referent", "pull"} <= set(result.losses)
    moved = {name for name, value in run.trained().items() if not torch.equal(value, before[name])}
    assert {"head.first.weight", "head.second.weight", "head.beside.weight"} <= moved
    assert any("projector" in name for name in moved) == projector


def test_an_export_carries_the_trained_projector(folder: Path, tmp_path: Path) -> None:
    task = AdapterTask(config(folder, tmp_path, fresh_rate=30.0))
    run = loop.Run(task)
    for _ in range(2):
        run.train_step()
    task.sugar.forget()
    task.export(tmp_path / "adapter")
    sample = Sample([Image.new("RGB", (40, 30), "red"), "a red dog"])
    trained = task.sugar.embed([sample], adapter="sugar").pooled
    opened = Sugar.from_pretrained(folder / "assembled", precision="fp32", adapter=tmp_path / "adapter")
    assert np.allclose(opened.embed([sample]).pooled, trained, atol=0.01)
    layer = opened.model.model.multi_modal_projector.linear_1
    assert not torch.equal(layer.modules_to_save["sugar"].weight, layer.original_module.weight)


def test_a_head_is_fitted_anew_to_the_states_of_a_trained_adapter(folder: Path, tmp_path: Path) -> None:
    task = AdapterTask(config(folder, tmp_path / "run"))
    loop.Run(task).train_step()
    task.export(tmp_path / "adapter")
    settings = HeadConfig(
        out=str(tmp_path / "head"),
        base=str(folder / "assembled"),
        adapter=str(tmp_path / "adapter"),
        data=(f"folder={folder / 'album'}", f"texts={folder / 'lines.txt'}"),
        teachers=f"dual:{folder / 'dual'}",
        captions=1,
        steps=60,
        batch=4,
        rate=1e-2,
        warmup=1,
        dropout=0.0,
    )
    fit = HeadTask(settings)
    assert len(fit.pictures.read) == 4 and len(fit.rest.read) == 3

    def near(head: EmbeddingHead) -> float:
        with torch.no_grad():
            r = head(torch.cat([fit.pictures.read, fit.captions.read]))
        return float((r * torch.cat([fit.pictures.wanted, fit.captions.wanted])).sum(1).mean())

    before = near(fit.sugar.backbone.adapters.heads[fit.sugar.adapter])
    made = loop.train(fit)
    after = EmbeddingHead.load(made)
    assert near(after) > max(before, 0.5)
    same = "adapter_model.safetensors"
    old, new = (load_file(f / same) for f in (tmp_path / "adapter", made))
    assert all(torch.equal(old[name], new[name]) for name in old), "the layers stay as they are"
    opened = Sugar.from_pretrained(folder / "assembled", precision="fp32", adapter=made)
    states = torch.from_numpy(opened.embedder.states([Sample("dog")], adapter=opened.adapter))
    assert np.allclose(opened.embed([Sample("dog")]).pooled, after(states).detach(), atol=1e-4)


def test_a_head_reads_what_the_tower_says_of_a_picture(folder: Path) -> None:
    """A head of nothing but the map beside its layers gives the tower's reading of pictures, alone and
    between texts, and of a text nothing."""
    sugar = Sugar.from_pretrained(folder / "assembled", precision="fp32")
    head = EmbeddingHead(16, 4, 8, reading_size(sugar.model))
    for weight in head.parameters():
        weight.data.zero_()
    assert head.beside is not None
    head.beside.weight.data = torch.eye(8)
    sugar = Sugar.wrap(sugar.model, sugar.processor.hf, head, name="read")
    red, blue = Image.new("RGB", (40, 30), "red"), Image.new("RGB", (30, 40), "blue")
    found = sugar.embed([Sample([red, "a dog", blue, "and more of it"]), Sample(red)])
    tower = sugar.model.model.vision_tower
    pixels = [sugar.processor.prepare_image(p, "-").pixels["pixel_values"] for p in (red, blue)]
    wanted = tower.reading(tower(torch.cat(pixels).to(tower.dtype)).last_hidden_state).detach()
    wanted = torch.nn.functional.normalize(wanted, dim=-1).numpy()
    first, text, second, _ = found.slices[0]
    assert np.allclose([first, second], wanted, atol=1e-3) and np.allclose(found.pooled[1], first, atol=1e-3)
    assert not text.any()


@pytest.mark.parametrize("other", [{"two_passes": False}, {"compiled": True}])
def test_the_gradients_are_the_same(
    folder: Path, tmp_path: Path, other: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiles = partialmethod(torch.nn.Module.compile, backend="aot_eager")  # the same graphs, no C++ compiler
    monkeypatch.setattr(torch.nn.Module, "compile", compiles)
    found = []
    for changes in ({}, other):
        task = AdapterTask(config(folder, tmp_path, **changes))
        (layer, *_) = task.sugar.model.get_decoder().layers
        assert (layer._compiled_call_impl is not None) == changes.get("compiled", False)
        task.backward(task.reader(0), 0)
        found.append({n: p.grad.clone() for n, p in task.module.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        assert torch.allclose(gradient, found[1][name], atol=1e-6, rtol=1e-3), name


def test_a_pull_needs_a_head_of_the_teacher_s_width(folder: Path, tmp_path: Path) -> None:
    task = AdapterTask(config(folder, tmp_path, dimension=12))
    with pytest.raises(SettingsError, match="--dimension 8"):
        task.backward(task.reader(0), 0)


def test_the_dual_encoder_gives_both_parts(folder: Path, tmp_path: Path) -> None:
    encoders = open_teachers(f"dual:{folder / 'dual'}")
    part1, part2 = encoders.encode([Slice("a dog"), Slice(Image.new("RGB", (9, 9))), Slice("a cat")])
    assert part1.shape == (3, 1280) and part2.shape == (3, 8)
    assert np.allclose(np.linalg.norm(part1, axis=1), 1, atol=1e-3)
    assert np.allclose(np.linalg.norm(part2, axis=1), 1, atol=1e-3)
    copied = shutil.copytree(folder / "dual", tmp_path / "dual")
    assert open_teachers(f"dual:{copied}").name == encoders.name


def test_texts_and_albums(folder: Path) -> None:
    texts, _ = open_one(f"texts={folder / 'lines.txt'}")
    assert [texts[n].samples[0].language for n in range(len(texts))] == [False, True, False]
    albums, _ = open_one(f"albums={folder / 'album'}")
    first, second = albums[0].samples
    assert len(first.sample) % 2 == 0 and 4 <= len(first.sample) <= 10
    assert [s.is_image for s in first.sample] == [True, False] * (len(first.sample) // 2)
    assert albums.captions(0) == albums.captions(0)
    assert second.sample.images[0].tobytes() == first.sample.images[0].tobytes()


def test_a_dual_encoder_is_trained_by_the_loop(folder: Path, tmp_path: Path) -> None:
    classes = tmp_path / "classes.txt"
    classes.write_text("\n".join(f"kind {n}" for n in range(1000)), "utf-8")
    tower = EfficientNetLite.from_pretrained(folder / "dual" / "tower")
    settings = DualConfig(
        data=(f"folder={folder / 'album'}",),
        out=str(tmp_path / "dual"),
        classes=str(classes),
        steps=3,
        size=8,
    )
    settings = replace(settings, hidden=16, batch=4, warmup=1, log_every=1)
    task = DualTask(settings, tower=tower, sentences=folder / "sentences")
    assert task.data.said.shape[0] == 4 and len(task.data.classes) == 1000
    made = loop.train(task, quiet=True)
    lines = (tmp_path / "dual" / loop.LOG).read_text("utf-8")
    assert '"captions"' in lines and '"kinds"' in lines
    part1, part2 = open_teachers(f"dual:{made}").encode([Slice("a dog"), Slice(Image.new("RGB", (9, 9)))])
    assert np.allclose(np.linalg.norm(part2, axis=1), 1, atol=1e-3)
    pooled = task.data.views[0][:, 0].float()
    aligned = task.tower.aligned_second(torch.nn.functional.gelu(task.tower.aligned_first(pooled)))
    ours = torch.nn.functional.normalize(aligned, dim=1)
    assert torch.allclose(
        ours, task.module.photos(pooled), atol=1e-4
    )  # what was trained is what the tower says
