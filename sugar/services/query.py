"""What is searched for: the language of the box, parts with weights, and conditions on the pictures.

    parse('two dogs^2 -snow "red ball" 2025-08 name:IMG caption:beach has:caption favourite:')
    SearchQuery.of_text("two dogs -snow 2025-08")                        # the language of the search box
    SearchQuery.of_text("the same at night", pictures=[photo])           # the picture first, then the words
    SearchQuery.of_text("like [1] but not -[2]", pictures=[one, two])    # pictures by their number
    SearchQuery((QueryPart("a dog", 2.0), QueryPart(photo, -1.0)))       # parts with weights

The table of all operators stands in `sugar/retrieval/README.md`, section "What the search box understands".
The parser reads each character once. Whatever is not an operator is a free word, so no text is refused; of an
operator whose value cannot be read it is said (`Token.problem`).
Not covered: searching (search.py).
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from PIL import Image

from sugar import place, place_names
from sugar.errors import InputError
from sugar.place import Place
from sugar.said_dates import MOST_WORDS, first_said
from sugar.sequence import Sample

if TYPE_CHECKING:
    from sugar.gallery import Filters
    from sugar.retrieval import Term

Operator = Literal["name", "caption", "camera", "size", "near"]
Kind = (
    Operator | Literal["word", "phrase", "picture", "exclude", "date", "has_caption", "favourite", "unread"]
)

_QUOTES = {'"': '"', "\u201c": "\u201d", "\u201e": "\u201c"}
"""Opening mark -> closing mark. A straight mark also ends a curly one: keyboards mix them."""

_OPERATORS: dict[str, Operator] = {name: name for name in get_args(Operator)}
_YES, _NO = ("", "yes", "true", "1"), ("no", "false", "0")
_DATE_LIKE = re.compile(r"(\d{4})-\d{1,2}(-\d{1,2})?")
_REMEDIES = {
    "favourite": "Write favourite: or -favourite: for those that are none.",
    "has": "Write has:caption or -has:caption.",
    "is": "Write is:favourite.",
    "after": "Write after:2024, after:2024-06 or after:2024-06-30.",
    "before": "Write before:2024, before:2024-06 or before:2024-06-30.",
    "near": 'Write near:Vienna, near:"Paris, Texas" or near:48.21,16.37,5km.',
    "size": "Write size:800, in pixels of the shorter side.",
    "date": "There is no such day, or it is written otherwise. Write 2024, 2024-06 or 2024-06-30.",
    "minus": "A minus stands before words: write -IMG to leave out names and captions with IMG.",
}
"""What to write instead of a condition that cannot be read."""
_WEIGHT = re.compile(r"-?([0-9](\.[0-9]{0,3})?|\.[0-9]{1,3})[,;]?")
MAX_WEIGHT = 5.0
_FIRST_YEAR = 1826
"""The year of the oldest photograph that survives."""


@dataclass(frozen=True)
class Token:
    """One mark or word of a query.

    Args:
        kind: what it says.
        text: the word, the words of a phrase, the number of a picture, the value of a condition.
        start, end: where it stands in the query, in characters.
        negative: whether a minus sign stands in front of a condition that can be turned round.
        after, before: the first and the last day of a date; None where the end is open.
        weight: of a word, a phrase, a picture or an exclusion; below 0 it excludes.
        problem: what to write instead, for a condition that cannot be read (`unread`).
    """

    kind: Kind
    text: str
    start: int
    end: int
    negative: bool = False
    after: date | None = None
    before: date | None = None
    weight: float = 1.0
    problem: str = ""


@dataclass(frozen=True)
class Conditions:
    """What hits must fulfil. A field at its default asks nothing.

    Args:
        after, before: the first and last day; a picture without a date does not match.
        name, camera: part of the file name, of the camera's name.
        caption: words that must all be in the caption.
        min_side, max_side: pixels of the shorter side at least, of the longer side at most.
        near: (latitude, longitude, kilometres); a picture without a place does not match.
        favourite, captioned: must (True), must not (False), or may (None).
        excluded: words or phrases; a picture with one of them in its caption or name is left out.
    """

    after: date | None = None
    before: date | None = None
    name: str = ""
    camera: str = ""
    caption: str = ""
    min_side: int = 0
    max_side: int | None = None
    near: Place | None = None
    favourite: bool | None = None
    captioned: bool | None = None
    excluded: tuple[str, ...] = ()

    def filters(self) -> Filters:
        """The same as the gallery's own filters."""
        from sugar.gallery import Filters

        stated = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return Filters(**stated)


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
    def parts(self) -> tuple[tuple[str | int, float], ...]:
        """(words or the number of a picture, weight): first those of weight 1 in order, then the others.

        Words of one line are one part, unless a picture stands between them or they have their own weight.
        """
        together: list[list[str] | int] = [[]]
        weighted: list[tuple[str | int, float]] = []
        end = 0
        for token in self.tokens:
            if "\n" in self.source[end : token.start]:
                together.append([])
            end = token.end
            if token.kind not in ("word", "phrase", "picture", "exclude"):
                continue
            content = int(token.text) if token.kind == "picture" else token.text
            if token.weight != 1:
                weighted.append((content, token.weight))
            elif isinstance(content, int):
                together += [content, []]
            else:
                words = together[-1]
                assert isinstance(words, list)
                words.append(content)
        parts = [" ".join(part) if isinstance(part, list) else part for part in together]
        return (*((part, 1.0) for part in parts if part), *weighted)

    @property
    def conditions(self) -> Conditions:
        """What hits must fulfil: all dates, captions and exclusions, and of other conditions the last one."""
        dates = [t for t in self.tokens if t.kind == "date"]
        texts = {t.kind: t.text for t in self.tokens}
        flags = {t.kind: not t.negative for t in self.tokens if t.kind in ("favourite", "has_caption")}
        return Conditions(
            after=max((t.after for t in dates if t.after is not None), default=None),
            before=min((t.before for t in dates if t.before is not None), default=None),
            name=texts.get("name", ""),
            camera=texts.get("camera", ""),
            caption=" ".join(t.text for t in self.tokens if t.kind == "caption"),
            min_side=max((int(t.text) for t in self.tokens if t.kind == "size"), default=0),
            near=_near(texts["near"]) if "near" in texts else None,
            favourite=flags.get("favourite"),
            captioned=flags.get("has_caption"),
            excluded=tuple(t.text for t in self.tokens if t.kind == "exclude"),
        )

    @property
    def marks(self) -> tuple[Token, ...]:
        """The tokens that are more than words: conditions, exclusions, and words with a weight."""
        plain = ("word", "phrase")
        return tuple(t for t in self.tokens if t.kind != "picture" and (t.kind not in plain or t.weight != 1))

    def without(self, token: Token) -> str:
        """The query's text with one token removed."""
        before, after = self.source[: token.start].rstrip(" "), self.source[token.end :].lstrip(" ")
        return f"{before} {after}".strip()


