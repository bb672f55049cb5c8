"""Markdown of a model or a file, made fit for the page.

    harmless("**b** <img src=x>")                 # the sign "<" and the name are pulled apart
    as_written(harmless(text)) == text            # what the page hands back

Signs that begin a tag, an entity, a picture, a diagram or a link other than http(s) are followed by a WORD
JOINER, which nobody sees, wherever they stand: which lines are code is for the page's parser alone to say, so
no line of ours can be read in two ways. nh3, an HTML5 parser, then says whether any tag is left.
Not covered: a person's own words, which are shown as they are (drawing.escape).
"""

from __future__ import annotations

import re

import nh3

__all__ = ["as_written", "harmless"]

JOINER = "\u2060"
SIGNS = re.compile(
    r"<(?=[A-Za-z/!?])"  # a tag, a comment
    r"|&(?=#?\w+;)"  # an entity, which a diagram or a copy would turn into a sign
    r"|!(?=\[)"  # a picture
    r"|\](?=\((?!https?://)|:|\[)"  # a link to another place than the web
    r"|(?:(?<!`)`{3,}|(?<!~)~{3,})[ \t]*(?=mermaid)"  # a diagram, whose labels are HTML
)


def harmless(markdown: str) -> str:
    """Markdown in which HTML, pictures, diagrams and links other than http(s) are plain text, in code too."""
    apart = SIGNS.sub(lambda sign: sign.group() + JOINER, markdown)
    return nh3.clean_text(apart) if nh3.is_html(apart) else apart


def as_written(text: str) -> str:
    """The text that `harmless` was given."""
    return text.replace(JOINER, "")
