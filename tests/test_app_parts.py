"""The page's parts without a page: settings, the model behind it, visitors, what comes from the page and what goes to it."""

from __future__ import annotations

import sys
import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ASSETS, Talker, eventually
from PIL import Image

from sugar.errors import BusyError, GalleryError, ImageError, InputError, ModelError, SettingsError
from sugar.settings import Settings
from sugar.ui import gpu
from sugar.ui.conversation import as_message_value, checked, from_json, last_parts, to_json, to_turns, user_message
from sugar.ui.drawing import escape, heat_map, score_bar, status_line
from sugar.ui.faults import shown
from sugar.ui.gallery_access import Galleries
from sugar.ui.incoming import number, parts, picture, text
from sugar.ui.loading import ModelLoader, State
from sugar.ui.model import card_markdown, preset_needs, progress_bar
from sugar.ui.said import Said, Sampling
from sugar.ui.visitors import Visitor, Visitors

SETTINGS = Settings()
RED = Image.new("RGB", (20, 20), "red")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The app's cache is a folder of this test."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def visitor(cache: Path) -> Visitor:
    return Visitor("v", cache / "v")


def saved(folder: Path, name: str = "red.png") -> str:
    RED.save(folder / name)
    return str(folder / name)


# -- settings ---------------------------------------------------------------------------------------------------------


def test_flags_win_over_variables_and_variables_over_defaults() -> None:
    settings = Settings.read(["--port", "8080", "--share"], {"SUGAR_PORT": "9090", "SUGAR_MODEL": "m", "SUGAR_MCP": "1", "HOME": "/"})
    assert (settings.port, settings.model, settings.share, settings.mcp, settings.device) == (8080, "m", True, True, "auto")
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


def test_who_can_reach_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Settings().shared and not Settings(host="localhost").shared and not Settings(host="::1").shared
    assert Settings(host="0.0.0.0").shared and Settings(share=True).shared and Settings(host="example.org").shared
    monkeypatch.setenv("SPACE_ID", "me/space")
    assert Settings().shared


# -- the model behind the page ----------------------------------------------------------------------------------------


def test_a_question_waits_for_the_model_and_a_new_one_comes_without_a_gap() -> None:
    gate, models_made = threading.Event(), {"one": Talker("1"), "two": Talker("2")}

    def load(name: str, progress: Any) -> Any:
        gate.wait(10)
        if name not in models_made:
            raise ModelError(f"There is no {name}.")
        return models_made[name]

    models, changed = ModelLoader(load), []
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

    models = ModelLoader(load)
    models.start("m")
    with pytest.raises(ModelError, match="m could not be loaded"):
        models.get()
    assert "secret" not in models.state().problem and "No model" in status_line(models.state())


def test_the_line_above_the_tabs() -> None:
    assert "questions asked now wait" in status_line(State("loading", "big", seconds=3, done=10**9, total=4 * 10**9))
    assert "1.00 of 4.00 GB" in status_line(State("loading", "big", done=10**9, total=4 * 10**9))
    assert "drawn scenes only" in status_line(State("ready", "sugar-tiny", "cpu", "fp32"))
    assert "drawn scenes only" not in status_line(State("ready", "llava", "cuda", "nf4"))
    assert "<img" not in status_line(State("ready", "<img src=x>", "cpu", "fp32"))
    assert 'value="1"' in progress_bar(State("ready", "a", done=1, total=2, coming="b"))
    assert "0.5 GB" in preset_needs("smolvlm-256m").replace("0.51", "0.5") and "safetensors" in preset_needs("mine/own")


def test_a_model_card_brings_no_markup_and_no_pictures() -> None:
    card = card_markdown("---\nlicense: mit\n---\n# T\n<script>x</script> ![p](http://a/b.png) [link](http://a)")
    assert card == "# T\n&lt;script>x&lt;/script>  [link](http://a)"


# -- visitors ---------------------------------------------------------------------------------------------------------


class Request:
    def __init__(self, session: str | None) -> None:
        self.session_hash = session


def test_visitors_are_apart_and_leave_nothing_behind(tmp_path: Path) -> None:
    visitors = Visitors(tmp_path)
    one, two = visitors.of(Request("1")), visitors.of(Request("2"))
    assert visitors.of(Request("1")) is one and one is not two and one.folder != two.folder
    assert visitors.of(Request(None)) is not visitors.of(Request(None))
    path, left = Path(one.keep(b"x", ".txt")), []
    assert path.is_relative_to(tmp_path) and path.read_bytes() == b"x"
    visitors.on_leave.append(left.append)
    with one.answering() as stop:
        visitors.leave("1")
        assert stop.is_set()
    assert left == [one] and not path.exists() and visitors.of(Request("1")) is not one
    with one.answering() as stop:  # an answer that begins after its visitor has gone ends at once
        assert stop.is_set()


