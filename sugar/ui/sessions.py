"""Whose a session or an event is, and whether its visitor may put one more event into the queue.

    Middleware(Sessions, visitors=visitors, settings=settings)      # inside Gate, before Gradio

The first visitor who names a session has it: a name alone opens nobody else's page. One visitor, or one
address, has some events in the queue at a time, and addresses take turns in it.
Gradio takes the client's word for both names, and they stand in addresses that proxies write down. Not
covered: files (uploads.py), who a visitor is (visitors.py).
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sugar.errors import BusyError, InputError
from sugar.services.identity import Visitor
from sugar.settings import Settings
from sugar.ui.bodies import Refused
from sugar.ui.visitors import Visitors, cookies_of, login_of

__all__ = ["Owners", "Sessions"]

NAMED = re.compile(r"/gradio_api/(?:heartbeat/([^/]+)|call/(?:v2/[^/]+|(?!v2/)[^/]+)/([^/]+))/?")
"""Addresses that end in the name of a session or of an event."""

ASKS = re.compile(r"/gradio_api/(?:queue/join|run/|api/|call/|cancel|reset)")
"""Addresses whose body names them."""

MOST = 2000
"""Names of one visitor that are remembered."""

ON_MODEL = ("model", "notes")
"""The queues whose events run the model; see AppContext."""

OF_ONE = {True: (3, 12), False: (20, 60)}
"""Whether an event runs the model -> how many of one visitor, and of one address, may run or wait."""

VISITOR = "sugar.visitor"


class Owners:
    """Name -> visitor. The names of a visitor go when the visitor goes."""

    def __init__(self, most: int = MOST) -> None:
        self._owner: dict[str, str] = {}
        self._names: dict[str, dict[str, None]] = {}
        self._most, self._lock = most, threading.Lock()

    def claim(self, name: str, visitor: Visitor) -> bool:
        """Whether the name is the visitor's, from now on if it was nobody's.

        Who has neither cookie nor key is known by the name alone: such a name is nobody else's, and not kept.
        """
        with self._lock:
            if not visitor.proven:
                return name not in self._owner
            if self._owner.setdefault(name, visitor.id) != visitor.id:
                return False
            own = self._names.setdefault(visitor.id, {})
            own[name] = None
            if len(own) > self._most:
                oldest = next(iter(own))
                del own[oldest], self._owner[oldest]
            return True

    def forget(self, visitor: Visitor) -> None:
        with self._lock:
            for name in self._names.pop(visitor.id, ()):
                del self._owner[name]

    def __len__(self) -> int:
        return len(self._owner)


class Sessions:
    """ASGI middleware. See the module docstring."""

    def __init__(self, app: ASGIApp, visitors: Visitors, settings: Settings) -> None:
        self.app, self.visitors, self.settings = app, visitors, settings
        self.owners = Owners()
        visitors.visits.on_leave.append(self.owners.forget)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        session = query.get("session_hash", [""])[0]
        in_path = NAMED.fullmatch(scope["path"])
        names = [session, *(in_path.groups() if in_path else ())]
        told = scope["method"] == "POST" and ASKS.match(scope["path"])
        if told:
            body, receive = await _whole(receive)
            session = str(body.get("session_hash") or session)
            names += [session, body.get("event_id")]
        names = [n for n in names if isinstance(n, str) and n and n != _session_of_mcp(scope)]
        try:
            visitor = self._visitor(scope, session or (names[0] if names else None))
            scope[VISITOR] = visitor  # Gradio keeps the request beside the event
            if not all(self.owners.claim(name, visitor) for name in names):
                raise Refused(403, "This session is another visitor's. Load the page again.")
            if told:
                self._check_room(scope, body, visitor)
        except Refused as refused:
            return await JSONResponse({"detail": refused.words}, refused.status)(scope, receive, send)
        except InputError as error:
            return await PlainTextResponse(str(error), 400)(scope, receive, send)
        except BusyError as error:
            return await JSONResponse({"detail": str(error)}, 429)(scope, receive, send)
        await self.app(scope, receive, self._with_event(scope, visitor, send) if told else send)

    def _visitor(self, scope: Scope, session: str | None) -> Visitor:
        client = scope.get("client") or ("", 0)
        headers = dict(Headers(scope=scope).items())
        return self.visitors.who(headers, cookies_of(scope), client[0], login_of(scope), session)

    def _check_room(self, scope: Scope, body: dict[str, Any], visitor: Visitor) -> None:
        """Raises Refused, BusyError: too many events of everybody, the visitor, the address are under way."""
        blocks = scope["app"].get_blocks()
        asked = _asked(blocks, scope["path"], body)
        if asked is None or not asked.queue:
            return
        on_model = asked.concurrency_id in ON_MODEL
        waiting, running = _events(blocks)
        there = [e for e in waiting + running if (e.concurrency_id in ON_MODEL) == on_model]
        if len(there) >= self.settings.queue_size * (1 if on_model else 10):
            raise Refused(503, "The app is busy: too many wait already. Try again in a minute.")
        if self.visitors.mode.one_person:
            return
        of_visitor, of_address = OF_ONE[on_model]
        if sum(e.request.scope.get(VISITOR) == visitor for e in there) >= of_visitor:
            raise BusyError(
                f"{of_visitor} of your requests are under way. Wait until one has ended, or stop it."
            )
        if sum(_address(e) == visitor.address for e in there) >= of_address:
            raise BusyError(f"{of_address} requests of your address are under way. Try again in a minute.")

    def _with_event(self, scope: Scope, visitor: Visitor, send: Send) -> Send:
        """The event that Gradio makes for a request is the asker's too, and takes its turn in the queue."""
        seen = bytearray()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.body" and len(seen) < 1000:
                seen.extend(message.get("body", b"")[:1000])
                if event := _read(bytes(seen)).get("event_id"):
                    self.owners.claim(str(event), visitor)
                    take_turns(scope["app"].get_blocks())
            await send(message)

        return sending


