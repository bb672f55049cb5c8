"""How a public host holds up against strangers: a flood, bombs, fifty visitors at once, and one who goes.

    python -m sugar bench load [--only flood,sessions,visitors,bombs,leaving] [--seconds 30]

Starts the app as a Space does (public, one proxy in front) and speaks to it over plain HTTP. Each row stands
beside the bar that was set for two cores. "Bombs" are small requests that name or hold far more.
Not covered: uploads past a quota and foreign pages (tests/test_gate.py).
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from PIL import Image

from sugar.bench import peak_memory
from sugar.bench.app import child, free_port
from sugar.errors import SugarError

SERVE = """
import os, sys
from sugar.services import modes
import sugar.ui.gate as gate
for mode in modes.MODES.values():
    object.__setattr__(mode, "grace_seconds", {grace})
gate.MINUTE = {sweep}
import app
sys.exit(app.main())
"""
"""The app with another grace period (seconds) and another pause between sweeps."""

Row = dict[str, Any]


@dataclass
class Host:
    """A running app: its process, its address, and the folder where visitors' files lie."""

    process: psutil.Process
    url: str
    folder: Path

    @property
    def megabytes(self) -> float:
        return self.process.memory_info().rss / 1e6


@contextmanager
def host(grace: float = 900.0, sweep: float = 60.0) -> Iterator[Host]:
    """The app in a process of its own. Raises SugarError when it does not come up."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        answered = "data" in Visitor(url, "9.9.9.9").call("chat", message({"text": "hello"}))
        if not answered:
            time.sleep(0.5)  # each try is a newcomer, and an hour has sixty of them
        return answered

    with tempfile.TemporaryDirectory() as folder:
        flags = ["--mode", "public", "--proxies", "1", "--port", str(port), "--gallery", f"{folder}/gallery"]
        words = ["-c", SERVE.format(grace=grace, sweep=sweep), *flags]
        with child(words, ready, GRADIO_TEMP_DIR=f"{folder}/cache") as process:
            yield Host(process, url, Path(folder))


@cache
def functions(url: str) -> dict[str, int]:
    """The numbers of the page's events, by name."""
    known = httpx.get(f"{url}/config", trust_env=False).json()["dependencies"]
    return {d.get("api_name"): d["id"] for d in known}


