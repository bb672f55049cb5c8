"""Adapters (LoRA + head as one folder), 4-bit models on a CPU, and the encoders for a base without an
adapter.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
import torch
from pictures import noise

from sugar import core, embedder
from sugar.core import Sugar
from sugar.errors import InputError, ModelError, SettingsError
from sugar.model import encoders, presets
from sugar.model.adapters import CONFIG, TARGETS, WEIGHTS, EmbeddingHead
from sugar.sequence import Sample, Turn

A, B = noise(1), noise(2)
SAMPLES = [Sample([A, "a star"]), Sample("a moon"), Sample(B)]


@pytest.fixture(scope="module")
def llava() -> Path:
    return checkpoints.built("llava")


@pytest.fixture(scope="module")
def opened(llava: Path) -> Sugar:
    """The bare base; a test leaves it as it was."""
    return Sugar.from_pretrained(llava)


@pytest.fixture(scope="module")
def pair(llava: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two saved adapters with random, different, effective weights."""
    made = []
    model = Sugar.from_pretrained(llava)
    for name in ("one", "two"):
        torch.manual_seed(len(name) + ord(name[0]))
        model.new_adapter(name, EmbeddingHead(checkpoints.HIDDEN, 24, 12), rank=4, alpha=8)
        for key, p in model.model.named_parameters():
            if "lora_" in key:
                assert "language_model" in key and p.requires_grad
                torch.nn.init.normal_(p, std=0.5)
        made.append(model.save_adapter(tmp_path_factory.mktemp("adapters") / name, name))
        model.unload_adapter(name)
    return made[0], made[1]


def said(model: Sugar, **options: str | None) -> str:
    # Type: ignore[arg-type]
    return "".join(model.generate(Sample([A, "what is it?"]), max_new_tokens=12, **options))


def test_adapter_on_off_on_is_identical(opened: Sugar, llava: Path, pair: tuple[Path, Path]) -> None:
    without, embedded_without = said(opened), opened.embed(SAMPLES)
    model = Sugar.from_pretrained(llava, adapter=pair[0])
    assert model.adapter == "one" and model.encoder == "sugar" and model.dimension == 12
    on, vectors = said(model), model.embed(SAMPLES).pooled
    assert said(model, adapter=None) == without != on
    assert np.array_equal(model.embed(SAMPLES, adapter=None).pooled, embedded_without.pooled)
    assert said(model) == on and np.array_equal(model.embed(SAMPLES).pooled, vectors)
    assert model.score(Sample(A), ["yes"], adapter=None) != model.score(Sample(A), ["yes"])


def test_two_adapters_side_by_side(opened: Sugar, llava: Path, pair: tuple[Path, Path]) -> None:
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
    assert alone[0].fingerprint != alone[1].fingerprint
    both.unload_adapter("one")
    assert both.adapter is None and said(both, adapter="two") == said(alone[1])
    both.unload_adapter("two")
    assert said(both) == said(opened)
    with pytest.raises(ModelError, match="No adapter named 'one'"):
        said(both, adapter="one")
    with pytest.raises(ModelError, match="loaded already"):
        alone[0].load_adapter(pair[0])


