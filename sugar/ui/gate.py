"""What every request passes before Gradio sees it: who sends it, where it comes from, what it may ask for.

    visitors = Visitors(settings, mode, files)
    Middleware(Gate, visitors=visitors, settings=settings)          # host, origin, path, size, rate
    Middleware(Sessions, visitors=visitors, settings=settings)      # inside Gate: whose a session or event is
    page = visitors.of(request)                                     # a Page: state, answering, stop, keep

- Who: a browser proves itself by a cookie, a program by the header X-Sugar-Key, a login by Gradio's own
  cookie.
- Host: in personal mode only this machine's own names are answered, so that no web page reaches the app by a
  name of its own (DNS rebinding), and nothing that came through a tunnel.
- Origin: a page of another site may link to this page and frame it nowhere; it reads and changes nothing.
- Paths: what the page and programs need; the rest of Gradio's routes is closed.
- Every answer says what its page may load and who may frame it.
- Sessions: the first visitor who names one has it. Gradio takes the client's word for these names, and they
  stand in addresses that proxies write down.
- Queue: one visitor, or one address, has some events in it at a time, and addresses take turns.

Not covered: what proves a visitor and how long one stays (services/visitors.py), uploads (incoming.py).
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sugar.errors import BusyError, InputError, SugarError
from sugar.services.modes import Mode, is_loopback, on_a_space
from sugar.services.quotas import Arrivals, Disk, QuotaLimits, Quotas
from sugar.services.visitors import Caller, Identities, Page, PrivateFiles, Visitor, Visits, network_of
from sugar.settings import Settings

# -- bodies of requests


class Refused(Exception):
    """A request that goes no further: status and words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


def bounded(receive: Receive, most: int) -> Receive:
    """Stop reading a body that is too large, whatever its header said."""
    seen = 0

    def take(size: int) -> None:
        nonlocal seen
        seen += size
        if seen > most:
            raise Refused(413, f"A request may have {most // 1_000_000} MB. Upload large files first.")

    return counted(receive, take)


def counted(receive: Receive, take: Callable[[int], None]) -> Receive:
    """Tell `take` of every block of a body before anybody reads it."""

    async def receiving() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            take(len(message.get("body", b"")))
        return message

    return receiving


# -- paths

PAGE = (
    "/assets/",
    "/static/",
    "/svelte/",
    "/theme.css",
    "/favicon.ico",
    "/robots.txt",
    "/manifest.json",
    "/pwa_icon",
    "/login",
    "/logout",
    "/config",
)
API = (
    "info",
    "openapi.json",
    "queue/",
    "call/",
    "run/",
    "api/",
    "upload",
    "file=",
    "heartbeat/",
    "cancel",
    "reset",
    "startup-events",
    "user",
    "login_check",
    "app_id",
    "theme.css",
    "custom_component/",
    "mcp",
)
OPEN = (*PAGE, *(f"/gradio_api/{name}" for name in API))


def is_open(path: str) -> bool:
    """Whether the app answers at this path."""
    return path == "/" or path.startswith(OPEN)


# -- who asks

KEY = "x-sugar-key"
MINUTE = 60.0
PORT = re.compile(r"^(?:\[(.*)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+)$")
"""An address as some proxies write it: in brackets, or with the port of the connection."""


def address_of(client: str, forwarded: str, proxies: int) -> str:
    """The address that a request came from.

    Args:
        client: the address of the connection.
        forwarded: the header X-Forwarded-For. Each proxy adds at its end the address that it saw.
        proxies: how many proxies in front of the app are our own. Entries before theirs may be made up.
    """
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
    return PORT.sub(r"\1\2", hops[-proxies]) if 0 < proxies <= len(hops) else client


def cookies_of(scope: Scope) -> Mapping[str, str]:
    """A request's cookies, read as browsers write them: what another app set in its own way hides none."""
    return HTTPConnection(scope).cookies


def login_of(scope: Scope) -> str | None:
    """Who logged in, by the cookie that Gradio's login set."""
    app, cookies = scope["app"], cookies_of(scope)
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return app.tokens.get(next((cookies[name] for name in names if name in cookies), None))


