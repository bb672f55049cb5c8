"""What requests pass before Gradio sees them: hosts, origins, paths, sizes, files, addresses to fetch."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio import processing_utils
from loops import in_a_loop
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from sugar.services.modes import mode_of
from sugar.services.quotas import size_of
from sugar.services.visitors import PrivateFiles, Visitor, own_folder, remove_cache
from sugar.settings import Settings
from sugar.ui import gate, incoming
from sugar.ui.gate import Gate, Visitors, address_of
from sugar.ui.incoming import Uploads, bounded_downloads, fetch, is_public


class Place:
    """A stand-in for Gradio behind the gate: it says what reached it."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.settings = Settings(**changes)
        self.visitors = Visitors(self.settings, mode_of(self.settings), PrivateFiles(folder / "visitors"))
        self.shipped: set[Path] = set()

        async def reached(request: Request) -> PlainTextResponse:
            return PlainTextResponse(f"reached {request.url.path} with {len(await request.body())}")

        self.app = Starlette(
            routes=[Route("/{path:path}", reached, methods=["GET", "POST", "OPTIONS"])],
            middleware=[
                Middleware(Gate, visitors=self.visitors, settings=self.settings),
                Middleware(Uploads, visitors=self.visitors, settings=self.settings, shipped=self.shipped),
            ],
        )
        self.uploads = Uploads(self.app, self.visitors, self.settings, self.shipped)
        gradio: Any = self.app
        gradio.cookie_id, gradio.tokens, gradio.auth = "x", {"good": "me"}, None
        blocks = type("Blocks", (), {"upload_file_set": set()})()
        gradio.get_blocks = lambda: blocks

    def ask(self, path: str = "/", method: str = "GET", host: str = "127.0.0.1:7860", **kwargs: Any) -> Any:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=("10.1.1.1", 5))
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
                return await client.request(method, path, **kwargs)

        return in_a_loop(asked())


JOIN = "/gradio_api/queue/join"
UPLOAD_SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "POST",
    "path": "/gradio_api/upload",
    "query_string": b"",
    "headers": [(b"content-type", b"multipart/form-data; boundary=B")],
    "client": ("10.1.1.1", 5),
}


def test_a_persons_app_answers_its_own_machine_and_no_other_name(tmp_path: Path) -> None:
    """A page of a stranger whose name suddenly means 127.0.0.1 (DNS rebinding) names itself in Host."""
    place = Place(tmp_path)
    for host in ("127.0.0.1:7860", "localhost", "[::1]:7860", "127.0.0.9"):
        assert place.ask(host=host).status_code == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7860", "10.0.0.5"):
        answer = place.ask(host=host)
        assert answer.status_code == 403 and "--allow-host" in answer.text
    named = Place(tmp_path, allow_host="other.example, EVIL.example")
    assert named.ask(host="evil.example").status_code == 200


def test_a_tunnel_does_not_make_strangers_into_the_person(tmp_path: Path) -> None:
    for header in ("X-Forwarded-For", "Forwarded", "CF-Connecting-IP"):
        answer = Place(tmp_path).ask(headers={header: "203.0.113.9"})
        assert answer.status_code == 403 and "--mode public" in answer.text
    public = Place(tmp_path, mode="public")
    assert public.ask(host="anything.example", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:7860"]
)
@pytest.mark.parametrize("mode", ["personal", "public"])
def test_a_page_of_another_site_changes_nothing(tmp_path: Path, origin: str, mode: str) -> None:
    """A cross-origin multipart upload used to be taken: a form needs no leave of the other site."""
    place = Place(tmp_path, mode=mode)
    files = {"files": ("a.jpg", b"bytes")}
    for path in ("/gradio_api/upload", JOIN, "/login"):
        answer = place.ask(path, "POST", headers={"Origin": origin}, files=files)
        assert answer.status_code == 403 and "another site" in answer.text
    assert not list(place.visitors.files.root.rglob("*.jpg"))
    own = place.ask("/gradio_api/upload", "POST", headers={"Origin": "http://127.0.0.1:7860"}, files=files)
    assert own.status_code == 200 and place.ask("/gradio_api/upload", "POST", files=files).status_code == 200


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
def test_a_page_of_another_site_reads_nothing_either(tmp_path: Path, site: str) -> None:
    """A picture's address needs no Origin; the browser says whose page it stands on."""
    place, told = Place(tmp_path, mode="public"), {"Sec-Fetch-Site": site}
    for path in ("/config", "/gradio_api/queue/data", "/gradio_api/file=/x", "/logout", JOIN):
        assert place.ask(path, headers=told).status_code == 403
        assert place.ask(path, headers={"Origin": "https://evil.example"}).status_code == 403
    assert place.ask(JOIN, "POST", headers=told).status_code == 403
    assert place.ask("/?__theme=dark", headers=told).status_code == 200, "a link to the page"