def test_an_adapter_of_another_base_is_refused(
    opened: Sugar, llava: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    other_family = Sugar.from_pretrained(checkpoints.built("qwen3_vl"))
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
    assert opened.load_adapter(plain) == "plain" and opened.encoder == "prompt"
    opened.unload_adapter("plain")
    config = json.loads((plain / "adapter_config.json").read_text())
    (plain / "adapter_config.json").write_text(
        json.dumps({**config, "base_model_name_or_path": "somebody/else"})
    )
    with pytest.raises(ModelError, match="somebody/else"):
        opened.load_adapter(plain, "again")


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


# -- names and files of people -------------------------------------------------------------------

NAMES = [
    "llava-1.5-7b-holiday",
    "default",
    "base",
    "None",
    "two words",
    "度假 ümit",
    "-dash",
    "n" * 200,
    ".hidden",
]


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def configured(folder: Path, to: Path, **changes: Any) -> Path:
    """A copy whose adapter_config.json says something else."""
    file = copied(folder, to) / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    return to


def test_a_person_s_name_is_a_label(
    llava: Path, pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Sugar.from_pretrained(llava, adapter=pair[0])
    on, off = said(first), said(first, adapter=None)
    model = Sugar.from_pretrained(llava)
    for name in NAMES:
        assert model.load_adapter(copied(pair[0], tmp_path / name)) == name
    assert model.adapters == NAMES
    for name in NAMES:
        again = model.save_adapter(tmp_path / "saved" / name, name)
        assert {p.name for p in again.iterdir()} == {p.name for p in pair[0].iterdir()}
    for name in ("default", "None", NAMES[-1]):
        assert said(model, adapter=name) == on and said(model, adapter=None) == off
    assert model.load_adapter(copied(pair[1], tmp_path / "elsewhere" / "base")) == "base (2)"
    assert model.load_adapter(f"{copied(pair[1], tmp_path / 'elsewhere' / 'x' / 'base')}/") == "base (3)"
    monkeypatch.chdir(pair[1])
    assert model.load_adapter(".") == "two"
    monkeypatch.chdir(copied(pair[1], tmp_path / "there") / "..")
    assert model.load_adapter("there/../there") == "there" and said(model, adapter="there") != on
    for name in reversed(model.adapters):
        model.unload_adapter(name)
    assert said(model) == off
    back = Sugar.from_pretrained(llava, adapter=tmp_path / "saved" / "default")
    assert back.adapter == "default" and said(back) == on
    with pytest.raises(ModelError, match="needs a name"):
        back.new_adapter("", None)
    with pytest.raises(SettingsError, match="is no pattern"):
        back.new_adapter("x", None, targets="(")
    with pytest.raises(SettingsError, match="matches no linear layer"):
        back.new_adapter("x", None, targets="q_proj")
    assert said(back) == on


OLD_NAMES: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("llava", "llava_next", "gemma3", "internvl"), ("model.language_model.", "language_model.model.")
    ),
    **dict.fromkeys(("qwen2_vl", "qwen2_5_vl"), ("model.language_model.", "model.")),
}
"""Where the layers of a family stood in older releases of Transformers; the other families never moved."""


