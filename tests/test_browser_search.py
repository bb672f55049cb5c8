"""The search box of the tab Photos in a real browser: typing, chips, pictures, results, links."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import ASSETS, Served, Window, draw_photos, screenshot
from playwright.sync_api import Page, expect

from sugar.gallery import Gallery, build_sample

SCENE = str(ASSETS / "examples" / "scene-0.jpg")
PICTURES = 30


@pytest.fixture(scope="module", autouse=True)
def sample(app: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The gallery that ships, here of some drawn pictures and the toy model's vectors."""
    folder = tmp_path_factory.mktemp("drawn")
    draw_photos(folder, PICTURES)
    build_sample(folder, app.settings.gallery_root / "sample", app.model).close()
    yield
    shutil.rmtree(app.settings.gallery_root / "sample")


def cells(page: Page) -> Any:
    return page.locator("#wall [data-pick]")


def count(page: Page, number: int) -> None:
    """The wall holds so many pictures; it draws those in sight."""
    expect(page.locator("#wall .sugar-wall")).to_have_attribute("data-count", str(number))


def box(page: Page) -> Any:
    return page.locator("#search-words textarea")


def fold(page: Page, name: str) -> None:
    """Press a button of the bar that opens a part below it."""
    page.locator("#photos-bar").get_by_role("button", name=name, exact=True).click()


AT_THE_END = """() => {
    window.scrollTo(0, document.body.scrollHeight); // the result of the last word may come after the first
    const box = [...document.querySelectorAll("#wall [data-pick] img")].at(-1)?.getBoundingClientRect();
    return box && box.top < window.innerHeight && box.bottom > 0;
}"""


def test_results_come_while_one_types_and_all_scroll(window: Window) -> None:
    page = window.open("Photos")
    box(page).press_sequentially("a red star at night")
    count(page, PICTURES)
    expect(page.locator("#wall .sugar-count")).to_have_text(f"{PICTURES} photos")
    expect(cells(page).first.locator("img")).to_be_visible()
    expect(cells(page).first.locator(".line:visible")).to_have_count(
        0
    )  # what found it, only where ways differ
    assert not page.locator("#wall .sugar-score").first.is_visible(), "scores are hidden until asked for"
    page.wait_for_function(AT_THE_END)
    page.evaluate("window.scrollTo(0, 0)")
    fold(page, "Expert")
    page.get_by_label("Show scores").check()
    expect(page.locator("#wall .sugar-score").first).to_be_visible()
    box(page).fill("")
    expect(page.locator("#wall .sugar-count")).to_have_count(0)
    count(page, PICTURES)  # everything, by date
    expect(page.locator("#wall .sugar-wall-head").first).to_be_visible()


def test_a_hit_is_opened_by_keyboard_explained_and_handed_on(window: Window) -> None:
    page = window.open("Photos")
    box(page).fill("a red star at night")
    box(page).press("Enter")
    first = cells(page).first
    expect(page.locator("#wall .sugar-count")).to_be_visible()
    first.locator("img").wait_for()
    expect(first).to_have_attribute("aria-label", "Open " + first.locator(".name").text_content())
    box(page).press("ArrowDown")
    expect(first).to_be_focused()
    page.keyboard.press("Enter")
    opened = page.get_by_role("dialog")
    opened.get_by_role("button", name="Why it was found").click()
    expect(opened.locator("td.on-path")).to_have_count(1)
    expect(opened).to_contain_text("“a red star at night” and the picture: cosine")
    screenshot(page, "search")
    page.keyboard.press("ArrowRight")
    expect(opened.locator(".name")).to_have_text(cells(page).nth(1).locator(".name").text_content())
    opened.get_by_role("button", name="Similar", exact=True).click()
    expect(page.locator("#search-chips [data-part]")).to_have_count(1)
    count(page, PICTURES - 1)  # not itself
    expect(opened).to_be_hidden()
    page.locator("#wall-bar").get_by_role("button", name="Select", exact=True).click()
    cells(page).nth(0).click()
    cells(page).nth(2).click()
    with page.expect_download() as download:
        page.locator("#wall-bar").get_by_role("button", name="Download").click()
    assert download.value.suggested_filename.endswith(".zip")
    page.locator("#wall-bar").get_by_role("button", name="Chat about it").click()
    expect(page.locator("#message img")).to_have_count(2)


def test_chips_say_what_was_understood_and_can_be_removed(window: Window) -> None:
    page = window.open("Photos")
    box(page).fill("red -blue name:drawn")
    chips = page.locator("#search-chips .sugar-chip")
    expect(chips).to_have_count(2)
    expect(chips.first).to_contain_text("without “blue”")
    page.get_by_role("button", name="Remove without “blue”").click()
    expect(box(page)).to_have_value("red name:drawn")
    expect(box(page)).to_be_focused()
    page.locator("#search-filters summary").click()
    page.get_by_role("button", name="Add a filter: favourites").click()
    expect(box(page)).to_have_value("red name:drawn favourite:")
    page.locator("#search-filters summary").click()
    expect(page.locator("#search-filters")).to_contain_text("dogs^2")
    page.locator("[data-date=from]").fill("2024-05-01")
    page.locator("[data-date=from]").dispatch_event("change")
    expect(box(page)).to_have_value("red name:drawn favourite: 2024-05-01..")
    page.locator("#search-clear").click()
    expect(box(page)).to_have_value("")
    expect(chips).to_have_count(0)


