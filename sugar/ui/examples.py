"""The examples of the Search tab, as the loaded model's profile names them.

    for example in search_examples(model.profile): example.name, example.text, example.pictures()

Not covered: drawing the pictures that ship (sugar/commands/assets.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sugar.images import open_image
from sugar.model.checkpoint import Profile
from sugar.ui.text import search as words

__all__ = ["EXAMPLES", "SearchExample", "search_examples"]

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"


@dataclass(frozen=True)
class SearchExample:
    """A search that the loaded model does well. files are relative to assets/."""

    mode: str
    lines: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def text(self) -> str:
        """The words, one part a line."""
        return "\n".join(self.lines)

    @property
    def name(self) -> str:
        """What stands on the example's button."""
        said = self.lines[0] + (" …" if len(self.lines) > 1 else "") if self.lines else ""
        shown = " + ".join(filter(None, [words.EXAMPLE_PICTURE if self.files else "", said]))
        short = shown if len(shown) <= 42 else shown[:40].rstrip() + " …"
        return f"{words.MODES[self.mode]}: {short}" if self.mode != "pictures" else short

    def pictures(self) -> list[Image.Image]:
        """The pictures, before the words."""
        return [open_image(EXAMPLES.parent / file).image for file in self.files]


def search_examples(profile: Profile) -> list[SearchExample]:
    """The examples of a model's profile for the Search tab."""
    modes = {"Pictures": "pictures", "Story": "story", "Every position": "positions"}
    return [
        SearchExample(
            modes.get(example["mode"], example["mode"]),
            tuple(row["text"] for row in example["rows"] if "text" in row),
            tuple(row["file"] for row in example["rows"] if "file" in row),
        )
        for example in profile.examples.get("search", [])
    ]
