"""Markdown, parsed by markdown-it-py: headings become title paths; paragraphs, lists and table rows become
blocks.

Only the block structure is parsed by the library, which takes linear time. The marks inside a line (emphasis,
code, links) are taken off by `plain_line`, also in linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from sugar.passages.sentences import Block, clean, sentences

__all__ = ["plain_line", "read_markdown"]

MAX_TITLE = 80
_LINK = re.compile(r"!?\[([^\[\]]{0,300})\](?:\([^()\s]{0,500}\)|\[[^\[\]]{0,100}\])")
_MARKS = str.maketrans("", "", "*`~")
_ONLY_MARKS = frozenset("*_`~ ")


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table").disable(["inline", "text_join"])


def read_markdown(text: str) -> Iterator[Block]:
    """One block for each paragraph, list and table row, under the path of headings above it.

    >>> [(b.title, b.sentences) for b in read_markdown("# Trees\\n\\n## Oaks\\n\\nIt is tall. It is old.")]
    [('Trees › Oaks', ['It is tall.', 'It is old.'])]
    """
    reader = _Reader()
    for token in _parser().parse(_without_front_matter(text)):
        yield from reader.take(token)


class _Reader:
    """What is open while the tokens of a Markdown text go by: headings, a list, a table."""

    def __init__(self) -> None:
        self.path: list[tuple[int, str]] = []  # (level, heading) of the headings above
        self.heading = 0  # the level of the open heading
        self.lists = 0  # how many lists are open, one inside the other
        self.items: list[str] = []  # sentences of the open list
        self.in_cell = False
        self.header: list[str] = []
        self.row: list[str] = []

    def take(self, token: Token) -> Iterator[Block]:
        """The blocks that this token completes."""
        name, _, edge = token.type.rpartition("_")
        if token.type in ("inline", "fence", "code_block"):
            yield from self._text(token)
        elif name == "heading":
            self.heading = int(token.tag[1:]) if edge == "open" else 0
        elif name in ("bullet_list", "ordered_list"):
            self.lists += 1 if edge == "open" else -1
            if not self.lists and self.items:
                yield Block(self._title, self.items)
                self.items = []
        elif name in ("th", "td"):
            self.in_cell = edge == "open"
        elif name == "tr" and edge == "open":
            self.row = []
        elif name == "tr" and self.header and (told := _row(self.header, self.row)):
            yield Block(self._title, [told])
        elif token.type == "thead_close":
            self.header = self.row
        elif token.type == "table_close":
            self.header = []

    def _text(self, token: Token) -> Iterator[Block]:
        if self.heading:
            if title := plain_line(token.content)[:MAX_TITLE]:
                self.path = [(n, t) for n, t in self.path if n < self.heading] + [(self.heading, title)]
        elif self.in_cell:
            self.row.append(plain_line(token.content))
        else:
            told = sentences(plain_line(token.content) if token.type == "inline" else token.content)
            if self.lists:
                self.items += told
            elif told:
                yield Block(self._title, told)

    @property
    def _title(self) -> str:
        return " › ".join(title for _, title in self.path)


def plain_line(text: str) -> str:
    """A line without the marks of emphasis, code and links.

    >>> plain_line("The **oak** in [the park](http://x) is `old`")
    'The oak in the park is old'
    """
    text = _LINK.sub(r"\1", text).translate(_MARKS)
    words = [w.strip("_") or w if not _ONLY_MARKS.issuperset(w) else "" for w in clean(text).split(" ")]
    return " ".join(filter(None, words))


def _row(header: list[str], cells: list[str]) -> str:
    """A table row as a sentence: "Name: oak. Height: 20 m."."""
    pairs = [(h, c) for h, c in zip(header, cells, strict=False) if c]
    return " ".join(f"{h}: {c}." if h else f"{c}." for h, c in pairs)


def _without_front_matter(text: str) -> str:
    """The text without a YAML block between two lines of dashes at its start."""
    if text.startswith(("---\n", "---\r\n")):
        end = text.find("\n---", 3)
        if 0 <= end < 5000:
            return text[end + 4 :]
    return text
