"""Whose a session, or an event, is: the first visitor who names it. A name alone opens nobody else's page.

    Middleware(Sessions, visitors=visitors)      # inside Gate, before Gradio

Gradio takes the client's word for both names, and they stand in addresses that proxies write down. Not
covered: files (uploads.py), who a visitor is (visitors.py).
"""

from __future__ import annotations

import json
import re
import threading
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sugar.errors import BusyError, InputError
from sugar.services.identity import Visitor
from sugar.ui.bodies import Refused
from sugar.ui.visitors import Visitors, cookies_of, login_of

__all__ = ["Owners", "Sessions"]

NAMED = re.compile(r"/gradio_api/(?:heartbeat/([^/]+)|call/(?:v2/[^/]+|(?!v2/)[^/]+)/([^/]+))/?")
"""Addresses that end in the name of a session or of an event."""

ASKS = re.compile(r"/gradio_api/(?:queue/join|run/|api/|call/|cancel|reset)")
"""Addresses whose body names them."""

MOST = 2000
"""Names of one visitor that are remembered."""


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

    def __init__(self, app: ASGIApp, visitors: Visitors) -> None:
        self.app, self.visitors = app, visitors
        self.owners = Owners()
        visitors.visits.on_leave.append(self.owners.forget)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.visitors.mode.one_person:
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
        names = [name for name in names if isinstance(name, str) and name]
        try:
            visitor = self._visitor(scope, session or (names[0] if names else None))
            if not all(self.owners.claim(name, visitor) for name in names):
                raise Refused(403, "This session is another visitor's. Load the page again.")
        except Refused as refused:
            return await PlainTextResponse(refused.words, refused.status)(scope, receive, send)
        except (InputError, BusyError) as error:
            return await PlainTextResponse(str(error), 400)(scope, receive, send)
        await self.app(scope, receive, self._with_event(visitor, send) if told else send)

    def _visitor(self, scope: Scope, session: str | None) -> Visitor:
        client = scope.get("client") or ("", 0)
        headers = dict(Headers(scope=scope).items())
        return self.visitors.who(headers, cookies_of(scope), client[0], login_of(scope), session)

    def _with_event(self, visitor: Visitor, send: Send) -> Send:
        """The event that Gradio makes for a request is the asker's too."""
        seen = bytearray()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.body" and len(seen) < 1000:
                seen.extend(message.get("body", b"")[:1000])
                if event := _read(bytes(seen)).get("event_id"):
                    self.owners.claim(str(event), visitor)
            await send(message)

        return sending


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
