"""Chat: questions about pictures and texts in any order, over many turns.

    chat = ChatService(workspace)
    for talk in chat.ask(visitor, Conversation(), [picture, "what?"], Sampling()):
        talk.messages[talk.leaf].text                      # the answer so far
    chat.saved                                             # the list of conversations; None on a shared host

Every call takes a conversation and gives a new one; the page or the program keeps it. Not covered: the
conversation itself (conversation.py), its file (conversation_file.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from PIL import Image

from sugar.errors import InputError, NotSavedError
from sugar.sequence import Sampling
from sugar.services.conversation import FOLDER, MAX_MESSAGES, Attachment, Conversation, SavedConversations
from sugar.services.modes import mode_of
from sugar.services.visitors import Page
from sugar.services.workspace import Workspace

__all__ = ["ChatService", "crop"]


class ChatService:
    """See the module docstring."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        settings = workspace.settings
        self.saved = None if mode_of(settings).private else SavedConversations(settings.gallery_root / FOLDER)

    def ask(
        self,
        visitor: Page,
        talk: Conversation,
        parts: Sequence[str | Image.Image | Attachment],
        sampling: Sampling,
        *,
        save: bool = True,
    ) -> Iterator[Conversation]:
        """Ask something, and answer it. Yields the conversation with the question, then as the answer grows.

        A model that reads one question at a time is given the pictures of that question, where it has some;
        earlier ones are set aside, and can be taken back. Raises InputError: the question is empty, or the
        conversation too long.
        """
        talk = talk.asked(parts)
        talk = talk.focused() if self._memory() == 1 else talk
        yield from self.answer(visitor, talk, sampling, save=save)

    def _memory(self) -> int | None:
        model = self.workspace.models.peek()
        return model.profile.memory if model is not None else None

    def retry(
        self, visitor: Page, talk: Conversation, index: int | None, sampling: Sampling
    ) -> Iterator[Conversation]:
        """Answer the question at or before `index` once more. The earlier answer stays as another version."""
        yield from self.answer(visitor, talk.up_to(talk.question(index)), sampling)

    def answer(
        self, visitor: Page, talk: Conversation, sampling: Sampling, *, save: bool = True
    ) -> Iterator[Conversation]:
        """Answer a conversation that ends with a question.

        It is saved in the list when the question is asked, and again with the answer. What cannot be saved is
        answered all the same, and `unsaved` says why. Pictures that were deleted from their gallery meanwhile
        are neither read nor saved. Raises InputError: too many pictures to read, too many messages, or
        nothing to answer.
        """
        talk = self._without_deleted(visitor, talk)
        limit = self.workspace.settings.max_pictures
        if len(talk.read) > limit:
            raise InputError(
                f"The question would read {len(talk.read)} pictures; {limit} is the limit. Set some aside."
            )
        if len(talk.messages) >= MAX_MESSAGES:
            raise InputError(f"A conversation has at most {MAX_MESSAGES} messages. Begin a new one.")
        turns = talk.turns(self._memory())
        save = save and self.saved is not None
        answered = talk = self._saved(visitor, talk) if save else talk
        for generated in self.workspace.generate(visitor, turns, sampling):
            answered = talk.answered(generated) if generated.tokens or generated.ended else talk
            yield answered
        if save:
            yield self._saved(visitor, answered)

    def _saved(self, visitor: Page, talk: Conversation) -> Conversation:
        """The conversation with its key, or with the reason why it is not saved."""
        assert self.saved is not None
        with self.saved.changing:
            talk = self._without_deleted(visitor, talk)
            try:
                return replace(self.saved.save(talk), unsaved="")
            except NotSavedError as error:
                return replace(talk, unsaved=str(error))

    def _without_deleted(self, visitor: Page, talk: Conversation) -> Conversation:
        items = talk.items
        return talk.without(items - self.workspace.galleries.holding(visitor, items)) if items else talk

    def rename(self, talk: Conversation, title: str) -> Conversation:
        """Give the conversation a name in the list. Raises InputError: no list here, or nothing saved yet."""
        if self.saved is None or not talk.key:
            raise InputError("This conversation is not saved yet. Ask something first.")
        return replace(talk, title=self.saved.rename(talk.key, title).title)

    def delete(self, talk: Conversation) -> Conversation:
        """Remove the conversation from the list; an empty one in its place."""
        if self.saved is not None and talk.key:
            self.saved.delete(talk.key)
        return Conversation(system=talk.system)


def crop(image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    """A region of a picture. box: left, top, right, bottom as shares of width and height, in [0, 1].

    Raises InputError: the region is not inside the picture, or smaller than 8 pixels.
    """
    left, top, right, bottom = box
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise InputError("The region must lie inside the picture.")
    width, height = image.size
    region = (round(left * width), round(top * height), round(right * width), round(bottom * height))
    if region[2] - region[0] < 8 or region[3] - region[1] < 8:
        raise InputError("The region is too small. Mark a larger one.")
    return image.crop(region)
