"""A conversation: a tree of messages as a value, of which one branch is on show; and its file.

    talk = Conversation().asked([picture, "what is it?"])      # a new value; the old one is unchanged
    talk = talk.answered(generated)                            # the answer to the last question
    talk = talk.up_to(0).answered(other)                       # a second version of the answer
    talk.turns()                                               # what the model reads
    data = to_bytes(talk); talk = from_bytes(data, limits)     # Export and Import
    kept = SavedConversations(folder)                          # the list on one's own machine, newest first
    kept.delete(key); kept.undo(key)                           # within ten seconds

A picture that is set aside stays in the conversation, but the next question does not read it. A file is one
line of JSON for the conversation, then one per message, pictures inside; the first is enough for the list.
"""

from __future__ import annotations

import atexit
import base64
import hashlib
import io
import json
import logging
import os
import re
import secrets
import threading
from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from sugar import text_files
from sugar.atomic import sweep, write_whole
from sugar.errors import ImageError, InputError, NotSavedError, SugarError
from sugar.images import GALLERY_ITEM, ImageLimits, gallery_items, open_image, thumbnail
from sugar.sequence import Sample, Turn
from sugar.services.workspace import Generated
from sugar.text_files import clean_text

SMALL = 512 * 512
"""Pixels up to which a picture is kept without loss."""

SET_ASIDE = "(a picture that was set aside)"
"""What the model reads of a message whose only picture is set aside."""


DELETED = "(a picture that was deleted)"
"""What stands in the place of a gallery picture that no gallery has any more."""


@dataclass(frozen=True, eq=False)
class Attachment:
    """A picture of a conversation: its pixels, and the encoded bytes that are shown and saved."""

    image: Image.Image
    data: bytes
    suffix: str

    @classmethod
    def of(cls, image: Image.Image) -> Attachment:
        """Encode a picture: PNG when it is small, so that nothing is lost; JPEG otherwise."""
        out = io.BytesIO()
        if image.width * image.height <= SMALL:
            image.save(out, "PNG")
            return cls(image, out.getvalue(), ".png")
        image.save(out, "JPEG", quality=92)
        return cls(image, out.getvalue(), ".jpg")

    @property
    def key(self) -> str:
        """The same bytes have the same key."""
        return hashlib.sha256(self.data).hexdigest()[:16]

    @property
    def items(self) -> list[str]:
        """The gallery item that it shows, by its SHA-256; empty when it came otherwise."""
        return gallery_items(self.image)


Part = str | Attachment