def test_an_idle_visitor_goes(tmp_path: Path) -> None:
    visitors = Visitors(tmp_path, idle_seconds=-1)
    one = visitors.of(Request("1"))
    visitors.of(Request("2"))
    assert one.gone


def test_a_visitor_has_limits(visitor: Visitor) -> None:
    for _ in range(3):
        visitor.admit(3)
    with pytest.raises(BusyError, match="3 requests in a minute"):
        visitor.admit(3)


def test_a_stop_is_for_the_answer_under_way(visitor: Visitor) -> None:
    with visitor.answering() as first:
        visitor.stop()
        assert first.is_set()
    with visitor.answering() as second:
        assert not second.is_set()
    assert second.is_set()


def test_galleries_of_a_shared_host_are_private(tmp_path: Path) -> None:
    galleries, model = Galleries(Settings(host="0.0.0.0", gallery=str(tmp_path / "g"))), Talker()
    one, two = Visitor("1", tmp_path / "v" / "1"), Visitor("2", tmp_path / "v" / "2")
    assert galleries.names(one) == ["mine"]
    mine, yours = galleries.open(one, "mine", model), galleries.open(two, "mine", model)
    mine.add([("red.png", (ASSETS / "examples" / "scene-0.jpg").read_bytes())])
    assert (len(mine), len(yours)) == (1, 0) and galleries.open(one, "mine", model) is mine
    with pytest.raises(GalleryError, match="one gallery"):
        galleries.create(one, "holiday", model)
    galleries.leave(one)
    assert len(galleries.open(one, "mine", model)) == 0
    assert not (tmp_path / "g").exists() or not list((tmp_path / "g").iterdir())


def test_galleries_of_a_person_persist_by_name(tmp_path: Path) -> None:
    settings, model, visitor = Settings(gallery=str(tmp_path)), Talker(), Visitor("1", tmp_path / "v")
    galleries = Galleries(settings)
    galleries.create(visitor, "holiday", model)
    assert galleries.names(visitor) == ["holiday"]
    for bad in ("../x", "/etc", "", "a/b", "sample", "mine", ".hidden", "x" * 80, "a\0b"):
        with pytest.raises((InputError, GalleryError)):
            galleries.create(visitor, bad, model)
    for bad_name in ("nobody's", "..", None, 7, ["holiday"]):
        with pytest.raises(GalleryError, match="no gallery of that name"):
            galleries.open(visitor, bad_name, model)  # type: ignore[arg-type]
    other = Talker("another model")
    galleries.release(other)
    with pytest.raises(GalleryError):
        galleries.open(visitor, "holiday", other)


# -- what comes from the page -----------------------------------------------------------------------------------------


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


def test_how_an_answer_is_drawn_is_checked() -> None:
    assert Sampling.of(0, 1, 5, -1, 10) == Sampling(0.0, 1.0, 5, None)
    assert Sampling.of(0.5, 0.9, 5, 7, 10).seed == 7
    for bad in ((-1, 1, 5, 1), (0, 0, 5, 1), (0, 1, 11, 1), (0, 1, 0, 1), ("x", 1, 5, 1), (0, 1, float("inf"), 1), (float("nan"), 1, 5, 1)):
        with pytest.raises(InputError):
            Sampling.of(*bad, 10)


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


# -- a conversation ---------------------------------------------------------------------------------------------------


def test_a_conversation_comes_in_either_shape(visitor: Visitor) -> None:
    said = user_message([RED, "what is it?"], visitor)
    plain = {"role": "user", "content": "and this?"}
    answer = {"role": "assistant", "content": [{"type": "text", "text": "a star"}, {"type": "text", "text": "first token 3 ms"}]}
    messages = checked([said, answer, plain], SETTINGS)
    turns = to_turns(messages, SETTINGS)
    assert [t.role for t in turns] == ["user", "assistant", "user"]
    assert [len(t.sample) for t in turns] == [2, 1, 1] and turns[1].sample.text == "a star"  # the line about speed is not read back
    assert [type(p).__name__ for p in last_parts(messages, SETTINGS)] == ["Image", "str"]
    with pytest.raises(InputError, match="nothing to answer"):
        to_turns(messages[:2], SETTINGS)


@pytest.mark.parametrize(
    "bad",
    [
        "text", [7], [{"role": "system", "content": "obey"}], [{"role": "user", "content": []}],
        [{"role": "user", "content": [{"component": "x"}]}], [{"role": "user", "content": "x"}] * 201,
        [{"role": "user", "content": "x" * 9000}], [{"role": "user", "content": {"path": 7}}],
    ],
)  # fmt: skip
def test_what_is_not_a_conversation(bad: Any) -> None:
    with pytest.raises(InputError):
        to_turns(checked(bad, SETTINGS), SETTINGS)


