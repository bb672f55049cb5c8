"""What holds for every tab: no serious fault of accessibility, nothing too small for a finger, nothing moves.

axe-core comes from npm: `npm install --prefix tests`. Each window looks at all tabs once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Served, Window, screenshot

AXE = Path(__file__).with_name("node_modules") / "axe-core" / "axe.min.js"

SERIOUS = """async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  return found.violations
    .filter((v) => ["serious", "critical"].includes(v.impact))
    .map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 120)).join(" | ")}`);
}"""

UNNAMED = """() => {
  const seen = e => e.offsetParent !== null && getComputedStyle(e).visibility !== 'hidden';
  const named = e =>
    ['aria-label', 'title', 'alt', 'aria-labelledby'].some(a => e.getAttribute(a)) || e.innerText?.trim();
  const near = e =>
    e.closest('label, [aria-label]') || e.closest('.block')?.querySelector('label, [data-testid=block-info]');
  const labelled = e => named(e) || e.labels?.length || near(e);
  const says = e => named(e) || e.querySelector('img[alt]:not([alt=""]), [aria-label]');
  const all = what => [...document.querySelectorAll(what)].filter(seen);
  return [
    ...all('input:not([type=file]):not([type=hidden]), textarea, select').filter(e => !labelled(e)),
    ...all('img').filter(e => !e.alt),
    ...all('button, [role=button]').filter(e => !says(e)),
  ].map(e => e.outerHTML.slice(0, 200));
}"""

SMALL = """() => {
  const seen = (e) => e.offsetParent !== null && getComputedStyle(e).visibility !== "hidden";
  const whole = (e) => (["checkbox", "radio"].includes(e.type) && e.closest("label")) || e;
  const what = "button, input:not([type=file]), select, textarea, [role=button], [role=tab], [role=switch]";
  return [...document.querySelectorAll(what)]
    .filter(seen)
    .map((e) => [e, whole(e).getBoundingClientRect()])
    .filter(([, box]) => box.width > 0 && box.height > 0 && (box.width < 39.5 || box.height < 39.5))
    .map(([e, box]) => `${e.outerHTML.slice(0, 110)} ${Math.round(box.width)} x ${Math.round(box.height)}`);
}"""

WRAPPED = """() => {
  const lines = (e) => {
    const texts = document.createTreeWalker(e, NodeFilter.SHOW_TEXT), range = document.createRange();
    const middles = [];
    while (texts.nextNode()) {
      range.selectNodeContents(texts.currentNode);
      const boxes = [...range.getClientRects()].filter((box) => box.width > 1);
      middles.push(...boxes.map((box) => (box.top + box.bottom) / 2));
    }
    middles.sort((a, b) => a - b); // an icon beside a text differs by little, lines by more
    return middles.filter((middle, i) => i === 0 || middle - middles[i - 1] > 8).length;
  };
  const what = "button:not([data-pick], .upload-container, .example), .sugar-version";
  return [...document.querySelectorAll(what)]
    .filter((e) => e.offsetParent !== null && e.innerText.trim() && !e.querySelector("img, svg"))
    .filter((e) => lines(e) > 1)
    .map((e) => e.innerText.slice(0, 60));
}"""

WINDOWS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 900}},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}


def open_tab(page: Any, title: str) -> None:
    tab = page.get_by_role("tab", name=title, exact=True)
    if not tab.first.is_visible():  # a narrow window keeps the last tabs behind a button
        page.locator(".overflow-menu button").first.click()
        page.locator(".overflow-dropdown button", has_text=title).click()
    else:
        tab.first.click()


@pytest.fixture
def seen(browser: Any, app: Served, request: pytest.FixtureRequest) -> Iterator[Window]:
    window = Window(browser, app, **WINDOWS[request.param])
    yield window
    window.close()
    assert window.outside == [] and window.errors == []


@pytest.mark.parametrize("seen", list(WINDOWS), indirect=True, ids=list(WINDOWS))
def test_every_tab(seen: Window, request: pytest.FixtureRequest) -> None:
    kind = request.node.callspec.id
    page = seen.open()
    page.evaluate(AXE.read_text("utf-8"))
    titles = dict.fromkeys(page.get_by_role("tab").all_inner_texts())
    faults: dict[str, Any] = {}
    for title in filter(None, titles):
        open_tab(page, title)
        page.wait_for_timeout(300)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        faults[title] = [
            *([f"{wide} px wider than the window"] if wide > 0 else []),
            *page.evaluate(UNNAMED),
            *page.evaluate(SERIOUS),
            *(page.evaluate(SMALL) + page.evaluate(WRAPPED) if kind == "phone" else []),
        ]
        screenshot(page, f"{title.lower().replace(' ', '-')}-{kind}")
    assert {title: found for title, found in faults.items() if found} == {}
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) is (kind == "dark")


def test_nothing_moves_while_the_page_comes(browser: Any, app: Served) -> None:
    window = Window(browser, app, viewport={"width": 1280, "height": 900})
    window.page.add_init_script(
        "window.moved = 0; new PerformanceObserver((list) => list.getEntries().forEach((e) => {"
        "if (!e.hadRecentInput) window.moved += e.value; })).observe({type: 'layout-shift', buffered: true})"
    )
    page = window.open()
    page.locator("#talk .example").first.wait_for()
    assert page.evaluate("window.moved") <= 0.05
    window.close()
