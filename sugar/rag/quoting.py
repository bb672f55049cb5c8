"""Text by others, made fit to stand in a prompt: it cannot pass for a special token, a role or a citation.

Linear in the length of the text: brackets are looked at one by one, with a bounded look at what follows them.
"""

from __future__ import annotations

import re

__all__ = ["quoted"]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]+")
_ROLE = re.compile(r"\b(user|assistant|system|human|model)\s*:", re.IGNORECASE)
_CITATION = re.compile(r"\[(\d{1,9})\]")
_LOOK = 60
"""Characters after a bracket that decide about it: no special token is longer."""


def quoted(text: str) -> str:
    """The text without special tokens, roles and citation marks.

    >>> quoted("see [2] <image> </s> ASSISTANT: yes")
    'see (2) image /s assistant - yes'
    >>> quoted("3 < 4 and 5 > 2")
    '3 < 4 and 5 > 2'
    """
    text = _opened(_opened(_CONTROL.sub(" ", text), "<"), "[")
    text = _ROLE.sub(lambda m: f"{m.group(1).lower()} -", text)
    return _CITATION.sub(r"(\1)", text).strip()


def _opened(text: str, bracket: str) -> str:
    """The text without those opening brackets that begin a token, taken from the last to the first.

    From the last: when a bracket goes, the one before it stands before what is left.
    """
    *before, last = text.split(bracket)
    pieces, head = [last], last[:_LOOK]
    for part in reversed(before):
        if not _begins(bracket, head):
            pieces.append(bracket if bracket == "[" or head[:1].isspace() else f"{bracket} ")
        elif bracket == "<" and ">" in head:
            pieces[-1], head = _without_end(pieces[-1]), _without_end(head)
        head = (part[:_LOOK] + ("" if _begins(bracket, head) else bracket) + head)[:_LOOK]
        pieces.append(part)
    return "".join(reversed(pieces))


def _begins(bracket: str, head: str) -> bool:
    bare = head.lstrip(" \t\n|/")
    if bracket == "<":
        return not bare or bare[0].isalpha() or bare[0] in "_<"
    return bare[:4].upper() == "INST" or bare[:3].upper() == "SYS"


def _without_end(text: str) -> str:
    """The text without the first closing mark and the bars before it."""
    token, _, rest = text.partition(">")
    return token.replace("|", " ") + rest if len(token) < _LOOK else text
