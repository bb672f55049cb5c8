"""csv and JSON lines: question/answer pairs, captions of pictures, or texts.

A row with `question` and `answer` (and `picture`) is a pair. A row with `picture` and `caption` captions a
picture that was handed in together with the file. A row with `text` (and `title`) is a passage. `file` and
`image` are read as `picture`.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from PIL import Image

from sugar.file_names import FileNames
from sugar.passages.passage import Passage, Reading
from sugar.passages.sentences import Block, clean, pack, sentences
from sugar.text_files import Rows, Table, word

__all__ = ["capped", "check_columns", "take_rows"]

_PICTURE = ("picture", "file", "image")
_MAX_FIELD, _MAX_CAPTION = 4000, 2000
_MAX_REFUSED = 50
WANTED = "Give question and answer (and picture), picture and caption, or text (and title)."


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
