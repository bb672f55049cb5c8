"""The Ask tab: a question, with or without a picture, answered from a gallery, from notes, or from both, with citations that open.

The same is the endpoint /ask. Not covered: what files become (sugar/passages.py), finding and prompting (sugar/rag.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from sugar.errors import InputError
from sugar.images import SUFFIXES, thumbnail
from sugar.passages import TEXT_SUFFIXES, read_files
from sugar.rag import MARGIN, KnowledgeBase, alone, ask
from sugar.sequence import Answer, Sample
from sugar.ui import gallery_api
from sugar.ui.answers import answered, block, cards, example_question, sources
from sugar.ui.components import PictureInput, intro
from sugar.ui.context import AppContext
from sugar.ui.drawing import escape
from sugar.ui.grid import figure, html_block, picked, picture_grid
from sugar.ui.incoming import MAX_SIDE, number, picture, read_upload, text
from sugar.ui.said import Said, Sampling
from sugar.ui.visitors import Visitor

TAB = ("ask", "Ask your gallery")
NONE = "(none)"
EXAMPLE_NAMES = ("A name from the cards", "Another card", "Without a picture", "Something no card knows")


def build(app: AppContext) -> None:
    settings = app.settings
    intro(
        "Ask about your own pictures and notes; the answer cites what it read, click a number to open it. Notes are Markdown or text "
        "files, pictures, or a csv with the columns question and answer (and picture)."
    )
    with gr.Row():
        names = [gr.Button(name, size="sm", min_width=130, elem_id=f"ask-example-{i}") for i, name in enumerate(EXAMPLE_NAMES)]
    with gr.Row():
        with gr.Column():
            gallery = gr.Dropdown([NONE], value=NONE, label="Gallery", elem_id="ask-gallery")
            files = gr.File(
                label="Notes: text, csv, pictures", file_count="multiple", type="filepath",
                file_types=[*TEXT_SUFFIXES, ".csv", "image", *SUFFIXES], height=150, elem_id="ask-files",
            )  # fmt: skip
            reading = gr.HTML(label="Notes read", elem_classes="sugar-stats", elem_id="ask-reading")
        with gr.Column():
            words = gr.Textbox(
                label="Question", placeholder="what is the name of the red star?", lines=2, max_lines=4, elem_id="ask-question"
            )
            image = PictureInput(label="Picture, if the question has one", height=150, buttons=[], elem_id="ask-picture")
            with gr.Row():
                go = gr.Button("Ask", variant="primary", elem_id="ask-go")
                stop = gr.Button("Stop", min_width=80, scale=0)
    with gr.Accordion("How it reads", open=False), gr.Row():
        k = gr.Slider(1, 6, 1, step=1, label="Passages to read", info="the embedded model was trained on one")
        margin = gr.Slider(0, 10, MARGIN, step=0.1, label="How close is close", info="deviations above chance; below it, it does not know")
        beside = gr.Checkbox(False, label="Answer without reading, beside it", elem_id="ask-beside")
    with gr.Row():
        answer = picture_grid("Answer", elem_id="ask-answer")
        plain = html_block("Answer without reading", visible=False, elem_id="ask-alone")
    speed = gr.HTML(elem_classes="sugar-stats")
    read_from = picture_grid("What it read", elem_id="ask-sources")
    opened = html_block("Opened source", elem_id="ask-opened")
    to_chat = gr.Button("Chat about this", size="sm", min_width=130)

    def base_of(request: gr.Request, gallery: Any) -> Any:
        """The visitor's knowledge base: built when first asked, and again when notes, gallery or model changed."""
        visitor, model = app.visitor(request), app.model()
        notes = visitor.things.setdefault("ask-notes", [])
        opened = app.gallery(request, gallery) if gallery not in (None, "", NONE) else None
        key = (model.fingerprint, id(opened), id(notes))
        if visitor.things.get("ask-base", (None,))[0] != key:
            where = " and ".join([f"the gallery {gallery}"] * (opened is not None) + ["your notes"] * bool(notes))
            visitor.things["ask-base"] = (key, KnowledgeBase(model, passages=notes, gallery=opened, name=where), opened, notes)
        return visitor.things["ask-base"][1]

    def answers(request: gr.Request, gallery: Any, question: Sample, k: Any, margin: Any) -> Iterator[tuple[Answer, Said | None]]:
        base = base_of(request, gallery)
        last: list[Said] = []

        def generate(asked: Sample) -> Iterator[str]:
            before = ""
            for said in app.stream(request, asked, Sampling(max_new_tokens=min(256, settings.max_tokens))):
                last[:] = [said]
                yield said.text[len(before) :]
                before = said.text

        read, close = int(number(k, 1, 6, "The number of passages")), number(margin, 0, 100, "How close is close")
        for said in ask(app.model(), base, question, k=read, margin=close, generate=generate):
            app.visitor(request).things["ask"] = (base, said, question)
            yield said, last[0] if last else None

    def question_of(words: Any, image: Any) -> Sample:
        said = text(words, settings, what="question")
        return Sample([picture(image, settings), said] if image is not None else [said])

    def on_page(request: gr.Request, gallery: Any, words: Any, image: Any, k: Any, margin: Any, beside: Any) -> Iterator[tuple[Any, ...]]:
        question = question_of(words, image)
        yield "", gr.HTML(value="", visible=bool(beside)), "looking ...", "", ""
        for said, how in answers(request, gallery, question, k, margin):
            yield answered(said), gr.skip(), how.line() if how else "", gr.skip(), gr.skip()
        shown = sources(*app.visitor(request).things["ask"][:2])
        yield answered(said), gr.skip(), how.line() if how else "", shown, gr.skip()
        if beside:
            for bare in app.stream(request, alone(question), Sampling(max_new_tokens=min(256, settings.max_tokens))):
                yield gr.skip(), block("Without reading", escape(bare.text)), bare.line(), gr.skip(), gr.skip()

    def ask_api(
        request: gr.Request,
        question: str,
        picture: Any = None,
        gallery: str = "",
        notes: list[Any] | None = None,
        k: int = 1,
        margin: float = MARGIN,
    ) -> dict[str, Any]:
        """Answer a question from a gallery, from notes (files: Markdown, text, csv, pictures), or both. Citations [1] are in "sources"."""
        if notes is not None:
            take_notes(request, notes)
        *_, (said, _) = answers(request, gallery, question_of(question, picture), k, margin)
        listed = [
            {"number": n, "name": h.name, "text": h.caption, "score": h.score, "margin": h.margin, **_about(h)}
            for n, h in enumerate(said.hits, 1)
        ]
        return {"answer": said.text, "known": bool(said.hits), "sources": listed}

    def take_notes(request: gr.Request, files: Any) -> str:
        paths = [f for f in (files if isinstance(files, list) else [files]) if f]
        read = read_files([(_name(f), read_upload(f, settings)) for f in paths[:500]])
        app.visitor(request).things["ask-notes"] = read.passages
        refused = "".join(f"<br>{escape(name)}: {escape(why)}" for name, why in read.refused[:20])
        return f"{escape(read)}{refused}" if paths else ""

    def example(number: int) -> Any:
        def fill(request: gr.Request) -> tuple[Any, ...]:
            passages = cards()
            app.visitor(request).things["ask-notes"] = passages
            asked, shown = example_question(number, passages)
            image = app.visitor(request).keep(thumbnail(shown, MAX_SIDE, quality=92), ".jpg") if shown is not None else None
            return NONE, f"{len(passages)} cards of the drawn world to read", asked, image

        return fill

    def last_asked(request: gr.Request) -> tuple[KnowledgeBase, Answer, Sample]:
        kept = app.visitor(request).things.get("ask")
        if kept is None:
            raise InputError("Ask something first.")
        return kept

    def open_source(request: gr.Request, event: gr.EventData) -> str:
        base, said, _ = last_asked(request)
        number = picked(event, len(said.hits))
        hit = said.hits[number]
        passage = base.passage(hit)
        told = f"<b>[{number + 1}] {escape(hit.name)}</b> · {hit.margin:.1f} deviations above chance<br>{escape(passage.text)}"
        return figure(passage.image, passage.text or hit.name, told + (f"<br><b>{escape(passage.answer)}</b>" if passage.answer else ""))

    def stop_it(request: gr.Request) -> None:
        app.visitor(request).stop()

    def hand_chat(request: gr.Request) -> list[Any]:
        base, said, question = last_asked(request)
        read = [base.passage(h) for h in said.hits]
        return [part for p in read for part in (p.image, p.text, p.answer) if part] + [s.content for s in question]

    model: dict[str, Any] = {**app.on_model, "api_visibility": "private"}
    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    inputs, outputs = [gallery, words, image, k, margin, beside], [answer, plain, speed, read_from, opened]
    events = [gr.on([go.click, words.submit], app.guarded(on_page), inputs, outputs, **model)]
    for i, button in enumerate(names):
        filled = button.click(app.guarded(example(i), uses_model=False), None, [gallery, reading, words, image], **quiet)
        events.append(filled.success(app.guarded(on_page), inputs, outputs, **model))
    stop.click(app.guarded(stop_it, uses_model=False), None, None, cancels=events, **quiet)
    gr.on([files.upload, files.clear, files.delete], app.guarded(take_notes, uses_model=False), files, reading, api_visibility="private")
    for grid in (answer, read_from):
        grid.click(app.guarded(open_source, uses_model=False), None, opened, **quiet)
    gr.api(app.guarded(ask_api), api_name="ask", **app.on_model)
    app.on_galleries(gallery_api.choices(app, NONE), [gallery])
    app.hand_over(to_chat, "chat", hand_chat)

    def take(parts: list[Any], visitor: Visitor) -> tuple[Any, Any]:
        shown = next((p for p in parts if not isinstance(p, str)), None)
        kept = visitor.keep(thumbnail(shown, MAX_SIDE, quality=92), ".jpg") if shown is not None else None
        return " ".join(p for p in parts if isinstance(p, str)), kept

    app.receive("ask", take, [words, image])


def _about(hit: Any) -> dict[str, Any]:
    return {"kind": hit.meta["kind"], "item": hit.item if hit.item >= 0 else None, "answer": hit.meta["answer"]}


def _name(file: Any) -> str:
    """An upload's own name, the last part only."""
    given = file.get("orig_name") or file.get("path") if isinstance(file, dict) else file
    return Path(str(given)).name
