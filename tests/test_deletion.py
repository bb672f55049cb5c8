"""What a deletion in a gallery reaches: every file that the app wrote, saved conversations included."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import Talker
from PIL import Image

from sugar.sequence import Sampling
from sugar.services.chat import ChatService, crop
from sugar.services.conversation import DELETED, Attachment, Conversation, from_bytes, to_bytes
from sugar.services.galleries import Galleries
from sugar.services.gallery import GalleryService
from sugar.services.jobs import Jobs
from sugar.services.model_slot import ModelSlot
from sugar.services.modes import mode_of
from sugar.services.visitors import Page, Visitor
from sugar.services.workspace import Workspace
from sugar.settings import Settings
from sugar.ui.conversation import as_message_value
from sugar.ui.gate import Visitors
from sugar.ui.incoming import parts, private_files


class Own(NamedTuple):
    """One person's machine: a gallery "holiday", the chat, and where files lie."""

    root: Path
    galleries: Galleries
    service: GalleryService
    chat: ChatService
    page: Page

    @property
    def gallery(self) -> Any:
        return self.galleries.open(self.page, "holiday", self.service.workspace.model())

    def files(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if path.is_file()]


def machine(root: Path, **changes: Any) -> Own:
    settings = Settings(gallery=str(root / "galleries"), **changes)
    visitors = Visitors(settings, mode_of(settings), private_files())
    galleries, models = Galleries(settings, visitors), ModelSlot(lambda name, progress: Talker())
    models.start("toy")
    models.wait()
    workspace = Workspace(settings, models, galleries)
    page = visitors.visits.page(Visitor("a" * 32, "owner"), "1")
    service = GalleryService(workspace, Jobs())
    return Own(root, galleries, service, ChatService(workspace), page)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Own:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    made = machine(tmp_path)
    made.service.create(made.page, "holiday")
    return made


def noise(seed: int, side: int) -> bytes:
    """A picture like no other. Above 512 x 512 conversations keep it as JPEG."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def ask_about(own: Own, item: int, words: str = "what is it?") -> Conversation:
    """As the page does it: the picture is handed to the message box as a file, and sent from there."""
    handed = as_message_value(own.service.pictures(own.page, [item]), own.page)
    sent = parts({"text": words, "files": handed["files"]}, own.service.workspace.settings)
    return list(own.chat.ask(own.page, Conversation(), sent, Sampling()))[-1]


def traces(own: Own, *pictures: bytes) -> list[str]:
    """Files that hold a part of these bytes, as they are or in base64."""
    found = []
    for path in own.files():
        data = path.read_bytes()
        for picture in pictures:
            # base64 of a middle part, at each of the three places where it can begin
            plain = picture[len(picture) // 2 :][:60]
            coded = [base64.b64encode(plain[skip : skip + 48]) for skip in range(3)]
            if plain in data or any(code in data for code in coded):
                found.append(str(path.relative_to(own.root)))
    return found


@pytest.mark.parametrize("side", [200, 700])
@pytest.mark.parametrize("at_once", [True, False])
def test_no_file_holds_a_deleted_picture(own: Own, side: int, at_once: bool) -> None:
    own.gallery.add([("doomed.png", noise(1, side)), ("kept.png", noise(2, side))])
    doomed, kept = sorted(own.gallery.items(), key=lambda i: i.name)
    talk = ask_about(own, doomed.id)
    other = ask_about(own, kept.id)
    page = own.page
    own.service.download(page, [doomed.id]), own.service.download(page, [doomed.id, kept.id])
    encoded = [talk.pictures[0].data, own.gallery.picture_path(doomed.id).read_bytes(), noise(1, side)]
    assert len(traces(own, *encoded)) >= 4, (
        "the search finds it in gallery, conversation, message and download"
    )
    own.service.delete(page, [doomed.id], at_once=at_once)
    if not at_once:
        assert own.chat.saved.load(talk.key).pictures, "it can still be taken back"
        own.service.finish(page)
    assert traces(own, *encoded) == []
    again = own.chat.saved.load(talk.key)
    assert [m.parts for m in again.shown][0] == (DELETED, "what is it?") and again.shown[1].read == ()
    assert again.shown[1].text == talk.shown[1].text, "what the model said stays"
    assert traces(own, other.pictures[0].data), "another picture stays"
    assert [e.key for e in own.chat.saved.list()] == [other.key, talk.key], "the order of the list stays"


def test_what_is_deleted_does_not_come_back_with_the_next_answer(own: Own) -> None:
    own.gallery.add([("a.png", noise(3, 100))])
    talk = ask_about(own, own.gallery.items()[0].id)
    part = crop(talk.pictures[0].image, (0, 0, 0.5, 0.5))
    talk = list(own.chat.ask(own.page, talk, [part, "and here?"], Sampling()))[-1]
    assert len(talk.items) == 1 and len(talk.pictures) == 2, "a region is a part of the same picture"
    own.gallery.clear()
    after = list(own.chat.ask(own.page, talk, ["and now?"], Sampling()))[-1]
    assert after.pictures == [] and after.shown[-1].text.startswith("I see 0 pictures")
    assert traces(own, *(p.data for p in talk.pictures)) == []


@pytest.mark.parametrize("how", ["gallery", "elsewhere", "moved"])
def test_a_picture_goes_when_the_last_gallery_lets_it_go(own: Own, how: str) -> None:
    """With the whole gallery, while the app does not run, or not at all: it was moved."""
    own.gallery.add([("a.png", noise(4, 100))])
    item = own.gallery.items()[0]
    talk = ask_about(own, item.id)
    if how == "gallery":
        own.service.remove(own.page, "holiday")
    elif how == "elsewhere":
        own.gallery.after_delete = lambda: None
        own.gallery.clear()
        assert own.chat.saved.load(talk.key).pictures
        machine(own.root)
    else:
        own.service.create(own.page, "other")
        own.service.show(own.page, "holiday")
        assert own.service.move(own.page, [item.id], "other") == 1
    assert len(own.chat.saved.load(talk.key).pictures) == (how == "moved")


def test_a_conversation_from_elsewhere_keeps_its_pictures(own: Own) -> None:
    own.gallery.add([("a.png", noise(5, 100))])
    talk = ask_about(own, own.gallery.items()[0].id)
    brought = own.chat.saved.save(from_bytes(to_bytes(talk)))
    own.gallery.clear()
    assert own.chat.saved.load(brought.key).pictures and not own.chat.saved.load(talk.key).pictures


def test_an_unreadable_gallery_is_not_an_empty_one(own: Own) -> None:
    own.gallery.add([("a.png", noise(6, 100))])
    talk = ask_about(own, own.gallery.items()[0].id)
    (own.root / "galleries" / "broken").mkdir()
    (own.root / "galleries" / "broken" / "gallery.db").write_bytes(b"not a database" * 100)
    own.gallery.clear()
    assert own.chat.saved.load(talk.key).pictures, "it may still lie in the other gallery"


def test_on_a_shared_host_the_visitor_s_copies_go_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    own = machine(tmp_path, mode="public")
    gallery = own.galleries.open(own.page, "mine", own.service.workspace.model())
    gallery.add([("a.png", noise(7, 100))])
    own.service.show(own.page, "mine")
    handed = as_message_value(own.service.pictures(own.page, [gallery.items()[0].id]), own.page)
    data = Attachment.of(gallery.picture(gallery.items()[0].id)).data
    assert Path(handed["files"][0]).is_file() and traces(own, data)
    gallery.clear()
    assert not Path(handed["files"][0]).exists() and traces(own, data) == []