@pytest.mark.parametrize("family", checkpoints.FAMILIES)
@pytest.mark.parametrize("kind", ["lora", "dora", "modules_to_save"])
def test_what_peft_trained_applies_here_under_new_and_old_names(
    family: str, kind: str, tmp_path: Path
) -> None:
    """A folder that plain PEFT wrote gives the logits that plain PEFT gives; emptied, it is refused."""
    from safetensors.torch import load_file, save_file

    base = checkpoints.built(family)
    whole = dict(modules_to_save=["lm_head"]) if kind == "modules_to_save" else {}
    options = dict(target_modules=TARGETS, use_dora=kind == "dora", **whole)
    tuned = trained_by_peft(base, tmp_path / "new", **options)
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        wanted = tuned(input_ids=ids).logits
    new, old = OLD_NAMES.get(family, ("", ""))
    copied(tmp_path / "new", tmp_path / "old")
    tensors = load_file(tmp_path / "new" / WEIGHTS)
    save_file({k.replace(new, old, 1): v for k, v in tensors.items()}, tmp_path / "old" / WEIGHTS)
    empty = copied(tmp_path / "new", tmp_path / "empty")
    of_base = {k: v for k, v in tensors.items() if "lora_" in k and "magnitude" not in k}
    save_file({k: v * 0 if "lora_B" in k else v for k, v in of_base.items()}, empty / WEIGHTS)
    written = json.loads((empty / CONFIG).read_text())
    (empty / CONFIG).write_text(json.dumps({**written, "use_dora": False, "modules_to_save": None}))
    model = Sugar.from_pretrained(base)
    for name in ("new", "old"):
        model.load_adapter(tmp_path / name)
        with model.backbone.using(name):
            assert torch.allclose(model.model(input_ids=ids).logits, wanted, atol=1e-4)
        model.unload_adapter(name)
    refused(model, empty, "changes nothing that this model says")


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes | None], str]] = {
    "a pointer": (WEIGHTS, lambda data: POINTER, "Git LFS pointer"),
    "a cut file": (WEIGHTS, lambda data: data[:1000], "damaged or cut short"),
    "a file cut in its header": (WEIGHTS, lambda data: data[:7], "damaged or cut short"),
    "an empty file": (WEIGHTS, lambda data: b"", "is empty"),
    "a web page": (WEIGHTS, lambda data: b"<!DOCTYPE html><html>404", "is a web page"),
    "another kind": (WEIGHTS, lambda data: b"PK\3\4" + bytes(500), "damaged or cut short"),
    "no weights": (WEIGHTS, lambda data: None, "is missing"),
    "a header of a petabyte": (WEIGHTS, lambda data: b"\xff" * 6 + bytes(99), "damaged or cut short"),
    "no config": (CONFIG, lambda data: None, "is no adapter"),
    "a pointer for a config": (CONFIG, lambda data: POINTER, "Git LFS pointer"),
    "no JSON": (CONFIG, lambda data: b"{", "not valid JSON"),
    "a list": (CONFIG, lambda data: b"[]", "holds a list"),
    "deep JSON": (CONFIG, lambda data: b"[" * 100_000, "not valid JSON"),
    "no UTF-8": (CONFIG, lambda data: b'{"a": "\xff"}', "not valid JSON"),
    "a list for settings": ("sugar.json", lambda data: b"[]", "holds a list"),
    "strange settings": ("sugar.json", lambda data: b'{"format": 1, "base": 7}', "was made for"),
    "a strange profile": (
        "sugar.json",
        lambda data: data.replace(b'"kind"', b'"profile": {"reading": 7}, "kind"'),
        "has a wrong type",
    ),
    "a strange name": ("sugar.json", lambda data: b'{"format": 1, "name": {}}', "has format"),
    "a pointer for a head": ("head.safetensors", lambda data: POINTER, "Git LFS pointer"),
    "a cut head": ("head.safetensors", lambda data: data[:900], "damaged or cut short"),
    "no head": ("head.safetensors", lambda data: None, "no embedding head"),
    "soft prompts that are none": ("soft_prompts.safetensors", lambda data: b"x", "damaged or cut short"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_adapter_is_named_and_changes_nothing(
    what: str, opened: Sugar, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    name, changed, message = DAMAGE[what]
    file = copied(pair[0], tmp_path / "a") / name
    data = changed(file.read_bytes() if file.exists() else b"")
    file.unlink() if data is None else file.write_bytes(data)
    refused(opened, tmp_path / "a", message)


def refused(model: Sugar, folder: Path, message: str) -> None:
    with pytest.raises(ModelError, match=message) as seen:
        model.load_adapter(folder)
    assert len(str(seen.value)) < 600 and model.adapters == []
    assert not any(hasattr(m, "lora_A") for m in model.model.modules()), "the base is as it was"


def test_links_folders_and_pickles_in_place_of_files(
    opened: Sugar, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    for number, (make, message) in enumerate(
        (
            (lambda f: f.mkdir(), "is a folder"),
            (lambda f: f.symlink_to("nowhere"), "a link that leads nowhere"),
            (lambda f: f.symlink_to(f.name), "a link that leads nowhere"),
            (lambda f: f.symlink_to(__file__), "a link out of the adapter's folder"),
            (lambda f: f.with_name("adapter_model.bin").write_bytes(b"\x80"), "can run code when opened"),
        )
    ):
        file = copied(pair[0], tmp_path / str(number)) / WEIGHTS
        file.unlink()
        make(file)
        refused(opened, file.parent, message)
    cache = copied(pair[0], tmp_path / "blobs")  # as the hub's cache keeps files
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in cache.iterdir():
        (linked / path.name).symlink_to(path)
    (linked / "more.safetensors").mkdir()
    (linked / "README.md").unlink()
    model = Sugar.from_pretrained(opened.folder or "", adapter=linked)
    assert model.adapter == "linked" and model.fingerprint != opened.fingerprint


SLOW = r"^(([a-z_]+)+)+\.(q_proj|v_proj)!$"
ODD: dict[str, tuple[dict[str, Any], str]] = {
    "another kind": ({"peft_type": "IA3"}, "'IA3' adapter; Sugar loads LoRA"),
    "no kind": ({"peft_type": None}, "Sugar loads LoRA"),
    "a list as kind": ({"peft_type": ["LORA"]}, "Sugar loads LoRA"),
    **{
        f"r = {r!r}": ({"r": r}, "whole number from 1|tensors have rank")
        for r in (0, -4, 10**9, 5, 4.0, "4", True, None, [4], float("nan"))
    },
    **{
        f"alpha = {a!r}": ({"lora_alpha": a}, "lora_alpha a number")
        for a in (0, -1, float("nan"), float("inf"), "8", None, {}, True, 10**400)
    },
    "a flag that is none": ({"use_dora": "yes"}, "true or false"),
    "DoRA without magnitudes": ({"use_dora": True}, "does not fit this model"),
    "PiSSA": ({"init_lora_weights": "pissa"}, "changed its base too"),
    "a start without sense": ({"init_lora_weights": ["x"]}, "changed its base too"),
    "copied layers": ({"layer_replication": [[0, 2], [0, 2]]}, "cannot do"),
    "trained tokens": ({"trainable_token_indices": [1]}, "cannot do"),
    "what nobody knows": ({"quantum": True}, "cannot do"),
    "an alpha pattern": ({"alpha_pattern": {SLOW: 4}}, "alpha_pattern"),
    "an alpha pattern of a word": ({"alpha_pattern": {"q_proj": "4"}}, "alpha_pattern"),
    "an alpha list": ({"alpha_pattern": [1]}, "alpha_pattern"),
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_configuration_is_refused(
    what: str, opened: Sugar, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    changes, message = ODD[what]
    refused(opened, configured(pair[0], tmp_path / "a", **changes), message)


WITHOUT_MATTER: dict[str, dict[str, Any]] = {
    "a slow pattern": {"target_modules": SLOW, "exclude_modules": SLOW},
    "a published pattern": {"target_modules": r"^(?!.*(vision_model)).*(?:q_proj|v_proj).*$"},
    "a published list": {"target_modules": ["qkv_proj", "o_proj", "q_proj", "v_proj"]},
    "slow layers": {"layers_pattern": SLOW, "layers_to_transform": [0, 1]},
    "no targets": {"target_modules": None},
    "targets without sense": {"target_modules": {"a": 1}, "modules_to_save": 7, "rank_pattern": {SLOW: 4}},
    "code": {"auto_mapping": {"base_model_class": "Popen", "parent_library": "evil_module"}},
    "training only": {"lora_dropout": "x", "bias": "all", "runtime_config": {"a": 1}},
    "an old config": {"alpha_pattern": None, "rank_pattern": None, "init_lora_weights": None},
}


@pytest.mark.parametrize("what", WITHOUT_MATTER)
def test_the_tensors_say_which_layers_change(
    what: str, opened: Sugar, llava: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    name = opened.load_adapter(configured(pair[0], tmp_path / "a", **WITHOUT_MATTER[what]))
    on = said(opened, adapter=name)
    opened.unload_adapter(name)
    opened.load_adapter(pair[0], "plain")
    assert said(opened, adapter="plain") == on != said(opened, adapter=None)
    opened.unload_adapter("plain")
    assert "evil_module" not in sys.modules


def test_alphas_and_ranks_by_layer_and_names_of_older_releases(
    opened: Sugar, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    def scales(folder: Path) -> dict[str, set[tuple[int, float]]]:
        name = opened.load_adapter(folder)
        found: dict[str, set[tuple[int, float]]] = {"q_proj": set(), "v_proj": set()}
        for layer, module in opened.model.named_modules():
            for rank in getattr(module, "r", {}).values():
                found[layer.rpartition(".")[2]].add((rank, next(iter(module.scaling.values()))))
        opened.unload_adapter(name)
        return found

    patterned = configured(pair[0], tmp_path / "a", alpha_pattern={r"self_attn\.q_proj$": 2})
    assert scales(patterned) == {"q_proj": {(4, 0.5)}, "v_proj": {(4, 2.0)}}
    mixed = configured(pair[0], tmp_path / "mixed", rank_pattern={"v_proj": 2})
    tensors = load_file(mixed / WEIGHTS)
    small = {
        k: v if "q_proj" in k else (v[:2] if "lora_A" in k else v[:, :2]).contiguous()
        for k, v in tensors.items()
    }
    save_file(small, mixed / WEIGHTS)
    assert scales(mixed) == {"q_proj": {(4, 2.0)}, "v_proj": {(2, 4.0)}}
    older = copied(pair[0], tmp_path / "older")  # LLaVA's layers before Transformers 4.52
    renamed = {
        k.replace("model.language_model.layers", "language_model.model.layers"): v for k, v in tensors.items()
    }
    save_file(renamed, older / WEIGHTS)
    assert set(renamed).isdisjoint(tensors) and scales(older) == scales(pair[0])
    key = next(iter(tensors))
    for number, odd in enumerate(
        (
            {**tensors, key.replace("layers.0", "layers.77"): tensors[key] + 0},
            {**tensors, "base_model.model.lm_head.weight": tensors[key] + 0},
            {**tensors, key: tensors[key].T.contiguous()},
            {**tensors, key: tensors[key] * float("nan")},
            {**tensors, key: tensors[key].to(torch.int32)},
            {**tensors, key: torch.tensor(1.0)},
            {k: v for k, v in tensors.items() if k != key},
            {},
        )
    ):
        folder = copied(pair[0], tmp_path / f"odd{number}")
        save_file(odd, folder / WEIGHTS)
        refused(opened, folder, "does not fit this model|not finite|holds no tensors")


def test_an_adapter_of_the_vision_tower_is_seen(llava: Path, opened: Sugar, tmp_path: Path) -> None:
    model = Sugar.from_pretrained(llava)
    model.new_adapter("eyes", None, rank=4, alpha=8, targets=r".*vision_tower.*\.(q_proj|v_proj)")
    for key, p in model.model.named_parameters():
        if "lora_" in key:
            torch.nn.init.normal_(p, std=0.5)
    model.forget()
    model.save_adapter(tmp_path / "eyes", "eyes")
    both = opened
    off = both.embed([Sample(A)], adapter=None).pooled
    both.load_adapter(tmp_path / "eyes")
    on = both.embed([Sample(A)], adapter="eyes").pooled
    assert not np.allclose(on, off)
    assert np.allclose(both.embed([Sample(A)], adapter=None).pooled, off), "features are not kept across"
    assert np.allclose(both.embed([Sample(A)], adapter="eyes").pooled, on)
    both.unload_adapter("eyes")


@pytest.mark.parametrize("family", checkpoints.FAMILIES)
def test_four_bits_on_a_cpu(opened: Sugar, family: str, tmp_path: Path) -> None:
    import bitsandbytes

    model = Sugar.from_pretrained(checkpoints.built(family), precision="nf4")
    kinds = {name: type(module) for name, module in model.model.named_modules()}
    quantised = [name for name, kind in kinds.items() if kind is bitsandbytes.nn.Linear4bit]
    assert (
        quantised
        and all("language_model" in n or "text_model" in n for n in quantised)
        and "nf4 on cpu" in model.why
    )
    a = model.embed(SAMPLES).pooled
    assert np.isfinite(a).all() and said(model) == said(model)
    if family == "llava":
        assert (a * opened.embed(SAMPLES).pooled).sum(1).min() > 0.8
        assert model.fingerprint == opened.fingerprint, "precision does not make another model"
        model.save_pretrained(tmp_path / "four")
        again = Sugar.from_pretrained(tmp_path / "four", precision="nf4")
        assert again.precision == "nf4"
        assert (again.embed(SAMPLES).pooled * a).sum(
            1
        ).min() > 0.999  # packing for the CPU rounds the scales to bfloat16
        wide = Sugar.from_pretrained(tmp_path / "four", precision="fp32")
        assert (wide.embed(SAMPLES).pooled * a).sum(1).min() > 0.999
        wide.save_pretrained(tmp_path / "wide")
        assert Sugar.from_pretrained(tmp_path / "wide").precision == "fp32"


def test_lora_on_four_bits(llava: Path, pair: tuple[Path, Path]) -> None:
    model = Sugar.from_pretrained(llava, precision="nf4", adapter=pair[0])
    on = said(model)
    assert said(model, adapter=None) != on and said(model) == on


def trained_by_peft(base: Path, folder: Path, **options: Any) -> Any:
    """A plain Transformers model with an effective adapter that plain PEFT saved into a folder."""
    import peft
    import transformers

    plain = transformers.AutoModelForImageTextToText.from_pretrained(base)
    tuned = peft.get_peft_model(plain, peft.LoraConfig(r=4, **options))
    torch.manual_seed(3)
    for key, p in tuned.named_parameters():
        if "lora_B" in key or "magnitude" in key or "modules_to_save" in key:
            p.data += 0.3 * torch.randn_like(p)
    tuned.save_pretrained(folder)
    return tuned.eval()


@pytest.mark.parametrize(("preset", "family"), [("qwen2-vl-2b", "qwen2_vl"), ("qwen2.5-vl-7b", "qwen2_5_vl")])
def test_a_base_chats_by_itself_and_searches_by_its_adapter(
    preset: str, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe of the table on random weights of its class, against plain PEFT and plain Transformers."""
    base = checkpoints.built(family)
    targets = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"
    tuned = trained_by_peft(base, tmp_path / "adapter", target_modules=targets, use_dora=True)
    listed = dataclasses.replace(presets.PRESETS[preset], name=str(base))
    monkeypatch.setitem(presets.PRESETS, str(base), listed)
    monkeypatch.setattr(core, "fetch", lambda name, revision: tmp_path / "adapter")
    model, bare = Sugar.from_pretrained(base), Sugar.from_pretrained(base, encoder="prompt")
    assert model.encoder == "search" and model.dimension == checkpoints.HIDDEN and not model.adapters
    rows = model.embed([Sample(A), Sample("a moon"), SAMPLES[0]])
    assert len(model.adapters) == 1
    search = listed.search
    assert search is not None
    for sample, row in ((Sample(A), rows.pooled[0]), (Sample("a moon"), rows.pooled[1])):
        images = [model.processor.prepare_image(image) for image in sample.images]
        text = search.prompts.picture if images else search.prompts.text
        written = text.replace("{picture}", images[0].text if images else "").replace("{text}", "a moon")
        ids = torch.tensor([model.processor.tokenizer(written)["input_ids"]])
        given: dict[str, Any] = dict(images[0].pixels) if images else {}
        given["mm_token_type_ids"] = (ids == model.processor.image_token_id).long()
        if search.flat or not images:
            given["position_ids"] = torch.arange(ids.shape[1]).expand(3, 1, -1)
        with torch.inference_mode():
            last = tuned.base_model.model.model(input_ids=ids, **given).last_hidden_state[0, -1]
        assert np.allclose(row, (last / last.norm()).numpy(), atol=2e-5)
    assert np.allclose(rows.slices[2][0], rows.pooled[0], atol=2e-5), "row 1 stands for the picture alone"
    assert said(model) == said(bare) and np.array_equal(
        model.score(Sample(A), ["a"]), bare.score(Sample(A), ["a"])
    )
    layout = [bare.backbone.sample_layout(SAMPLES[0])]
    with model.backbone.using(None), bare.backbone.using(None):
        assert torch.equal(model.backbone.forward(layout).hidden, bare.backbone.forward(layout).hidden)
    assert model.fingerprint not in (
        bare.fingerprint,
        Sugar.from_pretrained(base, encoder="prompt").fingerprint,
    )
    with pytest.raises(ModelError, match="has no search adapter"):
        Sugar.from_pretrained(checkpoints.built("llava"), encoder="search")


def test_embedding_gemma_embeds_by_the_prompts_of_its_card(
    llava: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    folder = checkpoints.build_embedding_gemma(tmp_path)
    monkeypatch.setattr(embedder, "fetch", lambda name: folder)
    model = Sugar.from_pretrained(llava, encoder="embeddinggemma-2")
    samples = [*SAMPLES, Sample([A, B, "<|image|> typed"])]
    e = model.embed(samples)
    assert model.dimension == e.pooled.shape[1] == 32 and [len(s) for s in e.slices] == [2, 1, 1, 3]
    assert np.allclose(np.linalg.norm(np.concatenate(e.slices), axis=1), 1, atol=1e-5)
    assert np.allclose(model.embed([samples[3]]).slices[0], e.slices[3], atol=2e-5), "batches change nothing"
    assert np.allclose(e.slices[0][0], model.embed([Sample(A)]).pooled[0], atol=2e-5)
    plain = transformers.EmbeddingGemma2Model.from_pretrained(folder)
    assert plain.audio_tower is not None
    ids = transformers.AutoTokenizer.from_pretrained(folder)("task: search result | query: a moon")[
        "input_ids"
    ]
    with torch.inference_mode():
        mean = plain(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0)
    assert np.allclose(e.pooled[1], (mean / mean.norm()).numpy(), atol=2e-5)
    assert model.fingerprint != Sugar.from_pretrained(llava).fingerprint
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be opened as EmbeddingGemma 2"):
        Sugar.from_pretrained(llava, encoder="embeddinggemma-2").embed(SAMPLES)


def test_prompt_embeddings_are_the_summary_token(llava: Path) -> None:
    model = Sugar.from_pretrained(llava, encoder="prompt")
    e = model.embed(SAMPLES)
    assert (
        model.encoder == "prompt"
        and e.pooled.shape == (3, model.dimension)
        and [len(s) for s in e.slices] == [2, 1, 1]
    )
    text = model.processor.render(encoders.prompt_turns(Sample(B), 1))
    asked = "USER: <image>\nRepresent the given image in one word: ASSISTANT:"
    assert " ".join(text.replace(encoders.TASK, "").split()) == " ".join(asked.split())
    assert text.count(encoders.TASK) == 1
    layout = model.processor.chat_layout(encoders.prompt_turns(Sample("a moon"), 1))
    with torch.inference_mode():
        d = model.model.model(**model.processor.collate([layout]).inputs()).last_hidden_state[0, -1]
    assert np.allclose(e.pooled[1], (d / d.norm()).numpy(), atol=2e-5)
    assert np.allclose(model.embed([SAMPLES[0]]).pooled[0], e.pooled[0], atol=2e-5)


def test_triple_embeds_slices_with_three_encoders(
    opened: Sugar, llava: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = checkpoints.build_triple(tmp_path)
    by_name = dict(zip(encoders.TRIPLES["triple"], made, strict=True))
    monkeypatch.setattr(embedder, "fetch", lambda name, **_: by_name[name])
    model = Sugar.from_pretrained(llava, encoder="triple")
    e = model.embed([*SAMPLES, Sample([A, A, "a star", "a moon"])])
    assert isinstance(model.embedder.frozen, encoders.TripleEncoder)
    layout = model.embedder.frozen.layout
    width = layout.dimension
    assert model.encoder == "triple" and model.dimension == e.pooled.shape[1] == width
    assert np.allclose(np.linalg.norm(np.concatenate([*e.slices, e.pooled]), axis=1), 1, atol=1e-5)
    assert np.allclose(e.slices[3][0], e.slices[0][0], atol=1e-5) and np.allclose(
        e.slices[3][2], e.slices[0][1], atol=1e-5
    )
    (a1, a2), (_, b2) = (layout.parts(r, f) for r, f in zip(e.slices[:2], e.is_image[:2], strict=True))
    assert np.allclose(np.linalg.norm(a1, axis=1), 1, atol=1e-5) and np.allclose(
        np.linalg.norm(a2, axis=1), 1, atol=1e-5
    )
    picture_row, moon = e.slices[0][0], e.slices[1][0]
    assert abs(picture_row @ moon - a2[0] @ b2[0] / 2) < 1e-6, "across modalities only part 2 counts"
    assert model.fingerprint != opened.fingerprint
    long_text = Sample("word " * 400)
    assert model.embed([long_text]).pooled.shape[0] == 1


def test_the_chat_model_can_judge_hits(opened: Sugar) -> None:
    model = opened
    p = model.agreement(Sample("a red star"), [Sample(A), Sample([B, "a caption"])])
    assert p.shape == (2,) and ((p > 0) & (p < 1)).all()
    question = model.profile.match_question("a red star")
    assert p[0] == pytest.approx(model.probability_of_yes([Sample([A, question])])[0], rel=1e-6)
    with pytest.raises(InputError, match="words alone"):
        model.agreement(Sample([B, "at night"]), [Sample(A)])
