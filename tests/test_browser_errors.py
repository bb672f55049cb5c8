"""An act that fails is told on the page, whichever event of whichever tab it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import Served, Window, serve

from sugar.errors import InputError
from sugar.ui import context

SAID = "[...document.querySelectorAll('[data-testid=toast-text]')].map((toast) => toast.textContent).join()"


def handlers(demo: Any) -> dict[int, Any]:
    """The events of the page that call the server, by their numbers."""
    return {number: event for number, event in demo.fns.items() if event.fn is not None}


def test_every_handler_is_guarded(app: Served, shared_app: Served) -> None:
    """A handler outside AppContext.guarded would show its visitor's words, and the log would hold them."""
    for served in (app, shared_app):
        outside = [
            event.fn
            for event in handlers(served.demo).values()
            if Path(event.fn.__code__.co_filename) != Path(context.__file__)
        ]
        assert outside == []
        assert len(handlers(served.demo)) > 100


def dispatched(config: dict[str, Any], numbers: list[int]) -> str:
    """The page's configuration where the component #status sets off every event that calls the server."""
    status = next(one["id"] for one in config["components"] if one["props"].get("elem_id") == "status")
    for event in config["dependencies"]:
        event["targets"] = [[status, f"try-{event['id']}"]] if event["id"] in numbers else []
        event["js"], event["inputs"], event["outputs"], event["cancels"] = None, [], [], []
        event.pop("trigger_after", None)
    return json.dumps(config).replace("<", "\\u003c")


def test_every_event_tells_its_error(browser: Any, tmp_path: Path) -> None:
    served = serve(tmp_path)
    events = handlers(served.demo)

    def fails(number: int) -> Callable[..., Any]:
        def handler(*values: Any) -> None:
            if number % 2:
                raise InputError(f"told <b>{number}</b>.")
            raise type(f"Fault{number}", (Exception,), {})("the visitor's words")

        return served.context.guarded(handler, uses_model=False)

    for number, event in events.items():
        event.fn, event.inputs, event.outputs = fails(number), [], []
    served.demo._queue.max_size = None
    window = Window(browser, served)
    page = window.page

    def patched(route: Any) -> None:
        html = route.fetch().text()
        begin = html.index("window.gradio_config = ") + len("window.gradio_config = ")
        config, length = json.JSONDecoder().raw_decode(html[begin:])
        body = html[:begin] + dispatched(config, list(events)) + html[begin + length :]
        route.fulfill(body=body, content_type="text/html")

    page.route(served.url + "/", patched)
    page.goto(served.url)
    page.wait_for_function("!!window.sugarErrors?.trigger")
    for some in (list(events)[n : n + 20] for n in range(0, len(events), 20)):  # a toast stands ten seconds
        wanted = [f"told <b>{n}</b>." if n % 2 else f"(Fault{n})" for n in some]
        page.evaluate("(numbers) => numbers.forEach((n) => sugarErrors.trigger(`try-${n}`, null))", some)
        page.wait_for_function(f"(wanted) => wanted.every((words) => {SAID}.includes(words))", arg=wanted)
        assert "visitor's words" not in page.evaluate(SAID)
        page.locator("[data-testid=toast-close]").evaluate_all("(all) => all.forEach((one) => one.click())")
    page.close()


def pressed(page: Any, name: str) -> str:
    """What the page says to a press."""
    page.get_by_role("button", name=name, exact=True).locator("visible=true").first.click()
    toast = page.locator("[data-testid=toast-text]").first
    toast.wait_for()
    said = toast.inner_text()
    page.locator("[data-testid=toast-close]").first.click()
    toast.wait_for(state="detached")
    return str(said)


def test_an_act_that_does_nothing_says_why(browser: Any, app: Served) -> None:
    window = Window(browser, app)
    page = window.open("Chat")
    assert "Ask something first" in pressed(page, "Export")
    page.get_by_role("tab", name="Photos", exact=True).click()
    page.locator("#photos-expert-open").click()
    assert "name of 1 to 60" in pressed(page, "Save this search")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    assert "?search=" in pressed(page, "Copy link")  # a page without https may not copy
    window.close()


def test_a_refused_upload_is_told_and_the_next_one_goes(browser: Any, app: Served, tmp_path: Path) -> None:
    window = Window(browser, app)
    page = window.open("Photos")
    page.route("**/gradio_api/upload*", lambda route: route.fulfill(status=413, body="Too <large>."))
    drop = """(name) => sugarAdding.add([new File(["x"], name, {type: "image/jpeg"})])"""
    page.locator("#gallery-sending p").first.wait_for(state="attached")
    for name in ("a.jpg", "b.jpg"):
        page.evaluate(drop, name)
        page.get_by_text("HTTP 413: Too").wait_for()
        page.wait_for_function("sugarAdding.total === 0")
        page.locator("[data-testid=toast-close]").first.click()
        page.get_by_text("HTTP 413: Too").wait_for(state="detached")
    window.close()


def test_an_error_stands_above_an_opened_picture(browser: Any, app: Served) -> None:
    window = Window(browser, app)
    page = window.open("Chat")
    page.evaluate("document.body.append(document.createElement('dialog')) ")
    page.evaluate("document.querySelector('body > dialog').showModal()")
    page.evaluate("sugarErrors.tell('Told above it.')")
    page.get_by_text("Told above it.").wait_for()
    page.wait_for_function("!!document.querySelector('.toast-wrap:popover-open')")
    box = page.locator(".toast-wrap").bounding_box()
    assert box["x"] + box["width"] > 1100 and box["y"] < 100 and box["height"] < 300
    window.close()
