"""The tab Ask your gallery: a question, with or without a picture, answered from a gallery, from notes, or
from both. The endpoint /ask does the same.

From top to bottom: the layout and its events, what happens on each event, how an answer and its sources are
drawn. Not covered: notes and follow-ups (sugar/services/ask.py), finding and answering (sugar/rag).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gradio as gr
from PIL import Image, ImageDraw

from sugar.errors import SugarError
from sugar.images import SUFFIXES, thumbnail
from sugar.passages import SUFFIXES as NOTE_SUFFIXES
from sugar.passages import Passage
from sugar.sequence import PassageHit, Sample
from sugar.services.ask import MAX_READ, AskRequest, AskResult, AskService, PictureCell
from sugar.services.examples import Example, examples
from sugar.services.visitors import Page
from sugar.settings import Settings
from sugar.ui.components import (
    GalleryChoice,
    PictureInput,
    cell,
    clickable,
    escape,
    example_buttons,
    figure,
    grid_of,
    intro,
    keep_reduced,
    named,
    picked,
    speed_line,
)
from sugar.ui.context import AppContext
from sugar.ui.incoming import number, picture, read_uploads, text
from sugar.ui.text import ask as words

__all__ = ["TAB", "build"]

TAB = ("ask", words.TITLE)

STRICTNESS = [(words.STRICT, "strict"), (words.BALANCED, "balanced"), (words.ALWAYS, "always")]
MAX_FILES = 500
MAX_EXAMPLES = 4


def build(app: AppContext) -> None:
    """Lay out the tab and wire it."""
    tab = AskTab(app)
    intro(words.INTRO)
    with gr.Row():
        offers = example_buttons("ask", MAX_EXAMPLES)
    with gr.Row():
        with gr.Column():
            gallery = GalleryChoice(
                [words.NO_GALLERY], value=words.NO_GALLERY, label=words.GALLERY, elem_id="ask-gallery"
            )
            files = gr.File(
                label=words.FILES,
                file_count="multiple",
                type="filepath",
                file_types=[*NOTE_SUFFIXES, "image", *SUFFIXES],
                height=150,
                elem_id="ask-files",
            )
            reading = gr.HTML(words.NO_NOTES, elem_classes="sugar-stats", elem_id="ask-reading")
            keep = gr.Button(words.KEEP, size="sm", min_width=130, elem_id="ask-keep")
        with gr.Column():
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
            asked = gr.Textbox(label=words.ASKED_AS, info=words.ASKED_AS_INFO, lines=1, elem_id="ask-asked")
            again = gr.Button(words.NEW_TOPIC, size="sm", min_width=130, elem_id="ask-again")
    with gr.Accordion(words.OPTIONS, open=False), gr.Row():
        read = gr.Slider(1, MAX_READ, 1, step=1, label=words.READ, info=words.READ_INFO)
        strictness = gr.Radio(
            STRICTNESS,
            value="balanced",
            label=words.STRICTNESS,
            info=words.STRICTNESS_INFO,
            elem_id="ask-strictness",
        )
        beside = gr.Checkbox(False, label=words.BESIDE, elem_id="ask-beside")
    note = gr.HTML(elem_classes="sugar-stats", elem_id="ask-note")
    with gr.Row():
        answer = clickable(words.ANSWER, elem_id="ask-answer")
        plain = gr.HTML(label=words.WITHOUT_SOURCES, visible=False, elem_id="ask-alone")
    speed = gr.HTML(elem_classes="sugar-stats", elem_id="ask-speed")
    sources = clickable(words.SOURCES, elem_id="ask-sources")
    opened = gr.HTML(label=words.OPENED, elem_id="ask-opened")
    to_chat = gr.Button(words.TO_CHAT, size="sm", min_width=130)

    run: Callable[..., Any] = partial(app.guarded, uses_model=False)
    model: dict[str, Any] = {**app.on_model, "api_visibility": "private"}
    notes: dict[str, Any] = {**app.on_notes, "api_visibility": "private"}
    options = [image, read, strictness, beside]
    shown = [asked, answer, plain, speed, sources, opened]
    asks = [go.click, question.submit]
    events = [
        gr.on(asks, app.guarded(tab.answer), [gallery, question, *options], shown, **notes),
        asked.submit(app.guarded(tab.answer_as_written), [gallery, asked, *options], shown, **notes),
    ]
    gr.on([*asks, asked.submit], None, None, note, js="() => ''", **app.quiet)
    app.on_model_change(tab.name_examples, offers)
    for place, button in enumerate(offers):
        filled = button.click(run(tab.filler(place)), None, [question, image, note], **app.quiet)
        example = app.guarded(tab.answer_example)
        events.append(filled.success(example, [gallery, question, *options], shown, **notes))
    stop.click(run(tab.stop), None, None, cancels=events, **app.quiet)
    taken = [files.upload, files.clear, files.delete]
    gr.on(taken, run(tab.take_notes), files, reading, api_visibility="private")
    keep.click(app.guarded(tab.keep_notes), gallery, reading, **model)
    again.click(run(tab.start_again), None, [question, asked, answer, sources], **app.quiet)
    for grid in (answer, sources):
        grid.click(app.guarded(tab.open_source), None, opened, **model)
    gr.api(app.guarded(tab.ask), api_name="ask", **app.on_notes)
    app.offer_galleries(gallery, words.NO_GALLERY)
    app.hand_over(to_chat, "chat", tab.hand_chat)
    app.receive("ask", take, [question, image])


class AskTab:
    """What happens on the events of the tab, and the endpoint."""

    def __init__(self, app: AppContext) -> None:
        self.app, self.service = app, AskService(app.workspace)

    # -- notes

    def take_notes(self, request: gr.Request, files: Any) -> str:
        sent = read_uploads(files, self.app.settings, MAX_FILES)
        reading = self.service.take_notes(self.app.visitor(request), sent)
        told = [*reading.refused[:20], *reading.notes[:20]]
        refused = "".join(f"<br>{escape(name)}: {escape(why)}" for name, why in told)
        return f"{escape(words.YOUR_NOTES.format(reading=reading))}{refused}" if sent else words.NO_NOTES

    def keep_notes(self, request: gr.Request, gallery: Any) -> str:
        name = "" if gallery in (None, words.NO_GALLERY) else text(gallery, self.app.settings)
        added = self.service.keep_notes(self.app.visitor(request), name)
        return escape(words.KEPT.format(n=added, gallery=name))

    # -- questions

    def answer(
        self,
        request: gr.Request,
        gallery: Any,
        question: Any,
        image: Any,
        read: Any,
        strictness: Any,
        beside: Any,
        *,
        follow_up: bool = True,
        examples: bool = False,
    ) -> Iterator[tuple[Any, ...]]:
        """Values for: asked as, answer, answer with no sources, speed, sources, opened source."""
        how = {"follow_up": follow_up, "examples": examples}
        asked = request_of(self.app.settings, question, image, gallery, read, strictness, **how)
        visitor = self.app.visitor(request)
        yield gr.skip(), "", gr.HTML(value="", visible=bool(beside)), words.LOOKING, "", ""
        try:
            for result in self.service.ask(visitor, asked):
                speed = speed_line(result.how) if result.how else ""
                yield result.query, answer_block(result), gr.skip(), speed, source_grid(result), gr.skip()
        except SugarError as error:  # what was "looking ..." says it too: the message goes after some seconds
            yield gr.skip(), gr.skip(), gr.skip(), escape(str(error)), gr.skip(), gr.skip()
            raise
        if beside:
            for bare in self.service.without_sources(visitor, asked):
                block = titled(words.WITHOUT_SOURCES, escape(bare.text))
                yield gr.skip(), gr.skip(), block, speed_line(bare), gr.skip(), gr.skip()

    def answer_as_written(self, request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        yield from self.answer(request, *values, follow_up=False)

    def answer_example(self, request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        yield from self.answer(request, *values, follow_up=False, examples=True)

    def ask(
        self,
        request: gr.Request,
        question: str,
        picture: Any = None,
        gallery: str = "",
        notes: list[Any] | None = None,
        read: int = 1,
        strictness: str = "balanced",
        follow_up: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Answer a question from a gallery, from notes (files), or both; answer and sources as they grow.

        "by" is model, quote or nobody. "sources" are numbered as the answer cites them.
        """
        if notes is not None:
            self.take_notes(request, notes)
        how = {"follow_up": bool(follow_up)}
        asked = request_of(self.app.settings, question, picture, gallery, read, strictness, **how)
        for result in self.service.ask(self.app.visitor(request), asked):
            reply = result.reply
            yield {
                "answer": reply.text,
                "by": reply.by,
                "known": reply.known,
                "question": result.query,
                "sources": [source_data(hit, n, n in reply.cited) for n, hit in enumerate(reply.hits, 1)],
            }

    # -- around an answer

    def open_source(self, request: gr.Request, event: gr.EventData) -> str:
        visitor = self.app.visitor(request)
        hits = self.service.last(visitor).reply.hits
        number = picked(event, len(hits)) + 1
        source = self.service.source(visitor, number)
        return opened_source(hits[number - 1], number, source, self.service.cell(visitor, source))

    def stop(self, request: gr.Request) -> None:
        self.app.visitor(request).stop()

    def start_again(self, request: gr.Request) -> tuple[str, str, str, str]:
        self.service.start_again(self.app.visitor(request))
        return "", "", "", ""

    def hand_chat(self, request: gr.Request) -> list[str | Image.Image]:
        return self.service.handed_on(self.app.visitor(request))

    # -- examples

    def _examples(self) -> list[Example]:
        return examples(self.app.models.peek(), "ask")[:MAX_EXAMPLES]

    def name_examples(self) -> tuple[Any, ...]:
        """Values for the buttons: the examples' questions."""
        return tuple(named([e.text for e in self._examples()], MAX_EXAMPLES))

    def filler(self, place: int) -> Callable[[gr.Request], tuple[Any, ...]]:
        """What fills in an example: values for question, picture, and the line that says who is asked."""

        def fill_example(request: gr.Request) -> tuple[Any, ...]:
            chosen = self._examples()[place]
            sample = Sample([*chosen.pictures(), chosen.text])
            return *take(sample, self.app.visitor(request)), escape(words.EXAMPLES_ASKED)

        return fill_example