def test_no_header_that_a_page_can_write_makes_it_the_apps_own(tmp_path: Path) -> None:
    """With --proxies 1 a page of another site named itself in X-Forwarded-Host and deleted a gallery."""
    place = Place(tmp_path, mode="lan", auth="me:secret", proxies=1)
    forged = {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"}
    assert place.ask(JOIN, "POST", headers=forged).status_code == 403
    behind = {"Origin": "https://photos.example", "Sec-Fetch-Site": "same-origin"}
    assert place.ask(JOIN, "POST", headers=behind).status_code == 200, "a proxy gave the app another Host"
    named = Place(tmp_path, mode="lan", auth="me:secret", proxies=1, allow_host="photos.example")
    assert named.ask(JOIN, "POST", headers={"Origin": "https://photos.example"}).status_code == 200


def test_nobody_is_logged_out_by_an_address(tmp_path: Path) -> None:
    place = Place(tmp_path, mode="lan", auth="me:secret")
    shown = place.ask("/logout")
    assert 'method="post"' in shown.text and "reached" not in shown.text
    assert place.ask("/logout", "POST").text == "reached /logout with 0"
    assert place.ask("/gradio_api/token").status_code == 404, "nobody is told a login's token"


def test_every_answer_says_what_its_page_may_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("/", "/config", "/nowhere", "/logout"):
        headers = Place(tmp_path).ask(path).headers
        policy = headers["content-security-policy"]
        for rule in ("img-src 'self' data: blob:", "form-action 'self'", "frame-ancestors 'self'"):
            assert rule in policy.split("; ")
        assert headers["x-content-type-options"] == "nosniff"
    monkeypatch.setenv("SPACE_ID", "me/sugar")
    policy = Place(tmp_path).ask("/").headers["content-security-policy"]
    assert "frame-ancestors 'self' https://huggingface.co" in policy


CLOSED = """vibe-edit/ process_recording deep_link component_server run-history/connect dev/reload mcp/
mcp/schema proxy=https://a.hf.space/x file=https://example.org/a.png"""


@pytest.mark.parametrize("path", ["/monitoring", *(f"/gradio_api/{name}" for name in CLOSED.split())])
def test_what_the_page_does_not_need_is_closed(tmp_path: Path, path: str) -> None:
    assert Place(tmp_path).ask(path).status_code in (403, 404)


def test_a_large_body_is_refused_whatever_its_header_says(tmp_path: Path) -> None:
    place = Place(tmp_path)

    async def endless() -> Any:
        for _ in range(100):
            yield b"x" * 100_000

    answer = place.ask(JOIN, "POST", content=endless())
    assert answer.status_code == 413 and "2 MB" in answer.text
    assert place.ask(JOIN, "POST", content=b"x" * 1000).text == f"reached {JOIN} with 1000"


def test_every_request_pays_from_its_address(tmp_path: Path) -> None:
    place = Place(tmp_path, mode="public", per_minute=1)
    codes = [place.ask(JOIN, "POST", json={"session_hash": f"made up {n}"}).status_code for n in range(12)]
    assert codes == [200] * 10 + [429] * 2
    assert place.ask("/").status_code == 200


def test_reading_pays_too(tmp_path: Path) -> None:
    place = Place(tmp_path, mode="public", per_minute=1)
    codes = [place.ask("/config").status_code for _ in range(110)]
    assert codes[:100] == [200] * 100 and 429 in codes


def test_requests_of_one_address_at_a_time_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "AT_ONCE", 3)
    place = Place(tmp_path, mode="public")

    async def together() -> list[int]:
        async def slowly() -> Any:
            await asyncio.sleep(0.1)
            yield b"x"

        transport = httpx.ASGITransport(place.app, client=("10.1.1.1", 5))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            asked = [client.post(JOIN, content=slowly()) for _ in range(5)]
            return sorted(answer.status_code for answer in await asyncio.gather(*asked))

    assert in_a_loop(together()) == [200, 200, 200, 429, 429]
    assert place.ask(JOIN, "POST").status_code == 200