class Visitor:
    """A stranger with a cookie of their own, at an address of their own behind the proxy."""

    def __init__(self, url: str, address: str) -> None:
        self.http = httpx.Client(  # loopback: reading certificates would cost the bench more than the page
            base_url=url,
            timeout=300,
            headers={"X-Forwarded-For": address},
            trust_env=False,
            verify=False,
        )
        self.session = secrets.token_hex(8)
        self.http.get("/").raise_for_status()
        self.functions = functions(url)

    def upload(self, name: str, data: bytes) -> dict[str, Any]:
        sent = self.http.post("/gradio_api/upload", files={"files": (name, data)}).raise_for_status()
        return {"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}}

    def join(self, name: str, data: list[Any], session: str = "") -> httpx.Response:
        body = {"data": data, "fn_index": self.functions[name], "session_hash": session or self.session}
        return self.http.post("/gradio_api/queue/join", json=body)

    def call(self, name: str, data: list[Any]) -> dict[str, Any]:
        """The output of an event: {"data": ...}, or {"error": ...} where it was refused or failed."""
        joined = self.join(name, data)
        if joined.status_code != 200:
            return {"error": joined.text[:200]}
        with self.http.stream(
            "GET", "/gradio_api/queue/data", params={"session_hash": self.session}
        ) as lines:
            for line in lines.iter_lines():
                said: dict[str, Any] = json.loads(line[5:]) if line.startswith("data:") else {"msg": ""}
                if said["msg"] == "process_completed":
                    output: dict[str, Any] = said["output"]
                    return output if said["success"] else {"error": str(output.get("error"))}
        return {"error": "the stream ended"}


def message(said: dict[str, Any], history: Any = ()) -> list[Any]:
    """The arguments of /chat: message, history, temperature, top p, length, seed."""
    return [{"files": [], **said}, list(history), 0, 1, 8, -1]


def searching(words: Any, gallery: str) -> list[Any]:
    """The arguments of /search with everything else at rest."""
    return [words, gallery, "pictures", 3, True, False, "", "", "", "", 0, False]


def picture(width: int, height: int, seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 255, (height // 16, width // 16, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).resize((width, height)).save(out, "JPEG")
    return out.getvalue()


def p95(seconds: list[float]) -> float:
    return round(float(np.percentile(seconds, 95)), 2) if seconds else float("nan")


def flood(there: Host, seconds: float) -> list[Row]:
    """One visitor keeps every endpoint busy in turn; a second one chats and lists galleries."""
    one, other = Visitor(there.url, "7.7.7.7"), Visitor(there.url, "7.7.7.8")
    files = [one.upload(f"{i}.jpg", picture(500, 500, i)) for i in range(6)]
    notes = one.upload("notes.txt", b"The mill by the river was built in 1874. " * 2000)
    captions = [f"a red thing number {i}" for i in range(6)]
    acts: dict[str, list[Any]] = {
        "compare": [files, captions, True, False],
        "chat": message({"text": "describe the picture", "files": files[:1]}),
        "search": searching([{"picture": files[0]}, "a dog"], "sample"),
        "ask": ["when was the mill built?", None, "", [notes], 1, "always", False],
        "gallery_add": ["mine", files],
    }
    rows = []
    for name, data in acts.items():
        stop = threading.Event()

        def keep_on(name: str = name, data: list[Any] = data, stop: threading.Event = stop) -> None:
            while not stop.is_set():
                if one.join(name, data, secrets.token_hex(6)).status_code != 200:
                    time.sleep(0.1)

        threads = [threading.Thread(target=keep_on, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(2)
        waits, refused, began = [], 0, time.monotonic()
        while time.monotonic() - began < seconds:
            for act, given in (("chat", message({"text": "hello"})), ("gallery_list", [])):
                start = time.monotonic()
                refused += "data" not in other.call(act, given)
                waits.append(time.monotonic() - start)
            time.sleep(1.5)  # as fast as a visitor may ask: 60 questions a minute
        stop.set()
        for thread in threads:
            thread.join()
        rows.append(row(f"second visitor while one floods /{name}: p95, s", p95(waits), "3", refused=refused))
        time.sleep(3)
    return rows


def sessions(there: Host) -> list[Row]:
    """A thousand requests under a thousand session names, whose answers nobody reads."""
    visitor = Visitor(there.url, "7.7.8.1")
    before, taken = there.megabytes, 0
    for _ in range(1000):
        answer = visitor.join("gallery_list", [], secrets.token_hex(8))
        taken += answer.status_code == 200
    time.sleep(5)
    return [row("memory after 1,000 session names, MB", round(there.megabytes - before), "50", taken=taken)]


def visitors(there: Host, count: int = 50) -> list[Row]:
    """Visitors at once, each with an address: page, upload, add, search, chat."""
    waits: dict[str, list[float]] = {"page": [], "search": [], "chat": []}
    refused, calls, lock = 0, 0, threading.Lock()

    def timed(name: str, act: Callable[[], Any]) -> Any:
        nonlocal refused, calls
        start = time.monotonic()
        try:
            got = act()
        except httpx.HTTPError as error:
            got = {"error": str(error)}
        with lock:
            calls += 1
            waits.get(name, []).append(time.monotonic() - start)
            refused += isinstance(got, dict) and "error" in got
        return got

    def visit(number: int) -> None:
        visitor = timed("page", lambda: Visitor(there.url, f"9.1.0.{number}"))
        if not isinstance(visitor, Visitor):
            return
        file = timed("upload", lambda: visitor.upload("a.jpg", picture(800, 600, number)))
        if "path" in file:
            timed("add", lambda: visitor.call("gallery_add", ["mine", [file]]))
        timed("search", lambda: visitor.call("search", searching("a red thing", "mine")))
        timed("chat", lambda: visitor.call("chat", message({"text": "what is this?"})))

    threads = [threading.Thread(target=visit, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bars = {"page": "2", "search": "3", "chat": "6"}
    rows = [row(f"{count} visitors: {n} p95, s", p95(waits[n]), bar) for n, bar in bars.items()]
    return [*rows, row(f"{count} visitors: refused, %", round(100 * refused / max(1, calls), 1), "5")]


def bombs(there: Host) -> list[Row]:
    """Single requests that are small and name or hold much: memory at its peak, seconds until they end."""
    visitor = Visitor(there.url, "7.7.9.1")
    sent = visitor.upload("n.jpg", picture(1024, 1024, 3))
    shown = [{"role": "user", "content": [{"type": "file", "file": sent} for _ in range(400)]}]
    notes = visitor.upload("n.txt", os.urandom(20_000_000))
    words = np.random.default_rng(1).choice(["river", "mill", "garden", "stone", "boat", "dog"], 300_000)
    long = visitor.upload("long.txt", " ".join(words).encode())
    plain = io.BytesIO()
    Image.new("1", (8900, 8900)).save(plain, "PNG", optimize=True)
    part = {"picture": base64.b64encode(plain.getvalue()).decode()}
    head = {"sugar_conversation": 2, "title": "t", "system": "", "leaf": 0, "set_aside": [], "items": []}
    turn = {"role": "user", "parent": -1, "parts": [part] * 10 + [{"text": "x"}]}
    talk = visitor.upload("c.jsonl", "".join(json.dumps(line) + "\n" for line in (head, turn)).encode())
    acts: dict[str, tuple[str, list[Any]]] = {
        "a history that names one picture 400 times": ("chat", message({"text": "hi"}, shown)),
        "a conversation of ten pictures of 79 MP": ("import_file", [talk]),
        "notes named 60 times": ("ask", ["what?", None, "", [notes] * 60, 1, "always", False]),
        "notes of 300,000 words": (
            "ask",
            ["what stands by the river?", None, "", [long], 1, "always", False],
        ),
    }
    rows = []
    for title, (name, data) in acts.items():
        with peak_memory(there.process) as most:
            start = time.monotonic()
            visitor.call(name, data)
            took = time.monotonic() - start
        rows.append(row(f"{title}: memory, MB", round(most[0]), "300"))
        rows.append(row(f"{title}: s", round(took, 1), "20"))
    return rows


def leaving() -> list[Row]:
    """What is left of a visitor after the grace period, with a short one."""
    secret = "my secret is forty-two"
    with host(grace=8.0, sweep=2.0) as there:
        visitor = Visitor(there.url, "7.7.10.1")
        visitor.call("gallery_add", ["mine", [visitor.upload("one.jpg", picture(300, 300, 1))]])
        visitor.call("send", [{"text": secret, "files": []}, None, "", 0, 1, 8, -1])
        if not _kept(there.folder):
            raise SugarError("Nothing was kept of the visitor, so nothing is measured.")
        time.sleep(25)
        left = _kept(there.folder)
        again = Visitor(there.url, "7.7.10.2")
        again.session = visitor.session
        kept = "data" in again.call("export", [None])
    return [
        row("left on the disk after the grace period, bytes", left, "0"),
        row("left in memory: the conversation by its session", int(kept), "0"),
    ]


def _kept(folder: Path) -> int:
    """Bytes of all files but the app's own locks and its sample gallery."""
    files = (f for f in folder.rglob("*") if f.is_file() and f.suffix != ".lock" and "sample" not in f.parts)
    return sum(f.stat().st_size for f in files)


def row(what: str, value: float, bar: str, **more: Any) -> Row:
    return {"what": what, "measured": value, "at most": bar, **more}


OPTIONS = {
    "only": ("flood,sessions,visitors,bombs,leaving", "some of these parts"),
    "seconds": (30.0, "how long each flood lasts"),
}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print a table. Raises SugarError when the app does not come up."""
    parts: dict[str, Callable[[Host], list[Row]]] = {
        "flood": lambda there: flood(there, options.seconds),
        "sessions": sessions,
        "visitors": visitors,
        "bombs": bombs,
    }
    rows: list[Row] = []
    for name in options.only.split(","):
        if name == "leaving":
            found = leaving()
        else:
            with host() as there:
                found = parts[name](there)
        for line in found:
            beside = ", ".join(f"{k} {v}" for k, v in line.items() if k in ("refused", "taken"))
            print(f"{line['what']:<66}{line['measured']:>9}  at most {line['at most']:>4}  {beside}")
        rows += found
    return {"cores": os.cpu_count(), "rows": rows}
