"""The tab Tell apart: 2 to 6 pictures against 1 to 6 captions, and what differs between two pictures.

Not covered: what happens on an event (compare_handlers.py), the scores (sugar/services/compare.py).
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from sugar.images import SUFFIXES
from sugar.ui.compare_drawing import read_pictures, take
from sugar.ui.compare_handlers import MOST_EXAMPLES, CompareHandlers
from sugar.ui.components import intro
from sugar.ui.context import AppContext
from sugar.ui.text import compare as words

TAB = ("compare", words.TITLE)


def build(app: AppContext) -> None:
    """Lay out the tab and wire it."""
    handlers = CompareHandlers(app)
    intro(words.INTRO)
    with gr.Row():
        examples = [
            gr.Button(visible=False, size="sm", min_width=130, elem_id=f"compare-example-{n}")
            for n in range(MOST_EXAMPLES)
        ]
    with gr.Row():
        with gr.Column():
            pictures = gr.Gallery(
                label=words.PICTURES,
                type="filepath",
                columns=3,
                height=260,
                object_fit="contain",
                interactive=True,
                format="jpeg",
                sources=["upload", "clipboard"],
                file_types=["image", *SUFFIXES],
                buttons=[],
                elem_id="compare-pictures",
            )
            captions = gr.Textbox(label=words.CAPTIONS, lines=3, max_lines=6, elem_id="compare-captions")
            with gr.Row():
                go = gr.Button(words.COMPARE, variant="primary", elem_id="compare-go")
                differ = gr.Button(words.DIFFER, elem_id="compare-differ")
                stop = gr.Button(words.STOP, min_width=70, scale=0)
            with gr.Row():
                to_chat = gr.Button(words.CHAT_ABOUT_THESE, size="sm", min_width=130)
                to_search = gr.Button(words.SEARCH_WITH_THESE, size="sm", min_width=130)
        with gr.Column():
            first = next(iter(words.WAYS))
            way = gr.Radio(list(words.WAYS), value=first, label=words.SCORE_BY, elem_id="compare-way")
            table = gr.HTML(label=words.TABLE, elem_id="compare-table")
            told = gr.Markdown(elem_id="compare-verdict", elem_classes="sugar-live")
            answer = gr.Textbox(
                label=words.DIFFERENCE, interactive=False, visible=False, lines=2, elem_id="compare-answer"
            )
            speed = gr.HTML(elem_classes="sugar-stats")
            with gr.Accordion(words.OPTIONS, open=False):
                winoground = gr.Checkbox(False, label=words.WINOGROUND, info=words.WINOGROUND_INFO)
    model: dict[str, Any] = {**app.on_model, "api_visibility": "private"}
    fields = [pictures, captions, way, winoground]
    runs: list[Any] = [
        go.click(app.guarded(handlers.compare), fields, [table, told], api_name="compare_here", **model),
        differ.click(
            app.guarded(handlers.difference), pictures, [answer, speed], api_name="difference_here", **model
        ),
    ]
    shown = [pictures, captions, table, told, answer, speed]
    for n, button in enumerate(examples):
        fill = app.guarded(_example(handlers, n), uses_model=False)
        filled = button.click(fill, None, shown, **app.quiet)
        runs.append(filled.success(app.guarded(handlers.run_example), fields, shown[2:], **model))
    stop.click(app.guarded(handlers.stop, uses_model=False), None, None, cancels=runs, **app.quiet)
    redraw = app.guarded(handlers.show, uses_model=False)
    gr.on([way.input, winoground.input], redraw, [way, winoground], [table, told], **app.quiet)
    gr.api(app.guarded(handlers.compare_api), api_name="compare", **app.on_model)
    gr.api(app.guarded(handlers.difference_api), api_name="difference", **app.on_model)
    app.on_model_change(handlers.example_buttons, examples)

    def give(request: gr.Request, files: Any) -> list[Any]:
        return read_pictures(files, app.settings)

    app.hand_over(to_chat, "chat", give, [pictures])
    app.hand_over(to_search, "search", give, [pictures])
    app.receive("compare", take, [pictures, captions])


def _example(handlers: CompareHandlers, number: int) -> Any:
    def fill(request: gr.Request) -> tuple[Any, ...]:
        return handlers.example(number, request)

    return fill