class Visitors:
    """Everybody who is here, for one running app."""

    def __init__(self, settings: Settings, mode: Mode, files: PrivateFiles) -> None:
        self.settings, self.mode = settings, mode
        self.proxies = settings.proxies or int(on_a_space())  # a Space stands behind one of Hugging Face's
        self.identities = Identities(mode)
        self.files = files
        self.visits = Visits(mode, self.files, most_pages=20 if mode.private else 1000)
        self.quotas = Quotas(QuotaLimits(settings.per_minute, settings.newcomers))
        megabyte = 1_000_000
        self.disk = Disk(files.root.parent, settings.visitor_mb * megabyte, settings.server_mb * megabyte)
        self.arrivals = Arrivals(self.disk, mode.private)
        self.cookie = f"sugar-visitor-{self.identities.visitor(Caller(session='cookie')).id[:8]}"
        """Another app on the same host has another cookie."""

    def begin(self, also: Callable[[], None] = lambda: None) -> None:
        """Sweep from now on. also: what else is done once a minute."""

        def sweep() -> None:
            self.quotas.sweep()
            self.arrivals.sweep()
            also()

        self.visits.sweep_every(MINUTE, sweep)

    def who(
        self,
        headers: Mapping[str, str],
        cookies: Mapping[str, str],
        client: str,
        login: str | None,
        session: str | None,
    ) -> Visitor:
        """The visitor behind these parts of a request. Raises InputError for a key that is no secret."""
        caller = Caller(
            login=login,
            key=headers.get(KEY),
            token=cookies.get(self.cookie),
            session=session,
            address=address_of(client, headers.get("x-forwarded-for", ""), self.proxies),
        )
        return self.identities.visitor(caller)

    def address(self, scope: Scope) -> str:
        """The address that a request came from."""
        client = (scope.get("client") or ("", 0))[0]
        return address_of(client, Headers(scope=scope).get("x-forwarded-for", ""), self.proxies)

    def asking(self, scope: Scope, session: str | None = None) -> Visitor:
        """The visitor behind a request that Gradio has not seen yet."""
        client = scope.get("client") or ("", 0)
        headers = dict(Headers(scope=scope).items())
        return self.who(headers, cookies_of(scope), client[0], login_of(scope), session)

    def behind(self, request: Any) -> Visitor:
        """The visitor behind a gr.Request, or behind the request that Gradio's MCP server hands over."""
        client = getattr(request, "client", None)
        return self.who(
            dict(request.headers.items()) if request is not None else {},
            dict(request.cookies.items()) if request is not None else {},
            getattr(client, "host", "") or "",
            getattr(request, "username", None),
            getattr(request, "session_hash", None),
        )

    def of(self, request: Any) -> Page:
        """The page behind a request. An MCP client that keeps no session gets one of its own key."""
        visitor = self.behind(request)
        session = getattr(request, "session_hash", None)
        if request is not None and request.headers.get(KEY):
            session = f"key {request.headers.get(KEY)}"
        page = self.visits.page(visitor, session)
        self.visits.session(visitor, getattr(request, "session_hash", None))
        return page

    def stop(self, request: Any) -> None:
        """End the answer of the page behind a request. A page that is not known stays unknown."""
        session = getattr(request, "session_hash", None)
        for page in self.visits.pages(self.behind(request)):
            if page.session == session:
                page.stop()

    def admit(self, request: Any, *, uses_model: bool) -> None:
        """Count a request. Raises BusyError over a limit."""
        self.quotas.admit(self.behind(request), uses_model=uses_model)


# -- the gate

READS = ("GET", "HEAD", "OPTIONS")
FORWARDED = ("x-forwarded-for", "x-forwarded-host", "forwarded", "cf-connecting-ip", "x-real-ip")
AT_ONCE = 500
"""Requests of one address that may be open at a time: each open page listens with one or two."""
BODY = 2_000_000
"""Bytes of a request that is not an upload."""

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; frame-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
"""Nothing that a model or a file says makes the browser ask another place. (Gradio makes scripts of text.)"""

FRAMES_OF_A_SPACE = " https://huggingface.co https://*.huggingface.co https://*.hf.space"
"""Who shows a Space inside a page of their own."""

LOGOUT = (
    '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Log out</title>'
    '<form method="post" action="/logout?all_session=false"><button>Log out</button></form></html>'
)
"""Gradio logs out by GET, which any picture's address can ask for. Here a button must be pressed."""


