"""The one reading of text files: notes, captions, training tables, benchmarks, saved lines.

    text = decode(data)                       # Text: .text, .encoding, .guessed
    for line in lines(text.text): ...         # a line ends at a newline and nowhere else
    table = read_table(data)                  # csv, tsv, ; or |, also with Excel's `sep=` line
    rows = read_json_rows(data)               # JSON lines, or one JSON list
    value = read_json(data)                   # one JSON document
    word(row.get("caption"))                  # a text, or None where there is nothing

An encoding that no mark announces is detected by chardet among those that people's files have. What was
guessed is told in `notes`. Not covered: what a row means; Office, PDF and Markdown (passages).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sugar.errors import InputError

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
"""Byte order marks; UTF-32's begins with UTF-16's, so it is asked first."""

_UNMARKED = (
    *("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"),
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874"),
    *("koi8-r", "mac-roman", "gb18030", "big5hkscs", "cp932", "euc_jis_2004", "cp949"),
)
"""What files without a mark are in: Windows' code pages, the East Asian ones, Mac Roman, KOI8."""

DOS = ("cp437", "cp850", "cp852", "cp866")
"""Code pages of names in zip files, beside those of `_UNMARKED`."""

_MIXED = re.compile(r"[A-Za-z][\u0370-\u06ff]|[\u0370-\u06ff][A-Za-z]")
"""A Latin letter beside a Greek, Cyrillic, Hebrew or Arabic one: no word of any language."""

_BINARY = re.compile(r"[\x00-\x08\x0e-\x1a\x7f]")
_NAMES = {
    "gb18030": "GBK",
    "cp932": "Shift-JIS",
    "euc_jis_2004": "EUC-JP",
    "cp949": "EUC-KR",
    "big5hkscs": "Big5",
}
_UNSEEN = " \n\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
"""What a text may hold without saying anything: joiners, marks of direction, a byte order mark."""

_MAX_QUOTED = 100_000
_MAX_REFUSED = 50


@dataclass(frozen=True)
class Text:
    """A decoded file: lines end at "\\n", and there is no byte order mark.

    guessed: the encoding was detected from the bytes, not announced by them.
    """

    text: str
    encoding: str
    guessed: bool = False

    @property
    def note(self) -> str:
        """What a person should know of the guess; "" where nothing was guessed."""
        name = _NAMES.get(self.encoding, self.encoding.replace("cp12", "Windows-12").upper())
        name = name.replace("WINDOWS", "Windows")
        remedy = "If letters are wrong, save it as UTF-8."
        return f"Its encoding is not UTF-8; it was read as {name}. {remedy}" if self.guessed else ""


