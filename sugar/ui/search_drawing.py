"""The Search tab as HTML and as messages for the wall: the chips under the box, the results, an opened hit.

    chips_html(draft, text)                   # buttons with data-do; the page sends {"do": ..., "chip": ...}
    changed(draft, text, event)               # the text after a chip was pressed; the draft changes in place
    results_message(result)                   # notices and all ids; an id is a place in result.shown
    explained(explanation); facts(explanation)         # why a hit was found

Not covered: pressing and dragging (static/search.js), the styles (static/search.css).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sugar.sequence import PictureHit
from sugar.services.examples import Example
from sugar.services.query import ParsedQuery, Token, parse
from sugar.services.search import MAX_HITS, Explanation, SearchDraft, SearchResult
from sugar.ui import wall
from sugar.ui.components import data_uri, escape, figure, heat_map, jpeg_uri
from sugar.ui.text import search as words

if TYPE_CHECKING:
    from sugar.gallery import Gallery, Item

__all__ = [
    "as_json",
    "changed",
    "chips_html",
    "example_name",
    "explained",
    "facts",
    "help_table",
    "highlighted",
    "hit_cell",
    "result_cells",
    "results_message",
]

LARGE_SIDE = 1000
_FILTERS = (
    (words.FAVOURITES, "favourite:", "favourite"),
    (words.WITH_CAPTION, "has:caption", "has_caption"),
    (words.LARGE, f"size:{LARGE_SIDE}", "size"),
)
"""Filters that one press adds: the word on the button, the text that it adds, the kind of its token."""


def chips_html(draft: SearchDraft, text: str) -> str:
    """The strip of chips: pictures can be moved, every chip can be removed, filters can be added."""
    parsed = parse(text, pictures=len(draft.pictures))
    chips = [*_ordered(draft, parsed), *(_mark(i, t) for i, t in enumerate(parsed.marks))]
    used = {token.kind for token in parsed.marks}
    offers = [
        f'<button type="button" class="sugar-offer" data-do="add" data-text="{escape(text)}" '
        f'aria-label="{escape(words.ADD_FILTER.format(name=name))}">+ {escape(name)}</button>'
        for name, text, kind in _FILTERS
        if kind not in used
    ]
    stated = parsed.conditions
    days = (("from", words.DATE_FROM, stated.after), ("until", words.DATE_UNTIL, stated.before))
    fields = [
        f'<input type="date" data-date="{key}" value="{value or ""}" aria-label="{words.DATE} {name}">'
        for key, name, value in days
    ]
    offers.append(f'<span class="sugar-dates">{words.DATE} {" – ".join(fields)}</span>')
    return (
        f'<div class="sugar-chips" role="group" aria-label="{words.CHIPS}">{"".join([*chips, *offers])}</div>'
    )


def help_table() -> str:
    """A "?" that opens a table of what can be written into the box."""
    rows = "".join(f"<tr><td><code>{escape(w)}</code></td><td>{escape(m)}</td></tr>" for w, m in words.MARKS)
    return f'<details><summary aria-label="{words.MARKS_TITLE}">?</summary><table>{rows}</table></details>'


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
        return f"{text.rstrip()} {added}".strip() if _is_condition(added) else text
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


Section = tuple[str, Sequence[int], bool]


def results_message(result: SearchResult | None) -> str:
    """All that a search found; None empties the wall."""
    if result is None:
        return wall.listing_message("search", "", [])
    notes = [("sugar-notice", line) for line in notices_of(result)]
    if result.hits:
        notes.append(("sugar-count", _count_line(result)))
    elif not result.unknown_words:
        notes.append(("sugar-empty", words.NOTHING))
    return wall.listing_message(
        "search", result.key, _sections(result), notes=notes, can=("select", "download")
    )


def _count_line(result: SearchResult) -> str:
    count, close = len(result.hits), result.close
    if result.request.mode == "story":
        return _counted(count, words.COUNT_RUNS, words.COUNT_RUNS_MANY)
    if close and close < count:
        return _counted(close, words.COUNT_CLOSE, words.COUNT_CLOSE_MANY, far=count - close)
    if result.request.mode == "pictures" and count >= MAX_HITS:
        return words.COUNT_BEST.format(n=MAX_HITS)
    return _counted(count, words.COUNT, words.COUNT_MANY)


def _sections(result: SearchResult) -> list[Section]:
    count = len(result.shown)
    if result.request.mode == "pictures":
        close = count if result.close is None else result.close
        near, far = range(close), range(close, count)
        sections: list[Section] = [("", near, False), (words.LESS_CLOSE if close else "", far, False)]
        return [section for section in sections if section[1]]
    sections, start = [], 0
    for place, group in enumerate(result.groups):
        stop = start + sum(len(hit.items) or 1 for hit in group)
        if result.request.mode == "story":
            sections.append((words.RUN.format(n=place + 1), range(start, stop), True))
        else:
            part = result.aligned[place] if result.aligned is not None else None
            name = words.A_PICTURE if part is None or part.is_image else part.text[:80]
            sections.append((words.AFTER.format(n=place + 1, name=name), range(start, stop), False))
        start = stop
    return sections


def result_cells(gallery: Gallery, result: SearchResult, ids: Sequence[int]) -> str:
    """The cells of these places in the result; those that were deleted meanwhile are left out."""
    shown = result.shown
    wanted = {i: shown[i] for i in ids if i < len(shown)}
    items = {item.id: item for item in gallery.items(ids=[item for _, item in wanted.values()])}
    cells = [
        (hit_cell(result, place, items[item]), gallery.thumbnail(item))
        for place, (hit, item) in wanted.items()
        if item in items
    ]
    return wall.cells_message(result.key, cells)


def hit_cell(result: SearchResult, place: int, item: Item) -> dict[str, Any]:
    """One picture of a result; the score is there when it is asked for.

    What found it is said only where the result was found in different ways.
    """
    hit, _ = result.shown[place]
    ways = {h.found_by for h in result.hits}
    found_by = words.FOUND_BY.get(hit.found_by, "") if len(ways) > 1 else ""
    score = ""
    if hit.similarity is not None:
        score = words.SCORE.format(score=hit.score)
        if hit.rank_before != hit.rank:
            score += " · " + words.MOVED.format(rank=hit.rank_before + 1)
    favourite = item.favourite
    return wall.cell_data(place, item.name, item.caption, line=found_by, score=score, favourite=favourite)


def notices_of(result: SearchResult) -> list[str]:
    """What is to be said about a result, in the order of weight."""
    out = []
    unknown = result.unknown_words
    if unknown:
        alone = not result.hits
        single = words.ONE_UNKNOWN if alone else words.SOME_UNKNOWN_ONE
        several = words.ALL_UNKNOWN if alone else words.SOME_UNKNOWN
        listed = ", ".join(f"“{w}”" for w in unknown)
        out.append((single if len(unknown) == 1 else several).format(words=listed))
    if result.close == 0 and result.hits:
        out.append(words.NO_CLOSE_MATCH)
    if result.request.confirm and not result.confirmed:
        out.append(words.NOT_CONFIRMED)
    if result.without_vectors:
        out.append(_counted(result.without_vectors, words.WITHOUT_VECTORS, words.WITHOUT_VECTORS_MANY))
    return out


def _counted(n: int, exact: dict[int, str], many: str, **more: int) -> str:
    return exact.get(n, many).format(n=n, **more)


def as_json(hit: PictureHit, gallery: Gallery, thumbnails: bool) -> dict[str, Any]:
    """A hit for programs."""
    out: dict[str, Any] = {
        "item": hit.item,
        "name": hit.name,
        "caption": hit.caption,
        "score": hit.score,
        "rank": hit.rank,
        "margin": hit.margin,
        "shortlist_score": hit.shortlist_score,
        "rank_before": hit.rank_before,
        "relevance": hit.relevance,
        "found_by": hit.found_by,
        "path": [list(p) for p in hit.path],
        "similarity": [] if hit.similarity is None else hit.similarity.tolist(),
    }
    if hit.agreement is not None:
        out["agreement"] = hit.agreement
    if hit.items:
        out["items"] = list(hit.items)
    if thumbnails:
        out["thumbnail"] = jpeg_uri(gallery.thumbnail(hit.item))
    return out


def explained(explanation: Explanation) -> str:
    """The HTML beneath an opened hit."""
    parts = []
    if explanation.similarity is not None:
        parts.append(f"<h4>{words.WHY}</h4><p>{escape(_sentence(explanation))}</p>")
        about: dict[str, Any] = {"alt": words.COLUMN_RUN, "caption": _caption(explanation)}
        heads = explanation.rows, explanation.columns
        parts.append(heat_map(explanation.similarity, *heads, explanation.path, **about))
    if explanation.picture_heat is not None:
        lit = highlighted(explanation.pictures[0], explanation.picture_heat)
        parts.append(f"<h4>{words.WHERE}</h4>{figure(lit, words.WHERE_ALT, words.WHERE_HELP)}")
    return "".join(parts)


def facts(explanation: Explanation) -> str:
    """One line about an opened hit: its size and date, and what the model said."""
    hit = explanation.hit
    told = []
    if hit.items:
        told.append(words.RUN_OF.format(n=len(explanation.pictures)))
    else:
        told.append(words.SIZE_OF.format(width=hit.width, height=hit.height))
    if hit.taken:
        text = words.DAY_BY_NAME if hit.day_from_name else words.TAKEN_AT
        told.append(text.format(taken=hit.taken))
    if hit.agreement is not None:
        told.append(words.MODEL_SAYS.format(share=hit.agreement))
    return " · ".join(told)


def _sentence(explanation: Explanation) -> str:
    """One sentence: which part of the query agrees most with which part of the hit."""
    assert explanation.strongest is not None and explanation.similarity is not None
    row, column = explanation.strongest
    pictures = [isinstance(r, Image.Image) for r in explanation.rows]
    part = explanation.rows[row]
    said = (
        words.ROW_IMAGE.format(n=sum(pictures[: row + 1]))
        if isinstance(part, Image.Image)
        else words.ROW_PART.format(text=part[:80])
    )
    if explanation.hit.items:
        answer = words.COLUMN_RUN.format(n=column + 1)
    else:
        answer = words.COLUMN_CAPTION if column else words.COLUMN_PICTURE
    template = words.AGREES if explanation.similarity.size > 1 else words.AGREES_ALONE
    sentence = template.format(row=said, column=answer, score=explanation.similarity[row, column])
    return sentence[0].upper() + sentence[1:]


def _caption(explanation: Explanation) -> str:
    rows, columns = explanation.similarity.shape if explanation.similarity is not None else (0, 0)
    said = [words.READ_WITH] if rows > 1 and not explanation.hit.items else []
    return " ".join([*said, words.THE_LINE] if rows * columns > 1 else said)


def highlighted(picture: Image.Image, heat: np.ndarray) -> Image.Image:
    """The picture with the regions of a heat map bright and the others dark.

    heat: (h, w) in [0, 1], rows from top to bottom.
    """
    values = np.clip(np.nan_to_num(np.asarray(heat, np.float64)), 0, 1)
    mask = Image.fromarray((255 * values).astype(np.uint8)).resize(picture.size, Image.Resampling.BICUBIC)
    dark = Image.blend(picture.convert("RGB"), Image.new("RGB", picture.size), 0.75)
    return Image.composite(picture.convert("RGB"), dark, mask)


# -- the buttons of examples


def example_name(example: Example) -> str:
    """What stands on the button of an example: its first words, and what else is asked for."""
    said = example.texts[0] + (" …" if len(example.texts) > 1 else "") if example.texts else ""
    shown = " + ".join(filter(None, [words.EXAMPLE_PICTURE if example.files else "", said]))
    short = shown if len(shown) <= 42 else shown[:40].rstrip() + " …"
    return f"{words.MODES[example.mode]}: {short}" if example.mode != "pictures" else short
