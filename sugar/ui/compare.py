"""The tab Tell apart: 2 to 6 pictures against 1 to 6 captions, and what differs between two pictures. The
endpoints /compare and /difference do the same.

From top to bottom: the layout and its events, what happens on each, the two fields, what the scores say.
Not covered: the scores (sugar/services/compare.py), the table (components.heat_map).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import gradio as gr
from PIL import Image

from sugar.errors import InputError
from sugar.images import SUFFIXES
from sugar.sequence import Sample
from sugar.services.compare import Best, CompareResult, CompareService
from sugar.services.examples import Example, examples
from sugar.services.visitors import Page
from sugar.settings import Settings
from sugar.text_files import lines as lines_of
from sugar.ui.components import example_buttons, heat_map, how_line, intro, keep_reduced, named
from sugar.ui.context import AppContext
from sugar.ui.incoming import picture, text
from sugar.ui.text import compare as words

TAB = ("compare", words.TITLE)

MAX_PICTURES = MAX_CAPTIONS = 6
MAX_EXAMPLES = 4
LETTERS = "ABCDEF"
SURE = ((1.0, words.QUITE_SURE), (0.4, words.FAIRLY_SURE), (0.0, words.HARDLY))
"""From how many standard deviations of the table between the best and the next, and how it is said."""


def build(app: AppContext) -> None:
    """Lay out the tab and wire it."""
    tab = CompareTab(app)
    intro(words.INTRO)
    with gr.Row():
        offers = example_buttons("compare", MAX_EXAMPLES)
    with gr.Row():
        with gr.Column():
            pictures = gr.Gallery(
                label=words.PICTURES,
                type="filepath",
                columns=3,
                height=240,
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
                differ = gr.Button(words.DIFFER, visible=False, elem_id="compare-differ")
                stop = gr.Button(words.STOP, min_width=70, scale=0)
            with gr.Row():
                to_chat = gr.Button(words.CHAT_ABOUT_THESE, size="sm", min_width=130)
                to_search = gr.Button(words.SEARCH_WITH_THESE, size="sm", min_width=130)
            with gr.Accordion(words.EXPERT, open=False):
                ways = [(name, way) for way, name in words.WAYS.items()]
                way = gr.Radio(ways, value="similarity", label=words.SCORE_BY, elem_id="compare-way")
                winoground = gr.Checkbox(False, label=words.WINOGROUND, info=words.WINOGROUND_INFO)
        with gr.Column():
            verdict = gr.Markdown(elem_id="compare-verdict", elem_classes="sugar-live sugar-said")
            table = gr.HTML(label=words.TABLE, elem_id="compare-table")
            answer = gr.Textbox(
                label=words.DIFFERENCE, interactive=False, visible=False, lines=2, elem_id="compare-answer"
            )
            speed = gr.HTML(elem_classes="sugar-stats")

    run: Callable[..., Any] = partial(app.guarded, uses_model=False)
    model: dict[str, Any] = {**app.on_model, "api_visibility": "private"}
    fields, scores, told = [pictures, captions, way, winoground], [table, verdict], [answer, speed]
    runs: list[Any] = [
        go.click(app.guarded(tab.compare), fields, scores, api_name="compare_here", **model),
        differ.click(app.guarded(tab.difference), pictures, told, api_name="difference_here", **model),
    ]
    for n, button in enumerate(offers):
        shown = [pictures, captions, *scores, *told]
        filled = button.click(run(tab.filler(n)), None, shown, **app.quiet)
        runs.append(filled.success(app.guarded(tab.run_example), fields, [*scores, *told], **model))
    stop.click(run(tab.stop), None, None, cancels=runs, **app.quiet)
    gr.on([way.input, winoground.input], run(tab.scores), [way, winoground], scores, **app.quiet)
    gr.api(app.guarded(tab.compare_for_program), api_name="compare", **app.on_model)
    gr.api(app.guarded(tab.difference_for_program), api_name="difference", **app.on_model)
    app.on_model_change(tab.fit_to_model, [*offers, differ])

    def give(request: gr.Request, files: Any) -> list[Image.Image]:
        return read_pictures(files, app.settings)

    app.hand_over(to_chat, "chat", give, [pictures])
    app.hand_over(to_search, "photos", give, [pictures])
    app.receive("compare", take, [pictures, captions])


class CompareTab:
    """What happens on the events of the tab, and the endpoints."""

    def __init__(self, app: AppContext) -> None:
        self.app, self.settings = app, app.settings
        self.service = CompareService(app.workspace)

    # -- scores

    def compare(
        self, files: Any, lines: Any, way: Any, winoground: Any, request: gr.Request
    ) -> tuple[str, str]:
        """Score what is on the page, and show it."""
        bar = gr.Progress()

        def progress(done: int, total: int) -> None:
            bar((done, total), desc=words.ASKING, unit=words.PAIRS)

        pictures, captions = read_pictures(files, self.settings), read_captions(lines, self.settings)
        self.service.compare(self.app.visitor(request), pictures, captions, progress=progress)
        return self.scores(way, winoground, request)

    def scores(self, way: Any, winoground: Any, request: gr.Request) -> tuple[str, str]:
        """The visitor's last result by a score: its table, and what it says."""
        result = self.service.last(self.app.visitor(request))
        if result is None:
            return "", ""
        low, high = (0.0, 1.0) if way == "yes" else (None, None)
        matrix, title = result.fit.by(way), words.EXPLAINED[way]
        how: dict[str, Any] = {"alt": words.PICTURE, "caption": title, "low": low, "high": high}
        captions = [f"{LETTERS[n]} · {caption}" for n, caption in enumerate(result.captions)]
        return heat_map(matrix, result.pictures, captions, **how), in_words(result, way, bool(winoground))

    def compare_for_program(
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
        images, lines = read_pictures(pictures, self.settings), read_captions(captions, self.settings)
        result = self.service.compare(self.app.visitor(request), images, lines, ask=bool(ask))
        out: dict[str, Any] = {way: result.fit.by(way).tolist() for way in result.ways}
        if winoground:
            scores = {way: result.winoground(way) for way in result.ways}
            out["winoground"] = {
                way: {"text": bool(s.text), "image": bool(s.image), "group": bool(s.group)}
                for way, s in scores.items()
            }
        return out

    # -- what differs

    def difference(self, files: Any, request: gr.Request) -> Iterator[tuple[Any, str]]:
        """What differs between the first two pictures on the page."""
        images = read_pictures(files, self.settings)
        if len(images) < 2:
            raise InputError(words.TOO_FEW.format(n=len(images)))
        for answer in self.service.difference(self.app.visitor(request), *images[:2]):
            yield gr.Textbox(value=answer.text, visible=True), how_line(answer)

    def difference_for_program(self, request: gr.Request, first: Any, second: Any) -> str:
        """What differs between two pictures, in the model's words."""
        images = picture(first, self.settings), picture(second, self.settings)
        *_, answer = self.service.difference(self.app.visitor(request), *images)
        return answer.text

    def stop(self, request: gr.Request) -> None:
        self.app.visitor(request).stop()

    # -- examples

    def _examples(self) -> list[Example]:
        model = self.app.models.peek()
        able = model is not None and bool(model.profile.difference)
        return [e for e in examples(model, "compare") if able or e.texts][:MAX_EXAMPLES]

    def fit_to_model(self) -> tuple[Any, ...]:
        """Values for the buttons of the examples, and for the one that asks what differs."""
        names = [" · ".join(example.texts) or words.DIFFER for example in self._examples()]
        model = self.app.models.peek()
        able = model is not None and bool(model.profile.difference)
        return *named(names, MAX_EXAMPLES), gr.Button(visible=able)

    def filler(self, number: int) -> Callable[[gr.Request], tuple[Any, ...]]:
        """What fills in the fields of an example, and clears what was said of the pictures before."""

        def fill_example(request: gr.Request) -> tuple[Any, ...]:
            known, visitor = self._examples(), self.app.visitor(request)
            if number >= len(known):
                raise InputError(words.EXAMPLE_GONE)
            self.service.forget(visitor)
            filled = fields(known[number].pictures(), known[number].texts, visitor)
            return *filled, "", "", gr.Textbox(value="", visible=False), ""

        return fill_example

    def run_example(
        self, files: Any, lines: Any, way: Any, winoground: Any, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """Compare when there are captions; else ask what differs."""
        if read_captions(lines, self.settings):
            yield *self.compare(files, lines, way, winoground, request), gr.skip(), gr.skip()
            return
        for answer, line in self.difference(files, request):
            yield gr.skip(), gr.skip(), answer, line


# -- the two fields


def read_pictures(files: Any, settings: Settings) -> list[Image.Image]:
    """The pictures of a gallery component or of a program. Raises InputError, ImageError."""
    files = [] if files is None else files
    if not isinstance(files, (list, tuple)) or len(files) > MAX_PICTURES:
        raise InputError(words.TOO_MANY)
    paths = [f[0] if isinstance(f, (list, tuple)) and f else f for f in files]
    return [picture(p["image"] if isinstance(p, dict) and "image" in p else p, settings) for p in paths]


def read_captions(lines: Any, settings: Settings) -> list[str]:
    """Captions: lines of a text, or a list of texts. Raises InputError."""
    lines = lines_of(lines) if isinstance(lines, str) else lines
    if not isinstance(lines, (list, tuple)):
        raise InputError(words.NOT_LINES)
    return [t for line in lines if (t := text(line, settings, what="caption", required=False))]


def fields(images: Sequence[Image.Image], captions: Sequence[str], visitor: Page) -> tuple[list[str], str]:
    """Values for the two fields of the tab."""
    kept = [keep_reduced(image, visitor) for image in images[:MAX_PICTURES]]
    return kept, "\n".join(" ".join(line.split()) for line in captions[:MAX_CAPTIONS])


def take(sample: Sample, visitor: Page) -> tuple[list[str], str]:
    """What another tab hands over, as values for the two fields."""
    return fields(sample.images, [s.text for s in sample if not s.is_image], visitor)


# -- what the scores say


def in_words(result: CompareResult, way: str, winoground: bool) -> str:
    """Which caption fits each picture, or which picture the only caption, as Markdown."""

    def caption(n: int) -> str:
        return words.CAPTION.format(letter=LETTERS[n - 1])

    picture = words.PICTURE.format
    if len(result.captions) > 1:
        lines = [_sentence(best, picture, caption) for best in result.best_captions(way)]
    else:
        lines = [_sentence(best, caption, picture) for best in result.best_pictures(way)]
    if not result.well.any():
        lines = [words.NONE_AT_ALL]
    if winoground:
        if result.fit.by(way).shape != (2, 2):
            raise InputError(words.NEEDS_TWO_BY_TWO)
        scores = result.winoground(way)
        told = {name: words.YES if getattr(scores, name) else words.NO for name in ("text", "image", "group")}
        lines.append(words.WINOGROUND_SCORES.format(**told))
    return "\n\n".join(lines)


def _sentence(best: Best, who: Callable[..., str], what: Callable[..., str]) -> str:
    named = words.AND.join(what(n=n + 1) for n in best.best)
    subject = who(n=best.number + 1)
    told = {"who": subject[0].upper() + subject[1:], "best": named}
    if not best.well:
        return words.NONE_FITS.format(**told)
    if len(best.best) > 1:
        return words.TIE.format(**told)
    if best.margin is None:
        return words.FITS_ALONE.format(**told)
    sure = next(said for least, said in SURE if best.margin >= least)
    return words.FITS.format(sure=sure, **told)
