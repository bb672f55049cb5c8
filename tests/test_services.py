"""Chat, Tell apart and Model as services: no page, the toy model, one visitor made by hand."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Talker, eventually
from PIL import Image

from sugar.errors import InputError, ModelError, SettingsError
from sugar.gallery import Gallery
from sugar.model.checkpoint import Profile
from sugar.sequence import Sampling
from sugar.services.chat import ChatService, crop, photos_wanted
from sugar.services.compare import CompareService
from sugar.services.conversation import Conversation
from sugar.services.examples import examples
from sugar.services.model_slot import ModelSlot
from sugar.services.models import ModelService, download_minutes
from sugar.services.visitors import VisitorState
from sugar.services.workspace import Workspace
from sugar.settings import Settings
from sugar.ui.compare import in_words

RED, BLUE = Image.new("RGB", (40, 20), "red"), Image.new("RGB", (40, 20), "blue")


class OneVisitor:
    """A visitor with a stop event, as services know one."""

    def __init__(self) -> None:
        self.state = VisitorState()
        self._stop = threading.Event()

    @contextmanager
    def answering(self) -> Iterator[threading.Event]:
        self._stop = threading.Event()
        yield self._stop

    def stop(self) -> None:
        self._stop.set()

    def keep(self, data: bytes, suffix: str, name: str = "picture") -> str:
        raise AssertionError("no service writes files for a page")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    models = ModelSlot(lambda name, progress: Talker())
    models.start("toy")
    models.wait()
    return Workspace(Settings(gallery=str(tmp_path), max_tokens=4000), models, None)  # type: ignore[arg-type]


@pytest.fixture
def visitor() -> OneVisitor:
    return OneVisitor()


# -- chat ----------------------------------------------------------------------------------------


def test_an_answer_grows_and_is_saved(workspace: Workspace, visitor: OneVisitor) -> None:
    chat = ChatService(workspace)
    steps = list(chat.ask(visitor, Conversation(), [RED, "a star?"], Sampling()))
    assert [m.role for m in steps[0].shown] == ["user"]
    last = steps[-1].shown[-1]
    assert last.text == "I see 1 pictures and the words a star?" and len(last.read) == 1
    assert last.answer is not None and last.answer.ended == "done"
    assert chat.saved is not None and [e.title for e in chat.saved.list()] == ["a star?"]
    again = list(chat.retry(visitor, steps[-1], None, Sampling()))[-1]
    assert len(again.versions(again.leaf)) == 2 and len(chat.saved.list()) == 1
    renamed = chat.rename(again, "Stars")
    assert [e.title for e in chat.saved.list()] == ["Stars"] and renamed.title == "Stars"
    with pytest.raises(InputError, match="not saved"):
        chat.rename(Conversation(), "x")


def test_a_question_is_saved_when_it_is_sent(workspace: Workspace, visitor: OneVisitor) -> None:
    chat = ChatService(workspace)
    steps = chat.ask(visitor, Conversation(), [RED, "a star?"], Sampling())
    asked = next(steps)
    steps.close()  # the page is loaded again while the answer is written
    [entry] = chat.saved.list()
    assert entry.key == asked.key
    shown = chat.open(entry.key).shown
    assert [m.text for m in shown] == ["a star?", ""] and shown[1].answer.ended == "stopped"
    answered = list(chat.retry(visitor, asked, None, Sampling()))[-1]
    assert answered.key == asked.key and len(chat.saved.load(entry.key).shown) == 2


def test_what_cannot_be_saved_is_answered_all_the_same(
    workspace: Workspace, visitor: OneVisitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = ChatService(workspace)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        talk = list(chat.ask(visitor, Conversation(), ["a star?"], Sampling()))[-1]
    assert len(talk.shown) == 2 and "was not saved: the disk is full" in talk.unsaved
    assert list(workspace.settings.gallery_root.rglob("*.*")) == [chat.saved.folder]
    talk = list(chat.ask(visitor, talk, ["and now?"], Sampling()))[-1]
    assert talk.unsaved == "" and len(chat.saved.load(talk.key).shown) == 4


def test_nothing_is_kept_on_a_shared_host(tmp_path: Path, workspace: Workspace, visitor: OneVisitor) -> None:
    # Type: ignore[arg-type]
    shared = Workspace(Settings(host="0.0.0.0", gallery=str(tmp_path)), workspace.models, None)
    chat = ChatService(shared)
    assert chat.saved is None
    assert list(chat.ask(visitor, Conversation(), ["red"], Sampling()))[-1].key == ""
    assert not list(tmp_path.rglob("*.jsonl"))


def test_the_model_reads_what_is_not_set_aside(workspace: Workspace, visitor: OneVisitor) -> None:
    chat = ChatService(workspace)
    talk = list(chat.ask(visitor, Conversation(), [RED, BLUE, "one"], Sampling()))[-1]
    talk = talk.toggled(talk.pictures[0].key)
    assert list(chat.retry(visitor, talk, None, Sampling()))[-1].shown[-1].text.startswith("I see 1 pictures")
    many = Conversation().asked([Image.new("RGB", (9, 9), (n, 0, 0)) for n in range(13)])
    with pytest.raises(InputError, match="13 pictures; 12 is the limit"):
        list(chat.answer(visitor, many, Sampling()))


def test_a_model_that_reads_one_question_at_a_time(workspace: Workspace, visitor: OneVisitor) -> None:
    """It is given the last question with its pictures; without any, with those that were read last."""
    chat, model = ChatService(workspace), workspace.model()
    model.profile = replace(model.profile, memory=1)

    def ask(talk: Conversation, *parts: Any) -> tuple[Conversation, str]:
        talk = list(chat.ask(visitor, talk, parts, Sampling()))[-1]
        return talk, talk.shown[-1].text

    talk, said = ask(Conversation(), RED, "one?")
    assert said == "I see 1 pictures and the words one?"
    talk, said = ask(talk, "two?")
    assert said == "I see 1 pictures and the words two?", "the earlier question is not read, its picture is"
    talk, said = ask(talk, BLUE, "three?")
    assert said == "I see 1 pictures and the words three?" and talk.read == (talk.pictures[1].key,)
    talk, said = ask(talk.toggled(talk.pictures[0].key), "four?")
    assert said == "I see 2 pictures and the words four?", "a person can take a picture back"
    asked = talk.up_to(talk.question())
    assert [i.getpixel((0, 0)) for t in asked.turns(1) for i in t.sample.images] == [(255, 0, 0), (0, 0, 255)]
    assert [t.role for t in replace(asked, system="be brief").turns(1)] == ["system", "user"]
    model.profile = replace(model.profile, memory=None)
    assert ask(talk, "five?")[1] == "I see 0 pictures and the words five?", "they stand in earlier turns"


def test_a_stop_ends_the_answer(workspace: Workspace, visitor: OneVisitor) -> None:
    chat = ChatService(workspace)
    steps = chat.ask(visitor, Conversation(), ["talk at length"], Sampling(max_new_tokens=4000))
    for talk in steps:
        if len(talk.shown) == 2:
            visitor.stop()
            break
    last = list(steps)[-1]
    assert last.shown[-1].answer is not None and last.shown[-1].answer.ended == "stopped"


def test_a_region_of_a_picture() -> None:
    assert crop(RED, (0.0, 0.0, 0.5, 1.0)).size == (20, 20)
    for box in ((0.5, 0, 0.4, 1), (-0.1, 0, 1, 1), (0, 0, 1, 1.1), (0, 0, 0.01, 1), (float("nan"), 0, 1, 1)):
        with pytest.raises(InputError, match="region"):
            crop(RED, box)  # type: ignore[arg-type]


class Trip:
    """Access to one gallery, "trip"."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.opened = folder, None

    def open(self, visitor: Any, name: str, model: Any) -> Gallery:
        if self.opened is None:
            self.opened = Gallery.create(self.folder, model)
            for color in ("red", "blue"):
                out = io.BytesIO()
                Image.new("RGB", (40, 20), color).save(out, "PNG")
                self.opened.add([(f"{color}.png", out.getvalue())])
        return self.opened

    def holding(self, visitor: Any, items: Any) -> set[str]:
        return set(items)


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        (["show me photos of red"], RED),
        (["Please find my pictures with blue."], BLUE),
        ([BLUE, "show me photos like this"], RED),  # its own picture is left out
    ],
)
def test_photos_are_shown_from_the_gallery(
    workspace: Workspace, visitor: OneVisitor, tmp_path: Path, asked: list[Any], first: Image.Image
) -> None:
    workspace.galleries = Trip(tmp_path / "trip")
    chat = ChatService(workspace)
    talk = list(chat.ask(visitor, Conversation(), asked, Sampling(), "trip"))[-1]
    answer = talk.shown[-1]
    assert "trip" in answer.text and answer.pictures[0].image.getpixel((9, 9)) == first.getpixel((9, 9))
    assert talk.read == (answer.pictures[0].key,) and answer.pictures[0].items
    assert chat.saved is not None and len(chat.open(talk.key).pictures) == len(talk.pictures)
    nowhere = list(chat.ask(visitor, Conversation(), asked, Sampling(), ""))[-1]
    assert nowhere.shown[-1].text.startswith("There is no gallery")
    program = list(chat.ask(visitor, Conversation(), asked, Sampling(), save=False))[-1]
    assert program.shown[-1].answer is not None, "without a gallery the model answers"


