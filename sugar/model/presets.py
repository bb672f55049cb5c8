"""The models by name, in one table; any other repository id or local folder works too.

    preset = find("llava-1.5-7b"); preset.memory("nf4")  # GB on the device, weights and a working margin
    here("~/models/mine")                                       # the folder, None for a repository or preset
    print(table())                                              # for people

Sizes are parameters x bytes plus the parts kept in 16 bits, so they hold before anything is downloaded.
README.md in this folder says which entries were checked against the hub's pages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sugar.errors import ModelError
from sugar.paths import existing, missing, shown

REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)

PRECISIONS = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "nf4": 0.53}
"""Bytes per parameter; NF4 with double quantisation is 4 bits and 0.127 bits of constants."""

MARGIN_GB = 1.2
"""Room for activations, the key-value cache of about 2,000 tokens and the runtime's own buffers."""


@dataclass(frozen=True)
class Preset:
    """One model.

    Attributes:
        parameters: in billions, all of it.
        unquantised: in billions, what stays in 16 bits under NF4 (vision tower, projector, embeddings and LM
            head).
        encoder: how photos are embedded while no Sugar adapter is loaded.
        base: the repository whose weights these are, where that is another one: its adapters fit.
    """

    name: str
    repository: str
    family: str
    licence: str
    parameters: float
    unquantised: float
    good_for: str
    download_gb: float = 0.0
    stored: str = "bf16"
    encoder: str = "triple"
    base: str = ""

    def memory(self, precision: str) -> float:
        """GB on the device at `precision`, margin included."""
        return memory_need(self.parameters, precision, self.unquantised)


def memory_need(parameters: float, precision: str, unquantised: float = 0.0) -> float:
    """GB for `parameters` billion parameters at a precision of PRECISIONS, margin included.

    >>> round(memory_need(7.06, "bf16"), 1), round(memory_need(7.06, "nf4", 0.58), 1)
    (15.3, 5.8)
    """
    kept = unquantised if precision == "nf4" else 0.0
    weights = kept * 2 + (parameters - kept) * PRECISIONS[precision]
    return weights + min(MARGIN_GB, 0.1 + weights)


PRESETS: dict[str, Preset] = {
    p.name: p
    for p in (
        Preset(
            "sugar-photo",
            "",
            "llava",
            "Apache 2.0",
            0.014,
            0.012,
            "everyday photos on any CPU, no download: captions, short answers, search",
            encoder="sugar",
            stored="fp16",
        ),
        Preset(
            "sugar-tiny",
            "",
            "llava",
            "Apache 2.0",
            0.003,
            0.001,
            "shows how everything works on any CPU, no download: drawn scenes",
            encoder="sugar",
        ),
        Preset(
            "llava-1.5-7b",
            "llava-hf/llava-1.5-7b-hf",
            "llava",
            "Llama 2",
            7.06,
            0.58,
            "the paper's architecture; captions, questions, one to three pictures",
            download_gb=14.1,
            stored="fp16",
        ),
        Preset(
            "llava-1.5-7b-4bit",
            "unsloth/llava-1.5-7b-hf-bnb-4bit",
            "llava",
            "Llama 2",
            7.06,
            0.58,
            "the same weights quantised to 4 bits ahead of time: a third of the download",
            download_gb=4.6,
            stored="nf4",
            base="llava-hf/llava-1.5-7b-hf",
        ),
        Preset(
            "smolvlm-256m",
            "HuggingFaceTB/SmolVLM-256M-Instruct",
            "idefics3",
            "Apache 2.0",
            0.256,
            0.15,
            "a CPU, a small laptop: short answers about photos",
            download_gb=0.51,
            encoder="triple-small",
        ),
        Preset(
            "smolvlm-500m",
            "HuggingFaceTB/SmolVLM-500M-Instruct",
            "idefics3",
            "Apache 2.0",
            0.507,
            0.2,
            "a CPU with more patience: better answers than 256M",
            download_gb=1.02,
            encoder="triple-small",
        ),
        Preset(
            "qwen3-vl-4b",
            "Qwen/Qwen3-VL-4B-Instruct",
            "qwen3_vl",
            "Apache 2.0",
            4.44,
            0.8,
            "strong for its size: text in pictures, documents, counting, many languages",
            download_gb=8.9,
        ),
        Preset(
            "qwen2.5-vl-7b",
            "Qwen/Qwen2.5-VL-7B-Instruct",
            "qwen2_5_vl",
            "Apache 2.0",
            8.29,
            1.76,
            "strong: documents, reasoning over several pictures",
            download_gb=16.6,
        ),
        Preset(
            "gemma-3-4b",
            "google/gemma-3-4b-it",
            "gemma3",
            "Gemma",
            4.3,
            1.09,
            "strong for its size: conversation, 140 languages; licence to be accepted on the hub",
            download_gb=8.6,
        ),
        Preset(
            "internvl3-2b",
            "OpenGVLab/InternVL3-2B-hf",
            "internvl",
            "Apache 2.0 (language part: Qwen licence)",
            2.09,
            0.55,
            "small and strong: charts, details in high resolution",
            download_gb=4.2,
        ),
    )
}


def find(name: str) -> Preset | None:
    """The preset of that name or that repository, or None."""
    return PRESETS.get(name) or next(
        (p for p in PRESETS.values() if p.repository and p.repository == name), None
    )


def here(name: str) -> Path | None:
    """The folder of this machine that a model's or an adapter's name means; None where it is a preset's name
    or may be a repository's. Raises ModelError for a name that can be none of them.
    """
    path = existing(name)
    if path is not None and path.is_dir():
        return path
    if find(name) is not None or (path is None and REPOSITORY.fullmatch(name)):
        return None
    seen = missing(name, "folder") if path is None else f"{shown(name)} is a file."
    raise ModelError(
        f"{seen} Name a folder, a preset ({', '.join(PRESETS)}), or a repository of the hub (owner/name)."
    )


def table() -> str:
    """The presets as a Markdown table."""
    rows = [
        "| name | repository | family | licence | download | fp32 | bf16 | NF4 | good for |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for p in PRESETS.values():
        sizes = " | ".join(f"{p.memory(precision):.1f} GB" for precision in ("fp32", "bf16", "nf4"))
        download = f"{p.download_gb:.1f} GB" if p.download_gb else "none"
        rows.append(
            f"| {p.name} | {p.repository or f'assets/{p.name}'} | {p.family} | {p.licence} | {download} | "
            f"{sizes} | {p.good_for} |"
        )
    return "\n".join(rows)
