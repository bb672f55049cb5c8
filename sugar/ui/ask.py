"""The tab Ask your gallery: a question, with or without a picture, answered from a gallery, from notes, or
from both. The endpoint /ask does the same.

From top to bottom: the layout and its events, what happens on each event, how an answer, its sources and the
notes are drawn. Cells carry `data-pick`: the place of a source; "open" or "delete" of a file of notes, with
the gallery that keeps it and its name.
Not covered: notes and follow-ups (sugar/services/ask.py), finding and answering (sugar/rag).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import gradio as gr
from PIL import Image, ImageDraw

from sugar.errors import InputError, SugarError
from sugar.images import SUFFIXES, thumbnail
from sugar.passages import SUFFIXES as NOTE_SUFFIXES
from sugar.passages import Passage
from sugar.sequence import PassageHit, Sample
from sugar.services.ask import MAX_READ, AskRequest, AskResult, AskService, NoteFile, PictureCell
from sugar.services.examples import Example, examples
from sugar.services.visitors import Page
from sugar.settings import Settings
from sugar.ui.components import (
    GalleryChoice,
    cell,
    clickable,
    escape,
    event_field,
    example_buttons,
    figure,
    grid_of,
    how_line,
    intro,
    keep_reduced,
    named,
    picked,
)
from sugar.ui.context import AppContext
from sugar.ui.incoming import number, parts, read_uploads, text
from sugar.ui.text import ask as words

TAB = ("ask", words.TITLE)

STRICTNESS = [(words.STRICT, "strict"), (words.BALANCED, "balanced"), (words.ALWAYS, "always")]
MAX_FILES = 500
MAX_EXAMPLES = 4
MOST_LISTED = 200


def look(busy: bool) -> str:
    """JavaScript for how the question's box looks while an answer is written, and after."""
    free = str(not busy).lower()
    return f"() => ({{__type__: 'update', submit_btn: {free}, stop_btn: {str(busy).lower()}}})"


