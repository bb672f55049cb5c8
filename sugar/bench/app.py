"""How fast the app is, started as a newcomer starts it, in a process of its own.

    python -m sugar bench app --rounds 3           # medians of three starts

Seconds from `python app.py` to the page, to the first answer about a picture, and to the first words of the
next one; memory of the process. What a stop costs is measured on a slower model with random weights. With
Playwright and Chromium (`tests/requirements.txt`) also the page's first load: bytes on the wire, requests,
foreign hosts, the time until the search box takes words, layout shift, and the slowest first open of a tab.
Not covered: long answers (`bench core`), many visitors at once.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from sugar.errors import SugarError

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "assets" / "examples" / "scene-1.jpg"
PATIENCE = 300.0
"""Seconds to wait for the page, and for an answer."""


OPTIONS = {
    "rounds": (3, "starts; the figures are their medians"),
    "model": ("sugar-photo", "preset, folder or repository"),
}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print a table. Raises SugarError when the app does not come up."""
    from sugar.bench.core import shaped

    rounds, load = [], {}
    for number in range(options.rounds):
        with started(options.model) as (process, url, begun):
            rounds.append(answering(process, url, begun))
            if number == options.rounds - 1:
                load = first_load(url)
    with tempfile.TemporaryDirectory() as folder:
        shaped().save_pretrained(folder)
        with started(folder, "--max-tokens", "4000") as (_, url, _):
            stop = stopping(url)
    rows = {key: round(statistics.median(r[key] for r in rounds), 3) for key in rounds[0]} | stop | load
    for key, value in rows.items():
        print(f"{key.replace('_', ' '):<44} {value}")
    if not load:
        print(
            "first load of the page: not measured; it needs Playwright and Chromium "
            "(pip install -r tests/requirements.txt)"
        )
    return {"model": options.model, "rounds": options.rounds, "rows": rows}


