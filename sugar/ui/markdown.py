"""Markdown of a model or a file, made fit for the page.

    harmless("**b** <img src=x>")                 # "**b** &lt;img src=x>"

Not covered: a person's own words, which are shown as they are (drawing.escape).
"""

from __future__ import annotations

import bisect
import re

__all__ = ["harmless"]

INLINE = re.compile(r"(`[^`\n]+`)")
FENCE = "```"


def harmless(markdown: str) -> str:
    """Markdown in which HTML, pictures and links other than http(s) are plain text. Code stays as it is.

    A block of code runs from a line that begins with three backticks to the next line of nothing else. One
    that does not end is not code. Every line is looked at once, whatever a model or a file says.
    """
    lines = markdown.split("\n")
    ends = [n for n, line in enumerate(lines) if line.startswith(FENCE) and not line[len(FENCE) :].strip(" ")]
    out: list[str] = []
    n = 0
    while n < len(lines):
        last = bisect.bisect_right(ends, n)
        if lines[n].startswith(FENCE) and last < len(ends):
            out += lines[n : ends[last] + 1]
            n = ends[last] + 1
        else:
            pieces = INLINE.split(lines[n])
            out.append("".join(piece if i % 2 else _plain(piece) for i, piece in enumerate(pieces)))
            n += 1
    return "\n".join(out)


def _plain(markdown: str) -> str:
    markdown = markdown.replace("&", "&amp;").replace("<", "&lt;")
    markdown = re.sub(r"!(?=\[)", "&#33;", markdown)
    return re.sub(r"\](?=\((?!https?://)|:|\[)", "&#93;", markdown)
