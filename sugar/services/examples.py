"""The examples that a model's profile offers for a tab: words, and pictures of `assets/`.

for example in examples(models.peek(), "chat"): example.texts, example.pictures()
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from sugar.images import open_image

ASSETS = Path(__file__).resolve().parents[2] / "assets"

MODES = {"Pictures": "pictures", "Story": "story", "Every position": "positions"}
"""How profiles name a search's mode, and what it is called here."""


@dataclass(frozen=True)
class Example:
    """What one press fills in.

    Attributes:
        texts: a question, captions, or the parts of a search.
        files: its pictures, relative to `assets/`.
        mode: of a search.
    """

    texts: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    mode: str = ""

    @property
    def text(self) -> str:
        """Its texts, one a line."""
        return "\n".join(self.texts)

    @property
    def paths(self) -> list[Path]:
        """Where its pictures lie."""
        return [(ASSETS / name).resolve() for name in self.files]

    def pictures(self) -> list[Image.Image]:
        """Its pictures, opened."""
        return [open_image(path).image for path in self.paths]


def examples(model: Any, tab: str) -> list[Example]:
    """What a tab offers for the loaded model; nothing while there is none.

    An example whose files are missing, or lie outside `assets/`, is left out.
    """
    stated: list[dict[str, Any]] = model.profile.examples.get(tab, []) if model is not None else []
    read = [_read(told) for told in stated]
    return [e for e in read if all(path.is_file() and path.is_relative_to(ASSETS) for path in e.paths)]


def _read(told: dict[str, Any]) -> Example:
    rows = told.get("rows", [told])  # of a search: one part a row
    texts = told.get("captions") or [row["text"] for row in rows if "text" in row]
    files = told.get("files") or [row["file"] for row in rows if "file" in row]
    mode = str(told.get("mode", ""))
    return Example(tuple(texts), tuple(files), MODES.get(mode, mode))