def test_pictures_by_button_by_paste_and_by_drop_in_an_order_that_can_change(window: Window) -> None:
    page = window.open("Photos")
    parts = page.locator("#search-chips [data-part]")
    page.locator("#search-box input[type=file]").set_input_files(SCENE)
    expect(parts).to_have_count(1)
    data = base64.b64encode((ASSETS / "examples" / "scene-1.jpg").read_bytes()).decode()
    for kind in ("paste", "drop"):
        page.evaluate(
            """([kind, data]) => {
                const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0)), files = new DataTransfer();
                files.items.add(new File([bytes], "a.jpg", {type: "image/jpeg"}));
                const options = {bubbles: true, cancelable: true};
                const event = kind === "paste" ? new ClipboardEvent(kind, {...options, clipboardData: files})
                                               : new DragEvent(kind, {...options, dataTransfer: files});
                document.querySelector("#search-words textarea").dispatchEvent(event);
            }""",
            [kind, data],
        )
        expect(parts).to_have_count(2 if kind == "paste" else 3)
    box(page).fill("at night")
    expect(parts).to_have_count(4)
    expect(parts.last).to_have_text("at night")
    parts.last.focus()
    page.keyboard.press("ArrowLeft")
    expect(parts.nth(2)).to_have_text("at night")
    expect(parts.nth(2)).to_be_focused()
    parts.first.focus()
    page.keyboard.press("Delete")
    expect(parts).to_have_count(3)


def test_unknown_words_and_empty_results_are_said(window: Window) -> None:
    page = window.open("Photos")
    box(page).fill("a zzebra, red")
    expect(page.locator("#wall .sugar-notice")).to_have_text(
        "I do not know the word “zzebra”; searched with the rest."
    )
    box(page).fill("name:nothing-of-this-name")
    expect(page.locator("#wall")).to_contain_text("Nothing was found")


def test_examples_of_the_model_story_and_parts(window: Window) -> None:
    page = window.open("Photos")
    page.locator("#search-example-2").click()
    expect(page.locator("#wall .sugar-wall-head").first).to_have_text("Run 1")
    expect(box(page)).to_have_value("a tree\nit becomes big\na balloon comes")
    cells(page).first.click()
    page.get_by_role("dialog").get_by_role("button", name="Why it was found").click()
    expect(page.get_by_role("dialog").locator("tbody tr")).to_have_count(3)
    page.keyboard.press("Escape")
    page.locator("#search-clear").click()  # examples stand under an empty box
    page.locator("#search-example-3").click()
    expect(page.locator("#wall .sugar-wall-head").first).to_contain_text("After part 1")
    page.locator("#search-clear").click()
    page.locator("#search-example-1").click()
    expect(page.locator("#search-chips [data-part]")).to_have_count(2)
    expect(page.locator("#wall .sugar-wall-head")).to_have_count(0)


def test_weights_and_pictures_are_written_into_the_box(window: Window) -> None:
    """What a form with rows did: parts with weights, exclusions, pictures among the words."""
    page = window.open("Photos")
    page.locator("#search-box input[type=file]").set_input_files(SCENE)
    box(page).fill("blue green^2 -[1]")
    chips = page.locator("#search-chips .sugar-chip")
    expect(chips).to_have_count(3)
    expect(chips.first).to_contain_text("[1] × -1")
    expect(chips.nth(1)).to_contain_text("blue green")
    expect(chips.last).to_contain_text("“green” × 2")
    count(page, PICTURES)
    page.get_by_role("button", name="Remove “green” × 2").click()
    expect(box(page)).to_have_value("blue -[1]")
    page.get_by_role("button", name="Remove picture 1 × -1").click()
    expect(box(page)).to_have_value("blue")
    box(page).fill("blue^2")
    page.locator("#search-mode").get_by_text("A story").click()
    expect(page.get_by_text("one after the other that match your lines")).to_be_visible()
    expect(page.get_by_text("Weights and exclusions work only in Photos")).to_be_visible()


