"""Conversations as files: one line of JSON for the conversation, then one line per message, pictures inside.

    data = to_bytes(talk)                            # what Export hands out
    talk = from_bytes(data, limits)                  # raises InputError for anything else
    kept = SavedConversations(folder)                # the list on one's own machine
    talk = kept.save(talk); kept.list(); kept.load(key); kept.rename(key, "Holiday"); kept.delete(key)

The first line is enough for the list, however many pictures follow. A file is written whole, then replaced.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sugar.errors import InputError, SugarError
from sugar.images import GALLERY_ITEM, ImageLimits, open_image
from sugar.services.conversation import Attachment, Conversation, Message
from sugar.services.generation import Generated

__all__ = ["FOLDER", "SavedConversation", "SavedConversations", "from_bytes", "to_bytes"]

FOLDER = ".conversations"
"""The folder of saved conversations, inside the folder of the galleries."""

log = logging.getLogger("sugar")

FORMAT = 2
MAX_MESSAGES = 1000
MAX_TITLE = 80
_KEY = re.compile(r"[0-9a-f]{16}")


def to_bytes(talk: Conversation) -> bytes:
    """The conversation as UTF-8 lines of JSON."""
    head = {
        "sugar_conversation": FORMAT,
        "title": talk.name,
        "system": talk.system,
        "leaf": talk.leaf,
        "set_aside": sorted(talk.set_aside),
        "items": sorted(talk.items),
    }
    lines = [head, *(_line(message) for message in talk.messages)]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def _line(message: Message) -> dict[str, Any]:
    parts = [{"text": p} if isinstance(p, str) else _picture(p) for p in message.parts]
    line: dict[str, Any] = {"role": message.role, "parent": message.parent, "parts": parts}
    if message.answer is not None:
        answer = message.answer
        line["answer"] = [answer.tokens, answer.first, answer.seconds, answer.ended]
        line["read"] = list(message.read)
    return line


def _picture(picture: Attachment) -> dict[str, str]:
    line = {"picture": base64.b64encode(picture.data).decode()}
    if picture.items:
        line["item"] = picture.items[0]
    return line


def from_bytes(data: bytes, limits: ImageLimits | None = None, key: str = "") -> Conversation:
    """A conversation that `to_bytes` wrote.

    Args:
        key: its file in the list. Without one it came from elsewhere, and its pictures belong to no gallery
            of this machine.

    Raises:
        InputError: the file is not one.
        ImageError: a picture in it cannot be opened.
    """
    wrong = InputError("This is not a conversation that Sugar saved. Choose a file from Export.")
    try:
        head, *lines = data.decode().splitlines()
        told = json.loads(head)
        if told["sugar_conversation"] != FORMAT or len(lines) > MAX_MESSAGES:
            raise wrong
        renamed: dict[str, str] = {}
        limits = limits or ImageLimits()
        messages = tuple(_message(json.loads(line), limits, renamed, own=bool(key)) for line in lines)
        talk = Conversation(
            messages, _index(told["leaf"], len(messages)), _text(told["system"]), _text(told["title"]), key
        )
        if any(not -1 <= m.parent < i for i, m in enumerate(messages)):
            raise wrong
        return replace(talk, set_aside=frozenset(renamed[k] for k in told["set_aside"]))
    except SugarError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise wrong from None


def _message(line: Any, limits: ImageLimits, renamed: dict[str, str], *, own: bool) -> Message:
    """One message. Pictures are encoded anew, so `renamed` collects their keys in the file and here."""
    parts: list[str | Attachment] = []
    for part in line["parts"]:
        if "picture" in part:
            data = base64.b64decode(part["picture"], validate=True)
            image = open_image(data, limits=limits).image
            if own and "item" in part:
                image.info[GALLERY_ITEM] = _text(part["item"])
            picture = Attachment.of(image)
            renamed[Attachment(picture.image, data, "").key] = picture.key
            parts.append(picture)
        else:
            parts.append(_text(part["text"]))
    if line["role"] == "user":
        return Message("user", tuple(parts), int(line["parent"]))
    if line["role"] != "assistant" or len(parts) != 1 or not isinstance(parts[0], str):
        raise ValueError("not an answer")
    tokens, first, seconds, ended = line["answer"]
    answer = Generated(parts[0], int(tokens), float(first), float(seconds), _text(ended))
    read = tuple(renamed[k] for k in line["read"])
    return Message("assistant", tuple(parts), int(line["parent"]), answer, read)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value


def _index(value: Any, count: int) -> int:
    if not -1 <= int(value) < count:
        raise ValueError("not a message of this conversation")
    return int(value)


def _items(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8") as lines:
            return [str(item) for item in json.loads(lines.readline()).get("items", [])]
    except (OSError, ValueError, AttributeError, TypeError):
        return []


@dataclass(frozen=True)
class SavedConversation:
    """One entry of the list."""

    key: str
    title: str


class SavedConversations:
    """The conversations in a folder of one's own machine, newest first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list(self) -> list[SavedConversation]:
        """All entries. A file that cannot be read is left out."""
        return [entry for path in self._files() if (entry := self._entry(path)) is not None]

    def _files(self) -> Iterator[Path]:
        files = [p for p in self.folder.glob("*.jsonl") if _KEY.fullmatch(p.stem)]
        yield from sorted(files, key=lambda p: p.stat().st_mtime, reverse=True)

    def _entry(self, path: Path) -> SavedConversation | None:
        try:
            with path.open(encoding="utf-8") as lines:
                return SavedConversation(path.stem, str(json.loads(lines.readline())["title"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, talk: Conversation) -> Conversation:
        """Write it; the conversation with its key."""
        talk = talk if talk.key else replace(talk, key=secrets.token_hex(8))
        path = self._path(talk.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part")
        with beside.open("wb") as out:
            out.write(to_bytes(talk))
            out.flush()
            os.fsync(out.fileno())
        os.replace(beside, path)
        return talk

    def items(self) -> set[str]:
        """The gallery items whose pictures the saved conversations hold. Reads first lines only."""
        return {item for path in self._files() for item in _items(path)}

    def forget(self, items: set[str]) -> None:
        """Take the pictures of these gallery items out of every file. The order of the list stays."""
        for path in self._files():
            if items.isdisjoint(_items(path)):
                continue
            try:
                when = path.stat()
                self.save(self.load(path.stem).without(items))
                os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns))
            except (SugarError, OSError) as error:
                log.warning("a deleted picture is still in conversation %s: %s", path.stem, error)

    def load(self, key: str) -> Conversation:
        """Raises InputError when there is none."""
        path = self._path(key)
        if not path.is_file():
            raise InputError("This conversation is no longer there.")
        return from_bytes(path.read_bytes(), key=key)

    def rename(self, key: str, title: str) -> Conversation:
        """Raises InputError: an empty title, or no such conversation."""
        title = " ".join(title.split())[:MAX_TITLE]
        if not title:
            raise InputError("The title is empty. Type some words.")
        return self.save(replace(self.load(key), title=title))

    def delete(self, key: str) -> None:
        """Remove it. Raises InputError when there is none."""
        path = self._path(key)
        if not path.is_file():
            raise InputError("This conversation is no longer there.")
        path.unlink()

    def _path(self, key: str) -> Path:
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise InputError("This conversation is no longer there.")
        return self.folder / f"{key}.jsonl"
