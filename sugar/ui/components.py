"""What tabs share: checking what comes from the page, and drawing what goes to it.

    text(value, limits), picture(path, limits), parts(message, limits)       # the server's own check; InputError says what is wrong
    escape(words)                                                            # any text from a person, a file or a model -> safe HTML
    heat_map(similarity, rows, columns, path), score_bar(0.8)                # HTML that reads in light and dark

Not covered: the model and the visitor (context.py).
"""

from __future__ import annotations

import base64
import html
import re
from abc import ABCMeta
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.component_meta import ComponentMeta, updateable
from PIL import Image

from sugar.errors import InputError
from sugar.images import Limits, open_image, thumbnail
from sugar.settings import Settings
from sugar.ui.loading import State

__all__ = [
    "EXAMPLES", "Conversation", "PictureInput", "escape", "heat_map", "intro", "number", "parts", "picture", "read_upload", "score_bar",
    "status_line", "text",
]  # fmt: skip

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"
"""Drawn pictures that ship with Sugar."""

MAX_SIDE = 1024
"""Pixels on the longer side of any picture that a model sees or a page shows."""

_MARK = re.compile(r"\[(\d{1,3})\]")


def escape(words: Any) -> str:
    """Text as HTML that cannot be markup, and that Markdown leaves alone."""
    return re.sub(r"[\\`*_{}\[\]()#+!|~$&<>\"']", lambda m: f"&#{ord(m.group())};", str(words))


def intro(words: str) -> Any:
    """The line at the head of a tab that says what it is for."""
    return gr.Markdown(words, elem_classes="sugar-intro")


# -- what comes from the page -----------------------------------------------------------------------------------------


class _Quiet(ComponentMeta):
    """Gradio's metaclass writes a .pyi file beside the source of every component class; a class that adds no events needs none."""

    def __new__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> Any:
        return ABCMeta.__new__(cls, name, bases, attrs)


class PictureInput(gr.Image, metaclass=_Quiet):
    """gr.Image for pictures from a person: hands over the upload's path and leaves the decoding to sugar/images.py."""

    is_template = True

    @updateable
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"type": "filepath", "image_mode": None, "sources": ["upload", "clipboard"], **kwargs})

    def get_config(self, cls: Any = None) -> dict[str, Any]:
        """What the page is told is read off a signature: the one of gr.Image, not the one above."""
        return super().get_config(cls or gr.Image)

    def preprocess(self, payload: Any) -> Any:
        return None if payload is None else payload.path


class Conversation(gr.Chatbot, metaclass=_Quiet):
    """gr.Chatbot of texts and pictures. Texts are shown as they are: "<" and "&" travel to the page as entities, so that no markup of a
    person or a model is ever drawn there. A component inside a message, which the server would build as told, is refused."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        return [
            {**m, "content": [{**c, "text": html.unescape(c["text"])} if c["type"] == "text" else c for c in m["content"]]}
            for m in super().preprocess(payload)
        ]

    def postprocess(self, value: Any) -> Any:
        data = super().postprocess(value)
        for message in data.root:
            for item in message.content:
                if item.type == "text":
                    item.text = item.text.replace("&", "&amp;").replace("<", "&lt;")
        return data

    def _preprocess_content(self, chat_message: Any) -> Any:
        if chat_message.type not in ("text", "file"):
            raise gr.Error("A message holds texts and pictures, nothing else.", print_exception=False)
        return super()._preprocess_content(chat_message)


def text(value: Any, settings: Settings, *, what: str = "text", required: bool = True) -> str:
    """A text from the page, without control characters. Raises InputError: not a text, too long, or empty where required."""
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise InputError(f"The {what} is a {type(value).__name__}; it must be a text.")
    if len(value) > settings.max_text:
        raise InputError(f"The {what} has {len(value)} characters; {settings.max_text} is the limit. Shorten it.")
    value = re.sub(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", "", value).strip()
    if required and not value:
        raise InputError(f"The {what} is empty. Type some words.")
    return value


def number(value: Any, low: float, high: float, what: str) -> float:
    """A finite number in [low, high]. Raises InputError."""
    try:
        checked = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{what} must be a number from {low:g} to {high:g}.") from None
    if not low <= checked <= high:
        raise InputError(f"{what} is {checked:g}; it may be {low:g} to {high:g}.")
    return checked


def picture(value: Any, settings: Settings) -> Image.Image:
    """A picture that a component handed over: a file in the app's cache (Gradio has checked that it is an upload), or pixels.

    Components use `type="filepath"`, so that sugar/images.py is the only decoder. Raises ImageError, InputError.
    """
    if isinstance(value, dict):
        value = value.get("path")
    if isinstance(value, Image.Image):
        return value
    if not isinstance(value, (str, Path)):
        raise InputError("There is no picture. Choose a picture file.")
    if not in_cache(value):
        raise InputError("This picture is not an upload of yours. Send the file itself.")
    return open_image(value, limits=Limits(max_bytes=settings.max_upload_mb * 1_000_000), max_side=MAX_SIDE).image


def read_upload(value: Any, settings: Settings) -> bytes:
    """The bytes of an uploaded file that is not a picture. Raises InputError: none, not an upload, too large."""
    path = value.get("path") if isinstance(value, dict) else value
    if not isinstance(path, (str, Path)) or not in_cache(path):
        raise InputError("There is no file. Choose one.")
    if Path(path).stat().st_size > settings.max_upload_mb * 1_000_000:
        raise InputError(f"The file is larger than {settings.max_upload_mb} MB. Send a smaller one.")
    return Path(path).read_bytes()


def in_cache(path: str | Path) -> bool:
    """Whether a path lies inside the app's own cache: nothing else is ever opened for a visitor."""
    from gradio.utils import get_upload_folder

    try:
        return Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve()) and Path(path).is_file()
    except (OSError, ValueError):
        return False


