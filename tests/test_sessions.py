"""Whose turn it is at a public host: how many events of a visitor and an address wait, in which order."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Served
from loops import in_a_loop
from test_privacy import Somebody, event, heard

from sugar.errors import BusyError, Cancelled, GalleryError
from sugar.rag import KnowledgeBase
from sugar.services.jobs import Job, Jobs
from sugar.services.visitors import Visitor
from sugar.ui.gate import VISITOR, Owners, take_turns
from sugar.ui.photos_api import ended

SOON = 30.0


def waiting(number: int, address: str) -> Any:
    scope = {VISITOR: Visitor(f"{number:032x}", "token", address)}
    return SimpleNamespace(
        _id=str(number),
        concurrency_id="model",
        enqueue_time=float(number),
        request=SimpleNamespace(scope=scope),
    )


def order(line: list[Any], running: list[Any]) -> list[str]:
    queue = SimpleNamespace(
        event_queue_per_concurrency_id={"model": SimpleNamespace(queue=line)}, active_jobs=[running, None]
    )
    take_turns(SimpleNamespace(_queue=queue))
    return [e._id for e in line]


def test_addresses_take_turns_whoever_sends_how_much() -> None:
    flood = [waiting(n, "7.7.7.7") for n in range(1, 6)]
    others = [waiting(6, "8.8.8.8"), waiting(7, "9.9.9.9")]
    running = [waiting(0, "7.7.7.7")]
    assert order([*flood, *others], running) == ["6", "7", "1", "2", "3", "4", "5"]
    assert order([*flood, *others], []) == ["1", "6", "7", "2", "3", "4", "5"]
    assert order(list(flood), running) == ["1", "2", "3", "4", "5"], "alone, in the order of asking"


def test_a_name_is_its_first_visitors_until_the_visitor_goes() -> None:
    owners, ann, bob = Owners(most=3), Visitor("a" * 32, "token"), Visitor("b" * 32, "key")
    nobody = Visitor("c" * 32, "session")
    assert owners.claim("one", ann) and owners.claim("one", ann)
    assert not owners.claim("one", bob) and not owners.claim("one", nobody)
    assert owners.claim("two", nobody) and owners.claim("two", bob), "who has no proof keeps no name"
    for n in range(10):
        owners.claim(f"made up {n}", ann)
    assert len(owners) == 4, "three of hers and one of his"
    owners.forget(ann)
    assert owners.claim("made up 9", bob)


def test_one_visitor_has_few_questions_under_way_and_another_is_served(shared_app: Served) -> None:
    ann, bob = Somebody(shared_app, "ann"), Somebody(shared_app, "bob")
    talk = [{"text": "talk at length", "files": []}, [], 0, 1, 60, -1]
    joined = [event(ann, "chat", talk, f"ann at length {n}") for n in range(5)]
    assert [j.status_code for j in joined] == [200, 200, 200, 429, 429]
    assert "3 of your requests are under way" in joined[-1].json()["detail"]
    past = {"data": talk, "session_hash": "past the queue"}
    assert bob.http.post("/gradio_api/run/chat", json=past).status_code == 404
    listed = event(bob, "gallery_list", [], "bob meanwhile")
    assert listed.status_code == 200 and "process_completed" in heard(bob, "bob meanwhile")
    assert "word59" in "".join(heard(ann, f"ann at length {n}") for n in range(3))
    again = event(ann, "chat", [{"text": "hello", "files": []}, [], 0, 1, 8, -1], "ann again")
    assert again.status_code == 200 and "hello" in heard(ann, "ann again")


def test_jobs_of_one_address_are_bounded_and_their_waits_hold_no_thread() -> None:
    jobs, go = Jobs(per_address=3), threading.Event()
    visitors = [Visitor(f"{n:032x}", "token", "7.7.7.7") for n in range(4)]

    def start(visitor: Visitor) -> Job:
        return jobs.start(visitor, "ingest", "x", lambda job: go.wait(SOON))

    def helpers() -> set[threading.Thread]:
        return {t for t in threading.enumerate() if t.name.startswith("asyncio")}

    async def all_wait() -> list[Any]:
        before = helpers()
        asked = [asyncio.create_task(ended(start, visitor)) for visitor in visitors[:3]]
        await asyncio.sleep(0.3)
        assert not any(t.done() for t in asked) and len(helpers() - before) <= 3
        with pytest.raises(BusyError, match="of your address"):
            await ended(start, visitors[3])
        assert start(Visitor("e" * 32, "token", "8.8.8.8")).owner
        go.set()
        return await asyncio.gather(*asked)

    assert in_a_loop(all_wait()) == [True, True, True]

    def broken(job: Job) -> None:
        raise GalleryError("The gallery is full.")

    with pytest.raises(GalleryError, match="full"):
        in_a_loop(ended(lambda: jobs.start(visitors[0], "ingest", "x", broken)))


def test_the_reading_of_notes_gives_way_and_ends_when_the_asker_leaves() -> None:
    from toy import ToyModel

    from sugar.passages import Passage

    class Counted(ToyModel):
        sizes: list[int] = []

        def embed(self, samples: Any, **settings: Any) -> Any:
            self.sizes.append(len(samples))
            if len(self.sizes) == 3:
                stop.set()
            return super().embed(samples, **settings)

    stop, model = threading.Event(), Counted()
    notes = [Passage(f"note {n}", f"The red tree {n} is old.") for n in range(500)]
    with pytest.raises(Cancelled):
        KnowledgeBase(model, passages=notes, stop=stop)
    assert model.sizes == [64, 64, 64]
