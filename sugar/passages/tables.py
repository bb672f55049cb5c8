"""csv and JSON lines: question/answer pairs, captions of pictures, or texts.

A row with `question` and `answer` (and `picture`) is a pair. A row with `picture` and `caption` captions a
picture that was handed in together with the file. A row with `text` (and `title`) is a passage. `file` and
`image` are read as `picture`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import PurePosixPath

from PIL import Image

from sugar.passages.passage import Passage, Reading
from sugar.passages.sentences import Block, clean, pack, sentences

__all__ = ["read_csv", "read_json_lines", "take_rows"]

Row = dict[str, str]
_PICTURE = ("picture", "file", "image")
_MAX_FIELD = 4000
_MAX_REFUSED = 50
WANTED = "Give question and answer (and picture), picture and caption, or text (and title)."


def read_csv(text: str) -> Iterator[tuple[int, Row | str]]:
    """(line, row) of a csv; a row that cannot be read is the reason as a str.

    The separator is the one of , ; tab | that occurs most in the first line. Raises ValueError with the
    reason.
    """
    first = text.lstrip().split("\n", 1)[0][:4096]
    separator = max(",;\t|", key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        columns = {(name or "").strip().lower() for name in reader.fieldnames or ()}
        if not ({"question", "answer"} <= columns or "text" in columns) and not (
            "caption" in columns and columns & set(_PICTURE)
        ):
            seen = ", ".join(sorted(filter(None, columns)))[:120] or "none"
            raise ValueError(f"Its columns are {seen}. {WANTED}")
        for number, row in enumerate(reader, 2):
            yield number, {(k or "").strip().lower(): v for k, v in row.items() if isinstance(v, str)}
    except csv.Error as error:
        raise ValueError(
            f"The csv cannot be read ({error}). Save it again as comma-separated text."
        ) from error


def read_json_lines(text: str) -> Iterator[tuple[int, Row | str]]:
    """(line, row) of a JSON lines file; a line that cannot be read is the reason as a str."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            yield number, "This line is not JSON. Write one object on each line."
            continue
        if not isinstance(value, dict):
            yield number, "This line is not a JSON object. " + WANTED
        else:
            yield number, {str(k).strip().lower(): v for k, v in value.items() if isinstance(v, str)}


def take_rows(
    name: str,
    rows: Iterator[tuple[int, Row | str]],
    pictures: dict[str, Image.Image],
    captions: dict[str, str],
    out: Reading,
    most: int,
) -> None:
    """Put the rows into `out` and `captions`, at most `most` passages; bad rows are refused with their
    reason."""
    bad = 0
    for number, row in rows:
        if len(out.passages) > most:
            return
        where = f"{name}, row {number}"
        reason = row if isinstance(row, str) else _take(where, row, pictures, captions, out)
        if reason:
            bad += 1
            if bad <= _MAX_REFUSED:
                out.refuse(where, reason)
    if bad > _MAX_REFUSED:
        out.refuse(name, f"{bad - _MAX_REFUSED} more rows were refused.")


def _take(
    where: str, row: Row, pictures: dict[str, Image.Image], captions: dict[str, str], out: Reading
) -> str:
    """Take one row. Returns the reason where it is refused."""
    values = {k: clean(v[:_MAX_FIELD]) for k, v in row.items()}
    wanted = next((values[k] for k in _PICTURE if values.get(k)), "")
    wanted = PurePosixPath(wanted.replace("\\", "/")).name
    if wanted and wanted not in pictures:
        return f"The picture {wanted[:80]!r} was not sent along. Add it and send both again."
    if values.get("question") and values.get("answer"):
        out.passages.append(Passage(where, values["question"], values["answer"], pictures.get(wanted)))
    elif wanted and values.get("caption"):
        captions[wanted] = values["caption"][:2000]
    elif row.get("text", "").strip():
        title = values.get("title", "")[:80]
        label = f"{where} › {title}" if title else where
        out.passages += [Passage(label, part) for _, part in pack([Block(title, sentences(row["text"]))])]
    elif any(values.values()):
        return "A question, an answer, a caption or a text is missing in it."
    return ""
