"""What a model can read: the share of words that it knows, and how many tokens a text has."""

from __future__ import annotations

from typing import Any

__all__ = ["count_tokens", "known_share"]


def known_share(model: Any, text: str) -> float:
    """The share of a text's words that the model knows, in [0, 1]."""
    words = text.split()
    return 1.0 - len(model.unknown_words(text)) / len(words) if words else 1.0


def count_tokens(model: Any, text: str) -> int:
    """How many tokens a text has; its words where the model shows no tokenizer."""
    tokenizer = _tokenizer(model)
    if tokenizer is None:
        return len(text.split())
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def _tokenizer(model: Any) -> Any:
    return getattr(getattr(model, "processor", None), "tokenizer", None)
