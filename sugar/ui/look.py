"""How the page looks and what runs in the browser: the theme, and every file of static/.

A file NAME.js or NAME.css below static/ becomes part of every page by being there. Scripts are classic
scripts in the document's head; each is tested in a browser (tests/test_browser_static.py).
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

__all__ = ["STATIC", "head", "styles", "theme"]

STATIC = Path(__file__).with_name("static")


def theme() -> gr.themes.Base:
    """One accent, system fonts (nothing is downloaded), flat surfaces, contrast of WCAG's level AA."""
    base = gr.themes.Base(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="slate",
        radius_size="md",
        font=("ui-sans-serif", "system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
    )
    return base.set(
        color_accent="*primary_700",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_label_text_color="*neutral_600",
        block_title_text_color="*neutral_700",
        input_border_color_focus="*primary_700",
        input_border_color_focus_dark="*primary_300",
        input_shadow_focus="0 0 0 1px *primary_700",
        input_shadow_focus_dark="0 0 0 1px *primary_300",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        checkbox_background_color_selected="*primary_700",
        checkbox_border_color_selected="*primary_700",
    )


def styles() -> str:
    """All style sheets of static/, as one."""
    return "\n".join(path.read_text("utf-8") for path in sorted(STATIC.rglob("*.css")))


def head() -> str:
    """What stands in the document's head: the colour schemes, and all scripts of static/."""
    scripts = [f"<script>\n{path.read_text('utf-8')}</script>" for path in sorted(STATIC.rglob("*.js"))]
    return '<meta name="color-scheme" content="light dark">' + "".join(scripts)
