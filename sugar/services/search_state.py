"""What the search keeps for one visitor: the pictures beside the words, and the last result."""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image

from sugar.errors import InputError
from sugar.sequence import Hit
from sugar.services.search_request import SearchResult

__all__ = ["SearchDraft", "SearchState"]


@dataclass
class SearchDraft:
    """The ordered parts of the search box: pictures, and None where the words stand."""

    parts: list[Image.Image | None] = field(default_factory=lambda: [None])

    @property
    def pictures(self) -> list[Image.Image]:
        """The pictures, in order."""
        return [p for p in self.parts if p is not None]

    @property
    def words_at(self) -> int:
        """How many pictures stand before the words."""
        return self.parts.index(None)

    def add(self, picture: Image.Image, most: int) -> None:
        """Put a picture before the words. Raises InputError when there are `most` parts already."""
        if len(self.parts) >= most:
            raise InputError(f"A query has {most} parts at most. Remove some.")
        self.parts.insert(self.words_at, picture)

    def remove(self, number: int) -> None:
        """Take part `number` away when it is a picture."""
        if 0 <= number < len(self.parts) and self.parts[number] is not None:
            del self.parts[number]

    def move(self, number: int, to: int) -> None:
        """Put part `number` at the place `to`; places outside the list change nothing."""
        if 0 <= number < len(self.parts) and 0 <= to < len(self.parts):
            self.parts.insert(to, self.parts.pop(number))

    def fill(self, pictures: list[Image.Image]) -> None:
        """Start again with these pictures before the words."""
        self.parts = [*pictures, None]


@dataclass
class SearchState:
    """What is kept for one visitor.

    Args:
        result: the last one.
        opened: the hit that is open, and which of its pictures.
        selected: places in `result.shown`.
        draft: the query's pictures.
        gallery: where the next query of another tab is to be searched; "" for the one that is chosen.
    """

    result: SearchResult | None = None
    opened: tuple[Hit, int] | None = None
    selected: list[int] = field(default_factory=list)
    draft: SearchDraft = field(default_factory=SearchDraft)
    gallery: str = ""

    def found(self, result: SearchResult | None) -> None:
        """Keep a new result; what was open or selected belonged to the one before."""
        self.result, self.opened, self.selected = result, None, []

    def at(self, place: int) -> tuple[Hit, int]:
        """The (hit, picture) at a place of the last result. Raises InputError when there is none."""
        shown = self.shown().shown
        if not 0 <= place < len(shown):
            raise InputError("That picture is no longer on the page. Search again.")
        return shown[place]

    def shown(self) -> SearchResult:
        """The last result. Raises InputError when there is none."""
        if self.result is None:
            raise InputError("These results are no longer kept. Search again.")
        return self.result

    def open_hit(self) -> tuple[Hit, int]:
        """The (hit, picture) that is open. Raises InputError when none is."""
        if self.opened is None:
            raise InputError("Open a hit first.")
        return self.opened
