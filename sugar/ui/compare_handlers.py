"""What happens on the events of the tab Tell apart, and its endpoints /compare and /difference.

Not covered: the layout and the wiring (compare.py), the scores (sugar/services/compare.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from sugar.errors import InputError
from sugar.services.compare import CompareRequest, CompareService
from sugar.services.examples import CompareExample, compare_examples
from sugar.ui.compare_drawing import fields, in_words, read_captions, read_pictures
from sugar.ui.components import heat_map, speed_line
from sugar.ui.context import AppContext
from sugar.ui.incoming import picture
from sugar.ui.text import compare as words

__all__ = ["MOST_EXAMPLES", "CompareHandlers"]

MOST_EXAMPLES = 4


class CompareHandlers:
    """See the module docstring."""

    def __init__(self, app: AppContext) -> None:
        self.app, self.settings = app, app.settings
        self.service = CompareService(app.workspace)

    def compare(
        self, files: Any, lines: Any, way: Any, winoground: Any, request: gr.Request
    ) -> tuple[str, str]:
        """Score what is on the page, and show it."""
        bar = gr.Progress()

        def progress(done: int, total: int) -> None:
            bar((done, total), desc=words.ASKING, unit=words.PAIRS)

        asked = CompareRequest(
            tuple(read_pictures(files, self.settings)), tuple(read_captions(lines, self.settings))
        )
        self.service.compare(self.app.visitor(request), asked, progress)
        return self.show(way, winoground, request)

    def show(self, way: Any, winoground: Any, request: gr.Request) -> tuple[str, str]:
        """The visitor's last result by another score."""
        result = self.service.last(self.app.visitor(request))
        if result is None:
            return "", ""
        by = words.WAYS.get(way, "similarity")
        low, high = (0.0, 1.0) if by == "yes" else (None, None)
        pictures, captions = result.request.pictures, result.request.captions
        table = heat_map(
            result.fit.by(by), pictures, captions, caption=words.EXPLAINED[by], low=low, high=high
        )
        return table, in_words(result, by, bool(winoground))

    def difference(self, files: Any, request: gr.Request) -> Iterator[tuple[Any, str]]:
        """What differs between the first two pictures on the page."""
        images = read_pictures(files, self.settings)
        if len(images) < 2:
            raise InputError(words.TOO_FEW.format(n=len(images)))
        for answer in self.service.difference(self.app.visitor(request), *images[:2]):
            yield gr.Textbox(value=answer.text, visible=True), speed_line(answer)

    def stop(self, request: gr.Request) -> None:
        self.app.visitor(request).stop()

    def examples(self) -> list[CompareExample]:
        """What the loaded model tells apart well, by its own profile."""
        model = self.app.models.peek()
        return compare_examples(model.profile)[:MOST_EXAMPLES] if model is not None else []

    def example_buttons(self) -> tuple[Any, ...]:
        """One button per example; the rest are hidden."""
        known = self.examples()
        names = [
            words.EXAMPLE.format(n=n) if example.captions else words.EXAMPLE_DIFFERENCE
            for n, example in enumerate(known, 1)
        ]
        return tuple(
            gr.Button(names[n], visible=True) if n < len(names) else gr.Button(visible=False)
            for n in range(MOST_EXAMPLES)
        )

    def example(self, number: int, request: gr.Request) -> tuple[Any, ...]:
        """The fields of an example; what was said of the pictures before is cleared."""
        known = self.examples()
        if number >= len(known):
            raise InputError(words.EXAMPLE_GONE)
        visitor = self.app.visitor(request)
        self.service.forget(visitor)
        filled = fields(known[number].pictures(), list(known[number].captions), visitor)
        return *filled, "", "", gr.Textbox(value="", visible=False), ""

    def run_example(
        self, files: Any, lines: Any, way: Any, winoground: Any, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """Compare when there are captions; else ask what differs."""
        if read_captions(lines, self.settings):
            yield *self.compare(files, lines, way, winoground, request), gr.skip(), gr.skip()
            return
        for answer, line in self.difference(files, request):
            yield gr.skip(), gr.skip(), answer, line

    def compare_api(
        self,
        request: gr.Request,
        pictures: list[Any],
        captions: list[Any],
        ask: bool = True,
        winoground: bool = False,
    ) -> dict[str, Any]:
        """Score every picture against every caption: rows are pictures. ask: also by the model's "yes".

        winoground: also the benchmark's three scores of 2 x 2, where caption 1 belongs to picture 1.
        """
        asked = CompareRequest(
            tuple(read_pictures(pictures, self.settings)),
            tuple(read_captions(captions, self.settings)),
            bool(ask),
        )
        result = self.service.compare(self.app.visitor(request), asked)
        out: dict[str, Any] = {way: result.fit.by(way).tolist() for way in result.ways}
        if winoground:
            scores = {way: result.winoground(way) for way in result.ways}
            out["winoground"] = {
                way: {"text": bool(s.text), "image": bool(s.image), "group": bool(s.group)}
                for way, s in scores.items()
            }
        return out

    def difference_api(self, request: gr.Request, first: Any, second: Any) -> str:
        """What differs between two pictures, in the model's words."""
        images = picture(first, self.settings), picture(second, self.settings)
        *_, answer = self.service.difference(self.app.visitor(request), *images)
        return answer.text
