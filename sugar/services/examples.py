"""The examples that a model's profile offers, for each tab: files of `assets/` and words.

    for example in chat_examples(model.profile): example.text, example.pictures()

Not covered: the examples of Search and of Ask, which those services read themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from sugar.errors import InputError
from sugar.images import open_image
from sugar.model.checkpoint import Profile

__all__ = ["ASSETS", "ChatExample", "CompareExample", "chat_examples", "compare_examples", "example_path"]

ASSETS = Path(__file__).resolve().parents[2] / "assets"


def example_path(name: str) -> Path:
    """A file of `assets/`. Raises InputError when it is not there, or lies elsewhere."""
    path = (ASSETS / name).resolve()
    if not path.is_relative_to(ASSETS) or not path.is_file():
        raise InputError(f"The example file {name!r} is missing. Restore the folder assets/.")
    return path


@dataclass(frozen=True)
class ChatExample:
    """Pictures, and what is asked about them."""

    files: tuple[str, ...]
    text: str

    def pictures(self) -> list[Image.Image]:
        """The pictures, opened. Raises InputError when one is missing."""
        return [open_image(example_path(name)).image for name in self.files]


@dataclass(frozen=True)
class CompareExample:
    """Pictures and captions to compare; without captions, two pictures whose difference is asked."""

    files: tuple[str, ...]
    captions: tuple[str, ...]

    def pictures(self) -> list[Image.Image]:
        """The pictures, opened. Raises InputError when one is missing."""
        return [open_image(example_path(name)).image for name in self.files]


def chat_examples(profile: Profile) -> list[ChatExample]:
    """What the tab Chat offers for this model; examples whose files are missing are left out."""
    made = [ChatExample(tuple(e.get("files", ())), str(e["text"])) for e in profile.examples.get("chat", [])]
    return [example for example in made if _there(example.files)]


def compare_examples(profile: Profile) -> list[CompareExample]:
    """What the tab Tell apart offers for this model; examples whose files are missing are left out."""
    stated: list[dict[str, Any]] = profile.examples.get("compare", [])
    made = [CompareExample(tuple(e["files"]), tuple(e.get("captions", ()))) for e in stated]
    return [example for example in made if _there(example.files)]


def _there(files: tuple[str, ...]) -> bool:
    paths = [(ASSETS / name).resolve() for name in files]
    return all(path.is_file() and path.is_relative_to(ASSETS) for path in paths)