def parts(message: Any, settings: Settings) -> list[str | Image.Image]:
    """The texts and pictures of a MultimodalTextbox message, in order.

    "[2]" in the text stands for the second picture; pictures that the text does not name come first. Raises InputError, ImageError.
    """
    if isinstance(message, str):
        message = {"text": message}
    if not isinstance(message, dict):
        raise InputError("A message has a text, files, or both.")
    files = message.get("files") or []
    if not isinstance(files, list) or len(files) > settings.max_pictures:
        raise InputError(f"A message may have {settings.max_pictures} pictures.")
    pictures = [picture(f, settings) for f in files]
    words = text(message.get("text"), settings, required=not pictures)
    named = {int(n) for n in _MARK.findall(words) if 1 <= int(n) <= len(pictures)}
    out: list[str | Image.Image] = [p for i, p in enumerate(pictures, 1) if i not in named]
    for i, piece in enumerate(_MARK.split(words)):
        if i % 2 and int(piece) in named:
            out.append(pictures[int(piece) - 1])
        elif i % 2:
            out.append(f"[{piece}]")
        elif piece.strip():
            out.append(piece.strip())
    return out


# -- what goes to the page --------------------------------------------------------------------------------------------


def data_uri(image: Image.Image, side: int = 96) -> str:
    """A small picture inside the page itself."""
    return "data:image/jpeg;base64," + base64.b64encode(thumbnail(image, side)).decode()


def label(part: str | Image.Image, alt: str) -> str:
    """A row or column head: words, shortened, or a small picture."""
    if isinstance(part, Image.Image):
        return f'<img src="{data_uri(part)}" alt="{escape(alt)}">'
    short = part if len(part) <= 60 else part[:57] + "..."
    return f'<span title="{escape(part[:500])}">{escape(short)}</span>'


def heat_map(
    values: np.ndarray,
    rows: Sequence[str | Image.Image],
    columns: Sequence[str | Image.Image],
    path: Sequence[tuple[int, int]] = (),
    *,
    caption: str = "",
    low: float | None = None,
    high: float | None = None,
) -> str:
    """values (n, m) as a table, so that it can be read aloud: cells are coloured and carry their number; those of `path` are ringed."""
    values = np.atleast_2d(np.asarray(values, float))  # (n, m)
    bottom = float(np.nanmin(values)) if low is None else low
    top = float(np.nanmax(values)) if high is None else high
    span = (top - bottom) or 1.0
    on_path = {(int(i), int(j)) for i, j in path}
    head = "".join(f'<th scope="col">{label(c, f"column {j + 1}")}</th>' for j, c in enumerate(columns))
    body = ""
    for i, row in enumerate(rows):
        cells = ""
        for j in range(values.shape[1]):
            share = min(1.0, max(0.0, (values[i, j] - bottom) / span))
            ring, spoken = (' class="on-path"', " on the path") if (i, j) in on_path else ("", "")
            aria = f' aria-label="{values[i, j]:.2f}{spoken}"' if spoken else ""
            cells += f'<td{ring}{aria} style="--heat:{100 * share:.0f}%">{values[i, j]:.2f}</td>'
        body += f'<tr><th scope="row">{label(row, f"row {i + 1}")}</th>{cells}</tr>'
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="sugar-heat"><table>{title}<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def score_bar(score: float, words: str = "") -> str:
    """A score in [0, 1] as a bar with its number."""
    share = 100 * min(1.0, max(0.0, float(score)))
    return (
        f'<div class="sugar-bar"><span>{escape(words)}</span><i style="--share:{share:.0f}%" role="img" aria-label="{score:.2f}"></i>'
        f"<b>{score:.2f}</b></div>"
    )


