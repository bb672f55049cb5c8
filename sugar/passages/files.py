"""Named bytes become passages: each file goes to the reader of its format, or is refused.

A row of a csv or of JSON lines with `question` and `answer` (and `picture`) is a pair. One with `picture` and
`caption` captions a picture that was handed in together with the file. One with `text` (and `title`) is a
passage. `file` and `image` are read as `picture`.
"""

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
from sugar.passages.passage import Block, Passage, PassageLimits, Reading, clean, pack, read_plain, sentences
from sugar.text_files import Rows, Table, Text, decode, read_json_rows, read_table, word
from sugar.text_files import lines as lines_of

MARKDOWN = (".md", ".markdown")
PLAIN = (".txt", ".text")
TABLES = (".csv", ".tsv")
JSON = (".jsonl", ".ndjson", ".json")
OFFICE = (".pdf", ".docx")
SUFFIXES = (*MARKDOWN, *PLAIN, *TABLES, *JSON, *OFFICE)
"""Suffixes of the files that are read beside pictures."""

MAX_LINES = 100_000
MAX_FIELD, MAX_CAPTION = 4000, 2000
MAX_REFUSED = 50
_PICTURE = ("picture", "file", "image")
_WANTED = "Give question and answer (and picture), picture and caption, or text (and title)."
_ROOT = Path(__file__).resolve().parents[2]


def read_files(files: Sequence[tuple[str, bytes]], limits: PassageLimits | None = None) -> Reading:
    """Passages of named files.

    A text file with the name of a picture beside it is that picture's caption. Nothing raises: a file that
    cannot be read is refused with its reason.
    """
    return _Reader(limits or PassageLimits()).read(files)


class _Reader:
    """Reads the files of one knowledge base. captions: name of a picture -> its caption."""

    def __init__(self, limits: PassageLimits) -> None:
        self.limits, self.out = limits, Reading()
        self.pictures: dict[str, Image.Image] = {}
        self.captions: dict[str, str] = {}
        self.names = FileNames(())

    def read(self, files: Sequence[tuple[str, bytes]]) -> Reading:
        limits, out = self.limits, self.out
        if len(files) > limits.max_files:
            extra = len(files) - limits.max_files
            out.refuse(f"{extra} files", f"A knowledge base takes {limits.max_files} files. Send fewer.")
        named = [(_name(path), data) for path, data in files[: limits.max_files]]
        pictures = [(n, data) for n, data in named if PurePosixPath(n).suffix.lower() in PICTURE_SUFFIXES]
        for name, data in pictures:
            self._picture(name, data)
        self.names = FileNames(self.pictures)
        began = time.monotonic()
        for name, data in named:
            if PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES:
                continue
            try:
                if time.monotonic() - began > limits.all_seconds:
                    raise ValueError(
                        f"Reading the files before it took {limits.all_seconds} seconds. Send it by itself."
                    )
                self._file(name, data)
            except ValueError as error:
                out.refuse(name, str(error))
        used = {id(p.image) for p in out.passages}
        for name, image in self.pictures.items():
            if name in self.captions or id(image) not in used:
                out.passages.append(Passage(name, self.captions.get(name, ""), image=image))
        if len(out.passages) > limits.max_passages:
            most = f"A knowledge base takes {limits.max_passages:,} passages"
            out.refuse("the last passages", f"{most}; the rest was left out. Split the files.")
            del out.passages[limits.max_passages :]
        return out

    def _picture(self, name: str, data: bytes) -> None:
        try:
            image = open_image(data, max_side=self.limits.picture_side).image
            if self.pictures.setdefault(name, image) is not image:
                self.out.refuse(name, "Another picture of this name was sent too. Rename one of them.")
        except ImageError as error:
            self.out.refuse(name, str(error))

    def _file(self, name: str, data: bytes) -> None:
        """One file that is no picture. Raises ValueError with the reason where it is refused as a whole."""
        suffix = PurePosixPath(name).suffix.lower()
        if suffix not in SUFFIXES:
            known = ", ".join(s[1:] for s in SUFFIXES)
            raise ValueError(f"{suffix or 'A file without suffix'} is not read. Use {known}, or pictures.")
        if suffix in OFFICE:
            left: Counter[str] = Counter()
            self._blocks(name, read_office(data, suffix[1:], self.limits, left), left)
            return
        most = self.limits.max_text_bytes
        if len(data) > most:
            raise ValueError(f"The file has {len(data):,} bytes; {most:,} are read at most. Split it.")
        if not data.strip():
            raise ValueError("The file is empty.")
        if suffix in TABLES:
            self._rows(name, _checked(read_table(data)))
        elif suffix in JSON:
            self._rows(name, read_json_rows(data))
        else:
            self._text(name, suffix, decode(data))

    # -- texts

    def _text(self, name: str, suffix: str, text: Text) -> None:
        if not text.text.strip():
            raise ValueError("The file is empty.")
        self.out.note(name, text.note)
        if suffix in PLAIN and (picture := self.names.find(PurePosixPath(name).stem)):
            self._caption(name, picture, clean(text.text))
            return
        if (lines := text.text.count("\n")) > MAX_LINES:
            raise ValueError(f"The file has {lines:,} lines; {MAX_LINES:,} are read at most. Split it.")
        left: Counter[str] = Counter()
        is_markdown = suffix in MARKDOWN
        self._blocks(name, read_markdown(text.text, left) if is_markdown else read_plain(text.text), left)

    def _blocks(self, name: str, blocks: Iterable[Block], left: Counter[str]) -> None:
        """left: the number of parts that are not read, by their kind."""
        before = len(self.out.passages)
        for block, part in pack(blocks):
            if len(self.out.passages) > self.limits.max_passages:
                return
            where = f"{name}, page {block.page}" if block.page else name
            self.out.passages.append(Passage(f"{where} › {block.title}" if block.title else where, part))
        parts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(left.items()) if count)
        if len(self.out.passages) == before:
            raise ValueError(f"No words of it can be read{f' (not read: {parts})' if parts else ''}.")
        self.out.note(name, f"Not read: {parts}." if parts else "")

    def _caption(self, where: str, picture: str, caption: str) -> None:
        if (length := len(caption)) > MAX_CAPTION:
            said = f"The caption has {length:,} characters; the first {MAX_CAPTION:,} are read."
            self.out.note(where, said)
        self.captions[picture] = caption[:MAX_CAPTION]

    # -- rows

    def _rows(self, name: str, rows: Rows) -> None:
        """The rows of a table or of JSON; bad ones are refused with their reason."""
        self.out.note(name, *rows.notes)
        bad = list(rows.refused)
        for number, row in rows.rows:
            if len(self.out.passages) > self.limits.max_passages:
                break
            if reason := self._row(f"{name}, row {number}", row):
                bad.append((number, reason))
        for number, reason in bad[:MAX_REFUSED]:
            self.out.refuse(f"{name}, row {number}", reason)
        if len(bad) > MAX_REFUSED:
            self.out.refuse(name, f"{len(bad) - MAX_REFUSED} more rows were refused.")
        if not rows.rows and not bad:
            raise ValueError(f"It holds no rows. {_WANTED}")

    def _row(self, where: str, row: Any) -> str:
        """Take one row. Returns the reason where it is refused."""
        if not isinstance(row, dict):
            return f"This is not a JSON object. {_WANTED}"
        told = {str(key).strip().lower(): text for key, value in row.items() if (text := word(value))}
        values = {key: clean(text) for key, text in told.items()}
        wanted = next((values[k] for k in _PICTURE if values.get(k)), "")
        wanted = PurePosixPath(wanted.replace("\\", "/")).name
        picture = self.names.find(wanted)
        if wanted and picture is None:
            return f"The picture {wanted[:80]!r} was not sent along. Add it and send both again."
        question, answer = values.get("question", ""), values.get("answer", "")
        if question and answer:
            if max(len(question), len(answer)) > MAX_FIELD:
                return f"Its question or answer is longer than {MAX_FIELD:,} characters. Shorten it."
            self.out.passages.append(Passage(where, question, answer, self.pictures.get(picture or "")))
        elif picture and values.get("caption"):
            self._caption(where, picture, values["caption"])
        elif values.get("text"):
            title = values.get("title", "")[:80]
            label = f"{where} › {title}" if title else where
            block = Block(title, sentences(told["text"]))
            self.out.passages += [Passage(label, part) for _, part in pack([block])]
        elif values:
            return "A question, an answer, a caption or a text is missing in it."
        return ""