def parse(text: str, *, pictures: int = 0, today: date | None = None) -> ParsedQuery:
    """Read a query.

    Args:
        text: what a person typed.
        pictures: how many stand beside the words; `[1]` to `[pictures]` name them, other numbers are words.
        today: the day that "last summer" is counted from; years after its are words. The current day where
            left out.
    Returns:
        The tokens in order. Every text has a result; marks that make no sense are free words, and a condition
        that cannot be read is `unread`: no word and no condition, with what to write instead.
    """
    today = today or date.today()
    pieces = list(_pieces(text))
    tokens: list[Token] = []
    at = 0
    while at < len(pieces):
        start, end = pieces[at]
        said = first_said([text[a:b] for a, b in pieces[at : at + MOST_WORDS]], today)
        if said is not None:
            count, (after, before) = said
            end = pieces[at + count - 1][1]
            words = " ".join(text[start:end].split())
            tokens.append(Token("date", words, start, end, after=after, before=before))
        else:
            count = 1
            tokens.append(_token(text, start, end, pictures, today.year))
        at += count
    return ParsedQuery(text, tuple(tokens))


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


def _token(text: str, start: int, end: int, pictures: int, year: int) -> Token:
    piece = text[start:end]
    negative = len(piece) > 1 and piece[0] == "-" and piece[1] not in "-"
    body = piece[1:] if negative else piece
    key, colon, value = body.partition(":")
    name, value = key.casefold(), _unquoted(value)
    if colon and (read := _condition(name, value, negative, year)) is not None:
        return replace(read, start=start, end=end, text=read.text or (body if read.kind == "date" else ""))
    days = None if negative else _days(body, year)
    if days is not None:
        return Token("date", body, start, end, after=days[0], before=days[1])
    like = _DATE_LIKE.fullmatch(body)
    if like and not negative and _FIRST_YEAR <= int(like[1]) <= year and piece.isascii():
        return Token("unread", body, start, end, problem=_REMEDIES["date"])
    stated, weight = _weighted(body)
    if negative:
        weight = -abs(weight)
    number = stated[1:-1] if stated[0] == "[" and stated[-1] == "]" else ""
    if number.isascii() and number.isdigit() and len(number) < 3 and 1 <= int(number) <= pictures:
        return Token("picture", str(int(number)), start, end, weight=weight)
    words = _unquoted(stated)
    if negative and words:
        return Token("exclude", words, start, end, weight=weight)
    if words and words != stated:
        return Token("phrase", words, start, end, weight=weight)
    return Token("word", stated if weight != 1 else piece, start, end, weight=weight)


