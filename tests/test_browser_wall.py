"""The wall of pictures by itself, on a small document without the app."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from sugar.ui.page import STATIC, styles
from sugar.ui.text import wall as words
from sugar.ui.wall import cells_message, large_message, listing_message, why_message

PIXEL = b"\xff\xd8\xff\xd9"

STUB = """
<html><head><style>%s</style><script>%s</script></head>
<body style="margin:0"><div id=home></div><button id=to></button>
<script>
  window.asked = [];
  const props = {value: ""};
  let take = () => {};
  const trigger = (name, data) => asked.push([name, data]);
  sugarWall(document.querySelector("#home"), props, trigger, (name, f) => { take = f; });
  window.say = (message) => { props.value = message; take(); };
</script></body></html>"""


class Wall:
    """The component in a window. `say` sends a message of the server, `asked` is what it asked for."""

    def __init__(self, page: Any) -> None:
        self.page = page
        scripts = "\n".join(path.read_text("utf-8") for path in sorted((STATIC / "wall").glob("*.js")))
        page.set_content(STUB % (styles(), scripts))

    def say(self, message: str) -> None:
        self.page.evaluate("(message) => say(message)", message)

    def show(self, ids: list[int], **more: Any) -> None:
        sections, name = more.pop("sections", [("", ids, False)]), more.pop("name", "one")
        self.say(listing_message(name, sections, more.pop("shapes", {}), can=more.pop("can", CAN), **more))
        cells = [({"id": i, "name": f"n{i}", "caption": "", "line": ""}, PIXEL) for i in ids[:200]]
        self.say(cells_message("one", cells))

    def asked(self, what: str) -> list[Any]:
        return [data for name, data in self.page.evaluate("asked") if name == what]

    def cell(self, id: int) -> Any:
        return self.page.locator(f"[data-pick='{id}']")

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()


CAN = ("select", "download", "edit")


@pytest.fixture
def wall(browser: Any) -> Iterator[Wall]:
    context = browser.new_context(viewport={"width": 1000, "height": 800}, has_touch=True)
    yield Wall(context.new_page())
    context.close()


def test_cells_in_sight_are_asked_for_once_and_late_ones_are_dropped(wall: Wall) -> None:
    wall.say(listing_message("one", [("May", range(500), False)], {}))
    wall.page.wait_for_function("asked.length > 0")
    [need] = wall.asked("need")
    assert need["ids"] == list(range(len(need["ids"]))) and 20 < len(need["ids"]) < 200
    expect(wall.page.locator("h2")).to_have_text("May")
    wall.say(cells_message("another", [({"id": 0, "name": "late", "caption": "", "line": ""}, PIXEL)]))
    expect(wall.page.get_by_text("late")).to_have_count(0)
    wall.say(
        cells_message("one", [({"id": 0, "name": "mine", "caption": "a dog", "line": "by words"}, PIXEL)])
    )
    expect(wall.cell(0).locator(".name")).to_have_text("mine · a dog")
    expect(wall.cell(0).locator(".line")).to_have_text("by words")
    assert wall.cell(0).locator("img").get_attribute("alt") == "a dog"


def test_a_section_in_one_line(wall: Wall) -> None:
    wall.show(list(range(12)), sections=[("Run 1", range(9), True), ("Run 2", range(9, 12), True)])
    tops = [wall.cell(n).bounding_box()["y"] for n in range(12)]
    assert len(set(tops[:9])) == 1 and len(set(tops[9:])) == 1 and tops[9] > tops[0]


def test_rows_are_justified_and_short_months_share_one(wall: Wall) -> None:
    months = [("May 2025", range(5), False), ("June 2025", [5], False), ("July 2025", [6, 7], False)]
    shapes = {n: (1.5, 0.75, 1.0)[n % 3] for n in range(8)}
    wall.show(list(range(8)), sections=months, shapes=shapes, dated=True)
    boxes = [wall.cell(n).bounding_box() for n in range(8)]
    first = [box for box in boxes if box["y"] == boxes[0]["y"]]
    assert len(first) == 5 and abs(first[-1]["x"] + first[-1]["width"] - 1000) < len(first)
    for n, box in enumerate(boxes):
        assert abs(box["width"] / box["height"] - shapes[n]) < 0.02, "no picture is cut"
    assert boxes[5]["y"] == boxes[6]["y"] == boxes[7]["y"], "June and July are short"
    heads = wall.page.locator("h2")
    assert [heads.nth(n).bounding_box()["x"] for n in (1, 2)] == [boxes[5]["x"], boxes[6]["x"]]


def test_the_page_scrolls_and_the_scrubber_goes_to_a_month(wall: Wall) -> None:
    months = [(f"May {2025 - n}", range(n * 60, n * 60 + 60), False) for n in range(6)]
    wall.show(list(range(360)), sections=months, dated=True)
    scrubber = wall.page.get_by_role("navigation", name="Months")
    expect(scrubber.get_by_role("button")).to_have_text([str(2025 - n) for n in range(6)])
    scrubber.get_by_role("button", name="2023").click()
    expect(wall.page.get_by_role("heading", name="May 2023")).to_be_in_viewport()
    assert wall.page.evaluate("window.scrollY") > 1000
    box = scrubber.bounding_box()
    wall.page.mouse.move(box["x"] + 4, box["y"] + box["height"] - 2)
    wall.page.mouse.down()
    wall.page.mouse.up()
    expect(wall.cell(359)).to_be_in_viewport()
    wall.show([1, 2])
    expect(scrubber).to_be_hidden()


def test_tab_reaches_one_picture_and_keys_go_on_from_there(wall: Wall) -> None:
    wall.show(list(range(40)))
    wall.cell(0).focus()
    expect(wall.page.locator("[data-pick][tabindex='0']")).to_have_count(1)
    for key, to in (("ArrowRight", 1), ("ArrowDown", 6), ("ArrowUp", 1), ("End", 39), ("Home", 0)):
        wall.page.keyboard.press(key)
        wall.page.wait_for_function("(id) => document.activeElement.dataset.pick == id", arg=to)


def test_selecting_by_shift_and_by_a_long_press_and_what_is_done_with_it(wall: Wall) -> None:
    wall.show(list(range(20)), targets=["best", "others"])
    wall.cell(2).click(modifiers=["Shift"])
    wall.cell(5).click(modifiers=["Shift"])
    expect(wall.page.locator("[aria-pressed=true]")).to_have_count(4)
    wall.press("Download")
    assert wall.asked("download")[-1] == {"ids": [2, 3, 4, 5]}
    wall.page.get_by_label(words.BUTTONS["move"]).select_option("others")
    assert wall.asked("act")[-1] == {"what": "move", "ids": [2, 3, 4, 5], "text": "others"}
    expect(wall.page.locator("[aria-pressed]")).to_have_count(0)
    wall.page.evaluate(
        """() => {
          const cell = document.querySelector("[data-pick='7']");
          const options = {bubbles: true, pointerType: "touch"};
          cell.dispatchEvent(new PointerEvent("pointerdown", {...options, clientX: 5, clientY: 5}));
          cell.dispatchEvent(new PointerEvent("pointermove", {...options, clientX: 8, clientY: 6})); }"""
    )
    wall.page.wait_for_function("document.querySelectorAll('[aria-pressed=true]').length === 1")
    wall.page.evaluate(
        "document.querySelector(\"[data-pick='7']\").click()"
    )  # the release of the finger opens nothing
    assert wall.asked("open") == []
    expect(wall.page.locator("[aria-pressed=true]")).to_have_count(1)
    wall.press("Delete selected")
    assert wall.asked("act")[-1]["what"] == "later"
    wall.show(list(range(19)), leaving=1)
    wall.press("Undo")
    assert wall.asked("act")[-1]["what"] == "undo"


def test_the_lightbox_steps_zooms_edits_and_hands_on(wall: Wall) -> None:
    wall.show(list(range(5)), can=(*CAN, "explain"))
    wall.page.evaluate("document.querySelector('#to').id = 'wall-to-similar'")
    wall.page.evaluate(
        "document.querySelector('#wall-to-similar').onclick = () => asked.push(['similar', 1])"
    )
    wall.cell(1).click()
    wall.page.keyboard.press("ArrowRight")
    assert [data["id"] for data in wall.asked("open")] == [1, 2]
    from PIL import Image

    cell = {"id": 2, "name": "n2", "caption": "old", "line": "", "favourite": True, "by_model": "tiny"}
    wall.say(large_message("one", {**cell, "about": "40 x 30"}, Image.new("RGB", (40, 30))))
    box = wall.page.get_by_role("dialog")
    about = box.get_by_role("complementary")
    assert "40 x 30" in about.inner_text() and "Written by tiny" in about.inner_text()
    picture, beside = box.locator("img").bounding_box(), about.bounding_box()
    assert picture["x"] + picture["width"] <= beside["x"], "what is known stands beside the picture"
    assert box.bounding_box() == {"x": 0, "y": 0, "width": 1000, "height": 800}
    wall.press(words.BUTTONS["why"])
    assert wall.asked("why") == [{"id": 2}]
    wall.say(why_message("one", 2, "<b>because</b>"))
    expect(about.locator("b")).to_have_text("because")
    wall.press(words.BUTTONS["information"])
    expect(about).to_have_count(0)
    wall.press(words.BUTTONS["information"])
    box.locator("img").click()
    expect(box.locator("img.zoomed")).to_have_count(1)
    box.get_by_label("Caption").fill("<i>new</i>")
    wall.press("Save caption")
    assert wall.asked("act")[-1] == {"what": "caption", "ids": [2], "text": "<i>new</i>"}
    wall.press("Not a favourite")
    assert wall.asked("act")[-1]["what"] == "unfavourite"
    box.get_by_role("button", name="Delete").click()
    assert (wall.asked("act")[-1]["what"], wall.asked("act")[-1]["ids"]) == ("later", [2])
    assert wall.asked("open")[-1] == {"id": 3}
    wall.press("Similar")
    assert wall.page.evaluate("asked").pop() == ["similar", 1]
    expect(box).to_be_hidden()
    wall.page.wait_for_function("document.activeElement.dataset.pick === '3'")


def test_what_may_not_be_done_is_not_offered(wall: Wall) -> None:
    wall.show([1, 2], can=("download",))
    expect(wall.page.locator(".sugar-wall-buttons button")).to_have_count(0)
    wall.cell(1).click()
    names = wall.page.get_by_role("dialog").get_by_role("button").all_inner_texts()
    assert "Download" in names and not {"Delete", "Favourite", "Save caption"} & set(names)


def test_twenty_thousand_pictures_scroll_with_few_cells_at_a_time(wall: Wall) -> None:
    """Only what is in sight stands in the document."""
    months = [(f"Month {n}", range(n * 500, n * 500 + 500), False) for n in range(40)]
    wall.say(listing_message("one", months, {}, dated=True))
    wall.page.evaluate(
        """(message) => { const cells = JSON.parse(message);
          const many = (id) => ({...cells.cells[0], id, name: `n${id}`});
          say(JSON.stringify({...cells, cells: Array.from({length: 20000}, (_, id) => many(id))})); }""",
        cells_message("one", [({"id": 0, "name": "", "caption": "", "line": ""}, PIXEL)]),
    )
    most = wall.page.evaluate(
        """async () => {
          let most = 0;
          for (let n = 0; n < 90; n += 1) {
            window.scrollBy(0, n < 60 ? 100 : 1500);
            await new Promise(requestAnimationFrame);
            most = Math.max(most, document.querySelectorAll("[data-pick]").length);
          }
          return most; }"""
    )
    assert 0 < most < 200
    assert wall.page.evaluate("window.scrollY") > 45_000


def open_cell(wall: Wall, caption: str = "") -> dict[str, Any]:
    """The server's answer for picture 2."""
    from PIL import Image

    cell = {"id": 2, "name": "n2", "caption": caption, "line": ""}
    wall.say(large_message("one", cell, Image.new("RGB", (40, 30))))
    return {"what": "caption", "ids": [2], "text": "a dog"}


