"""A wall of pictures: a virtual grid with a lightbox and a bar for selected ones, in one HTML component.

    wall = picture_wall("Pictures", elem_id="gallery-grid")
    wall.need(...), wall.open(...), wall.download(...), wall.act(...)      # the browser asks
    listing_message(...), cells_message(name, cells), large_message(name, cell, image, about)      # answers

Pictures travel inside messages (data URIs of small JPEGs): nothing of them lies in a file that the server
serves. The browser's part is static/wall/. Not covered: what a tab shows on its wall.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gradio as gr

from sugar.errors import InputError
from sugar.images import thumbnail
from sugar.ui.components import jpeg_uri
from sugar.ui.text import wall as words

__all__ = [
    "cell_data",
    "cells_message",
    "id_of",
    "ids_of",
    "large_message",
    "listing_message",
    "onward_of",
    "picture_wall",
]

MOST = 200
LARGE = 2560
_SCRIPT = "sugarWall(element, props, trigger, watch); // asks by 'need', 'open', 'download' and 'act'"


def picture_wall(label: str, **settings: Any) -> gr.HTML:
    """The component. Its value is the last message of the server."""
    return gr.HTML(value="", label=label, html_template="", js_on_load=_SCRIPT, **settings)


def onward_of(tab: str) -> dict[str, Any]:
    """Hidden buttons that the wall of a tab presses: {other tab: button}, and "similar"."""
    named = words.ONWARD | {"similar": words.SIMILAR}
    return {to: gr.Button(text, visible="hidden", elem_id=f"{tab}-to-{to}") for to, text in named.items()}


def listing_message(
    tab: str,
    name: str,
    sections: Sequence[tuple[str, Sequence[int], bool]],
    *,
    order: str = "",
    notes: Sequence[tuple[str, str]] = (),
    can: Iterable[str] = (),
    targets: Sequence[str] = (),
    leaving: int = 0,
    stale: Sequence[int] | None = (),
) -> str:
    """All that the wall shows, in order.

    Args:
        tab: whose wall it is; its `onward_of` buttons are pressed.
        name: of what is shown. Another name, or another order, begins at the top.
        sections: (heading or "", ids, whether they stand in one line).
        notes: (class, text) of lines above the pictures.
        can: select, download, edit.
        targets: galleries that pictures can be moved to.
        leaving: how many deleted ones can be brought back.
        stale: ids whose cells the browser must ask for again; None for all.
    """
    onward = [[f"#{tab}-to-{to}", text] for to, text in words.ONWARD.items()]
    return json.dumps(
        {
            "kind": "listing",
            "name": name,
            "order": order,
            "sections": [[head, list(ids), line] for head, ids, line in sections],
            "notes": [list(note) for note in notes],
            "can": list(can),
            "targets": list(targets),
            "leaving": leaving,
            "stale": None if stale is None else list(stale),
            "similar": [[f"#{tab}-to-similar", words.SIMILAR]],
            "onward": onward,
            "words": words.BUTTONS,
        }
    )


def cell_data(id: int, name: str, caption: str, *, line: str = "", **more: Any) -> dict[str, Any]:
    """One cell. line: under its name. more: score, shown when it is asked for; favourite; by_model."""
    return {"id": id, "name": name, "caption": caption, "line": line, **more}


def cells_message(name: str, cells: Iterable[tuple[Mapping[str, Any], bytes]]) -> str:
    """(cell, its JPEG) of those that the browser asked for. name: of the listing that they belong to."""
    drawn = [{**cell, "thumb": jpeg_uri(jpeg)} for cell, jpeg in cells]
    return json.dumps({"kind": "cells", "name": name, "cells": drawn})


def large_message(name: str, cell: Mapping[str, Any], image: Any, about: str, html: str = "") -> str:
    """One picture for the lightbox. name: of its listing. html: of ours, beneath the picture."""
    src = jpeg_uri(thumbnail(image, LARGE, quality=88))
    shown = {"src": src, "about": about, "html": html}
    return json.dumps({"kind": "large", "name": name, "id": cell["id"], "cell": dict(cell), **shown})


def ids_of(event: gr.EventData, most: int = MOST) -> list[int]:
    """The ids of an event. Raises InputError for anything else: the browser can send what it likes."""
    given = getattr(event, "ids", None)
    if not isinstance(given, list) or len(given) > most or not all(type(i) is int for i in given):
        raise InputError(f"Choose at most {most:,} pictures.")
    return [i for i in given if 0 <= i < 2**62]


def id_of(event: gr.EventData) -> int:
    """The id of the picture that is to be opened. Raises InputError."""
    given = getattr(event, "id", None)
    if type(given) is not int or not 0 <= given < 2**62:
        raise InputError(words.OPEN_FIRST)
    return given
