"""The Search tab: an ordered query of words and pictures over a gallery, in three modes, and each hit explained.

The same search is the endpoint /search.
Not covered: the editor of rows (query.py), how hits are drawn (hits.py), the search itself (sugar/retrieval.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import gradio as gr
from PIL import Image

from sugar.errors import InputError
from sugar.sequence import Sample
from sugar.ui import gallery_api
from sugar.ui.components import intro
from sugar.ui.context import AppContext
from sugar.ui.examples import example_picture, example_words
from sugar.ui.grid import html_block, picked, picture_grid
from sugar.ui.hits import Found, as_json, explained, page
from sugar.ui.incoming import number, text
from sugar.ui.query import QueryEditor, Row, as_query, rows_of

TAB = ("search", "Search")
MODES = {"Pictures": "pictures", "Story": "story", "Every position": "positions"}
EXAMPLE_NAMES = ("Words", "A picture and a change", "A story", "A hit for every position")


def build(app: AppContext) -> None:
    settings = app.settings
    intro("Find pictures with any order of words and pictures: a sentence, a picture and a change, a story. A weight below 0 looks away.")
    with gr.Row():
        names = [gr.Button(name, size="sm", min_width=130, elem_id=f"search-example-{i}") for i, name in enumerate(EXAMPLE_NAMES)]
    editor = QueryEditor(app)
    with gr.Row():
        gallery = gr.Dropdown([], label="Gallery", scale=2, elem_id="search-gallery")
        mode = gr.Radio(list(MODES), value="Pictures", label="Look for", scale=3, elem_id="search-mode")
        go = gr.Button("Search", variant="primary", scale=1, min_width=120, elem_id="search-go")
    with gr.Accordion("How many, and which", open=False):
        with gr.Row():
            k = gr.Slider(1, 48, 12, step=1, label="Hits", info="for every position: up to 4 each")
            rerank = gr.Checkbox(True, label="Re-rank by alignment", info="off: by the whole query's vector alone")
            confirm = gr.Checkbox(False, label="Ask the model about the best", info="slower: its own yes or no decides the first six")
            min_side = gr.Number(0, label="Shorter side at least", info="in pixels", precision=0)
        with gr.Row():
            after, before = (
                gr.Textbox(label="Taken from", placeholder="2025-01-31"),
                gr.Textbox(label="Taken until", placeholder="2025-12-31"),
            )
            name, caption = gr.Textbox(label="Name contains"), gr.Textbox(label="Caption contains")
    hits = picture_grid("Hits", elem_id="hits")
    opened = html_block("Opened hit", elem_id="opened")
    with gr.Row(visible=False) as onward:
        to_chat = gr.Button("Chat about this", size="sm", min_width=130)
        to_search = gr.Button("Search with this", size="sm", min_width=130)
        to_compare = gr.Button("Compare these", size="sm", min_width=130)
        to_ask = gr.Button("Ask about this", size="sm", min_width=130)

    def find(request: gr.Request, rows: list[Row], gallery: Any, mode: Any, k: Any, rerank: Any, ask: Any, chosen: Sequence[Any]) -> Found:
        from sugar.retrieval import Filters, confirm, search, search_positions, search_story

        if mode not in MODES.values():
            raise InputError(f"The mode is {str(mode)[:40]!r}; choose one of {', '.join(MODES.values())}.")
        if len(rows) > settings.max_pictures:
            raise InputError(f"A query has {settings.max_pictures} rows at most.")
        k = int(number(k, 1, 48, "The number of hits"))
        since, until, named, told, side = chosen
        filters = Filters(
            after=_day(since), before=_day(until), name=text(named, settings, required=False), caption=text(told, settings, required=False),
            min_side=int(number(side or 0, 0, 1e6, "The shorter side")),
        )  # fmt: skip
        model, sample = app.model(), Sample([r.part for r in rows])
        opened = app.gallery(request, gallery)
        if mode != "pictures" and any(r.weight != 1 for r in rows):
            raise InputError("Weights count when you look for pictures. Set them to 1 for a story or for every position.")
        if mode == "story":
            groups = [[hit] for hit in search_story(opened, model, sample, k=min(k, 12), filters=filters)]
        elif mode == "positions":
            groups = search_positions(opened, model, sample, k=min(k, 4), rerank=bool(rerank), filters=filters)
        else:
            query = as_query(rows)
            hits = search(opened, model, query, k=k, rerank=bool(rerank), filters=filters)
            strongest = query if isinstance(query, Sample) else max(query, key=lambda term: term.weight).sample
            groups = [confirm(hits, opened, model, strongest) if ask else hits]
            return Found(gallery, mode, sample, groups, strongest)
        return Found(gallery, mode, sample, groups, sample)

    def show(request: gr.Request, found: Found) -> tuple[Any, ...]:
        things = app.visitor(request).things
        things["search"], things["search-hit"] = found, None
        return page(app.gallery(request, found.gallery), found), "", gr.Row(visible=False)

    def on_page(request: gr.Request, gallery: Any, mode: Any, k: Any, rerank: Any, ask: Any, *values: Any) -> tuple[Any, ...]:
        rows = editor.read(values[5:], settings)
        gallery = gallery_api.choice(app, request, gallery)
        return show(request, find(request, rows, gallery, MODES.get(mode), k, rerank, ask, values[:5]))

    def example(number: int) -> Any:
        def fill_and_find(request: gr.Request, gallery: Any) -> tuple[Any, ...]:
            rows, mode = example_rows(number)
            gallery = gallery_api.choice(app, request, gallery)
            found = find(request, rows, gallery, MODES[mode], 12, True, False, ("", "", "", "", 0))
            return (*editor.fill(rows, app.visitor(request)), mode, *show(request, found))

        return fill_and_find

    def open_hit(request: gr.Request, event: gr.EventData) -> tuple[Any, Any]:
        found: Any = app.visitor(request).things.get("search")
        number = picked(event, len(found.hits) if found else 0)
        hit = found.hits[number]
        app.visitor(request).things["search-hit"] = hit
        return explained(app.gallery(request, found.gallery), found, hit), gr.Row(visible=True)

    def search_api(
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
        """Search a gallery. query: a text, or a list of {"text": ...} and {"picture": file} with an optional "weight", in order.
        mode: pictures, story (runs of pictures) or positions (hits for every part). confirm: the model's own yes or no decides
        the first six. thumbnails: add each picture as a data URI."""
        found = find(request, rows_of(query, settings), gallery, mode, k, rerank, confirm, (after, before, name, caption, min_side))
        opened = app.gallery(request, gallery)
        return {"mode": mode, "gallery": gallery, "groups": [[as_json(h, opened, thumbnails) for h in group] for group in found.groups]}

    def current(request: gr.Request) -> list[Any]:
        """Pictures of the opened hit: one, or a run."""
        things = app.visitor(request).things
        found, hit = things.get("search"), things.get("search-hit")
        if not found or not hit:
            raise InputError("Open a hit first.")
        opened = app.gallery(request, found.gallery)
        return [opened.picture(i) for i in (hit.items or (hit.item,))]

    chosen = [after, before, name, caption, min_side]
    shown = [hits, opened, onward]
    model: dict[str, Any] = {**app.on_model, "api_visibility": "private"}
    gr.on([go.click, *editor.submits], app.guarded(on_page), [gallery, mode, k, rerank, confirm, *chosen, *editor.inputs], shown, **model)
    for i, button in enumerate(names):
        button.click(app.guarded(example(i)), gallery, [*editor.outputs, mode, *shown], **model)
    hits.click(app.guarded(open_hit, uses_model=False), None, [opened, onward], queue=False, api_visibility="private").success(
        None, None, None, js="() => document.querySelector('#opened').scrollIntoView({behavior: 'smooth', block: 'nearest'})"
    )
    gr.api(app.guarded(search_api), api_name="search", **app.on_model)
    app.on_galleries(gallery_api.choices(app), [gallery])
    app.hand_over(to_chat, "chat", lambda request: current(request))
    app.hand_over(to_search, "search", lambda request: current(request))
    app.hand_over(to_ask, "ask", lambda request: current(request)[:1])
    app.hand_over(to_compare, "compare", lambda request: [*found_pictures(app, request)])
    app.receive("search", lambda parts, visitor: tuple(editor.fill([Row(p) for p in parts[: editor.rows]], visitor)), editor.outputs)


def found_pictures(app: AppContext, request: gr.Request) -> list[Image.Image | str]:
    """The opened hit and the best two others, with the query's words, to be told apart."""
    things = app.visitor(request).things
    found, hit = things.get("search"), things.get("search-hit")
    if not found or not hit:
        raise InputError("Open a hit first.")
    gallery = app.gallery(request, found.gallery)
    ids = list(hit.items) or [hit.item, *[h.item for h in found.hits if h.item != hit.item][:2]]
    return [*[gallery.picture(i) for i in ids[:6]], *[s.text for s in found.query if not s.is_image][:6]]


def example_rows(number: int) -> tuple[list[Row], str]:
    """The rows and the mode of an example."""
    words = example_words()
    if number == 1:
        return [Row(example_picture("before.jpg")), Row(words["edit"]["instruction"])], "Pictures"
    if number >= 2:
        rows = [Row(sentence) for sentence in words["story"][:4]]
        return (rows, "Story") if number == 2 else (rows[:3], "Every position")
    return [Row("a red star at night")], "Pictures"


def _day(value: Any) -> date | None:
    """ "2025-01-31" -> a date, an empty text -> None. Raises InputError."""
    if value in (None, ""):
        return None
    try:
        return date.fromisoformat(str(value).strip())
    except ValueError:
        raise InputError(f"{str(value)[:40]!r} is not a day. Write it as 2025-01-31.") from None
