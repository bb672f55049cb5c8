"""Adapters (LoRA + head as one folder), 4-bit models on a CPU, and the encoders for a base without an
adapter.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import checkpoints
import numpy as np
import pytest
import torch
from pictures import noise

from sugar.core import Sugar
from sugar.errors import InputError, ModelError
from sugar.model import encoders
from sugar.model import folders as model_folders
from sugar.model.head import EmbeddingHead
from sugar.sequence import Sample, Turn

A, B = noise(1), noise(2)
SAMPLES = [Sample([A, "a star"]), Sample("a moon"), Sample(B)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bases")


@pytest.fixture(scope="module")
def llava(folders: Path) -> Path:
    return checkpoints.build("llava", folders)


@pytest.fixture(scope="module")
def pair(llava: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two saved adapters with random, different, effective weights."""
    made = []
    for name in ("one", "two"):
        model = Sugar.from_pretrained(llava)
        torch.manual_seed(len(name) + ord(name[0]))
        model.new_adapter(name, EmbeddingHead(checkpoints.HIDDEN, 24, 12), rank=4, alpha=8)
        for key, p in model.model.named_parameters():
            if "lora_" in key:
                assert "language_model" in key and p.requires_grad
                torch.nn.init.normal_(p, std=0.5)
        made.append(model.save_adapter(tmp_path_factory.mktemp("adapters") / name, name))
    return made[0], made[1]


def said(model: Sugar, **options: str | None) -> str:
    # Type: ignore[arg-type]
    return "".join(model.generate(Sample([A, "what is it?"]), max_new_tokens=12, **options))


def test_adapter_on_off_on_is_identical(llava: Path, pair: tuple[Path, Path]) -> None:
    bare = Sugar.from_pretrained(llava)
    without, embedded_without = said(bare), bare.embed(SAMPLES)
    model = Sugar.from_pretrained(llava, adapter=pair[0])
    assert model.adapter == "one" and model.encoder == "sugar" and model.dimension == 12
    on, vectors = said(model), model.embed(SAMPLES).pooled
    assert said(model, adapter=None) == without != on
    assert np.array_equal(model.embed(SAMPLES, adapter=None).pooled, embedded_without.pooled)
    assert said(model) == on and np.array_equal(model.embed(SAMPLES).pooled, vectors)
    assert model.score(Sample(A), ["yes"], adapter=None) != model.score(Sample(A), ["yes"])


def test_two_adapters_side_by_side(llava: Path, pair: tuple[Path, Path]) -> None:
    alone = [Sugar.from_pretrained(llava, adapter=folder) for folder in pair]
    both = Sugar.from_pretrained(llava, adapter=pair[0])
    assert both.load_adapter(pair[1]) == "two" and both.adapters == ["one", "two"]
    for _ in range(2):  # switched back and forth, no reload
        for name, single in zip(("one", "two"), alone, strict=True):
            assert said(both, adapter=name) == said(single)
            assert np.array_equal(both.embed(SAMPLES, adapter=name).pooled, single.embed(SAMPLES).pooled)
    turns = [
        Turn("user", Sample([A, "what?"])),
        Turn("assistant", Sample("well")),
        Turn("user", Sample("why?")),
    ]
    list(both.generate(turns[:1], adapter="one", max_new_tokens=4))
    fresh = "".join(alone[1].generate(turns, max_new_tokens=8))
    assert "".join(both.generate(turns, adapter="two", max_new_tokens=8)) == fresh, (
        "no prefix is shared across adapters"
    )
    assert (
        alone[0].fingerprint
        != alone[1].fingerprint
        == Sugar.from_pretrained(llava, adapter=pair[1]).fingerprint
    )
    both.unload_adapter("one")
    assert both.adapter is None and said(both, adapter="two") == said(alone[1])
    both.unload_adapter("two")
    assert said(both) == said(Sugar.from_pretrained(llava))
    with pytest.raises(ModelError, match="No adapter named 'one'"):
        said(both, adapter="one")
    with pytest.raises(ModelError, match="loaded already"):
        alone[0].load_adapter(pair[0])


def test_an_adapter_of_another_base_is_refused(
    folders: Path, llava: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    other_family = Sugar.from_pretrained(checkpoints.build("qwen3_vl", folders))
    with pytest.raises(ModelError, match="another base .family llava; this one has qwen3_vl"):
        other_family.load_adapter(pair[0])
    other_weights = Sugar.from_pretrained(checkpoints.build("llava", tmp_path, seed=5))
    with pytest.raises(ModelError, match="Open its own base first"):
        other_weights.load_adapter(pair[0])
    with pytest.raises(ModelError, match="is no adapter"):
        other_weights.load_adapter(llava)
    plain = tmp_path / "plain"  # a PEFT folder that Sugar did not write: known by the repository it names
    shutil.copytree(pair[0], plain)
    (plain / "sugar.json").unlink()
    model = Sugar.from_pretrained(llava)
    assert model.load_adapter(plain) == "plain" and model.encoder == "prompt"
    config = json.loads((plain / "adapter_config.json").read_text())
    (plain / "adapter_config.json").write_text(
        json.dumps({**config, "base_model_name_or_path": "somebody/else"})
    )
    with pytest.raises(ModelError, match="somebody/else"):
        model.load_adapter(plain, "again")


def test_an_adapter_folder_is_complete(pair: tuple[Path, Path]) -> None:
    names = {p.name for p in pair[0].iterdir()}
    assert names == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "head.safetensors",
        "sugar.json",
        "README.md",
    }
    card = (pair[0] / "README.md").read_text()
    assert "library_name: peft" in card and "LoRA rank 4" in card


