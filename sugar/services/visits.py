"""The visitors who are here: their open pages, their private files, and when they are let go.

    visits = Visits(PUBLIC, PrivateFiles(root))
    page = visits.page(visitor, "a1")          # one open page: its state, its answer, its files
    visits.sweep_every(60)                     # visitors without a sign for the mode's grace period go

A dropped connection ends nothing. Names and keys can be made up, so a new one never sends away a visitor who
keeps something: newcomers are refused instead. Not covered: who a visitor is (identity.py).
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from sugar.errors import BusyError
from sugar.services.identity import Visitor
from sugar.services.modes import Mode
from sugar.services.private_files import PrivateFiles
from sugar.services.quotas import network_of

__all__ = ["Page", "VisitorState", "Visits"]

log = logging.getLogger("sugar")

T = TypeVar("T")


class VisitorState:
    """What the services keep for one page: one dataclass per service.

    Each service defines its own dataclass with a default for every field (SearchState, ChatState, ...). No
    other service reads it.
    """

    def __init__(self) -> None:
        self._kept: dict[type[Any], Any] = {}
        self._lock = threading.Lock()

    def of(self, kind: type[T]) -> T:
        """The page's instance of `kind`; `kind()` when there is none yet."""
        with self._lock:
            if kind not in self._kept:
                self._kept[kind] = kind()
            return self._kept[kind]

    def __bool__(self) -> bool:
        """Whether anything is kept."""
        return bool(self._kept)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()


class Page:
    """One open page of a visitor: what services are given. `fresh` until the page knows that it is new here.

    Args:
        visitor: whose page it is.
        session: the page's own name for itself.
        files: everybody's private files. Pages of one visitor share the visitor's.
    """

    def __init__(self, visitor: Visitor, session: str, files: PrivateFiles) -> None:
        self.visitor, self.session, self.files = visitor, session, files
        self.state = VisitorState()
        self.fresh = True
        self.answers = 0
        self._stop = threading.Event()
        self._gone = False

    def keep(self, data: bytes, suffix: str, name: str = "picture", items: Iterable[str] = ()) -> str:
        """Write bytes into the visitor's own folder. Returns the path, which nobody can guess.

        items: the gallery pictures that they show, by their SHA-256.
        """
        return str(self.files.write(self.visitor, f"{name}{suffix}", data, items=items))

    @contextmanager
    def answering(self) -> Iterator[threading.Event]:
        """The stop event of one answer. It is set at the end, so that nothing goes on behind the caller."""
        event = self._stop = threading.Event()
        if self._gone:
            event.set()
        self.answers += 1
        try:
            yield event
        finally:
            self.answers -= 1
            event.set()

    def stop(self) -> None:
        """End the answer that is written for this page. The visitor's other pages go on."""
        self._stop.set()

    def leave(self) -> None:
        """The page is gone for good: end its answer, forget its state."""
        self._gone = True
        self.stop()
        self.state.clear()


@dataclass
class _Visit:
    visitor: Visitor
    address: str
    seen: float = 0.0
    pages: dict[str, Page] = field(default_factory=dict)
    sessions: dict[str, None] = field(default_factory=dict)


