"""Files become passages: Markdown, text, csv, JSON lines, PDF, docx and pictures.

    reading = read_files([("notes.md", data), ("facts.csv", data), ("star.png", data)])
    reading.passages, reading.refused               # list[Passage], list[(name, reason)]

One file reads one format. Every reader is linear in the size of its file, and every passage has a cap in
characters. PDF and docx are read in a child process with limits on time and memory (`office.py`).

Not covered: files inside zips; what is close to a question (`sugar.rag`).
"""

from sugar.passages.files import SUFFIXES, read_files
from sugar.passages.markdown import read_markdown
from sugar.passages.passage import Passage, PassageLimits, Reading, pack, read_plain, sentences

__all__ = [
    "SUFFIXES",
    "PassageLimits",
    "Passage",
    "Reading",
    "pack",
    "read_files",
    "read_markdown",
    "read_plain",
    "sentences",
]
