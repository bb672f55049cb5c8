"""A gallery for programs: /gallery_list, /gallery_add, /gallery_items and their like.

Also the choices of a gallery in other tabs. Not covered: what is done (sugar/services/gallery.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from sugar.errors import GalleryError, InputError
from sugar.services.gallery import GalleryState
from sugar.services.jobs import Job
from sugar.ui.components import jpeg_uri
from sugar.ui.context import AppContext
from sugar.ui.gallery_calls import MOST, GalleryCalls, item_number
from sugar.ui.incoming import number

__all__ = ["choice", "choices", "endpoints"]


def choices(app: AppContext, none: str = "") -> Callable[[gr.Request], Any]:
    """For `app.on_galleries`: the visitor's galleries as a dropdown, the one used last chosen.

    none: a choice that means no gallery."""

    def fill(request: gr.Request) -> Any:
        names, nothing = app.gallery_names(request), [none] if none else []
        return gr.Dropdown(choices=nothing + names, value=_first(app, request, names or nothing))

    return fill


def choice(app: AppContext, request: gr.Request, name: Any) -> Any:
    """What a dropdown of `choices` says, or will say: a press may come before the page has its choices."""
    return name or _first(app, request, app.gallery_names(request))


def _first(app: AppContext, request: gr.Request, known: Sequence[str]) -> str | None:
    now = app.visitor(request).state.of(GalleryState).name
    return now if now in known else known[0] if known else None


def endpoints(app: AppContext, calls: GalleryCalls) -> None:
    """Register the endpoints; called while the page is built."""
    service = calls.service

    def looking(request: gr.Request, gallery: str) -> Any:
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
        return calls.create(request, name)

    async def gallery_add(request: gr.Request, gallery: str, files: list[Any]) -> dict[str, Any]:
        """Add pictures and zips of pictures; the result for every file, and why."""
        report = await _ended(calls.add, request, gallery, files)
        rows = [{"name": r.name, "status": r.status, "reason": r.reason, "item": r.item} for r in report.rows]
        return {"summary": str(report), "counts": report.counts, "rows": rows}

    def gallery_items(
        request: gr.Request, gallery: str, offset: int = 0, limit: int = 100, thumbnails: bool = False
    ) -> list[dict[str, Any]]:
        """The pictures of a gallery, in order of time. thumbnails: with each as a data URI."""
        found = app.gallery(request, gallery)
        first, most = int(number(offset, 0, 2**62, "The offset")), int(number(limit, 1, MOST, "The limit"))
        return [_as_json(found, i, thumbnails) for i in found.items(limit=most, offset=first)]

    def gallery_caption(request: gr.Request, gallery: str, item: int, caption_text: str) -> str:
        """Change a picture's caption; the caption as it was kept."""
        looking(request, gallery)
        return calls.caption(request, item, caption_text)

    def gallery_delete(request: gr.Request, gallery: str, items: list[int]) -> int:
        """Delete pictures for good; how many were there."""
        if not isinstance(items, (list, tuple)) or not items:
            raise InputError("There is nothing to delete. Give the pictures' numbers.")
        ids = [item_number(i) for i in items]
        return service.delete(looking(request, gallery), ids, at_once=True)

    def gallery_duplicates(request: gr.Request, gallery: str) -> list[list[int]]:
        """Groups of pictures that look the same, the better one first in each."""
        return [[c.id for c in g.cells] for g in service.near_duplicates(looking(request, gallery))]

    async def gallery_export(request: gr.Request, gallery: str) -> dict[str, Any]:
        """The whole gallery as one zip."""
        path = await _ended(calls.export, request, gallery)
        return {"path": path, "orig_name": "gallery.zip", "meta": {"_type": "gradio.FileData"}}

    async def gallery_import(request: gr.Request, name: str, file: Any) -> str:
        """A new gallery from an exported zip; its name."""
        return await _ended(calls.bring, request, name, file)

    async def gallery_index(request: gr.Request, gallery: str) -> dict[str, Any]:
        """Embed the pictures that the loaded model has not embedded yet; the counts."""
        return {"summary": str(await _ended(service.reindex, app.visitor(request), gallery))}

    def gallery_remove(request: gr.Request, gallery: str) -> list[str]:
        """Delete a gallery with all its pictures; the names of those that are left."""
        service.remove(app.visitor(request), gallery)
        return app.gallery_names(request)

    call: Any
    for call in (gallery_list, gallery_items, gallery_delete, gallery_duplicates, gallery_remove):
        gr.api(app.guarded(call, uses_model=False), api_name=call.__name__)
    for call in (gallery_create, gallery_caption):
        gr.api(app.guarded(call), api_name=call.__name__, **app.on_model)
    for call in (
        gallery_add,
        gallery_import,
        gallery_index,
        gallery_export,
    ):  # long: not in the model's queue
        gr.api(app.guarded(call), api_name=call.__name__, concurrency_limit=None)


async def _ended(start: Callable[..., Job], *given: Any) -> Any:
    """Start a job and wait for its end without holding a thread; its result. Raises GalleryError."""
    job = await asyncio.to_thread(start, *given)
    while not job.over.is_set():
        await asyncio.sleep(0.05)
    state = job.state()
    if state.phase != "done":
        raise GalleryError(state.problem or "It was cancelled.")
    return state.result


def _as_json(gallery: Any, item: Any, thumbnails: bool) -> dict[str, Any]:
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
