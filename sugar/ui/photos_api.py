"""The tab Photos for programs: /search, and /gallery_list, /gallery_add, /gallery_items and their like.

Not covered: what they do (sugar/services/search.py, gallery.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from sugar.errors import GalleryError, InputError
from sugar.services.gallery import GalleryService, GalleryState
from sugar.services.jobs import Job
from sugar.services.query import QueryPart, SearchQuery, day
from sugar.services.search import SearchRequest, SearchService
from sugar.services.visitors import Page
from sugar.settings import Settings
from sugar.ui.components import jpeg_uri
from sugar.ui.context import AppContext
from sugar.ui.incoming import number, picture, text
from sugar.ui.photos_drawing import as_json

if TYPE_CHECKING:
    from sugar.gallery import Gallery, Item

MOST_HITS, MOST_ITEMS = 48, 1_000
"""Hits, and pictures, of one call."""


def add_search(app: AppContext, searching: SearchService) -> None:
    """Add the endpoint /search to the app that is being built."""
    settings = app.settings

    def search(
        request: gr.Request,
        query: Any,
        gallery: str = "sample",
        mode: str = "pictures",
        k: int = 12,
        rerank: bool = True,
        confirm: bool = False,
        after: str = "",
        before: str = "",
        name: str = "",
        caption: str = "",
        min_side: int = 0,
        thumbnails: bool = False,
    ) -> dict[str, Any]:
        """Search a gallery. query: a text in the language of the search box, or a list of {"text": ...}
        and {"picture": file} with an optional "weight", in order. mode: pictures, story (runs of
        pictures) or positions (hits for every part). confirm: the model's own yes or no orders the first
        six, where it can judge such a query. after, before: days as 2025-01-31. thumbnails: each picture
        as a data URI."""
        asked = _query_of(query, settings)
        conditions = replace(
            asked.conditions,
            after=day(after, "after") or asked.conditions.after,
            before=day(before, "before") or asked.conditions.before,
            name=text(name, settings, required=False) or asked.conditions.name,
            caption=text(caption, settings, required=False) or asked.conditions.caption,
            min_side=int(number(min_side or 0, 0, 1e6, "The shorter side")) or asked.conditions.min_side,
        )
        most = int(number(k, 1, MOST_HITS, "The number of hits"))
        wanted = replace(asked, conditions=conditions)
        checked: Any = mode  # SearchRequest refuses an unknown one
        result = searching.search(
            app.visitor(request),
            SearchRequest(wanted, gallery, checked, most, bool(rerank), bool(confirm)),
        )
        opened = app.gallery(request, gallery)
        return {
            "mode": mode,
            "gallery": gallery,
            "groups": [[as_json(h, opened, thumbnails) for h in group] for group in result.groups],
            "unknown_words": list(result.unknown_words),
            "unread": list(result.request.query.unread),
            "close": result.close,
            "confirmed": result.confirmed,
            "without_vectors": result.without_vectors,
        }

    gr.api(app.guarded(search), api_name="search", **app.on_model)


def add_galleries(
    app: AppContext,
    service: GalleryService,
    create: Callable[[gr.Request, str], str],
    add: Callable[..., Job],
    bring: Callable[..., Job],
) -> None:
    """Add the endpoints of galleries.

    create, add, bring: the page's own ways in, which check what they are given.
    """
    settings = app.settings

    def looking(request: gr.Request, gallery: str) -> Page:
        """The page of the caller, looking at this gallery."""
        page = app.visitor(request)
        app.gallery(request, gallery)
        page.state.of(GalleryState).name = gallery
        return page

    def gallery_list(request: gr.Request) -> list[str]:
        """Names of the galleries that you can use."""
        return app.gallery_names(request)

    def gallery_create(request: gr.Request, name: str) -> str:
        """Make a new, empty gallery; its name."""
        return create(request, name)

    async def gallery_add(request: gr.Request, gallery: str, files: list[Any]) -> dict[str, Any]:
        """Add pictures and zips of pictures; the result for every file, and why."""
        report = await ended(add, request, gallery, files)
        rows = [{"name": r.name, "status": r.status, "reason": r.reason, "item": r.item} for r in report.rows]
        return {"summary": str(report), "counts": report.counts, "rows": rows}

    def gallery_items(
        request: gr.Request, gallery: str, offset: int = 0, limit: int = 100, thumbnails: bool = False
    ) -> list[dict[str, Any]]:
        """The pictures of a gallery, in order of time. thumbnails: with each as a data URI."""
        found = app.gallery(request, gallery)
        first = int(number(offset, 0, 2**62, "The offset"))
        most = int(number(limit, 1, MOST_ITEMS, "The limit"))
        return [_as_json(found, i, thumbnails) for i in found.items(limit=most, offset=first)]

    def gallery_caption(request: gr.Request, gallery: str, item: int, caption_text: str) -> str:
        """Change a picture's caption; the caption as it was kept."""
        page = looking(request, gallery)
        kept = text(caption_text, settings, what="caption", required=False)
        return service.set_caption(page, _item_number(item), kept)

    def gallery_delete(request: gr.Request, gallery: str, items: list[int]) -> int:
        """Delete pictures for good; how many were there."""
        if not isinstance(items, (list, tuple)) or not items:
            raise InputError("There is nothing to delete. Give the pictures' numbers.")
        ids = [_item_number(i) for i in items]
        return service.delete(looking(request, gallery), ids, at_once=True)

    def gallery_duplicates(request: gr.Request, gallery: str) -> list[list[int]]:
        """Groups of pictures that look the same, the better one first in each."""
        return [[item.id for item in group] for group in service.near_duplicates(looking(request, gallery))]

    async def gallery_export(request: gr.Request, gallery: str) -> dict[str, Any]:
        """The whole gallery as one zip."""
        path = await ended(service.export, app.visitor(request), gallery)
        return {"path": path, "orig_name": "gallery.zip", "meta": {"_type": "gradio.FileData"}}

    async def gallery_import(request: gr.Request, name: str, file: Any) -> str:
        """A new gallery from an exported zip; its name."""
        return await ended(bring, request, name, file)

    async def gallery_index(request: gr.Request, gallery: str) -> dict[str, Any]:
        """Embed the pictures that the loaded model has not embedded yet; the counts."""
        return {"summary": str(await ended(service.reindex, app.visitor(request), gallery))}

    def gallery_remove(request: gr.Request, gallery: str) -> list[str]:
        """Delete a gallery with all its pictures; the names of those that are left."""
        service.remove(app.visitor(request), gallery)
        return app.gallery_names(request)

    call: Callable[..., Any]
    for call in (gallery_list, gallery_items, gallery_delete, gallery_duplicates, gallery_remove):
        gr.api(app.guarded(call, uses_model=False), api_name=call.__name__)
    for call in (gallery_create, gallery_caption):
        gr.api(app.guarded(call), api_name=call.__name__, **app.on_model)
    # long work waits in the jobs' own queue, not in the model's
    for call in (gallery_add, gallery_import, gallery_index, gallery_export):
        gr.api(app.guarded(call), api_name=call.__name__, concurrency_limit=None)