@pytest.mark.parametrize("asked", ["what is in the photo?", "show me photos of", "show me how it works"])
def test_other_questions_look_for_no_photos(asked: str) -> None:
    assert photos_wanted(Conversation().asked([asked])) is None


# -- tell apart ----------------------------------------------------------------------------------


def test_pictures_against_captions(workspace: Workspace, visitor: OneVisitor) -> None:
    service, seen = CompareService(workspace), []
    progress = lambda done, total: seen.append((done, total))  # noqa: E731
    result = service.compare(visitor, [RED, BLUE], ["red", "blue"], progress=progress)
    assert result.ways == ("similarity", "yes", "both") and seen[-1][1] == 4
    assert [b.best for b in result.best_captions("similarity")] == [(0,), (1,)]
    assert [b.best for b in result.best_pictures("similarity")] == [(0,), (1,)]
    assert bool(result.winoground("similarity").group)
    assert in_words(result, "similarity", False).startswith("**Picture 1** fits **caption A**, quite sure.")
    unfit = replace(result, cut=2.0)
    assert in_words(unfit, "similarity", False) == "None of these fits well."
    first = replace(result, cut=float(result.fit.similarity[1].max()) - 1e-6)
    assert [b.well for b in first.best_captions("similarity")] == [
        bool(row.max() >= first.cut) for row in result.fit.similarity
    ]
    assert service.last(visitor) is result
    service.forget(visitor)
    assert service.last(visitor) is None
    quick = service.compare(visitor, [RED, RED], ["red"], ask=False)
    assert quick.ways == ("similarity",) and quick.best_pictures("similarity")[0].best == (0, 1)  # a tie
    assert quick.best_captions("similarity")[0].margin is None
    assert in_words(quick, "similarity", False) == "**Caption A** fits picture 1 and picture 2 alike."
    with pytest.raises(InputError, match="Choose 2 to 6"):
        service.compare(visitor, [RED], ["red"])


