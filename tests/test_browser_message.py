"""The message box in a real browser: what is typed is never lost, and Stop frees the model, whatever else
happens at that moment.
"""

from __future__ import annotations

import re
from typing import Any

from conftest import Served, Window, eventually
from playwright.sync_api import expect
from talking import answered, box, held, ready, send, stop, talk, talk_at_length

BROKEN = {"name": "broken.png", "mimeType": "image/png", "buffer": b"not a picture"}


def test_stop_frees_the_model_for_the_next_question_and_so_does_leaving(browser: Any, app: Served) -> None:
    window = Window(browser, app)
    page = window.open()
    talk_at_length(page)
    stop(page)
    assert eventually(lambda: app.model.running == 0) and app.model.said < 3900
    send(page, "red star")  # at once: what the page still has to do about the stop is no concern of theirs
    answered(page, "I see 0 pictures and the words red star")
    said = talk(page).inner_text()
    assert "word5" in said and "Stopped" in said  # what was said before the stop stays
    send(page, "talk at length")
    assert eventually(lambda: app.model.running == 1 and app.model.said > 5)
    window.close()
    assert eventually(lambda: app.model.running == 0) and app.model.said < 3900


def test_what_is_typed_while_the_page_starts_is_not_lost(window: Window) -> None:
    """A box stands before Gradio does; its words and the focus go over to the real one."""
    page, waiting = window.page, []
    page.route("**/assets/index-*.js", lambda route: waiting.append(route))  # Gradio waits for the test
    page.goto(window.served.url, wait_until="commit")
    page.locator("#shell textarea").fill("red star")
    while not waiting:
        page.wait_for_timeout(20)
    waiting.pop().continue_()
    expect(page.locator("#shell")).to_have_count(0, timeout=60_000)
    expect(page.locator("#search-words textarea")).to_have_value("red star")
    page.keyboard.type("s")
    expect(page.locator("#search-words textarea")).to_have_value("red stars")


def test_a_link_into_another_tab_has_no_box_before_it(window: Window) -> None:
    window.page.goto(f"{window.served.url}?search=red", wait_until="domcontentloaded")
    assert window.page.locator("#shell").count() == 0


def test_what_is_typed_during_an_answer_stays_and_goes_after_it(window: Window, app: Served) -> None:
    page = window.open()
    talk_at_length(page)
    send(page, "red star")
    held(page)
    page.fill("#message textarea", "blue star")  # typed on: it is not sent by itself
    expect(page.locator("#message[data-held]")).to_have_count(0)
    expect(page.locator("#message button.stop-button")).to_be_visible()
    stop(page)
    ready(page)
    assert box(page) == "blue star" and "star" not in talk(page).inner_text()
    send(page, "talk at length")
    assert eventually(lambda: app.model.running == 1)
    send(page, "green star")
    held(page)
    assert box(page) == "green star" and app.model.running == 1
    stop(page)
    answered(page, "I see 0 pictures and the words green star")
    assert box(page) == "" and page.locator("#message[data-held]").count() == 0


def test_what_is_typed_right_after_enter_on_a_slow_page_is_not_lost(window: Window) -> None:
    page = window.open()
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 6})  # a phone
    for picture in ((), ("scene-0.jpg",)):
        send(page, "red", *picture)
        page.keyboard.type("-blue-star", delay=15)
        ready(page)
        said = talk(page).locator(".user").inner_text() + box(page)
        assert said.replace("\n", "") == "red-blue-star"
        page.get_by_role("button", name="New conversation").click()
        expect(talk(page).locator(".user")).to_have_count(0)


def test_a_refused_message_comes_back_and_hides_nothing(window: Window) -> None:
    page = window.open()
    send(page, "red star")
    answered(page, "I see 0 pictures and the words red star")
    page.set_input_files("#message input[type=file]", BROKEN)
    page.locator("#message img").wait_for()
    send(page, "what is it?")
    page.get_by_text("broken.png: The file").wait_for()
    expect(page.locator("#message textarea")).to_have_value("what is it?")
    ready(page)
    expect(talk(page).get_by_test_id("status-tracker")).to_be_hidden()
    expect(page.locator("#message .thumbnail-item")).to_have_count(0)
    page.press("#message textarea", "Enter")  # without the damaged picture it goes
    answered(page, "I see 0 pictures and the words what is it?")
    window.errors.clear()  # the browser's own word for a thumbnail that cannot be drawn


def test_new_and_edit_end_the_answer_first(window: Window, app: Served) -> None:
    page = window.open()
    talk_at_length(page)
    page.fill("#message textarea", "and a draft")
    page.get_by_role("button", name="Edit last question").click()
    expect(page.locator("#message textarea")).to_have_value("talk at length\nand a draft")
    ready(page)
    assert app.model.running == 0 and "word5" not in talk(page).inner_text()
    page.press("#message textarea", "Enter")
    assert eventually(lambda: app.model.running == 1)
    page.fill("#message textarea", "a draft that goes")
    page.get_by_role("button", name="New conversation").click()
    page.wait_for_function("() => !document.querySelector('#message textarea').value")
    page.fill("#message textarea", "a draft of after")  # whatever the answer still takes to end
    talk(page).get_by_text("what differs between these two?").wait_for()
    ready(page)
    assert app.model.running == 0 and box(page) == "a draft of after"


def test_stop_in_the_queue_gives_the_message_back(browser: Any, app: Served) -> None:
    one, two = Window(browser, app), Window(browser, app)
    first, second = one.open(), two.open()
    talk_at_length(first)
    send(second, "red star")
    talk(second).get_by_text(re.compile("queue: 1/1")).wait_for()
    stop(second)
    expect(second.locator("#message textarea")).to_have_value("red star")
    ready(second)
    second.press("#message textarea", "Enter")
    talk(second).get_by_text(re.compile("queue: 1/1")).wait_for()
    stop(first)
    answered(second, "I see 0 pictures and the words red star")
    one.close()
    two.close()
