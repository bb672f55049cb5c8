"""Whose call of the model runs, where visitors are kept apart.

    with owned_by(visitor.id):
        model.embed(samples)  # features and prefixes that are kept for it save no other owner any time

By the time of an answer one visitor could tell what another had sent. Not covered: what is kept
(backbone.py, decode.py), and that it goes with the visitor (`Sugar.forget`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_owner: ContextVar[str] = ContextVar("owner", default="")


def owner() -> str:
    """Whose call this is; "" outside `owned_by`."""
    return _owner.get()


@contextmanager
def owned_by(name: str) -> Iterator[None]:
    """Calls inside are this owner's."""
    token = _owner.set(name)
    try:
        yield
    finally:
        _owner.reset(token)
