"""What the tab Chat draws beside the conversation: its pictures, one of them opened, the saved list.

Cells carry `data-pick`: "read:KEY" sets a picture aside or takes it back, "open:KEY" opens it, "region:KEY"
asks about the marked region, "saved:KEY" opens a conversation, "damaged:KEY" deletes one. Not covered: the
events (chat_handlers.py), marking (region.js).
"""

from __future__ import annotations

from collections.abc import Sequence

from sugar.images import thumbnail
from sugar.services.conversation import Attachment, Conversation, SavedConversation
from sugar.ui.components import data_uri, escape, jpeg_uri
from sugar.ui.text import chat as words

__all__ = ["damaged_list", "opened_picture", "picture_strip", "saved_list"]


def picture_strip(talk: Conversation) -> str:
    """The pictures of a conversation in order, each with a switch: read or set aside."""
    cells = [_cell(n, picture, talk) for n, picture in enumerate(talk.pictures, 1)]
    if not cells:
        return ""
    return f'<h4>{words.PICTURES}</h4><ol class="sugar-read" role="list">{"".join(cells)}</ol>'


def _cell(number: int, picture: Attachment, talk: Conversation) -> str:
    read = picture.key not in talk.set_aside
    state = words.READ if read else words.SET_ASIDE
    open_label, read_label = words.OPEN_PICTURE.format(n=number), words.READ_LABEL.format(n=number)
    return (
        f'<li><button type="button" data-pick="open:{picture.key}" aria-label="{open_label}">'
        f'<img src="{data_uri(picture.image)}" alt="{words.PICTURE.format(n=number)}"></button>'
        f'<button type="button" data-pick="read:{picture.key}" role="switch" '
        f'aria-checked="{str(read).lower()}" aria-label="{read_label}">{number} · {state}</button></li>'
    )


def opened_picture(number: int, picture: Attachment) -> str:
    """One picture, large, on which a region can be marked."""
    label = words.REGION_LABEL.format(n=number)
    return (
        f'<p class="sugar-hint">{words.REGION}</p>'
        f'<div class="sugar-region" tabindex="0" role="application" aria-label="{label}">'
        f'<img src="{jpeg_uri(thumbnail(picture.image, 768))}" alt="{words.PICTURE.format(n=number)}" '
        f'draggable="false"><i></i></div>'
        f'<div class="sugar-row"><button type="button" class="sugar-button" data-pick="region:{picture.key}">'
        f'{words.ASK_REGION}</button><button type="button" class="sugar-button" data-pick="close:">'
        f"{words.CLOSE}</button></div>"
    )


def saved_list(saved: Sequence[SavedConversation], current: str) -> str:
    """The saved conversations as buttons, newest first."""
    if not saved:
        return f'<p class="sugar-hint">{words.NONE_SAVED}</p>'
    items = "".join(
        f'<li><button type="button" class="sugar-button" data-pick="saved:{entry.key}" '
        f'aria-current="{str(entry.key == current).lower()}" '
        f'aria-label="{escape(words.OPEN_SAVED.format(title=entry.title))}">{escape(entry.title)}</button></li>'
        for entry in saved[:200]
    )
    return f'<ul class="sugar-list" role="list">{items}</ul>'


def damaged_list(damaged: Sequence[SavedConversation]) -> str:
    """The conversations that cannot be read, each with a button that deletes it."""
    items = "".join(
        f'<li>{words.DAMAGED.format(day=entry.title)} <button type="button" class="sugar-button" '
        f'data-pick="damaged:{entry.key}" aria-label="{words.DELETE_DAMAGED.format(day=entry.title)}">'
        f"{words.DELETE}</button></li>"
        for entry in damaged[:200]
    )
    return f'<ul class="sugar-list" role="list">{items}</ul>' if items else ""
