"""Plain text: paragraphs parted by blank lines, without titles."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sugar.passages.sentences import Block, sentences
from sugar.text_files import lines as lines_of

__all__ = ["read_plain"]

_PARTED = re.compile(r"(?<=[^\W\d_])[-\u2010\u00ad]\n[ \t]{0,40}([^\W\d_]{1,40})")
_AFTER_A_HYPHEN = frozenset(
    ("and", "or", "to", "und", "oder", "bis", "et", "ou", "y", "o", "e", "en", "of", "och")
)
"""Words before which a hyphen at the end of a line stays: "pre- and post-war"."""


def read_plain(text: str) -> Iterator[Block]:
    """One block for each paragraph; words that were parted at the end of a line are put together again.

    >>> [block.sentences for block in read_plain("One. Two.\\n\\nThree.")]
    [['One.', 'Two.'], ['Three.']]
    >>> [block.sentences for block in read_plain("An exam-\\nple of pre-\\nand post-war life.")]
    [['An example of pre- and post-war life.']]
    """
    lines: list[str] = []
    for line in [*lines_of(_PARTED.sub(_together, text)), ""]:
        if line.strip():
            lines.append(line)
        elif lines:
            if told := sentences(" ".join(lines)):
                yield Block("", told)
            lines = []


def _together(parted: re.Match[str]) -> str:
    follows = parted[1]
    whole = parted[0][0] == "\u00ad" or (follows.islower() and follows not in _AFTER_A_HYPHEN)
    return follows if whole else parted[0]
