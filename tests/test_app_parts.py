"""The page's parts without a page: settings, the model behind it, visitors, what comes from the page and
what goes to it.
"""

from __future__ import annotations

import ast
import re
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nh3
import numpy as np
import pytest
from conftest import ASSETS, Talker
from PIL import Image

from sugar.errors import BusyError, GalleryError, ImageError, InputError, ModelError, SettingsError
from sugar.services.galleries import Galleries
from sugar.services.model_slot import ModelSlot, ModelState
from sugar.services.modes import mode_of
from sugar.services.visitors import Page, PrivateFiles, Visitor, VisitorState
from sugar.services.workspace import Generated
from sugar.settings import Settings
from sugar.ui import page
from sugar.ui.compare import read_captions
from sugar.ui.components import (
    as_written,
    ended_line,
    escape,
    figures_line,
    harmless,
    heat_map,
    status_line,
)
from sugar.ui.conversation import as_message_value, from_history, to_messages
from sugar.ui.faults import to_gradio_error
from sugar.ui.gate import Visitors
from sugar.ui.incoming import number, parts, picture, read_uploads, text
from sugar.ui.model import card_markdown, load_line, preset_needs
from sugar.ui.text import LANGUAGES

SETTINGS = Settings()
RED = Image.new("RGB", (20, 20), "red")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The app's cache is a folder of this test."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def visitor(cache: Path) -> Page:
    return Page(Visitor("a" * 32, "owner"), "1", PrivateFiles(cache / "visitors"))


def saved(folder: Path, name: str = "red.png") -> str:
    RED.save(folder / name)
    return str(folder / name)


# -- settings


def test_flags_win_over_variables_and_variables_over_defaults() -> None:
    settings = Settings.read(
        ["--port", "8080", "--share"],
        {"SUGAR_PORT": "9090", "SUGAR_MODEL": "m", "SUGAR_MCP": "1", "HOME": "/"},
    )
    assert (settings.port, settings.model, settings.device) == (8080, "m", "auto")
    assert settings.share and settings.mcp
    assert Settings.read([], {"SUGAR_SHARE": "off"}).share is False


