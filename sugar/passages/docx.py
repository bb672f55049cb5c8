"""docx, read by python-docx: title paths from headings, blocks from paragraphs and table rows.

Runs in the child process of office.py. A docx is a zip: what it unpacks to is bounded before it is opened.
Page numbers are those of the last print or save, where the file has them.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import docx
from docx.opc.exceptions import PackageNotFoundError
from docx.table import Table
from lxml.etree import LxmlError

from sugar.passages.sentences import Block, sentences

__all__ = ["read_docx"]

MAX_UNPACKED = 100_000_000
MAX_TEXT = 20_000_000
MAX_FILES = 5_000
_DAMAGED = (PackageNotFoundError, LxmlError, KeyError, ValueError, AttributeError, zipfile.BadZipFile)
"""Limits of the unpacked zip: bytes of all files, bytes of one XML file, number of files."""


def read_docx(data: bytes) -> Iterator[Block]:
    """Raises ValueError with the reason: not a docx, too large when unpacked, damaged, or without text."""
    _check(data)
    try:
        document = docx.Document(io.BytesIO(data))
    except _DAMAGED as error:
        raise ValueError("The docx is damaged. Open it in a word processor and save it again.") from error
    path: list[tuple[int, str]] = []
    page, paged, found = 1, False, False
    for part in document.iter_inner_content():
        if isinstance(part, Table):
            blocks = list(_rows(part))
        else:
            breaks = len(part.rendered_page_breaks)
            page, paged = page + breaks, paged or bool(breaks)
            level = _level(part)
            if level and part.text.strip():
                path = [(n, t) for n, t in path if n < level] + [(level, part.text.strip()[:80])]
                continue
            blocks = [sentences(part.text)]
        for told in filter(None, blocks):
            found = True
            yield Block(" › ".join(name for _, name in path), told, page if paged else None)
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


def _level(paragraph: Any) -> int:
    """The level of a heading, 1 to 9; 0 for other paragraphs."""
    name = (paragraph.style.name or "") if paragraph.style is not None else ""
    if name == "Title":
        return 1
    number = name.removeprefix("Heading ")
    return int(number) if name.startswith("Heading ") and number.isdigit() else 0


def _rows(table: Table) -> Iterator[list[str]]:
    """Each row of a table as one sentence: "Name: oak. Height: 20 m."."""
    header: list[str] = []
    for row in table.rows:
        cells = [" ".join(cell.text.split()) for cell in row.cells]
        if not header:
            header = cells
        else:
            yield [" ".join(f"{h}: {c}." if h else f"{c}." for h, c in zip(header, cells, strict=False) if c)]
