"""A part of the Gallery tab: "Teach the model these captions", with progress, cancel and the figures.

    teach_panel(app, gallery)          # gallery: the tab's Dropdown of galleries

Not covered: the run itself (sugar/services/teach.py).
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from sugar.services.jobs import JobState
from sugar.services.teach import TeachRequest, TeachService
from sugar.ui.components import escape
from sugar.ui.context import AppContext
from sugar.ui.incoming import text
from sugar.ui.text import teach as words

__all__ = ["shown", "teach_panel"]

EVERY = 2.0
"""Seconds between two looks at a run."""


def shown(state: JobState | None) -> str:
    """The state of a run in one sentence."""
    if state is None:
        return words.NOTHING
    if state.phase == "done":
        return str(state.result)
    if state.phase == "failed":
        return words.FAILED.format(title=state.title, problem=state.problem)
    if state.phase == "running":
        left = words.LEFT.format(seconds=state.left) if state.left is not None else ""
        return words.RUNNING.format(
            title=state.title, done=state.done, total=state.total, left=left, note=state.note
        )
    return {"queued": words.QUEUED, "cancelled": words.CANCELLED}[state.phase].format(title=state.title)


def teach_panel(app: AppContext, gallery: gr.Dropdown) -> None:
    """Lay out the panel and wire it."""
    jobs = app.jobs
    service = TeachService(app.workspace, jobs, app.mode)
    with gr.Accordion(words.TITLE, open=False, visible=app.mode.one_person, elem_id="gallery-teach"):
        gr.HTML(words.ABOUT, elem_classes="sugar-stats")
        with gr.Row():
            start = gr.Button(words.START, variant="primary", min_width=120, elem_id="gallery-teach-start")
            cancel = gr.Button(words.CANCEL, min_width=80, elem_id="gallery-teach-cancel")
        note = gr.HTML(elem_classes="sugar-stats", elem_id="gallery-teach-note")
        clock = gr.Timer(EVERY, active=False)

    def latest(request: gr.Request) -> Any:
        runs = [state for state in jobs.of(app.visitor(request).visitor) if state.kind == "teach"]
        return runs[0] if runs else None

    def begin(request: gr.Request, name: Any) -> tuple[str, Any]:
        chosen = TeachRequest(text(name, app.settings, what="gallery"))
        gallery = app.gallery(request, chosen.gallery)
        job = service.start(app.visitor(request).visitor, gallery, chosen)
        return escape(shown(job.state())), gr.Timer(active=True)

    def look(request: gr.Request) -> tuple[str, Any]:
        state = latest(request)
        return escape(shown(state)), gr.Timer(active=state is not None and not state.over)

    def end(request: gr.Request) -> str:
        state = latest(request)
        if state is not None and not state.over:
            jobs.cancel(app.visitor(request).visitor, state.id)
        return escape(shown(latest(request)))

    start.click(app.guarded(begin), [gallery], [note, clock], **app.quiet)
    cancel.click(app.guarded(end, uses_model=False), None, note, **app.quiet)
    clock.tick(app.guarded(look, uses_model=False), None, [note, clock], **app.quiet)
    app.on_load(look, [], [note, clock])