@pytest.mark.parametrize("leaves", ["Next", "Previous", "Close", "Escape", "Back", "ArrowRight"])
def test_what_was_typed_is_saved_when_the_picture_is_left(wall: Wall, leaves: str) -> None:
    wall.show(list(range(5)))
    wall.cell(2).click()
    field = wall.page.get_by_label("Caption")
    field.press_sequentially("a d")  # while the picture is still on its way
    saved = open_cell(wall)
    assert field.evaluate("field => [field.value, field === document.activeElement]") == ["a d", True]
    field.press_sequentially("og")
    if leaves == "Back":
        wall.page.go_back()
    elif leaves in ("Escape", "ArrowRight"):
        wall.page.get_by_role("dialog").focus()
        wall.page.keyboard.press(leaves)
    else:
        wall.press(leaves)
    wall.page.wait_for_function("asked.some(([name]) => name === 'act')")
    assert wall.asked("act") == [saved]
    if leaves in ("Next", "Previous", "ArrowRight"):
        return
    expect(wall.page.get_by_role("dialog")).to_be_hidden()
    wall.page.wait_for_function("!history.state?.sugarPicture")
    wall.cell(2).click()
    expect(wall.page.get_by_label("Caption")).to_have_value("a dog"), "until the server has it"
    open_cell(wall, "a dog")
    wall.press("Next")
    assert wall.asked("act") == [saved], "once"


