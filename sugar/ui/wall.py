"""A wall of pictures: rows that scroll with the page, an opened picture, and a bar for selected ones, in one
HTML component.

    wall = picture_wall("Pictures", elem_id="wall")
    wall.need(...), wall.open(...), wall.why(...), wall.download(...), wall.act(...)      # the browser asks
    listing_message(...), cells_message(name, cells), large_message(name, cell, image)      # answers

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

Section = tuple[str, Sequence[int], bool]
"""A heading or "", numbers of pictures, and whether they stand in one line."""

MOST = 200
LARGE = 2560
_SCRIPT = "sugarWall(element, props, trigger, watch); // asks by 'need', 'open', 'why', 'download' and 'act'"


def picture_wall(label: str, **settings: Any) -> gr.HTML:
    """The component. Its value is the last message of the server."""
    return gr.HTML(value="", label=label, html_template="", js_on_load=_SCRIPT, **settings)


def onward_buttons() -> dict[str, gr.Button]:
    """Hidden buttons that the wall presses: {what pictures are handed to: button}."""
    return {
        to: gr.Button(text, visible="hidden", elem_id=f"wall-to-{to}") for to, text in words.ONWARD.items()
    }


def listing_message(
    name: str,
    sections: Sequence[Section],
    shapes: Mapping[int, float],
    *,
    gallery: str = "",
    order: str = "",
    dated: bool = False,
    notes: Sequence[tuple[str, str]] = (),
    can: Iterable[str] = (),
    targets: Sequence[str] = (),
    leaving: int = 0,
    stale: Sequence[int] | None = (),
) -> str:
    """All that the wall shows, in order.

    Args:
        name: of what is shown. Another name, or another order, begins at the top.
        sections: see `Section`.
        shapes: {number: width / height}; 1 where it is not known.
        gallery: its name, for the address of an opened picture.
        dated: whether sections are months: short ones share a row, and a scrubber stands at the side.
        notes: (class, text) of lines above the pictures.
        can: select, download, edit, explain.
        targets: galleries that pictures can be moved to.
        leaving: how many deleted ones can be brought back.
        stale: numbers whose cells the browser must ask for again; None for all.
    """
    return json.dumps(
        {
            "kind": "listing",
            "name": name,
            "gallery": gallery,
            "order": order,
            "dated": dated,
            "sections": [
                [head, list(ids), [round(shapes.get(n, 1.0), 2) for n in ids], line]
                for head, ids, line in sections
            ],
            "notes": [list(note) for note in notes],
            "can": list(can),
            "targets": list(targets),
            "leaving": leaving,
            "stale": None if stale is None else list(stale),
            "onward": [[f"#wall-to-{to}", text] for to, text in words.ONWARD.items()],
            "words": words.BUTTONS,
        }
    )


def cell_data(id: int, name: str, caption: str, *, line: str = "", **more: Any) -> dict[str, Any]:
    """One cell. line: always in sight. more: favourite, by_model, about; score, where it is asked for."""
    return {"id": id, "name": name, "caption": caption, "line": line, **more}


def cells_message(name: str, cells: Iterable[tuple[Mapping[str, Any], bytes]]) -> str:
    """(cell, its JPEG) of those that the browser asked for. name: of the listing that they belong to."""
    drawn = [{**cell, "thumb": jpeg_uri(jpeg)} for cell, jpeg in cells]
    return json.dumps({"kind": "cells", "name": name, "cells": drawn})


def large_message(name: str, cell: Mapping[str, Any], image: Any) -> str:
    """One picture as large as it is kept. name: of its listing."""
    src = jpeg_uri(thumbnail(image, LARGE, quality=88))
    return json.dumps({"kind": "large", "name": name, "id": cell["id"], "cell": dict(cell), "src": src})


def why_message(name: str, id: int, html: str) -> str:
    """Why a picture was found. html: of ours, every word in it escaped."""
    return json.dumps({"kind": "why", "name": name, "id": id, "html": html})


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
