"""The endpoint /search: the same service for programs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr

from sugar.errors import InputError
from sugar.services.query import QueryPart, SearchQuery, day
from sugar.services.search import SearchRequest, SearchService
from sugar.settings import Settings
from sugar.ui.context import AppContext
from sugar.ui.incoming import number, picture, text
from sugar.ui.results import as_json

__all__ = ["offer", "parts_of"]

MOST_HITS = 48


def offer(app: AppContext, service: SearchService) -> None:
    """Make the endpoint."""

    def search(
        request: gr.Request,
        query: Any,
        gallery: str = "sample",
        mode: str = "pictures",
        k: int = 12,
        rerank: bool = True,
        confirm: bool = False,
        after: str = "",
        before: str = "",
        name: str = "",
        caption: str = "",
        min_side: int = 0,
        thumbnails: bool = False,
    ) -> dict[str, Any]:
        """Search a gallery. query: a text in the language of the search box, or a list of {"text": ...} and
        {"picture": file} with an optional "weight", in order. mode: pictures, story (runs of pictures) or
        positions (hits for every part). confirm: the model's own yes or no orders the first six, where it can
        judge such a query. after, before: days as 2025-01-31. thumbnails: each picture as a data URI."""
        asked = query_of(query, app.settings)
        conditions = replace(
            asked.conditions,
            after=day(after, "after") or asked.conditions.after,
            before=day(before, "before") or asked.conditions.before,
            name=text(name, app.settings, required=False) or asked.conditions.name,
            caption=text(caption, app.settings, required=False) or asked.conditions.caption,
            min_side=int(number(min_side or 0, 0, 1e6, "The shorter side")) or asked.conditions.min_side,
        )
        most = int(number(k, 1, MOST_HITS, "The number of hits"))
        wanted = replace(asked, conditions=conditions)
        visitor = app.visitor(request)
        checked: Any = mode  # SearchRequest refuses an unknown one
        result = service.search(
            visitor, SearchRequest(wanted, gallery, checked, most, bool(rerank), bool(confirm))
        )
        opened = app.gallery(request, gallery)
        return {
            "mode": mode,
            "gallery": gallery,
            "groups": [[as_json(h, opened, thumbnails) for h in group] for group in result.groups],
            "unknown_words": list(result.unknown_words),
            "close": result.close,
            "confirmed": result.confirmed,
            "without_vectors": result.without_vectors,
        }

    gr.api(app.guarded(search), api_name="search", **app.on_model)


def query_of(query: Any, settings: Settings) -> SearchQuery:
    """A program's query. Raises InputError."""
    if isinstance(query, str):
        return SearchQuery.of_text(text(query, settings))
    return SearchQuery(parts_of([query] if isinstance(query, dict) else query, settings))


def parts_of(query: Any, settings: Settings) -> tuple[QueryPart, ...]:
    """A list of texts, {"text": ...} or {"picture": file}, each with an optional "weight".

    Raises InputError.
    """
    if not isinstance(query, list) or not 1 <= len(query) <= settings.max_pictures:
        raise InputError(
            f'A query is a list of 1 to {settings.max_pictures} parts, each {{"text": ...}} or '
            '{"picture": file}, with an optional "weight".'
        )
    parts = []
    for part in query:
        part = {"text": part} if isinstance(part, str) else part
        known = isinstance(part, dict) and not set(part) - {"text", "picture", "weight"}
        if not known or ("text" in part) == ("picture" in part):
            raise InputError(
                'A part of a query is {"text": ...} or {"picture": file}, with an optional "weight".'
            )
        content = text(part["text"], settings) if "text" in part else picture(part["picture"], settings)
        parts.append(QueryPart(content, number(part.get("weight", 1), -5, 5, "A weight")))
    return tuple(parts)
