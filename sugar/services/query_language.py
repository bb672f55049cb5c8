"""The language of the search box: free words, and operators for what to exclude and what to look among.

    parse('two dogs -snow "red ball" 2025-08 name:IMG caption:beach has:caption favourite:')

The table of all operators stands in `sugar/retrieval/README.md`, section "What the search box understands".
The parser reads each character once. Whatever is not an operator is a free word, so no text is refused.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

from sugar import place

__all__ = ["ParsedQuery", "Token", "parse", "quote"]

Kind = Literal[
    "word",
    "phrase",
    "exclude",
    "date",
    "name",
    "caption",
    "camera",
    "size",
    "near",
    "has_caption",
    "favourite",
]

_QUOTES = {'"': '"', "\u201c": "\u201d", "\u201e": "\u201c"}
"""Opening mark -> closing mark. A straight mark also ends a curly one: keyboards mix them."""

_OPERATORS: dict[str, Kind] = {
    "name": "name",
    "caption": "caption",
    "camera": "camera",
    "size": "size",
    "near": "near",
}
_FIRST_YEAR = 1826
"""The year of the oldest photograph that survives."""


@dataclass(frozen=True)
class Token:
    """One mark or word of a query.

    Args:
        kind: what it says.
        text: the word, the words of a phrase, the value of a condition.
        start, end: where it stands in the query, in characters.
        negative: whether a minus sign stands in front of a condition that can be turned round.
        after, before: the first and the last day of a date; None where the end is open.
    """

    kind: Kind
    text: str
    start: int
    end: int
    negative: bool = False
    after: date | None = None
    before: date | None = None


@dataclass(frozen=True)
class ParsedQuery:
    """A query as its tokens, and the values that a search takes from them."""

    source: str
    tokens: tuple[Token, ...]

    @property
    def words(self) -> str:
        """The free words and the phrases, in order, without their marks."""
        return " ".join(t.text for t in self.tokens if t.kind in ("word", "phrase"))

    @property
    def lines(self) -> tuple[str, ...]:
        """The same words, one text per line that has any: the parts of an ordered query."""
        lines: list[list[str]] = [[]]
        end = 0
        for token in self.tokens:
            if "\n" in self.source[end : token.start]:
                lines.append([])
            end = token.end
            if token.kind in ("word", "phrase"):
                lines[-1].append(token.text)
        return tuple(" ".join(words) for words in lines if words)

    @property
    def phrases(self) -> tuple[str, ...]:
        """The texts in quotation marks."""
        return self._texts("phrase")

    @property
    def excluded(self) -> tuple[str, ...]:
        """What hits must not show."""
        return self._texts("exclude")

    @property
    def names(self) -> tuple[str, ...]:
        """Parts that the file name must hold."""
        return self._texts("name")

    @property
    def captions(self) -> tuple[str, ...]:
        """Words that the caption must hold."""
        return self._texts("caption")

    @property
    def cameras(self) -> tuple[str, ...]:
        """Parts that the camera's name must hold."""
        return self._texts("camera")

    @property
    def after(self) -> date | None:
        """The first day that the dates allow; of several dates the latest."""
        return max((t.after for t in self.tokens if t.after is not None), default=None)

    @property
    def before(self) -> date | None:
        """The last day that the dates allow; of several dates the earliest."""
        return min((t.before for t in self.tokens if t.before is not None), default=None)

    @property
    def near(self) -> place.Place | None:
        """Where hits must have been taken; of several places the last."""
        places = self._texts("near")
        return place.read(places[-1]) if places else None

    @property
    def min_side(self) -> int:
        """Pixels that the shorter side has at least; 0 without such a condition."""
        return max((int(t.text) for t in self.tokens if t.kind == "size"), default=0)

    @property
    def has_caption(self) -> bool | None:
        """Whether hits must have a caption (True), must not (False), or may (None)."""
        return self._flag("has_caption")

    @property
    def favourite(self) -> bool | None:
        """Whether hits must be favourites (True), must not (False), or may (None)."""
        return self._flag("favourite")

    @property
    def conditions(self) -> tuple[Token, ...]:
        """The tokens that are neither words nor phrases."""
        return tuple(t for t in self.tokens if t.kind not in ("word", "phrase"))

    def without(self, token: Token) -> str:
        """The query's text with one token removed."""
        before, after = self.source[: token.start].rstrip(" "), self.source[token.end :].lstrip(" ")
        return f"{before} {after}".strip()

    def _texts(self, kind: Kind) -> tuple[str, ...]:
        return tuple(t.text for t in self.tokens if t.kind == kind)

    def _flag(self, kind: Kind) -> bool | None:
        stated = [t for t in self.tokens if t.kind == kind]
        return None if not stated else not stated[-1].negative


