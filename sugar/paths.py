"""Is this text a path here? The one place where what people write is tried as a path.

    existing("~/Pictures")                    # its Path, or None where there is nothing
    there("~/Pictures", "--data")             # the same, or a SettingsError that names what was given
    output_folder("runs/mine", "--out")       # made where it is missing, and writable
    shown("x" * 5000)                         # a text for a message: short, in quotes, printable

No text ends in OSError, ValueError or RuntimeError: too long, NUL, `~nobody`, links in a circle, a file for a
folder. Read too: quotes, blanks and file:// as they come with a path that was dropped or copied, backslashes,
both Unicode forms of a name. Not covered: addresses (ui/incoming.py), which paths a visitor may name.
"""

from __future__ import annotations

import os
import re
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from sugar.errors import SettingsError

PathText = str | os.PathLike


def existing(text: PathText) -> Path | None:
    """The path that a text names, where there is something; None for any other text."""
    for reading in _readings(text) if isinstance(text, str) else [os.fspath(text)]:
        try:
            path = Path(reading).expanduser()
        except RuntimeError:  # ~ of nobody
            path = Path(reading)
        try:
            os.stat(path)
        except (OSError, ValueError):
            continue
        return path
    return None


def missing(text: PathText, what: str = "file or folder") -> str:
    """A sentence: why `existing` finds nothing. what: what was asked for."""
    given, why = os.fspath(text).strip(), ""
    try:
        os.stat(Path(given).expanduser())
    except (ValueError, RuntimeError, FileNotFoundError):
        pass
    except OSError as error:
        why = f" ({error.strerror})"
    if os.name != "nt" and re.match(r"[A-Za-z]:[\\/]", given):
        why = " (a path of Windows, and this is another system)"
    return f"There is no {what} {shown(given)} on this machine{why}."


def there(text: PathText, what: str) -> Path:
    """The path that a flag names. Raises SettingsError where there is nothing."""
    path = existing(text)
    if path is None:
        raise SettingsError(f"{what}: {missing(text)} Check the name, or write its full path.")
    return path


def wanted(text: PathText, what: str) -> Path:
    """A path that need not be there yet. Raises SettingsError for a text that cannot be one."""
    given = os.fspath(text)
    try:
        if not given.strip() or "\0" in given:
            raise ValueError
        os.fsencode(given)
        return Path(given).expanduser()
    except (ValueError, RuntimeError):
        raise SettingsError(
            f"{what} is {shown(given)}, which cannot be a path. Write its full path."
        ) from None


def output_folder(text: PathText, what: str) -> Path:
    """A folder that can be written to, made where it is missing. Raises SettingsError with the cause."""
    path = wanted(text, what)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (FileExistsError, NotADirectoryError):
        why = "a file of that name is in the way"
    except OSError as error:
        why = error.strerror or str(error)
    else:
        return path
    raise SettingsError(
        f"{what} is {shown(text)}, which cannot be used as a folder ({why}). Name another folder."
    )


def output_file(text: PathText, what: str) -> Path:
    """A file that can be written, in a folder that is made where it is missing. Raises SettingsError."""
    path = wanted(text, what)
    output_folder(path.parent, f"The folder of {what}")
    if path.is_dir():
        raise SettingsError(f"{what} is {shown(text)}, which is a folder. Name a file.")
    return path


def shown(text: PathText, most: int = 100) -> str:
    """A text in quotes, on one line, at most about `most` characters of it.

    >>> shown("a" * 300, 10), shown("two\\nlines")
    ("'aaaaa...aaaaa'", "'two\\\\nlines'")
    """
    given = os.fspath(text)
    if len(given) > most:
        given = f"{given[: most // 2]}...{given[-(most // 2) :]}"
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in given)
    return f"'{plain}'"


def _readings(given: str) -> Iterator[str]:
    """What a text may mean as a path, the plainest first."""
    bare = given.strip().strip("\"'“”‘’").strip()
    if not bare:
        return
    tried = [given, bare]
    if bare.startswith("file:"):
        from urllib.request import url2pathname

        tried.append(url2pathname(re.sub(r"^file:(//(localhost)?(?=/))?", "", bare)))
    if os.name != "nt" and "\\" in bare:  # a terminal's "My\ Pictures", a Windows "photos\2024"
        tried += [bare.replace("\\ ", " "), bare.replace("\\", "/")]
    for text in dict.fromkeys(tried):
        yield text
        yield from {unicodedata.normalize(form, text) for form in ("NFC", "NFD")} - {text}
