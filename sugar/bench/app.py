"""How fast the app is there: `python -m sugar bench app`, the whole app in a process of its own, as a newcomer starts it.

    python -m sugar bench app --rounds 3           # medians of three starts; the last round's page is loaded by Chromium

Seconds by the clock and of processor time from `python app.py` to the page and to the first answer about a picture; the first words of
the next question about it; memory of the process. What a stop costs, on a slower model with random weights that would go on for long:
from the stop to the whole answer to the next question, beside the same question with nothing before it. With Playwright and Chromium
there (`tests/requirements.txt`) also the page's first load: bytes as they travel, requests, and hosts other than our own.

Not covered: answers of a long kind (`bench core`), many visitors at once.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "assets" / "examples" / "scene-1.jpg"
PATIENCE = 300.0
"""Seconds to wait for the page."""


def run(args: list[str]) -> int:
    """Print the table and one JSON line. Returns 0; 1 when the app does not come up."""
    parser = argparse.ArgumentParser(prog="python -m sugar bench app", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="sugar-tiny", help="preset, folder or repository (%(default)s)")
    options = parser.parse_args(args)
    rounds, page = [], None
    for number in range(options.rounds):
        with started(options.model) as (process, url, begun):
            if not answers(process, url):
                print("The app did not come up. Start it by hand to see why: python app.py", file=sys.stderr)
                return 1
            rounds.append(measured(process, url, begun))
            if number == options.rounds - 1:
                page = first_load(url)
    with tempfile.TemporaryDirectory() as folder:
        from sugar.bench.core import shaped

        shaped("small").save_pretrained(folder)
        with started(folder, "--max-tokens", "4000") as (process, url, _):
            if not answers(process, url):
                return 1
            stop = stopped(url)
    rows: dict[str, Any] = {key: round(statistics.median(r[key] for r in rounds), 3) for key in rounds[0]} | stop | (page or {})
    for key, value in rows.items():
        print(f"{key.replace('_', ' '):<44} {value}")
    if page is None:
        print("first load of the page: not measured, it needs Playwright and Chromium (pip install -r tests/requirements.txt)")
    made = {"device": platform.machine(), "python": platform.python_version(), "date": datetime.date.today().isoformat()}
    print(json.dumps({"bench": "app", "model": options.model, "rounds": options.rounds, **made, "rows": rows}))
    return 0


@contextmanager
def started(model: str, *flags: str) -> Iterator[tuple[Any, str, float]]:
    """(process, address, when it was started) of `python app.py` on a free port, with galleries in a folder that goes again."""
    import psutil

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "app.py", "--model", model, "--port", str(port), "--gallery", folder, *flags]
        begun = time.perf_counter()
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield psutil.Process(child.pid), f"http://127.0.0.1:{port}/", begun
        finally:
            child.terminate()
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()


def answers(process: Any, url: str) -> bool:
    """Whether the page comes while the process lives."""
    until = time.perf_counter() + PATIENCE
    while time.perf_counter() < until and process.is_running() and process.status() != "zombie":
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return bool(response.status == 200)
        except OSError:
            time.sleep(0.05)
    return False


def measured(process: Any, url: str, begun: float) -> dict[str, float]:
    """The app's times, the page being there already; seconds, milliseconds, megabytes."""
    from gradio_client import Client, handle_file

    def spent() -> tuple[float, float]:
        cpu = process.cpu_times()
        return time.perf_counter() - begun, cpu.user + cpu.system

    out = dict(zip(("seconds_to_the_page", "processor_seconds_to_the_page"), spent(), strict=True))
    client = Client(url, verbose=False, download_files=False)
    asked = {"text": "describe the picture.", "files": [handle_file(PICTURE)]}
    history = client.predict(asked, [], api_name="/chat")
    out |= zip(("seconds_to_the_first_answer", "processor_seconds_to_the_first_answer"), spent(), strict=True)
    for message in history:
        for part in message["content"]:
            if "file" in part:
                part["file"] = handle_file(PICTURE)  # the same bytes: what is known of the picture is used again
    start = time.perf_counter()
    job = client.submit({"text": "is it day or night?", "files": []}, history, api_name="/chat")
    next(iter(job))
    out["milliseconds_to_the_next_words"] = 1000 * (time.perf_counter() - start)
    job.result()
    out["megabytes_of_the_process"] = process.memory_info().rss / 1e6
    return out


def stopped(url: str) -> dict[str, float]:
    """Milliseconds to the end of a one-word answer: by itself, and from the stop of an answer of 4,000 words that had begun."""
    from gradio_client import Client

    client = Client(url, verbose=False, download_files=False)

    def short() -> float:
        start = time.perf_counter()
        client.predict({"text": "what color is this ?", "files": []}, [], length=1, api_name="/chat")
        return 1000 * (time.perf_counter() - start)

    short()
    alone = statistics.median(short() for _ in range(5))
    after = []
    for _ in range(5):
        job = client.submit({"text": "what is this one ?", "files": []}, [], length=4000, api_name="/chat")
        next(iter(job))
        job.cancel()
        after.append(short())
    return {"milliseconds_to_a_short_answer": round(alone), "milliseconds_to_it_after_a_stop": round(statistics.median(after))}


def first_load(url: str) -> dict[str, float] | None:
    """{kilobytes, requests, requests to other hosts} of a first visit, or None where there is no browser to visit with."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if not (chromium := shutil.which("chromium")):
        return None
    sizes: list[float] = []
    hosts: list[str | None] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        wire = page.context.new_cdp_session(page)
        wire.send("Network.enable")
        wire.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        page.on("request", lambda request: hosts.append(urlsplit(request.url).hostname))
        page.goto(url)
        page.get_by_role("tab", name="Chat").wait_for()
        page.wait_for_timeout(3000)
        browser.close()
    own = urlsplit(url).hostname
    return {
        "kilobytes_of_the_first_load": round(sum(sizes) / 1000), "requests": len(hosts),
        "requests_to_other_hosts": sum(h not in (own, None) for h in hosts),
    }  # fmt: skip