def test_a_password_cannot_be_tried_by_the_thousand(tmp_path: Path) -> None:
    place = Place(tmp_path, mode="lan", auth="me:secret")
    codes = [
        place.ask("/login", "POST", data={"username": "me", "password": str(n)}).status_code
        for n in range(12)
    ]
    assert codes == [200] * 10 + [429] * 2
    assert place.ask(JOIN, "POST", json={}).status_code == 200, "who is logged in goes on"


def test_a_short_key_is_refused_in_words(tmp_path: Path) -> None:
    answer = Place(tmp_path, mode="public").ask(JOIN, "POST", headers={"X-Sugar-Key": "short"})
    assert answer.status_code == 400 and "random text" in answer.text


def test_the_page_brings_a_token_and_keeps_a_good_one(tmp_path: Path) -> None:
    place = Place(tmp_path, mode="public")
    set_cookie = place.ask("/", host="app.example").headers["set-cookie"]
    assert "HttpOnly" in set_cookie and "SameSite=Lax" in set_cookie
    name, token = set_cookie.split(";")[0].split("=", 1)
    assert name == place.visitors.cookie and place.visitors.identities.valid(token)
    assert "set-cookie" not in place.ask("/", headers={"Cookie": f"{name}={token}"}).headers
    assert "set-cookie" in place.ask("/", headers={"Cookie": f"{name}={token}x"}).headers
    framed = place.ask("/", headers={"X-Forwarded-Proto": "https"}).headers["set-cookie"]
    assert "Secure; SameSite=None; Partitioned" in framed
    assert "set-cookie" not in Place(tmp_path).ask("/").headers, "one person needs none"


def test_a_file_is_given_to_its_visitor_only(tmp_path: Path) -> None:
    """The original with its GPS position used to be served to whoever had its path."""
    place = Place(tmp_path, mode="public")
    tokens = [place.visitors.identities.new_token() for _ in range(2)]
    ann, bob = ({"Cookie": f"{place.visitors.cookie}={token}"} for token in tokens)
    files = {"files": ("holiday.jpg", b"the same bytes")}
    (hers,) = place.ask("/gradio_api/upload", "POST", headers=ann, files=files).json()
    (his,) = place.ask("/gradio_api/upload", "POST", headers=bob, files=files).json()
    assert hers != his, "two visitors who send the same file do not share it"
    assert place.ask(f"/gradio_api/file={hers}", headers=ann).status_code == 200
    for headers in (bob, {}):
        assert place.ask(f"/gradio_api/file={hers}", headers=headers).status_code == 403
    shipped = tmp_path / "shipped.jpg"
    shipped.write_bytes(b"example")
    assert place.ask(f"/gradio_api/file={shipped}").status_code == 403
    place.shipped.add(shipped)
    assert place.ask(f"/gradio_api/file={shipped}").status_code == 200
    link = Path(his).parent / "link"
    link.symlink_to(hers)
    for path in (link, f"{Path(his).parent}/../../../{Path(hers).relative_to(place.visitors.files.root)}"):
        assert place.ask(f"/gradio_api/file={path}", headers=bob).status_code == 403


def test_an_upload_has_a_size_and_a_share_of_the_disk(tmp_path: Path) -> None:
    place = Place(tmp_path, mode="public", max_upload_mb=1, max_import_mb=2, visitor_mb=3)
    large = b"x" * 1_500_000

    def send(name: str, data: bytes) -> Any:
        return place.ask(
            "/gradio_api/upload", "POST", files={"files": (name, data)}, headers={"X-Sugar-Key": "k" * 20}
        )

    refused = send("a.jpg", large)
    assert refused.status_code == 413 and not list(place.visitors.files.root.rglob("a.jpg"))
    assert send("a.zip", large).status_code == 200, "an import has a limit of its own"
    assert send("b.zip", large * 2).status_code == 413
    full = send("c.zip", large)
    assert full.status_code == 413 and "You may keep 3 MB" in full.text