@dataclass(frozen=True, eq=False)
class Message:
    """One message.

    Attributes:
        role: who says it.
        parts: texts and pictures, in order.
        parent: index of the message before it; -1 for a first message.
        answer: how an answer was generated; None for a question.
        read: keys of the pictures that an answer read, in order.
    """

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]
    parent: int = -1
    answer: Generated | None = None
    read: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All its texts, joined by newlines."""
        return "\n".join(p for p in self.parts if isinstance(p, str))

    @property
    def contents(self) -> list[str | Image.Image]:
        """Its texts and pictures, in order."""
        return [p if isinstance(p, str) else p.image for p in self.parts]

    @property
    def pictures(self) -> list[Attachment]:
        """Its pictures, in order."""
        return [p for p in self.parts if isinstance(p, Attachment)]


@dataclass(frozen=True, eq=False)
class Conversation:
    """See the module docstring.

    Attributes:
        messages: the whole tree; a message's parent stands before it.
        leaf: index of the last message on show; -1 when nothing is on show.
        system: instructions that stand before the conversation.
        title: its name in the list; the first words when empty.
        key: its file in the list; "" when it is not saved.
        set_aside: keys of the pictures that the next question does not read.
        unsaved: why the last change is not in its file; "" when it is, or when there is no list.
    """

    messages: tuple[Message, ...] = ()
    leaf: int = -1
    system: str = ""
    title: str = ""
    key: str = ""
    set_aside: frozenset[str] = field(default_factory=frozenset)
    unsaved: str = ""

    @property
    def branch(self) -> list[int]:
        """Indexes of the messages on show, first to last."""
        out, at = [], self.leaf
        while at >= 0:
            out.append(at)
            at = self.messages[at].parent
        return out[::-1]

    @property
    def shown(self) -> list[Message]:
        """The messages on show, first to last."""
        return [self.messages[i] for i in self.branch]

    @property
    def pictures(self) -> list[Attachment]:
        """The pictures on show, each once. A picture's number on the page is its place in this list."""
        return list({p.key: p for m in self.shown for p in m.pictures}.values())

    @property
    def read(self) -> tuple[str, ...]:
        """Keys of the pictures that the next answer reads, in order."""
        return tuple(p.key for p in self.pictures if p.key not in self.set_aside)

    def asked(self, parts: Sequence[str | Image.Image | Attachment]) -> Conversation:
        """With a question of the person's after the last message. Raises InputError when it is empty."""
        made = tuple(Attachment.of(p) if isinstance(p, Image.Image) else p for p in parts)
        if not any(isinstance(p, Attachment) or p.strip() for p in made):
            raise InputError("The message is empty. Type a question or add a picture.")
        return self._with(Message("user", made, self.leaf))

    def answered(self, answer: Generated) -> Conversation:
        """With an answer, or a part of one, after the last message."""
        return self._with(Message("assistant", (answer.text,), self.leaf, answer, self.read))

    def said(self, text: str, pictures: Sequence[Image.Image] = ()) -> Conversation:
        """With an answer that was not generated here. The next question reads the first of its pictures."""
        made = [Attachment.of(p) for p in pictures]
        talk = self._with(Message("assistant", (text, *made), self.leaf))
        aside = {p.key for p in talk.pictures} - {p.key for p in made[:1]} if made else self.set_aside
        return replace(talk, set_aside=frozenset(aside))

    def cut_off(self) -> Conversation:
        """With "stopped" under an answer whose end nobody waited for."""
        last = self.shown[-1] if self.shown else None
        if last is None or (last.role == "assistant" and (last.answer is None or last.answer.ended)):
            return self
        if last.role == "user":
            return self.answered(Generated(ended="stopped"))
        assert last.answer is not None
        ended = replace(last, answer=replace(last.answer, ended="stopped"))
        return replace(self, messages=(*self.messages[: self.leaf], ended, *self.messages[self.leaf + 1 :]))

    def _with(self, message: Message) -> Conversation:
        return replace(self, messages=(*self.messages, message), leaf=len(self.messages))

    def question(self, index: int | None = None) -> int:
        """Index of the question at or before a message on show. Raises InputError when there is none."""
        branch = self.branch
        end = branch.index(index) if index in branch else len(branch) - 1
        for at in reversed(branch[: end + 1]):
            if self.messages[at].role == "user":
                return at
        raise InputError("There is no question to go back to.")

    def up_to(self, index: int) -> Conversation:
        """On show up to a message. What followed it stays as another branch."""
        return replace(self, leaf=index)

    def before(self, index: int) -> Conversation:
        """On show up to the message before `index`."""
        return replace(self, leaf=self.messages[index].parent)

    def versions(self, index: int) -> list[int]:
        """Indexes of the messages at the same place as `index`, itself included."""
        own = self.messages[index]
        return [i for i, m in enumerate(self.messages) if (m.parent, m.role) == (own.parent, own.role)]

    def fork(self) -> int | None:
        """The last message on show that has other versions; None when there is none."""
        return next((i for i in reversed(self.branch) if len(self.versions(i)) > 1), None)

    def version(self, index: int, step: int) -> Conversation:
        """On show: the version `step` places further, and what follows it. At an end nothing changes."""
        known = self.versions(index)
        at = known[min(max(known.index(index) + step, 0), len(known) - 1)]
        following = [i for i, m in enumerate(self.messages) if m.parent == at]
        while following:
            at = following[-1]
            following = [i for i, m in enumerate(self.messages) if m.parent == at]
        return replace(self, leaf=at)

    def focused(self) -> Conversation:
        """With all pictures set aside but those of the last message, when it has any."""
        own = {p.key for p in self.shown[-1].pictures} if self.shown else set()
        return replace(self, set_aside=frozenset({p.key for p in self.pictures} - own)) if own else self

    def toggled(self, key: str) -> Conversation:
        """With a picture set aside, or taken back."""
        return replace(self, set_aside=self.set_aside ^ {key})

    @property
    def items(self) -> set[str]:
        """The gallery items whose pictures it holds, in any version."""
        return {item for m in self.messages for p in m.pictures for item in p.items}

    def without(self, items: Set[str]) -> Conversation:
        """With a line of words in the place of the pictures of these gallery items."""
        if not items & self.items:
            return self
        kept = tuple(
            replace(
                m,
                parts=tuple(
                    p if isinstance(p, str) or items.isdisjoint(p.items) else DELETED for p in m.parts
                ),
            )
            for m in self.messages
        )
        keys = {p.key for m in kept for p in m.pictures}
        read = tuple(replace(m, read=tuple(k for k in m.read if k in keys)) for m in kept)
        return replace(self, messages=read, set_aside=self.set_aside & keys)

    def turns(self, memory: int | None = None) -> list[Turn]:
        """What the model reads. Raises InputError when it does not end with a question.

        memory: how many questions, the last ones; None for all. Pictures of earlier ones that are not set
        aside come first.
        """
        turns = [Turn("system", Sample(clean_text(self.system)))] if self.system.strip() else []
        asked = [n for n, m in enumerate(self.shown) if m.role == "user"]
        start = asked[-memory] if memory and len(asked) > memory else 0
        own = {p.key for m in self.shown[start:] for p in m.pictures}
        waiting: list[Part] = [
            p for p in self.pictures if p.key not in own
        ]  # models see pictures in questions
        for message in self.shown[start:]:
            said: Sequence[Part] = (*waiting, *message.parts)
            waiting = []
            if message.role == "assistant":
                said, waiting = [message.text], [p for p in said if not isinstance(p, str)]
            parts = [clean_text(p) if isinstance(p, str) else p.image for p in said if self._is_read(p)]
            if message.role == "assistant" and not parts:
                continue
            turns.append(Turn(message.role, Sample(parts or [SET_ASIDE])))
        if not turns or turns[-1].role != "user":
            raise InputError("There is nothing to answer yet. Type a question or add a picture.")
        return turns

    def _is_read(self, part: Part) -> bool:
        return bool(part.strip()) if isinstance(part, str) else part.key not in self.set_aside

    def last_question(self) -> list[str | Image.Image]:
        """What the person said last, for another tab; with all pictures on show when that was only words."""
        asked = [m for m in self.shown if m.role == "user"]
        if not asked:
            return []
        pictures = [] if asked[-1].pictures else [p.image for m in asked[:-1] for p in m.pictures]
        return [*pictures, *asked[-1].contents]

    @property
    def name(self) -> str:
        """Its title, or its first words."""
        words = self.title or next((m.text for m in self.messages if m.text.strip()), "")
        short = " ".join(clean_text(words).split())
        return short if len(short) <= 60 else short[:57] + "..."