def decode(data: bytes) -> Text:
    """The text of a file's bytes.

    Raises:
        InputError: it is not a text.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    if encoding:
        return Text(_newlines(data.decode(encoding, "replace").removeprefix("\ufeff")), encoding)
    if b"\0" not in data:
        try:
            return _checked(data.decode("utf-8"), "utf-8", False)
        except UnicodeDecodeError:
            pass
    encoding = detect(data)
    return _checked(data.decode(encoding, "replace"), encoding, encoding != "utf-8")


def detect(data: bytes, more: Sequence[str] = ()) -> str:
    """The Python name of the likeliest encoding of bytes without a mark.

    more: code pages to consider beside the usual ones, as `DOS` for the names in a zip.
    Raises InputError: it is not a text.
    """
    import chardet

    found = chardet.detect(data, include_encodings=(*_UNMARKED, *more), compat_names=False)["encoding"]
    if found is None:
        raise InputError("This is not a text (its bytes are of another kind of file). Save it as UTF-8 text.")
    # chardet judges bytes; a word in two alphabets shows that it took Latin letters with accents for others.
    # Only the Western page is tried instead: it is the commonest, and the confusion needs few accents.
    if _MIXED.search(data[:200_000].decode(found, "replace")):
        western = data.decode("cp1252", "replace")
        if "\ufffd" not in western:
            return "cp1252"
    return found


def _checked(text: str, encoding: str, guessed: bool) -> Text:
    """Refuse what decodes by chance: more than one in fifty control characters is no text."""
    if len(_BINARY.findall(text[:100_000])) * 50 > min(len(text), 100_000):
        raise InputError("This is not a text (it holds control bytes). Save it as UTF-8 text.")
    return Text(_newlines(text), encoding, guessed)


def _newlines(text: str) -> str:
    text = text.replace("\r\n", "\n")
    return text if "\n" in text else text.replace("\r", "\n")  # a lone CR ended lines on old Macs


def lines(text: str) -> list[str]:
    r"""Its lines. One ends at "\n" (or "\r\n") only: str.splitlines also splits at U+2028, U+0085, \v, \f.

    >>> lines("a\u2028b\nc\n")
    ['a\u2028b', 'c']
    """
    parts = [part.removesuffix("\r") for part in text.split("\n")]
    return parts[:-1] if parts[-1] == "" else parts


def clean_text(text: str) -> str:
    """The text as UTF-8 can hold it: halves of surrogate pairs are joined, a lone one is replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def word(value: Any) -> str | None:
    """What a value of a table or of JSON says, stripped. None where it says nothing: null, NaN, "", a list.

    A number is its shortest text, and a truth value is "true" or "false".

    >>> word(" a dog "), word(4), word(4.0), word(True), word(None), word(float("nan")), word([])
    ('a dog', '4', '4', 'true', None, None, None)
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, str):
        text = clean_text(value).strip()
        return text if text.strip(_UNSEEN) else None
    return None


@dataclass
class Rows:
    """The rows of a file with their numbers (lines of the file from 1), and what could not be read.

    refused: (line, reason) of rows that are passed over. notes: what was guessed, a sentence each.
    """

    rows: list[tuple[int, Any]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def refusals(self) -> list[str]:
        """The refused rows as sentences, at most 50, and one for the rest."""
        said = [f"row {number}: {reason}" for number, reason in self.refused[:_MAX_REFUSED]]
        rest = len(self.refused) - _MAX_REFUSED
        return [*said, f"{rest:,} more rows were refused."] if rest > 0 else said


@dataclass
class Table(Rows):
    """Rows are dicts from a column's name (lower case, stripped) to its text; empty cells are ""."""

    columns: tuple[str, ...] = ()
    rows: list[tuple[int, dict[str, str]]] = field(default_factory=list)


def read_json(data: bytes) -> Any:
    """One JSON document; NaN and Infinity are None. Raises InputError where it is none."""
    try:
        return _loads(decode(data).text)
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, InputError) else InputError(_why(error)) from None


def read_json_rows(data: bytes) -> Rows:
    """The values of a JSON lines file, or of one JSON list (numbered from 1), whatever the file's name says.

    A line that is no JSON is refused with its reason; the others are kept. Raises InputError: no text.
    """
    text = decode(data)
    out = Rows(notes=[text.note] if text.note else [])
    if text.text.lstrip()[:1] == "[":
        try:
            values = _loads(text.text)
            if isinstance(values, list):
                out.rows = list(enumerate(values, 1))
                return out
        except (ValueError, RecursionError):
            pass  # lines that each hold a list, or a list cut short: line by line says where it breaks
    for number, line in enumerate(lines(text.text), 1):
        if line.strip():
            try:
                out.rows.append((number, _loads(line)))
            except (ValueError, RecursionError) as error:
                out.refused.append((number, _why(error)))
    return out


def _loads(text: str) -> Any:
    return json.loads(text, parse_constant=lambda _: None)


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "This is not JSON that can be read: it is nested too deep."
    return f"This is not JSON ({error}). Write one object on each line."


