"""The folder of a checkpoint: an embedded model's, a local one, or a download; and what its files say.

    folder = local_folder("sugar-tiny")
    config = read_config(folder); count_parameters(folder, config)

Safetensors only, no remote code. Not covered: downloading (hub.py), reading weights (load.py).
"""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sugar.errors import ModelError
from sugar.model import hub
from sugar.model.devices import choose_precision, pick_device
from sugar.model.families import FAMILIES
from sugar.model.files import read_json, tensor_shapes
from sugar.model.presets import find, here
from sugar.paths import shown

__all__ = ["EMBEDDED", "count_parameters", "fetch", "local_folder", "read_config"]

log = logging.getLogger("sugar")

EMBEDDED = ("sugar-photo", "sugar-tiny")
"""Presets that ship with Sugar, as folders of `assets/`."""

UNQUANTISED = ("vision", "visual", "projector", "connector", "lm_head", "embed_tokens")
"""Parts of the names of weights that NF4 leaves as they are."""

ASSETS = Path(__file__).resolve().parents[2] / "assets"


def local_folder(
    name: str,
    *,
    device: str = "auto",
    precision: str = "auto",
    progress: Callable[[hub.DownloadProgress], None] | None = None,
) -> Path:
    """The folder of a checkpoint: the embedded model's, a local one, or a preset's or repository's after its
    download.

    A model that cannot fit is refused before its weights are downloaded. Raises ModelError with the cause and
    the remedy.
    """
    if name in EMBEDDED:
        if not (ASSETS / name / "config.json").is_file():
            raise ModelError(
                f"{ASSETS / name} is missing. Restore it from the repository, or rebuild it with `make "
                "assets`."
            )
        return ASSETS / name
    preset = find(name)
    if (folder := here(name)) is not None:
        return folder
    chosen = pick_device(device)
    if preset is not None:
        choose_precision(name, preset.parameters, preset.unquantised, chosen, precision, preset.stored)

    def check(remote: hub.Remote, config: dict[str, Any]) -> None:
        check_family(config, remote.repository)
        stored = "nf4" if (config.get("quantization_config") or {}).get("load_in_4bit") else "full"
        weights = sum(size for file, size, _ in remote.files if file.endswith(".safetensors"))
        parameters = (remote.parameters or weights / (0.65 if stored == "nf4" else 2.0)) / 1e9
        choose_precision(
            name, parameters, preset.unquantised if preset else 0.15 * parameters, chosen, precision, stored
        )
        log.info("%s: downloading %.2f GB", remote.repository, remote.bytes / 1e9)

    repository, revision = (preset.repository, preset.revision) if preset else (name, "main")
    return fetch(repository, revision, progress=progress, check=check)


def fetch(repository: str, revision: str = "main", **options: Any) -> Path:
    """`hub.download` with the hub and the cache that the environment names now (HF_ENDPOINT, HF_HUB_CACHE).

    Progress in a shell.
    """
    options.setdefault("endpoint", os.environ.get("HF_ENDPOINT"))
    options.setdefault("cache_dir", os.environ.get("HF_HUB_CACHE"))
    if options.get("progress") is None and sys.stderr.isatty():
        options["progress"] = hub.print_progress
    return hub.download(repository, revision, **options)


def check_family(config: dict[str, Any], where: str) -> str:
    """The family of a configuration. Raises ModelError when Sugar does not serve it.

    Code of a checkpoint's own is never run.
    """
    family = config.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        raise ModelError(f"{where} is a {shown(str(family))} checkpoint. Sugar serves {', '.join(FAMILIES)}.")
    if not isinstance(config.get("quantization_config") or {}, dict):
        raise ModelError(f"{where} has a config.json without sense (quantization_config). Download it again.")
    if config.get("auto_map"):
        log.warning("%s brings code of its own; Sugar never runs it and uses the one in Transformers", where)
    return family


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a checkpoint folder.

    Raises ModelError when it is missing, or of a family that Sugar does not serve.
    """
    path = folder / "config.json"
    if not os.path.lexists(path):
        raise ModelError(
            f"{folder} holds no config.json, so it is not a checkpoint. Name a folder made by "
            "save_pretrained, or a preset."
        )
    config = read_json(path)
    check_family(config, str(folder))
    return config


def count_parameters(folder: Path, config: dict[str, Any]) -> tuple[float, float]:
    """Billions of parameters: all, and those that stay unquantised under NF4, from the safetensors headers
    alone.

    Raises ModelError when there are no safetensors or a file is damaged or missing.
    """
    index, whole = folder / "model.safetensors.index.json", "model.safetensors"
    listed = read_json(index).get("weight_map") if os.path.lexists(index) else {whole: whole}
    names = sorted({str(name) for name in listed.values()}) if isinstance(listed, dict) else []
    if not names or any(Path(name).name != name for name in names):
        raise ModelError(f"{index} does not name the files of the weights. Download the checkpoint again.")
    total = kept = 0
    for name in names:
        for key, shape in tensor_shapes(folder / name).items():
            size = math.prod(shape)
            if config.get("quantization_config") and size and shape[-1:] == (1,):
                size *= 2  # two 4-bit weights per byte
            total += size
            kept += size if any(part in key for part in UNQUANTISED) else 0
    return total / 1e9, kept / 1e9
