"""Every example of the model that starts is pressed, over the gallery that ships, and its result read."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from conftest import ASSETS, Window, serve
from playwright.sync_api import expect
from talking import answered, ready

from sugar.core import Sugar

OFFERED = json.loads((ASSETS / "sugar-photo" / "sugar.json").read_text("utf-8"))["profile"]["examples"]
FOUND = {  # the example's button, what is counted, the first captions
    "a cat": (r"^\d+ close match", ["a cat with green eyes"]),
    "a mountain with snow": (r"^\d+ close match", ["a path on a mountain"]),
    "a cup of coffee": (r"^\d+ close match", ["a cup of coffee"]),
    "flowers": (r"^\d+ close match", ["an orange flower"]),
    "a picture + fruit": ("photos", ["half a fig in a red bowl"]),
    "A story: a stream …": ("runs of pictures", ["a stream", "dandelions", "two brown dogs"]),
}
SAID = {"what is in the picture?": "tabby", "what colour is it?": "red", "is there a person?": "no"}
TOLD = {
    "How long did the path to the hut take?": "took five hours",
    "What are the dogs called?": "Luna and Max",
    "Which photo shows a rocket?": "a rocket on its launch pad",
    "When was the mill built?": "I don't know",
}


def test_every_example_succeeds(browser: Any, tmp_path: Path) -> None:
    shipped = ASSETS.parent / "gallery_index" / "sample"
    shutil.copytree(shipped, tmp_path / "galleries" / "sample")
    served = serve(tmp_path, load=lambda name, progress: Sugar.from_pretrained("sugar-photo", device="cpu"))
    window = Window(browser, served)
    page = window.open("Photos")
    assert len(OFFERED["search"]) == len(FOUND)
    for number, (name, (count, captions)) in enumerate(FOUND.items()):
        expect(page.locator(f"#search-example-{number}")).to_have_text(name)
        page.locator(f"#search-example-{number}").click()
        expect(page.locator("#wall .sugar-count")).to_have_text(re.compile(count))
        for place, caption in enumerate(captions):
            cell = page.locator("#wall .sugar-wall-cell img").nth(place)
            expect(cell).to_have_attribute("alt", re.compile(caption))
        page.locator("#search-clear").click()
        expect(page.locator("#wall .sugar-count")).to_have_count(0)  # everything again

    assert [row["text"] for row in OFFERED["chat"]] == list(SAID)
    page.get_by_role("tab", name="Chat", exact=True).click()
    for number, (question, words) in enumerate(SAID.items()):
        page.locator("#talk .example").nth(number).click()
        answered(page, question)
        ready(page)
        expect(page.locator("#talk .bot").last).to_contain_text(words, ignore_case=True)
        page.get_by_role("button", name="New conversation").locator("visible=true").click()
        page.locator("#talk .example").first.wait_for()

    assert len(OFFERED["compare"]) == 1
    page.get_by_role("tab", name="Tell apart", exact=True).click()
    page.locator("#compare-example-0").click()
    for picture, letter in ((1, "A"), (2, "B")):
        expect(page.locator("#compare-verdict")).to_contain_text(f"Picture {picture} fits caption {letter}")

    assert [row["text"] for row in OFFERED["ask"]] == list(TOLD)
    page.get_by_role("tab", name="Ask your gallery", exact=True).click()
    for number, words in enumerate(TOLD.values()):
        page.locator(f"#ask-example-{number}").click()
        expect(page.locator("#ask-answer")).to_contain_text(words)
    window.close()
    assert window.errors == [] and window.outside == []
