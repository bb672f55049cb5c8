"""The Gallery tab as messages for the wall (the listing by months, cells, the open picture) and as HTML (the
line of facts, jobs with their progress, reports, near-duplicates).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from PIL import Image

from sugar.services.gallery import Cell, Listing
from sugar.services.jobs import JobState
from sugar.services.watching import Watched
from sugar.ui import wall
from sugar.ui.components import cell, escape, grid_of
from sugar.ui.text import gallery as words
from sugar.ui.text import teach
from sugar.ui.text import wall as wall_words

if TYPE_CHECKING:
    from sugar.gallery import IngestReport, Item

__all__ = [
    "AGAIN",
    "cells_of",
    "jobs_html",
    "large_of",
    "listing_of",
    "report_table",
    "same_html",
    "stats_line",
    "teach_line",
    "watched_html",
]

AGAIN = "again"
"""What a click on "Try again" picks; a job's number otherwise."""

MOST_ROWS = 200
MOST_SAID = 10

# -- for the wall


def listing_of(listing: Listing, targets: Sequence[str], stale: Sequence[int] | None) -> str:
    """The gallery as it is now. stale: the pictures whose cells changed, None for all."""
    return wall.listing_message(
        "gallery",
        listing.name,
        [(_month(month), ids, False) for month, ids in listing.months],
        order=listing.order,
        can=("select", "download") if listing.read_only else ("select", "download", "edit"),
        targets=targets,
        leaving=listing.leaving,
        stale=stale,
    )


def cells_of(name: str, cells: Iterable[Cell]) -> str:
    """Cells that the browser asked for. name: of the gallery."""
    return wall.cells_message(name, ((_wall_cell(item), thumbnail) for item, thumbnail in cells))


def large_of(name: str, item: Item, image: Image.Image) -> str:
    """One picture for the lightbox."""
    taken = f" · {item.taken:%Y-%m-%d %H:%M}" if item.taken else ""
    if item.day_from_name:
        taken = f" · {wall_words.FROM_NAME.format(day=item.taken)}"
    where = f" · {item.location[0]:.4f},{item.location[1]:.4f}" if item.location else ""
    about = f"{item.width} x {item.height} · {item.bytes / 1e6:.2f} MB{taken}{where} {item.camera}"
    return wall.large_message(name, _wall_cell(item), image, about)


def _wall_cell(item: Item) -> dict[str, Any]:
    line = item.caption or ("" if item.has_vectors else wall_words.NOT_INDEXED)
    more = {"favourite": item.favourite, "by_model": item.caption_by}
    return wall.cell_data(item.id, item.name, item.caption, line=line, **more)


def _month(month: str) -> str:
    return f"{datetime.strptime(month, '%Y-%m'):%B %Y}" if month else ""


# -- HTML


def stats_line(listing: Listing) -> str:
    """How many pictures there are, and how many the loaded model has not embedded yet."""
    if not listing.name:
        return f'<p class="sugar-empty">{words.NONE}</p>'
    if listing.problem:
        return f'<p role="alert">{escape(listing.problem)}</p>'
    if not listing.count and not listing.leaving:
        return f'<p class="sugar-empty">{words.EMPTY}</p>'
    size = f"{listing.bytes / 1e6:,.1f} MB" if listing.bytes < 1e9 else f"{listing.bytes / 1e9:,.2f} GB"
    line = words.COUNT.format(count=max(listing.count, listing.total), size=size)
    if listing.total:
        line += f"<br>{words.COLLECTION.format(n=listing.count)}"
    pending = f"<br>{words.PENDING.format(n=listing.pending)}" if listing.pending else ""
    copies = f" · {words.COPIES.format(side=listing.copies)}" if listing.copies else ""
    return f"<p>{line}{copies}{pending}</p>"


def jobs_html(states: Sequence[JobState]) -> str:
    """Each job with a bar, its own words and a button to cancel it."""
    return "".join(_job(state) for state in states)


