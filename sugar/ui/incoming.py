"""What comes from the page, checked on the server: every handler can be called raw.

InputError says what is wrong.

    text(value, settings), number(value, 0, 1, "The share")        # a clean text, a finite number
    picture(path, settings), read_upload(file, settings)  # only uploads: files inside the app's own cache
    parts(message, settings)  # a message -> its texts and pictures, in order

Not covered: the components that hand it over (components.py), conversations (conversation.py).
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from gradio.context import LocalContext
from PIL import Image

from sugar.errors import ImageError, InputError
from sugar.images import GALLERY_ITEM, SUFFIXES, ImageLimits, open_image
from sugar.settings import Settings
from sugar.ui.cache import private_files

__all__ = ["MAX_SIDE", "in_cache", "number", "parts", "picture", "read_upload", "read_uploads", "text"]

MAX_SIDE = 1024
"""Pixels on the longer side of any picture that a model sees or a page shows."""

AT_ONCE = 4
"""How many files of the largest size may be read at once."""

_MARK = re.compile(r"\[(\d{1,3})\]")


def text(value: Any, settings: Settings, *, what: str = "text", required: bool = True) -> str:
    """A text from the page, without control characters.

    Raises InputError: not a text, too long, or empty where required.
    """
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise InputError(f"The {what} is a {type(value).__name__}; it must be a text.")
    if len(value) > settings.max_text:
        raise InputError(
            f"The {what} has {len(value)} characters; {settings.max_text} is the limit. Shorten it."
        )
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
    """A picture that a component handed over: a file in the app's cache (Gradio has checked that it is an
    upload), or pixels.

    Components use `type="filepath"`, so that sugar/images.py is the only decoder. Raises ImageError,
    InputError.
    """
    if isinstance(value, dict):
        value = value.get("path")
    if isinstance(value, Image.Image):
        return value
    if not isinstance(value, (str, Path)):
        raise InputError("There is no picture. Choose a picture file.")
    if not in_cache(value):
        raise InputError("This picture is not an upload of yours. Send the file itself.")
    opened = open_image(
        value, limits=ImageLimits(max_bytes=settings.max_upload_mb * 1_000_000), max_side=MAX_SIDE
    )
    _forget_original(Path(value), opened.image)
    return opened.image


def _forget_original(path: Path, image: Image.Image) -> None:
    """Put the picture as it is used, without metadata, in the place of the upload: the page still shows the
    file. A file that shows a gallery picture marks the image with it.
    """
    files = private_files()
    found = files.inside(path)
    if found is not None and (items := files.items(found)):
        image.info[GALLERY_ITEM] = items[0]
    elif found is not None and not files.is_clean(found):
        clean = io.BytesIO()
        image.save(clean, "PNG")
        files.replace(found, clean.getvalue())


def read_upload(value: Any, settings: Settings) -> bytes:
    """The bytes of an uploaded file of any kind. A picture among them loses its metadata, as one that is
    used: a clean copy takes its place.

    Raises InputError: none, not an upload, too large.
    """
    path = _path_of(value)
    if not isinstance(path, (str, Path)) or not in_cache(path):
        raise InputError("There is no file. Choose one.")
    if Path(path).stat().st_size > settings.max_upload_mb * 1_000_000:
        raise InputError(f"The file is larger than {settings.max_upload_mb} MB. Send a smaller one.")
    data = Path(path).read_bytes()
    try:
        picture(path, settings)
    except ImageError:  # no picture, or one that cannot be cleaned
        files = private_files()
        if Path(path).suffix.lower() in SUFFIXES and (found := files.inside(path)) is not None:
            files.replace(found, b"")
    return data


def read_uploads(values: Any, settings: Settings, most: int) -> list[tuple[str, bytes]]:
    """(own name, bytes) of uploaded files: each path once, counted and weighed before any is read.

    Raises InputError: more than `most` files, too many bytes together, or what `read_upload` raises.
    """
    given = values if isinstance(values, list) else [values]
    if len(given) > 2 * most:
        raise InputError(f"{len(given)} files were sent at once; {most} is the limit. Send fewer.")
    files = {str(_path_of(f)): f for f in given if f}
    if len(files) > most:
        raise InputError(f"{len(files)} files were sent at once; {most} is the limit. Send fewer.")
    size = sum(Path(path).stat().st_size for path in files if in_cache(path))
    if size > AT_ONCE * settings.max_upload_mb * 1_000_000:
        raise InputError(
            f"The files have {size // 1_000_000} MB together; {AT_ONCE * settings.max_upload_mb} MB is the "
            "limit. Send them in parts."
        )
    return [(_own_name(f), read_upload(f, settings)) for f in files.values()]


def _path_of(value: Any) -> Any:
    return value.get("path") if isinstance(value, dict) else value


def _own_name(file: Any) -> str:
    """An upload's own name, the last part only."""
    given = file.get("orig_name") or file.get("path") if isinstance(file, dict) else file
    return Path(str(given)).name


def in_cache(path: str | Path) -> bool:
    """Whether the asker may have the file: it lies in the app's cache, and is no other visitor's."""
    from gradio.utils import get_upload_folder

    try:
        found = Path(path).resolve()
        if not found.is_relative_to(Path(get_upload_folder()).resolve()) or not found.is_file():
            return False
    except (OSError, ValueError):
        return False
    page = LocalContext.blocks.get(None)  # set by Gradio around every event, as the request is
    app = getattr(page, "app_context", None)
    if app is None or app.visitors.files.inside(found) is None:
        return True
    return app.visitors.files.readable(found, app.visitors.behind(LocalContext.request.get(None)))


def parts(message: Any, settings: Settings) -> list[str | Image.Image]:
    """The texts and pictures of a MultimodalTextbox message, in order.

    "[2]" in the text stands for the second picture; pictures that the text does not name come first. Raises
    InputError, ImageError.
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
