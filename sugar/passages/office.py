"""PDF and docx, read in a child process with limits on memory and time: a hostile file ends the child, not
the app.

    blocks = read_office(data, "pdf", Limits(), left)     # list[Block] with page numbers; or ValueError

The child is child.py: bytes on its standard input, JSON lines on its standard output.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from sugar.passages.passage import PassageLimits
from sugar.passages.sentences import Block
from sugar.text_files import lines as lines_of

__all__ = ["read_office"]

_ROOT = Path(__file__).resolve().parents[2]


def read_office(data: bytes, kind: str, limits: PassageLimits, left: Counter[str]) -> list[Block]:
    """The blocks of a PDF or docx. kind: "pdf" or "docx". left: takes the number of parts that are not read.

    Raises ValueError with the reason and the remedy.
    """
    if len(data) > limits.max_office_bytes:
        raise ValueError(
            f"The file has {len(data):,} bytes; {limits.max_office_bytes:,} are read at most. Split it."
        )
    command = [sys.executable, "-m", "sugar.passages.child", kind, str(limits.max_pages)]
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