def _job(state: JobState) -> str:
    title = words.JOB_KINDS[state.kind].format(title=state.title)
    if state.over:
        told = f"{words.PHASES[state.phase]}. {state.problem}" if state.problem else words.PHASES[state.phase]
        again = state.kind == "add" and state.phase == "failed"
        retry = f'<button type="button" data-pick="{AGAIN}">{words.AGAIN}</button>' if again else ""
        text = f"<b>{escape(title)}</b> <span>{escape(told)}</span>{retry}"
        return f'<div class="sugar-job" role="status">{text}</div>'
    note = state.note or words.PHASES.get(state.phase, "")
    value = f' value="{state.done}"' if state.total else ""
    bar = f'<progress{value} max="{max(1, state.total)}" aria-label="{escape(title)}"></progress>'
    stop = f'<button type="button" data-pick="{escape(state.id)}">{words.CANCEL}</button>'
    return f'<div class="sugar-job"><b>{escape(title)}</b>{bar}<span>{escape(note)}</span>{stop}</div>'


def watched_html(watched: Sequence[Watched]) -> str:
    """Each folder that is followed, what it has brought, and a button to stop."""
    return "".join(_watched(one) for one in watched)


def _watched(one: Watched) -> str:
    told = one.problem or one.note or words.WATCH_COUNTS.format(added=one.added, removed=one.removed)
    title = words.WATCHING.format(folder=one.folder)
    stop = f'<button type="button" data-pick="{escape(one.folder)}">{words.UNWATCH}</button>'
    said, more = one.said[:MOST_SAID], len(one.said) - MOST_SAID
    said += (words.AND_MORE.format(n=more),) if more > 0 else ()
    lines = "".join(f"<br>{escape(line)}" for line in said)
    return f'<div class="sugar-job"><b>{escape(title)}</b><span>{escape(told)}{lines}</span>{stop}</div>'


def report_table(report: IngestReport | None) -> str:
    """What was taken in: the counts, and each file that was not simply added."""
    if report is None:
        return ""
    told = ("passed over", "guessed", "left as it was")  # one row for many files: before the rows of one each
    rows = sorted(
        (r for r in report.rows if r.status != "added" or r.reason),
        key=lambda r: (r.status not in told, r.status in ("updated", "renamed", "unchanged", "duplicate")),
    )
    more = words.AND_MORE.format(n=len(rows) - MOST_ROWS) if len(rows) > MOST_ROWS else ""
    body = "".join(
        f"<tr><td>{escape(r.name)}</td><td>{escape(r.status)}</td><td>{escape(r.reason)}</td></tr>"
        for r in rows[:MOST_ROWS]
    )
    head = "".join(f"<th>{h}</th>" for h in words.TABLE_HEAD)
    table = (
        f'<div class="sugar-report" tabindex="0" role="region" aria-label="{words.REPORT}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}</div>"
    )
    return f"<p><b>{escape(report)}</b></p>" + (table if rows else "")


def same_html(groups: Sequence[Sequence[Cell]]) -> str:
    """Groups of near-duplicates side by side, the better one first and marked."""
    out = ""
    for number, group in enumerate(groups, 1):
        cells = []
        for place, (one, thumbnail) in enumerate(group):
            better = f"<b>{words.BETTER}</b> · " if place == 0 else ""
            under = f'<span class="line">{better}{one.width} x {one.height}, {one.bytes / 1e6:.2f} MB</span>'
            cells.append(cell(thumbnail, one.name, one.id, alt=one.caption, under=under))
        out += grid_of(cells, words.GROUP.format(n=number, count=len(group)))
    return out or f'<p class="sugar-empty">{words.NO_SAME}</p>'


def teach_line(state: JobState | None) -> str:
    """A run of "Teach the model these captions" in one sentence."""
    if state is None:
        return ""
    if state.phase == "done":
        return escape(state.result)
    if state.phase == "failed":
        return escape(teach.FAILED.format(title=state.title, problem=state.problem))
    if state.phase == "running":
        left = teach.LEFT.format(seconds=state.left) if state.left is not None else ""
        told = {"title": state.title, "done": state.done, "total": state.total, "note": state.note}
        return escape(teach.RUNNING.format(left=left, **told))
    return escape(
        {"queued": teach.QUEUED, "cancelled": teach.CANCELLED}[state.phase].format(title=state.title)
    )