def a_part(size: int, name: str = ' filename="a.zip";') -> Any:
    async def body() -> Any:
        yield f'--B\r\nContent-Disposition: form-data; name="files";{name}\r\n\r\n'.encode()
        for _ in range(size // 100_000):
            yield b"x" * 100_000
            await asyncio.sleep(0)
        yield b"\r\n--B--\r\n"

    return {"content": body(), "headers": {"Content-Type": "multipart/form-data; boundary=B"}}


def sizes(place: Place) -> int:
    return size_of(place.visitors.files.root) + size_of(place.visitors.arrivals.folder)


def test_an_upload_is_counted_while_it_comes(tmp_path: Path) -> None:
    """Without Content-Length 700 MB were kept where 300 were the limit."""
    place = Place(tmp_path, mode="public", visitor_mb=2)
    refused = place.ask("/gradio_api/upload", "POST", **a_part(3_000_000))
    assert refused.status_code == 413 and "may keep 2 MB" in refused.text and sizes(place) == 0
    assert place.ask("/gradio_api/upload", "POST", **a_part(1_500_000)).status_code == 200
    assert sizes(place) == 1_500_000


def test_uploads_without_a_cookie_are_charged_to_their_address(tmp_path: Path) -> None:
    """Each was a new visitor's, with a share of its own."""
    place = Place(tmp_path, mode="public", visitor_mb=2)
    codes = [place.ask("/gradio_api/upload", "POST", **a_part(900_000)).status_code for _ in range(4)]
    assert codes == [200, 200, 413, 413]
    with_key: list[int] = []
    for n in range(12):
        sent = a_part(900_000)
        sent["headers"]["X-Sugar-Key"] = f"a made-up key {n:04}"
        with_key.append(place.ask("/gradio_api/upload", "POST", **sent).status_code)
    assert with_key == [200] * 9 + [413] * 3, "made-up keys share what their address has"
    place.visitors.visits.mode = replace(place.visitors.mode, grace_seconds=-1.0)
    place.visitors.visits.sweep()  # everybody left
    assert place.ask("/gradio_api/upload", "POST", **a_part(900_000)).status_code == 200


def test_uploads_at_one_time_share_a_count(tmp_path: Path) -> None:
    place = Place(tmp_path, mode="public", visitor_mb=2)

    async def together() -> list[int]:
        transport = httpx.ASGITransport(place.app, client=("10.1.1.1", 5))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            sent = (client.post("/gradio_api/upload", **a_part(900_000)) for _ in range(5))
            return sorted(answer.status_code for answer in await asyncio.gather(*sent))

    assert in_a_loop(together()) == [200, 200, 413, 413, 413] and sizes(place) == 1_800_000


def test_a_field_of_an_upload_is_not_kept_in_memory(tmp_path: Path) -> None:
    place = Place(tmp_path, mode="public")
    refused = place.ask("/gradio_api/upload", "POST", **a_part(200_000, name=""))
    assert refused.status_code == 400 and "files only" in refused.text and sizes(place) == 0


def test_an_upload_leaves_the_disk_its_floor(tmp_path: Path) -> None:
    for mode in ("personal", "public"):
        place = Place(tmp_path / mode, mode=mode)
        place.visitors.disk.keep_free = 10**18
        refused = place.ask("/gradio_api/upload", "POST", **a_part(200_000))
        assert refused.status_code == 413 and "The disk has" in refused.text and sizes(place) == 0


def test_what_broke_off_is_gone(tmp_path: Path) -> None:
    place = Place(tmp_path, mode="public")
    messages = [{"type": "http.request", "body": b"--B\r\n", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    answer = in_a_loop(
        place.uploads._take({**UPLOAD_SCOPE, "app": place.app}, receive)  # what a server hands over
    )
    assert answer.status_code == 400 and sizes(place) == 0


def test_a_persons_uploads_have_no_share(tmp_path: Path) -> None:
    place = Place(tmp_path, visitor_mb=1)
    sent = place.ask("/gradio_api/upload", "POST", files={"files": ("a.zip", b"x" * 2_000_000)})
    assert sent.status_code == 200


def test_an_upload_needs_the_login(tmp_path: Path) -> None:
    place = Place(tmp_path, mode="lan", auth="me:secret")
    place.app.auth = {"me": "secret"}  # type: ignore[attr-defined]
    files = {"files": ("a.jpg", b"x")}
    assert place.ask("/gradio_api/upload", "POST", files=files).status_code == 401
    logged_in = {"Cookie": "access-token-x=good"}
    (path,) = place.ask("/gradio_api/upload", "POST", files=files, headers=logged_in).json()
    assert place.ask(f"/gradio_api/file={path}", headers=logged_in).status_code == 200
    assert place.ask(f"/gradio_api/file={path}").status_code == 403


def test_a_key_opens_mcp_where_strangers_come(tmp_path: Path) -> None:
    place = Place(tmp_path, mode="public", mcp=True)
    for path in ("/gradio_api/mcp/", "/gradio_api/mcp/schema", "/gradio_api/mcp/sse"):
        assert place.ask(path).status_code == 401
        assert place.ask(path, headers={"X-Sugar-Key": "k" * 20}).status_code == 200


@pytest.mark.parametrize(
    ("forwarded", "proxies", "address"),
    [
        ("", 0, "10.0.0.1"),
        ("1.1.1.1", 0, "10.0.0.1"),
        ("1.1.1.1", 1, "1.1.1.1"),
        ("6.6.6.6, 1.1.1.1", 1, "1.1.1.1"),
        ("6.6.6.6, 1.1.1.1, 10.0.0.9", 2, "1.1.1.1"),
        ("1.1.1.1", 2, "10.0.0.1"),
        ("1.1.1.1:5012", 1, "1.1.1.1"),
        ("[2001:db8::1]:5012", 1, "2001:db8::1"),
        ("2001:db8::1", 1, "2001:db8::1"),
    ],
)
def test_an_address_is_believed_as_far_as_our_own_proxies_go(
    forwarded: str, proxies: int, address: str
) -> None:
    assert address_of("10.0.0.1", forwarded, proxies) == address


def test_on_a_space_each_visitor_has_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All visitors of a Space used to share the limits of one proxy."""
    monkeypatch.setenv("SPACE_ID", "me/sugar")
    place, told = Place(tmp_path, per_minute=1), {"X-Forwarded-For": "6.6.6.6, 203.0.113.9"}
    codes = [place.ask(JOIN, "POST", headers=told).status_code for _ in range(12)]
    assert codes == [200] * 10 + [429] * 2
    assert place.ask(JOIN, "POST", headers={"X-Forwarded-For": "203.0.113.8"}).status_code == 200
    assert place.ask(JOIN, "POST", headers={"X-Forwarded-For": "1.2.3.4, 203.0.113.9"}).status_code == 429


@pytest.mark.parametrize(
    "other", ['p={"a": 1, "b": "x y"}', "a[b]=1", 'x="un', "t=1;;", "flag", "a=b c", "\xfcb=1", "=x", "a=b=c"]
)
def test_a_cookie_of_another_app_does_not_lose_the_visitor(tmp_path: Path, other: str) -> None:
    place = Place(tmp_path, mode="public")
    ours = f"{place.visitors.cookie}={place.visitors.identities.new_token()}"
    for cookie in (f"{other}; {ours}", f"{ours}; {other}"):
        headers = {"Cookie": cookie.encode("utf-8")}
        assert "set-cookie" not in place.ask("/", headers=headers).headers
        files = {"files": ("a.jpg", b"x")}
        (path,) = place.ask("/gradio_api/upload", "POST", files=files, headers=headers).json()
        assert place.ask(f"/gradio_api/file={path}", headers=headers).status_code == 200
        assert place.ask(f"/gradio_api/file={path}").status_code == 403


# -- addresses to fetch


def fetched(
    folder: Path, answers: dict[str, Any], url: str = "https://a.example/x.jpg", most: int = 1000
) -> Path:
    def answer(request: httpx.Request) -> httpx.Response:
        return answers[str(request.url)]

    folder.mkdir(exist_ok=True)
    return in_a_loop(fetch(url, folder, most, httpx.MockTransport(answer)))


def test_what_an_address_gives_is_bounded(tmp_path: Path) -> None:
    url = "https://a.example/x.jpg"
    assert (
        fetched(tmp_path / "1", {url: httpx.Response(200, content=b"x" * 1000)}).read_bytes() == b"x" * 1000
    )

    async def endless() -> Any:
        while True:
            yield b"x" * 100

    moved = httpx.Response(302, headers={"location": "/x.jpg"})
    for answer, words in (
        (httpx.Response(200, content=endless()), "larger"),
        (httpx.Response(404), "404"),
        (moved, "redirects"),
        (httpx.Response(302, headers={"location": "file:///etc/passwd"}), "Only http"),
    ):
        with pytest.raises(ValueError, match=words):
            fetched(tmp_path / "2", {url: answer})
        assert not list((tmp_path / "2").iterdir())


INSIDE = """10.0.0.1 100.64.0.1 169.254.169.254 192.0.0.8 198.18.0.1 0.0.0.0 224.0.0.1 240.0.0.1 127.0.0.1 ::1
::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::a00:1 64:ff9b:1::1 2002:7f00:1:: fd00::1 fe80::1%eth0 fec0::1 ff02::1"""


def test_an_address_of_no_use_to_the_world_is_not_public() -> None:
    assert [address for address in INSIDE.split() if is_public(address)] == []
    assert all(map(is_public, ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")))


def test_a_fetch_has_an_end_however_slowly_the_other_side_sends(tmp_path: Path) -> None:
    """One byte a second passed every timeout, and everybody waited for the model behind it."""

    async def slowly() -> Any:
        while True:
            yield b"x"
            await asyncio.sleep(0.02)

    way = httpx.MockTransport(lambda request: httpx.Response(200, content=slowly()))
    with pytest.raises(ValueError, match="slowly"):
        in_a_loop(fetch("https://a.example/x.jpg", tmp_path, 10_000, way, seconds=0.2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", ["lan", "public"])
def test_a_request_names_few_addresses_and_a_strangers_none(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    async def noted(url: str, folder: Path, *args: Any, **kwargs: Any) -> Path:
        fetched.append(url)
        return folder / "x"

    for name in ("async_ssrf_protected_download", "ssrf_protected_download", "save_url_to_cache"):
        monkeypatch.setattr(processing_utils, name, getattr(processing_utils, name))
    monkeypatch.setattr(incoming, "fetch", noted)
    bounded_downloads(Place(tmp_path, mode=mode, auth="me:secret").visitors, 1000)

    async def request(addresses: int) -> None:
        for n in range(addresses):
            await processing_utils.async_ssrf_protected_download(f"https://a.example/{n}", "")

    for _ in range(2):  # each request counts for itself
        with pytest.raises(gr.Error, match="4 addresses" if mode == "lan" else "fetches no addresses"):
            in_a_loop(request(5))
    assert len(fetched) == (8 if mode == "lan" else 0)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:7860/", "http://[::1]/", "http://10.0.0.1/", "ftp://a/b", "file:///x"]
)
def test_addresses_inside_are_not_fetched(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError):
        in_a_loop(fetch(url, tmp_path, 1000))
    assert not list(tmp_path.iterdir())


# -- folders


def test_what_a_killed_app_left_is_swept_at_the_next_start(tmp_path: Path) -> None:
    """On every system, and with GRADIO_TEMP_DIR set: a lock tells whether the app still runs."""
    left = tmp_path / "sugar-cache-killed"
    left.mkdir()
    (left / "holiday.jpg").write_bytes(b"GPS")
    running = own_folder(tmp_path)
    assert not left.exists()
    (running / "x").touch()
    second = own_folder(tmp_path)
    assert (running / "x").exists() and second != running, "a running app's folder stays"
    for folder in (running, second):
        remove_cache(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_clean_copy_takes_the_originals_place(tmp_path: Path) -> None:
    files = PrivateFiles(tmp_path)
    path = files.new(Visitor("a" * 32, "token")) / "a.jpg"
    path.write_bytes(b"GPS position")
    assert not files.is_clean(path)
    files.replace(path, b"clean")
    assert files.is_clean(path) and path.read_bytes() == b"clean"
    assert not any(b"GPS" in p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    files.remove(path)
    assert not path.exists() and not path.parent.exists()
    files.remove("/etc/hostname")
    assert files.inside("/etc/hostname") is None