# -- files

FOLDER = ".conversations"
"""The folder of saved conversations, inside the folder of the galleries."""

log = logging.getLogger("sugar")

FORMAT = 2
MAX_MESSAGES = 1000
MAX_TITLE = 80
THUMBNAIL = 64
"""Pixels of the longer side of the picture in the list."""
MAX_PIXELS = 4_000_000
"""Of one picture of a file from elsewhere: the page keeps pictures at 1,024 pixels a side."""
MAX_ALL_PIXELS = 60_000_000
"""Of all pictures of one conversation together: 180 MB of memory."""
GONE = "This conversation is no longer there."
LEAVING, UNDO_SECONDS = ".leaving", 10.0
"""Suffix of a deleted conversation's file, and how long it can be taken back."""
_KEY = re.compile(r"[0-9a-f]{16}")
_BASE64 = re.compile(r"[A-Za-z0-9+/=]{0,9999}")
_ITEM = re.compile(rb'"([0-9a-f]{64})"')


def to_bytes(talk: Conversation) -> bytes:
    """The conversation as UTF-8 lines of JSON."""
    head = {
        "sugar_conversation": FORMAT,
        "title": talk.name,
        "system": talk.system,
        "leaf": talk.leaf,
        "set_aside": sorted(talk.set_aside),
        "items": sorted(talk.items),
        "thumbnail": _thumbnail(talk),
    }
    lines = [head, *(_line(message) for message in talk.messages)]
    whole = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    return whole.encode(errors="backslashreplace")  # half a character becomes its own escape in JSON


def _line(message: Message) -> dict[str, Any]:
    parts = [{"text": p} if isinstance(p, str) else _picture(p) for p in message.parts]
    line: dict[str, Any] = {"role": message.role, "parent": message.parent, "parts": parts}
    if message.answer is not None:
        answer = message.answer
        line["answer"] = [answer.tokens, answer.first, answer.seconds, answer.ended]
        line["read"] = list(message.read)
    return line


def _thumbnail(talk: Conversation) -> str:
    """Its first picture, a small JPEG in base64; "" without one."""
    first = next((p for m in talk.messages for p in m.pictures), None)
    return base64.b64encode(thumbnail(first.image, THUMBNAIL, quality=70)).decode() if first else ""


def _picture(picture: Attachment) -> dict[str, str]:
    line = {"picture": base64.b64encode(picture.data).decode()}
    if picture.items:
        line["item"] = picture.items[0]
    return line