def _checked(table: Table) -> Table:
    """Raises ValueError: no row of this table can say anything."""
    columns = set(table.columns)
    captions = "caption" in columns and columns & set(_PICTURE)
    if not ({"question", "answer"} <= columns or "text" in columns or captions):
        seen = ", ".join(sorted(columns))[:120] or "none"
        raise ValueError(f"Its columns are {seen}. {_WANTED}")
    return table


def _name(path: str) -> str:
    return clean(PurePosixPath(path[-400:].replace("\\", "/")).name) or "unnamed"


def read_office(data: bytes, kind: str, limits: PassageLimits, left: Counter[str]) -> list[Block]:
    """The blocks of a PDF or docx, read by a child process (office.py) within limits on memory and time.

    kind: "pdf" or "docx". left: takes the number of parts that are not read. Raises ValueError with the
    reason and the remedy.
    """
    if len(data) > limits.max_office_bytes:
        raise ValueError(
            f"The file has {len(data):,} bytes; {limits.max_office_bytes:,} are read at most. Split it."
        )
    seconds = limits.office_seconds
    command = [sys.executable, "-m", "sugar.passages.office", kind, str(limits.max_pages), str(seconds)]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=seconds + 10, cwd=_ROOT)
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"Reading took longer than {seconds} seconds. Split the file, or save it as text."
        ) from None
    lines = lines_of(done.stdout.decode("utf-8", "replace"))
    last = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    if "refused" in last:
        raise ValueError(last["refused"])
    if done.returncode or "done" not in last:
        raise ValueError("The file could not be read within the limits on memory and time. Save it as text.")
    left.update(last["done"])
    return [Block(title, told, page) for title, told, page in map(json.loads, lines[:-1])]
