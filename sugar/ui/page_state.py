"""What Gradio keeps for the session of a page: nothing until something is kept, and nothing after the page.

    lean_sessions()                               # once, before the app is served
    forget(demo, "a1", left=True)                 # whose session it was is gone for good
    sweep(demo)                                   # now and then

Gradio copies the description of every component for each name that a client makes up, and keeps values that
were sent in it for its deep links, which are closed here. Not covered: whose page a session is (visits.py).
"""

from __future__ import annotations

from copy import copy
from datetime import datetime
from typing import Any

import gradio as gr
from gradio import state_holder
from gradio.state_holder import SessionState

__all__ = ["CAPACITY", "forget", "lean_sessions", "sweep"]

CAPACITY = 2000
"""Sessions that Gradio keeps."""


class LeanState(SessionState):
    """Shares the app's description of the page until a component of this session changes."""

    def __init__(self, blocks: Any) -> None:
        self.blocks_config = blocks.default_config
        self.config_values: dict[int, Any] = {}
        self.state_data: dict[int, Any] = {}
        self._state_ttl: dict[int, Any] = {}
        self.is_closed, self._own = False, False
        self.STATE_TTL_WHEN_CLOSED = 3600

    def __setitem__(self, key: int, value: Any) -> None:
        block = self.blocks_config.blocks.get(key)
        if isinstance(block, gr.State):
            self._state_ttl[key] = (block.time_to_live, datetime.now())
            self.state_data[key] = value
        elif block is not value:
            if not self._own:
                events = self.blocks_config.fns
                self.blocks_config, self._own = copy(self.blocks_config), True
                self.blocks_config.fns = events  # the same on every page
            self.blocks_config.blocks[key] = value

    def _update_config(self, key: int) -> None:
        """For deep links, which are closed."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """For deep links, which are closed."""


def lean_sessions() -> None:
    """Gradio keeps sessions as above from now on."""
    state_holder.SessionState = LeanState  # type: ignore[misc]


def forget(demo: gr.Blocks, session: str, left: bool) -> None:
    """Let go of what is kept under a session's name; left: also of answers that nobody read."""
    holder, queue = demo.state_holder, demo._queue
    with holder.lock:
        holder.session_data.pop(session, None)
        holder.time_last_used.pop(session, None)
    if left and session in queue.pending_messages_per_session:
        del queue.pending_messages_per_session[session]
        queue.pending_event_ids_session.pop(session, None)


def sweep(demo: gr.Blocks) -> None:
    """Let go of the events of sessions whose messages nobody read and which newer ones have pushed out."""
    queue = demo._queue
    for session in list(queue.pending_event_ids_session):
        if session not in queue.pending_messages_per_session:
            queue.pending_event_ids_session.pop(session, None)
