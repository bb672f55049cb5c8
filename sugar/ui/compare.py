"""The Tell apart tab: 2 to 6 pictures against 1 to 6 captions, and what differs between two pictures.

The same as endpoints: /compare and /difference. Not covered: the scores and the verdict in words (sugar/discrimination.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
from PIL import Image

from sugar.discrimination import WAYS, Fit, ask_difference, compare, verdict, verdict_in_words, winner_in_words
from sugar.errors import InputError
from sugar.images import SUFFIXES, thumbnail
from sugar.ui.components import intro
from sugar.ui.context import AppContext
from sugar.ui.drawing import heat_map
from sugar.ui.examples import example_picture, example_words
from sugar.ui.incoming import MAX_SIDE, picture, text
from sugar.ui.said import Sampling
from sugar.ui.visitors import Visitor

TAB = ("compare", "Tell apart")
CHOICES = {"Similarity": "similarity", 'The model\'s "yes"': "yes", "Both": "both"}
EXAMPLE_NAMES = ("Same words, other places", "Same words, other colours", "What differs?")
EXPLAINED = {
    "similarity": "Cosine of the two embeddings.",
    "yes": 'How sure the model is of "yes" when asked whether the picture shows the caption.',
    "both": "The mean of both, each in standard deviations over this table.",
}


def build(app: AppContext) -> None:
    settings = app.settings
    intro("See which caption fits which picture, and what differs between two pictures. Caption 1 is taken to belong to picture 1.")
    with gr.Row():
        names = [gr.Button(name, size="sm", min_width=130, elem_id=f"compare-example-{i}") for i, name in enumerate(EXAMPLE_NAMES)]
    with gr.Row():
        with gr.Column():
            pictures = gr.Gallery(
                label="Pictures, 2 to 6", type="filepath", columns=3, height=260, object_fit="contain", interactive=True, format="jpeg",
                sources=["upload", "clipboard"], file_types=["image", *SUFFIXES], buttons=[], elem_id="compare-pictures",
            )  # fmt: skip
            captions = gr.Textbox(label="Captions, one a line, 1 to 6", lines=3, max_lines=6, elem_id="compare-captions")
            with gr.Row():
                go = gr.Button("Compare", variant="primary", elem_id="compare-go")
                differ = gr.Button("What differs?", elem_id="compare-differ")
                stop = gr.Button("Stop", min_width=70, scale=0)
            with gr.Row():
                to_chat = gr.Button("Chat about these", size="sm", min_width=130)
                to_search = gr.Button("Search with these", size="sm", min_width=130)
        with gr.Column():
            way = gr.Radio(list(CHOICES), value="Similarity", label="Score by", elem_id="compare-way")
            table = gr.HTML(label="Pictures against captions", elem_id="compare-table")
            words = gr.Markdown(elem_id="compare-verdict")
            answer = gr.Textbox(label="What differs", interactive=False, visible=False, lines=2, elem_id="compare-answer")
            speed = gr.HTML(elem_classes="sugar-stats")

    def told_apart(request: gr.Request, images: list[Image.Image], lines: list[str], ask: bool, progress: Any) -> Fit:
        if len(images) < 2:
            raise InputError(f"There are {len(images)} pictures. Choose 2 to 6, so that there is something to tell apart.")
        with app.visitor(request).answering() as stop:
            fit = compare(app.model(), images, lines, ask=ask, progress=progress, stop=stop)
            if ask and fit.yes is None:
                raise InputError("Stopped before the model was asked about every pair.")
        return fit

    def show(request: gr.Request, way: Any) -> tuple[str, str]:
        kept = app.visitor(request).things.get("compare")
        if kept is None:
            return "", ""
        images, lines, fit = kept
        by = CHOICES.get(way, "similarity")
        matrix = fit.by(by)
        said = verdict_in_words(matrix) if matrix.shape == (2, 2) else winner_in_words(matrix)
        low, high = (0.0, 1.0) if by == "yes" else (None, None)
        return heat_map(matrix, images, lines, caption=EXPLAINED[by], low=low, high=high), said

    def run(request: gr.Request, images: list[Image.Image], lines: list[str], way: Any) -> tuple[str, str]:
        bar = gr.Progress()
        fit = told_apart(request, images, lines, True, lambda done, total: bar((done, total), desc="asking the model", unit="pairs"))
        app.visitor(request).things["compare"] = (images, lines, fit)
        return show(request, way)

    def on_page(request: gr.Request, files: Any, lines: Any, way: Any) -> tuple[str, str]:
        return run(request, read_pictures(files, app), read_lines(lines, app), way)

    def tell(request: gr.Request, files: Any) -> Iterator[tuple[Any, str]]:
        images = read_pictures(files, app)
        if len(images) < 2:
            raise InputError(f"There are {len(images)} pictures. Choose two to compare.")
        for said in app.stream(request, ask_difference(*images[:2]), Sampling(max_new_tokens=min(128, settings.max_tokens))):
            yield gr.Textbox(value=said.text, visible=True), said.line()

    def example(number: int) -> Any:
        def fill(request: gr.Request) -> tuple[Any, ...]:
            visitor = app.visitor(request)
            visitor.things.pop("compare", None)
            return *given(*example_parts(number), visitor), "", "", gr.Textbox(value="", visible=False), ""

        return fill

    def compare_api(request: gr.Request, pictures: list[Any], captions: list[Any], ask: bool = True) -> dict[str, Any]:
        """Score every picture against every caption: rows are pictures. ask: also by the model's "yes". 2 x 2 gets Winoground's verdict."""
        images, lines = read_pictures(pictures, app), read_lines(captions, app)
        fit = told_apart(request, images, lines, bool(ask), None)
        out: dict[str, Any] = {w: getattr(fit, w).tolist() for w in WAYS if getattr(fit, w) is not None}
        if fit.similarity.shape == (2, 2):
            v = {w: verdict(fit.by(w)) for w in WAYS if w in out}
            out["winoground"] = {w: {"text": bool(x.text), "image": bool(x.image), "group": bool(x.group)} for w, x in v.items()}
        return out

    def difference_api(request: gr.Request, first: Any, second: Any) -> str:
        """What differs between two pictures, in the model's words."""
        *_, said = app.stream(
            request,
            ask_difference(picture(first, settings), picture(second, settings)),
            Sampling(max_new_tokens=min(128, settings.max_tokens)),
        )
        return said.text

    def stop_it(request: gr.Request) -> None:
        app.visitor(request).stop()

    model: dict[str, Any] = {**app.on_model, "api_visibility": "private"}
    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    started = go.click(app.guarded(on_page), [pictures, captions, way], [table, words], **model)
    differing = differ.click(app.guarded(tell), pictures, [answer, speed], **model)
    stop.click(app.guarded(stop_it, uses_model=False), None, None, cancels=[started, differing], **quiet)
    way.input(app.guarded(show, uses_model=False), way, [table, words], **quiet)
    for i, button in enumerate(names):
        filled = button.click(app.guarded(example(i), uses_model=False), None, [pictures, captions, table, words, answer, speed], **quiet)
        if i < 2:
            filled.success(app.guarded(on_page), [pictures, captions, way], [table, words], **model)
        else:
            filled.success(app.guarded(tell), pictures, [answer, speed], **model)
    gr.api(app.guarded(compare_api), api_name="compare", **app.on_model)
    gr.api(app.guarded(difference_api), api_name="difference", **app.on_model)
    app.hand_over(to_chat, "chat", lambda request, files: read_pictures(files, app), [pictures])
    app.hand_over(to_search, "search", lambda request, files: read_pictures(files, app), [pictures])

    def take(parts: list[Any], visitor: Visitor) -> tuple[Any, ...]:
        return given([p for p in parts if not isinstance(p, str)], [p for p in parts if isinstance(p, str)], visitor)

    app.receive("compare", take, [pictures, captions])


