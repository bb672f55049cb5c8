"""Search, Gallery, Tell apart and Ask as a person meets them: real Chromium, mouse and keyboard, two windows side by side, a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ASSETS, Served, Window, screenshot
from playwright.sync_api import Page, expect

from sugar.gallery import Gallery, build_sample

expect.set_options(timeout=30_000)  # a busy machine is slow, not wrong
EXAMPLES = ASSETS / "examples"
SCENES = [str(EXAMPLES / f"scene-{n}.jpg") for n in range(3)]


@pytest.fixture(scope="module", autouse=True)
def sample(app: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The gallery that ships, here of a dozen drawn pictures and the toy model's vectors."""
    folder = tmp_path_factory.mktemp("drawn")
    for path in sorted((ASSETS / "gallery").glob("*.jpg"))[:12]:
        shutil.copy(path, folder)
    build_sample(folder, app.settings.gallery_root / "sample", app.model).close()
    yield
    shutil.rmtree(app.settings.gallery_root / "sample")


def cells(page: Page, grid: str) -> Any:
    return page.locator(f"{grid} [data-pick]")


def test_search_finds_opens_explains_and_hands_on(window: Window) -> None:
    page = window.open("Search")
    expect(page.get_by_label("Gallery")).to_have_value("sample")
    page.get_by_label("Words 1").fill("a red star at night")
    page.get_by_label("Words 1").press("Enter")
    expect(cells(page, "#hits")).to_have_count(12)
    first = cells(page, "#hits").first
    assert first.get_attribute("aria-label").startswith("Open drawn-") and first.locator("img").get_attribute("alt")
    first.focus()
    page.keyboard.press("Enter")  # by keyboard
    expect(page.locator("#opened table td.on-path")).to_have_count(1)
    expect(page.locator("#opened img").first).to_be_visible()
    screenshot(page, "search")
    page.get_by_role("button", name="Search with this").click()
    expect(page.locator("#search-go")).to_be_visible()
    expect(page.get_by_label("Words 1")).to_be_hidden()  # the row is a picture now
    page.locator("#search-go").click()
    expect(cells(page, "#hits")).to_have_count(11)  # the picture itself is left out


def test_rows_are_added_moved_weighed_and_removed(window: Window) -> None:
    page = window.open("Search")
    page.get_by_label("Words 1").fill("green")
    page.locator("#add-words").click()
    page.get_by_label("Words 2").fill("blue")
    page.locator("#up-2").click()
    expect(page.get_by_label("Words 1")).to_have_value("blue")
    expect(page.get_by_label("Words 2")).to_have_value("green")
    page.locator("#add-picture").click()
    page.locator("input[type=file]:not([disabled])").nth(2).set_input_files(SCENES[0])
    page.locator("#remove-1").click()
    expect(page.get_by_label("Words 1")).to_have_value("green")
    page.get_by_label("Weight").nth(0).fill("-1")
    page.locator("#search-go").click()
    expect(cells(page, "#hits").first).to_be_visible()
    page.locator("#clear-query").click()
    expect(page.get_by_label("Words 1")).to_have_value("")
    page.locator("#search-go").click()
    expect(page.get_by_text("The query is empty")).to_be_visible()


def test_examples_story_and_positions(window: Window) -> None:
    page = window.open("Search")
    page.locator("#search-example-2").click()
    expect(page.locator("#hits .sugar-strip").first).to_be_visible()
    cells(page, "#hits").first.click()
    expect(page.locator("#opened tbody tr")).to_have_count(4)  # four sentences against the run
    page.locator("#search-example-3").click()
    expect(page.locator("#hits h4")).to_have_count(3)
    page.locator("#search-example-1").click()
    expect(page.get_by_label("Words 2")).not_to_have_value("")
    expect(page.locator("#hits h4")).to_have_count(0)


def test_an_example_before_the_page_has_its_galleries(window: Window) -> None:
    """The list of galleries comes a moment after the page; on a slow line that moment is long enough to press a button."""
    held: list[Any] = []
    window.page.route("**/run/predict", lambda route: held.append(route))
    page = window.open("Search")
    page.locator("#search-example-0").click()
    expect(cells(page, "#hits")).to_have_count(12)
    for route in list(held):
        route.continue_()
    expect(page.get_by_label("Gallery")).to_have_value("sample")


