"""Named bytes become passages: each file goes to the reader of its format, or is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from sugar.errors import ImageError
from sugar.file_names import FileNames
from sugar.images import SUFFIXES as PICTURE_SUFFIXES
from sugar.images import open_image
from sugar.passages.markdown import read_markdown
from sugar.passages.passage import (
    Block,
    Passage,
    PassageLimits,
    Reading,
    clean,
    pack,
    read_plain,
    sentences,
)
from sugar.text_files import Rows, Table, Text, decode, read_json_rows, read_table, word
from sugar.text_files import lines as lines_of

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

_PICTURE = ("picture", "file", "image")
_MAX_FIELD, _MAX_CAPTION = 4000, 2000
_MAX_REFUSED = 50
WANTED = "Give question and answer (and picture), picture and caption, or text (and title)."
_ROOT = Path(__file__).resolve().parents[2]


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


# -- tables


def check_columns(table: Table) -> None:
    """Raises ValueError: no row of this table can say anything."""
    columns = set(table.columns)
    if not ({"question", "answer"} <= columns or "text" in columns) and not (
        "caption" in columns and columns & set(_PICTURE)
    ):
        seen = ", ".join(sorted(columns))[:120] or "none"
        raise ValueError(f"Its columns are {seen}. {WANTED}")


def take_rows(
    name: str,
    rows: Rows,
    pictures: dict[str, Image.Image],
    captions: dict[str, str],
    out: Reading,
    most: int,
) -> None:
    """Put the rows into `out` and `captions`, at most `most` passages; bad rows are refused with their
    reason."""
    out.note(name, *rows.notes)
    bad, names = list(rows.refused), FileNames(pictures)
    for number, row in rows.rows:
        if len(out.passages) > most:
            break
        where = f"{name}, row {number}"
        if reason := _take(where, row, names, pictures, captions, out):
            bad.append((number, reason))
    for number, reason in bad[:_MAX_REFUSED]:
        out.refuse(f"{name}, row {number}", reason)
    if len(bad) > _MAX_REFUSED:
        out.refuse(name, f"{len(bad) - _MAX_REFUSED} more rows were refused.")
    if not rows.rows and not bad:
        raise ValueError(f"It holds no rows. {WANTED}")


def _take(
    where: str,
    row: Any,
    names: FileNames,
    pictures: dict[str, Image.Image],
    captions: dict[str, str],
    out: Reading,
) -> str:
    """Take one row. Returns the reason where it is refused."""
    if not isinstance(row, dict):
        return f"This is not a JSON object. {WANTED}"
    told = {str(key).strip().lower(): text for key, value in row.items() if (text := word(value))}
    values = {key: clean(text) for key, text in told.items()}
    wanted = next((values[k] for k in _PICTURE if values.get(k)), "")
    wanted = PurePosixPath(wanted.replace("\\", "/")).name
    picture = names.find(wanted)
    if wanted and picture is None:
        return f"The picture {wanted[:80]!r} was not sent along. Add it and send both again."
    if values.get("question") and values.get("answer"):
        if max(len(values["question"]), len(values["answer"])) > _MAX_FIELD:
            return f"Its question or answer is longer than {_MAX_FIELD:,} characters. Shorten it."
        out.passages.append(Passage(where, values["question"], values["answer"], pictures.get(picture or "")))
    elif picture and values.get("caption"):
        captions[picture] = capped(where, values["caption"], out)
    elif values.get("text"):
        title = values.get("title", "")[:80]
        label = f"{where} › {title}" if title else where
        block = Block(title, sentences(told["text"]))
        out.passages += [Passage(label, part) for _, part in pack([block])]
    elif values:
        return "A question, an answer, a caption or a text is missing in it."
    return ""


def capped(name: str, caption: str, out: Reading) -> str:
    """A caption, cut where it is too long."""
    if len(caption) > _MAX_CAPTION:
        out.note(name, f"The caption has {len(caption):,} characters; the first {_MAX_CAPTION:,} are read.")
    return caption[:_MAX_CAPTION]


# -- PDF and docx


def read_office(data: bytes, kind: str, limits: PassageLimits, left: Counter[str]) -> list[Block]:
    """The blocks of a PDF or docx. kind: "pdf" or "docx". left: takes the number of parts that are not read.

    Raises ValueError with the reason and the remedy.
    """
    if len(data) > limits.max_office_bytes:
        raise ValueError(
            f"The file has {len(data):,} bytes; {limits.max_office_bytes:,} are read at most. Split it."
        )
    command = [sys.executable, "-m", "sugar.passages.office", kind, str(limits.max_pages)]
    command.append(str(limits.office_seconds))
    try:
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=limits.office_seconds + 10, cwd=_ROOT
        )
    except subprocess.TimeoutExpired:
        raise ValueError(_too_slow(limits.office_seconds)) from None
    lines = lines_of(done.stdout.decode("utf-8", "replace"))
    last = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    if "refused" in last:
        raise ValueError(last["refused"])
    if done.returncode or "done" not in last:
        raise ValueError("The file could not be read within the limits on memory and time. Save it as text.")
    left.update(last["done"])
    return [Block(title, told, page) for title, told, page in map(json.loads, lines[:-1])]


def _too_slow(seconds: int) -> str:
    return f"Reading took longer than {seconds} seconds. Split the file, or save it as text."
