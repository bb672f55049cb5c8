"""The one model in memory: loaded behind the page, waited for by questions, exchanged without a gap.

    models = ModelLoader(lambda name, progress: Sugar.from_pretrained(name, progress=progress))
    models.start("sugar-tiny")            # returns at once
    model = models.get()                  # waits; raises ModelError with the cause when loading failed; get(stop=event) can be ended
    models.state()                        # for the page
    models.start("smolvlm-256m")          # again: the old model answers until the new one stands
    models.on_change.append(f)            # f(model) after each

Not covered: what is loaded (sugar.core), who may ask for it (context.py).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sugar.errors import BusyError, ModelError, SugarError

__all__ = ["ModelLoader", "State"]

log = logging.getLogger("sugar")
Load = Callable[[str, Callable[[Any], None]], Any]


@dataclass(frozen=True)
class State:
    """What the page shows. phase: loading, ready or failed. name: of the model that answers, or is on its way. done, total: bytes
    of a download (0 when there is none). coming: the model that will replace this one. problem: why the last load failed."""

    phase: str
    name: str
    device: str = ""
    precision: str = ""
    seconds: float = 0.0
    done: int = 0
    total: int = 0
    coming: str = ""
    problem: str = ""


class ModelLoader:
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
        self.generation = 0
        self.on_change: list[Callable[[Any], None]] = []
        self.go = threading.Event()
        """Cleared, a load waits before its first import: the page comes first, then the model."""
        self.go.set()

    def start(self, name: str) -> None:
        """Load in the background. Raises BusyError while another load runs."""
        with self._changed:
            if self._loading:
                raise BusyError(f"{self._wanted} is being loaded. Wait until it stands, then choose again.")
            self._loading, self._wanted, self._problem, self._since, self._bytes = True, name, None, time.monotonic(), (0, 0)
        threading.Thread(target=self._work, args=(name,), name="model-loader", daemon=True).start()

    def _work(self, name: str) -> None:
        model, problem = None, None
        self.go.wait(60)
        try:
            model = self._load(name, self._progress)
        except Exception as error:
            problem = error
            if not isinstance(error, SugarError):
                log.exception("loading %s failed", name)
        with self._changed:
            if model is not None:
                self._model = model
                self.generation += 1
                log.info("%s stands on %s in %s after %.1f s", name, model.device, model.precision, time.monotonic() - self._since)
            self._problem, self._loading = problem, False
            self._changed.notify_all()
        if model is not None:
            for callback in self.on_change:
                callback(model)

    def _progress(self, progress: Any) -> None:
        self._bytes = (int(progress.done), int(progress.total))

    def get(self, timeout: float = 600.0, stop: threading.Event | None = None) -> Any:
        """The model; waits while the first one loads, None when `stop` is set before. Raises ModelError: failed, or not there in time."""
        end = time.monotonic() + timeout
        with self._changed:
            while self._model is None and self._loading and time.monotonic() < end:
                if stop is not None and stop.is_set():
                    return None
                self._changed.wait(0.2)  # nobody notifies of `stop`
            if self._model is not None:
                return self._model
            if self._problem is not None:
                raise self._failure()
            raise ModelError(f"{self._wanted} is still being loaded. Wait a little and ask again.")

    def _failure(self) -> SugarError:
        if isinstance(self._problem, SugarError):
            return self._problem
        return ModelError(f"{self._wanted} could not be loaded ({type(self._problem).__name__}). The log says more.")

    def wait(self, timeout: float = 600.0) -> State:
        """Wait until no load runs."""
        with self._changed:
            self._changed.wait_for(lambda: not self._loading, timeout)
        return self.state()

    def state(self) -> State:
        with self._changed:
            model, seconds = self._model, time.monotonic() - self._since
            problem = str(self._failure()) if self._problem is not None else ""
            done, total = self._bytes if self._loading else (0, 0)
            if model is None:
                return State("loading" if self._loading else "failed", self._wanted, "", "", seconds, done, total, "", problem)
            coming = self._wanted if self._loading else ""
            return State("ready", model.name, model.device, model.precision, seconds, done, total, coming, problem)
