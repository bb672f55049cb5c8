"""Which of Gradio's addresses are open: what the page and programs need.

    is_open("/gradio_api/queue/join")             # True
    is_open("/gradio_api/vibe-edit/")             # False: it edits source files

Closed are, among others, the recorder, the development reload, deep links, component servers, run
history, the proxy for other apps, monitoring, and the address that tells a login's token.
"""

from __future__ import annotations

__all__ = ["is_open"]

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