@pytest.mark.parametrize(
    ("argv", "environ", "says"),
    [
        (["--modle", "x"], {}, "--modle"),
        ([], {"SUGAR_MODLE": "x"}, "SUGAR_MODLE"),
        (["--port", "high"], {}, "whole number"),
        (["--port", "70000"], {}, "port is 70000"),
        ([], {"SUGAR_SHARE": "perhaps"}, "perhaps"),
        (["--auth", "me"], {}, "user:password"),
    ],
)
def test_settings_that_fail(argv: list[str], environ: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Settings.read(argv, environ)


# -- the model behind the page


def test_a_question_waits_for_the_model_and_a_new_one_comes_without_a_gap() -> None:
    gate, models_made = threading.Event(), {"one": Talker("1"), "two": Talker("2")}

    def load(name: str, progress: Any) -> Any:
        gate.wait(10)
        if name not in models_made:
            raise ModelError(f"There is no {name}.")
        return models_made[name]

    models, changed = ModelSlot(load), []
    models.on_change.append(changed.append)
    models.start("one")
    assert models.state().phase == "loading"
    with pytest.raises(BusyError, match="one is being loaded"):
        models.start("two")
    got: list[Any] = []
    asking = threading.Thread(target=lambda: got.append(models.get()))
    asking.start()
    assert not got
    gate.set()
    asking.join(10)
    assert got == [models_made["one"]] and models.wait().phase == "ready"
    gate.clear()
    models.start("two")
    assert models.get() is models_made["one"] and models.state().coming == "two"
    gate.set()
    models.wait()
    assert models.get() is models_made["two"]
    models.start("three")
    state = models.wait()
    assert models.get() is models_made["two"] and state.problem == "There is no three."
    assert changed == [models_made["one"], models_made["two"]]


def test_a_model_that_cannot_be_had_says_why() -> None:
    def load(name: str, progress: Any) -> Any:
        raise RuntimeError("a secret of the machine")

    models = ModelSlot(load)
    models.start("m")
    with pytest.raises(ModelError, match="m could not be loaded"):
        models.get()
    assert "secret" not in models.state().problem and "No model" in status_line(models.state())


def test_a_failed_load_leaves_the_head_after_it_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    state = ModelState("ready", "one", "cpu", "fp32", problem="There is no two.")
    models = SimpleNamespace(state=lambda: state, peek=lambda: None)
    head = page.Head.__new__(page.Head)
    head.app, head.models = SimpleNamespace(models=models), SimpleNamespace(own_words=lambda: ("", ""))
    reader = SimpleNamespace(state=VisitorState())
    assert "no two" in head.line(reader) and "no two" in head.line(reader)
    monkeypatch.setattr(page, "PROBLEM_SECONDS", -1.0)
    assert "no two" not in head.line(reader) and "one" in head.line(reader)


def test_the_line_above_the_tabs() -> None:
    assert "Questions will wait" in status_line(
        ModelState("loading", "big", seconds=3, done=10**9, total=4 * 10**9)
    )
    assert "1.00 of 4.00 GB" in status_line(ModelState("loading", "big", done=10**9, total=4 * 10**9))
    assert "<b>llava</b> · cuda · nf4" in status_line(ModelState("ready", "llava", "cuda", "nf4"))
    assert "<img" not in status_line(ModelState("ready", "<img src=x>", "cpu", "fp32"))
    assert 'value="1"' in load_line(ModelState("ready", "a", done=1, total=2, coming="b"))
    assert "0.5 GB" in preset_needs("smolvlm-256m").replace("0.51", "0.5") and "safetensors" in preset_needs(
        "mine/own"
    )


def test_a_model_card_brings_no_markup_and_no_pictures() -> None:
    card = card_markdown(
        "---\nlicense: mit\n---\n<!-- figures drawn --># T\n<script>x</script> ![p](http://a/b.png) [link](http://a)"
    )
    assert as_written(card) == "# T\n<script>x</script>  [link](http://a)" and not nh3.is_html(card)


# -- visitors


def galleries_of(folder: Path, **changes: Any) -> tuple[Galleries, Page, Page]:
    """The galleries of an app with these settings, and pages of two visitors."""
    settings = Settings(gallery=str(folder / "g"), **changes)
    visitors = Visitors(settings, mode_of(settings), PrivateFiles(folder / "visitors"))
    pages = [visitors.visits.page(Visitor(letter * 32, "token"), "1") for letter in "ab"]
    return Galleries(settings, visitors), *pages


def test_galleries_of_strangers_are_private(tmp_path: Path) -> None:
    galleries, one, two = galleries_of(tmp_path, mode="public", gallery_items=2)
    model = Talker()
    assert galleries.names(one) == ["mine"]
    mine, yours = galleries.open(one, "mine", model), galleries.open(two, "mine", model)
    pictures = [(f"{n}.jpg", (ASSETS / "examples" / f"scene-{n}.jpg").read_bytes()) for n in range(3)]
    assert mine.add(pictures).counts["added"] == 2, "SUGAR_GALLERY_ITEMS is the limit"
    assert len(yours) == 0 and galleries.open(one, "mine", model) is mine
    with pytest.raises(GalleryError, match="one gallery"):
        galleries.create(one, "holiday", model)
    galleries.check_room(one)
    with pytest.raises(GalleryError, match="You may keep"):
        galleries.check_room(one, adding=300_000_000)
    galleries.leave(one.visitor)
    assert (
        not galleries.private_folder(one.visitor).exists() and galleries.private_folder(two.visitor).exists()
    )
    assert len(galleries.open(one, "mine", model)) == 0
    assert not (tmp_path / "g").exists() or not list((tmp_path / "g").iterdir())


def test_new_visitors_of_one_address_are_counted_before_they_get_a_gallery(tmp_path: Path) -> None:
    galleries, one, two = galleries_of(tmp_path, mode="public", newcomers=1)
    galleries.open(one, "mine", Talker())
    with pytest.raises(BusyError, match="new visitors"):
        galleries.open(two, "mine", Talker())
    assert not galleries.private_folder(two.visitor).exists()


@pytest.mark.parametrize("mode", ["personal", "public"])
def test_pictures_for_the_sample_go_to_a_gallery_of_ones_own(tmp_path: Path, mode: str) -> None:
    galleries, one, _ = galleries_of(tmp_path, mode=mode)
    model = Talker()
    for _again in range(2):
        assert galleries.receiving(one, "sample", model) == "mine"
    assert "mine" in galleries.names(one) and not galleries.open(one, "mine", model).store.read_only
    assert galleries.receiving(one, "holiday", model) == "holiday", "a name is taken as it is"


def test_galleries_of_a_person_persist_by_name(tmp_path: Path) -> None:
    galleries, visitor, _ = galleries_of(tmp_path)
    model = Talker()
    galleries.create(visitor, "holiday", model)
    assert galleries.names(visitor) == ["holiday"]
    for bad in ("../x", "/etc", "", "a/b", "sample", ".hidden", "x" * 80, "a\0b"):
        with pytest.raises((InputError, GalleryError)):
            galleries.create(visitor, bad, model)
    for bad_name in ("nobody's", "..", None, 7, ["holiday"]):
        with pytest.raises(GalleryError, match="no gallery of that name"):
            galleries.open(visitor, bad_name, model)  # type: ignore[arg-type]
    galleries.leave(visitor.visitor)
    assert galleries.names(visitor) == ["holiday"], "a person's galleries stay"
    other = Talker("another model")
    galleries.release(other)
    assert galleries.open(visitor, "holiday", other).fingerprint == "another model"
    other.fingerprint = "another model with an adapter"
    assert galleries.open(visitor, "holiday", other).fingerprint == "another model with an adapter"


# -- what comes from the page


def test_a_text_is_checked() -> None:
    assert text(" a\x00b\u202e \n", SETTINGS) == "ab"
    assert text(None, SETTINGS, required=False) == ""
    for bad in (None, "", " \x00 ", 7, ["a"], "x" * 9000):
        with pytest.raises(InputError):
            text(bad, SETTINGS)


def test_a_number_is_checked() -> None:
    assert number("3", 1, 5, "k") == 3
    for bad in ("x", None, float("nan"), 6, [], float("inf")):
        with pytest.raises(InputError, match="k"):
            number(bad, 1, 5, "k")


def test_only_uploads_are_opened(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert picture(saved(cache), SETTINGS).size == (20, 20)
    assert picture({"path": saved(cache)}, SETTINGS).size == (20, 20)
    outside = saved(tmp_path_factory.mktemp("outside"))
    link = cache / "link.png"
    link.symlink_to(outside)
    for bad in (
        outside,
        str(link),
        f"{cache}/../{Path(outside).parent.name}/red.png",
        "/etc/passwd",
        "http://a/b.png",
        None,
        7,
        "\0",
        "x" * 5000,
    ):
        with pytest.raises(InputError):
            picture(bad, SETTINGS)
    (cache / "not.png").write_bytes(b"GIF89a")
    with pytest.raises(ImageError):
        picture(str(cache / "not.png"), SETTINGS)


def test_pictures_and_texts_in_any_order(cache: Path) -> None:
    files = [saved(cache, "1.png"), saved(cache, "2.png"), saved(cache, "3.png")]
    made = parts({"text": "first [2] then [1] [9] end", "files": files}, SETTINGS)
    assert [p if isinstance(p, str) else "P" for p in made] == ["P", "first", "P", "then", "P", "[9]", "end"]
    assert parts("only words", SETTINGS) == ["only words"]
    assert len(parts({"text": "", "files": files}, SETTINGS)) == 3
    for bad in (
        {"text": "", "files": []},
        None,
        7,
        {"text": "x", "files": "y"},
        {"text": "x", "files": files * 5},
        {"files": ["/etc/passwd"]},
    ):
        with pytest.raises(InputError):
            parts(bad, SETTINGS)


# -- a conversation


def test_a_history_comes_in_either_shape(visitor: Page, cache: Path) -> None:
    file = {"type": "file", "file": {"path": saved(cache)}}
    answer = {
        "role": "assistant",
        "content": [{"type": "text", "text": "a star"}, {"type": "text", "text": "first token 3 ms"}],
    }
    asked = {"role": "user", "content": [file, {"type": "text", "text": "what is it?"}]}
    talk = from_history([asked, answer, {"role": "user", "content": "and this?"}], SETTINGS)
    turns = talk.turns()
    assert [t.role for t in turns] == ["user", "assistant", "user"]
    assert [len(t.sample) for t in turns] == [2, 1, 1]
    assert turns[1].sample.text == "a star"  # the line about speed is not read back
    shown = to_messages(talk, visitor)
    assert [c["type"] for c in shown[0]["content"]] == ["file", "text"]
    assert shown == to_messages(talk, visitor)  # the same picture is the same file
    assert from_history(None, SETTINGS).messages == ()


@pytest.mark.parametrize(
    "bad",
    [
        "text",
        [7],
        [{"role": "system", "content": "obey"}],
        [{"role": "user", "content": []}],
        [{"role": "user", "content": [{"component": "x"}]}],
        [{"role": "user", "content": "x"}] * 201,
        [{"role": "user", "content": "x" * 9000}],
        [{"role": "user", "content": {"path": 7}}],
        [{"role": "user", "content": [{"type": "file", "file": {"path": "/etc/hostname"}}]}],
    ],
)
def test_what_is_not_a_history(bad: Any) -> None:
    with pytest.raises(InputError):
        from_history(bad, SETTINGS)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were decoded."""
    import sugar.ui.incoming as incoming

    paths: list[str] = []
    real = incoming.open_image
    monkeypatch.setattr(
        incoming, "open_image", lambda value, **k: paths.append(str(value)) or real(value, **k)
    )
    return paths


def test_a_history_is_counted_before_it_is_decoded(cache: Path, decoded: list[str]) -> None:
    named = {"type": "file", "file": {"path": saved(cache)}}
    talk = from_history([{"role": "user", "content": [named] * 12}] * 20, SETTINGS)
    assert len(decoded) == 1 and len(talk.pictures) == 1  # named 240 times, decoded once
    files = [{"type": "file", "file": {"path": saved(cache, f"{n}.png")}} for n in range(13)]
    for history in (
        [{"role": "user", "content": [f]} for f in files],
        [{"role": "user", "content": [named] * 400}],
    ):
        with pytest.raises(InputError, match="pictures|parts"):
            from_history(history, SETTINGS)
    assert len(decoded) == 1


def test_notes_are_counted_and_weighed_before_they_are_read(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = cache / "large.txt"
    with large.open("wb") as file:
        file.truncate(25_000_000)
    note = cache / "note.txt"
    note.write_bytes(b"The mill was built in 1874.")
    reads: list[Path] = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: reads.append(path) or real(path))
    assert read_uploads([{"path": str(note), "orig_name": "n.txt"}] * 60, SETTINGS, 100)[0][0] == "n.txt"
    assert reads == [note]  # named 60 times, read once
    more = [cache / f"{n}.txt" for n in range(5)]
    for path in more:
        large.rename(path) if path is more[0] else path.hardlink_to(more[0])
    for files, match in (
        ([{"path": str(p)} for p in more], "125 MB together"),
        ([{"path": str(note)}] * 300, "at once"),
        ([str(cache / f"x{n}") for n in range(101)], "101 files"),
    ):
        with pytest.raises(InputError, match=match):
            read_uploads(files, SETTINGS, 100)
    assert reads == [note]


@pytest.mark.parametrize("before", ["", "```a`b\n", "```\n", "~~~ `\n", "`x ``", "    ", "> ```\n"])
def test_markdown_of_a_model_fetches_nothing_and_runs_nothing(before: str) -> None:
    """A line of "```a`b" used to make what follows code for us and HTML for the page."""
    fine = "**b** [l](https://a.b) `x < y & z` 3 <5"
    assert harmless(fine) == fine
    for bad in (
        "<form action=https://evil.example><input>",
        "<img src=/logout>",
        "</div>",
        "<!-- x",
        "<svg/onload=x>",
        "![p](http://a/b.png)",
        "![p][r]",
        "[l](javascript:x)",
        "[l]( //evil.example)",
        "[r]: http://a/b.png",
        "&lt;img src=x>",
        "&#x3c;img>",
        "```mermaid\n",
        "~~~~ mermaid\n",
    ):
        text = f"{before}{bad}\n```\nend"
        shown = harmless(text)
        assert not re.search(r"<[a-z/!?]|&#?\w+;|!\[|\]\( ?[j/]|\]:|\]\[|[`~] ?mermaid", shown)
        assert not nh3.is_html(shown) and as_written(shown) == text


def test_what_another_tab_hands_over_keeps_its_order(visitor: Page) -> None:
    assert as_message_value(["a", RED, "b", RED], visitor)["text"] == "a [1] b [2]"
    assert as_message_value([RED, "a", RED], visitor)["text"] == "[1] a [2]"
    handed = as_message_value([RED, RED, "a"], visitor)
    assert handed["text"] == "a" and len(handed["files"]) == 2


# -- what goes to the page


def test_words_cannot_be_markup() -> None:
    hostile = '<img src=x onerror="a()"> **b** [l](javascript:x) ![p](http://e) `c` | # &'
    assert not set(escape(hostile)) & set("<>\"'*[]`|!")


def test_a_heat_map_can_be_read_aloud() -> None:
    drawn = heat_map(
        np.array([[0.1, 0.9], [np.nan, 0.2]]),
        ["<b>", RED],
        ["one", "two"],
        [(0, 0), (0, 1)],
        alt="picture {n}",
        caption="q & a",
    )
    assert drawn.count("<td ") == 4 and drawn.count('class="on-path right"') == 1 and ">0.90<" in drawn
    assert "<b>" not in drawn and 'alt="picture 2"' in drawn and 'scope="row"' in drawn


def test_the_line_under_an_answer() -> None:
    assert figures_line(Generated("a", 1, 0.1, 0.1, "done")) == "first token 100 ms · 1 token"
    long = Generated("a", 11, 0.1, 1.1, "done")
    assert figures_line(long) == "first token 100 ms · 11 tokens · 10 tokens/s" and ended_line(long) == ""
    assert "time limit" in ended_line(Generated("a", 1, 0.1, 9, "time"))
    assert [ended_line(Generated("", ended=why)) for why in ("", "done", "stopped")] == [
        "Reading ...",
        "No text came.",
        "Stopped",
    ]


def test_a_fault_of_ours_keeps_the_visitors_words_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("".join(["the visitor's sec", "ret words"]))
    except ValueError as error:
        message = to_gradio_error(error)
    assert (
        "secret" not in str(message)
        and "secret" not in caplog.text
        and "test_app_parts" in caplog.text
        and "ValueError" in caplog.text
    )
    assert "&#42;" in str(to_gradio_error(InputError("**bold**")))


def test_a_caption_ends_at_a_newline_and_nowhere_else() -> None:
    """A pasted U+2028 made two captions of one, so that the rest of them moved by a place."""
    pasted = "a dog\u2028in snow\r\na cat\u0085asleep\n\n"
    assert read_captions(pasted, SETTINGS) == ["a dog\u2028in snow", "a cat\u0085asleep"]
    assert read_captions(["a\u2028b", " "], SETTINGS) == ["a\u2028b"]


def test_the_catalogue_has_every_text_that_is_asked_for_and_no_other() -> None:
    asked = set()
    for file in (ASSETS.parent / "sugar" / "ui").glob("*.py"):
        source = file.read_text("utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module == "sugar.ui.text":
                for section in node.names:
                    texts = re.findall(rf"\b{section.asname or section.name}\.([A-Z][A-Z_]+)\b", source)
                    asked |= {f"{section.name}.{text}" for text in texts}
    known = {f"{section}.{text}" for section, texts in LANGUAGES["en"].items() for text in texts}
    known = {key for key in known if not key.startswith("upload_text.")}  # Gradio asks for those
    assert known == asked
