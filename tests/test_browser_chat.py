"""The page in a real browser: Chat, the Model panel, and what holds for every tab (keyboard, labels, alternative texts, phone, dark)."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import ASSETS, Served, Talker, Window, screenshot, serve
from playwright.sync_api import expect
from talking import answered, ready, send, talk, talk_at_length


def test_upload_type_and_stream(window: Window, app: Served) -> None:
    page = window.open()
    send(page, "first [1] then [2]", "before.jpg", "after.jpg")
    answered(page, "I see 2 pictures and the words first then")
    assert page.locator("#talk .user img").count() == 2 and page.input_value("#message textarea") == ""
    assert "tokens" in talk(page).inner_text()
    send(page, "and a second turn")
    answered(page, "I see 0 pictures and the words and a second turn")
    screenshot(page, "chat")


def test_retry_undo_edit_and_clear(window: Window) -> None:
    page = window.open()
    send(page, "is the star red?", "scene-0.jpg")
    answered(page, "I see 1 pictures and the words is the star red?")
    page.get_by_role("button", name="Retry").last.click()
    answered(page, "I see 1 pictures and the words is the star red?")
    page.set_input_files("#message input[type=file]", str(ASSETS / "examples" / "scene-1.jpg"))  # a draft: its picture becomes the second
    page.locator("#message img").wait_for()
    page.fill("#message textarea", "or as [1]?")
    page.get_by_role("button", name="Edit last question").click()
    expect(page.locator("#message textarea")).to_have_value("is the star red?\nor as [2]?")
    assert page.locator("#message img").count() == 2
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
    page.get_by_role("button", name="Clear", exact=True).click()
    talk(page).get_by_text("what differs between these two?").wait_for()


def test_an_example_works_at_one_click_and_goes_on_to_search(window: Window) -> None:
    page = window.open()
    page.get_by_text("what differs between these two?").click()
    answered(page, "I see 2 pictures and the words what differs between these two?")
    page.get_by_role("button", name="Compare these").click()
    page.get_by_role("tab", name="Tell apart", selected=True).wait_for()
    page.get_by_role("tab", name="Chat").click()
    page.get_by_role("button", name="Search with this").click()
    page.get_by_role("tab", name="Search", selected=True).wait_for()


def open_file(page: Any, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Open", exact=True).click()
    chooser.value.set_files(file)


def test_saved_and_opened_again(window: Window, app: Served, tmp_path: Path) -> None:
    page = window.open()
    send(page, "keep <b>this</b> & that", "scene-0.jpg")
    answered(page, "I see 1 pictures and the words keep <b>this</b> & that")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save", exact=True).click()
    download.value.save_as(tmp_path / "conversation.json")
    page.reload()
    page.locator("#message textarea").wait_for()
    assert "keep" not in talk(page).inner_text()  # a reload is a new visitor
    open_file(page, tmp_path / "conversation.json")
    talk(page).get_by_text("I see 1 pictures").wait_for()
    assert page.locator("#talk .user img").count() == 1
    page.get_by_role("button", name="Clear", exact=True).click()
    talk_at_length(page)
    open_file(page, tmp_path / "conversation.json")  # ends the answer, instead of drowning in it
    talk(page).get_by_text("I see 1 pictures").wait_for()
    ready(page)
    assert app.model.running == 0 and "word5" not in talk(page).inner_text()


def test_words_never_become_markup(window: Window) -> None:
    page = window.open()
    page.evaluate("window.harmed = false")
    hostile = "<img src=x onerror='window.harmed=true'> **b** [l](javascript:1) ![p](http://example.org/p.png)"
    send(page, hostile + " <script>window.harmed=true</script>")
    answered(page, "I see 0 pictures and the words <img")
    assert page.locator("#talk .message img, #talk .message a, #talk .message strong").count() == 0
    assert page.evaluate("window.harmed") is False


def test_two_visitors_side_by_side(browser: Any, app: Served) -> None:
    one, two = Window(browser, app), Window(browser, app)
    first, second = one.open(), two.open()
    send(first, "my own secret", "scene-0.jpg")
    send(second, "hello there")
    answered(first, "I see 1 pictures and the words my own secret")
    answered(second, "I see 0 pictures and the words hello there")
    assert "secret" not in second.content() and second.locator("#talk .user img").count() == 0
    assert "hello there" not in first.content()
    one.close()
    two.close()


def test_the_page_while_the_model_loads(browser: Any, tmp_path: Path) -> None:
    gate = threading.Event()
    app = serve(tmp_path, load=lambda name, progress: Talker() if gate.wait(120) else None)
    window = Window(browser, app)
    try:
        page = window.page
        page.goto(app.url)
        page.get_by_text("questions asked now wait for it").wait_for()
        send(page, "red star")
        talk(page).get_by_text("red star").wait_for()
        gate.set()
        answered(page, "I see 0 pictures and the words red star")
        page.get_by_text("drawn scenes only").wait_for()
        assert "sugar-tiny · cpu · fp32" in page.locator("#status").inner_text()
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
        gate.clear()
        choose(page, "smolvlm-256m")
        page.locator("#needs").get_by_text("0.51 GB to download").wait_for()
        page.get_by_role("button", name="Load", exact=True).click()
        page.locator("#loading progress").wait_for()
        assert app.models.get() is models["sugar-tiny"]  # the old one answers until the new one stands
        gate.set()
        page.locator("#loading").get_by_text("It stands").wait_for()
        page.locator("#facts").get_by_text("smolvlm-256m").wait_for()
        choose(page, "llava-1.5-7b")
        page.get_by_role("button", name="Load", exact=True).click()
        page.locator("#loading").get_by_text("needs 15.3 GB").wait_for()
        assert app.models.get() is models["smolvlm-256m"]
        screenshot(page, "model")
    finally:
        gate.set()
        window.close()


def choose(page: Any, name: str) -> None:
    page.get_by_label("Model", exact=True).first.click()
    page.get_by_role("option", name=name, exact=True).click()


@pytest.mark.parametrize(
    "options", [{}, {"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 844}}], ids=["light", "dark", "phone"]
)
def test_every_tab_on_every_window(browser: Any, app: Served, options: dict[str, Any]) -> None:
    """No tab is wider than its window; every field has a label, every picture words, every button a name; nothing is asked elsewhere."""
    window = Window(browser, app, **options)
    page = window.open()
    titles = page.get_by_role("tab").all_inner_texts()
    for title in dict.fromkeys(titles):
        open_tab(page, title)
        page.wait_for_timeout(150)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{title} is {wide} px wider than the window"
        assert page.evaluate(UNNAMED) == [], title
        screenshot(page, f"{title.lower().replace(' ', '-')}-{'-'.join(map(str, options)) or 'light'}")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) is ("color_scheme" in options)
    window.close()
    assert window.outside == [] and window.errors == []


def open_tab(page: Any, title: str) -> None:
    tab = page.get_by_role("tab", name=title, exact=True)
    if not tab.first.is_visible():  # a narrow window keeps the last tabs behind a button
        page.locator(".overflow-menu button").first.click()
        page.locator(".overflow-dropdown button", has_text=title).click()
    else:
        tab.first.click()


UNNAMED = """() => {
  const seen = e => e.offsetParent !== null && getComputedStyle(e).visibility !== 'hidden';
  const named = e => ['aria-label', 'title', 'alt', 'aria-labelledby'].some(a => e.getAttribute(a)) || e.innerText?.trim();
  const near = e => e.closest('label, [aria-label]') || e.closest('.block')?.querySelector('label, [data-testid=block-info]');
  const labelled = e => named(e) || e.labels?.length || near(e);
  const says = e => named(e) || e.querySelector('img[alt]:not([alt=""]), [aria-label]');
  const all = what => [...document.querySelectorAll(what)].filter(seen);
  return [
    ...all('input:not([type=file]):not([type=hidden]), textarea, select').filter(e => !labelled(e)),
    ...all('img').filter(e => !e.alt),
    ...all('button, [role=button]').filter(e => !says(e)),
  ].map(e => e.outerHTML.slice(0, 200));
}"""


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
    page.get_by_role("tab", name="Search", selected=True).wait_for()
