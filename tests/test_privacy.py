"""What stays of a picture that a person sends, and what two visitors see of each other."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Served
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from sugar.model.owner import owner
from sugar.ui.faults import LogBound

PLACE = b"N47-22-31-E8-32-27-my-own-garden"
GPS, AREA = 0x8825, 28


def photo(path: Path, colour: str = "red") -> Path:
    """A picture as a telephone makes it: with the place where it was taken."""
    exif = Image.Exif()
    exif.get_ifd(GPS).update({1: "N", 2: (47.0, 22.0, 31.25), 3: "E", 4: (8.0, 32.0, 27.5), AREA: PLACE})
    Image.new("RGB", (90, 60), colour).save(path, "JPEG", exif=exif)
    assert PLACE in path.read_bytes()
    return path


def files_with(needle: bytes, *folders: Path) -> list[str]:
    """Every file below the folders that holds these bytes, plain or in its name."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files
    return [str(path) for path in files if needle in path.read_bytes() or needle.decode() in path.name]


def folders_of(app: Served) -> list[Path]:
    """Everywhere the app writes."""
    return [Path(os.environ["GRADIO_TEMP_DIR"]), Path(app.settings.gallery)]


@pytest.mark.parametrize("served", ["app", "shared_app"])
def test_no_byte_of_the_place_stays_in_any_file(
    served: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """After deleting and closing, the original with its GPS position used to be in the cache still."""
    app: Served = request.getfixturevalue(served)
    client, picture = Client(app.url, verbose=False), photo(tmp_path / "garden.jpg")
    name = client.predict("garden", api_name="/gallery_create") if served == "app" else "mine"
    sent = handle_file(str(picture))
    client.predict(message={"text": "what?", "files": [sent]}, history=[], api_name="/chat")
    assert files_with(PLACE, *folders_of(app)) == [], "after the chat read it"
    client.predict([sent, sent], ["red", "blue"], api_name="/compare")
    client.predict([{"picture": sent}], name, api_name="/search")
    assert files_with(PLACE, *folders_of(app)) == [], "after a search by picture"
    report = client.predict(name, [sent], api_name="/gallery_add")
    assert report["counts"] == {"added": 1}
    assert files_with(PLACE, *folders_of(app)) == [], "after it was added to a gallery"


def test_a_refused_file_does_not_stay_either(shared_app: Served, tmp_path: Path) -> None:
    client, broken = Client(shared_app.url, verbose=False), tmp_path / "broken.jpg"
    broken.write_bytes(photo(tmp_path / "whole.jpg").read_bytes()[:-400])
    report = client.predict("mine", [handle_file(str(broken))], api_name="/gallery_add")
    assert "refused" in report["counts"]
    assert files_with(PLACE, *folders_of(shared_app)) == []


def test_a_picture_among_notes_loses_its_place_too(shared_app: Served, tmp_path: Path) -> None:
    """Notes sent as pictures used to keep GPS and camera, also under a name that says another kind."""
    ann, broken = Somebody(shared_app, "ann"), tmp_path / "broken.jpg"
    notes = [photo(tmp_path / name) for name in ("garden.jpg", "garden.txt")]
    broken.write_bytes(notes[0].read_bytes()[:-400])
    sent = [ann.send(path) for path in (*notes, broken)]
    ann.call("ask", question="what is red?", notes=sent)
    assert files_with(PLACE, *folders_of(shared_app)) == []


def test_a_log_line_is_nobodys_words(capfd: pytest.CaptureFixture[str]) -> None:
    """A fault of the server was logged with its message, in which a %0A began a line of its own."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("12:00:00 %(message)s"))
    handler.addFilter(LogBound())
    logger = logging.Logger("uvicorn.error")
    logger.addHandler(handler)
    said = "\n12:00:00 all ".join(["priv" + "ate words", "galleries were deleted"])
    try:
        raise ValueError(said)
    except ValueError:
        logger.exception("Exception in ASGI application")
    logger.warning("%s is damaged", "x\n12:00:00 forged\r\x1b[2J\u2028")
    told = capfd.readouterr().err
    assert "private" not in told and "ValueError" in told and "test_privacy.py" in told
    assert len(re.findall("^12:00:00", told, re.MULTILINE)) == 2 and "\x1b" not in told and "\r" not in told


def test_nobody_fills_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    """One client wrote 1.7 MB of log a second."""
    handler, logger, bound, now = logging.StreamHandler(), logging.Logger("uvicorn.error"), LogBound(), [0.0]
    bound._lines._clock = lambda: now[0]
    handler.addFilter(bound)
    logger.addHandler(handler)
    for _ in range(1000):
        logger.warning("Invalid HTTP request received.")
    assert capfd.readouterr().err.count("\n") == 400
    now[0] = 1.0
    logger.warning("later")
    assert "later (600 records" in capfd.readouterr().err


# -- two visitors


class Somebody:
    """A visitor with a browser's cookie, who asks the endpoints as the page does."""

    def __init__(self, app: Served, name: str) -> None:
        self.app, self.name = app, name
        self.http = httpx.Client(base_url=app.url, timeout=120)
        self.http.get("/").raise_for_status()
        self.heard: list[str] = []

    def send(self, path: Path) -> dict[str, Any]:
        with path.open("rb") as file:
            answer = self.http.post("/gradio_api/upload", files={"files": (path.name, file)})
        return {"path": answer.raise_for_status().json()[0], "meta": {"_type": "gradio.FileData"}}

    def call(self, endpoint: str, **values: Any) -> str:
        """The last event of a call, as it travels. Each call is a session of its own, as after a reload."""
        where = f"/gradio_api/call/v2/{endpoint}"
        event = self.http.post(where, json=values).raise_for_status().json()["event_id"]
        with self.http.stream("GET", f"{where}/{event}") as stream:
            text = "".join(stream.iter_text())
        self.heard.append(text)
        return text


def test_two_visitors_see_nothing_of_each_other(shared_app: Served, tmp_path: Path) -> None:
    ann, bob = Somebody(shared_app, "ann"), Somebody(shared_app, "bob")
    hers = ann.send(photo(tmp_path / "annas-secret-garden.jpg"))
    his = bob.send(photo(tmp_path / "bobs-hidden-boat.jpg", "blue"))
    assert "complete" in ann.call("gallery_add", gallery="mine", files=[hers])
    assert "complete" in bob.call("gallery_add", gallery="mine", files=[his])
    for one, other in ((ann, "boat"), (bob, "garden")):
        one.call("gallery_list")
        for gallery in ("mine", "../mine", "sample"):
            one.call("gallery_items", gallery=gallery)
            one.call("gallery_duplicates", gallery=gallery)
            one.call("search", query="red or blue", gallery=gallery)
        one.call("gallery_caption", gallery="mine", item=999, caption_text="x")
        assert not [text for text in one.heard if other in text], f"{one.name} heard of the {other}"
    mine = ann.call("gallery_items", gallery="mine")
    assert "annas-secret-garden" in mine, "a new session of the same browser is the same visitor"
    again = ann.send(photo(tmp_path / "again.jpg", "green"))
    assert "error" in bob.call("gallery_add", gallery="mine", files=[again]), (
        "a path of hers is of no use to him"
    )
    served = [one.http.get(f"/gradio_api/file={again['path']}").status_code for one in (ann, bob)]
    assert served == [200, 403]
    assert "complete" in bob.call("gallery_delete", gallery="mine", items=[1])
    assert "annas-secret-garden" in ann.call("gallery_items", gallery="mine")


def event(one: Somebody, name: str, data: list[Any], session: str) -> httpx.Response:
    """Put an event into the queue, as the page does."""
    known = one.http.get("/config").json()["dependencies"]
    number = next(d["id"] for d in known if d["api_name"] == name)
    body = {"data": data, "fn_index": number, "session_hash": session}
    return one.http.post("/gradio_api/queue/join", json=body)


def heard(one: Somebody, session: str) -> str:
    with one.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        return "".join(stream.iter_text())


def test_the_name_of_a_session_opens_nothing(shared_app: Served) -> None:
    """It stands in addresses that proxies write down; it was enough to export, read and cancel."""
    ann, bob, nobody = (Somebody(shared_app, name) for name in ("ann", "bob", "nobody"))
    nobody.http.cookies.clear()
    hers = "ann" + os.urandom(6).hex()
    sent = [{"text": "my secret is forty-two", "files": []}, None, "", 0, 1, 8, -1]
    joined = event(ann, "send", sent, hers)
    assert joined.status_code == 200
    assert "forty-two" in heard(ann, hers)
    joined = event(ann, "send", sent, hers).json()["event_id"]
    for other in (bob, nobody):
        assert event(other, "export", [None], hers).status_code == 403
        listened = other.http.get("/gradio_api/queue/data", params={"session_hash": hers})
        assert listened.status_code == 403 and "forty-two" not in listened.text
        assert other.http.get(f"/gradio_api/heartbeat/{hers}").status_code == 403
        for session in (hers, "bobs-own-session"):
            cancel = {"session_hash": session, "fn_index": 0, "event_id": joined}
            assert other.http.post("/gradio_api/cancel", json=cancel).status_code == 403
        assert other.http.get(f"/gradio_api/call/send/{joined}").status_code == 403
        run = {"data": [None], "session_hash": hers}
        assert other.http.post("/gradio_api/run/export", json=run).status_code == 403
    assert "forty-two" in heard(ann, hers), "hers goes on"


def test_the_path_of_a_file_opens_nothing(shared_app: Served, tmp_path: Path) -> None:
    """The page's address answered 403, and the endpoints read the same file."""
    ann, bob = Somebody(shared_app, "ann"), Somebody(shared_app, "bob")
    picture, note = ann.send(photo(tmp_path / "garden.jpg")), tmp_path / "notes.txt"
    note.write_text("The mill was built in 1874.")
    notes = ann.send(note)
    for endpoint, values in (
        ("chat", {"message": {"text": "what?", "files": [picture]}, "history": []}),
        ("chat", {"message": {"text": "x"}, "history": [{"role": "user", "content": [{"file": picture}]}]}),
        ("search", {"query": [{"picture": picture}], "gallery": "sample"}),
        ("compare", {"pictures": [picture, picture], "captions": ["a", "b"]}),
        ("ask", {"question": "when was the mill built?", "notes": [notes]}),
        ("ask", {"question": "what is it?", "picture": picture}),
        ("gallery_add", {"gallery": "mine", "files": [picture]}),
        ("gallery_import", {"name": "x", "file": notes}),
    ):
        said = bob.call(endpoint, **values)
        assert "event: error" in said and "1874" not in said, endpoint
        assert "upload of yours" in said or "There is no file" in said, (endpoint, said)
    assert "event: complete" in ann.call("compare", pictures=[picture, picture], captions=["a", "b"])


def test_a_dropped_connection_takes_nothing_and_the_grace_period_ends(
    shared_app: Served, tmp_path: Path
) -> None:
    """One dropped connection used to delete the gallery 12 s later, while the page still showed it."""
    ann, places = Somebody(shared_app, "ann"), Path(os.environ["GRADIO_TEMP_DIR"]) / "galleries"
    before = set(places.glob("*"))
    ann.call("gallery_add", gallery="mine", files=[ann.send(photo(tmp_path / "garden.jpg"))])
    (hers,) = set(places.glob("*")) - before
    with ann.http.stream("GET", "/gradio_api/heartbeat/ann1") as beat:
        next(beat.iter_text())
    assert "garden.jpg" in ann.call("gallery_items", gallery="mine")
    visits = shared_app.context.visitors.visits
    now = visits._clock
    visits._clock = lambda: now() + 16 * 60
    assert visits.sweep() >= 1
    visits._clock = now
    assert not hers.exists()
    assert "garden.jpg" not in ann.call("gallery_items", gallery="mine"), (
        "the page goes on, with an empty gallery"
    )


def test_what_a_program_is_told_is_plain_and_what_the_page_is_told_is_escaped(app: Served) -> None:
    """API and MCP clients used to read "&#39;"."""
    with pytest.raises(AppError, match="There is no gallery of that name") as caught:
        Client(app.url, verbose=False).predict("it's <b>", api_name="/gallery_items")
    assert "&#" not in str(caught.value)
    words = {}
    http = httpx.Client(base_url=app.url, timeout=60)
    for who in ("app", "api"):
        body = {"data": ["it's [a] <b>"], "session_hash": who}
        call = http.post("/gradio_api/call/gallery_create", json=body, headers={"x-gradio-user": who})
        event = call.raise_for_status().json()["event_id"]
        words[who] = http.get(f"/gradio_api/call/gallery_create/{event}").text
    assert "event: error" in words["app"] and "event: error" in words["api"]
    assert "&#39;sample&#39;" in words["app"] and "'sample'" in words["api"]


def test_names_of_sessions_are_bounded_and_whoever_left_holds_nothing(shared_app: Served) -> None:
    """.73 MB of memory stayed for every name that a client made up."""
    holder, visitors = shared_app.demo.state_holder, shared_app.context.visitors
    one = Somebody(shared_app, "one")
    one.http.headers["X-Sugar-Key"] = "a key of this test only"
    for n in range(60):
        assert event(one, "gallery_list", [], f"made up {n}").status_code == 200
        assert "process_completed" in heard(one, f"made up {n}")
    kept = [name for name in holder.session_data if name.startswith("made up")]
    assert kept == [f"made up {n}" for n in range(40, 60)]
    described = {id(holder.session_data[name].blocks_config) for name in kept}
    assert len(described) == 1, "no copy of the page's description for each"
    (visitor,) = [v.visitor for v in visitors.visits._visits.values() if "made up 59" in v.sessions]
    visitors.visits.leave(visitor)
    assert not [name for name in holder.session_data if name.startswith("made up")]


def test_each_call_of_the_model_is_its_visitors_and_nothing_of_it_stays(
    shared_app: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the model keeps is kept by owner (test_core.py); each step of an answer runs somewhere else."""
    model = shared_app.context.models.get()._model
    seen: list[str] = []
    embed, generate = model.embed, model.generate
    monkeypatch.setattr(model, "embed", lambda *a, **k: seen.append(owner()) or embed(*a, **k))
    monkeypatch.setattr(model, "generate", lambda *a, **k: seen.append(owner()) or generate(*a, **k))
    owners = []
    for one in (Somebody(shared_app, "ann"), Somebody(shared_app, "bob")):
        file = one.send(photo(tmp_path / "garden.jpg"))
        said = [
            one.call("chat", message={"text": "what is it?", "files": [file]}, history=[]),
            one.call("gallery_add", gallery="mine", files=[one.send(photo(tmp_path / "garden.jpg"))]),
            one.call("search", query=[{"picture": file}], gallery="mine"),
        ]
        assert [text.rsplit("event: ")[-1].split()[0] for text in said] == ["complete"] * 3, said
        assert len(seen) >= 3 and len(set(seen)) == 1 and seen[0], (seen, said)
        owners.append(seen.pop())
        before = model.forgotten
        one.call("gallery_delete", gallery="mine", items=[1])
        assert model.forgotten == before + 1
        seen.clear()
    assert owners[0] != owners[1]
    visits, before = shared_app.context.visitors.visits, model.forgotten
    (ann,) = [v.visitor for v in visits._visits.values() if v.visitor.id == owners[0]]
    visits.leave(ann)
    assert model.forgotten == before + 1
