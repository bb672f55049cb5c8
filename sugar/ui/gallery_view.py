"""The components of the Gallery tab, by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gradio as gr

__all__ = ["GalleryView"]


@dataclass(init=False)
class GalleryView:
    """gallery.py lays them out, gallery_handlers.py connects them."""

    chosen: gr.Dropdown
    order: gr.Dropdown
    favourites: gr.Checkbox
    name: gr.Textbox
    places: gr.Checkbox
    create: gr.Button
    files: gr.UploadButton
    camera: gr.Image
    folder: gr.Textbox
    add_folder: gr.Button
    watch: gr.Button
    watched: gr.HTML
    jobs: gr.HTML
    report: gr.HTML
    stats: gr.HTML
    reindex: gr.Button
    wall: gr.HTML
    alike: gr.Button
    captions: gr.Button
    export: gr.Button
    exported: gr.DownloadButton
    downloaded: gr.DownloadButton
    bring: gr.UploadButton
    archive: gr.Textbox
    bring_from: gr.Button
    same: gr.HTML
    sure: gr.Checkbox
    remove: gr.Button
    timer: gr.Timer
    onward: dict[str, gr.Button] = field(default_factory=dict)

    @property
    def shown(self) -> list[Any]:
        """What a change of the gallery may change on the page."""
        return [
            self.wall,
            self.stats,
            self.reindex,
            self.jobs,
            self.watched,
            self.timer,
            self.report,
            self.same,
        ]