def test_what_differs_is_asked_as_the_profile_says(workspace: Workspace, visitor: OneVisitor) -> None:
    *_, answer = CompareService(workspace).difference(visitor, RED, BLUE)
    assert answer.text.startswith("I see 2 pictures")
    assert workspace.model().profile.difference.split()[0] in answer.text
    workspace.model().profile = Profile(difference="")
    with pytest.raises(InputError, match="cannot tell"):
        next(CompareService(workspace).difference(visitor, RED, BLUE))


# -- the model -----------------------------------------------------------------------------------


def test_the_loaded_model_speaks_for_itself(workspace: Workspace) -> None:
    models = ModelService(workspace)
    profile = workspace.model().profile
    assert models.own_words() == (profile.good_at, profile.limits)
    assert models.facts()["Device"] == "cpu" and models.card().startswith("# toy")
    for bad in (None, 7, "", "no such", "a\0b", "$(id)/x y", "/no/such/folder", "~nobodyhere/x", "x" * 300):
        with pytest.raises((InputError, ModelError)):
            models.load(bad)
    empty = Workspace(Settings(), ModelSlot(lambda name, progress: None), None)  # type: ignore[arg-type]
    assert ModelService(empty).facts() == {} and ModelService(empty).larger() is None
    shared = Workspace(Settings(host="0.0.0.0"), workspace.models, None)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="cannot switch models"):
        ModelService(shared).load("smolvlm-256m")


