"""The one model in memory: it loads in the background, everybody shares it in turns, and it can be replaced.

    models = ModelSlot(lambda name, progress: Sugar.from_pretrained(name, progress=progress))
    models.start("sugar-photo")            # returns at once
    model = models.get()                  # waits; raises ModelError with the cause when loading failed
    models.start("smolvlm-256m")          # the old model answers until the new one is ready
    models.pause(); models.resume()       # a download; models.cancel() gives it up
    queue, lender = ModelQueue(), Lender(settings)
    models.wrap_models(lambda model: QueuedModel(lender.around(model), queue))
    with low_priority(): gallery.add(...)  # each batch waits until no question runs or waits

A question holds the model for one call, an answer for one token at a time. Low-priority work waits for an
answer's last token. Where a Space lends a GPU (ZeroGPU), a call runs in a forked child: what the child
changes is lost, so only calls that compute from their arguments cross over.
Not covered: what is loaded (sugar/core.py), who may ask for it (sugar/ui/context.py), long work (jobs.py).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sugar.errors import BusyError, InputError, ModelError, SugarError
from sugar.settings import Settings

log = logging.getLogger("sugar")
Load = Callable[[str, Callable[[Any], None]], Any]


@dataclass(frozen=True)
class ModelState:
    """What the page shows of the model slot.

    Attributes:
        phase: "loading", "ready" or "failed".
        name: the model that answers, or the one that is loading when none answers yet.
        device, precision: of the model that answers.
        seconds: since the last load began.
        done, total: bytes of a download; 0 when there is none.
        coming: the model that will replace this one, while it loads.
        problem: why the last load failed.
        paused: the model whose download is paused.
    """

    phase: str
    name: str
    device: str = ""
    precision: str = ""
    seconds: float = 0.0
    done: int = 0
    total: int = 0
    coming: str = ""
    problem: str = ""
    paused: str = ""


class _Interrupted(ModelError):
    """Raised inside a download that was paused or cancelled. What has arrived stays for the next try."""


def open_slot(settings: Settings) -> ModelSlot:
    """A slot that loads the settings' model once `go` is set: importing torch would delay the page."""

    def load(name: str, progress: Any) -> Any:
        from sugar.core import Sugar

        adapter = settings.adapter if name == settings.model and settings.adapter else None
        return Sugar.from_pretrained(
            name, adapter=adapter, device=settings.device, precision=settings.precision, progress=progress
        )

    models = ModelSlot(load)
    models.go.clear()
    models.start(settings.model)
    return models


