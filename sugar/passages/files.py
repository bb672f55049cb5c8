"""Named bytes become passages: each file goes to the reader of its format, or is refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from PIL import Image

from sugar.errors import ImageError
from sugar.images import SUFFIXES as PICTURE_SUFFIXES
from sugar.images import open_image
from sugar.passages.markdown import read_markdown
from sugar.passages.office import read_office
from sugar.passages.passage import Passage, PassageLimits, Reading
from sugar.passages.plain import read_plain
from sugar.passages.sentences import Block, clean, pack
from sugar.passages.tables import read_csv, read_json_lines, take_rows

__all__ = ["SUFFIXES", "read_files"]

MARKDOWN = (".md", ".markdown")
PLAIN = (".txt", ".text")
ROWS = (".csv", ".tsv", ".jsonl", ".ndjson")
OFFICE = (".pdf", ".docx")
MAX_LINES = 100_000
SUFFIXES = (*MARKDOWN, *PLAIN, *ROWS, *OFFICE)
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
    twins = {PurePosixPath(p).stem: p for p in pictures}
    captions: dict[str, str] = {}
    for name, data in named:
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in PICTURE_SUFFIXES:
            continue
        try:
            if suffix in ROWS:
                text = _decoded(data, limits.max_text_bytes)
                rows = read_json_lines(text) if suffix in (".jsonl", ".ndjson") else read_csv(text)
                take_rows(name, rows, pictures, captions, out, limits.max_passages)
            elif suffix in PLAIN and (twin := twins.get(PurePosixPath(name).stem)):
                captions[twin] = clean(_decoded(data, limits.max_text_bytes)[:4000])[:2000]
            elif suffix in SUFFIXES:
                _take_blocks(name, _blocks(suffix, data, limits), out, limits.max_passages)
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
                pictures[name] = open_image(data, max_side=limits.picture_side).image
            except ImageError as error:
                out.refuse(name, str(error))
    return pictures


def _blocks(suffix: str, data: bytes, limits: PassageLimits) -> Iterable[Block]:
    if suffix in OFFICE:
        return read_office(data, suffix[1:], limits)
    text = _decoded(data, limits.max_text_bytes)
    if (lines := text.count("\n")) > MAX_LINES:
        raise ValueError(f"The file has {lines:,} lines; {MAX_LINES:,} are read at most. Split it.")
    return read_markdown(text) if suffix in MARKDOWN else read_plain(text)


def _take_blocks(name: str, blocks: Iterable[Block], out: Reading, most: int) -> None:
    for block, text in pack(blocks):
        if len(out.passages) > most:
            return
        where = f"{name}, page {block.page}" if block.page else name
        out.passages.append(Passage(f"{where} › {block.title}" if block.title else where, text))


def _name(path: str) -> str:
    return clean(PurePosixPath(path[-400:].replace("\\", "/")).name) or "unnamed"


def _decoded(data: bytes, most: int) -> str:
    """The text of a file. Raises ValueError: too large, not a text, or empty."""
    if len(data) > most:
        raise ValueError(f"The file has {len(data):,} bytes; {most:,} are read at most. Split it.")
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\0" in data[:8192] and not wide:
        raise ValueError("This is not a text (it holds zero bytes). Save it as plain UTF-8 text.")
    text = data.decode("utf-16" if wide else "utf-8-sig", "replace")
    if not text.strip():
        raise ValueError("The file is empty.")
    return text
