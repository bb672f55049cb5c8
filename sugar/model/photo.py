"""The photo model's shape: EfficientNet-Lite0, a small Llama, a WordPiece tokenizer; and the
sentence encoder.

    tokenizer = build_tokenizer(pieces)
    decoder = build_decoder(DecoderSizes(), vocabulary=len(tokenizer))
    model, processor = build_llava(tower, decoder.config, tokenizer)      # plain Transformers classes
    model, tokenizer = open_llava(folder)
    rows = open_sentences(folder)(["a brown dog"])                        # (1, 384), MiniLM

Not covered: training (sugar/training/photos).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from sugar.model.assembled import DEVIATION, MEAN, SPECIALS, Pictures, assemble, llama_config, with_specials
from sugar.model.efficientnet import EfficientNetLite, register

__all__ = [
    "CHAT_TEMPLATE",
    "DecoderSizes",
    "Encode",
    "build_decoder",
    "build_llava",
    "build_tokenizer",
    "open_llava",
    "open_sentences",
]

Encode = Callable[[Sequence[str]], np.ndarray]
"""Texts to unit rows, (N, D) float16."""

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}ASSISTANT: {% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }} "
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }} {% endif %}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}</s>{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
"""A conversation begins as an embedded sample does, with <s> and the picture: both share its states."""

LONGEST, BATCH = 64, 64


@dataclass(frozen=True)
class DecoderSizes:
    """Sizes of the decoder and of the head's hidden layer."""

    width: int = 256
    layers: int = 4
    mlp: int = 768
    heads: int = 4
    head_hidden: int = 512


def build_tokenizer(pieces: Sequence[str]) -> Any:
    """A lower-casing WordPiece tokenizer over Sugar's special tokens and `pieces`."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    vocabulary = {token: i for i, token in enumerate([*SPECIALS, *pieces])}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>", max_input_chars_per_word=60))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    return with_specials(backend)


def build_decoder(sizes: DecoderSizes, vocabulary: int) -> Any:
    """A Llama with random weights and tied embeddings."""
    from transformers import LlamaModel

    return LlamaModel(llama_config(vocabulary, sizes.width, sizes.mlp, sizes.layers, sizes.heads))


def build_llava(tower: EfficientNetLite, decoder_config: Any, tokenizer: Any) -> tuple[Any, Any]:
    """(LlavaForConditionalGeneration with random weights, LlavaProcessor) around a tower's and a decoder's
    shape.
    """
    register()
    side, grid = tower.config.image_size, tower.config.grid
    pictures = Pictures(side, side // grid, MEAN, DEVIATION, resample=2)
    model, processor = assemble(
        tower.config, decoder_config, tokenizer, pictures, CHAT_TEMPLATE, class_token=True
    )
    return model.eval(), processor


def open_llava(folder: Path) -> tuple[Any, Any]:
    """(LlavaForConditionalGeneration in float32, frozen; tokenizer) of a checkpoint, to train it further."""
    from transformers import AutoTokenizer, LlavaForConditionalGeneration

    register()
    model = LlavaForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return model.eval().requires_grad_(False), tokenizer


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
