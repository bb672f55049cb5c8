"""HTML inside Markdown, parsed by lxml: headings, paragraphs, and the rows of tables.

    for part in read_html("<div>An oak.<br>It is old.</div>", left): ...       # ["An oak.", "It is old."]

The parser hands over one event after the other and builds no tree, so no nesting costs memory. Scripts,
styles and comments are dropped; pictures say their alternative text, and are counted in `left`, as embedded
objects are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lxml.etree import HTMLParser, LxmlError

__all__ = ["INLINE", "Heading", "Row", "read_html"]

_DROPPED = frozenset(("script", "style", "template"))
_LINES = frozenset(("br", "li", "dt", "dd", "summary", "figcaption", "option", "hr"))
_NAMES = """
    a abbr b bdi bdo big cite code data del dfn em font i img ins kbd label mark q s samp small span strike
    strong sub sup time tt u var wbr ruby rb rt rp picture source
"""
INLINE = frozenset(_NAMES.split())
"""Elements inside a line; others begin one."""
_EMBEDDED = frozenset(("iframe", "video", "audio", "object", "embed", "svg", "canvas"))


@dataclass(frozen=True)
class Heading:
    level: int
    text: str


@dataclass(frozen=True)
class Row:
    """(heading of the column, cell) of a table's row."""

    cells: tuple[tuple[str, str], ...]


Part = Heading | Row | list[str]
"""A list is a paragraph, or a list, by its lines."""


def read_html(text: str, left: Counter[str]) -> Iterator[Part]:
    target = _Target(left)
    parser = HTMLParser(target=target, recover=True, no_network=True)
    try:
        parser.feed(f"<body>{text}")
        parser.close()
    except LxmlError:
        left["pieces of HTML"] += 1
    target.end_of_paragraph()
    target.end_of_table()
    yield from target.parts


class _Target:
    """Takes the parser's events."""

    def __init__(self, left: Counter[str]) -> None:
        self.left = left
        self.parts: list[Part] = []
        self.lines: list[list[str]] = [[]]
        self.rows: list[list[str]] = []  # of the open table
        self.dropped = 0  # how many elements are open whose text is not read

    def start(self, tag: str, attributes: Any) -> None:
        self.dropped += tag in _DROPPED
        if tag == "img":
            self.left["pictures"] += 1
            self.data(f" {attributes.get('alt') or ''} ")
        elif tag in _EMBEDDED:
            self.left["embedded objects"] += 1
        if tag in _LINES:
            self.lines.append([])
        elif tag not in INLINE:
            self._edge(tag, opens=True)

    def end(self, tag: str) -> None:
        self.dropped -= tag in _DROPPED
        if tag in _LINES:
            self.lines.append([])
        elif tag not in INLINE:
            self._edge(tag, opens=False)

    def data(self, text: str) -> None:
        if not self.dropped:
            self.lines[-1].append(text)

    def comment(self, _: str) -> None:
        pass

    def close(self) -> None:
        pass

    def _edge(self, tag: str, *, opens: bool) -> None:
        """The beginning or end of a block."""
        if tag in ("td", "th"):
            if opens:
                self.end_of_paragraph()
            elif self.rows:
                self.rows[-1].append(" ".join(self._taken()))
        elif tag == "tr":
            self.end_of_paragraph()
            if opens:
                self.rows.append([])
        elif tag == "table":
            self.end_of_paragraph()
            self.end_of_table()
        elif len(tag) == 2 and tag[0] == "h" and tag[1] in "123456" and not opens:
            if title := " ".join(self._taken()):
                self.parts.append(Heading(int(tag[1]), title))
        elif not self.rows:
            self.end_of_paragraph()
        else:
            self.lines.append([])

    def _taken(self) -> list[str]:
        told = [" ".join("".join(line).split()) for line in self.lines]
        self.lines = [[]]
        return list(filter(None, told))

    def end_of_paragraph(self) -> None:
        if told := self._taken():
            self.parts.append(told)

    def end_of_table(self) -> None:
        """A table of one row, or of one column, is a layout: its cells are paragraphs."""
        rows = [row for row in self.rows if any(row)]
        self.rows = []
        if len(rows) < 2 or max(map(len, rows)) < 2:
            self.parts += [[cell] for row in rows for cell in row if cell]
            return
        header = rows[0]
        for row in rows[1:]:
            headings = [*header, *[""] * (len(row) - len(header))]
            self.parts.append(Row(tuple(zip(headings, row, strict=False))))