PHOTOS = (
    '<p class="sugar-note">This small model knows drawn scenes only: shapes, colours, places, weather. For photos load another in the tab '
    "Model (smolvlm-256m is 0.5 GB and runs on any computer), or start with <code>--model llava-1.5-7b</code>.</p>"
)


def status_line(state: State) -> str:
    """The line above the tabs: which model, device and precision answer, or what is under way."""
    progress = f" · {state.done / 1e9:.2f} of {state.total / 1e9:.2f} GB" if state.total else ""
    if state.phase == "loading":
        return f"Loading <b>{escape(state.name)}</b>{progress} · {state.seconds:.0f} s · questions asked now wait for it"
    if state.phase == "failed":
        return f"<b>No model.</b> {escape(state.problem)}"
    note = PHOTOS if state.name == "sugar-tiny" else ""
    line = f"<b>{escape(state.name)}</b> · {escape(state.device)} · {escape(state.precision)}"
    if state.coming:
        line += f" · loading {escape(state.coming)}{progress} · {state.seconds:.0f} s"
    elif state.problem:
        line += f" · {escape(state.problem)}"
    return line + note


CSS = """
.gradio-container > main { width: 100%; max-width: 1080px !important; padding: 1rem clamp(.75rem, 3vw, 2rem) !important; }
.gradio-container { max-width: 1080px !important; margin: auto; }
.sugar-title h1 { font-size: 1.4rem; font-weight: 650; margin: .4rem 0 0; }
.sugar-head { gap: .3rem; }
.sugar-head .block, .sugar-head .html-container { padding: 0 !important; border: 0; overflow: visible; }
.sugar-note { margin: .5rem 0 0; }
.sugar-facts, .sugar-facts th, .sugar-facts td { border: 0 !important; background: none !important; }
.sugar-facts th { text-align: left; font-weight: 500; padding: .15rem 1rem .15rem 0; color: var(--body-text-color-subdued); }
.sugar-facts td { overflow-wrap: anywhere; }
progress { width: 100%; accent-color: var(--color-accent); }
.sugar-intro { color: var(--body-text-color-subdued); }
.sugar-status { font-size: var(--text-sm); color: var(--body-text-color-subdued); }
.sugar-status b { color: var(--body-text-color); font-weight: 600; }
.sugar-note { border-left: 3px solid var(--color-accent); padding: .35rem .75rem; background: var(--background-fill-secondary); }
.sugar-stats { font-size: var(--text-sm); color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; min-height: 1.4em; }
#talk .message img { max-height: 150px; width: auto; border-radius: 4px; }
#talk .bot .message:last-child:not(:first-child) span { font-size: var(--text-xs); color: var(--body-text-color-subdued); }
#talk button[title="Share"] { display: none; }
#talk [data-testid="status-tracker"]:has(.error) { display: none; }
.sugar-heat { overflow-x: auto; }
.sugar-heat :is(table, th, td, tr, thead, caption) { border: 0 !important; }
.sugar-heat table { border-collapse: separate; border-spacing: 3px; font-size: var(--text-sm); }
.sugar-heat caption { text-align: left; color: var(--body-text-color-subdued); padding-bottom: .3rem; }
.sugar-heat th { font-weight: 500; text-align: left; max-width: 14rem; color: var(--body-text-color); }
.sugar-heat thead th { vertical-align: bottom; max-width: 9rem; }
.sugar-heat th img { height: 56px; border-radius: 4px; display: block; }
.sugar-heat tbody td { text-align: center; padding: .5rem .6rem; min-width: 3.2rem; border-radius: 4px; font-variant-numeric: tabular-nums;
  color: var(--body-text-color);
  background: color-mix(in oklab, var(--color-accent) calc(var(--heat) * .62), var(--background-fill-secondary)); }
.sugar-heat td.on-path { outline: 2px solid var(--body-text-color); outline-offset: -2px; font-weight: 700; }
.sugar-bar { display: grid; grid-template-columns: minmax(6rem, 1fr) 2fr 3rem; gap: .6rem; align-items: center; font-size: var(--text-sm); }
.sugar-bar i { height: .55rem; border-radius: 3px;
  background: linear-gradient(to right, var(--color-accent) var(--share), var(--background-fill-secondary) var(--share)); }
.sugar-bar b { font-weight: 500; font-variant-numeric: tabular-nums; }
"""

HEAD = """<meta name="color-scheme" content="light dark"><script>
// Gradio draws some pictures without alternative text: give them some, for those who cannot see them.
const named = new WeakSet();
function name(img) {
  if (named.has(img) || img.alt) return;
  named.add(img);
  const near = img.closest("[aria-label]")?.getAttribute("aria-label");
  img.alt = near && !near.includes("component of type") ? "picture, " + near : "picture";
}
new MutationObserver(() => document.querySelectorAll("img").forEach(name)).observe(document, { childList: true, subtree: true });
</script>"""