class Visits:
    """The visitors who are here, and their open pages.

    Args:
        mode: its grace period says how long a visitor without a sign stays known.
        files: all visitors' private files. A visitor's go when the visitor goes.
        clock: seconds that never go back.
        most: visitors known at once.
        of_one_address: visitors of one address known at once.
        most_pages: pages, and sessions, of one visitor. Beyond it the oldest session and the oldest page that
            writes no answer are forgotten.
    """

    def __init__(
        self,
        mode: Mode,
        files: PrivateFiles,
        clock: Callable[[], float] = time.monotonic,
        most: int = 2000,
        of_one_address: int = 200,
        most_pages: int = 20,
    ) -> None:
        self.mode, self.files = mode, files
        self._clock, self._most, self._most_pages = clock, most, most_pages
        self._of_one_address = of_one_address
        self._visits: dict[str, _Visit] = {}
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._unfinished: list[Callable[[], Any]] = []
        self.on_leave: list[Callable[[Visitor], None]] = []
        self.on_close: list[Callable[[str, bool], None]] = []
        """Told the name of every session that is forgotten, and whether its visitor left."""
        self.keeping: list[Callable[[Visitor], bool]] = []
        """Whether something is kept for a visitor, besides files: such a visitor is never sent away."""
        self.busy: Callable[[Visitor], bool] = lambda visitor: False
        """Whether work for a visitor still runs: such a visitor stays, whatever the clock says."""

    def touch(self, visitor: Visitor) -> bool:
        """The visitor gave a sign. Whether the visitor is new here.

        Raises BusyError: the visitor is new, and there is no room that nobody needs.
        """
        gone = None
        with self._lock:
            visit = self._visits.pop(visitor.id, None)
            new = visit is None
            if new:
                gone = self._in_place_of(visitor)
            self._visits[visitor.id] = visit or _Visit(visitor, network_of(visitor.address))
            self._visits[visitor.id].seen = self._clock()
        if gone is not None:
            self.leave(gone)
        return new

    def _in_place_of(self, visitor: Visitor) -> Visitor | None:
        """Who goes for a newcomer: nobody while there is room, else one of the same address who keeps
        nothing. Raises BusyError. Holds the lock already.
        """
        address = network_of(visitor.address)
        same = [v for v in self._visits.values() if v.address == address]
        if len(self._visits) < self._most and len(same) < self._of_one_address:
            return None
        for visit in same:
            if not self._keeps(visit):
                return visit.visitor
        raise BusyError(
            f"There are as many visitors {'of your address ' if len(same) >= self._of_one_address else ''}"
            "as this host takes at a time. Try again in some minutes."
        )

    def _keeps(self, visit: _Visit) -> bool:
        """Whether a visitor has anything here that is worth a place."""
        here = visit.visitor
        return (
            any(page.answers or page.state for page in visit.pages.values())
            or self.files.folder(here).exists()
            or self.busy(here)
            or any(keeps(here) for keeps in self.keeping)
        )

    def page(self, visitor: Visitor, session: str | None) -> Page:
        """The page of that session. One that is not known here is made, with `fresh` set. Also a sign."""
        self.touch(visitor)
        old = None
        with self._lock:
            pages = self._visits[visitor.id].pages
            found = pages.pop(session or "", None)
            if found is None and len(pages) >= self._most_pages:
                old = pages.pop(next((name for name, p in pages.items() if not p.answers), next(iter(pages))))
            pages[session or ""] = found = found or Page(visitor, session or "", self.files)
        if old is not None:
            old.leave()
        return found

    def session(self, visitor: Visitor, name: str | None) -> None:
        """The visitor used a session of their own. Names are made up: the oldest goes for a new one."""
        old = None
        with self._lock:
            visit = self._visits.get(visitor.id)
            if visit is None or not name:
                return
            visit.sessions.pop(name, None)
            if len(visit.sessions) >= self._most_pages:
                old = next(iter(visit.sessions))
                del visit.sessions[old]
            visit.sessions[name] = None
        if old is not None:
            self._closed(old, False)

    def _closed(self, session: str, left: bool) -> None:
        for callback in self.on_close:
            callback(session, left)

    def known(self, visitor: Visitor) -> bool:
        with self._lock:
            return visitor.id in self._visits

    def pages(self, visitor: Visitor) -> list[Page]:
        with self._lock:
            visit = self._visits.get(visitor.id)
            return list(visit.pages.values()) if visit else []

    def leave(self, visitor: Visitor) -> None:
        """End the visitor's answers, tell those who keep something, remove the private files.

        What fails is tried again at the next sweep; nothing of it keeps the rest from going.
        """
        with self._lock:
            visit = self._visits.pop(visitor.id, None)
        acts: list[Callable[[], Any]] = [page.leave for page in visit.pages.values()] if visit else []
        acts += [partial(self._closed, session, True) for session in visit.sessions] if visit else []
        acts += [partial(callback, visitor) for callback in self.on_leave] if visit else []
        self._finish([*acts, partial(self._remove_files, visitor)])

    def _remove_files(self, visitor: Visitor) -> None:
        if not self.known(visitor) and (folder := self.files.folder(visitor)).exists():
            shutil.rmtree(folder)

    def _finish(self, acts: Iterable[Callable[[], Any]]) -> None:
        """Do what a leave has to do; what fails waits for the next sweep."""
        for act in acts:
            try:
                act()
            except Exception as error:
                log.warning("what a visitor left could not be removed (%s); it is tried again", _kind(error))
                with self._lock:
                    self._unfinished.append(act)

    def sweep(self) -> int:
        """Let go of visitors without a sign for the grace period. Returns how many went."""
        with self._lock:
            again, self._unfinished = self._unfinished, []
            end = self._clock() - self.mode.grace_seconds
            idle = [v.visitor for v in self._visits.values() if v.seen < end]
        self._finish(again)
        gone = [v for v in idle if not self.busy(v)]
        for visitor in gone:
            self.leave(visitor)
        return len(gone)

    def sweep_every(self, seconds: float, also: Callable[[], Any] = lambda: None) -> None:
        """Sweep now and then, in a thread of its own, until `end`. A sweep that fails ends no later one."""

        def run() -> None:
            while not self._ended.wait(seconds):
                for act in (self.sweep, also):
                    try:
                        act()
                    except Exception as error:
                        log.warning("a sweep broke off (%s); the next one goes on", _kind(error))

        threading.Thread(target=run, name="sweeper", daemon=True).start()

    def end(self) -> None:
        """The app ends: let go of everybody."""
        self._ended.set()
        with self._lock:
            everybody = [v.visitor for v in self._visits.values()]
        for visitor in everybody:
            self.leave(visitor)

    def __len__(self) -> int:
        return len(self._visits)


def _kind(error: Exception) -> str:
    """The kind of an error; its words may quote a visitor's file."""
    return type(error).__name__
