"""sugar/services/ask.py without a page: notes, follow-ups, examples, sources, and what is kept for whom."""

import io
from contextlib import contextmanager
from threading import Event

import numpy as np
import pytest
from PIL import Image
from toy import ToyModel

from sugar.errors import GalleryError, InputError
from sugar.gallery import Gallery
from sugar.sequence import Sample
from sugar.services.ask import AskRequest, AskService, AskState, PictureCell, outstanding_cell
from sugar.services.model_slot import ModelSlot
from sugar.services.visitors import VisitorState
from sugar.services.workspace import Workspace
from sugar.settings import Settings

NOTES = [
    ("notes.md", b"# Garden\n\nIn summer roses grow in the garden. In winter the garden sleeps under straw."),
    ("facts.csv", b"question,answer\nwhat is the name of the red star?,ba mi\n"),
]


class Someone:
    def __init__(self) -> None:
        self.state = VisitorState()

    @contextmanager
    def answering(self):
        yield Event()

    def stop(self) -> None: ...


class Access:
    """One gallery, and the sample with a note, for everybody."""

    def __init__(self, folder) -> None:
        self.folder, self.opened, self.sample = folder, None, None

    def names(self, visitor):
        return ["holiday"]

    def open(self, visitor, name, model):
        if name == "sample":
            if self.sample is None:
                self.sample = Gallery.create(self.folder.with_name("sample"), model)
                self.sample.keep_notes([("cups.md", "the purple cup is called ko ri", "")])
            return self.sample
        if name != "holiday":
            raise GalleryError(f"There is no gallery of that name: {name!r}.")
        if self.opened is None:
            self.opened = Gallery.create(self.folder, model)
            out = io.BytesIO()
            Image.new("RGB", (16, 16), "green").save(out, "PNG")
            self.opened.add([("walk.png", out.getvalue())], captions={"walk.png": "Boris on a hill"})
        return self.opened


@pytest.fixture
def service(tmp_path):
    models = ModelSlot(lambda name, progress: ToyModel())
    models.start("toy")
    return AskService(Workspace(Settings(), models, Access(tmp_path / "g")))


def asked(service, visitor, question, **how):
    *_, result = service.ask(visitor, AskRequest(Sample(question), **how))
    return result


def test_notes_are_asked_and_sources_opened(service):
    me = Someone()
    assert str(service.take_notes(me, NOTES)) == "1 passages, 1 question/answer pairs to read"
    result = asked(service, me, "what grows in the garden in summer?")
    assert result.reply.text == "“In summer roses grow in the garden.” [1]" and result.reply.by == "quote"
    assert service.source(me, 1).name == "notes.md › Garden"
    with pytest.raises(InputError, match="no longer"):
        service.source(me, 2)
    assert service.handed_on(me)[-1] == "what grows in the garden in summer?"


def test_a_cell_is_pointed_at_only_where_it_stands_out():
    heat = np.full((7, 7), 0.2)
    assert outstanding_cell(heat) is None and outstanding_cell(np.tile([0.1, 0.3], (6, 3))) is None
    heat[2, 5] = 0.6
    assert outstanding_cell(heat) == PictureCell(2, 5, 7, 7)


def test_a_follow_up_is_completed_and_shown(service):
    me = Someone()
    service.take_notes(me, NOTES)
    asked(service, me, "what happens in the garden in summer?")
    result = asked(service, me, "and in winter?", follow_up=True)
    assert result.query == "what happens in the garden in winter?" and "straw" in result.reply.text
    service.start_again(me)
    assert asked(service, me, "and in winter?", follow_up=True).query == "and in winter?"


def test_examples_leave_ones_own_notes_alone(service):
    me = Someone()
    service.take_notes(me, NOTES)
    result = asked(service, me, "what is the purple cup called?", examples=True)
    assert result.reply.known and result.reply.hits[0].name == "cups.md"
    result = asked(service, me, "name of the red star")
    assert result.reply.hits[0].name == "facts.csv, row 2" and len(me.state.of(AskState).notes) == 2


def test_notes_are_kept_with_a_gallery(service):
    me, later = Someone(), Someone()
    service.take_notes(me, NOTES)
    assert service.keep_notes(me, "holiday") == 2 and service.keep_notes(me, "holiday") == 0
    assert (
        asked(service, later, "name of the red star", gallery="holiday")
        .reply.hits[0]
        .name.startswith("facts")
    )
    assert asked(service, later, "who is on the hill?", gallery="holiday").reply.hits[0].name == "walk.png"
    assert [(n.name, n.gallery, len(n.passages)) for n in service.notes(me, "holiday")] == [
        (name, where, 1) for where in ("", "holiday") for name in ("notes.md", "facts.csv")
    ]
    service.forget_notes(me, "holiday", "notes.md")
    service.forget_notes(me, "", "facts.csv")
    assert [(n.name, n.gallery) for n in service.notes(me, "holiday")] == [
        ("notes.md", ""),
        ("facts.csv", "holiday"),
    ]
    service.take_notes(me, [("more.md", b"More.")], beside=True)
    assert [n.name for n in service.notes(me, "")] == ["notes.md", "more.md"]
    with pytest.raises(InputError, match="Choose the gallery"):
        service.keep_notes(me, "")


@pytest.mark.parametrize(
    "wrong",
    [{"read": 0}, {"read": 99}, {"strictness": "loud"}],
)
def test_requests_are_checked(wrong):
    with pytest.raises(InputError):
        AskRequest(Sample("dog"), **wrong)
    with pytest.raises(InputError):
        AskRequest(Sample(Image.new("RGB", (4, 4))))
