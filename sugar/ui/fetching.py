"""Addresses in place of files: a program may name a few, and the files behind them are fetched within a time.

    bounded_downloads(visitors, most=30_000_000)                   # once, before the app is served
    path = await fetch("https://example.org/a.jpg", folder, most)

Gradio fetches without a limit, into a folder that visitors share. Where strangers come nothing is fetched:
they would make the host ask whom they like. Not covered: who may have the file afterwards
(services/private_files.py).
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import anyio.from_thread
import gradio as gr
import httpx
import safehttpx
from gradio import processing_utils

from sugar.errors import SugarError
from sugar.services.identity import Visitor
from sugar.ui.visitors import Visitors

__all__ = ["bounded_downloads", "fetch", "is_public"]

REDIRECTS = 5
SECONDS = 15.0
"""For all addresses of one request together: other requests may be waiting behind it."""
ADDRESSES = 4
"""In one request."""

NAT64, SIX_TO_FOUR = ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("2002::/16")
NOT_PUBLIC = [
    ipaddress.ip_network(network)
    for network in ("100.64.0.0/10", "192.0.0.0/24", "::/96", "64:ff9b:1::/48", "2001::/32", "fec0::/10")
]
"""What `is_global` of some versions of Python passes."""


@dataclass
class _Asked:
    """What one request has asked for by addresses."""

    began: float = field(default_factory=time.monotonic)
    addresses: int = 0


_asked: ContextVar[_Asked] = ContextVar("asked")


def bounded_downloads(visitors: Visitors, most: int) -> None:
    """Gradio fetches an address that a program names in place of a file: at most `most` bytes from now on."""

    async def download(url: str, cache_dir: str) -> str:  # Gradio's own signature
        try:
            if visitors.mode.private:
                raise ValueError("This host fetches no addresses. Send the file itself.")
            asked = _asked.get(None) or _Asked()
            _asked.set(asked)  # each request has a context of its own
            asked.addresses += 1
            if asked.addresses > ADDRESSES:
                raise ValueError(f"A request may name {ADDRESSES} addresses. Send the files themselves.")
            visitors.disk.check_free(most)
            somebody = Visitor(secrets.token_hex(16), "session")
            visitors.visits.touch(somebody)  # so that the sweeper finds the file
            left = asked.began + SECONDS - time.monotonic()
            return str(await fetch(url, visitors.files.new(somebody), most, seconds=left))
        except (ValueError, OSError, httpx.HTTPError, SugarError) as error:
            raise gr.Error(str(error), title="InputError", print_exception=False) from None

    def download_now(url: str, cache_dir: str) -> str:
        return anyio.from_thread.run(download, url, cache_dir)

    processing_utils.async_ssrf_protected_download = download
    processing_utils.ssrf_protected_download = processing_utils.save_url_to_cache = download_now


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet, and not to this machine, its network or a provider's."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        elif ip in SIX_TO_FOUR:
            inner = ip.sixtofour
        if inner is not None:
            return is_public(str(inner))
    special = ip.is_multicast or ip.is_reserved or any(ip in n for n in NOT_PUBLIC if n.version == ip.version)
    return ip.is_global and not special


async def _transport_to(host: str) -> Any:
    """A way to the host's first public address, held to it. Raises ValueError: it has none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise ValueError("The host of this address is not known.") from None
    public = [str(place[0]) for *_, place in found if is_public(str(place[0]))]
    if not public:
        raise ValueError("This address is not on the internet. Send the file itself.")
    return safehttpx.AsyncSecureTransport(public[0])


async def fetch(url: str, folder: Path, most: int, transport: Any = None, seconds: float = SECONDS) -> Path:
    """Fetch a public address into a folder.

    Args:
        url: http or https. The host must have a public address, at every redirect too.
        folder: of this file alone.
        most: bytes. What is longer is refused, whatever its header says.
        transport: for tests.
        seconds: for all of it, however slowly the other side sends.

    Raises:
        ValueError: not public, not there, too long, or too slow.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _fetched(url, folder, most, transport)
    except TimeoutError:
        raise ValueError("The address answers too slowly. Send the file itself.") from None


async def _fetched(url: str, folder: Path, most: int, transport: Any) -> Path:
    for _ in range(REDIRECTS + 1):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("Only http and https addresses are fetched.")
        way = transport or await _transport_to(parts.hostname)
        as_it_is = {"accept-encoding": "identity"}
        async with (
            httpx.AsyncClient(transport=way, timeout=SECONDS) as client,
            client.stream("GET", url, headers=as_it_is, follow_redirects=False) as answer,
        ):
            if answer.has_redirect_location:
                url = urljoin(url, answer.headers["location"])
                continue
            if answer.status_code != 200:
                raise ValueError(f"The address answered {answer.status_code}.")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("The address answers with packed bytes. Send the file itself.")
            return await _write(answer, folder, most)
    raise ValueError(f"The address redirects more than {REDIRECTS} times.")


async def _write(answer: httpx.Response, folder: Path, most: int) -> Path:
    path, size = folder / "fetched", 0
    try:
        with path.open("wb") as file:
            async for block in answer.aiter_bytes(64 * 1024):
                size += len(block)
                if size > most:
                    raise ValueError(f"The file at this address is larger than {most // 1_000_000} MB.")
                file.write(block)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path
