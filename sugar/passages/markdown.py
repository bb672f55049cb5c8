"""Markdown, parsed by markdown-it-py: headings become title paths; paragraphs, lists and table rows become
blocks. HTML in it is parsed by lxml. Obsidian's and Notion's marks are read as text.

Only the block structure is parsed by the library, which takes linear time. The marks inside a line (emphasis,
code, links, tags) are taken off by `plain_line`, also in linear time. Dropped: comments, scripts, styles, the
YAML block at the start. Pictures and embedded objects are counted in `left`.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from functools import lru_cache
from itertools import zip_longest
from typing import Any

from lxml.etree import HTMLParser, LxmlError
from markdown_it import MarkdownIt
from markdown_it.token import Token

from sugar.passages.passage import Block, clean, sentences, told_row

_DROPPED = frozenset(("script", "style", "template"))
_LINES = frozenset(("br", "li", "dt", "dd", "summary", "figcaption", "option", "hr"))
INLINE = frozenset(
    str.split("""
    a abbr b bdi bdo big cite code data del dfn em font i img ins kbd label mark q s samp small span strike
    strong sub sup time tt u var wbr ruby rb rt rp picture source
    """)
)
"""Elements inside a line; others begin one."""
_TABLE = frozenset(("td", "th", "tr", "table"))
_EMBEDDED = frozenset(("iframe", "video", "audio", "object", "embed", "svg", "canvas"))
MAX_TITLE = 80
_PICTURE = re.compile(
    r"!\[[^\[\]]{0,300}\][(\[]|!\[\[[^\[\]|]{1,300}\.(?:png|jpe?g|gif|webp|svg|bmp|tiff?|heic)\b", re.I
)
_LINK = re.compile(
    r"!?\[([^\[\]]{0,300})\]"
    r"(?:\((?:<[^<>\n]{0,500}>|(?:[^()\s]|\([^()\s]{0,200}\)){0,500})(?:\s+[\"'][^\"'\n]{0,200}[\"'])?\)"
    r"|\[[^\[\]]{0,100}\])"
)
_WIKI_LINK = re.compile(r"(!?)\[\[([^\[\]|]{1,300}?)\\?(?:\|([^\[\]]{0,300}))?\]\]")
_DEFINITION = re.compile(r"^\[(?!\^)[^\[\]\n]{1,300}\]:[ \t]+\S*[/.#]\S*(?:[ \t]+[\"'(][^\n]{0,200})?$", re.M)
_FOOTNOTE = re.compile(r"\[\^[^\[\]\s]{1,50}\]:?")
_OPENING = re.compile(r"^\s*(?:\[![\w-]{1,40}\][+-]?[ \t]*(?P<title>[^\n]*)\n?|\[[ xX]\][ \t])")
_HIGHLIGHT = re.compile(r"==([^=\n]{1,300})==|%%[^%\n]{0,300}%%")
_TAG = re.compile(
    rf"(`[^`]+`)|</?(?:({'|'.join(sorted(INLINE))})|br|center|p|div|details|summary|input|button)(?:[\s/][^<>]*)?>",
    re.IGNORECASE,
)
_AUTOLINK = re.compile(r"<((?:https?|ftp|mailto):[^<>\s]{1,2000}|[^<>\s@]{1,200}@[^<>\s@]{1,200})>")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_MARKS = str.maketrans("", "", "*`~")
_ONLY_MARKS = frozenset("*_`~ ")


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    """Without link definitions: a footnote of one word would pass for one and be lost."""
    return MarkdownIt("commonmark").enable("table").disable(["inline", "text_join", "reference"])


def read_markdown(text: str, left: Counter[str]) -> list[Block]:
    """One block for each paragraph, list and table row, under the path of headings above it.

    >>> [(b.title, b.sentences) for b in read_markdown("# Trees\n\n## Oaks\n\nIt is tall.", Counter())]
    [('Trees › Oaks', ['It is tall.'])]
    """
    reader = _Reader(left)
    for token in _parser().parse(_without_comments(_without_front_matter(text))):
        reader.take(token)
    return reader.blocks


class _Reader:
    """What is open while the tokens of a Markdown text go by: headings, a list, a table."""

    def __init__(self, left: Counter[str]) -> None:
        self.left = left
        self.blocks: list[Block] = []
        self.path: list[tuple[int, str]] = []  # (level, heading) of the headings above
        self.heading = 0  # the level of the open heading
        self.lists = 0  # how many lists are open, one inside the other
        self.items: list[str] = []  # sentences of the open list
        self.in_cell = False
        self.header: list[str] = []
        self.row: list[str] = []

    def take(self, token: Token) -> None:
        name, _, edge = token.type.rpartition("_")
        if token.type in ("inline", "fence", "code_block"):
            self._text(token)
        elif token.type == "html_block":
            _Html(self).read(token.content)
        elif name == "heading":
            self.heading = int(token.tag[1:]) if edge == "open" else 0
        elif name in ("bullet_list", "ordered_list"):
            self.lists += 1 if edge == "open" else -1
            if not self.lists:
                told, self.items = self.items, []
                self.say(told)
        elif name in ("th", "td"):
            self.in_cell = edge == "open"
        elif name == "tr" and edge == "open":
            self.row = []
        elif name == "tr" and self.header:
            self.say([told_row(zip(self.header, self.row, strict=False))])
        elif token.type == "thead_close":
            self.header = self.row
        elif token.type == "table_close":
            self.header = []

    def _text(self, token: Token) -> None:
        text = token.content
        if token.type == "inline":
            self.left["pictures"] += len(_PICTURE.findall(text))
        if self.heading:
            self.head(self.heading, text)
        elif self.in_cell:
            self.row.append(plain_line(text))
        elif token.type != "inline":
            self.say(sentences(text))
        else:
            opening = _OPENING.match(text)  # a callout's kind and title, or the box of a task
            told = sentences(plain_line(opening["title"] or "")) if opening else []
            self.say(told + sentences(plain_line(text[opening.end() :] if opening else text)))

    def say(self, told: list[str]) -> None:
        """A block of these sentences, or the next ones of the open list."""
        told = list(filter(None, told))
        if self.lists:
            self.items += told
        elif told:
            self.blocks.append(Block(" › ".join(title for _, title in self.path), told))

    def head(self, level: int, text: str) -> None:
        if title := plain_line(text)[:MAX_TITLE]:
            self.path = [(n, t) for n, t in self.path if n < level] + [(level, title)]


class _Html:
    """Reads a piece of HTML by the events of lxml's parser, which builds no tree: no nesting costs memory.

    Scripts, styles and comments are dropped; pictures say their alternative text.
    """

    def __init__(self, reader: _Reader) -> None:
        self.reader = reader
        self.lines: list[list[str]] = [[]]  # of the open paragraph or cell
        self.rows: list[list[str]] = []  # of the open table
        self.dropped = 0  # how many elements are open whose text is not read

    def read(self, text: str) -> None:
        parser = HTMLParser(target=self, recover=True, no_network=True)
        try:
            parser.feed(f"<body>{text}")
            parser.close()
        except LxmlError:
            self.reader.left["pieces of HTML"] += 1
        self._end_of_paragraph()
        self._end_of_table()

    def start(self, tag: str, attributes: Any) -> None:
        self.dropped += tag in _DROPPED
        if tag == "img":
            self.reader.left["pictures"] += 1
            self.data(f" {attributes.get('alt') or ''} ")
        elif tag in _EMBEDDED:
            self.reader.left["embedded objects"] += 1
        self._edge(tag, opens=True)

    def end(self, tag: str) -> None:
        self.dropped -= tag in _DROPPED
        self._edge(tag, opens=False)

    def data(self, text: str) -> None:
        if not self.dropped:
            self.lines[-1].append(text)

    def comment(self, _: str) -> None:
        pass

    def close(self) -> None:
        pass

    def _edge(self, tag: str, *, opens: bool) -> None:
        """The beginning or end of an element."""
        if tag in INLINE:
            return
        heading = not opens and re.fullmatch("h[1-6]", tag)
        if tag in _LINES or (self.rows and tag not in _TABLE and not heading):
            self.lines.append([])
        elif tag in ("td", "th"):
            if opens:
                self._end_of_paragraph()
            elif self.rows:
                self.rows[-1].append(" ".join(self._taken()))
        elif tag == "tr":
            self._end_of_paragraph()
            if opens:
                self.rows.append([])
        elif tag == "table":
            self._end_of_paragraph()
            self._end_of_table()
        elif heading:
            self.reader.head(int(tag[1]), " ".join(self._taken()))
        else:
            self._end_of_paragraph()

    def _taken(self) -> list[str]:
        told = [" ".join("".join(line).split()) for line in self.lines]
        self.lines = [[]]
        return list(filter(None, told))

    def _end_of_paragraph(self) -> None:
        self.reader.say([told for line in self._taken() for told in sentences(plain_line(line))])

    def _end_of_table(self) -> None:
        """A table of one row, or of one column, is a layout: its cells are paragraphs."""
        rows = [[plain_line(cell) for cell in row] for row in self.rows if any(row)]
        self.rows = []
        if len(rows) < 2 or max(map(len, rows)) < 2:
            for cell in (cell for row in rows for cell in row):
                self.reader.say(sentences(cell))
        else:
            for row in rows[1:]:
                self.reader.say([told_row(zip_longest(rows[0][: len(row)], row, fillvalue=""))])


def plain_line(text: str) -> str:
    """A line without the marks of emphasis, code, links, tags and footnotes.

    >>> plain_line("The **oak** in [the park](http://x) is <b>==very==</b> `old`, see [[Oaks|here]]")
    'The oak in the park is very old, see here'
    """
    text = _WIKI_LINK.sub(_linked, _FOOTNOTE.sub("", _DEFINITION.sub("", text)))
    text = _HIGHLIGHT.sub(r"\1", _LINK.sub(r"\1", text))
    text = _ESCAPE.sub(r"\1", _AUTOLINK.sub(r"\1", _TAG.sub(lambda m: m[1] or ("" if m[2] else " "), text)))
    text = html.unescape(text.translate(_MARKS))
    words = [w.strip("_") or w if not _ONLY_MARKS.issuperset(w) else "" for w in clean(text).split(" ")]
    return " ".join(filter(None, words))


def _linked(link: re.Match[str]) -> str:
    """What a wiki link shows: its own words, or the page's name; a picture that is embedded shows none."""
    if link[1] and _PICTURE.match(link[0]):
        return ""
    return link[3] or link[2].replace("#", " ").strip()


def _without_comments(text: str) -> str:
    """The text without what stands between <!-- and -->."""
    kept, at = [], 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
        kept.append(text[at:start])
        at = end + 3
    return "".join([*kept, text[at:]])


def _without_front_matter(text: str) -> str:
    """The text without a YAML block between two lines of dashes at its start."""
    if text.startswith(("---\n", "---\r\n")):
        end = text.find("\n---", 3)
        if 0 <= end < 5000:
            return text[end + 4 :]
    return text