def build(app: AppContext) -> None:
    """Lay out the tab and wire it."""
    tab = AskTab(app)
    intro(words.INTRO)
    with gr.Row(elem_id="ask-line"):
        gallery = GalleryChoice(
            [words.NO_GALLERY], value=words.NO_GALLERY, label=words.GALLERY, elem_id="ask-gallery", scale=1
        )
        question = gr.MultimodalTextbox(
            label=words.QUESTION,
            placeholder=words.QUESTION_PLACEHOLDER,
            file_count="multiple",
            file_types=["image", *SUFFIXES],
            max_plain_text_length=app.settings.max_text,
            submit_btn=True,
            stop_btn=False,
            scale=3,
            elem_id="ask-question",
        )
    with gr.Row():
        offers = example_buttons("ask", MAX_EXAMPLES)
    with gr.Row(visible=False, elem_id="ask-rewritten") as rewritten:
        asked = gr.Textbox(label=words.ASKED_AS, info=words.ASKED_AS_INFO, lines=1, elem_id="ask-asked")
        again = gr.Button(words.NEW_TOPIC, size="sm", min_width=130, scale=0, elem_id="ask-again")
    note = gr.HTML(elem_classes="sugar-stats", elem_id="ask-note")
    with gr.Row(elem_id="ask-result"):
        with gr.Column(scale=3):
            answer = clickable(words.ANSWER, elem_id="ask-answer", elem_classes="sugar-live")
            speed = gr.HTML(elem_classes="sugar-stats", elem_id="ask-speed")
            plain = gr.HTML(label=words.WITHOUT_SOURCES, visible=False, elem_id="ask-alone")
            to_chat = gr.Button(words.TO_CHAT, size="sm", min_width=130, visible=False, elem_id="ask-to-chat")
        with gr.Column(scale=2):
            sources = clickable(words.SOURCES, elem_id="ask-sources")
            opened = gr.HTML(label=words.OPENED, elem_id="ask-opened")
    with gr.Accordion(words.NOTES, open=False, elem_id="ask-notes"):
        with gr.Row():
            files = gr.UploadButton(
                words.ADD_NOTES,
                file_count="multiple",
                file_types=[*NOTE_SUFFIXES, "image", *SUFFIXES],
                size="sm",
                min_width=130,
                elem_id="ask-files",
            )
            keep = gr.Button(words.KEEP, size="sm", min_width=130, elem_id="ask-keep")
        reading = gr.HTML(elem_classes="sugar-stats", elem_id="ask-reading")
        listed = clickable(words.NOTES, elem_id="ask-listed")
        read_note = gr.HTML(label=words.OPENED, elem_id="ask-note-opened")
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

    run: Callable[..., Any] = partial(app.guarded, uses_model=False)
    model: dict[str, Any] = {**app.on_model, "api_visibility": "private"}
    notes: dict[str, Any] = {**app.on_notes, "api_visibility": "private"}
    given = [gallery, question, asked, read, strictness, beside]
    shown = [rewritten, asked, answer, plain, speed, sources, opened, to_chat]
    begun = "() => ''"
    events: list[Any] = []
    for submit, handler in ((question.submit, tab.answer), (asked.submit, tab.answer_as_written)):
        # before the answer: Gradio begins the next event of a press when the one before has ended
        submit(None, None, note, js=begun, **app.quiet)
        submit(None, None, question, js=look(busy=True), **app.quiet)
        events.append(submit(app.guarded(handler), given, shown, **notes))
    for place, button in enumerate(offers):
        filled = button.click(run(tab.filler(place)), None, [question, note], **app.quiet)
        events.append(filled.success(app.guarded(tab.answer_example), given, shown, **notes))
    for event in events:
        event.then(None, None, question, js=look(busy=False), **app.quiet)
    stopped = question.stop(run(tab.stop), None, None, cancels=events, **app.quiet)
    stopped.then(None, None, question, js=look(busy=False), **app.quiet)
    app.on_model_change(tab.name_examples, offers)
    files.upload(run(tab.take_notes), [files, gallery], [reading, listed], api_visibility="private")
    keep.click(app.guarded(tab.keep_notes), gallery, [reading, listed], **model)
    gallery.change(run(tab.list_notes), gallery, listed, **app.quiet)
    listed.click(run(tab.press_note), gallery, [listed, read_note], **app.quiet)
    again.click(run(tab.start_again), None, [question, *shown], **app.quiet)
    for grid in (answer, sources):
        grid.click(app.guarded(tab.open_source), None, opened, **model)
    gr.api(app.guarded(tab.ask), api_name="ask", **app.on_notes)
    app.offer_galleries(gallery, words.NO_GALLERY)
    app.hand_over(to_chat, "chat", tab.hand_chat)
    app.receive("ask", take, [question])


