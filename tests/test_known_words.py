"""Which words a tokenizer does not know: unknown tokens, and words that it can only spell."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from sugar.model.processor import unknown_words


def tokenizer(pieces: list[str]) -> Any:
    vocabulary = {piece: number for number, piece in enumerate(["[UNK]", *pieces])}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")


def test_unknown_tokens_and_spelt_words() -> None:
    letters = [p for c in "abcdefghijklmnopqrstuvwxyz" for p in (c, "##" + c)]
    known = tokenizer(["dog", "##s", "two", ",", *letters])
    assert unknown_words(known, "two dogs, a dog") == ()
    assert unknown_words(known, "two zebras  zebras, \u72d7 a") == ("zebras", "zebras,", "\u72d7")
    assert unknown_words(tokenizer(["dog"]), "dog cat") == ("cat",)
    assert unknown_words(known, " ") == ()
