"""The tab Ask your gallery: a question, with or without a picture, answered from a gallery, from notes, or
from both.

The same is the endpoint /ask. Not covered: what the handlers do (ask_handlers.py), how answers look
(ask_view.py).
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from sugar.images import SUFFIXES
from sugar.passages import SUFFIXES as NOTE_SUFFIXES
from sugar.services.ask import MAX_READ
from sugar.ui import ask_api
from sugar.ui.ask_handlers import MAX_EXAMPLES, STRICTNESS, AskHandlers
from sugar.ui.components import GalleryChoice, PictureInput, clickable, intro
from sugar.ui.context import AppContext
from sugar.ui.text import ask as words

TAB = ("ask", words.TITLE)


def build(app: AppContext) -> None:
    """Lay out the tab and wire it."""
    handlers = AskHandlers(app)
    intro(words.INTRO)
    with gr.Row():
        examples = [
            gr.Button(visible=False, size="sm", min_width=130, elem_id=f"ask-example-{i}")
            for i in range(MAX_EXAMPLES)
        ]
    with gr.Row():
        with gr.Column():
            gallery = GalleryChoice(
                [words.NO_GALLERY], value=words.NO_GALLERY, label=words.GALLERY, elem_id="ask-gallery"
            )
            files = _files()
            reading = gr.HTML(words.NO_NOTES, elem_classes="sugar-stats", elem_id="ask-reading")
            keep = gr.Button(words.KEEP, size="sm", min_width=130, elem_id="ask-keep")
        with gr.Column():
            question, image, go, stop = _question()
            asked = gr.Textbox(label=words.ASKED_AS, info=words.ASKED_AS_INFO, lines=1, elem_id="ask-asked")
            again = gr.Button(words.NEW_TOPIC, size="sm", min_width=130, elem_id="ask-again")
    read, strictness, beside = _options()
    note = gr.HTML(elem_classes="sugar-stats", elem_id="ask-note")
    with gr.Row():
        answer = clickable(words.ANSWER, elem_id="ask-answer")
        plain = gr.HTML(label=words.WITHOUT_SOURCES, visible=False, elem_id="ask-alone")
    speed = gr.HTML(elem_classes="sugar-stats", elem_id="ask-speed")
    sources = clickable(words.SOURCES, elem_id="ask-sources")
    opened = gr.HTML(label=words.OPENED, elem_id="ask-opened")
    to_chat = gr.Button(words.TO_CHAT, size="sm", min_width=130)

    model: dict[str, Any] = {**app.on_model, "api_visibility": "private"}
    notes: dict[str, Any] = {**app.on_notes, "api_visibility": "private"}
    options = [image, read, strictness, beside]
    outputs = [asked, answer, plain, speed, sources, opened]
    events = [
        gr.on(
            [go.click, question.submit],
            app.guarded(handlers.answer_on_page),
            [gallery, question, *options],
            outputs,
            **notes,
        ),
        asked.submit(app.guarded(handlers.answer_as_written), [gallery, asked, *options], outputs, **notes),
    ]
    gr.on([go.click, question.submit, asked.submit], None, None, note, js="() => ''", **app.quiet)
    app.on_model_change(handlers.example_buttons, examples)
    for place, button in enumerate(examples):
        fill = app.guarded(_filler(handlers, place), uses_model=False)
        filled = button.click(fill, None, [question, image, note], **app.quiet)
        asks = app.guarded(handlers.answer_example)
        events.append(filled.success(asks, [gallery, question, *options], outputs, **notes))
    stop.click(app.guarded(handlers.stop, uses_model=False), None, None, cancels=events, **app.quiet)
    taken = app.guarded(handlers.take_notes, uses_model=False)
    gr.on([files.upload, files.clear, files.delete], taken, files, reading, api_visibility="private")
    keep.click(app.guarded(handlers.keep_notes), gallery, reading, **model)
    forget = app.guarded(handlers.start_again, uses_model=False)
    again.click(forget, None, [question, asked, answer, sources], **app.quiet)
    for grid in (answer, sources):
        grid.click(app.guarded(handlers.open_source), None, opened, **model)
    ask_api.register(handlers)
    app.offer_galleries(gallery, words.NO_GALLERY)
    app.hand_over(to_chat, "chat", handlers.hand_chat)
    app.receive("ask", handlers.take, [question, image])


def _filler(handlers: AskHandlers, place: int) -> Any:
    def fill(request: gr.Request) -> tuple[Any, ...]:
        return handlers.fill_example(request, place)

    return fill


def _files() -> gr.File:
    return gr.File(
        label=words.FILES,
        file_count="multiple",
        type="filepath",
        file_types=[*NOTE_SUFFIXES, "image", *SUFFIXES],
        height=150,
        elem_id="ask-files",
    )


def _question() -> tuple[Any, Any, Any, Any]:
    question = gr.Textbox(
        label=words.QUESTION,
        placeholder=words.QUESTION_PLACEHOLDER,
        lines=2,
        max_lines=4,
        elem_id="ask-question",
    )
    image = PictureInput(label=words.PICTURE, height=150, buttons=[], elem_id="ask-picture")
    with gr.Row():
        go = gr.Button(words.ASK, variant="primary", elem_id="ask-go")
        stop = gr.Button(words.STOP, min_width=80, scale=0)
    return question, image, go, stop


def _options() -> tuple[Any, Any, Any]:
    with gr.Accordion(words.OPTIONS, open=False), gr.Row():
        read = gr.Slider(1, MAX_READ, 1, step=1, label=words.READ, info=words.READ_INFO)
        strictness = gr.Radio(
            list(STRICTNESS),
            value=words.BALANCED,
            label=words.STRICTNESS,
            info=words.STRICTNESS_INFO,
            elem_id="ask-strictness",
        )
        beside = gr.Checkbox(False, label=words.BESIDE, elem_id="ask-beside")
    return read, strictness, beside
