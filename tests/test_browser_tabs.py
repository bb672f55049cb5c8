"""Gallery, Tell apart and Ask as a person meets them: real Chromium, two windows side by side."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ASSETS, Served, Window, draw_photos, screenshot
from playwright.sync_api import Page, expect

from sugar.gallery import build_sample

EXAMPLES = ASSETS / "examples"
SCENES = [str(EXAMPLES / f"scene-{n}.jpg") for n in range(3)]


@pytest.fixture(scope="module", autouse=True)
def sample(app: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The gallery that ships, here of a dozen drawn pictures and the toy model's vectors."""
    folder = tmp_path_factory.mktemp("drawn")
    draw_photos(folder, 12)
    build_sample(folder, app.settings.gallery_root / "sample", app.model).close()
    yield
    shutil.rmtree(app.settings.gallery_root / "sample")


def cells(page: Page, grid: str) -> Any:
    return page.locator(f"{grid} [data-pick]")


def test_a_search_before_the_page_has_its_galleries(window: Window) -> None:
    """The list of galleries comes a moment after the page; on a slow line one can type in that moment."""
    held: list[Any] = []
    window.page.route("**/run/predict", lambda route: held.append(route))
    page = window.open("Photos")
    page.locator("#search-words textarea").fill("a red star at night")
    expect(page.locator("#wall .sugar-count")).to_have_text("12 photos")
    for route in list(held):
        route.continue_()
    expect(page.locator("#gallery-name input")).to_have_value("sample")


def test_tell_apart_by_three_ways_and_in_words(window: Window) -> None:
    page = window.open("Tell apart")
    page.locator("#compare-example-1").click()
    expect(page.locator("#compare-table tbody tr")).to_have_count(2)
    expect(page.locator("#compare-verdict")).to_contain_text("Picture 1")
    page.get_by_role("button", name="Expert").locator("visible=true").click()
    page.get_by_label("Winoground scores").check()
    expect(page.locator("#compare-verdict")).to_contain_text("Winoground: text")
    page.get_by_role("radio", name="Both").check()
    expect(page.locator("#compare-table caption")).to_contain_text("standard deviations")
    page.get_by_label("Winoground scores").uncheck()
    page.locator("#compare-captions textarea").fill("a red star\na blue dog\na green circle")
    page.locator("#compare-go").click()
    expect(page.locator("#compare-table tbody td")).to_have_count(6)
    expect(page.locator("#compare-verdict")).to_contain_text("Picture 1")
    screenshot(page, "tell-apart")
    page.locator("#compare-differ").click()
    expect(page.locator("#compare-answer textarea")).to_have_value(
        "I see 2 pictures and the words what differs between these two?"
    )
    page.locator("#compare-example-2").click()  # other pictures: what was said of those before them goes
    expect(page.locator("#compare-table table")).to_have_count(0)
    expect(page.locator("#compare-verdict")).not_to_contain_text("Picture 1")


def test_ask_reads_cites_opens_and_admits(window: Window, tmp_path: Path) -> None:
    notes = tmp_path / "notes.csv"
    notes.write_text("question,answer\nwhat is the dog called?,rex <img src=x onerror=alert(1)>\n", "utf-8")
    page = window.open("Ask your gallery")
    page.get_by_role("button", name="Your notes").click()
    page.locator("input[type=file]:has(+ #ask-files)").set_input_files(str(notes))
    expect(page.locator("#ask-reading")).to_contain_text("1 file added: 1 question/answer pairs to read")
    page.get_by_role("button", name="Open notes.csv").click()
    expect(page.locator("#ask-note-opened")).to_contain_text("rex <img")
    page.locator("#ask-question textarea").fill("the dog?")
    page.get_by_text("Options", exact=True).locator("visible=true").click()
    page.locator("#ask-beside input").check()
    page.locator("#ask-question textarea").press("Enter")
    expect(page.locator("#ask-answer .sugar-cite")).to_have_text("1")
    expect(page.locator("#ask-alone")).to_contain_text("I see 0 pictures and the words the dog?")
    assert page.locator("#ask-answer img, #ask-sources img").count() == 0  # markup in a file stays text
    page.locator("#ask-answer .sugar-cite").click()
    expect(page.locator("#ask-opened")).to_contain_text("notes.csv, row 2")
    screenshot(page, "ask")
    page.locator("#ask-question textarea").fill("the night?")
    page.locator("#ask-question textarea").press("Enter")
    expect(page.locator("#ask-answer")).to_contain_text("I don't know: nothing in your notes or photos")
    expect(page.locator("#ask-question .submit-button")).to_be_visible()
    page.get_by_role("button", name="Delete notes.csv").click()
    expect(page.locator("#ask-listed")).to_contain_text("No notes yet")


def test_two_visitors_side_by_side_never_meet(browser: Any, shared_app: Served) -> None:
    # A context of its own: other cookies, another visitor
    first = Window(browser, shared_app, locale="en-GB")
    second = Window(browser, shared_app, locale="en-IE")
    try:
        mine, yours = first.open("Photos"), second.open("Photos")
        mine.locator("input[type=file]:has(+ #gallery-files)").set_input_files(SCENES[:2])
        expect(cells(mine, "#wall")).to_have_count(2)
        yours.locator("#search-words textarea").fill("red")
        expect(yours.locator(".sugar-empty", has_text="Nothing was found")).to_be_visible()
        yours.locator("#search-clear").click()
        expect(yours.get_by_text("This gallery is empty")).to_be_visible()
        assert cells(yours, "#wall").count() == 0
        yours.get_by_role("tab", name="Ask your gallery", exact=True).click()
        expect(yours.locator("#ask-gallery input")).not_to_have_value("(none)")  # the gallery in use is asked
        yours.locator("#ask-question textarea").fill("what is red?")
        yours.locator("#ask-question textarea").press("Enter")
        expect(yours.locator("#ask-speed")).to_contain_text(
            "nothing to read yet"
        )  # stays when the toast goes
        assert yours.locator("[data-testid=status-tracker] .error:visible").count() == 0
        mine.reload()  # the browser keeps the token, so the visitor keeps the gallery
        mine.get_by_role("tab", name="Photos", exact=True).click()
        expect(cells(mine, "#wall")).to_have_count(2)
    finally:
        first.close()
        second.close()


def test_the_page_speaks_the_browsers_language(browser: Any, app: Served) -> None:
    window = Window(browser, app, locale="de-DE")
    try:
        page = window.open("Gespräch")
        expect(page.get_by_placeholder("Frag etwas")).to_be_visible()
        page.get_by_role("tab", name="Photos", exact=True).click()
        expect(page.get_by_label("Eine Geschichte")).to_be_visible()
        expect(page.get_by_label("Photos", exact=True).first).to_be_visible()  # what is left out is English
        expect(page.locator("#status")).to_contain_text("ist bereit")
    finally:
        window.close()
    assert window.errors == []
