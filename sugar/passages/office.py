"""The process that reads one PDF or docx: `python -m sugar.passages.office KIND PAGES SECONDS`.

Bytes come on its standard input. Its standard output is JSON lines: a block each, then {"done": the parts
that were not read, counted by kind} or {"refused": reason}. A hostile file ends this process, not the app.
Not covered: scanned pages (no text recognition), tables of a PDF as tables.
"""

from __future__ import annotations

import io
import json
import logging
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

import docx
from docx.opc.exceptions import PackageNotFoundError
from docx.oxml import parse_xml
from docx.text.paragraph import Paragraph
from lxml.etree import LxmlError
from pypdf import PdfReader
from pypdf.errors import PyPdfError

from sugar.passages.passage import Block, read_plain, sentences, told_row

MAX_MEMORY = 600_000_000
MAX_OUTPUT = 20_000_000
"""Bytes of this process's address space, and of the text that it hands back."""

MAX_PAGE_BYTES = 5_000_000
"""Bytes of the drawing commands of one page."""

MAX_UNPACKED = 100_000_000
MAX_TEXT = 20_000_000
MAX_FILES = 5_000
"""Limits of the unpacked zip: bytes of all files, bytes of one XML file, number of files."""
MAX_HEADER = 80
"""Characters of a cell in a table's header; longer ones make it a layout, not a table of rows."""
_DAMAGED = (PackageNotFoundError, LxmlError, KeyError, ValueError, AttributeError, zipfile.BadZipFile)

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_UNSEEN = frozenset(
    ("del", "moveFrom", "delText", "instrText", "delInstrText", "pPr", "rPr", "sdtPr", "tblPr", "trPr", "rt")
)
"""Deleted text, codes of fields, properties, and readings beside a word (ruby)."""
_SIGNS = {"tab": " ", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "softHyphen": "", "ptab": " "}


def _limit(seconds: int) -> None:
    """Bound memory and processor time of this process, where the system can."""
    try:
        import resource
    except ImportError:  # Windows: the parent's time limit remains
        return
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds + 5, seconds + 5))


def main(kind: str, pages: str, seconds: str) -> None:
    _limit(int(seconds))
    out, written = sys.stdout, 0
    data, left = sys.stdin.buffer.read(), Counter[str]()
    is_pdf = kind == "pdf"
    try:
        for block in read_pdf(data, left, int(pages), int(seconds)) if is_pdf else read_docx(data, left):
            line = json.dumps([block.title, block.sentences, block.page])
            written += len(line)
            if written > MAX_OUTPUT:
                raise ValueError(f"Its text is longer than {MAX_OUTPUT:,} bytes. Split the file.")
            out.write(line + "\n")
        out.write(json.dumps({"done": left}) + "\n")
    except (ValueError, MemoryError, RecursionError) as error:
        reason = str(error) or "It needs too much memory to be read. Save it as text."
        out.write(json.dumps({"refused": reason}) + "\n")


def read_pdf(data: bytes, left: Counter[str], max_pages: int, seconds: float) -> Iterator[Block]:
    """Raises ValueError with the reason: damaged, protected, too many pages, too slow, or without text.

    left: takes the number of pages without text.
    """
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    began, found = time.monotonic(), False
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise ValueError("The PDF is protected by a password. Save it without one.")
        if len(reader.pages) > max_pages:
            raise ValueError(
                f"The PDF has {len(reader.pages):,} pages; {max_pages} are read at most. Split it."
            )
        for number, page in enumerate(reader.pages, 1):
            contents = page.get_contents()
            if contents is not None and len(contents.get_data()) > MAX_PAGE_BYTES:
                raise ValueError(f"Page {number} is too large to be read. Save the file as text.")
            blocks = list(read_plain(page.extract_text() or ""))
            left["pages without text"] += not blocks
            for block in blocks:
                found = True
                yield Block("", block.sentences, number)
            if time.monotonic() - began > seconds:
                raise ValueError(f"Reading took longer than {seconds:.0f} seconds. Split the file.")
    except ValueError:
        raise
    except (PyPdfError, KeyError, TypeError, AttributeError, IndexError, OSError) as error:
        raise ValueError("The PDF is damaged. Open it in a viewer and save it again.") from error
    if not found:
        raise ValueError("The PDF holds no text; its pages may be scans. Use text recognition first.")


# -- docx


def read_docx(data: bytes, left: Counter[str]) -> Iterator[Block]:
    """Raises ValueError with the reason: not a docx, too large when unpacked, damaged, or without text.

    left: takes the number of parts that are not read, by their kind.
    """
    _check(data)
    found = False
    try:
        reader = _Reader(docx.Document(io.BytesIO(data)), left)
        for block in reader.blocks():
            found = True
            yield block
    except _DAMAGED as error:
        raise ValueError("The docx is damaged. Open it in a word processor and save it again.") from error
    if not found:
        raise ValueError("The docx holds no text.")


