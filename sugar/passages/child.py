"""The process that reads one PDF or docx: `python -m sugar.passages.child KIND PAGES SECONDS`.

Bytes come on its standard input. Its standard output is JSON lines: a block each, then {"done": the parts
that were not read, counted by kind} or {"refused": reason}. Called by office.py.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator

from sugar.passages.docx import read_docx
from sugar.passages.pdf import read_pdf
from sugar.passages.sentences import Block

MAX_MEMORY = 600_000_000
MAX_OUTPUT = 20_000_000
"""Bytes of this process's address space, and of the text that it hands back."""


def _limit(seconds: int) -> None:
    """Bound memory and processor time of this process, where the system can."""
    try:
        import resource
    except ImportError:  # Windows: the parent's time limit remains
        return
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds + 5, seconds + 5))


def _blocks(data: bytes, kind: str, pages: int, seconds: int, left: Counter[str]) -> Iterator[Block]:
    if kind == "pdf":
        return read_pdf(data, left, max_pages=pages, seconds=seconds)
    return read_docx(data, left)


def main(kind: str, pages: str, seconds: str) -> None:
    _limit(int(seconds))
    out, written = sys.stdout, 0
    left: Counter[str] = Counter()
    try:
        for block in _blocks(sys.stdin.buffer.read(), kind, int(pages), int(seconds), left):
            line = json.dumps([block.title, block.sentences, block.page])
            written += len(line)
            if written > MAX_OUTPUT:
                raise ValueError(f"Its text is longer than {MAX_OUTPUT:,} bytes. Split the file.")
            out.write(line + "\n")
        out.write(json.dumps({"done": left}) + "\n")
    except (ValueError, MemoryError, RecursionError) as error:
        reason = str(error) or "It needs too much memory to be read. Save it as text."
        out.write(json.dumps({"refused": reason}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
