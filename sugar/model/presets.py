"""The models by name, in one table; any other repository id or local folder works too.

    preset = find("llava-1.5-7b"); preset.memory("nf4")  # GB on the device, weights and a working margin
    here("~/models/mine")                                       # the folder, None for a repository or preset
    first(free=7.2, cuda=True)                                 # the preset to offer first on this machine
    print(table())                                              # for people

Sizes are parameters x bytes plus the parts kept in 16 bits, so they hold before anything is downloaded. No
weights but those of `assets/` were run; every family passes the tests on random weights of its own class.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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
class Prompts:
    """What an embedding model was trained to read: of a picture, of words, and of both; {picture} and {text}
    stand in their places.
    """

    picture: str
    text: str
    both: str = "{picture} {text}"

    def written(self, pictures: Sequence[str], texts: Sequence[str]) -> str:
        """The prompt of one sample, with what stands for its pictures and its texts in order."""
        form = self.both if pictures and texts else self.picture if pictures else self.text
        words = "\n".join(texts)
        return "".join(
            "".join(pictures) if part == "{picture}" else words if part == "{text}" else part
            for part in re.split(r"(\{picture\}|\{text\})", form)
        )


@dataclass(frozen=True)
class SearchAdapter:
    """An adapter by which a base searches, while it chats without it. The last token is the embedding.

    Attributes:
        flat: a picture's tokens are counted in one axis, as its training did without a mark before pictures.
        source: where the prompts were read.
    """

    repository: str
    revision: str
    licence: str
    prompts: Prompts
    source: str
    flat: bool = False


@dataclass(frozen=True)
class Preset:
    """One model.

    Attributes:
        parameters: in billions, all of it.
        unquantised: in billions, what stays in 16 bits under NF4 (vision tower, projector, embeddings and LM
            head).
        encoder: how photos are embedded while no Sugar adapter is loaded.
        base: the repository whose weights these are, where that is another one: its adapters fit.
        search: the adapter that embeds, in place of `encoder`.
        page: its page on the hub, or a copy of it, was read.
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
    encoder: str = "embeddinggemma-2"
    base: str = ""
    search: SearchAdapter | None = None
    page: bool = True

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
            "smolvlm2-500m",
            "HuggingFaceTB/SmolVLM2-500M-Video-Instruct",
            "smolvlm",
            "Apache 2.0",
            0.507,
            0.2,
            "a CPU: several pictures and text in them better than the first SmolVLM",
            download_gb=2.03,
            stored="fp32",
            encoder="triple-small",
        ),
        Preset(
            "lfm2.5-vl-450m",
            "LiquidAI/LFM2.5-VL-450M",
            "lfm2_vl",
            "LFM Open 1.0 (not open source: it limits commercial use)",
            0.45,
            0.16,
            "a CPU: strong for its size, text in pictures; look at its licence first",
            download_gb=0.9,
            encoder="triple-small",
        ),
        Preset(
            "qwen3.5-0.8b",
            "Qwen/Qwen3.5-0.8B",
            "qwen3_5",
            "Apache 2.0",
            0.87,
            0.36,
            "the strongest below one billion; slow on a CPU, where its fast kernels are missing",
            download_gb=1.75,
        ),
        Preset(
            "qwen3.5-2b",
            "Qwen/Qwen3.5-2B",
            "qwen3_5",
            "Apache 2.0",
            2.27,
            0.84,
            "a small GPU: photos, text in pictures, many languages",
            download_gb=4.55,
        ),
        Preset(
            "qwen2-vl-2b",
            "Qwen/Qwen2-VL-2B-Instruct",
            "qwen2_vl",
            "Apache 2.0",
            2.21,
            0.9,
            "one small model that chats and searches: its search adapter is VLM2Vec-V2.0",
            download_gb=4.42,
            search=SearchAdapter(
                "VLM2Vec/VLM2Vec-V2.0",
                "main",
                "Apache 2.0",
                Prompts(
                    "{picture} Represent the given image.",
                    "Find me an everyday image that matches the given caption: {text}",
                ),
                "TIGER-AI-Lab/VLM2Vec: demo_v2_image.py, model.py",
                flat=True,
            ),
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
            "strong: documents, reasoning over several pictures; searches by nomic-embed-multimodal",
            download_gb=16.6,
            search=SearchAdapter(
                "nomic-ai/nomic-embed-multimodal-7b",
                "1291f1b6ca07061b0329df9d5713c09b294be576",
                "Apache 2.0",
                Prompts(
                    "<|im_start|>user\n<|vision_start|>{picture}<|vision_end|>Describe the image.<|im_end|>"
                    "<|endoftext|>",
                    "{text}<|endoftext|>",
                    "<|im_start|>user\n<|vision_start|>{picture}<|vision_end|>{text}<|im_end|><|endoftext|>",
                ),
                "illuin-tech/colpali: processing_colqwen2_5.py, processing_biqwen2_5.py",
            ),
        ),
        Preset(
            "gemma-4-e2b",
            "google/gemma-4-E2B-it",
            "gemma4",
            "Apache 2.0",
            5.1,
            3.2,
            "conversation and photos in 140 languages on a GPU of 8 GB and more",
            download_gb=10.2,
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
            page=False,
        ),
    )
}


def find(name: str) -> Preset | None:
    """The preset of that name or that repository, or None."""
    return PRESETS.get(name) or next(
        (p for p in PRESETS.values() if p.repository and p.repository == name), None
    )


STRENGTH = ("qwen2.5-vl-7b", "qwen3-vl-4b", "gemma-4-e2b", "qwen3.5-2b", "qwen2-vl-2b", "qwen3.5-0.8b")
"""What is offered first on a GPU, the strongest that fits; the models for a CPU answer in seconds there."""
STRENGTH_CPU = ("smolvlm2-500m", "smolvlm-256m")


def first(free: float, *, cuda: bool) -> str:
    """The preset to offer first where `free` GB are free: the strongest that fits and answers in seconds."""
    fitting = ("bf16", "nf4") if cuda else ("fp32", "bf16")
    for name in STRENGTH if cuda else STRENGTH_CPU:
        if any(PRESETS[name].memory(precision) <= free for precision in fitting):
            return name
    return next(iter(PRESETS))


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
        "| name | repository | family | licence | download | fp32 | bf16 | NF4 | searches by | verified "
        "| good for |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for p in PRESETS.values():
        sizes = " | ".join(f"{p.memory(precision):.1f} GB" for precision in ("fp32", "bf16", "nf4"))
        download = f"{p.download_gb:.1f} GB" if p.download_gb else "none"
        by = f"{p.search.repository} ({p.search.licence})" if p.search else p.encoder
        verified = "run" if not p.repository else "class, page" if p.page else "class"
        rows.append(
            f"| {p.name} | {p.repository or f'assets/{p.name}'} | {p.family} | {p.licence} | {download} | "
            f"{sizes} | {by} | {verified} | {p.good_for} |"
        )
    return "\n".join(rows)
