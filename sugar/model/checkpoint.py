"""What makes a folder a Sugar checkpoint: `sugar.json` beside a plain Transformers checkpoint, its
fingerprint, its card.

    {"format": 1, "name": "sugar-tiny", "encoder": "sugar", "head": {...}, "profile": {...}}      # profile.py

The folder opens with plain `AutoProcessor` / `AutoModelForImageTextToText` as well; those ignore `sugar.json`
and `head.safetensors`. Not covered: adapters, which are folders of their own (`adapters.py`).
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch

from sugar.errors import ModelError
from sugar.model.files import read_json
from sugar.model.head import EmbeddingHead

__all__ = ["FORMAT", "card", "fingerprint", "read_settings", "save", "write_settings"]

FORMAT = 1
SETTINGS_FILE = "sugar.json"
WHOLE = 64 << 20
SAMPLES, SAMPLE_BYTES = 64, 1 << 16
IGNORED_KEYS = {
    "torch_dtype",
    "dtype",
    "quantization_config",
    "transformers_version",
    "_name_or_path",
    "use_cache",
}
TOKENISERS = ("tokenizer.json", "tokenizer.model", "preprocessor_config.json", "processor_config.json")


def read_settings(folder: Path) -> dict[str, Any]:
    """The content of `sugar.json`; empty for a plain checkpoint.

    Raises ModelError for another format or broken JSON.
    """
    path = folder / SETTINGS_FILE
    if not os.path.lexists(path):
        return {}
    settings = read_json(path)
    if settings.get("format") != FORMAT or not isinstance(settings.get("name", ""), str):
        seen = settings.get("format")
        raise ModelError(
            f"{path} has format {seen!r}; this Sugar reads format {FORMAT}. Update Sugar, or save the "
            "checkpoint again."
        )
    return settings


def write_settings(folder: Path, **settings: Any) -> None:
    settings.pop("format", None)
    (folder / SETTINGS_FILE).write_text(json.dumps({"format": FORMAT, **settings}, indent=1) + "\n", "utf-8")


def save(
    path: Path,
    model: Any,
    processor: Any,
    head: EmbeddingHead | None,
    *,
    dtype: torch.dtype | None,
    settings: dict[str, Any],
    card: str,
) -> None:
    """Write a checkpoint folder: model, processor, head, `sugar.json` and card.

    dtype: the type of the floating-point weights on disk; None writes them as they are. settings: of
    `sugar.json`, written where there is a head.
    """
    path.mkdir(parents=True, exist_ok=True)
    if dtype is None:
        model.save_pretrained(path)
    else:
        weights = {k: v.to(dtype) if v.is_floating_point() else v for k, v in model.state_dict().items()}
        running, model.config.dtype = model.config.dtype, dtype
        model.save_pretrained(path, state_dict=weights)
        model.config.dtype = running
    processor.save_pretrained(path)
    if head is not None:
        head.save(path)
        write_settings(path, **settings, head=head.sizes)
    if card:
        (path / "README.md").write_text(card + "\n", "utf-8")


def card(folder: Path) -> str:
    """The checkpoint's README.md without its YAML header; empty when there is none."""
    path = folder / "README.md"
    text = path.read_text("utf-8", errors="replace") if path.is_file() else ""
    if text.startswith("---\n") and "\n---\n" in text[4:]:
        text = text[4:].split("\n---\n", 1)[1]
    return text.strip()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in sorted(value.items()) if k not in IGNORED_KEYS}
    return value


def _hash_file(digest: Any, path: Path) -> None:
    """Small files whole; of large ones the size, the first bytes (all tensor names and shapes) and 64 places
    spread evenly.
    """
    size = path.stat().st_size
    digest.update(f"{path.name}:{size}".encode())
    with path.open("rb") as file:
        if size <= WHOLE:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
            return
        digest.update(file.read(1 << 20))
        for n in range(SAMPLES):
            file.seek(n * (size - SAMPLE_BYTES) // (SAMPLES - 1))
            digest.update(file.read(SAMPLE_BYTES))


def fingerprint(folders: list[Path], *parts: str) -> str:
    """A stable hash of everything that decides embeddings: weights, configuration without its precision
    keys, tokenizer, picture processing, head, and `parts` (the way of encoding). Loading in another precision
    leaves it as it is.

    folders: the checkpoint, then an adapter if one is used.
    """
    digest = hashlib.sha256("\0".join(parts).encode())
    for folder in folders:
        for path in sorted([*folder.glob("*.safetensors"), *(folder / name for name in TOKENISERS)]):
            if path.is_file():
                _hash_file(digest, path)
        for name in ("config.json", "adapter_config.json"):
            if (folder / name).is_file():
                digest.update(json.dumps(_plain(read_json(folder / name))).encode())
    return digest.hexdigest()[:32]