class AskTab:
    """What happens on the events of the tab, and the endpoint."""

    def __init__(self, app: AppContext) -> None:
        self.app, self.service = app, AskService(app.workspace)

    # -- notes

    def take_notes(self, request: gr.Request, files: Any, gallery: Any) -> tuple[str, str]:
        """Values for the line that says what was read, and the list."""
        sent = read_uploads(files, self.app.settings, MAX_FILES)
        reading = self.service.take_notes(self.app.visitor(request), sent, beside=True)
        added = words.ADDED.get(len(sent), words.ADDED_MANY).format(n=len(sent))
        told = [*reading.refused[:20], *reading.notes[:20]]
        said = "".join(f"<br>{escape(name)}: {escape(why)}" for name, why in told)
        return f"{escape(f'{added}: {reading}.')}{said}", self.list_notes(request, gallery)

    def keep_notes(self, request: gr.Request, gallery: Any) -> tuple[str, str]:
        name = self._name(gallery)
        added = self.service.keep_notes(self.app.visitor(request), name)
        return escape(words.KEPT.format(n=added, gallery=name)), self.list_notes(request, gallery)

    def list_notes(self, request: gr.Request, gallery: Any) -> str:
        """The files of notes. Those of a gallery are listed when the model, which opens it, is there."""
        name = self._name(gallery) if self.app.models.peek() is not None else ""
        visitor = self.app.visitor(request)
        with suppress(SugarError):  # a gallery that cannot be opened says so in its own tab
            return note_list(self.service.notes(visitor, name))
        return note_list(self.service.notes(visitor, ""))

    def press_note(self, request: gr.Request, gallery: Any, event: gr.EventData) -> tuple[str, str]:
        """Values for the list and the opened note."""
        visitor = self.app.visitor(request)
        try:
            act, where, name = json.loads(event_field(event, "pick"))
        except (ValueError, TypeError):
            raise InputError(words.NOTE_GONE) from None
        if act == "delete":
            self.service.forget_notes(visitor, str(where), str(name))
            return self.list_notes(request, gallery), ""
        found = [n for n in self.service.notes(visitor, str(where)) if (n.gallery, n.name) == (where, name)]
        if not found:
            raise InputError(words.NOTE_GONE)
        return self.list_notes(request, gallery), opened_note(found[0])

    def _name(self, gallery: Any) -> str:
        chosen = gallery not in (None, "", words.NO_GALLERY)
        return text(gallery, self.app.settings) if chosen else ""

    # -- questions

    def answer(
        self,
        request: gr.Request,
        gallery: Any,
        question: Any,
        asked: Any,
        read: Any,
        strictness: Any,
        beside: Any,
        *,
        follow_up: bool = True,
        examples: bool = False,
    ) -> Iterator[tuple[Any, ...]]:
        """Values for: the row of "asked as" and its field, answer, answer with no sources, speed, sources,
        opened source, and the button that hands them on.
        """
        how = {"follow_up": follow_up, "examples": examples}
        wanted = request_of(self.app.settings, question, gallery, read, strictness, **how)
        visitor, same = self.app.visitor(request), gr.skip()
        alone, no_button = gr.HTML(value="", visible=bool(beside)), gr.Button(visible=False)
        yield same, same, "", alone, words.LOOKING, "", "", no_button
        try:
            for result in self.service.ask(visitor, wanted):
                changed = gr.Row(visible=follow_up is False or result.query != wanted.question.text)
                drawn = answer_block(result), same, how_line(result.how), source_grid(result), same
                yield changed, result.query, *drawn, gr.Button(visible=bool(result.reply.hits))
        except SugarError as error:  # what was "looking ..." says it too: the message goes after some seconds
            yield same, same, same, same, escape(str(error)), same, same, same
            raise
        if beside:
            for bare in self.service.without_sources(visitor, wanted):
                block = titled(words.WITHOUT_SOURCES, escape(bare.text))
                yield same, same, same, block, how_line(bare), same, same, same

    def answer_as_written(
        self, request: gr.Request, gallery: Any, question: Any, asked: Any, *options: Any
    ) -> Iterator[tuple[Any, ...]]:
        pictures = question.get("files") if isinstance(question, dict) else None
        written = {"text": asked, "files": pictures or []}
        yield from self.answer(request, gallery, written, asked, *options, follow_up=False)

    def answer_example(self, request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        yield from self.answer(request, *values, examples=True)

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
            sent = read_uploads(notes, self.app.settings, MAX_FILES)
            self.service.take_notes(self.app.visitor(request), sent)
        message = {"text": question, "files": [] if picture is None else [picture]}
        how = {"follow_up": bool(follow_up)}
        asked = request_of(self.app.settings, message, gallery, read, strictness, **how)
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

    def start_again(self, request: gr.Request) -> tuple[Any, ...]:
        """Values for the question and all that is shown of the last answer."""
        self.service.start_again(self.app.visitor(request))
        return (
            {"text": "", "files": []},
            gr.Row(visible=False),
            "",
            "",
            "",
            "",
            "",
            "",
            gr.Button(visible=False),
        )

    def hand_chat(self, request: gr.Request) -> list[str | Image.Image]:
        return self.service.handed_on(self.app.visitor(request))

    # -- examples

    def _examples(self) -> list[Example]:
        return examples(self.app.models.peek(), "ask")[:MAX_EXAMPLES]

    def name_examples(self) -> tuple[Any, ...]:
        """Values for the buttons: the examples' questions."""
        return tuple(named([e.text for e in self._examples()], MAX_EXAMPLES))

    def filler(self, place: int) -> Callable[[gr.Request], tuple[Any, ...]]:
        """What fills in an example: values for the question, and the line that says who is asked."""

        def fill_example(request: gr.Request) -> tuple[Any, ...]:
            chosen = self._examples()[place]
            sample = Sample([*chosen.pictures(), chosen.text])
            return take(sample, self.app.visitor(request)), escape(words.EXAMPLES_ASKED)

        return fill_example


def take(sample: Sample, visitor: Page) -> dict[str, Any]:
    """A sample as the value of the question's box."""
    files = [keep_reduced(image, visitor) for image in sample.images]
    return {"text": " ".join(sample.text.split("\n")), "files": files}


def request_of(
    settings: Settings, message: Any, gallery: Any, read: Any, strictness: Any, **how: bool
) -> AskRequest:
    """What the page or a program sent, checked."""
    sample = Sample(parts(message, settings))
    name = "" if gallery in (None, "", words.NO_GALLERY) else gallery
    return AskRequest(sample, name, int(number(read, 1, MAX_READ, words.READ)), str(strictness), **how)


# -- drawing


def titled(title: str, inner: str) -> str:
    """A titled answer."""
    return f'<div class="sugar-answer"><h4>{escape(title)}</h4><p>{inner}</p></div>'


def answer_block(result: AskResult) -> str:
    """Who gives the answer, and its text with citations as buttons; the sources read where none is cited."""
    reply = result.reply
    if reply.by == "nobody":
        nearest = (
            f"<small>{words.NEAREST.format(name=escape(reply.nearest.name))}</small>" if reply.nearest else ""
        )
        return f'<div class="sugar-answer"><p>{escape(reply.text)}</p>{nearest}</div>'
    title = words.BY_MODEL
    if reply.by == "quote":
        first = reply.hits[0]
        title = words.FROM_NOTES
        if first.kind == "picture":
            title = words.FROM_CAPTIONS_BY_MODEL if first.caption_by else words.FROM_CAPTIONS
    pieces = re.split(r"\[(\d{1,6})\]", reply.text)
    inner = "".join(_citation(int(p)) if i % 2 else escape(p) for i, p in enumerate(pieces))
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
        under += f'<span class="line">{escape(_by_model(hit))}</span>' if hit.caption_by else ""
        name, said = f"[{place + 1}] {hit.name}", "" if jpeg else told[:300]
        cells.append(cell(jpeg, name, place, alt=passage.text, under=under, words=said))
    return grid_of(cells, words.SOURCES) if cells else ""


def opened_source(hit: PassageHit, number: int, passage: Passage, at: PictureCell | None) -> str:
    """One source, large: where it is from, how it was found, all of its text; its cell `at` is outlined."""
    found = " · ".join(words.FOUND_BY[name] for name in hit.found_by)
    how = f"{found} · {words.SCORE.format(score=hit.score)}"
    lines = "<br>".join(escape(line) for line in passage.text.split("\n"))
    told = f"<b>[{number}] {escape(hit.name)}</b> · {how}<br>{lines}"
    told += f"<br><b>{escape(passage.answer)}</b>" if passage.answer else ""
    told += f"<br>{escape(_by_model(hit))}" if hit.caption_by else ""
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
        "caption_by": hit.caption_by,
    }


