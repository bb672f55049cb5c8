"""Who is on the page: each visitor's own things and limits. Nothing here is shared between two visitors.

    visitor = visitors.of(request)               # the person behind this browser tab or API session
    visitor.admit(per_minute=60)                 # BusyError over the limit
    with visitor.answering() as stop: ...        # an Event; set by `visitor.stop()`, by a newer answer, or when the page closes

A visitor is known by the session id that Gradio gives each page. Not covered: which galleries a visitor may open (gallery_access.py).
"""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sugar.errors import BusyError

__all__ = ["Visitor", "Visitors"]


class Visitor:
    """One page. `things` holds what a tab keeps for this visitor on the server: {"ask": ...}."""

    def __init__(self, key: str, folder: Path) -> None:
        self.key, self.folder = key, folder
        self.things: dict[str, Any] = {}
        self.token: str | None = None
        self.seen = time.monotonic()
        self.gone = False
        self._recent: deque[float] = deque()
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def admit(self, per_minute: int) -> None:
        """Count one model request. Raises BusyError over `per_minute`."""
        now = time.monotonic()
        with self._lock:
            while self._recent and now - self._recent[0] > 60:
                self._recent.popleft()
            if len(self._recent) >= per_minute:
                wait = 60 - (now - self._recent[0])
                raise BusyError(f"{per_minute} requests in a minute is the limit here. Try again in {wait:.0f} seconds.")
            self._recent.append(now)

    @contextmanager
    def answering(self) -> Iterator[threading.Event]:
        """The stop event of one answer. However the caller ends, the event is set at the end, so that nothing goes on behind it."""
        event = self._stop = threading.Event()
        if self.gone:  # asked after the event is in place: who leaves now finds it
            event.set()
        try:
            yield event
        finally:
            event.set()

    def stop(self) -> None:
        """End the answer that is being written for this visitor, at its next token."""
        self._stop.set()

    def keep(self, data: bytes, suffix: str, name: str = "picture") -> str:
        """Write bytes into the visitor's own folder, under a path that nobody can guess; the path, for a component."""
        folder = self.folder / secrets.token_hex(16)
        folder.mkdir(parents=True, mode=0o700)
        path = folder / f"{name}{suffix}"
        path.write_bytes(data)
        return str(path)


class Visitors:
    """All pages that are open. `root`: a folder of our own for their files, inside the app's cache."""

    def __init__(self, root: Path, idle_seconds: float = 6 * 3600) -> None:
        self.root, self.idle_seconds = root, idle_seconds
        self._all: dict[str, Visitor] = {}
        self._lock = threading.Lock()
        self.on_leave: list[Any] = []

    def of(self, request: Any) -> Visitor:
        """The visitor behind a gr.Request; a request without a session is a visitor of its own."""
        key = getattr(request, "session_hash", None) or secrets.token_hex(16)
        now = time.monotonic()
        with self._lock:
            idle = [k for k, v in self._all.items() if now - v.seen > self.idle_seconds]
        for k in idle:
            self.leave(k)
        with self._lock:
            if key not in self._all:
                self._all[key] = Visitor(key, self.root / secrets.token_hex(16))
            visitor = self._all[key]
            visitor.seen = now
            return visitor

    def leave(self, key: str | None) -> None:
        """The page is closed: stop its answer, remove its files and what it kept."""
        with self._lock:
            visitor = self._all.pop(key or "", None)
        if visitor is None:
            return
        visitor.gone = True
        visitor.stop()
        for callback in self.on_leave:
            callback(visitor)
        visitor.things.clear()
        shutil.rmtree(visitor.folder, ignore_errors=True)

    def __len__(self) -> int:
        return len(self._all)