def read_table(data: bytes, *, known: Collection[str] = (), columns: Sequence[str] = ()) -> Table:
    """The rows of a csv or tsv as a person's program wrote it.

    The separator is the one that a first line `sep=;` names, or that occurs most in the header; where the
    first line may be a row, with commas in its text, a tab or what occurs first. A quoted cell may hold
    separators, quotation marks (doubled) and lines. A quotation mark that nothing closes, or that would
    swallow rows, is a character like any other. Cells beyond the header belong to the last column.

    Args:
        known: names of columns. Where the first row has none of them, it is a row, and the columns are those
            of `columns` by their order.

    Raises:
        InputError: no text.
    """
    text = decode(data)
    out = Table(notes=[text.note] if text.note else [])
    body, first = text.text, 1
    head = body.split("\n", 1)[0]
    separator = ""
    if mark := re.fullmatch(r'"?sep=(.)"?[,;\t|]*', head.strip(" ")):
        separator, body, first = mark[1], body[len(head) + 1 :], 2
        head = body.split("\n", 1)[0]
    head = head or body.lstrip("\n").split("\n", 1)[0]
    separator = separator or _separator(re.sub(r'"[^"]*"', "", head[:4096]), bool(known))
    unclosed: list[int] = []
    records = _records(body, separator, first, unclosed)
    names: list[str] = []
    long = 0
    for number, cells in records:
        if not names:
            names = [clean_text(cell).strip().lower() for cell in cells]
            if known and not set(names) & set(known):
                names = list(columns[: len(cells)])
            else:
                continue
        if len(cells) > len(names):
            extra = cells[len(names) - 1 :]
            long += any(cell.strip() for cell in cells[len(names) :])
            cells = [*cells[: len(names) - 1], separator.join(extra).rstrip(separator)]
        row: dict[str, str] = {}
        for name, cell in zip(names, cells, strict=False):
            if name:
                row.setdefault(name, clean_text(cell).strip())
        out.rows.append((number, row))
    out.columns = tuple(dict.fromkeys(filter(None, names)))
    if unclosed:
        where = ", ".join(map(str, unclosed[:5])) + (" ..." if len(unclosed) > 5 else "")
        out.notes.append(f"A quotation mark is not closed in row {where}; it was read as a character.")
    if long:
        out.notes.append(
            f"{long:,} rows have more cells than the header; the rest belongs to the last column."
        )
    return out


def _separator(head: str, may_be_row: bool) -> str:
    found = [s for s in "\t;,|" if s in head] or ["\t"]
    if not may_be_row:
        return max(found, key=head.count)
    return "\t" if "\t" in found else min(found, key=head.find)


def _records(text: str, separator: str, line: int, unclosed: list[int]) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each record that is not empty; lines with an open quotation mark go to `unclosed`."""
    at, width = 0, 0
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        cells, stop = _record(text, at, end, separator, width)
        if stop < 0:
            unclosed.append(line)
            cells, stop = text[at:end].split(separator), end
        if any(cell.strip() for cell in cells):
            width = width or len(cells)
            yield line, cells
        line += text.count("\n", at, stop) + 1
        at = stop + 1


def _record(text: str, at: int, end: int, separator: str, width: int) -> tuple[list[str], int]:
    """The cells of the record at `at` and where it ends; -1 where a quotation mark does not close well.

    end: the end of its first line. width: the header's number of cells.
    """
    cells: list[str] = []
    while True:
        start = at
        while text[start : start + 1] == " ":
            start += 1
        if text[start : start + 1] != '"':
            stop = text.find(separator, at, end)
            cells.append(text[at : stop if stop >= 0 else end])
            if stop < 0:
                return cells, end
            at = stop + 1
            continue
        close = _closing(text, start + 1)
        after = close + 1
        while close >= 0 and text[after : after + 1] == " ":
            after += 1
        inside = text[start + 1 : close].replace('""', '"') if close >= 0 else ""
        swallows = "\n" in inside and _are_rows(inside, separator, width)
        if close < 0 or text[after : after + 1] not in ("", "\n", separator) or swallows:
            escaped = _ESCAPED.match(text, start, end)
            if not escaped or text[escaped.end() : escaped.end() + 1] not in ("", "\n", separator):
                return cells, -1
            inside, after = re.sub(r"\\(.)", r"\1", escaped[1]), escaped.end()
        cells.append(inside)
        if text[after : after + 1] != separator:
            return cells, after
        at = after + 1
        if at > end:
            end = text.find("\n", at)
            end = len(text) if end < 0 else end


_ESCAPED = re.compile(r'"((?:[^"\\\n]|\\.)*)" *')
"""A quoted cell as databases write it: quotation marks in it stand behind a backslash."""


def _closing(text: str, at: int) -> int:
    """Where the quotation mark that closes a cell stands; -1 without one near."""
    limit = at + _MAX_QUOTED
    while True:
        mark = text.find('"', at, limit)
        if mark < 0 or text[mark + 1 : mark + 2] != '"':
            return mark
        at = mark + 2


def _are_rows(inside: str, separator: str, width: int) -> bool:
    """Whether the later lines of a quoted cell look like rows that an open quotation mark swallowed.

    Each has all the header's cells, and the first of them is one word, as a file's name is.
    """
    later = inside.split("\n")[1:]
    return (
        all(
            part.count(separator) == width - 1
            and (separator == "\t" or " " not in part.split(separator)[0].strip())
            for part in later
        )
        and width > 1
    )