def take(sample: Sample, visitor: Page) -> tuple[str, str | None]:
    """Values for the question and its picture."""
    kept = keep_reduced(sample.images[0], visitor) if sample.images else None
    return " ".join(sample.text.split("\n")), kept


def request_of(
    settings: Settings, question: Any, image: Any, gallery: Any, read: Any, strictness: Any, **how: bool
) -> AskRequest:
    """What the page or a program sent, checked."""
    said = text(question, settings, what="question")
    sample = Sample([picture(image, settings), said] if image is not None else [said])
    name = "" if gallery in (None, "", words.NO_GALLERY) else gallery
    return AskRequest(sample, name, int(number(read, 1, MAX_READ, words.READ)), str(strictness), **how)


# -- drawing


def titled(title: str, inner: str) -> str:
    """A titled answer."""
    return f'<div class="sugar-answer"><h4>{escape(title)}</h4><p>{inner}</p></div>'


def answer_block(result: AskResult) -> str:
    """Who gives the answer, and its text with citations as buttons; the sources read where none is cited."""
    reply = result.reply
    title = words.BY_MODEL if reply.by == "model" else words.BY_NOBODY
    if reply.by == "quote":
        where = words.FROM_CAPTIONS if reply.hits[0].kind == "picture" else words.FROM_NOTES
        title = words.BY_QUOTE.format(where=where)
    parts = re.split(r"\[(\d{1,6})\]", reply.text)
    inner = "".join(_citation(int(p)) if i % 2 else escape(p) for i, p in enumerate(parts))
    is_over = result.how is not None and result.how.ended
    if reply.by == "model" and reply.hits and not reply.cited and is_over:
        numbers = " ".join(_citation(n) for n in range(1, len(reply.hits) + 1))
        inner += f"<br><small>{words.SOURCES_READ.format(numbers=numbers)}</small>"
    return titled(title, inner)