def test_a_gallery_is_made_filled_captioned_thinned_and_removed(window: Window, app: Served, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"<script>alert(1)</script>")
    page = window.open("Gallery")
    page.get_by_label("New gallery").fill("holiday")
    page.locator("#gallery-create").click()
    expect(page.get_by_text("This gallery is empty")).to_be_visible()
    page.locator("#gallery-files input[type=file]").set_input_files([*SCENES, str(bad)])
    expect(page.locator("#gallery-files")).to_contain_text("scene-2")
    page.locator("#gallery-add").click()
    expect(page.locator("#gallery-report")).to_contain_text("3 added, 1 refused")
    expect(page.locator("#gallery-report td").last).to_contain_text("not a picture")
    expect(cells(page, "#gallery-grid")).to_have_count(3)
    cells(page, "#gallery-grid").first.click()
    page.locator("#gallery-caption textarea").fill("<b>my</b> [star]")
    page.locator("#gallery-keep").click()
    expect(page.locator("#gallery-grid .line").first).to_have_text("<b>my</b> [star]")  # shown as text, not as markup
    screenshot(page, "gallery")
    page.locator("#gallery-drop").click()
    expect(cells(page, "#gallery-grid")).to_have_count(2)
    page.get_by_label("Choose several").check()
    cells(page, "#gallery-grid").nth(1).click()
    expect(cells(page, "#gallery-grid").nth(1)).to_have_attribute("aria-pressed", "true")
    page.locator("#gallery-drop-chosen").click()
    expect(cells(page, "#gallery-grid")).to_have_count(1)
    with Gallery.open(app.settings.gallery_root / "holiday", app.model, read_only=True) as kept:
        assert len(kept) == 1
    page.reload()
    page.get_by_role("tab", name="Gallery", exact=True).click()
    page.get_by_label("Gallery", exact=True).click()
    page.get_by_role("option", name="holiday").click()
    expect(cells(page, "#gallery-grid")).to_have_count(1)  # it stayed
    page.get_by_text("Near-duplicates, export").click()
    page.locator("#gallery-remove").click()
    expect(page.get_by_text("Tick the box first")).to_be_visible()
    page.get_by_label("Delete this gallery with all").check()
    page.locator("#gallery-remove").click()
    expect(page.get_by_label("Gallery", exact=True)).to_have_value("sample")
    assert not (app.settings.gallery_root / "holiday").exists()


def test_tell_apart_by_three_ways_and_in_words(window: Window) -> None:
    page = window.open("Tell apart")
    page.locator("#compare-example-1").click()
    expect(page.locator("#compare-table tbody tr")).to_have_count(2)
    expect(page.locator("#compare-verdict")).to_contain_text("Group score:")
    page.get_by_label("Both").check()
    expect(page.locator("#compare-table caption")).to_contain_text("standard deviations")
    page.locator("#compare-captions textarea").fill("a red star\na blue dog\na green circle")
    page.locator("#compare-go").click()
    expect(page.locator("#compare-table tbody td")).to_have_count(6)
    expect(page.locator("#compare-verdict")).to_contain_text("Picture 1:")
    screenshot(page, "tell-apart")
    page.locator("#compare-differ").click()
    expect(page.locator("#compare-answer textarea")).to_have_value("I see 2 pictures and the words what differs between these two?")
    page.locator("#compare-example-2").click()  # other pictures: what was said of those before them goes
    expect(page.locator("#compare-table table")).to_have_count(0)
    expect(page.locator("#compare-verdict")).not_to_contain_text("Picture 1")


def test_ask_reads_cites_opens_and_admits(window: Window, tmp_path: Path) -> None:
    notes = tmp_path / "notes.csv"
    notes.write_text("question,answer\nwhat is the dog called?,rex <img src=x onerror=alert(1)>\n", "utf-8")
    page = window.open("Ask your gallery")
    page.locator("#ask-files input[type=file]").set_input_files(str(notes))
    expect(page.locator("#ask-reading")).to_contain_text("1 question/answer pairs to read")
    page.locator("#ask-question textarea").fill("the dog?")
    page.get_by_text("How it reads").click()
    page.locator("#ask-beside input").check()
    page.locator("#ask-go").click()
    expect(page.locator("#ask-answer .sugar-cite")).to_have_text("1")
    expect(page.locator("#ask-alone")).to_contain_text("I see 0 pictures and the words the dog?")
    assert page.locator("#ask-answer img, #ask-sources img").count() == 0  # markup in a file stays text
    page.locator("#ask-answer .sugar-cite").click()
    expect(page.locator("#ask-opened")).to_contain_text("notes.csv, row 2")
    screenshot(page, "ask")
    page.locator("#ask-question textarea").fill("the night?")
    page.locator("#ask-go").click()
    expect(page.locator("#ask-answer")).to_contain_text("I do not know")


def test_two_visitors_side_by_side_never_meet(browser: Any, shared_app: Served) -> None:
    first, second = Window(browser, shared_app), Window(browser, shared_app)
    try:
        mine, yours = first.open("Gallery"), second.open("Gallery")
        mine.get_by_text("Add pictures", exact=True).click()
        mine.locator("#gallery-files input[type=file]").set_input_files(SCENES[:2])
        expect(mine.locator("#gallery-files")).to_contain_text("scene-1")
        mine.locator("#gallery-add").click()
        expect(cells(mine, "#gallery-grid")).to_have_count(2)
        yours.get_by_role("tab", name="Search", exact=True).click()
        yours.get_by_label("Words 1").fill("red")
        yours.locator("#search-go").click()
        expect(yours.get_by_text("Nothing was found")).to_be_visible()
        yours.get_by_role("tab", name="Gallery", exact=True).click()
        expect(yours.get_by_text("This gallery is empty")).to_be_visible()
        assert cells(yours, "#gallery-grid").count() == 0
        mine.reload()  # a new page is a new visitor: what strangers leave on a shared host goes
        mine.get_by_role("tab", name="Gallery", exact=True).click()
        expect(mine.get_by_text("This gallery is empty")).to_be_visible()
    finally:
        first.close()
        second.close()


def test_a_phone_shows_every_tab_without_sideways_scrolling(browser: Any, app: Served) -> None:
    phone = Window(browser, app, viewport={"width": 390, "height": 844}, device_scale_factor=2, has_touch=True, is_mobile=True)
    try:
        page = phone.open("Search")
        page.locator("#search-example-0").click()
        cells(page, "#hits").first.click()
        expect(page.locator("#opened table")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")
        screenshot(page, "search-phone")
    finally:
        phone.close()
    assert phone.errors == []
