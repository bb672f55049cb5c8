"""The search box as HTML: chips under it, filters beside it, and what a press on one does to the text.

    chips_html(draft, text)                   # buttons with data-do; the page sends {"do": ..., "chip": ...}
    changed(draft, text, event)               # the text after a chip was pressed; the draft changes in place

Not covered: pressing and dragging (static/search.js), the language of the box (sugar/services/query.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from sugar.images import gallery_items
from sugar.services.examples import Example
from sugar.services.query import ParsedQuery, Token, parse
from sugar.services.search import SearchDraft
from sugar.ui.components import data_uri, escape
from sugar.ui.text import search as words

LARGE_SIDE = 1000
_FILTERS = (
    (words.FAVOURITES, "favourite:"),
    (words.WITH_CAPTION, "has:caption"),
    (words.LARGE, f"size:{LARGE_SIDE}"),
)
"""Filters that one press adds: the word on the button, the text that it adds."""


def chips_html(draft: SearchDraft, text: str, *, linked: bool = False) -> str:
    """The strip of chips; pictures can be moved, every chip can be removed. "" where nothing is to be shown.

    It tells the browser which pictures of the gallery a link can name. linked: whether a link's pictures are
    still to come.
    """
    parsed = parse(text, pictures=len(draft.pictures))
    chips = [*_ordered(draft, parsed), *(_mark(i, t) for i, t in enumerate(parsed.marks))]
    if not chips:
        return "<span data-linked></span>" if linked else ""
    named = [" ".join(gallery_items(p)) if p is not None else "." for p in draft.parts]
    shown, parts = "".join(chips), escape(",".join(named))
    return (
        f'<div class="sugar-chips" role="group" aria-label="{words.CHIPS}" data-parts="{parts}">{shown}</div>'
    )


def filters_html() -> str:
    """What can be filtered by a press, and a table of what can be written into the box."""
    offers = "".join(
        f'<button type="button" class="sugar-offer" data-do="add" data-text="{escape(text)}" '
        f'aria-label="{escape(words.ADD_FILTER.format(name=name))}">+ {escape(name)}</button>'
        for name, text in _FILTERS
    )
    days = " – ".join(
        f'<input type="date" data-date="{key}" aria-label="{words.DATE} {name}">'
        for key, name in (("from", words.DATE_FROM), ("until", words.DATE_UNTIL))
    )
    rows = "".join(f"<tr><td><code>{escape(w)}</code></td><td>{escape(m)}</td></tr>" for w, m in words.MARKS)
    return (
        f'<details class="sugar-menu"><summary>{words.FILTERS}</summary><div>'
        f'<p class="sugar-chips">{offers}<span class="sugar-dates">{words.DATE} {days}</span></p>'
        f"<h4>{words.MARKS_TITLE}</h4><table>{rows}</table></div></details>"
    )


def changed(draft: SearchDraft, text: str, event: Any) -> str:
    """The text of the box after a chip was pressed.

    Args:
        draft: the query's pictures; moved and removed in place.
        text: what stands in the box.
        event: has `do` (add, dates, remove, take, move) and what it needs; anything else changes nothing.
    """
    action, parsed = str(getattr(event, "do", "")), parse(text, pictures=len(draft.pictures))
    number, target = _number(getattr(event, "chip", None)), _number(getattr(event, "to", None))
    if action == "dates":
        return _with_dates(parsed, str(getattr(event, "from", "")), str(getattr(event, "until", "")))
    if action == "add":
        added = str(getattr(event, "text", ""))[:60].strip()
        known = {token.kind for token in parsed.marks}
        new = _is_condition(added) and parse(added).marks[0].kind not in known
        return f"{text.rstrip()} {added}".strip() if new else text
    if action == "remove" and number is not None and number < len(parsed.marks):
        return parsed.without(parsed.marks[number])
    before = draft.pictures
    if action == "take" and number is not None:
        draft.remove(number)
    if action == "move" and number is not None and target is not None:
        draft.move(number, target)
    return _renumbered(parsed, before, draft.pictures)


def _renumbered(parsed: ParsedQuery, before: Sequence[Image.Image], after: Sequence[Image.Image]) -> str:
    """The text with its `[1]`, `[2]` ... as the pictures are numbered now; those of a removed one go."""
    places = {id(picture): number for number, picture in enumerate(after, 1)}
    text = parsed.source
    for token in reversed([t for t in parsed.tokens if t.kind == "picture"]):
        number = places.get(id(before[int(token.text) - 1]))
        if number is None:
            text = replace(parsed, source=text).without(token)
        else:
            named = re.sub(r"\d+", str(number), text[token.start : token.end], count=1)
            text = text[: token.start] + named + text[token.end :]
    return text


def _with_dates(parsed: ParsedQuery, first: str, last: str) -> str:
    """The text with its dates replaced by one span of days; without any where both are empty."""
    kept = parsed
    while dates := [t for t in kept.marks if t.kind == "date"]:
        kept = parse(kept.without(dates[0]))
    span = first if first == last else f"{first}..{last}"
    return f"{kept.source} {span}".strip() if _is_condition(span) else kept.source


def _is_condition(text: str) -> bool:
    parsed = parse(text)
    return len(parsed.tokens) == 1 == len(parsed.marks)


def _number(value: Any) -> int | None:
    try:
        return int(value) if 0 <= int(value) < 1000 else None
    except (TypeError, ValueError):
        return None


def _ordered(draft: SearchDraft, parsed: ParsedQuery) -> Iterable[str]:
    """A chip for each picture with its number, and one for the words at their place among them."""
    if not draft.pictures:
        return
    weights = {int(t.text): t.weight for t in parsed.tokens if t.kind == "picture"}
    shown = 0
    for number, part in enumerate(draft.parts):
        if part is not None:
            shown += 1
            weight = weights.get(shown, 1.0)
            weighs = f" × {weight:g}" if weight != 1 else ""
            inner = f'<img src="{data_uri(part, 80)}" alt=""> <span>{escape(f"[{shown}]{weighs}")}</span>'
            yield _movable(number, inner, words.PICTURE.format(n=shown) + weighs, removable=True)
        elif parsed.words:
            yield _movable(number, escape(parsed.words[:40]), words.THE_WORDS, removable=False)


def _movable(number: int, inner: str, name: str, *, removable: bool) -> str:
    hint = escape((words.PICTURE_HINT if removable else words.WORDS_HINT).format(name=name))
    away = _cross("take", number, name) if removable else ""
    body = (
        f'<button type="button" class="sugar-part" data-part="{number}" draggable="true" aria-label="{hint}">'
    )
    return f'<span class="sugar-chip">{body}{inner}</button>{away}</span>'


def _mark(number: int, token: Token) -> str:
    name = _named(token)
    cross = _cross("remove", number, name)
    if token.problem:
        said = f"<b>{escape(token.text)}</b> {escape(token.problem)}"
        return f'<span class="sugar-chip sugar-unread" role="alert">{said}{cross}</span>'
    return f'<span class="sugar-chip">{escape(name)}{cross}</span>'


def _cross(action: str, number: int, name: str) -> str:
    said = escape(words.REMOVE.format(name=name))
    return f'<button type="button" data-do="{action}" data-chip="{number}" aria-label="{said}">×</button>'


def _named(token: Token) -> str:
    if token.kind == "favourite":
        return words.NOT_FAVOURITES if token.negative else words.FAVOURITES
    if token.kind == "has_caption":
        return words.WITHOUT_CAPTION if token.negative else words.WITH_CAPTION
    weighs = "" if token.weight in (1, -1) else f" × {abs(token.weight):g}"
    weighted = (words.LESS_OF if token.weight < 0 else words.MORE_OF) + weighs
    templates = {
        "unread": "{text}",
        "word": weighted,
        "phrase": weighted,
        "exclude": words.EXCLUDED + weighs,
        "date": words.TAKEN,
        "name": words.NAME,
        "caption": words.CAPTION,
        "camera": words.CAMERA,
        "size": words.SIZE,
        "near": words.NEAR,
    }
    return templates[token.kind].format(text=token.text)


def example_name(example: Example) -> str:
    """What stands on the button of an example: its first words, and what else is asked for."""
    said = example.texts[0] + (" …" if len(example.texts) > 1 else "") if example.texts else ""
    shown = " + ".join(filter(None, [words.EXAMPLE_PICTURE if example.files else "", said]))
    short = shown if len(shown) <= 42 else shown[:40].rstrip() + " …"
    return f"{words.MODES[example.mode]}: {short}" if example.mode != "pictures" else short
