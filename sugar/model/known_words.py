"""Which words of a text a model does not know."""

from __future__ import annotations

from typing import Any

__all__ = ["unknown_words"]


def unknown_words(tokenizer: Any, text: str) -> tuple[str, ...]:
    """The words of a text that the tokenizer reads as its unknown token, or spells letter by letter.

    Args:
        tokenizer: a Hugging Face tokenizer.
        text: any text.
    Returns:
        The words as spaces separate them, in order, each once.
    """
    words = list(dict.fromkeys(text.split()))
    if not words:
        return ()
    rows = tokenizer(words, add_special_tokens=False)["input_ids"]
    unknown = tokenizer.unk_token_id
    return tuple(
        word
        for word, ids in zip(words, rows, strict=True)
        if (unknown is not None and unknown in ids) or _spelt(word, tokenizer.convert_ids_to_tokens(ids))
    )


def _spelt(word: str, pieces: list[str]) -> bool:
    """Whether most pieces of a Latin word are single letters: no part of it is in the vocabulary."""
    letters = [p.removeprefix("##").strip("\u2581\u0120") for p in pieces]
    single = sum(len(p) == 1 and p.isalpha() for p in letters)
    return word.isascii() and len(word) > 2 and 2 * single > len(pieces)
