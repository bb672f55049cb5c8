"""Who is asking: a visitor, known by a login, a key in a header, or a signed token in the browser.

    identities = Identities(PUBLIC)
    visitor = identities.visitor(Caller(token=identities.new_token(), session="a1", address="10.0.0.7"))

A reload of the page keeps the token, so it keeps the visitor.
Not covered: how a request carries these (ui/), what is kept for a visitor (visits.py), limits (quotas.py).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from sugar.errors import InputError
from sugar.services.modes import Mode

__all__ = ["Caller", "Identities", "Visitor"]

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
