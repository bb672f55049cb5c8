"""Chat: questions about pictures and texts in any order, over many turns.

    chat = ChatService(workspace)
    for talk in chat.ask(visitor, Conversation(), [picture, "what?"], Sampling()):
        talk.messages[talk.leaf].text                      # the answer so far
    chat.saved                                             # the list of conversations; None on a shared host

Every call takes a conversation and gives a new one; the page or the program keeps it. Not covered: the
conversation itself and its file (conversation.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from PIL import Image

from sugar.errors import InputError, NotSavedError
from sugar.sequence import Sampling
from sugar.services.conversation import FOLDER, MAX_MESSAGES, Attachment, Conversation, SavedConversations
from sugar.services.modes import mode_of
from sugar.services.query import Conditions, SearchQuery
from sugar.services.search import SearchRequest, search_gallery
from sugar.services.visitors import Page
from sugar.services.workspace import Workspace

MOST_PHOTOS, NEAREST_PHOTOS = 6, 3
"""Photos of one answer; those that are shown where none is a close match."""

_PHOTOS = re.compile(
    r"(?:(?:please|can you|could you) )*(?:show|find|give)(?: me)?(?: (?:some|all|the|my|a|any|more))* "
    r"(?:photo(?:graph)?|picture|image|pic)s? "
    r"(?:(like) (?:this|these|it)|of|with|from|where|showing|taken|in)\b[ ,:]*(?:but )?(.*?)[?.!]*",
    re.IGNORECASE | re.DOTALL,
)


def photos_wanted(talk: Conversation) -> SearchQuery | None:
    """What a last question such as "show me photos of two dogs" looks for; None for any other question.

    "Show me photos like this, but at night" looks with the question's pictures, or those read before.
    """
    question = talk.shown[-1] if talk.shown else None
    found = _PHOTOS.fullmatch(" ".join(question.text.split())) if question is not None else None
    if question is None or found is None:
        return None
    pictures = [p.image for p in question.pictures]
    if found[1] and not pictures:
        pictures = [p.image for p in talk.pictures if p.key in talk.read]
    query = SearchQuery.of_text(found[2], pictures=pictures)
    return query if query.parts or query.conditions != Conditions() else None


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
        gallery: str | None = None,
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
        yield from self.answer(visitor, talk, sampling, gallery, save=save)

    def _memory(self) -> int | None:
        model = self.workspace.models.peek()
        return model.profile.memory if model is not None else None

    def retry(
        self,
        visitor: Page,
        talk: Conversation,
        index: int | None,
        sampling: Sampling,
        gallery: str | None = None,
    ) -> Iterator[Conversation]:
        """Answer the question at or before `index` once more. The earlier answer stays as another version."""
        yield from self.answer(visitor, talk.up_to(talk.question(index)), sampling, gallery)

    def answer(
        self,
        visitor: Page,
        talk: Conversation,
        sampling: Sampling,
        gallery: str | None = None,
        *,
        save: bool = True,
    ) -> Iterator[Conversation]:
        """Answer a conversation that ends with a question.

        It is saved in the list when the question is asked, and again with the answer, or with what there is
        of it when the page is closed. What cannot be saved is answered all the same, and `unsaved` says why.
        Pictures that were deleted from their gallery meanwhile are neither read nor saved. "Show me photos of
        ..." is answered with photos of `gallery`; "" for a visitor who has none, None where none is asked.
        Raises InputError: too many pictures to read, too many messages, or nothing to answer.
        """
        talk = self._without_deleted(visitor, talk)
        limit = self.workspace.settings.max_pictures
        if len(talk.messages) >= MAX_MESSAGES:
            raise InputError(f"A conversation has at most {MAX_MESSAGES} messages. Begin a new one.")
        wanted = photos_wanted(talk) if gallery is not None else None
        if wanted is None and len(talk.read) > limit:
            raise InputError(
                f"The question would read {len(talk.read)} pictures; {limit} is the limit. Set some aside."
            )
        turns = talk.turns(self._memory())
        save = save and self.saved is not None
        answered = talk = self._saved(visitor, talk) if save else talk
        try:
            if wanted is not None:
                yield talk
                answered = self._with_photos(visitor, talk, wanted, gallery or "")
                yield answered
            else:
                for generated in self.workspace.generate(visitor, turns, sampling):
                    answered = talk.answered(generated) if generated.tokens or generated.ended else talk
                    yield answered
        except GeneratorExit:  # the page was closed
            if save:
                self._save_cut_off(visitor, answered.cut_off())
            raise
        if save:
            yield self._saved(visitor, answered)

    def open(self, key: str) -> Conversation:
        """A saved conversation. Raises InputError: there is none here, or it is damaged.

        A question that nobody answered, since the page or the app ended, has "stopped" under it.
        """
        if self.saved is None:
            raise InputError("Conversations are not kept on a shared host.")
        return self.saved.load(key).cut_off()

    def _with_photos(self, visitor: Page, talk: Conversation, query: SearchQuery, name: str) -> Conversation:
        """The answer to "show me photos of ...": the best of a gallery, and whether they are close."""
        if not name:
            return talk.said("There is no gallery to look in yet. Add photos first.")
        with visitor.answering() as stop:
            model = self.workspace.models.get(stop=stop)
            if model is None:
                return talk.cut_off()
            gallery = self.workspace.gallery(visitor, name)
            result = search_gallery(gallery, model, SearchRequest(query, name))
            close = len(result.hits) if result.close is None else result.close
            hits = result.hits[: min(close, MOST_PHOTOS) or NEAREST_PHOTOS]
            if not hits:
                return talk.said(f"I found no photos in the gallery {name}.")
            count = f"{len(hits)} photo{'s' if len(hits) > 1 else ''}"
            told = f"{count} of the gallery {name}:" if close else f"No close match in {name}. The nearest:"
            return talk.said(told, [gallery.picture(hit.item) for hit in hits])

    def _save_cut_off(self, visitor: Page, talk: Conversation) -> None:
        """Save what there is of an answer, unless the conversation went on elsewhere or was deleted."""
        assert self.saved is not None
        with self.saved.changing, suppress(InputError):
            if len(self.saved.load(talk.key).messages) < len(talk.messages):
                self._saved(visitor, talk)

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
