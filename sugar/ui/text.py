"""The catalogue of every word that the page shows, in each language that has a file in words/.

    from sugar.ui.text import chat as words
    gr.Button(words.EDIT)                  # English while the page is built; in an event the asker's language
    demo.launch(i18n=translations())       # Gradio's own catalogue: the browser translates what was built
    config = marked(config)                # in which labels, hints and choices are keys of that catalogue

A section of words/en.toml holds the texts of one tab: a text, a template for str.format, a list, or a table.
No tab writes a text of its own. Messages of errors stand with the errors, in English; a model's own words
come from its profile.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import LocalContext

ENGLISH = "en"


def _read(file: Path) -> dict[str, Any]:
    """A language's sections. A key that is a number becomes one: the text for exactly so many."""

    def keyed(table: dict[str, Any]) -> dict[Any, Any]:
        return {
            int(key) if key.isdecimal() else key: keyed(value) if isinstance(value, dict) else value
            for key, value in table.items()
        }

    return keyed(tomllib.loads(file.read_text("utf-8")))


LANGUAGES = {file.stem: _read(file) for file in sorted(Path(__file__).with_name("words").glob("*.toml"))}


def _asked() -> str:
    """The language of the browser behind the event that runs here, if it has a file; else English."""
    headers = getattr(LocalContext.request.get(None), "headers", None) or {}
    for wanted in headers.get("accept-language", "").split(","):
        name = wanted.partition(";")[0].strip()
        for known in (name, name.partition("-")[0].lower()):
            if known in LANGUAGES:
                return known
    return ENGLISH


class Section:
    """The texts of one tab, as attributes. What a translation leaves out is English."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        try:
            english = LANGUAGES[ENGLISH][self._name][name]
        except KeyError:
            raise AttributeError(f"words/{ENGLISH}.toml has no text {name} in [{self._name}]") from None
        translated = LANGUAGES[_asked()].get(self._name, {}).get(name, english)
        return english | translated if isinstance(english, dict) else translated


frame, chat, search, gallery, wall = map(Section, ("frame", "chat", "search", "gallery", "wall"))
teach, compare, ask, model = map(Section, ("teach", "compare", "ask", "model"))


def _whole_texts(table: dict[Any, Any], name: str = "") -> Iterator[tuple[str, str]]:
    """(key, text) of every text that nothing is filled into."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _whole_texts(value, f"{name}{key}.")
        elif isinstance(value, str) and "{" not in value:
            yield f"{name}{key}", value


def translations() -> gr.I18n:
    """The catalogue as Gradio hands it to the browser."""
    return gr.I18n(**{language: dict(_whole_texts(table)) for language, table in LANGUAGES.items()})


def marked(config: dict[str, Any]) -> dict[str, Any]:
    """Gradio's description of the page, with the key of each text for the browser to look up.

    Marks are set here and not in the components, so that endpoints are documented in words, not in keys.
    """
    keys = {text: gr.I18n()(key) for key, text in _whole_texts(LANGUAGES[ENGLISH])}
    for component in config.get("components", ()):
        props = component["props"]
        shows_value = component["type"] in ("button", "downloadbutton", "uploadbutton", "markdown", "html")
        for prop in ("label", "info", "placeholder", *(["value"] if shows_value else [])):
            if isinstance(props.get(prop), str) and props[prop] in keys:
                props[prop] = str(keys[props[prop]])
        for choice in props.get("choices") or ():
            if isinstance(choice, list) and choice[0] in keys:
                choice[0] = str(keys[choice[0]])
    return config