class Gate:
    """ASGI middleware. See the module docstring."""

    def __init__(self, app: ASGIApp, visitors: Visitors, settings: Settings) -> None:
        self.app, self.visitors, self.settings = app, visitors, settings
        self.named = {name.strip().lower() for name in settings.allow_host.split(",") if name.strip()}
        if os.environ.get("SPACE_HOST"):
            self.named.add(os.environ["SPACE_HOST"].lower())
        self._open: Counter[str] = Counter()
        self.policy = POLICY + (FRAMES_OF_A_SPACE if on_a_space() else "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        headers, send = Headers(scope=scope), self._with_policy(send)
        try:
            self._check_host(headers)
            self._check_origin(scope, headers)
            self._check_path(scope, headers)
            self._admit(scope)
        except Refused as refused:
            return await PlainTextResponse(refused.words, refused.status)(scope, receive, send)
        if scope["type"] == "http" and scope["path"].rstrip("/") == "/logout":
            if scope["method"] != "POST":
                return await HTMLResponse(LOGOUT)(scope, receive, send)
            scope["method"] = "GET"
        if scope["type"] == "http" and not scope["path"].startswith("/gradio_api/upload"):
            receive = bounded(receive, BODY)
        if scope["path"] == "/" and not self.visitors.mode.one_person:
            send = self._with_cookie(scope, headers, send)
        address = network_of(self.visitors.address(scope))
        self._open[address] += 1
        try:
            if self._open[address] > AT_ONCE:
                raise Refused(429, f"{AT_ONCE} requests at a time is the limit here. Close some pages.")
            await self.app(scope, receive, send)
        except Refused as refused:
            await PlainTextResponse(refused.words, refused.status)(scope, receive, send)
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]

    def _check_host(self, headers: Headers) -> None:
        host = _name(headers.get("host", ""))
        if self.visitors.mode.name != "personal" or host in self.named:
            return
        if not is_loopback(host):
            raise Refused(
                403,
                "This app runs in personal mode and answers this machine's own addresses only. "
                "Open it as http://127.0.0.1, name the host with --allow-host, or start with --mode public.",
            )
        if any(name in headers for name in FORWARDED):
            raise Refused(
                403,
                "This request came through a proxy or a tunnel, and the app runs in personal mode. "
                "Start it with --mode public, or name the proxy's host with --allow-host.",
            )

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """A page of another site may lead a browser to the page, and that is all."""
        leads_here = scope["type"] == "http" and scope["method"] in READS and scope["path"] == "/"
        if not leads_here and self._foreign(headers):
            raise Refused(
                403, "This request comes from a page of another site. Only the app's own may send it."
            )

    def _foreign(self, headers: Headers) -> bool:
        """Whether a browser sent the request for a page of another site. No page can write these headers.

        X-Forwarded-Host is not among them: any page can send it, and proxies hand it on.
        """
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site == "same-origin":  # also where a proxy in front gives the app another Host
            return False
        if origin is None:
            return site in ("same-site", "cross-site")
        place = urlsplit(origin).netloc.lower()
        return place != headers.get("host", "").lower() and _name(place) not in self.named

    def _check_path(self, scope: Scope, headers: Headers) -> None:
        path = scope["path"]
        if not is_open(path):
            raise Refused(404, "There is nothing at this address.")
        if path.startswith("/gradio_api/mcp"):
            if not self.settings.mcp:
                raise Refused(404, "MCP is off. Start the app with --mcp.")
            if self.visitors.mode.private and KEY not in headers:
                raise Refused(401, "Send the header X-Sugar-Key with a random text of 16 to 200 characters.")

    def _admit(self, scope: Scope) -> None:
        """Every request pays from its address; what may cost something, more."""
        try:
            if scope["type"] == "http" and scope["method"] in READS:
                self.visitors.quotas.admit_read(self.visitors.address(scope))
                return
            visitor = self.visitors.asking(scope)
            self.visitors.quotas.admit(visitor, uses_model=False)
            if scope["path"].startswith("/login"):
                self.visitors.quotas.admit_login(visitor.address)
        except BusyError as error:
            raise Refused(429, str(error)) from None
        except SugarError as error:
            raise Refused(400, str(error)) from None

    def _with_policy(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = self.policy
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        return sending

    def _with_cookie(self, scope: Scope, headers: Headers, send: Send) -> Send:
        """Add a new token to the answer, unless the browser has a good one."""
        identities = self.visitors.identities
        if identities.valid(cookies_of(scope).get(self.visitors.cookie)):
            return send
        secure = scope.get("scheme") == "https" or headers.get("x-forwarded-proto", "").startswith("https")
        # A Space is shown inside a frame of another site, where a browser sends no other cookies.
        how = "; Secure; SameSite=None; Partitioned" if secure else "; SameSite=Lax"

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                token = f"{self.visitors.cookie}={identities.new_token()}; Path=/; HttpOnly{how}"
                MutableHeaders(scope=message).append("set-cookie", token)
            await send(message)

        return sending


def _name(place: str) -> str:
    """The host's name, without its port."""
    return (urlsplit(f"//{place}").hostname or "").lower()


# -- sessions and the queue

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
        names_inside = scope["method"] == "POST" and ASKS.match(scope["path"])
        if names_inside:
            body, receive = await _whole(receive)
            session = str(body.get("session_hash") or session)
            names += [session, body.get("event_id")]
        names = [n for n in names if isinstance(n, str) and n and n != _session_of_mcp(scope)]
        try:
            visitor = self.visitors.asking(scope, session or (names[0] if names else None))
            scope[VISITOR] = visitor  # Gradio keeps the request beside the event
            if not all(self.owners.claim(name, visitor) for name in names):
                raise Refused(403, "This session is another visitor's. Load the page again.")
            if names_inside:
                self._check_room(scope, body, visitor)
        except Refused as refused:
            return await JSONResponse({"detail": refused.words}, refused.status)(scope, receive, send)
        except InputError as error:
            return await PlainTextResponse(str(error), 400)(scope, receive, send)
        except BusyError as error:
            return await JSONResponse({"detail": str(error)}, 429)(scope, receive, send)
        await self.app(scope, receive, self._with_event(scope, visitor, send) if names_inside else send)

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