def test_a_search_is_saved_opened_again_and_reached_by_a_link(window: Window, app: Served) -> None:
    page = window.open("Photos")
    fold(page, "Expert")
    page.get_by_label("Saved searches").fill("my stars")
    page.get_by_label("Saved searches").press("Enter")
    box(page).fill("star name:drawn")
    count(page, PICTURES)
    page.locator("#search-save").click()
    expect(page.locator("#search-save")).to_have_text("Saved as “my stars”.")
    window.go(page.evaluate("sugarSearch.link('star name:drawn', 'sample', 'pictures')"))
    expect(box(page)).to_have_value("star name:drawn")
    expect(page.locator("#wall .sugar-count")).to_have_text(f"{PICTURES} photos")
    box(page).fill("")
    expect(page.locator("#wall .sugar-count")).to_have_count(0)
    fold(page, "Expert")
    page.get_by_label("Saved searches").click()
    page.get_by_role("option", name="my stars").click()
    expect(box(page)).to_have_value("star name:drawn")
    count(page, PICTURES)


def test_a_session_that_the_server_forgot_still_searches(window: Window, app: Served) -> None:
    page = window.open("Photos")
    box(page).fill("red")
    expect(page.locator("#wall .sugar-count")).to_be_visible()
    app.demo.server_app.state_holder.session_data.clear()  # as after an hour without a request
    box(page).fill("green")
    box(page).press("Enter")
    expect(page.locator("#wall .sugar-count")).to_have_text(f"{PICTURES} photos")
    expect(page.get_by_text("not in the list of choices")).to_have_count(0)


def test_pictures_dropped_on_the_sample_are_found_in_a_gallery_of_ones_own(
    window: Window, app: Served
) -> None:
    page = window.open("Photos")
    expect(page.locator("#gallery-name input")).to_have_value("sample")
    page.locator("input[type=file]:has(+ #gallery-files)").set_input_files(SCENE)
    expect(page.locator("#gallery-report")).to_contain_text("1 added")
    expect(page.locator("#gallery-name input")).to_have_value("mine")
    box(page).fill("star")
    count(page, 1)
    page.close()  # it would ask for the gallery that goes now
    app.context.galleries._close(("", "mine"))
    with Gallery.open(app.settings.gallery_root / "mine", app.model) as gallery:
        gallery.destroy()


def test_a_link_restores_words_pictures_mode_and_gallery(window: Window) -> None:
    page = window.open("Photos")
    cells(page).nth(2).click()
    page.get_by_role("dialog").get_by_role("button", name="Similar", exact=True).click()
    count(page, PICTURES - 1)
    box(page).fill("at night -blue")
    parts = page.locator("#search-chips [data-part]")
    expect(parts).to_have_count(2)
    page.locator("#search-box input[type=file]").set_input_files(
        SCENE
    )  # is not of the gallery: not in the link
    expect(parts).to_have_count(3)
    expect(parts.last).to_have_text("at night")
    window.go(page.evaluate("sugarSearch.link('at night -blue', 'sample', 'pictures')"))
    expect(parts).to_have_count(2)
    expect(box(page)).to_have_value("at night -blue")
    expect(page.get_by_text("without “blue”")).to_be_visible()
    expect(page.locator("#wall .sugar-count")).to_be_visible()


def test_an_opened_picture_has_an_address_and_back_closes_it(window: Window) -> None:
    page = window.open("Photos")
    cells(page).nth(1).click()
    opened = page.get_by_role("dialog")
    expect(opened.locator(".name")).not_to_be_empty()
    name = opened.locator(".name").text_content()
    assert "gallery=sample&photo=" in page.url
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    address = page.url
    page.go_back()
    expect(opened).to_be_hidden()
    assert "photo=" not in page.url
    window.go(address)
    expect(opened.locator(".name")).to_have_text(str(name))
    expect(opened.locator("img")).to_be_visible()
    page.keyboard.press("Escape")
    expect(opened).to_be_hidden()
    expect(cells(page).first).to_be_visible()


NEAR_THE_TOP = """most => {
    const box = document.querySelector("#wall .sugar-wall-cell img")?.getBoundingClientRect();
    return box && box.height > 0 && box.y < most;
}"""


def test_the_keyboard_is_at_the_photos_in_two_presses(window: Window) -> None:
    page = window.open("Photos")
    box(page).fill("a red star")
    expect(page.locator("#wall .sugar-count")).to_be_visible()
    box(page).focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Go to the photos")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#wall .sugar-wall-cell").first).to_be_focused()


@pytest.mark.parametrize(("width", "height", "most"), [(1280, 800, 260), (390, 844, 300)])
def test_pictures_begin_near_the_top(browser: Any, app: Served, width: int, height: int, most: int) -> None:
    window = Window(browser, app, viewport={"width": width, "height": height})
    page = window.open("Photos")
    page.wait_for_function(NEAR_THE_TOP, arg=most)
    box(page).fill("a red star")
    expect(page.locator("#wall .sugar-count")).to_be_visible()
    page.wait_for_function(NEAR_THE_TOP, arg=most)
    page.keyboard.press("Escape")
    page.locator("#status").click()
    page.keyboard.press("/")
    expect(box(page)).to_be_focused()
    window.close()
    assert window.errors == []