def _session_of_mcp(scope: Scope) -> str | None:
    """The one session in which Gradio's MCP server asks for all its clients, each with a key of its own."""
    server = getattr(scope["app"].get_blocks(), "mcp_server_obj", None)
    return getattr(getattr(server, "_client_instance", None), "session_hash", None)


def take_turns(blocks: Any) -> None:
    """Put what waits for the model in such an order that addresses take turns, whoever sends how much."""
    waiting, running = _events(blocks)
    seen = Counter(_address(e) for e in running if e.concurrency_id in ON_MODEL)
    rank: dict[str, int] = {}
    for event in sorted(waiting, key=lambda e: e.enqueue_time):
        if event.concurrency_id in ON_MODEL:
            rank[event._id] = seen[_address(event)]
            seen[_address(event)] += 1
    for name in ON_MODEL:
        if name in (queues := blocks._queue.event_queue_per_concurrency_id):
            queues[name].queue.sort(key=lambda e: (rank.get(e._id, 0), e.enqueue_time))


def _events(blocks: Any) -> tuple[list[Any], list[Any]]:
    """(events that wait, events that run) in Gradio's queue."""
    queue = blocks._queue
    waiting = [e for line in queue.event_queue_per_concurrency_id.values() for e in line.queue]
    return waiting, [e for job in queue.active_jobs if job for e in job]


def _asked(blocks: Any, path: str, body: dict[str, Any]) -> Any:
    """The function that a request puts into the queue; None where it puts none."""
    if path.rstrip("/").endswith("/queue/join"):
        number = body.get("fn_index")
        return blocks.fns.get(number) if isinstance(number, int) else None
    if "/call/" in path:
        name = path.rstrip("/").rpartition("/")[2]
        return next((f for f in blocks.fns.values() if f.api_name == name), None)
    return None


def _address(event: Any) -> str:
    visitor = event.request.scope.get(VISITOR)
    return visitor.address if visitor is not None else ""


async def _whole(receive: Receive) -> tuple[dict[str, Any], Receive]:
    """(the JSON object of a body, or {}; a receive that gives the same messages again)."""
    kept: list[Message] = []
    while not kept or (kept[-1]["type"] == "http.request" and kept[-1].get("more_body")):
        kept.append(await receive())
    body = b"".join(message.get("body", b"") for message in kept)

    async def again() -> Message:
        return kept.pop(0) if kept else await receive()

    return _read(body), again


def _read(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