def from_bytes(data: bytes, limits: ImageLimits | None = None, key: str = "") -> Conversation:
    """A conversation that `to_bytes` wrote. Raises InputError: it is not one; ImageError: a broken picture.

    key: its file in the list. Without one it came from elsewhere, and its pictures belong to no gallery here.
    """
    wrong = InputError("This is not a conversation that Sugar saved. Choose a file from Export.")
    try:
        head, *lines = [line for line in text_files.lines(text_files.decode(data).text) if line.strip()]
        told = json.loads(head)
        if told["sugar_conversation"] != FORMAT or len(lines) > MAX_MESSAGES:
            raise wrong
        renamed: dict[str, str] = {}
        limits = limits or ImageLimits()
        limits = limits if key else replace(limits, max_pixels=min(limits.max_pixels, MAX_PIXELS))
        opened = _Opened(limits, own=bool(key))
        messages = tuple(_message(json.loads(line), opened, renamed) for line in lines)
        talk = Conversation(
            messages, _index(told["leaf"], len(messages)), _text(told["system"]), _text(told["title"]), key
        )
        if any(not -1 <= m.parent < i for i, m in enumerate(messages)):
            raise wrong
        return replace(talk, set_aside=frozenset(renamed[k] for k in told["set_aside"]))
    except ImageError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        raise wrong from None


class _Opened:
    """The pictures of one file: each is decoded once, however often it is named.

    Raises ImageError: one cannot be opened, or together they have too many pixels.
    """

    def __init__(self, limits: ImageLimits, *, own: bool) -> None:
        self.limits, self.own, self.pixels = limits, own, 0
        self._known: dict[tuple[str, str], tuple[Attachment, str]] = {}

    def open(self, part: dict[str, Any]) -> tuple[Attachment, str]:
        """(the picture, its key in the file)."""
        item = _text(part["item"]) if self.own and "item" in part else ""
        known = (_text(part["picture"]), item)
        if known not in self._known:
            data = base64.b64decode(part["picture"], validate=True)
            image = open_image(data, limits=self.limits).image
            self.pixels += image.width * image.height
            if self.pixels > MAX_ALL_PIXELS:
                raise ImageError(
                    f"The pictures of this conversation have more than {MAX_ALL_PIXELS // 1_000_000} million "
                    "pixels together. Take some out of it and export it again."
                )
            if item:
                image.info[GALLERY_ITEM] = item
            picture = Attachment.of(image)
            self._known[known] = picture, Attachment(picture.image, data, "").key
        return self._known[known]


def _message(line: Any, opened: _Opened, renamed: dict[str, str]) -> Message:
    """One message. Pictures are encoded anew, so `renamed` collects their keys in the file and here."""
    parts: list[str | Attachment] = []
    for part in line["parts"]:
        if "picture" in part:
            picture, before = opened.open(part)
            renamed[before] = picture.key
            parts.append(picture)
        else:
            parts.append(_text(part["text"]))
    if line["role"] == "user":
        return Message("user", tuple(parts), int(line["parent"]))
    if line["role"] != "assistant" or not isinstance(parts[0], str):
        raise ValueError("not an answer")
    if "answer" not in line:
        return Message("assistant", tuple(parts), int(line["parent"]))
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


def _head(path: Path) -> dict[str, Any]:
    """The first line of a whole file. Raises OSError; ValueError: cut short, or no conversation."""
    with path.open("rb") as file:
        told = json.loads(file.readline())
        file.seek(max(0, path.stat().st_size - 16))
        if not file.read().rstrip().endswith(b"}"):
            raise ValueError("cut short")
    if not isinstance(told, dict) or told.get("sugar_conversation") != FORMAT:
        raise ValueError("not a conversation")
    _text(told.get("title"))
    return told


def _items(path: Path) -> list[str]:
    """The gallery items whose pictures a file holds; of a damaged one, those that it still names."""
    try:
        try:
            return [str(item) for item in _head(path).get("items", [])]
        except (ValueError, TypeError, RecursionError):
            return [item.decode() for item in _ITEM.findall(path.read_bytes())]
    except OSError:
        return []


@dataclass(frozen=True)
class SavedConversation:
    """One entry of the list.

    thumbnail: its first picture, a JPEG in base64; "" without one. damaged: its file cannot be read. leaving:
    it was deleted a moment ago.
    """

    key: str
    title: str
    changed: datetime
    thumbnail: str = ""
    damaged: bool = False
    leaving: bool = False


