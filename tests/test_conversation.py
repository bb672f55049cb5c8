"""Conversations as values and as files: branches, pictures set aside, the saved list. No page, no model."""

from __future__ import annotations

import base64
import io
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually
from PIL import Image

from sugar.errors import InputError, SugarError
from sugar.images import GALLERY_ITEM
from sugar.sequence import Sampling
from sugar.services import conversation
from sugar.services.conversation import (
    SET_ASIDE,
    Conversation,
    SavedConversations,
    from_bytes,
    to_bytes,
)
from sugar.services.workspace import Generated
from sugar.ui.chat import sampling_from

RED, BLUE = Image.new("RGB", (20, 20), "red"), Image.new("RGB", (20, 20), "blue")
LARGE = Image.effect_noise((800, 700), 60).convert("RGB")
DONE = Generated("a star", 2, 0.1, 0.3, "done")


def said(talk: Conversation) -> list[str]:
    return [m.text for m in talk.shown]


def test_a_question_and_its_answers_are_branches() -> None:
    asked = Conversation().asked([RED, "what is it?"])
    first = asked.answered(DONE)
    second = first.up_to(first.question()).answered(Generated("a red star", 3))
    assert said(first) == ["what is it?", "a star"] and said(second) == ["what is it?", "a red star"]
    fork = second.fork()
    assert fork == second.leaf and len(second.versions(second.leaf)) == 2
    back = second.version(fork, -1)
    assert said(back) == said(first) and said(back.version(back.leaf, 1)) == said(second)
    assert said(back.version(back.leaf, -1)) == said(first)  # no further than the first
    longer = back.asked(["and now?"]).answered(Generated("night"))
    other = longer.version(longer.branch[1], 1)
    assert said(other) == said(second)
    assert said(other.version(other.leaf, -1)) == [
        *said(first),
        "and now?",
        "night",
    ]  # what followed comes back


def test_found_photos_come_with_an_answer_and_the_next_question_reads_the_first(tmp_path: Path) -> None:
    talk = Conversation().asked([LARGE, "what?"]).answered(DONE).asked(["show me photos of stars"])
    talk = talk.said("2 photos:", [RED, BLUE])
    assert [p.key in talk.read for p in talk.pictures] == [False, True, False]
    turns = talk.asked(["what colour is it?"]).turns()
    assert [len(t.sample.images) for t in turns] == [0, 0, 0, 0, 1] and turns[3].sample.text == "2 photos:"
    kept = SavedConversations(tmp_path)
    again = kept.load(kept.save(talk).key)
    assert said(again) == said(talk) and [p.key in again.read for p in again.pictures] == [False, True, False]


def test_an_answer_whose_end_nobody_waited_for_says_that_it_stopped() -> None:
    asked = Conversation().asked(["what?"])
    assert said(asked.cut_off()) == ["what?", ""] and asked.cut_off().shown[-1].answer.ended == "stopped"
    under_way = asked.answered(replace(DONE, ended="")).cut_off()
    assert said(under_way) == ["what?", "a star"] and under_way.shown[-1].answer.ended == "stopped"
    for whole in (asked.answered(DONE), asked.said("2 photos:"), Conversation()):
        assert whole.cut_off() is whole


def test_undo_goes_before_the_question() -> None:
    talk = Conversation().asked(["one"]).answered(DONE).asked(["two"]).answered(DONE)
    assert said(talk.before(talk.question())) == ["one", "a star"]
    assert talk.messages[talk.question()].contents == ["two"]
    assert said(talk.before(talk.question(talk.branch[1]))) == []
    with pytest.raises(InputError, match="no question"):
        Conversation().question()
    with pytest.raises(InputError, match="empty"):
        Conversation().asked(["  "])


def test_what_the_model_reads() -> None:
    talk = Conversation(system="be brief").asked([RED, "what?"]).answered(DONE).asked([BLUE]).answered(DONE)
    talk = talk.asked([RED, "and now?"])
    turns = talk.turns()
    assert [t.role for t in turns] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert [len(p.data) > 0 for p in talk.pictures] == [True, True]  # the same picture counts once
    red, blue = talk.pictures
    aside = talk.toggled(blue.key)
    assert aside.read == (red.key,) and aside.answered(DONE).messages[-1].read == (red.key,)
    assert aside.turns()[3].sample.text == SET_ASIDE and not aside.turns()[3].sample.images
    assert aside.toggled(blue.key).read == talk.read
    with pytest.raises(InputError, match="nothing to answer"):
        talk.answered(DONE).turns()


def test_what_was_asked_last_goes_to_another_tab() -> None:
    talk = Conversation().asked([RED, "what?"]).answered(DONE)
    assert [type(p).__name__ for p in talk.last_question()] == ["Image", "str"]
    later = talk.asked(["and the size?"])
    assert [p if isinstance(p, str) else "P" for p in later.last_question()] == ["P", "and the size?"]
    assert Conversation().last_question() == []