class ModelSlot:
    """Holds the model. Every method may be called from any thread."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._changed = threading.Condition()
        self._model: Any = None
        self._wanted = ""
        self._problem: Exception | None = None
        self._loading = False
        self._since = 0.0
        self._bytes = (0, 0)
        self._interrupt = ""
        self._paused = ""
        self._wrapper: Callable[[Any], Any] = lambda model: model
        self.generation = 0
        self.on_change: list[Callable[[Any], None]] = []
        self.go = threading.Event()
        """Cleared: a load waits before its first import, so that the page comes first."""
        self.go.set()

    def wrap_models(self, wrapper: Callable[[Any], Any]) -> None:
        """Hand every model out as `wrapper(model)`: the one that is loaded, and those to come."""
        with self._changed:
            self._wrapper = wrapper
            if self._model is not None:
                self._model = wrapper(self._model)

    def start(self, name: str) -> None:
        """Load in the background. Raises BusyError while another load runs."""
        with self._changed:
            if self._loading:
                raise BusyError(f"{self._wanted} is being loaded. Wait until it is ready, then choose again.")
            self._loading, self._wanted, self._problem = True, name, None
            self._since, self._bytes = time.monotonic(), (0, 0)
            self._interrupt, self._paused = "", ""
        threading.Thread(target=self._work, args=(name,), name="model-loader", daemon=True).start()

    def pause(self) -> None:
        """Stop the download under way, to go on later. Raises InputError when nothing is being downloaded."""
        self._stop_download("pause")

    def cancel(self) -> None:
        """Give up the download under way, or the paused one. Raises InputError when there is none."""
        with self._changed:
            if self._paused:
                self._paused = ""
                return
        self._stop_download("cancel")

    def resume(self) -> None:
        """Go on with the paused download. Raises InputError, BusyError: none is paused, another load runs."""
        if not self._paused:
            raise InputError("No download is paused.")
        self.start(self._paused)

    def _stop_download(self, how: str) -> None:
        with self._changed:
            if not self._loading or not self._bytes[1]:
                raise InputError("Nothing is being downloaded at the moment.")
            self._interrupt = how

    def _work(self, name: str) -> None:
        model, problem = None, None
        self.go.wait(60)
        try:
            model = self._load(name, self._progress)
        except Exception as error:
            problem = None if self._interrupt else error
            if not isinstance(error, SugarError):
                log.exception("loading %s failed", name)
        with self._changed:
            if model is not None:
                self._model = model = self._wrapper(model)
                self.generation += 1
                seconds = time.monotonic() - self._since
                log.info("%s ready on %s in %s after %.1f s", name, model.device, model.precision, seconds)
            if model is None and self._interrupt == "pause":
                self._paused = name
            self._problem, self._loading = problem, False
            self._changed.notify_all()
        if model is not None:
            for callback in self.on_change:
                callback(model)

    def _progress(self, progress: Any) -> None:
        self._bytes = (int(progress.done), int(progress.total))
        if self._interrupt and progress.done < progress.total:
            raise _Interrupted("The download was stopped.")

    def get(self, timeout: float = 600.0, stop: threading.Event | None = None) -> Any:
        """The model. Waits while the first one loads.

        Returns:
            The model, or None when `stop` was set before it was ready.

        Raises:
            ModelError: it could not be loaded, or not in time.
        """
        end = time.monotonic() + timeout
        with self._changed:
            while self._model is None and self._loading and time.monotonic() < end:
                if stop is not None and stop.is_set():
                    return None
                self._changed.wait(0.2)  # setting `stop` notifies nobody
            if self._model is not None:
                return self._model
            if self._problem is not None:
                raise self._failure()
            if not self._loading:
                raise ModelError(f"No model is loaded. Load {self._wanted} in the tab Model.")
            raise ModelError(f"{self._wanted} is still being loaded. Wait a little and ask again.")

    def peek(self) -> Any:
        """The model that answers now, or None. Does not wait."""
        return self._model

    def _failure(self) -> SugarError:
        if isinstance(self._problem, SugarError):
            return self._problem
        return ModelError(
            f"{self._wanted} could not be loaded ({type(self._problem).__name__}). The log says more."
        )

    def wait(self, timeout: float = 600.0) -> ModelState:
        """Wait until no load runs."""
        with self._changed:
            self._changed.wait_for(lambda: not self._loading, timeout)
        return self.state()

    def state(self) -> ModelState:
        """What the slot holds and does at this moment."""
        with self._changed:
            model, seconds = self._model, time.monotonic() - self._since
            problem = str(self._failure()) if self._problem is not None else ""
            done, total = self._bytes if self._loading else (0, 0)
            return ModelState(
                phase="ready" if model is not None else "loading" if self._loading else "failed",
                name=self._wanted if model is None else model.name,
                device="" if model is None else model.device,
                precision="" if model is None else model.precision,
                seconds=seconds,
                done=done,
                total=total,
                coming=self._wanted if self._loading and model is not None else "",
                problem=problem,
                paused=self._paused,
            )


# -- one model, many askers

FORWARD = ("score", "log_odds", "probability_of_yes", "agreement", "picture_heat", "unsure_of")
"""The calls of `Sugar` that run the model, besides `embed` and `generate`."""

PATIENCE = 5.0
"""Seconds after its last token when an answer that nobody reads any more stops holding background work up."""

_here = threading.local()


@contextmanager
def low_priority() -> Iterator[None]:
    """Calls of the model in this thread give way to everybody else's."""
    before = getattr(_here, "background", False)
    _here.background = True
    try:
        yield
    finally:
        _here.background = before


