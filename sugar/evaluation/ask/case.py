"""One question about one knowledge base, and the base itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from sugar.passages import Passage

__all__ = ["Base", "Case"]


@dataclass(frozen=True)
class Case:
    """A question. answer: the words that a right answer holds; "" where the base holds none.

    group: the row of the table. sources: names of passages or pictures that hold the answer.
    """

    group: str
    question: str
    answer: str = ""
    sources: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Base:
    """Passages or captioned pictures, and the questions about them.

    pictures: (name, picture, caption), put into a gallery of the app. passages: notes that were read.
    """

    cases: Sequence[Case]
    passages: Sequence[Passage] = ()
    pictures: Sequence[tuple[str, Image.Image, str]] = field(default_factory=list)

    def gallery(self, folder: Path, model: Any) -> Any:
        """A gallery of the pictures in a new folder, or None where there are none."""
        if not self.pictures:
            return None
        from sugar.gallery import Gallery
        from sugar.images import thumbnail

        gallery = Gallery.create(folder, model)
        files = [(name, thumbnail(image, 512, quality=95)) for name, image, _ in self.pictures]
        gallery.add(files, captions={name: caption for name, _, caption in self.pictures})
        return gallery
