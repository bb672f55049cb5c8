"""Plain text: paragraphs parted by blank lines, without titles."""

from __future__ import annotations

from collections.abc import Iterator

from sugar.passages.sentences import Block, sentences

__all__ = ["read_plain"]


def read_plain(text: str) -> Iterator[Block]:
    """One block for each paragraph.

    >>> [block.sentences for block in read_plain("One. Two.\\n\\nThree.")]
    [['One.', 'Two.'], ['Three.']]
    """
    lines: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.strip():
            lines.append(line)
        elif lines:
            if told := sentences(" ".join(lines)):
                yield Block("", told)
            lines = []
