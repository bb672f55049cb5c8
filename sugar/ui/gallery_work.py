"""Long work of the Gallery tab: jobs are begun, followed once a second, and reported at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from sugar.services.gallery import GalleryState
from sugar.services.jobs import JobState
from sugar.services.watching import Watched
from sugar.ui.context import AppContext
from sugar.ui.gallery_calls import GalleryCalls
from sugar.ui.gallery_drawing import AGAIN, jobs_html, report_table, stats_line, watched_html
from sugar.ui.gallery_view import GalleryView
from sugar.ui.gallery_wall import listing_of
from sugar.ui.text import gallery as words

__all__ = ["Change", "GalleryWork"]

Change = dict[Any, Any]
"""What a handler changes: {component: its new value}."""


@dataclass
class Seen:
    """How many pictures watched folders had brought and taken when the page was drawn last."""

    followed: int = 0


class GalleryWork:
    """The half of the tab's handlers that begins and follows jobs."""

    def __init__(self, app: AppContext, calls: GalleryCalls, view: GalleryView) -> None:
        self.app, self.calls, self.service, self.view = app, calls, calls.service, view
        self.settings = app.settings

    def shown(self, request: gr.Request, stale: Any = ()) -> Change:
        """The gallery as it is now. stale: the pictures whose cells changed, None for all."""
        page, v = self.app.visitor(request), self.view
        listing = self.service.listing(page)
        states, watched = self.service.running(page), self.app.watching.of(listing.name)
        page.state.of(Seen).followed = _followed(watched)
        return {
            v.wall: listing_of(listing, self.service.targets(page), stale),
            v.stats: stats_line(listing),
            v.reindex: gr.Button(visible=bool(listing.pending) and not listing.read_only),
            v.jobs: jobs_html(states),
            v.watched: watched_html(watched),
            v.timer: _timer(states, watched),
        }

    def tick(self, request: gr.Request) -> Change:
        """While work is under way: its progress; when it ends, the report and the new pictures."""
        page, v = self.app.visitor(request), self.view
        states = self.service.running(page)
        if any(not s.over for s in states):
            return {v.jobs: jobs_html(states)}
        name = page.state.of(GalleryState).name
        watched = self.app.watching.of(name)
        if not states:
            if page.state.of(Seen).followed != _followed(watched):
                return self.shown(request, stale=None)
            return {v.watched: watched_html(watched), v.timer: _timer(states, watched)}
        self.app.jobs.clear(page.visitor)
        zips = [s for s in states if s.kind == "export" and s.phase == "done"]
        return {
            **self.shown(request, stale=None),
            **({v.exported: _saved(zips[0])} if zips else {}),
            v.jobs: jobs_html([s for s in states if s.phase == "failed"]),
            v.report: report_table(next((s.result for s in states if hasattr(s.result, "rows")), None)),
            v.chosen: gr.Dropdown(choices=self.app.gallery_names(request), value=name or None),
        }

    def cancel(self, request: gr.Request, event: gr.EventData) -> Change:
        """End a job, or try again what failed."""
        page, pick = self.app.visitor(request), str(getattr(event, "pick", ""))
        if pick == AGAIN:
            self.service.again(page)
            return {
                self.view.jobs: jobs_html(self.service.running(page)),
                self.view.timer: gr.Timer(1.0, active=True),
            }
        self.service.cancel(page, pick)
        return {self.view.jobs: jobs_html(self.service.running(page))}

    def reindex(self, request: gr.Request, name: Any) -> Change:
        self.service.reindex(self.app.visitor(request), name)
        return self.begun(request)

    def captions(self, request: gr.Request, name: Any) -> Change:
        self.service.write_captions(self.app.visitor(request), name)
        return self.begun(request)

    def bring(self, request: gr.Request, name: Any, file: Any) -> Change:
        self.calls.bring(request, name, file)
        return {**self.begun(request), self.view.name: ""}

    def bring_from(self, request: gr.Request, name: Any, path: Any) -> Change:
        self.calls.bring_from(request, name, path)
        return {**self.begun(request), self.view.name: ""}

    def begun(self, request: gr.Request) -> Change:
        """Work has begun: show it, and look again every second."""
        states = self.service.running(self.app.visitor(request))
        return {
            self.view.jobs: jobs_html(states),
            self.view.timer: gr.Timer(1.0, active=True),
            self.view.report: "",
        }


def _saved(state: JobState) -> gr.DownloadButton:
    """The button with a new file; static/saving.js presses it once."""
    return gr.DownloadButton(f"{words.EXPORTED} · {state.id}", value=state.result)


def _followed(watched: Sequence[Watched]) -> int:
    return sum(one.added + one.removed for one in watched)


def _timer(states: Sequence[JobState], watched: Sequence[Watched]) -> gr.Timer:
    """Look every second until work has been reported, now and then while folders are watched."""
    busy = bool(states)
    return gr.Timer(1.0 if busy else 3.0, active=busy or bool(watched))