def _condition(name: str, value: str, negative: bool, year: int) -> Token | None:
    """What `name:value` asks for, read or not; None for a name that is no operator's.

    Without a value the others are words: somebody is still typing.
    """
    name = {"favorite": "favourite"}.get(name, name)
    said = value.casefold()

    def unread(why: str) -> Token:
        minus = "-" if negative else ""
        return Token("unread", f"{minus}{name}:{value}", 0, 0, problem=_REMEDIES[why])

    if name == "favourite" and said in _YES + _NO:
        return Token("favourite", "", 0, 0, negative != (said in _NO))
    if not value:
        return None
    if name == "is":
        marked = said in ("favourite", "favorite")
        return Token("favourite", "", 0, 0, negative) if marked else unread("is")
    if name == "has":
        return Token("has_caption", "", 0, 0, negative) if said == "caption" else unread("has")
    if name in ("after", "before"):
        span = None if negative else _span(value, year)
        if span is None:
            return unread(name)
        ends = {"after": span[0]} if name == "after" else {"before": span[0] - timedelta(days=1)}
        return Token("date", f"{name} {value}", 0, 0, **ends)  # type: ignore[arg-type]
    kind = _OPERATORS.get(name)
    if kind is None:
        return unread("favourite") if name == "favourite" else None
    if negative:
        return unread("minus")
    if kind == "near" and _near(value) is None:
        return unread("near")
    if kind == "size" and not (value.isascii() and value.isdigit() and len(value) <= 6):
        return unread("size")
    return Token(kind, value, 0, 0)


def _near(value: str) -> Place | None:
    """A place in degrees or by the name of a town."""
    return place.read(value) or place_names.find(value)


def _weighted(body: str) -> tuple[str, float]:
    """`dog^2` -> ("dog", 2.0). What is no weight from -5 to 5 other than 0 belongs to the words."""
    stated, _, number = body.rpartition("^")
    if stated and _WEIGHT.fullmatch(number):
        weight = float(number.rstrip(",;"))
        if 0 < abs(weight) <= MAX_WEIGHT:
            return stated, weight
    return body, 1.0


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


_PUNCTUATION = ".,;:!?\"'()[]"


@dataclass(frozen=True, eq=False)
class QueryPart:
    """Words or a picture, and its weight from -5 to 5. A negative weight excludes what the part describes."""

    content: str | Image.Image
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < abs(self.weight) <= MAX_WEIGHT:
            raise InputError(
                f"A weight is {self.weight:g}. Give a number from -5 to 5 other than 0; below 0 excludes."
            )


