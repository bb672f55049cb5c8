"""Pictures for README.md, from the real app on the model that starts: `python tests/screenshots.py`.

Writes assets/screenshots/*.png, below 300 KB each. The photos are those of the sample gallery, and
scikit-image's CC0 pictures. Not a test: what it shows is looked at by people.
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from conftest import ASSETS, CHROMIUM
from PIL import Image
from playwright.sync_api import expect, sync_playwright

OUT = ASSETS / "screenshots"


def keep(page: Any, name: str) -> None:
    page.wait_for_timeout(1000)
    path = OUT / f"{name}.png"
    page.screenshot(path=path)
    with Image.open(path) as shot:
        shot.convert("RGB").quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    print(path, path.stat().st_size // 1000, "KB")


def shoot(url: str, photos: dict[str, str]) -> None:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 860})
        page.set_default_timeout(120_000)
        page.goto(url)
        expect(page.locator("#status b")).to_have_text("sugar-photo", timeout=120_000)
        page.locator("#wall img").first.wait_for()
        keep(page, "photos")
        page.get_by_role("tab", name="Chat", exact=True).click()
        page.locator("#message input[type=file]").set_input_files(photos["chelsea"])
        page.locator("#message .thumbnail-item").wait_for()
        page.locator("#message textarea").fill("what is in the picture?")
        page.locator("#message textarea").press("Enter")
        page.locator("#talk .sugar-how").wait_for()
        page.locator("#message button.submit-button").wait_for()
        keep(page, "chat")
        page.get_by_role("tab", name="Photos", exact=True).click()
        page.locator("#search-words textarea").fill("a cup of coffee")
        page.locator("#wall .sugar-count").wait_for()
        page.locator("#wall [data-pick]").first.click()
        page.get_by_role("button", name="Why it was found").click()
        page.get_by_text("Where in the picture").wait_for()
        keep(page, "search")
        page.keyboard.press("Escape")
        page.get_by_role("tab", name="Tell apart", exact=True).click()
        page.locator("#compare-pictures input[type=file]").set_input_files(
            [photos[name] for name in ("chelsea", "coffee", "motorcycle")]
        )
        page.locator("#compare-captions textarea").fill("a cat\na cup of coffee\na motorcycle")
        page.locator("#compare-go").click()
        page.locator("#compare-table table").wait_for()
        keep(page, "compare")
        browser.close()


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from sugar.evaluation.golden import photos
    from sugar.services.model_slot import open_slot
    from sugar.settings import Settings
    from sugar.ui import build_app, launch

    logging.basicConfig(level=logging.WARNING)
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        files = {name: f"{folder}/{name}.png" for name in photos()}
        for name, photo in photos().items():
            photo.save(files[name])
        shutil.copytree(ASSETS.parent / "gallery_index" / "sample", f"{folder}/galleries/sample")
        settings = Settings(port=0, gallery=f"{folder}/galleries")
        demo = build_app(settings, open_slot(settings))
        launch(demo, settings, block=False)
        shoot(f"http://127.0.0.1:{demo.server_port}", files)
        demo.close()


if __name__ == "__main__":
    main()