def _citation(number: int) -> str:
    label = words.OPEN_SOURCE.format(n=number)
    pick = f'data-pick="{number - 1}" aria-label="{label}"'
    return f'<button type="button" class="sugar-cite" {pick}>{number}</button>'


def source_grid(result: AskResult) -> str:
    """What was read, as cells with the numbers that the answer cites."""
    cells = []
    for place, hit in enumerate(result.reply.hits):
        passage = result.base.passage(hit)
        told = " ".join(filter(None, (passage.text, passage.answer)))
        jpeg = thumbnail(passage.image) if passage.image is not None else None
        under = f'<span class="line">{escape(told[:120])}</span>' if jpeg else ""
        under += f'<span class="line">{_found_by(hit)}</span>'
        name, said = f"[{place + 1}] {hit.name}", "" if jpeg else told[:300]
        cells.append(cell(jpeg, name, place, alt=passage.text, under=under, words=said))
    return grid_of(cells, words.SOURCES) if cells else ""


def opened_source(hit: PassageHit, number: int, passage: Passage, at: PictureCell | None) -> str:
    """One source, large: where it is from, how it was found, all of its text; its cell `at` is outlined."""
    how = f"{_found_by(hit)} · {words.SCORE.format(score=hit.score)}"
    lines = "<br>".join(escape(line) for line in passage.text.split("\n"))
    told = f"<b>[{number}] {escape(hit.name)}</b> · {how}<br>{lines}"
    told += f"<br><b>{escape(passage.answer)}</b>" if passage.answer else ""
    told += f"<br><small>{words.CELL}</small>" if at is not None else ""
    shown = passage.image if passage.image is None or at is None else outlined(passage.image, at)
    return figure(shown, passage.text or hit.name, told)


def outlined(picture: Image.Image, at: PictureCell) -> Image.Image:
    """A copy of the picture with one cell of its grid outlined."""
    copy = picture.convert("RGB")
    width, height = copy.width / at.columns, copy.height / at.rows
    left, top = at.column * width, at.row * height
    box = (left, top, left + width, top + height)
    pen = ImageDraw.Draw(copy)
    pen.rectangle(box, outline="white", width=max(3, copy.width // 100))
    pen.rectangle(box, outline="#d12", width=max(2, copy.width // 160))
    return copy


def source_data(hit: PassageHit, number: int, cited: bool) -> dict[str, Any]:
    """One source for a program."""
    return {
        "number": number,
        "name": hit.name,
        "kind": hit.kind,
        "text": hit.text,
        "answer": hit.answer,
        "item": hit.item,
        "score": round(hit.score, 4),
        "found_by": list(hit.found_by),
        "cited": cited,
    }


def _found_by(hit: PassageHit) -> str:
    return " · ".join(words.FOUND_BY[name] for name in hit.found_by)
