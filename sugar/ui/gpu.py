"""A GPU for the length of one call, where a Space lends them (ZeroGPU); everywhere else nothing changes.

    handler = on_gpu(handler, settings)

Not covered: which device the model is on (sugar/model).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from sugar.settings import Settings

__all__ = ["gpu_seconds", "on_gpu"]


def gpu_seconds(handler: Callable[..., Any], most: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """How long to ask for a GPU for this call: 20 s, one more for each file that it carries and for every ten tokens of the longest answer
    (its argument `length` or `n`), at most `most`. A wrong guess ends the answer early or queues it longer, so it errs on the long side."""

    def files(value: Any) -> int:
        if isinstance(value, dict):
            return 1 if "path" in value or "url" in value else sum(map(files, value.values()))
        return sum(map(files, value)) if isinstance(value, (list, tuple)) else 0

    given = inspect.signature(handler).bind_partial(*args, **kwargs).arguments
    length = given.get("length", given.get("n"))
    tokens = length if isinstance(length, (int, float)) and length > 0 else 0
    return int(min(most, 20 + files(list(given.values())) + tokens / 10))


def on_gpu(handler: Callable[..., Any], settings: Settings) -> Callable[..., Any]:
    """Lend a GPU for the call where ZeroGPU is present (a Space); the handler itself everywhere else."""
    try:
        from spaces.config import Config
    except ImportError:
        return handler
    if not Config.zero_gpu:
        return handler
    import spaces

    most = int(min(120, settings.answer_seconds))
    return spaces.GPU(duration=lambda *args, **kwargs: gpu_seconds(handler, most, args, kwargs))(handler)
