"""The chips under the search box: the pictures in order, the conditions, and the filters to add.

    chips_html(draft, parsed)                 # buttons with data-do; the page sends {"do": ..., "chip": ...}
    changed(draft, text, event)               # the text after a chip was pressed; the draft changes in place

Not covered: reading the query (sugar/services/query.py), pressing and dragging (static/search.js).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sugar.images import thumbnail
from sugar.services.query import ParsedQuery, Token, parse
from sugar.services.search import SearchDraft
from sugar.ui.components import escape
from sugar.ui.grid import jpeg_uri
from sugar.ui.text import search as words

__all__ = ["changed", "chips_html"]

LARGE_SIDE = 1000
_FILTERS = (
    (words.FAVOURITES, "favourite:", "favourite"),
    (words.WITH_CAPTION, "has:caption", "has_caption"),
    (words.LARGE, f"size:{LARGE_SIDE}", "size"),
)
"""Filters that one press adds: the word on the button, the text that it adds, the kind of its token."""


def chips_html(draft: SearchDraft, parsed: ParsedQuery) -> str:
    """The strip of chips: pictures can be moved, every chip can be removed, filters can be added."""
    chips = [*_ordered(draft, parsed), *(_condition(i, t) for i, t in enumerate(parsed.conditions))]
    used = {token.kind for token in parsed.conditions}
    offers = [
        f'<button type="button" class="sugar-offer" data-do="add" data-text="{escape(text)}" '
        f'aria-label="{escape(words.ADD_FILTER.format(name=name))}">+ {escape(name)}</button>'
        for name, text, kind in _FILTERS
        if kind not in used
    ]
    days = (("from", words.DATE_FROM, parsed.after), ("until", words.DATE_UNTIL, parsed.before))
    fields = [
        f'<input type="date" data-date="{key}" value="{value or ""}" aria-label="{words.DATE} {name}">'
        for key, name, value in days
    ]
    offers.append(f'<span class="sugar-dates">{words.DATE} {" – ".join(fields)}</span>')
    return (
        f'<div class="sugar-chips" role="group" aria-label="{words.CHIPS}">{"".join([*chips, *offers])}</div>'
    )


def changed(draft: SearchDraft, text: str, event: Any) -> str:
    """The text of the box after a chip was pressed.

    Args:
        draft: the query's pictures; moved and removed in place.
        text: what stands in the box.
        event: has `do` (add, dates, remove, take, move) and what it needs; anything else changes nothing.
    """
    action, parsed = str(getattr(event, "do", "")), parse(text)
    number = _number(getattr(event, "chip", None))
    if action == "dates":
        return _with_dates(parsed, str(getattr(event, "from", "")), str(getattr(event, "until", "")))
    if action == "add":
        added = str(getattr(event, "text", ""))[:60].strip()
        return f"{text.rstrip()} {added}".strip() if _is_condition(added) else text
    if action == "remove" and number is not None and number < len(parsed.conditions):
        return parsed.without(parsed.conditions[number])
    if action == "take" and number is not None:
        draft.remove(number)
    target = _number(getattr(event, "to", None))
    if action == "move" and number is not None and target is not None:
        draft.move(number, target)
    return text


def _with_dates(parsed: ParsedQuery, first: str, last: str) -> str:
    """The text with its dates replaced by one span of days; without any where both are empty."""
    kept = parsed
    while dates := [t for t in kept.conditions if t.kind == "date"]:
        kept = parse(kept.without(dates[0]))
    span = first if first == last else f"{first}..{last}"
    return f"{kept.source} {span}".strip() if _is_condition(span) else kept.source


def _is_condition(text: str) -> bool:
    tokens = parse(text).tokens
    return len(tokens) == 1 and tokens[0].kind not in ("word", "phrase")


def _number(value: Any) -> int | None:
    try:
        return int(value) if 0 <= int(value) < 1000 else None
    except (TypeError, ValueError):
        return None


def _ordered(draft: SearchDraft, parsed: ParsedQuery) -> Iterable[str]:
    """A chip for each picture, and one for the words at their place among them."""
    if not draft.pictures:
        return
    shown = 0
    for number, part in enumerate(draft.parts):
        if part is not None:
            shown += 1
            name = words.PICTURE.format(n=shown)
            yield _movable(
                number, f'<img src="{jpeg_uri(thumbnail(part, 80))}" alt="">', name, removable=True
            )
        elif parsed.words:
            yield _movable(number, escape(parsed.words[:40]), words.THE_WORDS, removable=False)


def _movable(number: int, inner: str, name: str, *, removable: bool) -> str:
    hint = escape((words.PICTURE_HINT if removable else words.WORDS_HINT).format(name=name))
    away = _cross("take", number, name) if removable else ""
    body = (
        f'<button type="button" class="sugar-part" data-part="{number}" draggable="true" aria-label="{hint}">'
    )
    return f'<span class="sugar-chip">{body}{inner}</button>{away}</span>'


def _condition(number: int, token: Token) -> str:
    name = _named(token)
    return f'<span class="sugar-chip">{escape(name)}{_cross("remove", number, name)}</span>'


def _cross(action: str, number: int, name: str) -> str:
    said = escape(words.REMOVE.format(name=name))
    return f'<button type="button" data-do="{action}" data-chip="{number}" aria-label="{said}">×</button>'


def _named(token: Token) -> str:
    if token.kind == "favourite":
        return words.NOT_FAVOURITES if token.negative else words.FAVOURITES
    if token.kind == "has_caption":
        return words.WITHOUT_CAPTION if token.negative else words.WITH_CAPTION
    templates = {
        "exclude": words.EXCLUDED,
        "date": words.TAKEN,
        "name": words.NAME,
        "caption": words.CAPTION,
        "camera": words.CAMERA,
        "size": words.SIZE,
        "near": words.NEAR,
    }
    return templates[token.kind].format(text=token.text)
