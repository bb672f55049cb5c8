"""What can be done with a gallery, checked, for the Gallery tab and as endpoints for programs.

    /gallery_list, /gallery_create, /gallery_add, /gallery_items, /gallery_caption, /gallery_delete, /gallery_duplicates, /gallery_export,
    /gallery_import, /gallery_remove

Not covered: drawing it (gallery.py), who may open which gallery (gallery_access.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from sugar.errors import InputError
from sugar.ui.context import AppContext
from sugar.ui.grid import jpeg_uri
from sugar.ui.incoming import in_cache, number, text

MOST = 1_000
NOW = "gallery-now"
"""Under this name a visitor keeps the gallery that was used last: it is the choice in every tab."""


def choices(app: AppContext, none: str = "") -> Callable[[gr.Request], Any]:
    """For `app.on_galleries`: the visitor's galleries as the choices of a dropdown, the one used last first.

    none: a choice that means no gallery."""

    def fill(request: gr.Request) -> Any:
        known = [*([none] if none else []), *app.gallery_names(request)]
        return gr.Dropdown(choices=known, value=_first(app, request, known))

    return fill


def choice(app: AppContext, request: gr.Request, name: Any) -> Any:
    """What a dropdown of `choices` says, or will say: a press may come before a page that opens slowly has its choices."""
    return name or _first(app, request, app.gallery_names(request))


def _first(app: AppContext, request: gr.Request, known: Sequence[str]) -> str | None:
    now = app.visitor(request).things.get(NOW)
    return now if now in known else known[0] if known else None


def create(app: AppContext, request: gr.Request, name: Any) -> str:
    made = app.galleries.create(app.visitor(request), text(name, app.settings, what="name of the new gallery"), app.model())
    app.visitor(request).things[NOW] = made.folder.name
    return made.folder.name


def add(app: AppContext, request: gr.Request, name: Any, files: Any, progress: Callable[[Any], Any] | None = None) -> Any:
    """Take uploads in; the gallery's Report. Raises InputError for anything that is not an upload. The visitor's stop ends it."""
    paths = [f.get("path") if isinstance(f, dict) else f for f in (files if isinstance(files, list) else [files])]
    if not paths or len(paths) > MOST:
        raise InputError(f"There are {len(paths)} files. Choose 1 to {MOST:,}, or one zip.")
    if not all(isinstance(p, str) and in_cache(p) for p in paths):
        raise InputError("One of these is not an upload of yours. Send the files themselves.")
    gallery = app.gallery(request, name)
    with app.visitor(request).answering() as stop:
        return gallery.add([str(p) for p in paths], progress=progress, cancel=stop)


def caption(app: AppContext, request: gr.Request, name: Any, item: Any, words: Any) -> None:
    app.gallery(request, name).set_caption(_item(item), text(words, app.settings, what="caption", required=False))


def delete(app: AppContext, request: gr.Request, name: Any, items: Any) -> int:
    if not isinstance(items, (list, tuple)) or not items:
        raise InputError("There is nothing to delete. Give the pictures' numbers.")
    return app.gallery(request, name).delete([_item(i) for i in items])


def bring(app: AppContext, request: gr.Request, name: Any, file: Any) -> str:
    path = file.get("path") if isinstance(file, dict) else file
    if not isinstance(path, str) or not in_cache(path):
        raise InputError("There is no file. Choose a zip that Export made.")
    plain = text(name, app.settings, what="name of the new gallery")
    made = app.galleries.bring(app.visitor(request), plain, Path(path), app.model())
    app.visitor(request).things[NOW] = made.folder.name
    return made.folder.name


def export(app: AppContext, request: gr.Request, name: Any) -> str:
    """The path of a zip of the whole gallery, in the visitor's own folder."""
    gallery = app.gallery(request, name)
    path = app.visitor(request).keep(b"", ".zip", name="gallery")
    gallery.export(path)
    return path


def _item(value: Any) -> int:
    checked = number(value, 1, 2**62, "A picture's number")
    if checked != int(checked):
        raise InputError(f"A picture's number is {checked:g}; it must be whole.")
    return int(checked)


def endpoints(app: AppContext) -> None:
    """Register the endpoints; called while the page is built."""

    def gallery_list(request: gr.Request) -> list[str]:
        """Names of the galleries that you can use."""
        return app.gallery_names(request)

    def gallery_create(request: gr.Request, name: str) -> str:
        """Make a new, empty gallery; its name."""
        return create(app, request, name)

    def gallery_add(request: gr.Request, gallery: str, files: list[Any]) -> dict[str, Any]:
        """Add pictures and zips of pictures; what became of every file, and why."""
        report = add(app, request, gallery, files)
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
        caption(app, request, gallery, item, caption_text)
        return app.gallery(request, gallery).item(int(item)).caption

    def gallery_delete(request: gr.Request, gallery: str, items: list[int]) -> int:
        """Delete pictures for good; how many were there."""
        return delete(app, request, gallery, items)

    def gallery_duplicates(request: gr.Request, gallery: str) -> list[list[int]]:
        """Groups of pictures that look the same."""
        return app.gallery(request, gallery).near_duplicates()

    def gallery_export(request: gr.Request, gallery: str) -> dict[str, Any]:
        """The whole gallery as one zip."""
        return {"path": export(app, request, gallery), "orig_name": "gallery.zip", "meta": {"_type": "gradio.FileData"}}

    def gallery_import(request: gr.Request, name: str, file: Any) -> str:
        """A new gallery from an exported zip; its name."""
        return bring(app, request, name, file)

    def gallery_remove(request: gr.Request, gallery: str) -> list[str]:
        """Delete a gallery with all its pictures; the names of those that are left."""
        app.galleries.remove(app.visitor(request), gallery, app.model())
        return app.gallery_names(request)

    light: Iterable[Any] = (gallery_list, gallery_items, gallery_delete, gallery_duplicates, gallery_export, gallery_remove)
    for call in light:
        gr.api(app.guarded(call, uses_model=False), api_name=call.__name__)
    for call in (gallery_create, gallery_add, gallery_caption, gallery_import):
        gr.api(app.guarded(call), api_name=call.__name__, **app.on_model)


def _as_json(gallery: Any, item: Any, thumbnails: bool) -> dict[str, Any]:
    out = {
        "item": item.id, "name": item.name, "caption": item.caption, "width": item.width, "height": item.height, "bytes": item.bytes,
        "taken": item.taken.isoformat() if item.taken else "", "camera": item.camera, "has_vectors": item.has_vectors,
    }  # fmt: skip
    return out | ({"thumbnail": jpeg_uri(gallery.thumbnail(item.id))} if thumbnails else {})
