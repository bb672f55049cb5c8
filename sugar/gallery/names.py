"""Names and captions from files and people, made fit for a page and a database."""

from __future__ import annotations

import re

__all__ = ["MAX_CAPTION", "MAX_NAME", "clean_caption", "clean_name"]

MAX_CAPTION = 2000
MAX_NAME = 255
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def clean_name(name: str) -> str:
    """A file name without control characters or lone surrogates, at most 255 characters."""
    name = name.encode("utf-8", "replace").decode("utf-8")
    return _UNSAFE.sub(" ", name).strip()[-MAX_NAME:] or "unnamed"


def clean_caption(text: str) -> str:
    """A caption without control characters other than line ends, at most 2,000 characters."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]+", " ", text.replace("\r\n", "\n")).strip()[:MAX_CAPTION]
