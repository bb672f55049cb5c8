"""Two MCP clients at once, over the wire: neither sees, finds or deletes what the other has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import ASSETS, Served, serve
from loops import in_a_loop
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

from sugar.errors import SettingsError
from sugar.settings import Settings
from sugar.ui import launch

ANN, BOB = (
    {"X-Sugar-Key": "anns own key, of which nobody knows"},
    {"X-Sugar-Key": "bobs own key, which he keeps"},
)


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return serve(tmp_path_factory.mktemp("mcp"), mode="public", mcp=True)


def calls(app: Served, key: dict[str, str], *wanted: tuple[str, dict[str, Any]]) -> list[str]:
    """What a client of its own hears: first the tools' names, then one answer for each call."""

    async def talk() -> list[str]:
        where = f"{app.url}/gradio_api/mcp/"
        async with (
            streamablehttp_client(where, headers=key) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            heard = [json.dumps([tool.name for tool in (await session.list_tools()).tools])]
            for name, values in wanted:
                answer = await session.call_tool(name, values)
                heard.append(" ".join(part.text for part in answer.content if part.type == "text"))
            return heard

    return in_a_loop(talk())


def upload(app: Served, key: dict[str, str], name: str) -> str:
    data = (ASSETS / "examples" / "scene-0.jpg").read_bytes()
    sent = httpx.post(f"{app.url}/gradio_api/upload", files={"files": (name, data)}, headers=key, timeout=60)
    return sent.raise_for_status().json()[0]


def test_two_clients_are_two_visitors(strangers: Served) -> None:
    """Gradio's MCP server calls through one client of its own, so that B used to delete A's pictures."""
    hers = upload(strangers, ANN, "annas-garden.jpg")
    items = ("gallery_items", {"gallery": "mine"})
    _, added, listed = calls(strangers, ANN, ("gallery_add", {"gallery": "mine", "files": [hers]}), items)
    assert "'added': 1" in added and "annas-garden" in listed
    again = upload(strangers, ANN, "another.jpg")
    heard = calls(
        strangers,
        BOB,
        items,
        ("gallery_delete", {"gallery": "mine", "items": [1]}),
        ("search", {"query": "red", "gallery": "mine"}),
        ("gallery_add", {"gallery": "mine", "files": [again]}),
        ("gallery_items", {"gallery": "it's <hers>"}),
    )
    assert not [text for text in heard if "anna" in text or "another" in text or "added" in text]
    assert "There is no gallery of that name" in heard[-1] and "&#" not in heard[-1]
    assert "annas-garden" in calls(strangers, ANN, items)[1]


def test_nothing_is_told_without_a_key(strangers: Served) -> None:
    for path in ("", "schema", "sse"):
        answer = httpx.get(f"{strangers.url}/gradio_api/mcp/{path}", timeout=60)
        assert answer.status_code == 401 and "X-Sugar-Key" in answer.text


def test_a_password_and_mcp_do_not_go_together(tmp_path: Path) -> None:
    """With a password tool calls failed, yet the schema was served without login."""
    settings = Settings(mcp=True, auth="me:secret", gallery=str(tmp_path))
    with pytest.raises(SettingsError, match="without asking for the password"):
        launch(None, settings)  # type: ignore[arg-type]
