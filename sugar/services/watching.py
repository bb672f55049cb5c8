"""Folders of this machine that galleries follow while the app runs: new and removed files follow.

    watching = Watching(workspace, page)         # page: in whose name the galleries are opened
    watching.watch("holiday", "~/Pictures"); watching.of("holiday"); watching.unwatch("holiday", path)
    watching.begin()                             # looks every few seconds, in a thread of its own

A look costs one walk through the folder; only when something changed is the gallery opened. What is watched
is kept with the gallery (sugar/gallery/watched.py), so the next start goes on. Only where the mode lets the
page name folders.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sugar.errors import BusyError, SugarError
from sugar.services.model_slot import low_priority

if TYPE_CHECKING:
    from sugar.services.workspace import Workspace

SECONDS = 5.0
SHARE = 20
"""A walk may take a twentieth of the time: after a slow one the next waits longer."""

log = logging.getLogger("sugar")


@dataclass(frozen=True)
class Watched:
    """One folder of one gallery, as a page shows it.

    Args:
        note: how far a run is; "" while nothing changes.
        problem: why the last look did not work.
        said: what the last run did not take in or did not touch, a line each.
        added, removed: pictures since the app was started.
    """

    gallery: str
    folder: str
    note: str = ""
    problem: str = ""
    said: tuple[str, ...] = ()
    added: int = 0
    removed: int = 0


class Watching:
    """See the module docstring. Any thread may call."""

    def __init__(self, workspace: Workspace, page: Any, seconds: float = SECONDS) -> None:
        self._workspace, self._page, self._seconds = workspace, page, seconds
        self._states: dict[tuple[str, str], Watched] = {}
        self._looks: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()
        self._now = threading.Event()
        self._ended = threading.Event()
        self._stop: dict[tuple[str, str], threading.Event] = {}
        self._thread: threading.Thread | None = None

    def watch(self, gallery: str, folder: str) -> None:
        """Follow a folder. Raises GalleryError."""
        from sugar.gallery import watch

        path = watch(self._workspace.gallery(self._page, gallery), folder)
        with self._lock:
            self._states.setdefault((gallery, path), Watched(gallery, path))
            self._looks.pop((gallery, path), None)
        self.begin()
        self._now.set()

    def unwatch(self, gallery: str, folder: str) -> None:
        """Follow it no more; a run under way ends. The pictures stay."""
        from sugar.gallery import unwatch

        with self._lock:
            self._states.pop((gallery, folder), None)
            stop = self._stop.get((gallery, folder))
        if stop is not None:
            stop.set()
        unwatch(self._workspace.gallery(self._page, gallery), folder)

    def of(self, gallery: str) -> list[Watched]:
        """The folders that this gallery follows."""
        with self._lock:
            return [state for state in self._states.values() if state.gallery == gallery]

    def begin(self) -> None:
        """Start looking, once."""
        with self._lock:
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._run, name="watching", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """The app ends."""
        self._ended.set()
        self._now.set()
        for stop in list(self._stop.values()):
            stop.set()

    def _run(self) -> None:
        self._find()
        while not self._ended.is_set():
            self._now.clear()
            began = time.monotonic()
            for key in list(self._states):
                if not self._ended.is_set():
                    self._look(key)
            self._now.wait(max(self._seconds, SHARE * (time.monotonic() - began)))

    def _find(self) -> None:
        """What was watched when the app ended last."""
        from sugar.gallery import watched_in

        root = self._workspace.settings.gallery_root
        for name in self._workspace.galleries.names(self._page):
            for folder in watched_in(root / name):
                with self._lock:
                    self._states.setdefault((name, folder), Watched(name, folder))

    def _look(self, key: tuple[str, str]) -> None:
        from sugar.gallery import look

        name, folder = key
        if name not in self._workspace.galleries.names(self._page):
            with self._lock:
                self._states.pop(key, None)
            return
        seen = ""
        try:
            seen = look(folder)
            if seen != self._looks.get(key):
                self._follow(key)
                self._looks[key] = seen  # what changed meanwhile differs from it, and is looked at again
            self._tell(key, problem="", note="")
        except BusyError:
            self._tell(key, note="")  # another run fills the gallery: at the next look
        except SugarError as error:
            self._tell(key, problem=str(error), note="")
        except Exception as error:
            log.exception("following a folder failed")
            self._looks[key] = seen  # not again and again: when the folder changes
            self._tell(
                key, problem=f"Something broke that should not have ({type(error).__name__}).", note=""
            )

    def _follow(self, key: tuple[str, str]) -> None:
        from sugar.gallery import follow

        name, folder = key
        gallery = self._workspace.gallery(self._page, name)
        stop = self._stop[key] = threading.Event()
        try:
            with low_priority():
                report, gone = follow(
                    gallery, folder, progress=lambda p: self._tell(key, note=str(p)), cancel=stop
                )
        finally:
            self._stop.pop(key, None)
        with self._lock:
            if (state := self._states.get(key)) is not None:
                self._states[key] = replace(
                    state,
                    added=state.added + report.added + report.updated,
                    removed=state.removed + gone,
                    said=tuple(f"{row.name}: {row.reason}" for row in report.said),
                )

    def _tell(self, key: tuple[str, str], **changes: Any) -> None:
        with self._lock:
            if (state := self._states.get(key)) is not None:
                self._states[key] = replace(state, **changes)
