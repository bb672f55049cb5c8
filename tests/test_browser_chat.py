"""The Chat and the Model tab in a real browser. What holds for every tab is in test_browser_access.py."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import ASSETS, Served, Talker, Window, connect, screenshot, serve
from playwright.sync_api import expect
from talking import answered, box, ready, send, stop, talk, talk_at_length

from sugar.gallery import Gallery
from sugar.services.conversation import FOLDER


def test_upload_stream_and_answers_that_are_markdown_and_never_markup(window: Window) -> None:
    page = window.open()
    send(page, "first [1] then [2]", "before.jpg", "after.jpg")
    answered(page, "I see 2 pictures and the words first then")
    expect(page.locator("#talk .user img")).to_have_count(2)
    expect(talk(page).get_by_text("tokens")).to_be_hidden()
    talk(page).locator("summary").click()
    expect(talk(page).get_by_text("tokens")).to_be_visible()
    assert box(page) == ""
    screenshot(page, "chat")
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator("#talk .user")).to_have_count(0)
    page.evaluate("window.harmed = false")
    hostile = (
        "<img src=x onerror='window.harmed=true'> **b** [l](javascript:1) ![p](http://example.org/p.png)"
    )
    send(page, hostile + " <script>window.harmed=true</script>")
    answered(page, "I see 0 pictures and the words <\u2060img")
    assert page.locator("#talk .message img, #talk .user strong").count() == 0
    links = page.locator("#talk .message a").evaluate_all("(all) => all.map((a) => a.href)")
    assert all(link.startswith("http://example.org/") for link in links)  # shown, not fetched
    expect(page.locator("#talk .bot strong")).to_have_text("b")
    assert page.evaluate("window.harmed") is False


def test_retry_gives_versions_and_undo_edit_and_new_take_back(window: Window) -> None:
    page = window.open()
    send(page, "is the star red?", "scene-0.jpg")
    answered(page, "I see 1 pictures and the words is the star red?")
    page.get_by_role("button", name="Retry").last.click()
    page.get_by_text("Version 2 of 2").wait_for()
    ready(page)
    page.get_by_role("button", name="Previous version").click()
    page.get_by_text("Version 1 of 2").wait_for()
    send(page, "and now?")
    answered(page, "the words and now?")
    page.get_by_role("button", name="Next version").click()
    page.get_by_text("Version 2 of 2").wait_for()
    assert "and now" not in talk(page).inner_text()
    page.set_input_files(
        "#message input[type=file]", str(ASSETS / "examples" / "scene-1.jpg")
    )  # a draft: its picture becomes the second
    page.locator("#message img").wait_for()
    page.fill("#message textarea", "or as [1]?")
    page.get_by_role("button", name="Edit last question").click()
    expect(page.locator("#message textarea")).to_have_value("is the star red?\nor as [2]?")
    expect(page.locator("#message img")).to_have_count(2)
    page.locator("#message .delete-button").last.click()
    page.fill("#message textarea", "is the star blue?")
    page.press("#message textarea", "Enter")
    answered(page, "I see 1 pictures and the words is the star blue?")
    page.get_by_role("button", name="Undo").last.click()
    talk(page).get_by_text("what differs between these two?").wait_for()
    send(page, "once more")
    answered(page, "once more")
    page.fill("#message textarea", "  ")  # nothing that could be put behind it
    page.get_by_role("button", name="Edit last question").click()
    expect(page.locator("#message textarea")).to_have_value("once more")
    page.press("#message textarea", "Enter")
    answered(page, "once more")
    page.get_by_role("button", name="New conversation").click()
    talk(page).get_by_text("what differs between these two?").wait_for()


def test_an_example_works_at_one_click_and_goes_on_to_search(window: Window) -> None:
    page = window.open()
    page.get_by_text("what differs between these two?").click()
    answered(page, "I see 2 pictures and the words what differs between these two?")
    page.get_by_role("button", name="Compare these").click()
    page.get_by_role("tab", name="Tell apart", selected=True).wait_for()
    page.get_by_role("tab", name="Chat").click()
    page.get_by_role("button", name="Search with this").click()
    page.get_by_role("tab", name="Photos", selected=True).wait_for()


def open_file(page: Any, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Import", exact=True).click()
    chooser.value.set_files(file)


def test_a_conversation_is_kept_renamed_exported_and_deleted(
    window: Window, app: Served, tmp_path: Path
) -> None:
    page = window.open()
    send(page, "keep <b>this</b> & that", "scene-0.jpg")
    joined = "<\u2060b>this<\u2060/b>"  # a sign that nobody sees keeps the words of a model from being tags
    answered(page, f"I see 1 pictures and the words keep {joined} & that")
    for _ in range(2):
        window.go()  # the browser's tab opens it again
        talk(page).get_by_text("I see 1 pictures").wait_for()
        expect(page.locator("#talk .user img")).to_have_count(1)  # a picture comes after its words
    expect(page.locator("#saved-list [aria-current=true] img")).to_have_count(1)
    expect(page.get_by_role("textbox", name="Title")).to_have_value(
        re.compile("^keep")
    )  # its name comes after it
    page.get_by_role("textbox", name="Title").fill("Holiday")
    page.get_by_role("textbox", name="Title").press("Enter")
    page.locator("#saved-list").get_by_text("Holiday").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export", exact=True).click()
    download.value.save_as(tmp_path / "conversation.jsonl")
    page.get_by_role("button", name="Delete Holiday").click()
    expect(page.locator("#talk .user")).to_have_count(0)
    page.locator("#saved-list").get_by_role("button", name="Undo").click()
    talk(page).get_by_text("I see 1 pictures").wait_for()
    page.get_by_role("button", name="Delete Holiday").click()
    expect(page.locator("#talk .user")).to_have_count(0)
    page.get_by_role("button", name="New conversation").click()
    talk_at_length(page)
    open_file(page, tmp_path / "conversation.jsonl")  # ends the answer, instead of drowning in it
    talk(page).get_by_text("I see 1 pictures").wait_for()
    ready(page)
    assert app.model.running == 0 and "word5" not in talk(page).inner_text()


def test_a_first_question_is_kept_while_it_is_answered_and_damaged_ones_can_be_deleted(
    window: Window, app: Served
) -> None:
    page = window.open()
    talk_at_length(page)
    window.go()  # in the middle of the answer
    talk(page).locator(".user").get_by_text("talk at length").wait_for()
    expect(talk(page).get_by_text("Stopped")).to_be_visible()
    ready(page)
    folder = app.settings.gallery_root / FOLDER
    saved = max(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
    saved.write_bytes(saved.read_bytes() + b"{damaged}")
    page.locator("#saved-list [aria-current=true]").click()
    page.get_by_text("Restore the file, or delete it").wait_for()
    window.errors.clear()  # the refusal
    page.reload()
    page.locator("#saved-list .damaged").wait_for()
    page.locator("#saved-list li:has(.damaged) .delete").first.click()
    expect(page.locator("#saved-list .damaged")).to_have_count(0)
    assert not saved.exists()


def test_photos_of_the_gallery_are_shown_in_the_conversation(window: Window, app: Served) -> None:
    page = window.open()
    send(page, "show me photos of a red star")
    answered(page, "no gallery")
    gallery = Gallery.create(app.settings.gallery_root / "trip", app.model)
    gallery.add([ASSETS / "examples" / f"scene-{n}.jpg" for n in range(3)])
    gallery.close()
    page.reload()
    talk(page).get_by_text("no gallery").wait_for()
    send(page, "show me photos of a red star")
    answered(page, "of the gallery trip")
    expect(talk(page).locator(".bot .message img")).to_have_count(3)
    expect(page.locator("#talk-pictures [aria-checked=true]")).to_have_count(1)
    talk(page).locator(".bot .message img").last.click()
    page.locator("#talk-opened .sugar-region img").wait_for()
    page.keyboard.press("Escape")
    expect(page.locator("#talk-opened .sugar-region")).to_have_count(0)
    send(page, "what is it?")
    answered(page, "I see 1 pictures and the words what is it?")
    connect(app).predict("trip", api_name="/gallery_remove")


def test_pictures_are_set_aside_and_regions_asked_about(window: Window) -> None:
    page = window.open()
    send(page, "both", "before.jpg", "after.jpg")
    answered(page, "I see 2 pictures and the words both")
    talk(page).locator("summary").last.click()
    expect(talk(page).get_by_text("used pictures: 1, 2")).to_be_visible()
    first = page.get_by_role("switch", name="Use picture 1")
    first.click()
    expect(first).to_have_attribute("aria-checked", "false")
    send(page, "one")
    answered(page, "the words one")
    talk(page).locator("summary").last.click()
    expect(talk(page).get_by_text(re.compile("used pictures: 2$"))).to_be_visible()
    page.get_by_role("button", name="Open picture 2").click()
    frame = page.locator("#talk-opened .sugar-region")
    place = frame.locator("img").bounding_box()
    assert place
    page.mouse.move(place["x"] + 20, place["y"] + 20)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.mouse.up()
    page.get_by_role("button", name="Ask about this region").click()
    page.locator("#message img").wait_for()
    expect(frame).to_have_count(0)
    page.get_by_role("button", name="Open picture 2").click()
    frame.focus()
    page.keyboard.press("ArrowRight")  # by keyboard: a region in the middle
    page.keyboard.press("+")
    page.get_by_role("button", name="Ask about this region").click()
    expect(page.locator("#message img")).to_have_count(2)
    screenshot(page, "chat-region")


def test_the_page_while_the_model_loads(browser: Any, tmp_path: Path) -> None:
    gate = threading.Event()
    window = Window(
        browser, serve(tmp_path, load=lambda name, progress: Talker() if gate.wait(300) else None)
    )
    page = window.page
    try:
        page.goto(window.served.url)
        page.get_by_role("tab", name="Chat", exact=True).click()
        page.get_by_text("Questions will wait").wait_for()
        send(page, "red star")
        talk(page).get_by_text("red star").wait_for()
        stop(page)
        ready(page)
        send(page, "blue star")
        talk(page).get_by_text("blue star").wait_for()
        gate.set()
        answered(page, "I see 0 pictures and the words blue star")
        assert "the words red star" not in talk(page).inner_text()
        page.get_by_text("Words and mean colours").wait_for()  # what this model says that it is good at
        expect(page.locator("#status")).to_contain_text("sugar-tiny · cpu · fp32")
        expect(page.locator(".sugar-head")).to_contain_text(re.compile(r"GB, \d+ min"))
        expect(page.locator("#larger")).to_contain_text("smolvlm")
    finally:
        gate.set()
        window.close()


def test_the_model_panel(browser: Any, tmp_path: Path) -> None:
    from sugar.errors import ModelError

    gate, models = threading.Event(), {"sugar-tiny": Talker("one"), "smolvlm-256m": Talker("two")}
    gate.set()
    models["smolvlm-256m"].name = "smolvlm-256m"

    def load(name: str, progress: Any) -> Any:
        gate.wait(120)
        if name not in models:
            raise ModelError(f"{name} needs 15.3 GB; there are 8. Use --precision nf4.")
        return models[name]

    app = serve(tmp_path, load=load)
    window = Window(browser, app)
    try:
        page = window.open("Model")
        page.locator("#facts").get_by_text("Process memory").wait_for()
        expect(page.get_by_label("Model", exact=True).first).to_have_value("sugar-tiny")
        gate.clear()
        choose(page, "smolvlm-256m")
        page.locator("#needs").get_by_text("0.51 GB to download").wait_for()
        page.get_by_role("button", name="Load", exact=True).click()
        page.locator("#loading progress").wait_for()
        assert app.models.get().name == "sugar-tiny"  # the old one answers until the new one stands
        gate.set()
        page.locator("#loading").get_by_text("Model ready").wait_for()
        page.locator("#facts").get_by_text("smolvlm-256m").wait_for()
        choose(page, "llava-1.5-7b")
        page.get_by_role("button", name="Load", exact=True).click()
        page.locator("#loading").get_by_text("needs 15.3 GB").wait_for()
        assert app.models.get().name == "smolvlm-256m"
        screenshot(page, "model")
    finally:
        gate.set()
        window.close()


def choose(page: Any, name: str) -> None:
    page.get_by_label("Model", exact=True).first.click()
    page.get_by_role("option", name=name, exact=True).click()


def test_by_keyboard_alone(window: Window) -> None:
    page = window.open()
    page.locator("#message textarea").focus()
    page.keyboard.type("red star")
    page.keyboard.press("Enter")
    answered(page, "I see 0 pictures and the words red star")
    page.locator("#message textarea").focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText?.trim()") == "Edit last question":
            break
    else:
        pytest.fail("the buttons under the conversation are not reached by the Tab key")
    page.get_by_role("tab", name="Chat", exact=True).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("tab", name="Tell apart", selected=True).wait_for()
