"""A checkpoint in 4 bits: rounded by what its layers read, opened wide or narrow, with its LoRA beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import built
from PIL import Image

from sugar.__main__ import main
from sugar.core import Sugar
from sugar.errors import ModelError
from sugar.model import packed
from sugar.model.adapters import EmbeddingHead
from sugar.model.load import choose_precision
from sugar.sequence import Sample

WORDS = [Sample("a red star"), Sample([Image.new("RGB", (30, 20), "blue"), "a boat"])]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small LLaVA, packed by the command."""
    made = tmp_path_factory.mktemp("packed")
    (made / "texts.txt").write_text("\n".join(f"{n} stars and a boat on the sea" for n in range(60)), "utf-8")
    assert main(["pack", str(built("llava")), str(made / "base"), "--texts", str(made / "texts.txt")]) == 0
    return made / "base"


@pytest.fixture(scope="module")
def whole(base: Path) -> Path:
    """The same with an adapter that was given some weights."""
    trained = Sugar.from_pretrained(base, precision="fp32")
    trained.new_adapter("t", EmbeddingHead(64, 64, 16), rank=4, alpha=8, targets=r".*language_model.*_proj")
    generator = torch.Generator().manual_seed(0)
    for name, weight in trained.model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0, 0.2, generator=generator)
    trained.save_adapter(base.parent / "adapter", "t")
    out = base.parent / "whole"
    profile = base.parent / "profile.json"
    profile.write_text(json.dumps({"describe": "say what it is"}), "utf-8")
    arguments = ["--adapter", str(base.parent / "adapter"), "--name", "small", "--profile", str(profile)]
    assert main(["pack", str(base), str(out), *arguments]) == 0
    return out


def logits(folder: Path, precision: str) -> torch.Tensor:
    sugar = Sugar.from_pretrained(folder, precision=precision)
    assert sugar.precision == precision
    ids = torch.tensor([sugar.processor.encode("two stars and a boat")])
    with torch.no_grad():
        return sugar.model(input_ids=ids).logits.float()


def test_a_layer_is_rounded_by_what_it_reads() -> None:
    """Where readings have strong directions, the rounding keeps more than the nearest values do."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(32, 128, generator=generator)
    read = torch.randn(400, 16, generator=generator) @ torch.randn(16, 128, generator=generator)
    read += 0.1 * torch.randn(400, 128, generator=generator)
    rounded = packed.round_matrix(weight, read.T @ read).widened()
    state = quantize_4bit(weight, blocksize=64, quant_type="nf4", compress_statistics=True)
    nearest = dequantize_4bit(*state)

    def lost(other: torch.Tensor) -> float:
        return float(((weight - other) @ read.T).pow(2).mean())

    assert lost(rounded) < 0.5 * lost(nearest)


def test_what_is_stored_is_what_bitsandbytes_reads() -> None:
    from bitsandbytes.functional import QuantState, dequantize_4bit

    weight = torch.randn(32, 128, generator=torch.Generator().manual_seed(2))
    rounded = packed.round_matrix(weight, torch.eye(128))
    tensors = rounded.tensors(torch.float32)
    state = QuantState.from_dict({k[1:]: v for k, v in tensors.items() if k}, torch.device("cpu"))
    assert torch.allclose(dequantize_4bit(tensors[""], state), rounded.widened(), atol=1e-5)


def test_a_packed_checkpoint_opens_wide_and_narrow(base: Path) -> None:
    sizes = [path.stat().st_size for path in base.glob("*.safetensors")]
    assert sizes and max(sizes) < 9_000_000
    wide = logits(base, "fp32")
    assert torch.allclose(wide, logits(base, "nf4"), atol=0.05)
    assert torch.allclose(wide, logits(base, "bf16"), atol=0.1)
    assert 0 < float((wide - logits(built("llava"), "fp32")).abs().mean()) < 0.3
    table = Sugar.from_pretrained(built("llava"), precision="fp32").model.get_input_embeddings().weight
    stored = packed.read_embeddings(base)
    assert stored is not None
    assert float((stored - table).abs().max()) <= float(table.abs().max()) / 127


def test_the_lora_of_a_checkpoint_is_merged_or_beside(base: Path, whole: Path) -> None:
    wide, narrow = (
        Sugar.from_pretrained(whole, precision="fp32"),
        Sugar.from_pretrained(whole, precision="nf4"),
    )
    assert wide.name == "small" and wide.profile.describe == "say what it is" and not wide.adapters
    assert torch.allclose(logits(whole, "fp32"), logits(whole, "nf4"), atol=0.05)
    assert not torch.allclose(logits(whole, "fp32"), logits(base, "fp32"), atol=0.2)
    adapted = Sugar.from_pretrained(base, precision="fp32", adapter=base.parent / "adapter")
    theirs = adapted.embed(WORDS).pooled
    assert np.allclose(wide.embed(WORDS).pooled, theirs, atol=2e-3)
    assert np.allclose(narrow.embed(WORDS).pooled, theirs, atol=0.03)
    narrow.new_adapter(
        "more", None, rank=2, alpha=4
    )  # one more goes on top and changes nothing before training
    assert torch.allclose(
        narrow.model(input_ids=torch.tensor([[1, 2, 3]])).logits,
        Sugar.from_pretrained(whole, precision="nf4").model(input_ids=torch.tensor([[1, 2, 3]])).logits,
        atol=0.02,
    )


def test_the_fingerprint_knows_the_lora(whole: Path, tmp_path: Path) -> None:
    other = shutil.copytree(whole, tmp_path / "other")
    before = Sugar.from_pretrained(other, precision="fp32").fingerprint
    assert before == Sugar.from_pretrained(whole, precision="fp32").fingerprint
    config = other / "lora" / "adapter_config.json"
    config.write_text(config.read_text("utf-8").replace('"lora_alpha": 8', '"lora_alpha": 4'), "utf-8")
    assert before != Sugar.from_pretrained(other, precision="fp32").fingerprint


def test_damaged_embeddings_say_so(base: Path, tmp_path: Path) -> None:
    other = shutil.copytree(base, tmp_path / "other")
    next(other.glob(packed.EMBEDDINGS)).write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="damaged"):
        Sugar.from_pretrained(other)


def test_four_bits_stay_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(free: float, fast: bool, precision: str = "auto") -> str:
        monkeypatch.setattr("sugar.model.load.free_memory", lambda _: free)
        monkeypatch.setattr("sugar.model.load.fast_in_bf16", lambda: fast)
        return choose_precision("x", 7.0, 0.5, "cpu", precision, "nf4")[0]

    assert choose(64, True) == "bf16" and choose(64, False) == "fp32"
    assert choose(20, False) == "bf16" and choose(8, True) == "nf4" and choose(64, True, "nf4") == "nf4"
