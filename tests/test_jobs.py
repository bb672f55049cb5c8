"""Background jobs, and the model that they share with questions."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from sugar.errors import BusyError, GalleryError, InputError
from sugar.services.jobs import Job, Jobs
from sugar.services.model_slot import ModelQueue, QueuedModel, low_priority
from sugar.services.visitors import Visitor

ANN, BOB = Visitor("a" * 32, "token"), Visitor("b" * 32, "token")
SOON = 30.0


def test_a_job_tells_how_far_it_is_and_what_came_of_it() -> None:
    jobs, told, go = Jobs(), threading.Event(), threading.Event()

    def work(job: Job) -> str:
        job.report(1, 4, "a.jpg")
        told.set()
        assert go.wait(SOON)
        return "4 added"

    job = jobs.start(ANN, "ingest", "holiday", work)
    assert told.wait(SOON)
    (state,) = jobs.of(ANN)
    assert (state.phase, state.done, state.total, state.note) == ("running", 1, 4, "a.jpg")
    assert state.left is not None and not state.over and jobs.busy(ANN)
    go.set()
    assert job.over.wait(SOON)
    (state,) = jobs.of(ANN)
    assert (state.phase, state.result, state.over) == ("done", "4 added", True)
    jobs.clear(ANN)
    assert jobs.of(ANN) == [] and not jobs.busy(ANN)


def test_nobody_sees_or_ends_another_visitors_job() -> None:
    jobs = Jobs()
    job = jobs.start(ANN, "export", "secret", lambda job: job.stop.wait(SOON))
    assert jobs.of(BOB) == []
    for call in (jobs.get, jobs.cancel):
        with pytest.raises(InputError, match="no job"):
            call(BOB, job.id)
    assert not job.stop.is_set()
    jobs.cancel(ANN, job.id)
    assert job.over.wait(SOON) and jobs.of(ANN)[0].phase == "cancelled"


def test_a_cancel_ends_one_job_and_what_waits_never_begins() -> None:
    jobs, begun = Jobs(workers=1), []

    def work(job: Job) -> None:
        begun.append(job.state().title)
        while True:
            time.sleep(0.001)
            job.check()

    first = jobs.start(ANN, "ingest", "first", work)
    second = jobs.start(ANN, "ingest", "second", work)
    third = jobs.start(BOB, "ingest", "third", work)
    jobs.cancel(ANN, second.id)
    assert second.over.is_set() and jobs.of(ANN)[0].phase == "cancelled"
    jobs.cancel(ANN, first.id)
    assert first.over.wait(SOON)
    jobs.cancel(BOB, third.id)
    assert third.over.wait(SOON) and "second" not in begun


def test_faults_and_refusals_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    jobs, words = Jobs(), "the visitor's " + "private words"

    def refused(job: Job) -> None:
        raise GalleryError("The gallery is full.")

    def broken(job: Job) -> None:
        raise RuntimeError(words)

    for work in (refused, broken):
        assert jobs.start(ANN, "ingest", "x", work).over.wait(SOON)
    fault, refusal = jobs.of(ANN)
    assert refusal.phase == fault.phase == "failed" and refusal.problem == "The gallery is full."
    assert "RuntimeError" in fault.problem and words not in fault.problem + caplog.text


def test_jobs_are_bounded_and_leave_with_their_owner() -> None:
    jobs = Jobs(workers=2, per_visitor=2, in_all=3)
    work = lambda job: job.stop.wait(SOON)  # noqa: E731
    mine = [jobs.start(ANN, "x", str(n), work) for n in range(2)]
    with pytest.raises(BusyError, match="your jobs"):
        jobs.start(ANN, "x", "3", work)
    his = jobs.start(BOB, "x", "1", work)
    with pytest.raises(BusyError, match="server"):
        jobs.start(BOB, "x", "2", work)
    assert jobs.of(ANN)[0].phase == "queued", "one at a time for each visitor, so that Bob's began"
    jobs.leave(ANN)
    assert all(job.over.is_set() for job in mine) and jobs.of(ANN) == [] and not his.over.is_set()
    jobs.leave(BOB)


class Model:
    """Counts who is inside. Two at once would be a fault."""

    name = "toy"

    def __init__(self) -> None:
        self.inside, self.log = 0, []
        self.batch_begins = threading.Event()

    def _enter(self, what: str) -> None:
        self.inside += 1
        assert self.inside == 1, "two in the model at once"
        self.log.append(what)
        self.batch_begins.set()
        time.sleep(0.002)
        self.inside -= 1

    def embed(self, samples: Any, **kwargs: Any) -> int:
        self._enter("batch" if samples == "pictures" else "question")
        return len(samples)

    def generate(self, conversation: Any, **kwargs: Any) -> Any:
        for word in ("a", "b", "c"):
            self._enter("token")
            yield word

    def score(self, sample: Any) -> float:
        self._enter("score")
        return 1.0


def test_a_first_token_comes_within_two_batches_of_an_ingest() -> None:
    """1,000 pictures used to hold the only model slot."""
    model = Model()
    shared, jobs = QueuedModel(model, ModelQueue()), Jobs()

    def ingest(job: Job) -> None:
        while not job.stop.is_set():
            shared.embed("pictures")

    job = jobs.start(ANN, "ingest", "many", ingest)
    assert model.batch_begins.wait(SOON)
    asked = len(model.log)
    answer = list(shared.generate("hello"))
    after = model.log[asked:]
    jobs.cancel(ANN, job.id)
    assert job.over.wait(SOON)
    assert answer == ["a", "b", "c"]
    assert after.index("token") <= 2
    tokens = [n for n, what in enumerate(after) if what == "token"]
    assert tokens == list(range(tokens[0], tokens[0] + 3)), "no batch comes between two tokens"


def test_questions_keep_their_order_and_answers_do_not_shut_each_other_out() -> None:
    model = Model()
    shared = QueuedModel(model, ModelQueue())
    answer = shared.generate("x")
    assert next(answer) == "a"
    shared.embed("words")  # a search during somebody's long answer
    assert shared.score("y") == 1.0 and shared.name == "toy"
    assert list(answer) == ["b", "c"]
    assert model.log == ["token", "question", "score", "token", "token"]


def test_an_answer_in_the_background_does_not_wait_for_itself() -> None:
    """Its own last word held up its next one for five seconds: a caption took more than a minute."""
    began = time.monotonic()
    with low_priority():
        assert list(QueuedModel(Model(), ModelQueue()).generate("x")) == ["a", "b", "c"]
    assert time.monotonic() - began < 4.0


def test_an_abandoned_answer_does_not_hold_background_work_up_for_ever() -> None:
    now = [0.0]
    queue = ModelQueue(lambda: now[0])
    shared = QueuedModel(Model(), queue)
    abandoned = shared.generate("x")
    next(abandoned)
    now[0] = 60.0
    done = threading.Event()

    def work() -> None:
        with low_priority():
            shared.embed("pictures")
        done.set()

    threading.Thread(target=work, daemon=True).start()
    assert done.wait(SOON)
    abandoned.close()


def test_a_fault_inside_the_model_gives_the_turn_back() -> None:
    class Faulty(Model):
        def embed(self, samples: Any, **kwargs: Any) -> int:
            raise RuntimeError

    shared = QueuedModel(Faulty(), ModelQueue())
    for _ in range(2):
        with pytest.raises(RuntimeError):
            shared.embed("words")
    assert list(shared.generate("x")) == ["a", "b", "c"]
