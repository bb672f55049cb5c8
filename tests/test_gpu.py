"""A lent GPU: the model's calls run in a child that is really forked, and nothing else does."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest

from sugar.errors import GalleryError, InputError
from sugar.services.model_slot import FORWARD, Lender, gpu_seconds
from sugar.settings import Settings

ASKED: list[int] = []


def lent(duration: Any) -> Any:
    """As spaces.GPU does it: the call runs in a forked child, arguments and results travel pickled."""
    fork = multiprocessing.get_context("fork")

    def decorate(task: Any) -> Any:
        def pieces(*args: Any, **kwargs: Any) -> Iterator[Any]:
            ASKED.append(duration(*args, **kwargs))
            arguments, results, ended = fork.SimpleQueue(), fork.SimpleQueue(), fork.Event()

            def child() -> None:
                given, named = arguments.get()
                made = task(*given, **named)
                for piece in made if hasattr(made, "__next__") else [made]:
                    if ended.is_set():
                        break
                    results.put(("piece", piece))
                results.put(("end", None))

            process = fork.Process(target=child)
            process.start()
            arguments.put((args, kwargs))
            try:
                while (got := results.get())[0] == "piece":
                    yield got[1]
            finally:
                ended.set()
                process.join()

        if task.__name__ == "stream":
            return pieces
        return lambda *args, **kwargs: next(pieces(*args, **kwargs))

    return decorate


@pytest.fixture
def lender(monkeypatch: pytest.MonkeyPatch) -> Lender:
    config, spaces = types.ModuleType("spaces.config"), types.ModuleType("spaces")
    config.Config = types.SimpleNamespace(zero_gpu=True)  # type: ignore[attr-defined]
    spaces.GPU, spaces.config = lent, config  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spaces", spaces)
    monkeypatch.setitem(sys.modules, "spaces.config", config)
    ASKED.clear()
    return Lender(Settings())


class Model:
    """Says in which process it ran. `kept` is what a careless call would change."""

    name = "toy"

    def __init__(self) -> None:
        self.kept: list[str] = []

    def embed(self, samples: list[str]) -> list[tuple[int, str]]:
        self.kept += samples
        return [(os.getpid(), s) for s in samples]

    def generate(self, words: str, *, max_new_tokens: int = 8, stop: Any = None) -> Iterator[str]:
        if words == "refuse":
            raise InputError("no such words")
        for n in range(max_new_tokens):
            yield f"{os.getpid()} {n}"

    def score(self, sample: str, texts: list[str]) -> list[float]:
        raise GalleryError("full")


def test_calls_run_in_a_child_and_state_stays(lender: Lender) -> None:
    model = lender.around(Model())
    ((process, said),) = model.embed(["red"])
    assert process != os.getpid() and said == "red"
    assert model.kept == [] and model.name == "toy", (
        "what the child changed is lost, so nothing may rest on it"
    )
    gallery: list[str] = []
    gallery += [said for _, said in model.embed(["a", "b"])]  # as an ingest does: the parent keeps it
    assert gallery == ["a", "b"]


def test_an_answer_streams_from_the_child_and_a_stop_ends_it(lender: Lender) -> None:
    model, stop = lender.around(Model()), threading.Event()
    pieces = list(model.generate("x", max_new_tokens=3, stop=stop))
    assert [p.split()[1] for p in pieces] == ["0", "1", "2"] and str(os.getpid()) not in pieces[0]
    said = []
    for piece in model.generate("x", max_new_tokens=100_000, stop=stop):
        said.append(piece)
        if len(said) == 2:
            stop.set()
    assert len(said) == 2


def test_a_refusal_keeps_its_class_and_its_words(lender: Lender) -> None:
    model = lender.around(Model())
    with pytest.raises(InputError, match="no such words"):
        list(model.generate("refuse"))
    with pytest.raises(GalleryError, match="full"):
        model.score("x", ["yes"])


def test_how_long_a_gpu_is_asked_for(lender: Lender) -> None:
    model = lender.around(Model())
    model.embed(["a"] * 7)
    list(model.generate("x", max_new_tokens=3))
    assert ASKED == [27, 21]
    assert gpu_seconds(60, "generate", ("x",), {"max_new_tokens": 4000}) == 60


def test_every_call_of_the_model_is_accounted_for() -> None:
    """A new call of Sugar that runs the model must cross over and take its turn: say here which it is."""
    from sugar.core import Sugar

    about_the_model = {"from_pretrained", "wrap", "named", "unknown_words", "save_pretrained"}
    about_the_model |= {f"{verb}_adapter" for verb in ("load", "unload", "new", "save", "push")} | {"forget"}
    calls = {name for name, value in vars(Sugar).items() if not name.startswith("_") and callable(value)}
    calls |= {name for name, value in vars(Sugar).items() if isinstance(value, (classmethod, staticmethod))}
    assert calls - about_the_model == {"embed", "generate", *FORWARD}


def test_without_a_space_nothing_changes() -> None:
    model = Model()
    assert Lender(Settings()).around(model) is model
