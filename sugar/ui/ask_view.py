"""Answers and their sources as HTML: the answer with citations that are buttons, cells for sources, one
open source.

Not covered: finding and answering (sugar/rag), the words (text.py).
"""

from __future__ import annotations

import re
from typing import Any

from PIL import Image, ImageDraw

from sugar.images import thumbnail
from sugar.passages import Passage
from sugar.rag import KnowledgeBase, Reply
from sugar.sequence import PassageHit
from sugar.services.ask import AskResult, PictureCell
from sugar.ui.components import cell, escape, figure, grid_of
from sugar.ui.text import ask as words

__all__ = ["answer_block", "block", "opened_source", "source_data", "source_grid"]

_CITE = '<button type="button" class="sugar-cite" data-pick="{pick}" aria-label="{label}">{n}</button>'


def answer_block(result: AskResult) -> str:
    """The answer: who gives it, its text with citations as buttons, and the sources read where none is
    cited."""
    reply = result.reply
    parts = re.split(r"\[(\d{1,6})\]", reply.text)
    inner = "".join(_citation(int(p)) if i % 2 else escape(p) for i, p in enumerate(parts))
    if reply.by == "model" and reply.hits and not reply.cited and _is_over(result):
        numbers = " ".join(_citation(n) for n in range(1, len(reply.hits) + 1))
        inner += f"<br><small>{words.SOURCES_READ.format(numbers=numbers)}</small>"
    return block(_title(result), inner)


def block(title: str, inner: str) -> str:
    """A titled answer."""
    return f'<div class="sugar-answer"><h4>{escape(title)}</h4><p>{inner}</p></div>'


def source_grid(result: AskResult) -> str:
    """What was read, as cells with the numbers that the answer cites."""
    cells = [_cell(result.base, hit, n) for n, hit in enumerate(result.reply.hits)]
    return grid_of(cells, words.SOURCES) if cells else ""


def opened_source(result: AskResult, number: int, passage: Passage, at: PictureCell | None) -> str:
    """One source, large: where it is from, how it was found, all of its text; its cell `at` is outlined."""
    hit = result.reply.hits[number - 1]
    how = " · ".join([*_found_by(hit), words.SCORE.format(score=hit.score)])
    told = f"<b>[{number}] {escape(hit.name)}</b> · {how}<br>{_lines(passage.text)}"
    told += f"<br><b>{escape(passage.answer)}</b>" if passage.answer else ""
    shown = outlined(passage.image, at) if passage.image is not None and at is not None else passage.image
    told += f"<br><small>{words.CELL}</small>" if at is not None else ""
    return figure(shown, passage.text or hit.name, told)


def outlined(picture: Image.Image, at: PictureCell) -> Image.Image:
    """A copy of the picture with one cell of its grid outlined."""
    copy = picture.convert("RGB")
    width, height = copy.width / at.columns, copy.height / at.rows
    left, top = at.column * width, at.row * height
    box = (left, top, left + width, top + height)
    pen = ImageDraw.Draw(copy)
    pen.rectangle(box, outline="white", width=max(3, copy.width // 100))
    pen.rectangle(box, outline="#d12", width=max(2, copy.width // 160))
    return copy


def source_data(hit: PassageHit, number: int, reply: Reply) -> dict[str, Any]:
    """One source for a program."""
    return {
        "number": number,
        "name": hit.name,
        "kind": hit.kind,
        "text": hit.text,
        "answer": hit.answer,
        "item": hit.item,
        "score": round(hit.score, 4),
        "found_by": list(hit.found_by),
        "cited": number in reply.cited,
    }


def _title(result: AskResult) -> str:
    by = result.reply.by
    if by == "quote":
        pictures = result.reply.hits[0].kind == "picture"
        where = words.FROM_CAPTIONS if pictures else words.FROM_NOTES
        return words.BY_QUOTE.format(where=where)
    return words.BY_MODEL if by == "model" else words.BY_NOBODY


def _is_over(result: AskResult) -> bool:
    return bool(result.how is not None and result.how.ended)


def _citation(number: int) -> str:
    return _CITE.format(pick=number - 1, n=number, label=words.OPEN_SOURCE.format(n=number))


def _cell(base: KnowledgeBase, hit: PassageHit, place: int) -> str:
    passage = base.passage(hit)
    told = " ".join(filter(None, (passage.text, passage.answer)))
    jpeg = thumbnail(passage.image) if passage.image is not None else None
    under = f'<span class="line">{escape(told[:120])}</span>' if jpeg else ""
    under += f'<span class="line">{" · ".join(_found_by(hit))}</span>'
    name, shown = f"[{place + 1}] {hit.name}", "" if jpeg else told[:300]
    return cell(jpeg, name, place, alt=passage.text, under=under, words=shown)


def _found_by(hit: PassageHit) -> list[str]:
    return [words.FOUND_BY[name] for name in hit.found_by]


def _lines(text: str) -> str:
    return "<br>".join(escape(line) for line in text.split("\n"))