@pytest.mark.parametrize("family", checkpoints.FAMILIES)
def test_four_bits_on_a_cpu(folders: Path, family: str, tmp_path: Path) -> None:
    import bitsandbytes

    folder = folders / family if (folders / family).is_dir() else checkpoints.build(family, folders)
    full = Sugar.from_pretrained(folder, precision="fp32")
    model = Sugar.from_pretrained(folder, precision="nf4")
    kinds = {name: type(module) for name, module in model.model.named_modules()}
    quantised = [name for name, kind in kinds.items() if kind is bitsandbytes.nn.Linear4bit]
    assert (
        quantised
        and all("language_model" in n or "text_model" in n for n in quantised)
        and "nf4 on cpu" in model.why
    )
    a, b = model.embed(SAMPLES).pooled, full.embed(SAMPLES).pooled
    assert (a * b).sum(1).min() > 0.8 and said(model) == said(model)
    assert model.fingerprint == full.fingerprint, "precision does not make another model"
    if family == "llava":
        model.save_pretrained(tmp_path / "four")
        again = Sugar.from_pretrained(tmp_path / "four")
        assert again.precision == "nf4" and "as stored" in again.why
        assert (again.embed(SAMPLES).pooled * a).sum(
            1
        ).min() > 0.999  # packing for the CPU rounds the scales to bfloat16
        with pytest.raises(ModelError, match="stored in 4 bits"):
            Sugar.from_pretrained(tmp_path / "four", precision="fp32")


def test_lora_on_four_bits(llava: Path, pair: tuple[Path, Path]) -> None:
    model = Sugar.from_pretrained(llava, precision="nf4", adapter=pair[0])
    on = said(model)
    assert said(model, adapter=None) != on and said(model) == on


def test_prompt_embeddings_are_the_summary_token(llava: Path) -> None:
    model = Sugar.from_pretrained(llava, encoder="prompt")
    e = model.embed(SAMPLES)
    assert (
        model.encoder == "prompt"
        and e.pooled.shape == (3, model.dimension)
        and [len(s) for s in e.slices] == [2, 1, 1]
    )
    text = model.processor.render(encoders.prompt_turns(Sample(B), 1))
    assert text.replace("\n\n", "\n") == "USER: <image>\nSummarize the image in one word: ASSISTANT:"
    layout = model.processor.chat_layout(encoders.prompt_turns(Sample("a moon"), 1))
    with torch.inference_mode():
        d = model.model.model(**model.processor.collate([layout]).inputs()).last_hidden_state[0, -1]
    assert np.allclose(e.pooled[1], (d / d.norm()).numpy(), atol=2e-5)
    assert np.allclose(model.embed([SAMPLES[0]]).pooled[0], e.pooled[0], atol=2e-5)


def test_triple_embeds_slices_with_three_encoders(
    llava: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = checkpoints.build_triple(tmp_path)
    by_name = dict(zip(encoders.TRIPLES["triple"], made, strict=True))
    monkeypatch.setattr(model_folders, "fetch", lambda name, **_: by_name[name])
    model = Sugar.from_pretrained(llava, encoder="triple")
    e = model.embed([*SAMPLES, Sample([A, A, "a star", "a moon"])])
    width = model.embedder.triple.layout.dimension
    assert model.encoder == "triple" and model.dimension == e.pooled.shape[1] == width
    assert np.allclose(np.linalg.norm(np.concatenate([*e.slices, e.pooled]), axis=1), 1, atol=1e-5)
    assert np.allclose(e.slices[3][0], e.slices[0][0], atol=1e-5) and np.allclose(
        e.slices[3][2], e.slices[0][1], atol=1e-5
    )
    parts = model.two_part(e)
    assert parts is not None
    (a1, a2), (_, b2) = parts[0], parts[1]
    assert np.allclose(np.linalg.norm(a1, axis=1), 1, atol=1e-5) and np.allclose(
        np.linalg.norm(a2, axis=1), 1, atol=1e-5
    )
    picture_row, moon = e.slices[0][0], e.slices[1][0]
    assert abs(picture_row @ moon - a2[0] @ b2[0] / 2) < 1e-6, "across modalities only part 2 counts"
    assert Sugar.from_pretrained(llava).two_part(e) is None
    assert model.fingerprint != Sugar.from_pretrained(llava).fingerprint
    long_text = Sample("word " * 400)
    assert model.embed([long_text]).pooled.shape[0] == 1


def test_the_chat_model_can_judge_hits(llava: Path) -> None:
    model = Sugar.from_pretrained(llava)
    p = model.agreement(Sample("a red star"), [Sample(A), Sample([B, "a caption"])])
    assert p.shape == (2,) and ((p > 0) & (p < 1)).all()
    question = model.profile.match_question("a red star")
    assert p[0] == pytest.approx(model.probability_of_yes([Sample([A, question])])[0], rel=1e-6)
    with pytest.raises(InputError, match="words alone"):
        model.agreement(Sample([B, "at night"]), [Sample(A)])
