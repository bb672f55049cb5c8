"""The examples that ship with Sugar: drawn pictures, and the words that go with them.

    example_picture("scene-0.jpg"), example_words()["story"]

Not covered: drawing them (sugar/commands/assets.py), the cards of the Ask tab (answers.py).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from sugar.errors import InputError
from sugar.images import open_image

__all__ = ["EXAMPLES", "example_picture", "example_words"]

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"


def example_picture(name: str) -> Image.Image:
    return open_image(EXAMPLES / name).image


def example_words() -> dict[str, Any]:
    """The words of words.json. Raises InputError when the examples do not ship with this copy."""
    if not (EXAMPLES / "words.json").is_file():
        raise InputError("The example pictures are missing. Restore assets/examples, or run `python -m sugar assets --only pictures`.")
    return json.loads((EXAMPLES / "words.json").read_text("utf-8"))
