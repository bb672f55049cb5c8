"""PDF, read by pypdf: one block for each paragraph of a page, with the page's number.

Runs in the child process of office.py. Not covered: scanned pages (no text recognition), tables as tables.
"""

from __future__ import annotations

import io
import logging
import time
from collections import Counter
from collections.abc import Iterator

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from sugar.passages.plain import read_plain
from sugar.passages.sentences import Block

__all__ = ["read_pdf"]

MAX_PAGE_BYTES = 5_000_000
"""Bytes of the drawing commands of one page."""


def read_pdf(
    data: bytes, left: Counter[str] | None = None, *, max_pages: int = 500, seconds: float = 30
) -> Iterator[Block]:
    """Raises ValueError with the reason: damaged, protected, too many pages, too slow, or without text.

    left: takes the number of pages without text.
    """
    left = Counter() if left is None else left
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    began, found = time.monotonic(), False
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise ValueError("The PDF is protected by a password. Save it without one.")
        if len(reader.pages) > max_pages:
            raise ValueError(
                f"The PDF has {len(reader.pages):,} pages; {max_pages} are read at most. Split it."
            )
        for number, page in enumerate(reader.pages, 1):
            contents = page.get_contents()
            if contents is not None and len(contents.get_data()) > MAX_PAGE_BYTES:
                raise ValueError(f"Page {number} is too large to be read. Save the file as text.")
            blocks = list(read_plain(page.extract_text() or ""))
            left["pages without text"] += not blocks
            for block in blocks:
                found = True
                yield Block("", block.sentences, number)
            if time.monotonic() - began > seconds:
                raise ValueError(f"Reading took longer than {seconds:.0f} seconds. Split the file.")
    except ValueError:
        raise
    except (PyPdfError, KeyError, TypeError, AttributeError, IndexError, OSError) as error:
        raise ValueError("The PDF is damaged. Open it in a viewer and save it again.") from error
    if not found:
        raise ValueError("The PDF holds no text; its pages may be scans. Use text recognition first.")