def test_the_model_tab_says_that_the_kernels_are_not_used(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = ModelService(workspace)
    workspace.model()
    monkeypatch.setattr("sugar.dtw.scores._faults", {False: "", True: ""})
    assert "Alignment" not in models.facts()
    monkeypatch.setattr("sugar.dtw.scores._faults", {False: "its kernels do not run (no ptxas)"})
    assert models.facts()["Alignment"] == "torch, not triton: its kernels do not run (no ptxas)"


def test_what_a_larger_model_costs(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from sugar.model import load
    from sugar.model.presets import PRESETS

    preset = PRESETS["smolvlm-256m"]
    assert 0.4 < preset.download_gb < 0.7 and 0.5 < download_minutes(preset) < 1.5
    workspace.model().profile = Profile(larger="smolvlm-256m")
    for free, name in ((64, "smolvlm2-500m"), (2, "smolvlm-256m"), (0.1, "smolvlm-256m")):
        monkeypatch.setattr(load, "free_memory", lambda _, free=free: free)
        offered = ModelService(workspace).larger()
        assert offered is not None and offered.name == name


def download(gate: threading.Event, tries: list[str]) -> Any:
    """A load whose download reports bytes until `gate` is set, and goes on where it was."""

    def load(name: str, progress: Any) -> Any:
        tries.append(name)
        while not gate.wait(0.01):
            progress(SimpleNamespace(done=5, total=10))
        progress(SimpleNamespace(done=10, total=10))
        return Talker()

    return load


def test_a_download_is_paused_resumed_and_cancelled() -> None:
    gate, tries = threading.Event(), []
    models = ModelSlot(download(gate, tries))
    with pytest.raises(InputError, match="Nothing is being downloaded"):
        models.pause()
    with pytest.raises(InputError, match="paused"):
        models.resume()
    models.start("large")
    assert eventually(lambda: models.state().total == 10)
    models.pause()
    state = models.wait()
    assert state.paused == "large" and state.problem == "" and state.phase == "failed"
    with pytest.raises(ModelError, match="No model is loaded"):
        models.get()
    models.resume()
    assert eventually(lambda: models.state().total == 10)
    models.cancel()
    assert models.wait().paused == ""
    models.start("large")
    assert eventually(lambda: models.state().total == 10)
    models.pause()
    models.wait()
    models.cancel()  # a paused one is given up
    assert models.state().paused == ""
    gate.set()
    models.start("large")
    assert models.wait().phase == "ready" and tries == ["large"] * 4


# -- examples ------------------------------------------------------------------------------------


def test_examples_come_from_the_profile_and_its_files_from_assets() -> None:
    profile = Profile(
        examples={
            "chat": [
                {"files": ["examples/scene-0.jpg"], "text": "what?"},
                {"text": "no picture"},
                *(
                    {"files": [name], "text": "left out"}
                    for name in ("examples/not-there.jpg", "../README.md", "/etc/passwd", "examples")
                ),
            ],
            "search": [
                {
                    "mode": "Story",
                    "rows": [
                        {"file": "examples/before.jpg"},
                        {"text": "make the key blue"},
                        {"text": "and big"},
                    ],
                }
            ],
            "compare": [{"files": ["examples/before.jpg", "examples/after.jpg"], "captions": []}],
        }
    )
    model = SimpleNamespace(profile=profile)
    chat = examples(model, "chat")
    assert [e.text for e in chat] == ["what?", "no picture"] and len(chat[0].pictures()) == 1
    assert [len(e.pictures()) for e in examples(model, "compare")] == [2]
    assert [(e.text, e.files, e.mode) for e in examples(model, "search")] == [
        ("make the key blue\nand big", ("examples/before.jpg",), "story")
    ]
    assert examples(None, "chat") == [] and examples(SimpleNamespace(profile=Profile()), "chat") == []
