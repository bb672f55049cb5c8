"""A conversation as a value: a tree of messages, of which one branch is on show.

    talk = Conversation().asked([picture, "what is it?"])      # a new value; the old one is unchanged
    talk = talk.answered(generated)                            # the answer to the last question
    talk = talk.up_to(0).answered(other)                       # a second version of the answer
    talk.versions(talk.leaf), talk.version(talk.leaf, -1)      # both versions; the one before
    talk.turns()                                               # what the model reads

Asking again keeps the earlier answer as another branch. A picture that is set aside stays in the
conversation, but the next question does not read it. Not covered: files (conversation_file.py), answers
(chat.py).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Literal

from PIL import Image

from sugar.errors import InputError
from sugar.images import gallery_items
from sugar.sequence import Sample, Turn
from sugar.services.generation import Generated
from sugar.text_files import clean_text

__all__ = ["Attachment", "Conversation", "Message"]

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

    def said(self, text: str) -> Conversation:
        """With an answer that was generated elsewhere after the last message."""
        return self._with(Message("assistant", (text,), self.leaf))

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
        earlier: list[Part] = [p for p in self.pictures if p.key not in own]
        for number, message in enumerate(self.shown[start:]):
            said = message.parts if number else (*earlier, *message.parts)
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
        return [*pictures, *(p if isinstance(p, str) else p.image for p in asked[-1].parts)]

    @property
    def name(self) -> str:
        """Its title, or its first words."""
        words = self.title or next((m.text for m in self.messages if m.text.strip()), "")
        short = " ".join(clean_text(words).split())
        return short if len(short) <= 60 else short[:57] + "..."