def read_pictures(files: Any, app: AppContext) -> list[Image.Image]:
    """The pictures of a gallery component or of a program. Raises InputError, ImageError."""
    files = [] if files is None else files
    if not isinstance(files, (list, tuple)) or len(files) > 6:
        raise InputError("Choose 2 to 6 pictures.")
    paths = [f[0] if isinstance(f, (list, tuple)) and f else f for f in files]
    return [picture(p["image"] if isinstance(p, dict) and "image" in p else p, app.settings) for p in paths]


def read_lines(lines: Any, app: AppContext) -> list[str]:
    """Captions: lines of a text, or a list of texts. Raises InputError."""
    lines = lines.splitlines() if isinstance(lines, str) else lines
    if not isinstance(lines, (list, tuple)):
        raise InputError("Captions are lines of text.")
    return [t for line in lines if (t := text(line, app.settings, what="caption", required=False))]


def given(images: list[Image.Image], lines: list[str], visitor: Visitor) -> tuple[Any, str]:
    """Values for the two fields of the tab."""
    kept = [visitor.keep(thumbnail(image, MAX_SIDE, quality=92), ".jpg") for image in images[:6]]
    return kept, "\n".join(" ".join(line.split()) for line in lines[:6])


def example_parts(number: int) -> tuple[list[Image.Image], list[str]]:
    """Pictures and captions of an example. Raises InputError when they do not ship with this copy."""
    files = ["before.jpg", "after.jpg"] if number == 2 else [f"pair-{number}-{i}.jpg" for i in range(2)]
    words = example_words()
    return [example_picture(f) for f in files], [] if number == 2 else words["pairs"][number]
