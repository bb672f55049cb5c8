"""The catalogue of every word that the page shows, one section per tab. It can be reviewed and translated.

    from sugar.ui.text import chat as words
    gr.Button(words.SEARCH_WITH_THIS)

A section is a file of words/ with plain constants: a text, a template for str.format, or a tuple of texts.
No tab writes a text of its own. Messages of errors stand with the errors; a model's own words come from its
profile.
"""

from __future__ import annotations

from sugar.ui.words import ask, chat, compare, frame, gallery, model, search, teach, wall

__all__ = ["SECTIONS", "ask", "chat", "compare", "frame", "gallery", "model", "search", "teach", "wall"]

SECTIONS = (frame, chat, search, gallery, wall, teach, compare, ask, model)
"""All sections, in the order of the tabs."""
