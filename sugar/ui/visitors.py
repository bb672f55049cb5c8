"""From a request to the visitor behind it, and to the page that the visitor looks at.

    page = visitors.of(request)                  # a Page: state, answering, stop, keep
    visitors.admit(request, uses_model=True)     # BusyError over a limit

A browser proves itself by a cookie, a program by the header X-Sugar-Key, a login by Gradio's own cookie.
Not covered: what these prove (services/identity.py), how long a visitor stays (services/visits.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from sugar.services.identity import Caller, Identities, Visitor
from sugar.services.modes import Mode, on_a_space
from sugar.services.private_files import PrivateFiles
from sugar.services.quotas import Arrivals, Disk, QuotaLimits, Quotas
from sugar.services.visits import Page, Visits
from sugar.settings import Settings

__all__ = ["KEY", "Visitors", "address_of", "cookies_of", "login_of"]

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

    def asking(self, scope: Scope) -> Visitor:
        """The visitor behind a request that Gradio has not seen yet. Its session is not known here."""
        client = scope.get("client") or ("", 0)
        headers = dict(Headers(scope=scope).items())
        return self.who(headers, cookies_of(scope), client[0], login_of(scope), None)

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

    def leave(self, request: Any) -> None:
        """Let go of the visitor behind a request at once."""
        self.visits.leave(self.behind(request))

    def __len__(self) -> int:
        return len(self.visits)