def _by_model(hit: PassageHit) -> str:
    return words.CAPTION_BY.format(model=hit.caption_by)


def note_list(files: Sequence[NoteFile]) -> str:
    """The files of notes, each with its number of passages; one opens it, one deletes it."""
    if not files:
        return f'<p class="sugar-hint">{words.NO_NOTES}</p>'
    return f'<ul class="sugar-notes" role="list">{"".join(map(_note, files[:MOST_LISTED]))}</ul>'


def _note(file: NoteFile) -> str:
    def press(act: str, name: str, label: str) -> str:
        pick, told = escape(json.dumps([act, file.gallery, file.name])), escape(label.format(name=file.name))
        return (
            f'<button type="button" class="sugar-button" data-pick="{pick}" '
            f'aria-label="{told}">{name}</button>'
        )

    count = len(file.passages)
    where = words.KEPT_BY.format(gallery=file.gallery) if file.gallery else words.OF_THIS_VISIT
    told = f"{words.PARTS.get(count, words.PARTS_MANY).format(n=count)} · {where}"
    buttons = press("open", words.OPEN, words.OPEN_NOTE) + press("delete", words.DELETE, words.DELETE_NOTE)
    return (
        f'<li><span><b>{escape(file.name)}</b><span class="line">{escape(told)}</span></span>{buttons}</li>'
    )


def opened_note(file: NoteFile) -> str:
    """All passages of one file."""
    told = [(p.name, "\n".join(filter(None, (p.text, p.answer)))) for p in file.passages]
    texts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in told)
    label = f'tabindex="0" role="region" aria-label="{escape(file.name)}"'
    return f'<div class="sugar-note-text" {label}><dl>{texts}</dl></div>'
