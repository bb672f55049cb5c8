"""The files of a benchmark as their authors publish them: one JSON document, JSON lines, or a table.

    rows = json_lines(folder / "coco_pope_random.json")

A figure over a part of a benchmark is none: a row that cannot be read is an error that names file and line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sugar.errors import InputError, SettingsError
from sugar.text_files import Rows, decode, lines, read_json, read_json_rows, read_table

__all__ = ["document", "json_lines", "table", "text_lines"]


def document(path: Path) -> Any:
    """The JSON document in a file."""
    try:
        return read_json(path.read_bytes())
    except InputError as error:
        raise SettingsError(f"{path}: {error} Download it again.") from error


def json_lines(path: Path) -> list[Any]:
    """The value of each line of a file."""
    return _whole(path, read_json_rows(path.read_bytes()))


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a csv or tsv, by the columns' names in lower case."""
    return _whole(path, read_table(path.read_bytes()))


def text_lines(path: Path) -> list[str]:
    """The lines of a text that are not empty."""
    return [line for line in lines(decode(path.read_bytes()).text) if line.strip()]


def _whole(path: Path, rows: Rows) -> list[Any]:
    if rows.refused:
        raise SettingsError(f"{path}, {rows.refusals[0]} Download it again.")
    return [row for _, row in rows.rows]