async def ended(start: Callable[..., Job], *given: Any) -> Any:
    """Start a job and wait for its end without holding a thread; its result. Raises GalleryError."""
    job = await asyncio.to_thread(start, *given)
    while not job.over.is_set():
        await asyncio.sleep(0.05)
    state = job.state()
    if state.phase != "done":
        raise GalleryError(state.problem or "It was cancelled.")
    return state.result


def _item_number(value: Any) -> int:
    checked = number(value, 1, 2**62, "A picture's number")
    if checked != int(checked):
        raise InputError(f"A picture's number is {checked:g}; it must be whole.")
    return int(checked)


def _as_json(gallery: Gallery, item: Item, thumbnails: bool) -> dict[str, Any]:
    out = {
        "item": item.id,
        "name": item.name,
        "caption": item.caption,
        "width": item.width,
        "height": item.height,
        "bytes": item.bytes,
        "taken": item.taken.isoformat() if item.taken else "",
        "day_from_name": item.day_from_name,
        "camera": item.camera,
        "has_vectors": item.has_vectors,
    }
    return out | ({"thumbnail": jpeg_uri(gallery.thumbnail(item.id))} if thumbnails else {})


def _query_of(query: Any, settings: Settings) -> SearchQuery:
    """A program's query: a text, a part, or a list of parts. Raises InputError."""
    if isinstance(query, str):
        return SearchQuery.of_text(text(query, settings))
    given, most = [query] if isinstance(query, dict) else query, settings.max_pictures
    if not isinstance(given, list) or not 1 <= len(given) <= most:
        raise InputError(
            f'A query is a list of 1 to {most} parts, each {{"text": ...}} or {{"picture": file}}, with '
            'an optional "weight".'
        )
    return SearchQuery(tuple(_part(part, settings) for part in given))


def _part(given: Any, settings: Settings) -> QueryPart:
    part = {"text": given} if isinstance(given, str) else given
    known = isinstance(part, dict) and not set(part) - {"text", "picture", "weight"}
    if not known or ("text" in part) == ("picture" in part):
        raise InputError(
            'A part of a query is {"text": ...} or {"picture": file}, with an optional "weight".'
        )
    content: str | Image.Image = (
        text(part["text"], settings) if "text" in part else picture(part["picture"], settings)
    )
    return QueryPart(content, number(part.get("weight", 1), -5, 5, "A weight"))
