"""What tabs ask of the page before all of it exists: hand-over between tabs, lists filled when a page opens.

    app.hand_over(button, "chat", give, inputs=[...])      # give(request, *inputs) -> texts and pictures
    app.receive("chat", take, outputs=[...])               # take(sample, visitor) -> values for outputs
    app.on_load(fill, inputs, outputs)                     # when a page opens: what depends on the visitor
    app.on_model_change(fill, outputs)                     # fill(): also when another model is ready
    app.on_galleries(fill, outputs)                        # fill(request): also when galleries changed
    app.galleries_changed(event)                           # this event may have made or removed a gallery

Tabs may be built in any order; `connect` wires what they asked for at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from sugar.errors import InputError
from sugar.sequence import Sample
from sugar.ui.text import frame as words

__all__ = ["Wiring"]

Take = Callable[[Sample, Any], Any]
"""take(sample, visitor): one value, or a tuple, for the receiver's outputs."""

Give = Callable[..., Sequence[str | Image.Image]]
"""give(request, *inputs): the texts and pictures to hand over, in order; empty when there are none."""


@dataclass(frozen=True)
class _Receiver:
    take: Take
    outputs: list[Any]


@dataclass(frozen=True)
class _HandOver:
    button: Any
    tab: str
    give: Give
    inputs: list[Any]
    then: str | None = None


class Wiring:
    """See the module docstring. Tabs see it as part of AppContext."""

    guarded: Callable[..., Any]
    visitor: Callable[..., Any]
    quiet: dict[str, Any]

    def __init__(self) -> None:
        self.fills: list[tuple[Callable[[], Any], list[Any]]] = []
        self._receivers: dict[str, _Receiver] = {}
        self._handed: list[_HandOver] = []
        self._on_load: list[tuple[Callable[..., Any], list[Any], list[Any]]] = []
        self.visitor_fills: list[tuple[Callable[..., Any], list[Any]]] = []
        self._galleries_changed: list[Any] = []

    def receive(self, tab: str, take: Take, outputs: Sequence[Any]) -> None:
        """Say how the tab with this id takes a sample that another tab hands over."""
        self._receivers[tab] = _Receiver(take, list(outputs))

    def hand_over(
        self, button: Any, tab: str, give: Give, inputs: Sequence[Any] = (), then: str | None = None
    ) -> None:
        """On click, hand a sample to another tab and open that tab. then: JavaScript for afterwards."""
        self._handed.append(_HandOver(button, tab, give, list(inputs), then))

    def on_load(self, fill: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Run `fill` when a page opens."""
        self._on_load.append((fill, list(inputs), list(outputs)))

    def on_model_change(self, fill: Callable[[], Any], outputs: Sequence[Any]) -> None:
        """Run `fill()` when a page opens and whenever another model is ready."""
        self.fills.append((fill, list(outputs)))

    def on_galleries(self, fill: Callable[..., Any], outputs: Sequence[Any]) -> None:
        """Run `fill(request)` when a page opens and whenever the visitor's galleries changed."""
        self.visitor_fills.append((fill, list(outputs)))

    def galleries_changed(self, event: Any) -> None:
        """Say that this event (what `.click()` returned) may have made or removed a gallery."""
        self._galleries_changed.append(event)

    def connect(self, demo: gr.Blocks, tabs: gr.Tabs) -> None:
        """Wire what tabs asked for. The frame calls it when every tab is built."""
        for fill, inputs, outputs in self._on_load:
            demo.load(self.guarded(fill, uses_model=False), inputs, outputs, **self.quiet)
        for event in self._galleries_changed:
            for fill, outputs in self.visitor_fills:
                event.success(self.guarded(fill, uses_model=False), None, outputs, **self.quiet)
        for handed in self._handed:
            self._connect(handed, tabs)

    def _connect(self, handed: _HandOver, tabs: gr.Tabs) -> None:
        receiver = self._receivers.get(handed.tab)
        if receiver is None:  # an app that was built with some of the tabs only
            handed.button.visible = False
            return

        def pass_on(request: gr.Request, *values: Any) -> tuple[Any, ...]:
            parts = [p for p in handed.give(request, *values) if not isinstance(p, str) or p.strip()]
            if not parts:
                raise InputError(words.NOTHING_TO_HAND_OVER)
            taken = receiver.take(Sample(parts), self.visitor(request))
            return (*(taken if isinstance(taken, tuple) else (taken,)), gr.Tabs(selected=handed.tab))

        handler = self.guarded(pass_on, uses_model=False)
        done = handed.button.click(handler, handed.inputs, [*receiver.outputs, tabs], **self.quiet)
        if handed.then is not None:
            done.success(None, None, None, js=handed.then)
