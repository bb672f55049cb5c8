"""Hits on the page: the grid of a search, one hit explained, and the same for programs.

Not covered: finding them (sugar/retrieval.py), the query's editor (query.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image

from sugar.sequence import Hit, Sample
from sugar.ui.drawing import escape, heat_map, score_bar
from sugar.ui.grid import cell, figure, grid_of, jpeg_uri, strip_of

__all__ = ["Found", "as_json", "explained", "page"]


@dataclass(frozen=True)
class Found:
    """A search and its hits, in groups: one for pictures, one per run of a story, one per position of the query.

    aligned: the slices that a hit's similarity and path speak of: the whole query, or its strongest term."""

    gallery: str
    mode: str
    query: Sample
    groups: list[list[Hit]]
    aligned: Sample

    @property
    def hits(self) -> list[Hit]:
        return [hit for group in self.groups for hit in group]


def page(gallery: Any, found: Found) -> str:
    """All hits as HTML; cells are numbered through."""
    if not found.hits:
        return '<p class="sugar-empty">Nothing was found. Loosen the filters, or add pictures in the Gallery tab.</p>'
    out, at = [], 0
    for i, group in enumerate(found.groups):
        cells = []
        for hit in group:
            if found.mode == "story":
                out.append(_run(gallery, hit, at))
            else:
                moved = f" · from rank {hit.rank_before + 1}" if hit.rank_before != hit.rank else ""
                line = f'<span class="line">{escape(hit.meta["relevance"])}{moved}</span>'
                cells.append(cell(gallery.thumbnail(hit.item), hit.name, at, alt=hit.caption, under=score_bar(hit.score) + line))
            at += 1
        if cells:
            out.append(grid_of(cells, f"After {_named(found.query, i)}" if found.mode == "positions" else ""))
    return "".join(out)


def _run(gallery: Any, hit: Hit, at: int) -> str:
    items = {i.id: i for i in gallery.items(ids=hit.items)}
    cells = [cell(gallery.thumbnail(i), items[i].name, at, alt=items[i].caption) for i in hit.items if i in items]
    return strip_of(cells, f"Run {hit.rank + 1}, score {hit.score:.2f}, {hit.meta['relevance']}")


def _named(query: Sample, upto: int) -> str:
    last = query[upto]
    return f"row {upto + 1}: {'a picture' if last.is_image else last.text[:80]}"


def explained(gallery: Any, found: Found, hit: Hit) -> str:
    """One hit: its picture, what is known of it, and the heat map of the query's slices against its own, with the path."""
    rows = [s.content for s in found.aligned][: hit.similarity.shape[0]]
    columns: list[str | Image.Image]
    if hit.items:
        columns = [gallery.picture(i) for i in hit.items]
        head = f"A run of {len(hit.items)} pictures · score {hit.score:.3f} · {escape(hit.meta['relevance'])}"
        large = figure(None, "", head)
    else:
        item, image = gallery.item(hit.item), gallery.picture(hit.item)
        columns = [image, item.caption] if item.caption and hit.similarity.shape[1] > 1 else [image]
        taken = f" · taken {item.taken:%Y-%m-%d %H:%M}" if item.taken else ""
        caption = f"{escape(item.caption)}<br>" if item.caption else ""
        head = (
            f"<b>{escape(item.name)}</b> · {item.width} x {item.height}{taken}<br>{caption}rank {hit.rank + 1} · score "
            f"{hit.score:.3f} (shortlist: rank {hit.rank_before + 1}, cosine {hit.shortlist_score:.3f}) · {hit.margin:.1f} deviations "
            f"above this gallery's mean: {escape(hit.meta['relevance'])}"
            + (f" · the model says yes with {hit.meta['agreement']:.0%}" if "agreement" in hit.meta else "")
        )
        large = figure(image, item.caption or item.name, head)
    title = "Each row of the query, read with the rows above it, against the hit. Ringed: which answers which."
    table = heat_map(hit.similarity, rows, columns, hit.path, caption=title)
    return f'<div class="sugar-opened">{large}<div>{table}</div></div>' if not hit.items else large + table


def as_json(hit: Hit, gallery: Any, thumbnails: bool) -> dict[str, Any]:
    """A hit for programs."""
    out: dict[str, Any] = {
        "item": hit.item, "name": hit.name, "caption": hit.caption, "score": hit.score, "rank": hit.rank, "margin": hit.margin,
        "shortlist_score": hit.shortlist_score, "rank_before": hit.rank_before, "relevance": hit.meta.get("relevance", ""),
        "path": [list(p) for p in hit.path], "similarity": hit.similarity.tolist(),
    }  # fmt: skip
    if "agreement" in hit.meta:
        out["agreement"] = hit.meta["agreement"]
    if hit.items:
        out["items"] = list(hit.items)
    if thumbnails:
        out["thumbnail"] = jpeg_uri(gallery.thumbnail(hit.item))
    return out