def test_nothing_is_saved_that_was_not_typed_or_is_gone(wall: Wall) -> None:
    wall.show(list(range(5)))
    wall.cell(2).click()
    open_cell(wall, "old")
    wall.press("Next"), wall.press("Previous")
    open_cell(wall, "old")
    wall.page.get_by_label("Caption").fill("a dog")
    wall.page.get_by_label("Name").fill(" ")
    wall.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    assert [one["what"] for one in wall.asked("act")] == ["later"]
    wall.page.get_by_label("Caption").fill("a cat")
    wall.show([7, 8], name="another")
    expect(wall.page.get_by_role("dialog")).to_be_hidden()
    assert len(wall.asked("act")) == 1, "its number belongs to another picture there"


def test_undo_can_be_reached_in_an_open_picture(wall: Wall) -> None:
    wall.show(list(range(5)))
    wall.cell(3).click()
    box = wall.page.get_by_role("dialog")
    box.get_by_role("button", name="Delete").click()
    wall.show([0, 1, 2, 4], leaving=1)
    expect(box.get_by_role("button", name="Next")).to_be_disabled()
    box.get_by_role("button", name="Undo").click()
    assert wall.asked("act")[-1]["what"] == "undo"
    wall.show(list(range(5)))
    wall.page.keyboard.press("ArrowLeft")
    assert wall.asked("open")[-1] == {"id": 3}, "the picture is back, and the keys go on from there"
    box.get_by_role("button", name="Delete").click()
    wall.show([0, 1, 2, 4], leaving=1)
    wall.press("Close")
    wall.press("Undo")
    assert [one["what"] for one in wall.asked("act")] == ["later", "undo", "later", "undo"]
