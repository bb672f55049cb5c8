"""The tab Photos as messages for the wall (a gallery by months, what a search found, why it was found) and as
HTML (jobs with their progress, reports).

Not covered: the search box (search_box.py), the wall itself (wall.py, static/wall/).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sugar import place_names
from sugar.sequence import PictureHit
from sugar.services.gallery import Cell, Listing
from sugar.services.jobs import JobState
from sugar.services.search import MAX_HITS, Explanation, SearchResult, item_of
from sugar.services.watching import Watched
from sugar.ui import wall
from sugar.ui.components import escape, figure, heat_map, jpeg_uri
from sugar.ui.text import gallery as gallery_words
from sugar.ui.text import search as words
from sugar.ui.text import wall as wall_words
from sugar.ui.wall import Section

if TYPE_CHECKING:
    from sugar.gallery import Gallery, IngestReport, Item

AGAIN, SEEN = "again", "seen"
"""What a click on "Try again" and on "OK" picks; a job's number otherwise."""

MOST_ROWS = 200
MOST_SAID = 10


# -- what the wall shows: sections of picture numbers, and lines above them


def months(listing: Listing) -> list[Section]:
    """The whole gallery."""
    return [(_month(month), ids, False) for month, ids in listing.months]


def listing_notes(listing: Listing) -> list[tuple[str, str]]:
    """(class, text) of the lines above the whole gallery: how much there is, what is missing."""
    if listing.problem:
        return [("sugar-notice", listing.problem)]
    if not listing.count:
        return [("sugar-empty", gallery_words.EMPTY if listing.name else gallery_words.NONE)]
    size = f"{listing.bytes / 1e6:,.1f} MB" if listing.bytes < 1e9 else f"{listing.bytes / 1e9:,.2f} GB"
    count = max(listing.count, listing.total)
    line = gallery_words.COUNT.get(count, gallery_words.COUNT_MANY).format(count=count, size=size)
    copies = f" · {gallery_words.COPIES.format(side=listing.copies)}" if listing.copies else ""
    notes = [("sugar-size", line + copies)]
    if listing.total:
        notes.append(("sugar-count", gallery_words.COLLECTION.format(n=listing.count)))
    if listing.pending:
        pending = gallery_words.PENDING.get(listing.pending, gallery_words.PENDING_MANY)
        notes.append(("sugar-notice", pending.format(n=listing.pending)))
    return notes


def _month(month: str) -> str:
    return f"{datetime.strptime(month, '%Y-%m'):%B %Y}" if month else ""


def alike_sections(groups: Sequence[Sequence[Item]]) -> list[Section]:
    """Groups of near-duplicates, the better one first."""
    return [
        (gallery_words.GROUP.format(n=n, count=len(group)), [item.id for item in group], True)
        for n, group in enumerate(groups, 1)
    ]


def result_sections(result: SearchResult, here: Iterable[int]) -> list[Section]:
    """What a search found. here: the items that are still in the gallery."""
    numbers, left = list(result.shown), set(here)
    if result.request.mode == "pictures":
        close = len(numbers) if result.close is None else result.close
        parts = [("", numbers[:close], False), (words.LESS_CLOSE if close else "", numbers[close:], False)]
    else:
        parts, start = [], 0
        story = result.request.mode == "story"
        for place, group in enumerate(result.groups):
            stop = start + sum(len(hit.items) or 1 for hit in group)
            head = words.RUN.format(n=place + 1) if story else _after(result, place)
            parts.append((head, numbers[start:stop], story))
            start = stop
    kept = [(head, [n for n in some if item_of(n) in left], line) for head, some, line in parts]
    return [section for section in kept if section[1]]


def _after(result: SearchResult, place: int) -> str:
    part = result.aligned[place] if result.aligned is not None else None
    name = words.A_PICTURE if part is None or part.is_image else part.text[:80]
    return words.AFTER.format(n=place + 1, name=name)


