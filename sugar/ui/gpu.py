"""A GPU for the length of one call of the model, where a Space lends them (ZeroGPU).

    lender = Lender(settings)                  # once, before the page is launched: a Space looks for it
    model = lender.around(model)               # embed, generate and scoring cross over; nothing else does

A call on a lent GPU runs in a forked child. What the child changes is lost, so only calls that compute from
their arguments cross: galleries, limits, stops and everything else of a visitor stay in the parent.
Not covered: which device the model is on (sugar/model).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sugar.errors import SugarError
from sugar.services.model_slot import FORWARD
from sugar.settings import Settings

__all__ = ["Lender", "gpu_seconds"]

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
