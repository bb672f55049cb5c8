"""What training asks of Transformers: a LLaVA to be trained whole, and attention that stays in float32.

    llava, head, processor = open_trainable("runs/tiny/model")
    attend_in_float32(llava)

Not covered: the embedded model's shape from nothing (tiny.py), LoRA on a frozen base (adapters.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from sugar.errors import ModelError
from sugar.model.head import EmbeddingHead

__all__ = ["attend_in_float32", "open_trainable"]


def open_trainable(base: str) -> tuple[Any, EmbeddingHead, Any]:
    """(LLaVA, head, Hugging Face processor) of a folder or repository, on the CPU, in float32; a fresh head where it has none.

    Raises ModelError: neither a folder nor a repository id, or not of the LLaVA architecture.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    if not Path(base).is_dir() and base.count("/") != 1:
        raise ModelError(f"{base} is neither a folder nor a repository id such as owner/name.")
    llava = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(base)
    if llava.config.model_type != "llava":
        raise ModelError(f"{base} is a {llava.config.model_type} model; the training recipes take the LLaVA architecture.")
    hidden = llava.config.text_config.hidden_size
    head = EmbeddingHead.load(base) if (Path(base) / "head.safetensors").is_file() else EmbeddingHead(hidden, hidden, 768)
    return llava, head, processor


def attend_in_float32(llava: Any) -> None:
    """Keep attention in float32: its backward pass in bfloat16 took 2.5 times as long, on a CPU 5 times as fast at bfloat16 products."""
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    def attend(module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, **kwargs: Any) -> Any:
        with torch.autocast("cpu", enabled=False):
            return sdpa_attention_forward(module, query.float(), key.float(), value.float(), mask, **kwargs)

    AttentionInterface.register("sdpa_float32", attend)
    llava.set_attn_implementation("sdpa_float32")
