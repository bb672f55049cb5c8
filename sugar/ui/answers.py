"""Answers with citations on the page, and the cards that the examples of the Ask tab read.

Not covered: finding and answering (sugar/rag.py).
"""

from __future__ import annotations

import re
from typing import Any

from sugar.errors import InputError
from sugar.images import open_image, thumbnail
from sugar.passages import Passage, read_files
from sugar.scenes.world import COLORS, HELD_OUT_PAIRS, KINDS
from sugar.sequence import Answer
from sugar.ui.drawing import escape
from sugar.ui.examples import EXAMPLES
from sugar.ui.grid import cell, grid_of

__all__ = ["answered", "block", "cards", "example_question", "sources"]

CARDS = EXAMPLES.parent / "cards"


def sources(base: Any, said: Answer) -> str:
    """What was read, as cells with the number that the answer cites."""
    cells = []
    for n, hit in enumerate(said.hits):
        passage = base.passage(hit)
        words = " ".join(filter(None, (passage.text, passage.answer)))
        jpeg = thumbnail(passage.image) if passage.image is not None else None
        line = f'<span class="line">{escape(words[:120])}</span>' if jpeg else ""
        cells.append(cell(jpeg, f"[{n + 1}] {hit.name}", n, alt=passage.text, under=line, words="" if jpeg else words[:300]))
    return grid_of(cells, "What it read") if cells else ""


def answered(said: Answer) -> str:
    """An answer as HTML whose citations are buttons."""
    cite = r'<button type="button" class="sugar-cite" data-pick="%d" aria-label="Open source %d">%d</button>'
    parts = re.split(r"\[(\d+)\]", said.text)
    return block("Answer", "".join(cite % (int(p) - 1, int(p), int(p)) if i % 2 else escape(p) for i, p in enumerate(parts)))


def block(title: str, inner: str) -> str:
    return f'<div class="sugar-answer"><h4>{title}</h4><p>{inner}</p></div>'


def cards() -> list[Passage]:
    """The knowledge cards that ship with Sugar. Raises InputError when they are missing."""
    if not (CARDS / "cards.csv").is_file():
        raise InputError("The example cards are missing. Restore assets/cards, or run `python -m sugar assets --only pictures`.")
    return read_files([(p.name, p.read_bytes()) for p in sorted(CARDS.iterdir()) if p.name.startswith("card")]).passages


def example_question(number: int, passages: list[Passage]) -> tuple[str, Any]:
    """(question, picture or None) of an example: two cards met again, one from memory, one that is about nothing on the cards."""
    pairs = [p for p in passages if p.answer]
    if number == 3:
        told = " ".join(p.text for p in pairs)
        stranger = next(f"{c} {k}" for c in COLORS for k in KINDS if f"{c} {k}" not in told and (k, c) not in HELD_OUT_PAIRS)
        return f"what is the name of the {stranger}?", None
    return pairs[number].text, open_image(CARDS / f"asked-{number:02d}.jpg").image if number < 2 else None
