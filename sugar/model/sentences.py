"""The sentence encoder of the small teachers.

    rows = open_sentences(folder)(["a brown dog"])      # (1, 384), MiniLM

Not covered: training it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

Encode = Callable[[Sequence[str]], np.ndarray]
"""Texts to unit rows, (N, D) float16."""

LONGEST, BATCH = 64, 64


def open_sentences(folder: Path) -> Encode:
    """A sentence-transformers model in `folder`: mean-pooled, normalised vectors of texts."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()

    @torch.inference_mode()
    def encode(texts: Sequence[str]) -> np.ndarray:
        found = np.zeros((len(texts), model.config.hidden_size), np.float16)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            batch = tokenizer(
                [texts[i] for i in chosen],
                padding=True,
                truncation=True,
                max_length=LONGEST,
                return_tensors="pt",
            )
            hidden = model(**batch).last_hidden_state  # (B, T, D)
            mask = batch["attention_mask"][..., None]
            found[chosen] = F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1).numpy()
        return found

    return encode
