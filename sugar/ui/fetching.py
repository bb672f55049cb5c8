"""Addresses in place of files: a program may name one, and the file behind it is fetched, with a limit.

    bounded_downloads(visitors, most=30_000_000)                   # once, before the app is served
    path = await fetch("https://example.org/a.jpg", folder, most)

Gradio fetches without a limit, into a folder that visitors share. Not covered: who may have the file
afterwards (services/private_files.py).
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import anyio.from_thread
import gradio as gr
import httpx
import safehttpx
from gradio import processing_utils

from sugar.services.identity import Visitor
from sugar.ui.visitors import Visitors

__all__ = ["bounded_downloads", "fetch"]

REDIRECTS = 5
SECONDS = 30.0


def bounded_downloads(visitors: Visitors, most: int) -> None:
    """Gradio fetches an address that a program names in place of a file: at most `most` bytes from now on."""

    async def download(url: str, cache_dir: str) -> str:  # Gradio's own signature
        somebody = Visitor(secrets.token_hex(16), "session")
        visitors.visits.touch(somebody)  # so that the sweeper finds the file
        try:
            return str(await fetch(url, visitors.files.new(somebody), most))
        except (ValueError, OSError, httpx.HTTPError) as error:
            raise gr.Error(str(error), title="InputError", print_exception=False) from None

    def download_now(url: str, cache_dir: str) -> str:
        return anyio.from_thread.run(download, url, cache_dir)

    processing_utils.async_ssrf_protected_download = download
    processing_utils.ssrf_protected_download = download_now


async def fetch(url: str, folder: Path, most: int, transport: Any = None) -> Path:
    """Fetch a public address into a folder.

    Args:
        url: http or https. The host must have a public address, at every redirect too.
        folder: of this file alone.
        most: bytes. What is longer is refused, whatever its header says.
        transport: for tests.

    Raises:
        ValueError: not public, not there, or too long.
    """
    for _ in range(REDIRECTS + 1):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("Only http and https addresses are fetched.")
        safe = transport
        if safe is None:
            safe = safehttpx.AsyncSecureTransport(await safehttpx.async_validate_url(parts.hostname))
        async with (
            httpx.AsyncClient(transport=safe, timeout=SECONDS) as client,
            client.stream("GET", url, follow_redirects=False) as answer,
        ):
            if answer.has_redirect_location:
                url = urljoin(url, answer.headers["location"])
                continue
            if answer.status_code != 200:
                raise ValueError(f"The address answered {answer.status_code}.")
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
