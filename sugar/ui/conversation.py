"""A conversation as the page holds it: one list of messages, the only copy there is.

    messages = checked(history, settings)                     # either shape, from the page or a program; unknown things are refused
    said = user_message(parts, visitor)                       # texts and pictures -> a message; pictures become clean files of the visitor
    turns = to_turns([*messages, said], settings)             # -> sugar.sequence.Turn, for the model
    to_json(messages, settings), from_json(data, visitor, settings)      # a file to keep, pictures inside

A message is {"role", "content": [{"type": "text", "text"} | {"type": "file", "file": {"path"}}, ...]}. The first text of an answer is the
answer; a second one is the line about its speed and is not read back to the model.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Sequence
from typing import Any, Literal

from PIL import Image

from sugar.errors import InputError, SugarError
from sugar.images import Limits, open_image
from sugar.sequence import Sample, Turn
from sugar.settings import Settings
from sugar.ui.incoming import MAX_SIDE, picture, text
from sugar.ui.visitors import Visitor

__all__ = ["checked", "from_json", "last_parts", "to_json", "to_turns", "user_message"]

MAX_MESSAGES = 200
FORMAT = 1
Part = str | Image.Image
Message = dict[str, Any]


def keep_picture(image: Image.Image, visitor: Visitor) -> str:
    """A clean copy in the visitor's folder: lossless where small, so that what is seen again is what was seen before."""
    out = io.BytesIO()
    if image.width * image.height <= 512 * 512:
        image.save(out, "PNG")
        return visitor.keep(out.getvalue(), ".png")
    image.save(out, "JPEG", quality=92)
    return visitor.keep(out.getvalue(), ".jpg")


def _file(path: str, alt: str) -> dict[str, Any]:
    mime = "image/png" if path.endswith(".png") else "image/jpeg"
    return {"type": "file", "file": {"path": path, "mime_type": mime}, "alt_text": alt}


def user_message(parts: Sequence[Part], visitor: Visitor) -> Message:
    """Texts and pictures, in order, as a message of the person's."""
    content: list[Any] = []
    for n, part in enumerate(parts, 1):
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
        else:
            content.append(_file(keep_picture(part, visitor), f"picture {n} of your message"))
    return {"role": "user", "content": content}


def checked(history: Any, settings: Settings) -> list[Message]:
    """The messages, in one shape. Raises InputError: not a conversation, too long, or with anything but texts and pictures."""
    if history is None:
        return []
    if not isinstance(history, list) or len(history) > MAX_MESSAGES:
        raise InputError(f"A conversation is a list of at most {MAX_MESSAGES} messages. Clear it and begin a new one.")
    return [_message(m, settings) for m in history]


def _message(message: Any, settings: Settings) -> Message:
    if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
        raise InputError('A message has a role, "user" or "assistant", and a content.')
    content = message.get("content")
    items = content if isinstance(content, list) else [content]
    if not items:
        raise InputError("A message is empty.")
    return {"role": message["role"], "content": [_item(item, settings) for item in items]}


def _item(item: Any, settings: Settings) -> dict[str, Any]:
    if isinstance(item, str):
        item = {"type": "text", "text": item}
    if isinstance(item, dict) and isinstance(item.get("text"), str):
        return {"type": "text", "text": text(item["text"], settings, required=False)}
    file = item.get("file", item) if isinstance(item, dict) else None
    if isinstance(file, dict) and isinstance(file.get("path"), str):
        alt = item.get("alt_text")
        return _file(file["path"], alt if isinstance(alt, str) else "picture")
    raise InputError("A message holds texts and pictures, nothing else.")


def parts_of(message: Message, settings: Settings) -> list[Part]:
    """What a message says to the model; of an answer only its first text. Opens pictures through sugar/images.py."""
    out: list[Part] = []
    for item in message["content"]:
        if item["type"] == "file":
            out.append(picture(item["file"]["path"], settings))
        elif item["text"].strip():
            out.append(item["text"])
        if message["role"] == "assistant" and out:
            break
    return out


