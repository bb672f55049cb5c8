"""What holds for every tab: no serious fault of accessibility, nothing too small for a finger, nothing moves.

axe-core comes from npm: `npm install --prefix tests`. Each window looks at all tabs once.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import Served, Window, eventually, screenshot, serve
from playwright.sync_api import expect

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


MOVES = (
    "window.moved = 0; new PerformanceObserver((list) => list.getEntries().forEach((e) => {"
    "if (!e.hadRecentInput) window.moved += e.value; })).observe({type: 'layout-shift', buffered: true})"
)


@pytest.fixture
def seen(browser: Any, app: Served, request: pytest.FixtureRequest) -> Iterator[Window]:
    window = Window(browser, app, **WINDOWS[request.param])
    window.page.add_init_script(MOVES)
    yield window
    window.close()
    assert window.outside == [] and window.errors == []


@pytest.mark.parametrize("seen", list(WINDOWS), indirect=True, ids=list(WINDOWS))
def test_every_tab(seen: Window, request: pytest.FixtureRequest) -> None:
    kind = request.node.callspec.id
    page = seen.open()
    if kind == "light":
        page.locator("#talk .example").first.wait_for()
        assert page.evaluate("window.moved") <= 0.05, "nothing moves while the page comes"
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


TAGS = "form input img style iframe video link meta object svg base math .mermaid"


def test_an_answer_is_text_whatever_it_says(window: Window, tmp_path: Path) -> None:
    """A form, a picture that logs out and a page of its own passed behind a line of "```a`b"."""
    bad = "<form action=https://evil.example><input></form><img src=/logout><style>*{color:red}</style><svg>"
    bad += "<div class=mermaid style='position:fixed;inset:0'>graph TD</div>"
    diagram = '```mermaid\ngraph TD; A["&lt;img src=/logout&gt;"]\n```'
    said = f"**bold** `<b>`\n\n{diagram}\n\n```a`b\n{bad}\n```\n{bad}\n"
    lines = [
        {"sugar_conversation": 2, "title": "t", "system": "", "leaf": 1, "set_aside": [], "items": []},
        {"role": "user", "parent": -1, "parts": [{"text": "q"}]},
        {
            "role": "assistant",
            "parent": 0,
            "parts": [{"text": said}],
            "answer": [3, 0.1, 0.2, "done"],
            "read": [],
        },
    ]
    kept = tmp_path / "talk.jsonl"
    kept.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    page = window.open()
    with page.expect_file_chooser() as chooser:
        page.locator("#reopen").click()
    chooser.value.set_files(kept)
    answer = page.locator("#talk [data-testid=bot]").first
    answer.get_by_text("bold").wait_for()
    page.wait_for_timeout(500)
    shown = answer.locator(".md").first
    expect(shown.locator("strong")).to_have_count(1)
    expect(shown.locator("code")).to_have_count(3)
    found = {tag: shown.locator(f"{tag}:not(button *)").count() for tag in TAGS.split()}
    assert not any(found.values()), found
    assert shown.locator("[style*=fixed]").count() == 0
    assert bad in shown.inner_text().replace("\u2060", "")


class Kittens(BaseHTTPRequestHandler):
    """Another site on the same host, so that the browser sends it the same cookies."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<h1>kittens</h1>")

    def log_message(self, *args: Any) -> None:
        pass


ASK = """([url, method, headers, body]) =>
  fetch(url, {method, headers, body, credentials: "include"}).then((r) => r.status).catch((e) => "blocked")"""


def test_a_foreign_page_reads_deletes_and_frames_nothing(browser: Any, tmp_path: Path) -> None:
    """With the person's cookies it used to read the login's token and to delete galleries."""
    app = serve(tmp_path, mode="lan", auth="me:secret", proxies=1)
    other = ThreadingHTTPServer(("127.0.0.1", 0), Kittens)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    context = browser.new_context()
    own, foreign = context.new_page(), context.new_page()
    own.goto(app.url)
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert own.evaluate(ASK, ["/login", "POST", form, "username=me&password=secret"]) == 200
    create, body = "/gradio_api/call/v2/gallery_create", '{"name": "holiday"}'
    as_json = {"content-type": "application/json"}
    assert own.evaluate(ASK, [create, "POST", as_json, body]) == 200
    eventually(lambda: (tmp_path / "galleries" / "holiday").is_dir())
    foreign.goto(f"http://127.0.0.1:{other.server_port}/")
    for path in ("/", "/config", "/gradio_api/token", "/gradio_api/user", "/logout"):
        assert foreign.evaluate(ASK, [f"{app.url}{path}", "GET", {}, None]) == "blocked"
    remove = f"{app.url}/gradio_api/call/v2/gallery_remove"
    for forged in ({}, {"X-Forwarded-Host": f"127.0.0.1:{other.server_port}"}):
        for kind in ({"content-type": "text/plain"}, as_json):
            assert foreign.evaluate(ASK, [remove, "POST", {**kind, **forged}, body]) == "blocked"
    assert (tmp_path / "galleries" / "holiday").is_dir()
    foreign.set_content(f"<iframe src='{app.url}/'></iframe><img src='{app.url}/logout'>")
    foreign.wait_for_timeout(1000)
    assert "gradio" not in foreign.frames[1].content(), "no page of another site frames the app"
    own.goto(app.url)
    own.locator("#tabs").wait_for()  # still logged in
    own.goto(f"{app.url}/logout")
    own.get_by_role("button", name="Log out").click()
    own.get_by_label("password").wait_for()
    context.close()
    other.shutdown()
