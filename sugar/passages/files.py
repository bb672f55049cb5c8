"""Named bytes become passages: each file goes to the reader of its format, or is refused."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from PIL import Image

from sugar.errors import ImageError
from sugar.file_names import FileNames
from sugar.images import SUFFIXES as PICTURE_SUFFIXES
from sugar.images import open_image
from sugar.passages.markdown import read_markdown
from sugar.passages.office import read_office
from sugar.passages.passage import Passage, PassageLimits, Reading
from sugar.passages.plain import read_plain
from sugar.passages.sentences import Block, clean, pack
from sugar.passages.tables import capped, check_columns, take_rows
from sugar.text_files import Text, decode, read_json_rows, read_table

__all__ = ["SUFFIXES", "read_files"]

MARKDOWN = (".md", ".markdown")
PLAIN = (".txt", ".text")
TABLES = (".csv", ".tsv")
JSON = (".jsonl", ".ndjson", ".json")
OFFICE = (".pdf", ".docx")
MAX_LINES = 100_000
SUFFIXES = (*MARKDOWN, *PLAIN, *TABLES, *JSON, *OFFICE)
"""Suffixes of the files that are read beside pictures."""
_READ = f"Use {', '.join(s[1:] for s in SUFFIXES)}, or pictures."


def read_files(files: Sequence[tuple[str, bytes]], limits: PassageLimits | None = None) -> Reading:
    """Passages of named files.

    A text file with the name of a picture beside it is that picture's caption. Nothing raises: a file that
    cannot be read is refused with its reason.
    """
    limits = limits or PassageLimits()
    out = Reading()
    if len(files) > limits.max_files:
        extra = len(files) - limits.max_files
        out.refuse(f"{extra} files", f"A knowledge base takes {limits.max_files} files. Send fewer.")
    named = [(_name(path), data) for path, data in files[: limits.max_files]]
    pictures = _pictures(named, limits, out)
    names = FileNames(pictures)
    captions: dict[str, str] = {}
    began = time.monotonic()
    for name, data in named:
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in PICTURE_SUFFIXES:
            continue
        try:
            if time.monotonic() - began > limits.all_seconds:
                raise ValueError(
                    f"Reading the files before it took {limits.all_seconds} seconds. Send it by itself."
                )
            if suffix in TABLES:
                check_columns(table := read_table(_bounded(data, limits.max_text_bytes)))
                take_rows(name, table, pictures, captions, out, limits.max_passages)
            elif suffix in JSON:
                rows = read_json_rows(_bounded(data, limits.max_text_bytes))
                take_rows(name, rows, pictures, captions, out, limits.max_passages)
            elif suffix in PLAIN and (twin := names.find(PurePosixPath(name).stem)):
                text = _decoded(data, limits.max_text_bytes)
                out.note(name, text.note)
                captions[twin] = capped(name, clean(text.text), out)
            elif suffix in SUFFIXES:
                _take_blocks(name, suffix, data, limits, out)
            else:
                out.refuse(name, f"{suffix or 'A file without suffix'} is not read. {_READ}")
        except ValueError as error:
            out.refuse(name, str(error))
    used = {id(p.image) for p in out.passages}
    for name, image in pictures.items():
        if name in captions or id(image) not in used:
            out.passages.append(Passage(name, captions.get(name, ""), image=image))
    if len(out.passages) > limits.max_passages:
        most = f"A knowledge base takes {limits.max_passages:,} passages"
        out.refuse("the last passages", f"{most}; the rest was left out. Split the files.")
        del out.passages[limits.max_passages :]
    return out


def _pictures(
    named: Sequence[tuple[str, bytes]], limits: PassageLimits, out: Reading
) -> dict[str, Image.Image]:
    pictures: dict[str, Image.Image] = {}
    for name, data in named:
        if PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES:
            try:
                image = open_image(data, max_side=limits.picture_side).image
                if pictures.setdefault(name, image) is not image:
                    out.refuse(name, "Another picture of this name was sent too. Rename one of them.")
            except ImageError as error:
                out.refuse(name, str(error))
    return pictures


def _take_blocks(name: str, suffix: str, data: bytes, limits: PassageLimits, out: Reading) -> None:
    left: Counter[str] = Counter()
    blocks: Iterable[Block]
    if suffix in OFFICE:
        blocks = read_office(data, suffix[1:], limits, left)
    else:
        text = _decoded(data, limits.max_text_bytes)
        out.note(name, text.note)
        if (lines := text.text.count("\n")) > MAX_LINES:
            raise ValueError(f"The file has {lines:,} lines; {MAX_LINES:,} are read at most. Split it.")
        blocks = read_markdown(text.text, left) if suffix in MARKDOWN else read_plain(text.text)
    before = len(out.passages)
    for block, part in pack(blocks):
        if len(out.passages) > limits.max_passages:
            return
        where = f"{name}, page {block.page}" if block.page else name
        out.passages.append(Passage(f"{where} › {block.title}" if block.title else where, part))
    parts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(left.items()) if count)
    if len(out.passages) == before:
        raise ValueError(f"No words of it can be read{f' (not read: {parts})' if parts else ''}.")
    out.note(name, f"Not read: {parts}." if parts else "")


def _name(path: str) -> str:
    return clean(PurePosixPath(path[-400:].replace("\\", "/")).name) or "unnamed"


def _decoded(data: bytes, most: int) -> Text:
    """The text of a file. Raises ValueError: too large, not a text, or empty."""
    text = decode(_bounded(data, most))
    if not text.text.strip():
        raise ValueError("The file is empty.")
    return text


def _bounded(data: bytes, most: int) -> bytes:
    if len(data) > most:
        raise ValueError(f"The file has {len(data):,} bytes; {most:,} are read at most. Split it.")
    if not data.strip():
        raise ValueError("The file is empty.")
    return data