def parse(text: str, *, today: date | None = None) -> ParsedQuery:
    """Read a query.

    Args:
        text: what a person typed.
        today: years up to this day's are dates, later numbers are words; the current day where left out.
    Returns:
        The tokens in order. Every text has a result; marks that make no sense are free words.
    """
    year = (today or date.today()).year
    return ParsedQuery(text, tuple(_token(text, start, end, year) for start, end in _pieces(text)))


def quote(value: str) -> str:
    """A value as it is written behind an operator: in quotation marks where it holds spaces."""
    plain = value.replace('"', " ").strip()
    return f'"{plain}"' if any(c.isspace() for c in plain) else plain


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """The (start, end) of what spaces separate; spaces between quotation marks separate nothing."""
    at, size = 0, len(text)
    while at < size:
        if text[at].isspace():
            at += 1
            continue
        start, closing = at, ""
        while at < size and (closing or not text[at].isspace()):
            c = text[at]
            if closing:
                if c in (closing, '"'):
                    closing = ""
            elif c in _QUOTES and (at == start or text[at - 1] in "-:"):
                closing = _QUOTES[c]
            at += 1
        yield start, at


def _token(text: str, start: int, end: int, year: int) -> Token:
    piece = text[start:end]
    negative = len(piece) > 1 and piece[0] == "-" and piece[1] not in "-"
    body = piece[1:] if negative else piece
    key, colon, value = body.partition(":")
    name, value = key.casefold(), _unquoted(value)
    if colon and name in ("favourite", "favorite") and not value:
        return Token("favourite", "", start, end, negative)
    if colon and (name, value.casefold()) in (("is", "favourite"), ("is", "favorite")):
        return Token("favourite", "", start, end, negative)
    if colon and (name, value.casefold()) == ("has", "caption"):
        return Token("has_caption", "", start, end, negative)
    if colon and not negative and value and (kind := _OPERATORS.get(name)) is not None:
        if kind not in ("size", "near") or (kind == "near" and place.read(value) is not None):
            return Token(kind, value, start, end)
        if kind == "size" and value.isascii() and value.isdigit() and len(value) <= 6:
            return Token("size", value, start, end)
    days = None if negative else _days(body, year)
    if days is not None:
        return Token("date", body, start, end, after=days[0], before=days[1])
    if negative and (excluded := _unquoted(body)):
        return Token("exclude", excluded, start, end)
    phrase = _unquoted(piece)
    if phrase and phrase != piece:
        return Token("phrase", phrase, start, end)
    return Token("word", piece, start, end)


def _unquoted(value: str) -> str:
    """A value without its quotation marks; a mark that was never closed counts as closed at the end."""
    if value and value[0] in _QUOTES:
        closing = _QUOTES[value[0]]
        value = value[1:-1] if len(value) > 1 and value[-1] in (closing, '"') else value[1:]
    return " ".join(value.split())


def _days(piece: str, year: int) -> tuple[date | None, date | None] | None:
    """The first and last day of a date, or of two dates with `..` between; None for anything else."""
    first, stops, last = piece.partition("..")
    if not stops:
        return _span(piece, year)
    start = _span(first, year) if first else (None, None)
    end = _span(last, year) if last else (None, None)
    if start is None or end is None or not (first or last):
        return None
    return start[0], end[1]


def _span(piece: str, year: int) -> tuple[date, date] | None:
    """The first and the last day of `2025`, `2025-08` or `2025-08-31`; None for anything else."""
    if len(piece) not in (4, 7, 10) or not piece.isascii():
        return None
    parts = piece.split("-")
    if [len(p) for p in parts] != [4, 2, 2][: len(parts)] or not all(p.isdigit() for p in parts):
        return None
    numbers = [int(p) for p in parts]
    if not _FIRST_YEAR <= numbers[0] <= year:
        return None
    if len(numbers) == 1:
        return date(numbers[0], 1, 1), date(numbers[0], 12, 31)
    if not 1 <= numbers[1] <= 12:
        return None
    days = monthrange(numbers[0], numbers[1])[1]
    if len(numbers) == 2:
        return date(numbers[0], numbers[1], 1), date(numbers[0], numbers[1], days)
    if not 1 <= numbers[2] <= days:
        return None
    return date(*numbers), date(*numbers)