class SavedConversations:
    """The conversations in a folder of one's own machine, newest first.

    changing: hold it from the look at what was deleted until the conversation is saved, so that no deletion
    comes between the two.
    """

    changing = threading.RLock()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._unread: dict[str, float] = {}
        self._leaving: dict[str, threading.Timer] = {}

    def list(self) -> list[SavedConversation]:
        """All entries, also those that cannot be read and those that can be taken back."""
        return [self._entry(path) for path in self._files(".jsonl", LEAVING)]

    def _files(self, *suffixes: str) -> Iterator[Path]:
        found = [p for suffix in suffixes or (".jsonl",) for p in self.folder.glob(f"*{suffix}")]
        files = [p for p in found if _KEY.fullmatch(p.stem) and p.is_file()]
        yield from sorted(files, key=_changed, reverse=True)

    def _entry(self, path: Path) -> SavedConversation:
        changed = _changed(path)
        when = datetime.fromtimestamp(changed)
        try:
            if self._unread.get(path.stem) == changed:
                raise ValueError("was not read before")
            head = _head(path)
            small = head.get("thumbnail", "")
            small = small if isinstance(small, str) and _BASE64.fullmatch(small) else ""
            return SavedConversation(path.stem, head["title"], when, small, leaving=path.suffix == LEAVING)
        except (OSError, ValueError, RecursionError):
            return SavedConversation(path.stem, "", when, damaged=True, leaving=path.suffix == LEAVING)

    def save(self, talk: Conversation) -> Conversation:
        """Write it; the conversation with its key. Raises NotSavedError: no room, or not allowed."""
        talk = talk if talk.key else replace(talk, key=secrets.token_hex(8))
        with self.changing:
            write_whole(self._path(talk.key), to_bytes(talk))
        return talk

    def items(self) -> set[str]:
        """The gallery items whose pictures the saved conversations hold. Reads first lines only."""
        return {item for path in self._files() for item in _items(path)}

    def sweep(self) -> None:
        """Remove what was deleted, and what killed programs left half written. It may hold pictures."""
        with self.changing:
            sweep(self.folder)
            for left in (*self.folder.glob("*.part"), *self.folder.glob(f"*{LEAVING}")):
                with suppress(OSError):  # ".part": as they were named before
                    left.unlink(missing_ok=True)

    def forget(self, items: set[str]) -> None:
        """Take the pictures of these gallery items out of every file. The order of the list stays.

        A damaged file that holds one of them goes as a whole: nothing else takes the picture out of it.
        """
        for path in self._files():
            if items.isdisjoint(_items(path)):
                continue
            try:
                with self.changing:
                    when = path.stat()
                    self.save(self.load(path.stem).without(items))
                    os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns))
            except (NotSavedError, OSError) as error:
                log.warning("a deleted picture is still in conversation %s: %s", path.stem, error)
            except SugarError:
                log.warning(
                    "the damaged conversation %s held a deleted picture, so it was removed", path.stem
                )
                path.unlink(missing_ok=True)

    def load(self, key: str) -> Conversation:
        """Raises InputError when there is none, or it is damaged: from then on it is among the damaged."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise InputError(GONE) from None
        except OSError as error:
            raise InputError(f"This conversation cannot be read ({error.strerror}).") from error
        try:
            return from_bytes(data, key=key)
        except SugarError as error:
            self._unread[key] = _changed(path)
            raise InputError(
                "This conversation cannot be read: its file is damaged, or of a newer program. "
                "Restore the file, or delete it."
            ) from error

    def rename(self, key: str, title: str) -> Conversation:
        """Raises InputError: an empty title, or no such conversation."""
        title = " ".join(title.split())[:MAX_TITLE]
        if not title:
            raise InputError("The title is empty. Type some words.")
        with self.changing:
            return self.save(replace(self.load(key), title=title))

    def delete(self, key: str) -> None:
        """Take it out of the list, damaged or not. Its file goes after UNDO_SECONDS, or with the app.

        Raises InputError when there is none.
        """
        path = self._path(key)
        leaving = path.with_suffix(LEAVING)
        try:
            path.replace(leaving)
        except FileNotFoundError:
            raise InputError(GONE) from None
        except OSError as error:
            raise InputError(f"This conversation cannot be deleted ({error.strerror}).") from error
        self._leaving[key] = timer = threading.Timer(
            UNDO_SECONDS, leaving.unlink, kwargs={"missing_ok": True}
        )
        timer.daemon = True
        timer.start()
        atexit.register(leaving.unlink, missing_ok=True)

    def undo(self, key: str) -> None:
        """Bring a deleted conversation back. Raises InputError: it is gone for good."""
        path = self._path(key)
        if (timer := self._leaving.pop(key, None)) is not None:
            timer.cancel()
        try:
            path.with_suffix(LEAVING).replace(path)
        except OSError:
            raise InputError("This conversation is gone for good.") from None

    def _path(self, key: str) -> Path:
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise InputError(GONE)
        return self.folder / f"{key}.jsonl"


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # deleted a moment ago
        return 0.0