def notes_of(result: SearchResult, sections: Sequence[Section]) -> list[tuple[str, str]]:
    """(class, text) of the lines above a result."""
    notes = [("sugar-notice", line) for line in notices_of(result)]
    if sections:
        notes.append(("sugar-count", _count_line(result, sections)))
    elif not result.unknown_words:
        notes.append(("sugar-empty", words.NOTHING))
    return notes


def _count_line(result: SearchResult, sections: Sequence[Section]) -> str:
    count = sum(len(ids) for _, ids, _ in sections)
    if result.request.mode == "story":
        return _counted(len(sections), words.COUNT_RUNS, words.COUNT_RUNS_MANY)
    if result.close and len(sections) == 2:
        close, far = (len(ids) for _, ids, _ in sections)
        return _counted(close, words.COUNT_CLOSE, words.COUNT_CLOSE_MANY, far=far)
    if result.request.mode == "pictures" and count >= MAX_HITS:
        return words.COUNT_BEST.format(n=MAX_HITS)
    return _counted(count, words.COUNT, words.COUNT_MANY)


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


# -- cells, and an opened picture


def cells_of(name: str, cells: Iterable[Cell], *, sizes: bool = False) -> str:
    """Cells that the browser asked for. name: of the listing. sizes: say how large each is."""
    return wall.cells_message(name, ((item_cell(item, sizes=sizes), jpeg) for item, jpeg in cells))


def item_cell(item: Item, *, sizes: bool = False) -> dict[str, Any]:
    """The cell of a picture."""
    line = "" if item.has_vectors else wall_words.NOT_INDEXED
    if sizes:
        line = f"{item.width} x {item.height}, {item.bytes / 1e6:.2f} MB"
    return _cell(item.id, item, line=line)


def result_cells(gallery: Gallery, result: SearchResult, numbers: Sequence[int]) -> str:
    """The cells of these pictures of a result; those that were deleted meanwhile are left out."""
    hits, items = result.shown, {item.id: item for item in gallery.items(ids=map(item_of, numbers))}
    here = [(n, items[item_of(n)]) for n in numbers if n in hits and item_of(n) in items]
    cells = ((hit_cell(result, n, item), gallery.thumbnail(item.id)) for n, item in here)
    return wall.cells_message(result.key, cells)


def hit_cell(result: SearchResult, number: int, item: Item) -> dict[str, Any]:
    """The cell of a picture that was found. What found it, where that differs, stands before its score."""
    hit = result.shown[number]
    several = len({one.found_by for one in result.hits}) > 1
    score = words.FOUND_BY.get(hit.found_by, "") if several else ""
    if hit.similarity is not None:
        score += " · " * bool(score) + words.SCORE.format(score=hit.score)
        if hit.rank_before != hit.rank:
            score += " · " + words.MOVED.format(rank=hit.rank_before + 1)
        if hit.agreement is not None:
            score += " · " + words.MODEL_SAYS.format(share=hit.agreement)
    return _cell(number, item, score=score)


def _cell(number: int, item: Item, **more: str) -> dict[str, Any]:
    more = {**more, "by_model": item.caption_by, "about": about_line(item), "text": item.text}
    return wall.cell_data(number, item.name, item.caption, favourite=item.favourite, **more)


def about_line(item: Item) -> str:
    """What is known of a picture: day, camera, place, pixels and bytes."""
    if item.taken is None:
        day = ""
    else:
        day = (words.DAY_BY_NAME if item.day_from_name else words.TAKEN_AT).format(taken=item.taken)
    where = ""
    if item.location is not None:
        degrees = f"{item.location[0]:.4f}, {item.location[1]:.4f}"
        town = place_names.name_of(*item.location)
        where = f"{town} ({degrees})" if town else degrees
    size = words.SIZE_OF.format(width=item.width, height=item.height) + f", {item.bytes / 1e6:.2f} MB"
    return " · ".join(filter(None, (day, item.camera, where, size)))


