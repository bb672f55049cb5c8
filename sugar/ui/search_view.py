"""The components of the Search tab that its events read and change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

__all__ = ["Change", "SearchView"]

Change = dict[Any, Any]
"""What a handler returns: component -> value."""


@dataclass(frozen=True)
class SearchView:
    """See sugar/ui/search.py, which makes it."""

    text: gr.Textbox
    chips: gr.HTML
    gallery: gr.Dropdown
    mode: gr.Radio
    rerank: gr.Checkbox
    confirm: gr.Checkbox
    hits: gr.HTML
    downloaded: gr.DownloadButton

    @property
    def asked(self) -> list[Any]:
        """What a search reads, in the order of `SearchEvents.find`."""
        return [self.text, self.gallery, self.mode, self.rerank, self.confirm]

    @property
    def shown(self) -> list[Any]:
        """What a search changes."""
        return [self.text, self.chips, self.mode, self.gallery, self.hits]