def _check(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = archive.infolist()
    except zipfile.BadZipFile as error:
        raise ValueError("This is not a docx file. Save it as .docx (not .doc), or as text.") from error
    if len(files) > MAX_FILES:
        raise ValueError(f"The docx holds {len(files):,} files; {MAX_FILES:,} are read at most.")
    if any(f.flag_bits & 1 for f in files):
        raise ValueError("The docx is protected by a password. Save it without one.")
    texts = [f.file_size for f in files if f.filename.endswith((".xml", ".rels"))]
    if sum(f.file_size for f in files) > MAX_UNPACKED or max(texts, default=0) > MAX_TEXT:
        raise ValueError("The docx is too large when unpacked. Split it, or save it as text.")


class _Reader:
    """Walks through the XML of one document; remembers the headings above, the page and the open list."""

    def __init__(self, document: Any, left: Counter[str]) -> None:
        self.document, self.left = document, left
        self.path: list[tuple[int, str]] = []  # (level, heading) of the headings above
        self.page, self.paged = 1, False
        self.items: list[str] = []  # sentences of the open list
        self.notes: dict[tuple[str, str], Any] = {}  # (kind of reference, id) -> a footnote's element
        self.edges: list[Any] = []  # headers and footers
        for relation in document.part.rels.values():
            self._related(relation)

    def _related(self, relation: Any) -> None:
        kind = relation.reltype.rpartition("/")[2]
        if relation.is_external or kind not in ("footnotes", "endnotes", "header", "footer", "comments"):
            return
        root = parse_xml(relation.target_part.blob)
        if kind in ("header", "footer"):
            self.edges.append(root)
        elif kind == "comments":
            self.left["comments"] += len(root)
        else:
            name = kind[:-1] + "Reference"
            self.notes |= {(name, note.get(f"{_W}id", "")): note for note in root}

    def blocks(self) -> Iterator[Block]:
        yield from self._inside(self.document.element.body)
        yield from self._end_of_list()
        self.paged, self.path = False, []
        for told in dict.fromkeys(tuple(self._told(edge)) for edge in self.edges):
            if any(c.isalpha() for sentence in told for c in sentence):
                yield self._block(list(told))

    def _inside(self, parent: Any) -> Iterator[Block]:
        """The blocks of a body, a cell, a text box: paragraphs and tables, in order."""
        for node in _children(parent):
            name = _name(node)
            if name == "p":
                yield from self._paragraph(node)
            elif name == "tbl":
                yield from self._end_of_list()
                yield from self._table(node)
            else:
                yield from self._inside(node)

    def _paragraph(self, node: Any) -> Iterator[Block]:
        breaks = sum(1 for _ in node.iter(f"{_W}lastRenderedPageBreak"))
        self.page, self.paged = self.page + breaks, self.paged or bool(breaks)
        boxes: list[Any] = []
        written = self._text(node, boxes)
        told = [s for line in written.split("\n") for s in sentences(line)]
        style = Paragraph(node, self.document._body).style
        level, listed = _level(style.name if style is not None else "")
        listed = listed or node.find(f"{_W}pPr/{_W}numPr") is not None
        if level and told:
            yield from self._end_of_list()
            self.path = [(n, t) for n, t in self.path if n < level] + [(level, " ".join(told)[:80])]
        elif listed:
            self.items += told
        elif told:
            yield from self._end_of_list()
            yield self._block(told)
        for box in boxes:
            yield from self._inside(box)

    def _end_of_list(self) -> Iterator[Block]:
        if self.items:
            yield self._block(self.items)
        self.items = []

    def _block(self, told: list[str]) -> Block:
        return Block(" › ".join(name for _, name in self.path), told, self.page if self.paged else None)

    def _text(self, node: Any, boxes: list[Any]) -> str:
        """The text of a paragraph, its footnotes behind it; text boxes in it go to `boxes`."""
        pieces: list[str] = []
        notes: list[str] = []
        self._write(node, pieces, notes, boxes)
        return "\n".join(["".join(pieces), *notes])

    def _write(self, node: Any, pieces: list[str], notes: list[str], boxes: list[Any]) -> None:
        for child in _children(node):
            name = _name(child)
            if name == "t":
                pieces.append(child.text or "")
            elif name in _SIGNS:
                pieces.append(_SIGNS[name])
            elif name in ("drawing", "pict", "object"):
                self._drawn(child, boxes)
            elif name in ("footnoteReference", "endnoteReference"):
                note = self.notes.pop((name, child.get(f"{_W}id", "")), None)
                if note is not None:
                    notes += self._told(note)
            else:
                self._write(child, pieces, notes, boxes)

    def _told(self, parent: Any) -> list[str]:
        """All sentences in a footnote, a header or a footer."""
        rows = [row for table in _found(parent, "tbl") for row in _found(table, "tr")]
        cells = [cell for row in rows for cell in _found(row, "tc")]
        return [*self._words(parent), *(told for cell in cells for told in self._told(cell))]

    def _drawn(self, node: Any, boxes: list[Any]) -> None:
        """The text boxes in a drawing; pictures and charts in it are counted."""
        for child in _children(node):
            name = _name(child)
            if name == "txbxContent":
                boxes.append(child)
                continue
            kind = {"blip": "pictures", "imagedata": "pictures", "chart": "charts", "relIds": "diagrams"}
            if name in kind or name == "OLEObject":
                self.left[kind.get(name, "embedded objects")] += 1
            self._drawn(child, boxes)

    # -- tables

    def _table(self, table: Any) -> Iterator[Block]:
        """Each row as one sentence: "Name: oak. Height: 20 m.". A table of one row or one column, or without
        a header of short cells, is a layout: its cells one after the other."""
        rows = [list(_cells(row)) for row in _found(table, "tr")]
        first = [cell for _, _, cell in rows[0]] if rows else []
        layout = len(rows) < 2 or max(map(len, rows)) < 2
        if layout or any(_length(c) > MAX_HEADER or any(_found(c, "tbl")) for c in first):
            for row in rows:
                for _, _, cell in row:
                    yield from self._inside(cell)
                    yield from self._end_of_list()
            return
        header = {at: " ".join(self._words(cell)) for at, _, cell in rows[0]}
        for row in rows[1:]:
            cells = [(header.get(at, "") if width == 1 else "", cell) for at, width, cell in row]
            if told := told_row((heading, " ".join(self._words(cell))) for heading, cell in cells):
                yield self._block([told])
            for _, _, cell in row:
                for inner in _found(cell, "tbl"):
                    yield from self._table(inner)

    def _words(self, cell: Any) -> list[str]:
        """The sentences of a cell's own paragraphs and text boxes; its tables are read behind the row."""
        out: list[str] = []
        for paragraph in _found(cell, "p"):
            boxes: list[Any] = []
            out += sentences(self._text(paragraph, boxes))
            out += [told for box in boxes for told in self._words(box)]
        return out


def _name(node: Any) -> str:
    return str(node.tag).rpartition("}")[2]


def _children(node: Any) -> Iterator[Any]:
    """The elements in one that a reader of the page sees; of alternatives the first that is not empty."""
    for child in node:
        if not isinstance(child.tag, str) or (name := _name(child)) in _UNSEEN or _hidden(child, name):
            continue
        if name == "AlternateContent":
            chosen = next((c for c in child if _name(c) in ("Choice", "Fallback") and len(c)), None)
            yield from _children(chosen) if chosen is not None else ()
        else:
            yield child


def _hidden(node: Any, name: str) -> bool:
    """Hidden words, deleted rows, what stands in an empty form field, and the table of contents."""
    if name == "r":
        mark = node.find(f"{_W}rPr/{_W}vanish")
        return mark is not None and mark.get(f"{_W}val") not in ("0", "false", "off")
    if name == "tr":
        return node.find(f"{_W}trPr/{_W}del") is not None
    if name == "sdt":
        contents = node.find(f"{_W}sdtPr/{_W}docPartObj/{_W}docPartGallery")
        empty = node.find(f"{_W}sdtPr/{_W}showingPlcHdr") is not None
        return empty or (contents is not None and contents.get(f"{_W}val") == "Table of Contents")
    return False


def _found(node: Any, name: str) -> Iterator[Any]:
    """The nearest elements of a name: not those inside another of them, or inside a table."""
    for child in _children(node):
        if (own := _name(child)) == name:
            yield child
        elif own not in ("tbl", "drawing", "pict", "object"):
            yield from _found(child, name)


def _cells(row: Any) -> Iterator[tuple[int, int, Any]]:
    """(first column, columns, cell) of the cells in a row; of merged cells the first alone."""
    at = _number(row.find(f"{_W}trPr/{_W}gridBefore"), 0)
    for cell in _found(row, "tc"):
        width = _number(cell.find(f"{_W}tcPr/{_W}gridSpan"), 1)
        merged = [cell.find(f"{_W}tcPr/{_W}{direction}") for direction in ("vMerge", "hMerge")]
        if all(mark is None or mark.get(f"{_W}val") == "restart" for mark in merged):
            yield at, width, cell
        at += width


def _number(node: Any, default: int) -> int:
    """The whole number that an element holds. Nothing is made in that number: 1e8 columns cost nothing."""
    value = node.get(f"{_W}val", "") if node is not None else ""
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else default


def _length(node: Any) -> int:
    return sum(len(text.text or "") for text in node.iter(f"{_W}t"))


def _level(style: str) -> tuple[int, bool]:
    """The level of a heading, 1 to 9, by the name of a paragraph's style; 0 for others. And is it a list?"""
    number = style.removeprefix("Heading ")
    level = 1 if style == "Title" else int(number) if number != style and number.isdigit() else 0
    return level, style.startswith(("List Bullet", "List Number"))


if __name__ == "__main__":
    main(*sys.argv[1:])
