"""Pictures for README.md, from the real app on the embedded model: `python tests/screenshots.py` (after
`make assets`).

Writes assets/screenshots/*.png, below 300 KB each. Not a test: what it shows is looked at by people.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from conftest import ASSETS, CHROMIUM
from PIL import Image
from playwright.sync_api import sync_playwright

OUT = ASSETS / "screenshots"


def keep(page: Any, name: str, **options: Any) -> None:
    path = OUT / f"{name}.png"
    page.screenshot(path=path, **options)
    with Image.open(path) as shot:
        shot.convert("RGB").save(path, optimize=True)
    print(path, path.stat().st_size // 1000, "KB")


def shoot(url: str) -> None:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 860})
        page.set_default_timeout(120_000)
        page.goto(url)
        page.locator("#status b").wait_for()
        page.get_by_text("describe the picture.").click()
        page.locator("#talk").get_by_text("tokens").wait_for()
        page.locator("#message button.submit-button").wait_for()
        page.wait_for_timeout(500)
        keep(page, "chat")
        page.get_by_role("tab", name="Search").click()
        page.locator("#search-example-1").click()
        page.locator("#hits [data-pick]").first.click()
        page.locator("#opened table").wait_for()
        page.wait_for_timeout(1000)
        page.locator("#opened").scroll_into_view_if_needed()
        keep(page, "search")
        page.get_by_role("tab", name="Tell apart").click()
        page.locator("#compare-example-0").click()
        page.locator("#compare-table table").wait_for()
        page.wait_for_timeout(1000)
        keep(page, "compare")
        browser.close()


def main(gallery: str = "gallery_index") -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from sugar.services.model_slot import open_slot
    from sugar.settings import Settings
    from sugar.ui import build_app, launch

    logging.basicConfig(level=logging.WARNING)
    OUT.mkdir(parents=True, exist_ok=True)
    settings = Settings(port=0, gallery=gallery)
    demo = build_app(settings, open_slot(settings))
    launch(demo, settings, block=False)
    shoot(f"http://127.0.0.1:{demo.server_port}")
    demo.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