# -- why a picture was found


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


# -- HTML


def jobs_html(states: Sequence[JobState]) -> str:
    """Each job with a bar, its own words and a button to cancel it."""
    return "".join(_job(state) for state in states)


def _job(state: JobState) -> str:
    title = gallery_words.JOB_KINDS[state.kind].format(title=state.title)
    if state.over:
        told = (
            f"{gallery_words.PHASES[state.phase]}. {state.problem}"
            if state.problem
            else gallery_words.PHASES[state.phase]
        )
        again = state.kind == "add" and state.phase == "failed"
        retry = f'<button type="button" data-pick="{AGAIN}">{gallery_words.AGAIN}</button>' if again else ""
        seen = f'<button type="button" data-pick="{SEEN}">{gallery_words.SEEN}</button>'
        text = f"<b>{escape(title)}</b><span>{escape(told)}</span>{retry}{seen}"
        return f'<div class="sugar-job" role="status">{text}</div>'
    note = state.note or gallery_words.PHASES.get(state.phase, "")
    if state.left is not None:
        note += f" · {_left(state.left)}"
    value = f' value="{state.done}"' if state.total else ""
    bar = f'<progress{value} max="{max(1, state.total)}" aria-label="{escape(title)}"></progress>'
    stop = f'<button type="button" data-pick="{escape(state.id)}">{gallery_words.CANCEL}</button>'
    return f'<div class="sugar-job"><b>{escape(title)}</b>{bar}<span>{escape(note)}</span>{stop}</div>'


def _left(seconds: float) -> str:
    """How long work still takes, in minutes from two on.

    >>> _left(42.3), _left(150)
    ('42 s left', '2 min left')
    """
    if seconds >= 120:
        return gallery_words.MINUTES_LEFT.format(n=int(seconds / 60))
    return gallery_words.SECONDS_LEFT.format(n=int(seconds))


def watched_html(watched: Sequence[Watched]) -> str:
    """Each folder that is followed, what it has brought, and a button to stop."""
    return "".join(_watched(one) for one in watched)


def _watched(one: Watched) -> str:
    told = one.problem or one.note or gallery_words.WATCH_COUNTS.format(added=one.added, removed=one.removed)
    title = gallery_words.WATCHING.format(folder=one.folder)
    stop = f'<button type="button" data-pick="{escape(one.folder)}">{gallery_words.UNWATCH}</button>'
    said, more = one.said[:MOST_SAID], len(one.said) - MOST_SAID
    said += (gallery_words.AND_MORE.format(n=more),) if more > 0 else ()
    lines = "".join(f"<br>{escape(line)}" for line in said)
    return f'<div class="sugar-job"><b>{escape(title)}</b><span>{escape(told)}{lines}</span>{stop}</div>'


def report_table(report: IngestReport) -> str:
    """What was taken in: the counts, and each file that was not simply added."""
    told = ("passed over", "guessed", "left as it was")  # one row for many files: before the rows of one each
    rows = sorted(
        (r for r in report.rows if r.status != "added" or r.reason),
        key=lambda r: (r.status not in told, r.status in ("updated", "renamed", "unchanged", "duplicate")),
    )
    more = gallery_words.AND_MORE.format(n=len(rows) - MOST_ROWS) if len(rows) > MOST_ROWS else ""
    body = "".join(
        f"<tr><td>{escape(r.name)}</td><td>{escape(r.status)}</td><td>{escape(r.reason)}</td></tr>"
        for r in rows[:MOST_ROWS]
    )
    head = "".join(f"<th>{h}</th>" for h in gallery_words.TABLE_HEAD)
    table = (
        f'<div class="sugar-report" tabindex="0" role="region" aria-label="{gallery_words.REPORT}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}</div>"
    )
    return f"<p><b>{escape(report)}</b></p>" + (table if rows else "")
