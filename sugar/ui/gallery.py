"""The Gallery tab: make a gallery, fill it, look through it, caption, delete, find near-duplicates, take it along.

The same as endpoints: /gallery_list, _create, _add, _items, _caption, _delete, _duplicates, _export (gallery_api.py).
Not covered: what is taken in and what is refused (sugar/gallery), who may open which gallery (gallery_access.py).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from sugar.errors import InputError
from sugar.images import SUFFIXES
from sugar.ui import gallery_api
from sugar.ui.components import intro
from sugar.ui.context import AppContext
from sugar.ui.drawing import escape
from sugar.ui.grid import cell, figure, grid_of, html_block, picked, picture_grid, table_of
from sugar.ui.incoming import text

TAB = ("gallery", "Gallery")
PAGE = 24
ONWARD = {"chat": "Chat about this", "search": "Search with this", "compare": "Tell these apart", "ask": "Ask about this"}


def build(app: AppContext) -> None:
    settings = app.settings
    where_kept = "They go when you close the page" if settings.shared else "Everything stays on this machine"
    intro(f"Your pictures, ready to be searched. {where_kept}; deleting is for good.")
    with gr.Row():
        chosen = gr.Dropdown([], label="Gallery", scale=2, elem_id="gallery-name")
        name = gr.Textbox(label="New gallery", placeholder="holiday", scale=2, visible=not settings.shared, elem_id="gallery-new")
        create = gr.Button("Create", scale=1, min_width=90, visible=not settings.shared, elem_id="gallery-create")
    with gr.Accordion("Add pictures", open=False, elem_id="gallery-adding") as adding:
        files = gr.File(
            label="Pictures, or zips of pictures (a captions.csv inside names file and caption)", file_count="multiple", type="filepath",
            file_types=["image", *SUFFIXES, ".zip"], height=160, elem_id="gallery-files",
        )  # fmt: skip
        with gr.Row():
            add = gr.Button("Add", variant="primary", elem_id="gallery-add")
            cancel = gr.Button("Cancel", min_width=80)
        report = html_block("Report", elem_id="gallery-report")
    grid = picture_grid("Pictures", elem_id="gallery-grid")
    with gr.Row():
        back = gr.Button("Back", size="sm", min_width=80)
        where = gr.HTML(elem_classes="sugar-stats")
        on = gr.Button("On", size="sm", min_width=80)
        several = gr.Checkbox(False, label="Choose several", container=False, elem_id="gallery-several")
        drop_chosen = gr.Button("Delete the chosen", size="sm", variant="stop", visible=False, elem_id="gallery-drop-chosen")
    with gr.Row(visible=False) as detail:
        large = html_block("Picture", elem_id="gallery-picture")
        with gr.Column():
            caption = gr.Textbox(label="Caption", lines=2, elem_id="gallery-caption")
            with gr.Row():
                keep = gr.Button("Save the caption", size="sm", elem_id="gallery-keep")
                drop = gr.Button("Delete", size="sm", variant="stop", elem_id="gallery-drop")
            with gr.Row():
                onward = {tab: gr.Button(label, size="sm", min_width=120) for tab, label in ONWARD.items()}
    with gr.Accordion("Near-duplicates, export, import, delete all", open=False):
        with gr.Row():
            alike = gr.Button("Find near-duplicates", elem_id="gallery-alike")
            export = gr.DownloadButton("Export as a zip", elem_id="gallery-export")
            bring = gr.UploadButton("Import an export", file_types=[".zip"], visible=not settings.shared, elem_id="gallery-import")
        same = picture_grid("Near-duplicates", elem_id="gallery-same")
        with gr.Row():
            sure = gr.Checkbox(False, label="Delete this gallery with all its pictures", elem_id="gallery-sure")
            remove = gr.Button("Delete the gallery", variant="stop", elem_id="gallery-remove")
    page_outputs = [grid, where, drop_chosen, detail]

    def state(request: gr.Request) -> dict[str, Any]:
        """What this visitor looks at: first item of the page, ids on it, chosen ids, the open one, groups of near-duplicates."""
        fresh = {"at": 0, "ids": [], "chosen": set(), "open": None, "same": []}
        return app.visitor(request).things.setdefault("gallery", fresh)

    def show(request: gr.Request, name: Any, several: Any = False) -> tuple[Any, ...]:
        seen = state(request)
        if not name:
            return (
                '<p class="sugar-empty">No gallery yet. Name one and press Create.</p>',
                "",
                gr.Button(visible=False),
                gr.Row(visible=False),
            )
        gallery = app.gallery(request, name)
        seen["at"] = max(0, min(seen["at"], (len(gallery) - 1) // PAGE * PAGE))
        items = gallery.items(limit=PAGE, offset=seen["at"])
        seen["ids"] = [i.id for i in items]
        cells = []
        for n, item in enumerate(items):
            line = f'<span class="line">{escape(item.caption or ("" if item.has_vectors else "no vectors yet"))}</span>'
            pressed = item.id in seen["chosen"] if several else None
            cells.append(cell(gallery.thumbnail(item.id), item.name, n, alt=item.caption, under=line, pressed=pressed))
        empty = '<p class="sugar-empty">This gallery is empty. Add pictures above.</p>'
        told = f"{seen['at'] + 1} to {seen['at'] + len(items)} of {len(gallery):,}" if items else ""
        pick = gr.Button(f"Delete the chosen ({len(seen['chosen'])})", visible=bool(several) and bool(seen["chosen"]))
        return grid_of(cells) if cells else empty, told, pick, gr.Row(visible=False)

    def choose(request: gr.Request, name: Any, several: Any) -> tuple[Any, ...]:
        state(request).update(at=0, chosen=set(), open=None, same=[])
        app.visitor(request).things[gallery_api.NOW] = name
        return *show(request, name, several), ""

    def turn(pages: int) -> Any:
        def turned(request: gr.Request, name: Any, several: Any) -> tuple[Any, ...]:
            state(request)["at"] += pages * PAGE
            return show(request, name, several)

        return turned

    def click(request: gr.Request, name: Any, several: Any, event: gr.EventData) -> tuple[Any, ...]:
        seen = state(request)
        item = seen["ids"][picked(event, len(seen["ids"]))]
        if several:
            seen["chosen"] ^= {item}
            return *show(request, name, True), "", ""
        return opened(request, name, item)

    def click_same(request: gr.Request, name: Any, event: gr.EventData) -> tuple[Any, ...]:
        ids = [i for group in state(request)["same"] for i in group]
        return opened(request, name, ids[picked(event, len(ids))])

    def opened(request: gr.Request, name: Any, item: int) -> tuple[Any, ...]:
        gallery = app.gallery(request, name)
        found = gallery.item(item)
        state(request)["open"] = item
        taken = f" · taken {found.taken:%Y-%m-%d %H:%M}" if found.taken else ""
        told = f"<b>{escape(found.name)}</b> · {found.width} x {found.height} · {found.bytes / 1e6:.2f} MB{taken} {escape(found.camera)}"
        shown = figure(gallery.picture(item), found.caption or found.name, told)
        return gr.skip(), gr.skip(), gr.skip(), gr.Row(visible=True), shown, found.caption

    def take_in(request: gr.Request, name: Any, files: Any, several: Any) -> tuple[Any, ...]:
        bar = gr.Progress()
        paths = [p for p in (files if isinstance(files, list) else [files]) if p]
        done = gallery_api.add(app, request, name, paths, lambda p: bar((p.done, p.total), desc=str(p), unit="files"))
        return table_of(done), None, *show(request, name, several)

    def stop(request: gr.Request) -> None:
        app.visitor(request).stop()

    def make(request: gr.Request, name: str) -> tuple[Any, ...]:
        made = gallery_api.create(app, request, name)
        return gr.Dropdown(choices=app.gallery_names(request), value=made), "", *show(request, made), gr.Accordion(open=True)

    def current(request: gr.Request, name: Any) -> tuple[Any, int]:
        item = state(request)["open"]
        if item is None:
            raise InputError("Open a picture first: click on it.")
        return app.gallery(request, name), item

    def say(request: gr.Request, name: Any, caption: Any, several: Any) -> tuple[Any, ...]:
        gallery, item = current(request, name)
        gallery_api.caption(app, request, name, item, caption)
        return show(request, name, several)[:3]

    def delete(request: gr.Request, name: Any, several: Any) -> tuple[Any, ...]:
        seen = state(request)
        ids = sorted(seen["chosen"]) if several and seen["chosen"] else [current(request, name)[1]]
        gallery_api.delete(app, request, name, ids)
        seen.update(chosen=set(), open=None, same=[])
        return *show(request, name, several), ""

    def duplicates(request: gr.Request, name: Any) -> str:
        gallery = app.gallery(request, name)
        groups = state(request)["same"] = gallery.near_duplicates()[:50]
        items = {i.id: i for i in gallery.items(ids=[i for g in groups for i in g])}
        out, at = "", 0
        for n, group in enumerate(groups, 1):
            cells = [cell(gallery.thumbnail(i), items[i].name, at + j, alt=items[i].caption) for j, i in enumerate(group)]
            out, at = out + grid_of(cells, f"Group {n}: the same picture {len(group)} times"), at + len(group)
        return out or '<p class="sugar-empty">No two pictures here look the same.</p>'

    def import_it(request: gr.Request, name: Any, file: Any) -> tuple[Any, ...]:
        made = gallery_api.bring(app, request, text(name, settings, what="name of the new gallery"), file)
        return gr.Dropdown(choices=app.gallery_names(request), value=made), "", *show(request, made)

    def export_it(request: gr.Request, name: Any) -> str:
        return gallery_api.export(app, request, name)

    def remove_all(request: gr.Request, name: Any, sure: Any) -> tuple[Any, ...]:
        if sure is not True:
            raise InputError("Tick the box first: this deletes every picture of the gallery.")
        app.galleries.remove(app.visitor(request), name, app.model())
        names = app.gallery_names(request)
        state(request).update(at=0, chosen=set(), open=None, same=[])
        return gr.Dropdown(choices=names, value=names[0] if names else None), False, *show(request, names[0] if names else None), ""

    def shown_pictures(most: int, request: gr.Request, name: Any, several: Any) -> list[Any]:
        """The chosen pictures, else the open one."""
        seen = state(request)
        ids = sorted(seen["chosen"])[:most] if several and seen["chosen"] else [current(request, name)[1]]
        return [app.gallery(request, name).picture(i) for i in ids]

    model: dict[str, Any] = {**app.on_model, "api_visibility": "private"}
    plain: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    run = app.guarded
    app.on_galleries(gallery_api.choices(app), [chosen])
    chosen.change(run(choose, uses_model=False), [chosen, several], [*page_outputs, same], **plain)
    several.input(run(choose, uses_model=False), [chosen, several], [*page_outputs, same], **plain)
    back.click(run(turn(-1), uses_model=False), [chosen, several], page_outputs, **plain)
    on.click(run(turn(1), uses_model=False), [chosen, several], page_outputs, **plain)
    grid.click(run(click, uses_model=False), [chosen, several], [*page_outputs, large, caption], **plain)
    same.click(run(click_same, uses_model=False), chosen, [*page_outputs, large, caption], **plain)
    adding_run = add.click(run(take_in), [chosen, files, several], [report, files, *page_outputs], **model)
    cancel.click(run(stop, uses_model=False), None, None, queue=False, **plain)
    made = gr.on([create.click, name.submit], run(make), name, [chosen, name, *page_outputs, adding], **model)
    keep.click(run(say), [chosen, caption, several], page_outputs[:3], **model)
    for button in (drop, drop_chosen):
        button.click(run(delete, uses_model=False), [chosen, several], [*page_outputs, same], **plain)
    alike.click(run(duplicates, uses_model=False), chosen, same, api_visibility="private")
    brought = bring.upload(run(import_it), [name, bring], [chosen, name, *page_outputs], **model)
    removed = remove.click(run(remove_all, uses_model=False), [chosen, sure], [chosen, sure, *page_outputs, same], **plain)
    export.click(run(export_it, uses_model=False), chosen, export, **plain)
    for event in (made, brought, removed, adding_run):
        app.galleries_changed(event)
    gallery_api.endpoints(app)
    for tab, button in onward.items():
        app.hand_over(button, tab, partial(shown_pictures, 1 if tab == "ask" else 6), [chosen, several])
