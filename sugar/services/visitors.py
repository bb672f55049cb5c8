"""The visitors: who is asking, their open pages, their private files, and when all of it goes.

    identities = Identities(PUBLIC)
    visitor = identities.visitor(Caller(token=identities.new_token(), session="a1", address="10.0.0.7"))
    cache = own_folder(Path(tempfile.gettempdir()))       # this app's alone; killed apps' are swept first
    visits = Visits(PUBLIC, PrivateFiles(cache / "visitors"))
    page = visits.page(visitor, "a1")          # one open page: its state, its answer, its files
    visits.sweep_every(60)                     # visitors without a sign for the mode's grace period go

A visitor is known by a login, a key in a header, or a signed token in the browser; a reload keeps the token.
A dropped connection ends nothing. Names and keys can be made up, so a new one never sends away a visitor who
keeps something: newcomers are refused instead. A file's path has 128 random bits, so nobody guesses one; the
files of a visitor with a token, a key or a login are given to that visitor only.
Not covered: how a request carries these (ui/gate.py), limits (quotas.py), what a clean copy of a picture is
(sugar/images.py).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from sugar.atomic import replacing, saving, write_whole
from sugar.errors import BusyError, InputError
from sugar.services.modes import Mode

# -- who is asking

MIN_KEY, MAX_KEY = 16, 200


@dataclass(frozen=True)
class Caller:
    """What one request says of its sender.

    Args:
        login: the name that logged in, where there is a password.
        key: the value of the header `X-Sugar-Key`, for programs and MCP clients.
        token: the value of the browser's cookie.
        session: the name that the page or the program gave its session. The client chooses it.
        address: the network address.
    """

    login: str | None = None
    key: str | None = None
    token: str | None = None
    session: str | None = None
    address: str = ""


@dataclass(frozen=True)
class Visitor:
    """One person or program. Two values are equal when they are the same visitor.

    Args:
        id: 32 hexadecimal characters. They tell nothing of the token, so they may name a folder.
        kind: how the visitor is known: "owner", "login", "key", "token" or "session".
        address: where this request came from.
    """

    id: str
    kind: str
    address: str = field(default="", compare=False)

    @property
    def proven(self) -> bool:
        """Whether a request without a session can be told to be this visitor's."""
        return self.kind != "session"


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 network that one IPv6 customer has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


class Identities:
    """Makes and checks tokens. The secret lives as long as the app: an earlier run's tokens are void."""

    def __init__(self, mode: Mode, secret: bytes | None = None) -> None:
        self.mode = mode
        self._secret = secret or secrets.token_bytes(32)

    def new_token(self) -> str:
        """A token for a browser to keep: 128 random bits and their signature."""
        nonce = secrets.token_hex(16)
        return f"{nonce}.{self._digest('token', nonce)}"

    def valid(self, token: str | None) -> bool:
        """Whether this app signed the token."""
        nonce, _, signature = (token or "").partition(".")
        good = self._digest("token", nonce)
        return bool(nonce) and hmac.compare_digest(good.encode(), signature.encode("utf-8", "replace"))

    def visitor(self, caller: Caller) -> Visitor:
        """The visitor behind a request.

        The login counts first, then the key, then the token. Who has none is known by the session alone.

        Raises:
            InputError: the key is too short to be a secret, or too long.
        """
        if caller.key is not None and not MIN_KEY <= len(caller.key) <= MAX_KEY:
            raise InputError(
                f"The key has {len(caller.key)} characters. Use a random text of {MIN_KEY} to {MAX_KEY}."
            )
        if self.mode.one_person:
            return Visitor(self._digest("owner", "")[:32], "owner", caller.address)
        if caller.login is not None and not self.mode.private:
            return self._made("login", caller.login, caller)
        if caller.key is not None:
            return self._made("key", caller.key, caller)
        if self.valid(caller.token):
            return self._made("token", str(caller.token).partition(".")[0], caller)
        return self._made("session", caller.session or secrets.token_hex(16), caller)

    def _made(self, kind: str, name: str, caller: Caller) -> Visitor:
        return Visitor(self._digest(kind, name)[:32], kind, caller.address)

    def _digest(self, kind: str, name: str) -> str:
        text = f"{kind}\0{name}".encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()


# -- private files

PREFIX = "sugar-cache-"
CLEAN = ".clean"
"""Ends the name of the mark beside a file of ours; the mark names the gallery items that the file shows."""

_held: list[FileLock] = []


