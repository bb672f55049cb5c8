"""The tokenizer: MiniLM's WordPiece vocabulary, cut to the pieces that photos need, and its word embeddings,
projected.

    tokenizer, words = cut_tokenizer(texts, folder, 256)      # words: (vocabulary, 256), first embeddings

Kept are pieces that occur often in the texts, the commonest English words, and every letter and digit, so
that any word is read through its pieces. Not covered: other scripts.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sugar.model.assembled import SPECIALS
from sugar.model.photo import build_tokenizer

__all__ = ["cut_tokenizer"]

OFTEN = 12
COMMON_WORDS = 5200
FIRST_WORD = 1996
"""BERT's vocabulary lists whole words by frequency from here on."""

WORD_NORM = 8.0
SPECIAL_SPREAD = 0.5


def cut_tokenizer(texts: Iterable[tuple[str, int]], folder: Path, width: int) -> tuple[Any, Tensor]:
    """The tokenizer and the first word embeddings.

    Args:
        texts: (text, weight), what the model reads and says. folder: MiniLM's. width: of the decoder.
    """
    from tokenizers import Tokenizer

    base = Tokenizer.from_file(str(folder / "tokenizer.json"))
    base.no_padding()
    base.no_truncation()
    kept = _pieces(base, texts)
    number = base.get_vocab()
    return build_tokenizer(kept), _embeddings(folder, [number[piece] for piece in kept], width)


def _pieces(base: Any, texts: Iterable[tuple[str, int]]) -> list[str]:
    """The pieces to keep, in MiniLM's order."""
    number = base.get_vocab()
    pieces = {i: piece for piece, i in number.items()}
    counts: Counter[int] = Counter()
    for text, weight in texts:
        for i in base.encode(text, add_special_tokens=False).ids:
            counts[i] += weight
    kept = {i for i, n in counts.items() if n >= OFTEN}
    words = [i for i in range(FIRST_WORD, len(number)) if re.fullmatch("[a-z]{3,}", pieces[i])]
    kept |= set(words[:COMMON_WORDS])
    for letter in string.ascii_lowercase + string.digits:
        kept |= {number[letter], number[f"##{letter}"]}
    kept |= {number[mark] for mark in string.punctuation if mark in number}
    kept -= {number[special] for special in ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")}
    return [pieces[i] for i in sorted(kept) if pieces[i].isascii() and not pieces[i].startswith("[unused")]


def _embeddings(folder: Path, numbers: list[int], width: int) -> Tensor:
    """MiniLM's word embeddings on their first `width` principal axes, at the norm that the decoder needs."""
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    matrix = next(v for k, v in weights.items() if k.endswith("word_embeddings.weight")).float()
    kept = matrix[numbers] - matrix[FIRST_WORD:].mean(0)
    axes = torch.linalg.svd(kept, full_matrices=False)[2][:width]
    projected = kept @ axes.T
    projected = projected * (WORD_NORM / projected.norm(dim=1).mean())
    special = torch.randn(len(SPECIALS), width) * SPECIAL_SPREAD
    special[0] = 0
    return torch.cat([special, projected])
