"""The scripts of sugar/ui/static in a browser, on small documents of their own, without the app."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sugar.ui.page import STATIC


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def document(page: Any, script: str, body: str) -> None:
    """A document with one of our scripts and a body."""
    code = (STATIC / script).read_text("utf-8")
    page.set_content(f"<html><head><script>{code}</script></head><body>{body}</body></html>")


def test_a_region_is_dragged_clicked_and_moved_by_keys(page: Any) -> None:
    body = (
        "<div><div class=sugar-region tabindex=0 style='position:relative;width:200px'>"
        "<img style='width:200px;height:100px;display:block' draggable=false><i></i></div>"
        "<button data-pick='region:x'></button></div>"
    )
    document(page, "region.js", body)
    box = page.locator("img").bounding_box()

    def marked() -> list[float]:
        return [float(v) for v in page.locator("button").get_attribute("data-box").split(",")]

    page.mouse.move(box["x"] + 20, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 60)
    page.mouse.up()
    assert marked() == pytest.approx([0.1, 0.1, 0.6, 0.6], abs=0.02)
    page.keyboard.press("ArrowRight")
    assert marked() == pytest.approx([0.15, 0.1, 0.65, 0.6], abs=0.02)
    page.keyboard.press("-")
    assert marked() == pytest.approx([0.2, 0.15, 0.6, 0.55], abs=0.02)
    page.mouse.click(box["x"] + 100, box["y"] + 50)
    assert marked() == pytest.approx([0.35, 0.35, 0.65, 0.65], abs=0.02)


def test_a_change_is_announced_once_and_a_clock_is_not(page: Any) -> None:
    document(page, "live.js", "<div class=sugar-live>Loading 1 s</div><p id=other></p>")
    page.evaluate("live.delay = 0")

    def write(words: str) -> str:
        page.evaluate("(words) => { document.querySelector('.sugar-live').innerHTML = words }", words)
        page.wait_for_timeout(60)
        return page.locator("#announcements").text_content()

    assert write("Loading 2 s") == "Loading 2 s"
    assert write("Loading 3 s") == "Loading 2 s"
    assert write("<b>ready</b>") == "ready"
    page.evaluate("document.querySelector('#other').textContent = 'elsewhere'")
    page.wait_for_timeout(60)
    assert page.locator("#announcements").text_content() == "ready"
    assert page.locator("#announcements").get_attribute("aria-live") == "polite"


def test_the_focus_stays_on_a_cell_that_is_drawn_anew(page: Any) -> None:
    cells = "<button data-pick=a>a</button><button data-pick=b>b</button>"
    document(page, "focus.js", f"<div id=home>{cells}</div>")
    page.locator("[data-pick=b]").focus()
    page.evaluate("(cells) => { document.querySelector('#home').innerHTML = cells }", cells)
    page.wait_for_function("document.activeElement.dataset?.pick === 'b'")


def test_what_gradio_lacks_is_repaired(page: Any) -> None:
    document(page, "repairs.js", "<main></main>")
    page.evaluate(
        "document.querySelector('main').innerHTML = `<div aria-label='Hits'><img></div>"
        "<div class=examples role=list></div><button class=upload-container aria-label=x>Drop</button>`"
    )
    page.wait_for_function("document.querySelector('img').alt === 'picture, Hits'")
    assert page.locator(".examples").get_attribute("role") == "group"
    assert page.locator(".upload-container").get_attribute("aria-label") is None


def test_a_copied_answer_is_what_was_read(page: Any) -> None:
    clipboard = "{value: {writeText: (words) => { window.copied = words; }}}"
    page.evaluate(f"Object.defineProperty(navigator, 'clipboard', {clipboard})")
    document(page, "copy.js", "<div id=talk><button>Copy</button></div><button id=other>Copy</button>")
    for place, copied in (("#talk button", "a < b & c"), ("#other", "a &lt; b &amp; c")):
        page.click(place)
        page.evaluate("navigator.clipboard.writeText('a &lt; b &amp; c')")
        assert page.evaluate("window.copied") == copied
    page.evaluate("navigator.clipboard.writeText('<\u2060b> &\u2060lt;')")
    assert page.evaluate("window.copied") == "<b> &lt;"


def test_a_dropped_folder_is_walked_and_sent_a_part_at_a_time(page: Any) -> None:
    code = "".join((STATIC / f"{name}.js").read_text("utf-8") for name in ("errors", "files", "adding"))
    page.set_content(
        "<div id=gallery-sending><p></p></div>"
        "<input type=file multiple><button id=gallery-files></button>"
        "<button id=gallery-add onclick='window.begun = true'></button>"
        "<div id=photos><div id=wall>x</div></div>"
        f"<script>{code}</script>"
    )
    sent = page.evaluate(
        """async () => {
          const file = (name, words = "x") => ({isFile: true, file: (done) => done(new File([words], name))});
          const lost = {isFile: true, name: "lost.mp4", file: (done, failed) => failed(new Error("gone"))};
          const shut = {name: "shut", createReader: () => ({readEntries: (_, failed) => failed(Error())})};
          const folder = (...inside) => ({createReader: () => {
            const parts = [inside.slice(0, 2), inside.slice(2), []]; // as browsers do: some at a time
            return {readEntries: (done) => done(parts.shift())};
          }});
          const names = Array.from({length: 45}, (_, n) => file(`${n}.jpg`));
          const rest = [".hidden", "Thumbs.db", "a.mov", "$&.mp4", "<notes>.doc"].map((name) => file(name));
          const large = [file("large.jpg", "xxxxxx"), file("large.zip", "xxxxxx"), lost, shut];
          const tree = folder(file("a.HEIC"), folder(...names), file("captions.csv"), ...rest, ...large);
          const said = [];
          sugarErrors.ready((kind, text) => said.push(text), {left_out: "{n}: {names}"});
          sugarFiles.most = {picture: 5, zip: 10};
          const drop = {items: [{webkitGetAsEntry: () => tree}], files: []};
          const files = sugarFiles.take(await sugarFiles.dropped(drop), sugarAdding.texts);
          const parts = [];
          const input = document.querySelector("input");
          input.addEventListener("change", () => parts.push(input.files.length));
          sugarAdding.add(files);
          const told = document.querySelector("p").textContent;
          sugarAdding.next();
          sugarAdding.next();
          const early = window.begun;
          sugarAdding.next();
          const hint = () => document.querySelector("p").textContent;
          const end = [window.begun, hint()];
          sugarAdding.add(files);
          document.dispatchEvent(new Event("sugar-upload-failed"));
          return [files.length, parts, told, early, ...end, said, hint(), sugarAdding.total];
        }"""
    )
    left = ["6: a.mov, $&amp;.mp4, &lt;notes>.doc, large.jpg, lost.mp4, …"]
    assert sent == [48, [20, 20, 8, 20], "20 / 48", None, True, "", left, "", 0]


def test_what_the_server_refuses_is_told_once(page: Any) -> None:
    """An act is told what became of it, by the gate or by a proxy too; a clock that fails again is not."""
    answers = {
        1: (500, "application/json", '{"error": "The title is empty. a1b2c3", "visible": true}'),
        2: (429, "text/plain", "Too many <b>requests</b>."),
        3: (502, "text/html", "<h1>Bad gateway</h1>"),
        4: (500, "application/json", '{"error": "not to be seen", "visible": false}'),
        5: (500, "application/json", '{"error": "The clock stands still."}'),
        6: (401, "application/json", '{"detail": "Not authenticated"}'),
    }

    def answer(route: Any) -> None:
        number = route.request.post_data_json["fn_index"] if route.request.method == "POST" else 0
        status, kind, body = answers.get(number, (200, "text/html", "<p></p>"))
        route.fulfill(status=status, content_type=kind, body=body)

    page.route("http://app/**", answer)
    page.goto("http://app/")
    page.add_script_tag(path=STATIC / "errors.js")
    clock = {"dependencies": [{"id": n, "targets": [[9, "tick" if n == 5 else "click"]]} for n in answers]}
    page.evaluate("(config) => { window.gradio_config = config }", clock)

    def ask(number: int, place: str = "run/predict") -> Any:
        ask = """([number, place]) => fetch(`http://app/gradio_api/${place}`, {
            method: "POST", body: JSON.stringify({fn_index: number})
        }).then((answer) => answer.status < 300 || answer.json())"""
        return page.evaluate(ask, [number, place])

    words = "Too many &lt;b>requests&lt;/b>."
    assert ask(2)["error"] == words  # before the page stands: kept
    toast = "(event, text) => document.body.innerHTML += `<p data-testid=toast-text>${text}</p>`"
    page.evaluate(f"sugarErrors.ready({toast}, {{refused: 'Refused ({{status}})'}})")

    def told() -> list[str]:
        return page.locator("p[data-testid]").all_inner_texts()

    assert told() == ["Too many <b>requests</b>."]
    for number in (1, 2, 3, 4, 5, 6):
        ask(number)
    heard = ["The title is empty. a1b2c3", "Refused (502)", "The clock stands still.", "Not authenticated"]
    assert told()[1:] == heard
    answers[1] = (500, "application/json", '{"error": "The title is empty. 0f0f0f"}')
    ask(1)
    assert told()[1:] == heard  # it stands there already
    page.evaluate("document.body.innerHTML = ''")
    ask(5)
    assert told() == []  # a clock that fails again
    assert ask(7) and ask(2, "queue/join") == {"error": words, "detail": words}
    assert told() == []  # Gradio tells of an event of the queue itself
    answers.pop(5)
    ask(5)
    answers[5] = (500, "application/json", '{"error": "The clock stands again."}')
    ask(5)
    ask(1)
    assert told() == ["The clock stands again.", "The title is empty. 0f0f0f"]