@dataclass(frozen=True, eq=False)
class SearchQuery:
    """Parts in order, and conditions. Parts of weight 1 are read together; others are terms of their own.

    keywords: words to look up in names, captions and dates; words joined by `_` must stand together.
    unread: conditions that cannot be read, each with what to write instead.
    """

    parts: tuple[QueryPart, ...] = ()
    conditions: Conditions = Conditions()
    keywords: str = ""
    unread: tuple[str, ...] = ()

    @classmethod
    def of_text(
        cls, text: str, *, pictures: Sequence[Image.Image] = (), words_at: int | None = None
    ) -> SearchQuery:
        """Read the search box.

        Args:
            text: in the language of `parse`.
            pictures: pictures beside the words, in order.
            words_at: how many of the pictures stand before the words; all of them where left out. A picture
                that the text names stands where it is named.
        """
        parsed = parse(text, pictures=len(pictures))
        at = len(pictures) if words_at is None else max(0, min(words_at, len(pictures)))
        named = {content for content, _ in parsed.parts if isinstance(content, int)}
        before, after = (
            [QueryPart(pictures[i]) for i in places if i + 1 not in named]
            for places in (range(at), range(at, len(pictures)))
        )
        said = [QueryPart(pictures[c - 1] if isinstance(c, int) else c, w) for c, w in parsed.parts]
        wanted = [t.text for t in parsed.tokens if t.kind in ("word", "phrase") and t.weight > 0]
        # words beside a picture ask for a change; captions do not hold them
        keywords = "" if pictures else " ".join("_".join(words.split()) for words in wanted)
        unread = tuple(
            f"{t.text} is not understood. {t.problem}" for t in parsed.tokens if t.kind == "unread"
        )
        return cls((*before, *said, *after), parsed.conditions, keywords, unread)

    @property
    def texts(self) -> list[str]:
        """The words of the parts that are wanted."""
        return [p.content for p in self.parts if isinstance(p.content, str) and p.weight > 0]

    def sample(self) -> Sample:
        """All parts as one sample."""
        return Sample([p.content for p in self.parts])

    def terms(self) -> list[Term]:
        """The parts as the terms of a search."""
        from sugar.retrieval import Term  # brings torch: not when the page is built

        together = [p.content for p in self.parts if p.weight == 1]
        terms = [Term(Sample(together))] if together else []
        return terms + [Term(Sample(p.content), p.weight) for p in self.parts if p.weight != 1]

    def known_to(self, model: Any) -> tuple[SearchQuery, tuple[str, ...]]:
        """The query without the words that the model does not know, and those words, each once.

        model: has `unknown_words(text)`, the words of a text (as spaces separate them) that it does not know.
        """
        parts: list[QueryPart] = []
        unknown: dict[str, None] = {}
        for part in self.parts:
            if isinstance(part.content, str) and (strange := set(model.unknown_words(part.content))):
                words = part.content.split()
                unknown |= {w.strip(_PUNCTUATION): None for w in words if w in strange}
                left = " ".join(w for w in words if w not in strange)
                parts += [replace(part, content=left)] if left else []
            else:
                parts.append(part)
        return replace(self, parts=tuple(parts)), tuple(unknown)


def parts_of(text: str) -> list[QueryPart]:
    """The parts of `a red star, dog^2, -night`: commas separate them, weights are written as in the box."""
    parts = []
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        words, weight = _weighted(piece.removeprefix("-"))
        if words.strip():
            parts.append(QueryPart(words.strip(), -abs(weight) if piece.startswith("-") else weight))
    return parts


def day(value: Any, what: str = "The date") -> date | None:
    """`2025-01-31` -> a date; an empty value -> None. Raises InputError."""
    if value in (None, ""):
        return None
    try:
        return date.fromisoformat(str(value).strip())
    except ValueError:
        raise InputError(f"{what} {str(value)[:40]!r} is not a day. Write it as 2025-01-31.") from None
