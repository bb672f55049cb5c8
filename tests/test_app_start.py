"""`python app.py` as a newcomer runs it: a process of its own, the model that ships, a page, an answer."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
from conftest import ASSETS, Served


def test_it_starts_answers_and_asks_nobody_else() -> None:
    bench = [sys.executable, "-m", "sugar", "bench", "app", "--rounds", "1"]  # with a browser of its own
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


def test_what_one_visitor_sends_is_not_in_the_page_of_another(app: Served) -> None:
    """The page is made once for each address of the app, and a header may name any address."""
    with httpx.Client(base_url=app.url) as client:
        own = client.get("/").text
        for name in ("x-gradio-server", "x-forwarded-host", "host", "x-forwarded-proto", "referer", "origin"):
            value = "https" if name.endswith("proto") else "http://evil.example"
            client.get("/", headers={name: value.removeprefix("http://") if name == "host" else value})
        client.get("/?__theme=dark&deep_link=evil.example")
        for n in range(20):
            client.get("/", headers={"x-gradio-server": f"http://{n}.evil.example"})
        assert client.get("/").text == own and "evil" not in own
