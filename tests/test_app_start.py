"""`python app.py` as a newcomer runs it: a process of its own, the model that ships, a page, an answer."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
from conftest import ASSETS, Served


def test_it_starts_answers_and_asks_nobody_else() -> None:
    bench = [
        sys.executable,
        "-m",
        "sugar",
        "bench",
        "app",
        "--rounds",
        "1",
    ]  # a browser of its own: the tests' may be open
    done = subprocess.run(bench, cwd=ASSETS.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout.splitlines()[-1])
    assert line["bench"] == "app" and line["model"] == "sugar-photo" and line["date"]
    rows = line["rows"]
    assert rows["seconds_to_the_first_answer"] > rows["seconds_to_the_page"] > 0
    assert rows["requests"] > 10 and rows["requests_to_other_hosts"] == 0


def test_the_page_travels_packed_where_the_browser_takes_it(app: Served) -> None:
    with httpx.Client(base_url=app.url) as client:
        packed, plain = (client.get("/", headers={"accept-encoding": how}) for how in ("gzip", "identity"))
    assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert plain.text.count('<div id="shell"') == 1
    assert "img-src 'self'" in plain.headers["content-security-policy"]
    assert int(packed.headers["content-length"]) * 5 < len(plain.content)
