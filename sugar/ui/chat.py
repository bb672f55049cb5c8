"""The tab Chat: pictures and texts in any order, over many turns. The worked example of how a tab is written.

Not covered: what happens on an event (chat_handlers.py), the list of conversations (chat_saved.py), how a
message leaves the box and comes back (message.py).
"""

from __future__ import annotations

from typing import Any

import gradio as gr
from PIL import Image

from sugar.services.conversation import Conversation
from sugar.ui.chat_handlers import ChatHandlers
from sugar.ui.chat_pictures import PictureHandlers
from sugar.ui.chat_saved import SavedList
from sugar.ui.components import ChatView, clickable, data_uri, intro
from sugar.ui.context import AppContext
from sugar.ui.conversation import as_message_value
from sugar.ui.message import MessageBox
from sugar.ui.text import chat as words

TAB = ("chat", words.TITLE)


def build(app: AppContext) -> None:
    """Lay out the tab and wire it."""
    handlers = ChatHandlers(app)
    saved, pictures = SavedList(handlers), PictureHandlers(app)
    intro(words.INTRO)
    saved.layout()
    with gr.Column(elem_id="talk-place"):  # keeps the place until the component has come
        view = ChatView(
            label=words.CONVERSATION,
            height="var(--talk-height)",  # static/page.css
            buttons=["copy"],
            feedback_options=None,
            latex_delimiters=[],
            elem_id="talk",
            layout="bubble",
        )
    kept = gr.State(Conversation())
    with gr.Row(visible=False, elem_id="versions") as versions:
        earlier = gr.Button(words.PREVIOUS_VERSION, size="sm", min_width=130)
        version = gr.HTML(elem_classes="sugar-version sugar-live")
        later = gr.Button(words.NEXT_VERSION, size="sm", min_width=130)
    box = MessageBox(app.settings, view, kept)
    strip = clickable(words.PICTURES, elem_id="talk-pictures", visible=False)
    opened = clickable(words.PICTURES, elem_id="talk-opened", visible=False)
    with gr.Row():
        change = gr.Button(words.EDIT, size="sm", min_width=130)
        new = gr.Button(words.NEW, size="sm", min_width=90)
        to_search = gr.Button(words.SEARCH_WITH_THIS, size="sm", min_width=130)
        to_compare = gr.Button(words.COMPARE_THESE, size="sm", min_width=130)
    system, how = _options(app)

    def run(handler: Any) -> Any:
        return app.guarded(handler, uses_model=False)

    box.sends(app.guarded(handlers.send), [kept, system, *how])
    box.runs(view.retry, app.guarded(handlers.retry), [kept, *how])
    box.runs(view.example_select, app.guarded(handlers.example), [kept, *how])
    box.stops(run(handlers.stop))
    box.changes("undo", view.undo, run(handlers.undo), kept)
    box.changes("earlier", earlier.click, run(handlers.earlier), kept)
    box.changes("later", later.click, run(handlers.later), kept)
    box.takes_back("edit", change.click, run(handlers.edit), kept)
    box.clears(new.click, run(handlers.new), kept)
    saved.wire(box)
    box.then(run(handlers.beside), kept, [strip, versions, version, opened])
    strip.click(run(pictures.pick), kept, [strip, kept, opened], **app.quiet)
    box.adds(opened.click, run(pictures.region), kept, also=opened)
    box.answers_programs(app.guarded(handlers.api), how)
    app.on_model_change(lambda: _examples(handlers), [view])
    app.hand_over(to_search, "search", lambda request, talk: talk.last_question(), [kept])
    app.hand_over(to_compare, "compare", lambda request, talk: talk.last_question(), [kept])
    app.receive("chat", as_message_value, [box.field])


def _options(app: AppContext) -> tuple[Any, list[Any]]:
    """The system prompt, and how an answer is generated: temperature, top-p, longest answer, seed."""
    most = app.settings.max_tokens
    with gr.Accordion(words.OPTIONS, open=False):
        system = gr.Textbox(label=words.SYSTEM, info=words.SYSTEM_INFO, lines=2, elem_id="system")
        with gr.Row():
            temperature = gr.Slider(0, 2, 0, step=0.05, label=words.TEMPERATURE, info=words.TEMPERATURE_INFO)
            top_p = gr.Slider(0.05, 1, 1, step=0.05, label=words.TOP_P, info=words.TOP_P_INFO)
            length = gr.Slider(1, most, min(128, most), step=1, label=words.LENGTH, info=words.LENGTH_INFO)
            seed = gr.Number(-1, precision=0, label=words.SEED, info=words.SEED_INFO)
    return system, [temperature, top_p, length, seed]


def _examples(handlers: ChatHandlers) -> Any:
    """The examples of the loaded model, for the empty conversation."""
    return gr.update(
        examples=[
            {"text": example.text, "files": [_inside_the_page(p) for p in example.pictures()]}
            for example in handlers.examples()
        ]
    )


def _inside_the_page(picture: Image.Image) -> dict[str, str]:
    """A small picture inside the page itself, as the chatbot shows a file: nothing has to be served."""
    return {
        "path": "",
        "url": data_uri(picture),
        "mime_type": "image/jpeg",
        "orig_name": words.EXAMPLE_PICTURE,
    }