def to_turns(messages: Sequence[Message], settings: Settings) -> list[Turn]:
    """Raises InputError when it does not end with the person's turn, or holds too many pictures."""
    count = sum(item["type"] == "file" for m in messages for item in m["content"])
    if count > settings.max_pictures:
        raise InputError(f"The conversation holds {count} pictures; {settings.max_pictures} is the limit. Clear it and begin a new one.")
    turns = []
    for message in messages:
        parts = parts_of(message, settings)
        if parts:
            role: Literal["user", "assistant"] = message["role"]
            turns.append(Turn(role, Sample(parts)))
    if not turns or turns[-1].role != "user":
        raise InputError("There is nothing to answer yet. Type a question or add a picture.")
    return turns


def last_parts(history: Any, settings: Settings) -> list[Part]:
    """What the person said last, for another tab; pictures of the whole conversation when that was only words."""
    asked = [m for m in checked(history, settings) if m["role"] == "user"]
    if not asked:
        return []
    parts = parts_of(asked[-1], settings)
    if not any(isinstance(p, Image.Image) for p in parts):
        earlier: list[Part] = [p for m in asked[:-1] for p in parts_of(m, settings) if isinstance(p, Image.Image)]
        parts = earlier + parts
    return parts


def as_message_value(parts: Sequence[Part], visitor: Visitor) -> dict[str, Any]:
    """Parts as the value of the message box: pictures as files, "[1]" where one stands between words."""
    files: list[str] = []
    words: list[str] = []
    for part in parts:
        if isinstance(part, str):
            words.append(part)
        else:
            files.append(keep_picture(part, visitor))
            if words:
                words.append(f"[{len(files)}]")
    if any(re.fullmatch(r"\[\d+\]", w) for w in words):  # one is named: name them all, so that the order stands
        leading = [f"[{n}]" for n in range(1, len(files) + 1) if f"[{n}]" not in words]
        words = leading + words
    return {"text": " ".join(words), "files": files}


def to_json(messages: Sequence[Message], settings: Settings) -> str:
    """The conversation as a text file with its pictures inside."""
    out = []
    for message in messages:
        content = []
        for item in message["content"]:
            if item["type"] == "file":
                image = picture(item["file"]["path"], settings)
                data = io.BytesIO()
                image.save(data, "PNG") if image.width * image.height <= 512 * 512 else image.save(data, "JPEG", quality=92)
                content.append({"picture": base64.b64encode(data.getvalue()).decode()})
            else:
                content.append({"text": item["text"]})
        out.append({"role": message["role"], "content": content})
    return json.dumps({"sugar_conversation": FORMAT, "messages": out}, ensure_ascii=False, indent=1)


def from_json(data: bytes, visitor: Visitor, settings: Settings) -> list[Message]:
    """The messages of a saved file. Raises InputError for anything that `to_json` does not write, ImageError for a bad picture."""
    wrong = InputError("This is not a conversation that Sugar saved. Choose a file from the Save button.")
    try:
        saved = json.loads(data)
        if saved["sugar_conversation"] != FORMAT or not isinstance(saved["messages"], list) or len(saved["messages"]) > MAX_MESSAGES:
            raise wrong
        messages = []
        for message in saved["messages"]:
            content = []
            for item in message["content"]:
                if "picture" in item:
                    limits = Limits(max_bytes=settings.max_upload_mb * 1_000_000)
                    image = open_image(base64.b64decode(item["picture"], validate=True), limits=limits, max_side=MAX_SIDE).image
                    content.append(_file(keep_picture(image, visitor), "picture"))
                else:
                    content.append({"type": "text", "text": item["text"]})
            messages.append({"role": message["role"], "content": content})
    except SugarError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise wrong from None
    return checked(messages, settings)