@contextmanager
def started(model: str, *flags: str) -> Iterator[tuple[psutil.Process, str, float]]:
    """(process, address, when it was started) of `python app.py` once its page answers, with galleries in a
    folder that goes again.
    """
    port, begun = free_port(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        words = ["app.py", "--model", model, "--port", str(port), "--gallery", folder, *flags]
        with child(words, lambda: httpx.get(f"http://127.0.0.1:{port}/", timeout=10).is_success) as process:
            yield process, f"http://127.0.0.1:{port}/", begun


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def child(words: list[str], ready: Callable[[], bool], **environment: str) -> Iterator[psutil.Process]:
    """Python with these words, once it is ready. Raises SugarError when it does not get there."""
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + PATIENCE
    try:
        while True:
            with suppress(httpx.TransportError):
                if ready():
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise SugarError("The app did not come up. Start it by hand to see why: python app.py")
            time.sleep(0.05)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


class Chat:
    """The endpoint /chat of a running app over plain HTTP, as any program reaches it."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=f"{url}gradio_api/", timeout=PATIENCE)
        known = httpx.get(f"{url}config", timeout=PATIENCE).json()["dependencies"]
        self.function = next(d["id"] for d in known if d["api_name"] == "chat")

    def picture(self, path: Path) -> dict[str, Any]:
        """An uploaded picture, to be put among the files of a message."""
        sent = self.http.post("upload", files={"files": (path.name, path.read_bytes())}).raise_for_status()
        return {"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}}

    def ask(self, words: str, *files: dict[str, Any], history: Any = (), **settings: Any) -> str:
        """Put a question in the queue; the event's id."""
        asked = {"message": {"text": words, "files": list(files)}, "history": list(history), **settings}
        return str(self.http.post("call/v2/chat", json=asked).raise_for_status().json()["event_id"])

    def answers(self, event: str) -> Iterator[Any]:
        """The conversation as it grows. Raises SugarError when the app says so."""
        with self.http.stream("GET", f"call/v2/chat/{event}") as stream:
            kind = ""
            for line in stream.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data" and kind == "error":
                    raise SugarError(f"The app answered with an error: {value}")
                elif name == "data" and kind in ("generating", "complete"):
                    yield json.loads(value)

    def stop(self, event: str) -> None:
        self.http.post(
            "cancel", json={"session_hash": event, "fn_index": self.function, "event_id": event}
        ).raise_for_status()


def answering(process: psutil.Process, url: str, begun: float) -> dict[str, float]:
    """The app's times, the page being there already; seconds, milliseconds, megabytes."""

    def spent() -> tuple[float, float]:
        cpu = process.cpu_times()
        return time.perf_counter() - begun, cpu.user + cpu.system

    out = dict(zip(("seconds_to_the_page", "processor_seconds_to_the_page"), spent(), strict=True))
    chat = Chat(url)
    *_, (history, *_) = chat.answers(chat.ask("describe the picture.", chat.picture(PICTURE)))
    out |= zip(("seconds_to_the_first_answer", "processor_seconds_to_the_first_answer"), spent(), strict=True)
    start = time.perf_counter()
    growing = chat.answers(chat.ask("is it day or night?", history=history))
    next(answer for answer in growing if _words(answer))
    out["milliseconds_to_the_next_words"] = 1000 * (time.perf_counter() - start)
    out["megabytes_of_the_process"] = process.memory_info().rss / 1e6
    return out


def _words(answer: Any) -> str:
    last = answer[0][-1]
    return str(last["content"][0]["text"]).strip() if last["role"] == "assistant" else ""


def stopping(url: str) -> dict[str, float]:
    """Milliseconds to the end of a one-word answer: by itself, and from the stop of an answer of 4,000 words
    that had begun.
    """
    chat = Chat(url)

    def short() -> float:
        start = time.perf_counter()
        list(chat.answers(chat.ask("what color is this ?", length=1)))
        return 1000 * (time.perf_counter() - start)

    short()
    alone = statistics.median(short() for _ in range(5))
    after = []
    for _ in range(5):
        event = chat.ask("what is this one ?", length=4000)
        growing = chat.answers(event)
        next(growing)
        start = time.perf_counter()
        chat.stop(event)
        short()
        after.append(1000 * (time.perf_counter() - start))
    return {
        "milliseconds_to_a_short_answer": round(alone),
        "milliseconds_to_it_after_a_stop": round(statistics.median(after)),
    }


SHIFT = """
window.moved = 0
new PerformanceObserver((list) => list.getEntries().forEach((e) => {
  if (!e.hadRecentInput) window.moved += e.value
})).observe({ type: "layout-shift", buffered: true })
"""
OPEN_TAB = """
(tab) => new Promise((done) => {
  const start = performance.now()
  const shown = () => tab.getAttribute("aria-selected") === "true"
    ? requestAnimationFrame(() => done(performance.now() - start)) : requestAnimationFrame(shown)
  tab.click()
  requestAnimationFrame(shown)
})
"""
"""Milliseconds from the click to the second frame in which the tab is the selected one."""


def first_load(url: str) -> dict[str, float]:
    """What a first visit costs (the module docstring says what), or nothing where there is no browser to
    visit with.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {}
    if not (chromium := shutil.which("chromium")):
        return {}
    sizes: list[float] = []
    hosts: list[str | None] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.add_init_script(SHIFT)
        wire = page.context.new_cdp_session(page)
        wire.send("Network.enable")
        wire.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        page.on("request", lambda request: hosts.append(urlsplit(request.url).hostname))
        start = time.perf_counter()
        page.goto(url, wait_until="commit")
        box = page.locator("#shell textarea, #search-words textarea").first  # whichever stands already
        box.fill("hello")
        taken = 1000 * (time.perf_counter() - start)
        page.locator("#search-words textarea").wait_for()
        complete = 1000 * (time.perf_counter() - start)
        if page.locator("#search-words textarea").input_value() != "hello":
            raise SugarError("The words that were typed while the page started are lost.")
        page.wait_for_timeout(3000)
        moved, transferred, asked = page.evaluate("window.moved"), sum(sizes), len(hosts)
        tabs = page.get_by_role("tab").element_handles()
        slowest = max(page.evaluate(OPEN_TAB, tab) for tab in tabs[1:])
        browser.close()
    own = urlsplit(url).hostname
    return {
        "kilobytes_of_the_first_load": round(transferred / 1000),
        "milliseconds_until_the_page_takes_words": round(taken),
        "milliseconds_until_the_tabs_stand": round(complete),
        "layout_shift": round(moved, 3),
        "milliseconds_of_the_slowest_first_open_of_a_tab": round(slowest),
        "requests": asked,
        "requests_to_other_hosts": sum(h not in (own, None) for h in hosts),
    }