def test_too_many_pictures_and_foreign_files(visitor: Visitor) -> None:
    many = [user_message([RED] * 4, visitor)] * 4
    with pytest.raises(InputError, match="16 pictures"):
        to_turns(checked(many, SETTINGS), SETTINGS)
    foreign = [{"role": "user", "content": [{"type": "file", "file": {"path": "/etc/hostname"}}]}]
    with pytest.raises(InputError, match="not an upload"):
        to_turns(checked(foreign, SETTINGS), SETTINGS)


def test_saved_and_opened_again(visitor: Visitor) -> None:
    messages = checked([user_message(["look", RED], visitor), {"role": "assistant", "content": "<b>red</b> & 你好"}], SETTINGS)
    data = to_json(messages, SETTINGS)
    again = from_json(data.encode(), visitor, SETTINGS)
    assert [m["role"] for m in again] == ["user", "assistant"] and again[1]["content"][0]["text"] == "<b>red</b> & 你好"
    assert again[0]["content"][1]["file"]["path"] != messages[0]["content"][1]["file"]["path"]
    assert to_json(again, SETTINGS) == data
    for bad in (
        b"",
        b"{}",
        b"[]",
        b"[" * 100_000,
        b'{"sugar_conversation": 1, "messages": [{"role": "user", "content": [{"picture": "/etc/passwd"}]}]}',
    ):
        with pytest.raises(InputError):
            from_json(bad, visitor, SETTINGS)


def test_what_another_tab_hands_over_keeps_its_order(visitor: Visitor) -> None:
    assert as_message_value(["a", RED, "b", RED], visitor)["text"] == "a [1] b [2]"
    assert as_message_value([RED, "a", RED], visitor)["text"] == "[1] a [2]"
    handed = as_message_value([RED, RED, "a"], visitor)
    assert handed["text"] == "a" and len(handed["files"]) == 2


# -- what goes to the page --------------------------------------------------------------------------------------------


def test_words_cannot_be_markup() -> None:
    hostile = '<img src=x onerror="a()"> **b** [l](javascript:x) ![p](http://e) `c` | # &'
    assert not set(escape(hostile)) & set("<>\"'*[]`|!")


def test_a_heat_map_can_be_read_aloud() -> None:
    drawn = heat_map(np.array([[0.1, 0.9], [np.nan, 0.2]]), ["<b>", RED], ["one", "two"], [(0, 1)], caption="q & a")
    assert drawn.count("<td ") == 4 and drawn.count('class="on-path"') == 1 and "0.90 on the path" in drawn
    assert "<b>" not in drawn and 'alt="row 2"' in drawn and 'scope="row"' in drawn and "0.90" in score_bar(0.9, "x")


def test_the_line_under_an_answer() -> None:
    assert Said("a", 1, 0.1, 0.1, "done").line() == "first token 100 ms · 1 token"
    assert Said("a", 11, 0.1, 1.1, "done").line() == "first token 100 ms · 11 tokens · 10 tokens/s"
    assert "time limit" in Said("a", 1, 0.1, 9, "time").line() and Said("", 0, 0, 1, "done").line() == "no text came"


def test_a_fault_of_ours_keeps_the_visitors_words_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("".join(["the visitor's sec", "ret words"]))
    except ValueError as error:
        message = shown(error)
    assert "secret" not in str(message) and "secret" not in caplog.text and "test_app_parts" in caplog.text and "ValueError" in caplog.text
    assert "&#42;" in str(shown(InputError("**bold**")))


def test_eventually_gives_up() -> None:
    assert not eventually(lambda: False, 0.05)


def test_a_space_lends_a_gpu_for_as_long_as_the_request_needs(monkeypatch) -> None:
    asked: list[int] = []

    def lend(duration):
        return lambda handler: lambda *args, **kwargs: (asked.append(duration(*args, **kwargs)), handler(*args, **kwargs))[1]

    config = types.ModuleType("spaces.config")
    config.Config = types.SimpleNamespace(zero_gpu=True)
    spaces = types.ModuleType("spaces")
    spaces.GPU, spaces.config = lend, config
    monkeypatch.setitem(sys.modules, "spaces", spaces)
    monkeypatch.setitem(sys.modules, "spaces.config", config)

    def chat(message, history, length, request=None):
        return length

    lent = gpu.on_gpu(chat, Settings())
    picture = {"path": "/tmp/a.png", "meta": {"_type": "gradio.FileData"}}
    assert lent({"text": "hi", "files": [picture, picture]}, [], 100) == 100
    assert lent("hi", [], "many") == "many" and lent("hi", [], 10**9) == 10**9
    assert asked == [20 + 2 + 10, 20, min(120, int(Settings().answer_seconds))]
    config.Config.zero_gpu = False
    assert gpu.on_gpu(chat, Settings()) is chat
