"""The tab Photos as a person meets it, in real Chromium: every button around the wall is pressed."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ASSETS, Served, Window, eventually, screenshot
from PIL import Image
from playwright.sync_api import Page, expect

from sugar.gallery import Gallery, bin

SCENES = [str(ASSETS / "examples" / f"scene-{n}.jpg") for n in range(3)]


def png(seed: int, size: tuple[int, int] = (16, 12)) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def filled(app: Served, name: str, count: int, dated: bool = True) -> Path:
    """A gallery of `count` small pictures, one a day from 1 January 2025."""
    rows = []
    entries = io.BytesIO()
    with zipfile.ZipFile(entries, "w") as archive:
        for n in range(count):
            archive.writestr(f"{n:05}.png", png(n))
            taken = (datetime(2025, 1, 1) + timedelta(days=n)).isoformat() if dated else ""
            rows.append(json.dumps({"file": f"{n:05}.png", "taken": taken}))
        archive.writestr("captions.jsonl", "\n".join(rows))
    folder = app.settings.gallery_root / name
    with Gallery.create(folder, app.model) as gallery:
        gallery.add((f"{name}.zip", entries.getvalue()), workers=1)
    return folder


def cells(page: Page) -> Any:
    return page.locator("#wall .sugar-wall-cell")


def bar(page: Page, words: str) -> Any:
    return page.locator("#wall-bar").get_by_role("button", name=words, exact=True)


def fold(page: Page, name: str) -> None:
    """Press a button of the bar that opens a part below it."""
    page.locator("#photos-bar").get_by_role("button", name=name).click()


def dialog(page: Page) -> Any:
    """The dialog "New gallery", open."""
    page.locator("#gallery-new-open").click()
    return page.get_by_role("dialog", name="New gallery")


def choose(page: Page, name: str) -> None:
    page.locator("#gallery-name input").click()
    page.get_by_role("option", name=name, exact=True).click()
    expect(page.locator("#gallery-name input")).to_have_value(name)


@pytest.fixture
def holiday(app: Served) -> Iterator[Path]:
    folder = filled(app, "holiday", 9)
    yield folder
    app.context.galleries._close(("", "holiday"))
    if folder.exists():
        with Gallery.open(folder, app.model) as gallery:
            gallery.destroy()


def test_a_gallery_is_made_filled_and_removed(window: Window, app: Served, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"<script>alert(1)</script>")
    page = window.open("Photos")
    new = dialog(page)
    expect(new.get_by_label("Name of the new gallery")).to_be_focused()
    page.keyboard.press("Escape")
    expect(new).to_be_hidden()
    dialog(page).get_by_label("Name of the new gallery").fill("made here")
    page.locator("#gallery-create").click()
    expect(new).to_be_hidden()
    expect(page.get_by_text("This gallery is empty")).to_be_visible()
    expect(page.locator("#search-examples")).to_be_hidden()  # there is nothing that they could find
    page.locator("input[type=file]:has(+ #gallery-files)").set_input_files([*SCENES, str(bad)])
    expect(page.locator("#gallery-report")).to_contain_text("3 added, 1 refused")
    expect(page.locator("#gallery-report td").last).to_contain_text("not a picture")
    expect(cells(page)).to_have_count(3)
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "a.png").write_bytes(png(1))
    fold(page, "More")
    page.get_by_label("A folder on this machine").fill(str(folder))
    page.locator("#gallery-add-folder").click()
    expect(cells(page)).to_have_count(4)
    page.locator("#gallery-remove").click()
    expect(page.get_by_text("Tick the box first")).to_be_visible()
    page.get_by_label("Delete this gallery with all").check()
    page.locator("#gallery-remove").click()
    assert eventually(lambda: not (app.settings.gallery_root / "made here").exists())
    assert eventually(lambda: not list(app.settings.gallery_root.glob(".*deleting")))


def test_the_lightbox_shows_captions_and_steps(window: Window, app: Served, holiday: Path) -> None:
    page = window.open("Photos")
    choose(page, "holiday")
    expect(cells(page)).to_have_count(9)
    expect(page.locator("#wall .sugar-wall-head")).to_have_text("January 2025")
    cells(page).first.click()
    box = page.get_by_role("dialog")
    expect(box).to_contain_text("00008.png")
    expect(box).to_contain_text("2025-01-09")
    expect(box.get_by_role("button", name="Previous")).to_be_disabled()
    screenshot(page, "gallery-lightbox")
    page.keyboard.press("ArrowRight")
    expect(box).to_contain_text("00007.png")
    box.get_by_role("button", name="Zoom").click()
    expect(box.locator("img.zoomed")).to_have_count(1)
    box.get_by_label("Caption").fill("<b>my</b> [star]")
    box.get_by_role("button", name="Save caption").click()
    expect(page.locator("#wall .name", has_text="<b>my</b> [star]")).to_have_count(1)
    box.get_by_label("Name", exact=True).fill("the star.png")
    box.get_by_role("button", name="Rename").click()
    expect(page.locator("#wall .sugar-wall-cell .name", has_text="the star.png")).to_have_count(1)
    box.get_by_role("button", name="Favourite").click()
    expect(page.locator("#wall .sugar-wall-star")).to_have_count(1)
    for _ in range(7):
        box.get_by_role("button", name="Next").click()
    expect(box.get_by_role("button", name="Next")).to_be_disabled()
    box.get_by_role("button", name="Close").click()
    page.locator("#search-words textarea").fill("favourite:")
    expect(cells(page)).to_have_count(1)
    with Gallery.open(holiday, app.model, read_only=True) as kept:
        [item] = [i for i in kept.items() if i.favourite]
        assert (item.name, item.caption) == ("the star.png", "<b>my</b> [star]")


def test_selected_pictures_are_deleted_undone_and_deleted_for_good(
    window: Window, app: Served, holiday: Path
) -> None:
    page = window.open("Photos")
    choose(page, "holiday")
    expect(cells(page)).to_have_count(9)
    bar(page, "Select").click()
    cells(page).nth(1).click()
    cells(page).nth(3).click(modifiers=["Shift"])
    expect(page.locator("#wall [aria-pressed=true]")).to_have_count(3)
    bar(page, "Delete selected").click()
    expect(cells(page)).to_have_count(6)
    expect(page.locator("#photos-bin-open")).to_have_text("Bin (3)")
    with Gallery.open(holiday, app.model, read_only=True) as kept:
        assert len(kept) == 6, "hidden from everything at once"
    page.get_by_role("button", name="Undo").click()
    expect(cells(page)).to_have_count(9)
    network = page.context.new_cdp_session(page)  # slow: one step is under way when the next one is made
    speed = {"offline": False, "latency": 800, "downloadThroughput": -1, "uploadThroughput": -1}
    network.send("Network.emulateNetworkConditions", speed)
    bar(page, "Select").click()
    bar(page, "Select all").click()
    cells(page).first.click()
    expect(page.locator("#wall-bar .sugar-wall-count")).to_have_text("8 selected")
    bar(page, "Delete for good").click()
    expect(cells(page)).to_have_count(1)
    with Gallery.open(holiday, app.model, read_only=True) as kept:
        assert len(kept) == 1
    cells(page).first.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(cells(page)).to_have_count(0)
    page.get_by_role("button", name="Delete for good now").click()
    expect(page.locator("#photos-bin-open")).to_be_hidden()
    with Gallery.open(holiday, app.model, read_only=True) as kept:
        assert eventually(lambda: len(kept) == 0 and not bin.binned(kept))


def test_pictures_are_dropped_pasted_moved_and_downloaded(
    window: Window, app: Served, holiday: Path, tmp_path: Path
) -> None:
    page = window.open("Photos")
    choose(page, "holiday")
    expect(cells(page)).to_have_count(9)
    for kind, seed in (("drop", 100), ("paste", 101)):
        page.evaluate(
            """([kind, data]) => {
                const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0)), files = new DataTransfer();
                files.items.add(new File([bytes], `${kind}.png`, {type: "image/png"}));
                const options = {bubbles: true, cancelable: true};
                const event = kind === "paste" ? new ClipboardEvent(kind, {...options, clipboardData: files})
                                               : new DragEvent(kind, {...options, dataTransfer: files});
                document.querySelector("#wall").dispatchEvent(event);
            }""",
            [kind, base64.b64encode(png(seed)).decode()],
        )
        expect(page.locator("#wall .name", has_text=f"{kind}.png")).to_have_count(1)
    filled(app, "best", 0)
    window.go()
    page.get_by_role("tab", name="Photos", exact=True).click()
    choose(page, "holiday")
    cells(page).first.click(modifiers=["Shift"])
    cells(page).nth(2).click(modifiers=["Shift"])
    with page.expect_download() as download:
        bar(page, "Download").click()
    download.value.save_as(tmp_path / "three.zip")
    assert len(zipfile.ZipFile(tmp_path / "three.zip").namelist()) == 4
    page.locator("#wall-bar select").select_option("best")
    expect(page.locator("#wall .sugar-wall")).to_have_attribute("data-count", "8")
    choose(page, "best")
    expect(cells(page)).to_have_count(3)
    cells(page).first.click()
    page.get_by_role("dialog").get_by_role("button", name="Similar", exact=True).click()
    expect(page.locator("#wall .sugar-wall")).to_have_attribute("data-count", "2")
    expect(page.locator("#search-chips [data-part]")).to_have_count(1)
    bar(page, "Select").click()
    bar(page, "Select all").click()
    bar(page, "Delete selected").click()  # what was found is deleted as everything else is
    expect(page.locator("#wall")).to_contain_text("Nothing was found")
    page.get_by_role("button", name="Undo").click()
    expect(cells(page)).to_have_count(2)
    page.locator("#search-clear").click()
    expect(cells(page)).to_have_count(3)


def test_a_watched_folder_follows(window: Window, app: Served, holiday: Path, tmp_path: Path) -> None:
    app.context.watching._seconds = 0.2
    folder = tmp_path / "watched"
    folder.mkdir()
    (folder / "one.png").write_bytes(png(300))
    page = window.open("Photos")
    choose(page, "holiday")
    fold(page, "More")
    page.get_by_label("A folder on this machine").fill(str(folder))
    page.locator("#gallery-watch").click()
    expect(page.locator("#wall .name", has_text="one.png")).to_have_count(1)
    (folder / "two.png").write_bytes(png(301))
    expect(page.locator("#wall .name", has_text="two.png")).to_have_count(1)
    (folder / "one.png").unlink()
    expect(page.locator("#wall .name", has_text="one.png")).to_have_count(0)
    page.locator("#gallery-watched").get_by_role("button", name="Stop watching").click()
    expect(page.locator("#gallery-watched .sugar-job")).to_have_count(0)
    (folder / "three.png").write_bytes(png(302))
    page.wait_for_timeout(1000)
    with Gallery.open(holiday, app.model, read_only=True) as kept:
        assert sorted(i.name for i in kept.items() if not i.name.startswith("0")) == ["two.png"]


def test_export_downloads_at_once_and_always_the_gallery_that_is_shown(
    window: Window, app: Served, holiday: Path, tmp_path: Path
) -> None:
    page = window.open("Photos")
    choose(page, "holiday")
    fold(page, "More")
    with page.expect_download() as download:
        page.locator("#gallery-export").click()
    first = tmp_path / "first.zip"
    download.value.save_as(first)
    dialog(page).get_by_label("Name of the new gallery").fill("empty one")
    page.locator("#gallery-create").click()
    expect(page.get_by_text("This gallery is empty")).to_be_visible()
    with page.expect_download() as download:
        page.locator("#gallery-export").click()
    second = tmp_path / "second.zip"
    download.value.save_as(second)
    counts = [json.loads(zipfile.ZipFile(p).read("gallery.json"))["items"] for p in (first, second)]
    assert counts == [9, 0]
    dialog(page).get_by_label("Name of the new gallery").fill("brought back")
    with page.expect_file_chooser() as chooser:
        page.locator("#gallery-import").click()
    chooser.value.set_files(str(first))
    expect(cells(page)).to_have_count(9)
    expect(page.locator("#gallery-name input")).to_have_value("brought back")
    dialog(page).get_by_label("Name of the new gallery").fill("from a file")
    page.get_by_label("An export on this machine").fill(str(first))
    page.locator("#gallery-import-from").click()
    expect(page.locator("#gallery-name input")).to_have_value("from a file")
    expect(cells(page)).to_have_count(9)


def test_near_duplicates_captions_and_another_model(window: Window, app: Served, holiday: Path) -> None:
    with Gallery.open(holiday, app.model) as gallery:
        big = Image.new("RGB", (300, 300), "teal")
        for name, size in (("big.png", 300), ("small.png", 150)):
            out = io.BytesIO()
            big.resize((size, size)).save(out, "PNG")
            gallery.add((name, out.getvalue()))
        gallery.delete([i.id for i in gallery.items() if i.name.startswith("0000")][:7])
        with gallery.store.write() as db:
            db.execute("DELETE FROM vectors WHERE item = (SELECT max(id) FROM items)")
    page = window.open("Photos")
    choose(page, "holiday")
    expect(page.locator("#wall")).to_contain_text("1 photo is not indexed")
    expect(page.locator("#wall .line", has_text="not indexed yet")).to_have_count(1)
    page.locator("#gallery-reindex").click()
    expect(page.locator("#wall")).not_to_contain_text("not indexed")
    page.locator("#gallery-alike").click()
    expect(page.locator("#wall")).to_contain_text("1: the same photo 2 times")
    expect(cells(page)).to_have_count(2)
    expect(cells(page).first.locator(".line")).to_contain_text("300 x 300")
    page.locator("#gallery-alike").click()
    expect(cells(page)).to_have_count(4)
    fold(page, "More")
    page.locator("#gallery-captions").click()
    expect(page.locator("#wall .name", has_text="I see 1 pictures")).to_have_count(4)
    with Gallery.open(holiday, app.model, read_only=True) as kept:
        assert {i.caption_by for i in kept.items()} == {app.model.name}


def test_twenty_thousand_pictures_scroll(window: Window, app: Served) -> None:
    """The wall draws what is in sight, asks for it once, and finds its way to the end by keyboard too."""
    folder = filled(app, "many", 60)
    with Gallery.open(folder, app.model) as gallery, gallery.store.write() as db:
        for n in range(20_000):
            db.execute(
                "INSERT INTO items (sha256, name, caption, width, height, format, bytes, taken, camera, "
                "added, suffix, signature) SELECT printf('%064d', ?), printf('x%05d', ?), '', 16, 12, "
                "'PNG', 1, datetime('2020-01-01', ? || ' hours'), '', added, suffix, signature FROM items "
                "WHERE id = 1",
                (n, n, n),
            )
        db.execute(
            "INSERT INTO thumbnails SELECT id, (SELECT jpeg FROM thumbnails LIMIT 1) FROM items "
            "WHERE id NOT IN (SELECT item FROM thumbnails)"
        )
    page = window.open("Photos")
    choose(page, "many")
    expect(page.locator("#wall .sugar-wall")).to_have_attribute("data-count", "20060")
    assert cells(page).count() < 200
    expect(page.locator("#wall img").first).to_be_visible()
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    expect(page.locator("#wall .name", has_text="x00000")).to_have_count(1)
    page.evaluate("window.scrollTo(0, 0)")
    fold(page, "More")
    page.locator("#gallery-order input").click()
    page.get_by_role("option", name="By name").click()
    expect(page.locator("#wall .name", has_text="00000.png")).to_have_count(1)
    cells(page).first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    focused = page.evaluate("document.activeElement.dataset.pick")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.dataset.pick") == focused
