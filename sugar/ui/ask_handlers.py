"""What happens on the tab Ask your gallery: checks what the page sends, calls the service, shows the result.

Not covered: the layout and the wiring (ask.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from sugar.errors import SugarError
from sugar.images import open_image
from sugar.sequence import Sample
from sugar.services.ask import MAX_READ, AskRequest, AskResult, AskService
from sugar.services.workspace import VisitorSession
from sugar.settings import Settings
from sugar.ui.ask_view import answer_block, block, opened_source, source_grid
from sugar.ui.components import escape, keep_reduced, picked, speed_line
from sugar.ui.context import AppContext
from sugar.ui.examples import EXAMPLES
from sugar.ui.incoming import number, picture, read_uploads, text
from sugar.ui.text import ask as words

__all__ = ["AskHandlers", "MAX_EXAMPLES", "STRICTNESS", "request_of"]

STRICTNESS = {words.STRICT: "strict", words.BALANCED: "balanced", words.ALWAYS: "always"}
MAX_FILES = 500
MAX_EXAMPLES = 4


class AskHandlers:
    """See the module docstring."""

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

    def answer_on_page(
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
        strict = STRICTNESS.get(str(strictness), "balanced")
        how_asked = {"follow_up": follow_up, "examples": examples}
        asked = request_of(self.app.settings, question, image, gallery, read, strict, **how_asked)
        visitor = self.app.visitor(request)
        yield gr.skip(), "", gr.HTML(value="", visible=bool(beside)), words.LOOKING, "", ""
        result: AskResult | None = None
        try:
            for result in self.service.ask(visitor, asked):
                how = speed_line(result.how) if result.how else ""
                yield result.query, answer_block(result), gr.skip(), how, source_grid(result), gr.skip()
        except SugarError as error:  # what was "looking ..." says it too: the message goes after some seconds
            yield gr.skip(), gr.skip(), gr.skip(), escape(str(error)), gr.skip(), gr.skip()
            raise
        if beside and result is not None:
            for bare in self.service.without_sources(visitor, asked):
                shown = block(words.WITHOUT_SOURCES, escape(bare.text))
                yield gr.skip(), gr.skip(), shown, speed_line(bare), gr.skip(), gr.skip()

    def answer_as_written(self, request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        yield from self.answer_on_page(request, *values, follow_up=False)

    def answer_example(self, request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        yield from self.answer_on_page(request, *values, follow_up=False, examples=True)

    # -- around an answer

    def open_source(self, request: gr.Request, event: gr.EventData) -> str:
        visitor = self.app.visitor(request)
        result = self.service.last(visitor)
        place = picked(event, len(result.reply.hits)) + 1
        source, at = self.service.source(visitor, place), self.service.cell(visitor, place)
        return opened_source(result, place, source, at)

    def stop(self, request: gr.Request) -> None:
        self.app.visitor(request).stop()

    def start_again(self, request: gr.Request) -> tuple[str, str, str, str]:
        self.service.start_again(self.app.visitor(request))
        return "", "", "", ""

    def hand_chat(self, request: gr.Request) -> list[Any]:
        return self.service.handed_on(self.app.visitor(request))

    # -- examples and hand-over

    def example_buttons(self) -> tuple[Any, ...]:
        """The buttons, with the questions of the loaded model's profile; hidden while there are none."""
        model = self.app.models.peek()
        told = list(model.profile.examples.get("ask", ())) if model is not None else []
        texts = [str(e["text"]) for e in told[:MAX_EXAMPLES]]
        shown = [gr.Button(value=t, visible=True) for t in texts]
        return (*shown, *[gr.Button(visible=False)] * (MAX_EXAMPLES - len(shown)))

    def take(self, sample: Sample, visitor: VisitorSession) -> tuple[Any, Any]:
        kept = keep_reduced(sample.images[0], visitor) if sample.images else None
        return " ".join(sample.text.split("\n")), kept

    def fill_example(self, request: gr.Request, place: int) -> tuple[Any, ...]:
        """Values for: question, picture, and the line that says what is asked."""
        example = self.app.model().profile.examples["ask"][place]
        shown = [open_image(EXAMPLES.parent / example["file"]).image] if example.get("file") else []
        filled = self.take(Sample([*shown, example["text"]]), self.app.visitor(request))
        return *filled, escape(words.EXAMPLES_ASKED)


def request_of(
    settings: Settings, question: Any, image: Any, gallery: Any, read: Any, strictness: Any, **how: bool
) -> AskRequest:
    """What the page or a program sent, checked."""
    said = text(question, settings, what="question")
    sample = Sample([picture(image, settings), said] if image is not None else [said])
    name = "" if gallery in (None, "", words.NO_GALLERY) else gallery
    return AskRequest(sample, name, int(number(read, 1, MAX_READ, words.READ)), str(strictness), **how)