def own_folder(parent: Path) -> Path:
    """A new folder for this app's temporary files. It goes when the app ends; those of killed apps go now.

    A running app holds a lock on its folder. The system lets go of the lock however the app ends.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{PREFIX}*"):
        lock = FileLock(parent / f".{left.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        shutil.rmtree(left, ignore_errors=True)
        lock.release()
        with suppress(OSError):
            os.unlink(lock.lock_file)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    lock = FileLock(parent / f".{folder.name}.lock")
    lock.acquire()
    _held.append(lock)
    return folder


def remove_cache(folder: Path) -> None:
    """Remove a folder that `own_folder` made, and its lock."""
    shutil.rmtree(folder, ignore_errors=True)
    for lock in [lock for lock in _held if Path(lock.lock_file).name == f".{folder.name}.lock"]:
        _held.remove(lock)
        lock.release()
        with suppress(OSError):
            os.unlink(lock.lock_file)


def _mark(path: Path) -> Path:
    return path.parent / f"{path.name}{CLEAN}"


def _items(mark: Path) -> list[str]:
    """What a mark names. A damaged one names something that no gallery holds, so that its file goes."""
    try:
        return mark.read_bytes().decode("ascii").split()
    except FileNotFoundError:
        return []
    except (OSError, ValueError):
        return ["?"]


class PrivateFiles:
    """The files of all visitors. `root` has one folder for each, named `<kind>-<id>`."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root = root.resolve()

    def folder(self, visitor: Visitor) -> Path:
        """Where the visitor's files lie."""
        return self.root / f"{visitor.kind}-{visitor.id}"

    def new(self, visitor: Visitor) -> Path:
        """A new folder of the visitor's, under a name that nobody can guess."""
        folder = self.folder(visitor) / secrets.token_hex(16)
        folder.mkdir(parents=True, mode=0o700)
        return folder

    def write(self, visitor: Visitor, name: str, data: bytes, *, items: Iterable[str] = ()) -> Path:
        """Keep bytes that are clean already. Returns a path that nobody can guess.

        items: the gallery pictures that the bytes show, by their SHA-256, if they show any.
        """
        with saving(name):
            path = self.new(visitor) / name
            write_whole(_mark(path), "\n".join(items).encode("ascii"))  # first: a deletion must find the file
            path.write_bytes(data)
        return path

    def items(self, path: Path) -> list[str]:
        """The gallery pictures that the file shows."""
        return _items(_mark(path))

    def showing(self, visitor: Visitor | None) -> dict[Path, list[str]]:
        """The files that show gallery pictures, and which: the visitor's, or everybody's for None."""
        found = {}
        for folder in [self.folder(visitor)] if visitor is not None else list(self.root.iterdir()):
            with suppress(OSError):  # its visitor left a moment ago
                for mark in folder.glob(f"*/*{CLEAN}"):
                    if items := _items(mark):
                        found[mark.with_name(mark.name.removesuffix(CLEAN))] = items
        return found

    def inside(self, path: str | Path) -> Path | None:
        """The file, when it is one of a visitor's; None for anything else. Links are followed first."""
        try:
            found = Path(path).resolve()
            return found if found.is_relative_to(self.root) and found.is_file() else None
        except (OSError, ValueError):
            return None

    def readable(self, path: str | Path, visitor: Visitor) -> bool:
        """Whether the visitor may have the file: it lies in the visitor's folder, or in a mere session's.

        A program may upload in one request and ask in another, with nothing but the path to connect the two.
        Its files lie in folders of sessions, and whoever has such a path may have the file.
        """
        found = self.inside(path)
        if found is None:
            return False
        owner = found.relative_to(self.root).parts[0]
        return owner.startswith("session-") or owner == self.folder(visitor).name

    def is_clean(self, path: Path) -> bool:
        """Whether the file is one of ours, not an upload."""
        return _mark(path).exists()

    def replace(self, path: Path, data: bytes) -> None:
        """Put a clean copy in the place of an original, and cut the original off first.

        What a copy-on-write disk or a backup keeps of it is out of reach.
        """
        with saving(path.name):
            with replacing(path) as beside:
                beside.write_bytes(data)
                with path.open("r+b") as original:
                    original.truncate(0)
            _mark(path).touch()

    def remove(self, path: str | Path) -> None:
        """Remove an upload that has served."""
        found = self.inside(path)
        if found is not None:
            found.unlink(missing_ok=True)
            _mark(found).unlink(missing_ok=True)
            with suppress(OSError):
                found.parent.rmdir()


# -- who is here

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
        """End the visits without a sign for the grace period. Returns how many."""
        with self._lock:
            again, self._unfinished = self._unfinished, []
            end = self._clock() - self.mode.grace_seconds
            idle = [v.visitor for v in self._visits.values() if v.seen < end]
        self._finish(again)
        gone = [v for v in idle if not self.busy(v)]
        for visitor in gone:
            self.leave(visitor)
        return len(gone)

    def sweep_every(self, seconds: float, also: Callable[[], Any] = lambda: None) -> threading.Event:
        """Sweep now and then, in a thread of its own, until what this returns is set. A sweep that fails ends
        no later one.
        """
        ended = threading.Event()

        def run() -> None:
            while not ended.wait(seconds):
                for act in (self.sweep, also):
                    try:
                        act()
                    except Exception as error:
                        log.warning("a sweep broke off (%s); the next one goes on", _kind(error))

        threading.Thread(target=run, name="sweeper", daemon=True).start()
        return ended


def _kind(error: Exception) -> str:
    """The kind of an error; its words may quote a visitor's file."""
    return type(error).__name__
