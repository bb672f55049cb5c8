"""The page: one thin file per tab. This room is the only one that knows Gradio.

    demo = build_app(settings, open_slot(settings))            # a gr.Blocks; launch(demo, settings) serves it

README.md in this folder says how a tab is written.
"""

from __future__ import annotations

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from sugar.ui.page import TABS, build_app  # noqa: E402
from sugar.ui.serving import launch  # noqa: E402

__all__ = ["TABS", "build_app", "launch"]