class ModelQueue:
    """Whose turn it is. A turn is not re-entrant: nothing that holds one may ask for another."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._held = False
        self._questions: list[object] = []
        self._answers: dict[object, float] = {}

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the model. Questions come in the order of asking; background work waits for all of them."""
        background = getattr(_here, "background", False)
        ticket = object()
        with self._changed:
            if not background:
                self._questions.append(ticket)
            try:
                while not self._free_for(ticket, background):
                    self._changed.wait(0.5 if background else None)
                self._held = True
            finally:
                if not background:
                    self._questions.remove(ticket)
        try:
            yield
        finally:
            with self._changed:
                self._held = False
                self._changed.notify_all()

    @contextmanager
    def answer(self) -> Iterator[Callable[[], None]]:
        """An answer is being generated. Yields what to call after each token.

        One that is generated in the background holds nobody up, itself least of all.
        """
        if getattr(_here, "background", False):
            yield lambda: None
            return
        ticket = object()

        def token() -> None:
            with self._changed:
                self._answers[ticket] = self._clock()

        token()
        try:
            yield token
        finally:
            with self._changed:
                del self._answers[ticket]
                self._changed.notify_all()

    def _free_for(self, ticket: object, background: bool) -> bool:
        if self._held:
            return False
        if not background:
            return self._questions[0] is ticket
        recent = self._clock() - PATIENCE
        return not self._questions and all(last < recent for last in self._answers.values())


class QueuedModel:
    """A model whose `embed`, `generate` and scoring calls take turns. Everything else is the model's own."""

    def __init__(self, model: Any, queue: ModelQueue) -> None:
        self.__dict__.update(_model=model, _queue=queue)

    def embed(self, samples: Sequence[Any], **kwargs: Any) -> Any:
        with self._queue.turn():
            return self._model.embed(samples, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        pieces = iter(self._model.generate(*args, **kwargs))
        with self._queue.answer() as token:
            try:
                while True:
                    with self._queue.turn():
                        piece = next(pieces, None)
                    if piece is None:
                        return
                    token()
                    yield piece
            finally:
                if hasattr(pieces, "close"):
                    pieces.close()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._model, name)
        if name not in FORWARD:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            with self._queue.turn():
                return found(*args, **kwargs)

        return call

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._model, name, value)


# -- a lent GPU

PURE = ("embed", *FORWARD)
"""The calls that cross over, besides `generate`."""


def gpu_seconds(most: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """How long to ask for a GPU: 20 s, one more for each sample and for every ten tokens asked for.

    A wrong guess ends the answer early or queues it longer, so it errs on the long side.
    """
    samples = len(args[0]) if args and hasattr(args[0], "__len__") else 1
    return int(min(most, 20 + samples + kwargs.get("max_new_tokens", 0) / 10))


class Lender:
    """Asks for a GPU around calls of the model. One per app."""

    def __init__(self, settings: Settings) -> None:
        self._model: Any = None
        self._call: Callable[..., Any] | None = None
        self._stream: Callable[..., Iterator[Any]] | None = None
        try:
            from spaces.config import Config
        except ImportError:
            return
        if not Config.zero_gpu:
            return
        import spaces

        most = int(min(120, settings.answer_seconds))

        def seconds(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
            return gpu_seconds(most, name, args, kwargs)

        def call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            try:
                return "value", getattr(self._model, name)(*args, **kwargs)
            except SugarError as error:  # of another process: raised there, it would lose its class
                return "error", error

        def stream(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
            try:
                for piece in getattr(self._model, name)(*args, **kwargs):
                    yield "value", piece
            except SugarError as error:
                yield "error", error

        self._call = spaces.GPU(duration=seconds)(call)
        self._stream = spaces.GPU(duration=seconds)(stream)

    def around(self, model: Any) -> Any:
        """The model, or one whose pure calls run on a lent GPU."""
        if self._call is None or self._stream is None:
            return model
        self._model = model
        return OnLentGpu(model, self._call, self._stream)


class OnLentGpu:
    """A model whose pure calls run in a child that has a GPU."""

    def __init__(self, model: Any, call: Callable[..., Any], stream: Callable[..., Iterator[Any]]) -> None:
        self.__dict__.update(_model=model, _call=call, _stream=stream)

    def generate(self, *args: Any, stop: Any = None, **kwargs: Any) -> Iterator[Any]:
        """As the model's. `stop` is watched here: it cannot cross over."""
        pieces = self._stream("generate", args, kwargs)
        try:
            for kind, piece in pieces:
                if kind == "error":
                    raise piece
                yield piece
                if stop is not None and stop.is_set():
                    return
        finally:
            pieces.close()

    def __getattr__(self, name: str) -> Any:
        if name not in PURE:
            return getattr(self._model, name)

        def crossing(*args: Any, **kwargs: Any) -> Any:
            kwargs.pop("stop", None)
            kind, value = self._call(name, args, kwargs)
            if kind == "error":
                raise value
            return value

        return crossing

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._model, name, value)