def test_a_file_brings_everything_back() -> None:
    talk = (
        Conversation(system="be brief", title="<b>Stars</b> & 你好")
        .asked([RED, "look", LARGE])
        .answered(DONE)
    )
    talk = talk.up_to(0).answered(Generated("another", 1, 0.1, 0.2, "stopped"))
    talk = talk.toggled(talk.pictures[1].key)
    again = from_bytes(to_bytes(talk))
    assert said(again) == said(talk) and again.system == talk.system and again.name == talk.name
    assert [m.answer for m in again.messages] == [
        m.answer and Generated(m.text, m.answer.tokens, m.answer.first, m.answer.seconds, m.answer.ended)
        for m in talk.messages
    ]
    assert again.pictures[0].key == talk.pictures[0].key  # small ones without loss
    assert again.set_aside == {again.pictures[1].key} and again.messages[-1].read == (
        again.pictures[0].key,
        again.pictures[1].key,
    )


def bad_files() -> list[bytes]:
    good = to_bytes(Conversation().asked([RED, "x"]).answered(DONE)).decode().splitlines()
    head, question, answer = (json.loads(line) for line in good)

    def file(*lines: Any) -> bytes:
        return "\n".join(json.dumps(line) for line in lines).encode()

    picture = {"role": "user", "parent": -1, "parts": [{"picture": "/etc/passwd"}]}
    text = base64.b64encode(b"not a picture").decode()
    return [
        b"",
        b"{}",
        b"[" * 100_000,
        b"\xff\xfe",
        file({**head, "sugar_conversation": 1}, question, answer),
        file({**head, "leaf": 7}, question, answer),
        file({**head, "leaf": 0}, {**question, "parent": 0}),  # its own parent
        file({**head, "leaf": 0}, {**question, "role": "system"}),
        file({**head, "leaf": 0}, picture),
        file({**head, "leaf": 0}, {**picture, "parts": [{"picture": text}]}),
        file({**head, "set_aside": ["nothing"]}, question, answer),
        file(head, question, {**answer, "read": ["nothing"]}),
    ]


def test_pictures_of_a_file_from_elsewhere_are_small_and_decoded_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """130 KB that unpack to 2.4 GB: a conversation of Sugar's holds pictures as the page keeps them."""
    import sugar.services.conversation as module

    def conversation(pictures: list[bytes]) -> bytes:
        parts = [{"picture": base64.b64encode(p).decode()} for p in pictures]
        head = {"sugar_conversation": 2, "title": "t", "system": "", "leaf": 0, "set_aside": [], "items": []}
        turn = {"role": "user", "parent": -1, "parts": [*parts, {"text": "x"}]}
        return "".join(json.dumps(line) + "\n" for line in (head, turn)).encode()

    def png(side: int, mode: str = "1", colour: int = 0) -> bytes:
        out = io.BytesIO()
        Image.new(mode, (side, side), colour).save(out, "PNG")
        return out.getvalue()

    opened: list[bytes] = []
    real = module.open_image
    monkeypatch.setattr(module, "open_image", lambda data, **k: opened.append(data) or real(data, **k))
    with pytest.raises(SugarError, match="pixels"):
        from_bytes(conversation([png(8900)] * 10))
    with pytest.raises(SugarError, match="together"):
        from_bytes(conversation([png(2000, "L", n) for n in range(16)]))
    opened.clear()
    assert len(from_bytes(conversation([png(64)] * 10)).pictures) == 1 and len(opened) == 1


@pytest.mark.parametrize("data", bad_files())
def test_what_is_not_a_conversation_is_refused(data: bytes) -> None:
    with pytest.raises(SugarError):
        from_bytes(data)


def test_the_saved_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = SavedConversations(tmp_path / "talks")
    assert kept.list() == []
    one = kept.save(Conversation().asked([RED, "the red one"]).answered(DONE))
    two = kept.save(Conversation().asked(["the blue one"]).answered(DONE))
    assert {entry.title for entry in kept.list()} == {"the red one", "the blue one"}
    assert said(kept.load(one.key)) == ["the red one", "a star"] and kept.load(one.key).pictures
    kept.rename(one.key, "  Holiday \n notes ")
    assert "Holiday notes" in {entry.title for entry in kept.list()}
    kept.delete(two.key)
    assert [(entry.title, entry.leaving) for entry in kept.list()] == [
        ("Holiday notes", False),
        ("the blue one", True),
    ]
    kept.undo(two.key)
    assert not any(entry.leaving for entry in kept.list())
    monkeypatch.setattr(conversation, "UNDO_SECONDS", 0.0)
    kept.delete(two.key)
    assert eventually(lambda: [p.suffix for p in (tmp_path / "talks").iterdir()] == [".jsonl"])
    with pytest.raises(InputError, match="gone for good"):
        kept.undo(two.key)
    assert [(entry.title, bool(entry.thumbnail)) for entry in kept.list()] == [("Holiday notes", True)]
    for key in (two.key, "../../etc/passwd", "", "0" * 16):
        with pytest.raises(InputError, match="no longer there"):
            kept.load(key)
        with pytest.raises(InputError, match="no longer there"):
            kept.delete(key)
    with pytest.raises(InputError, match="title is empty"):
        kept.rename(one.key, " ")
    (tmp_path / "talks" / ("a" * 16 + ".jsonl")).write_text("damaged")
    assert sorted(entry.damaged for entry in kept.list()) == [False, True]


def test_how_an_answer_is_generated_is_checked() -> None:
    assert sampling_from("0.5", 1, 8.0, -1, 100) == Sampling(0.5, 1.0, 8, None)
    assert sampling_from(0, 0.1, 1, 7, 100).seed == 7
    for bad in (
        (3, 1, 8, -1),
        (0, 0, 8, -1),
        (0, 1, 0, -1),
        (0, 1, 101, -1),
        ("hot", 1, 8, -1),
        (0, 1, [], -1),
    ):
        with pytest.raises(InputError):
            sampling_from(*bad, 100)
    assert Generated("a", 11, 0.1, 1.1).tokens_per_second == pytest.approx(10)
    assert Generated("a", 1, 0.1, 0.1).tokens_per_second == 0


ENDS = ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\r", "\r\n", "\x00", "\ud800"]
ITEM = "ab" * 32


def shows(item: str) -> Image.Image:
    """A picture of a gallery item."""
    image = RED.copy()
    image.info[GALLERY_ITEM] = item
    return image


@pytest.mark.parametrize("end", ENDS, ids=ascii)
def test_a_line_ends_at_a_newline_and_nowhere_else(tmp_path: Path, end: str) -> None:
    kept = SavedConversations(tmp_path)
    words = f"one{end}two"
    talk = Conversation(system=words, title=words).asked([shows(ITEM), words]).answered(Generated(words, 2))
    talk = kept.save(talk)
    again = kept.load(talk.key)
    assert said(again) == [words, words] and again.system == words
    assert [entry.damaged for entry in kept.list()] == [False]
    kept.forget({ITEM})
    assert kept.items() == set() and kept.load(talk.key).pictures == []
    turns = again.turns() if again.shown[-1].role == "user" else again.asked([words]).turns()
    assert all(turn.sample.text.encode() for turn in turns), "a tokenizer can read it"


def test_a_file_that_another_program_saved_is_read() -> None:
    good = to_bytes(Conversation(title="\u4f60\u597d").asked(["x"]).answered(DONE))
    for data in (b"\xef\xbb\xbf" + good, good.replace(b"\n", b"\r\n"), good + b"\n\n", good.rstrip()):
        assert said(from_bytes(data)) == ["x", "a star"]


def damaged_files() -> list[bytes]:
    good = to_bytes(Conversation().asked([shows(ITEM), "x"]).answered(DONE))
    head, rest = good.split(b"\n", 1)
    cut = good[: len(good) // 2]
    return [
        b"",
        cut,
        head[:40] + b"\n" + rest,
        head + b"\n" + rest.replace(b'"parts"', b'"part"', 1),
        b"\xff" * 99,
    ]


@pytest.mark.parametrize("data", damaged_files(), ids=["empty", "cut", "no head", "wrong line", "rubbish"])
def test_a_damaged_conversation_is_listed_and_can_be_deleted(tmp_path: Path, data: bytes) -> None:
    kept, key = SavedConversations(tmp_path), "a" * 16
    other = kept.save(Conversation().asked([shows("cd" * 32), "y"]).answered(DONE))
    (tmp_path / f"{key}.jsonl").write_bytes(data)
    with pytest.raises(InputError, match="Restore the file, or delete it"):
        kept.load(key)
    assert {e.key: e.damaged for e in kept.list()} == {key: True, other.key: False}
    kept.forget({ITEM})
    assert kept.items() == {"cd" * 32}, "a deleted picture goes, with the whole file where need be"
    assert b"iVBOR" not in b"".join(p.read_bytes() for p in tmp_path.glob(f"{key}*"))
    if (tmp_path / f"{key}.jsonl").exists():
        kept.delete(key)
    assert [e.key for e in kept.list() if not e.leaving] == [other.key]


def test_savers_and_loaders_at_once(tmp_path: Path) -> None:
    kept, wrong = SavedConversations(tmp_path), list[Exception]()
    talk = kept.save(Conversation().asked([RED, "x"]).answered(DONE))

    def work(number: int) -> None:
        other = SavedConversations(tmp_path)
        for i in range(20):
            try:
                other.save(replace(talk, title=f"{number}-{i}" + "x" * number * 50_000))
                other.load(talk.key), other.list(), other.sweep()
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and [p.suffix for p in tmp_path.iterdir()] == [".jsonl"]


def test_what_killed_savers_left_goes_with_the_next_deletion(tmp_path: Path) -> None:
    kept = SavedConversations(tmp_path)
    talk = kept.save(Conversation().asked([RED, "x"]))
    for name in (f"{talk.key}.part", f"{'b' * 16}.leaving", f".{talk.key}.jsonl.0123456789abcdef.new"):
        (tmp_path / name).write_bytes(b"half a picture")
    kept.sweep()
    assert [p.name for p in tmp_path.iterdir()] == [f"{talk.key}.jsonl"]
