"""The language of the search box: what each mark means, and that no text breaks or slows the parser."""

from __future__ import annotations

import random
from datetime import date

import pytest

from sugar.errors import InputError
from sugar.services.query import Conditions, SearchQuery, parse, parts_of
from sugar.services.search import SearchDraft, SearchRequest
from sugar.ui.search_box import chips_html

TODAY = date(2026, 11, 25)


def read(text: str):
    return parse(text, today=TODAY)


def test_a_whole_query() -> None:
    query = read(
        'two dogs -snow "red ball" 2025-08 name:IMG_20 caption:"at the beach" size:800 has:caption favourite:'
    )
    assert query.words == "two dogs red ball"
    assert query.conditions.excluded == ("snow",)
    assert (query.conditions.after, query.conditions.before) == (date(2025, 8, 1), date(2025, 8, 31))
    assert query.conditions.name == "IMG_20" and query.conditions.caption == "at the beach"
    assert (
        query.conditions.min_side == 800
        and query.conditions.captioned is True
        and query.conditions.favourite is True
    )


@pytest.mark.parametrize(
    "text, after, before",
    [
        ("2025", date(2025, 1, 1), date(2025, 12, 31)),
        ("2024-02", date(2024, 2, 1), date(2024, 2, 29)),
        ("2024-02-29", date(2024, 2, 29), date(2024, 2, 29)),
        ("2025-06..2025-08", date(2025, 6, 1), date(2025, 8, 31)),
        ("2025-06..", date(2025, 6, 1), None),
        ("..2025", None, date(2025, 12, 31)),
        ("2025 2025-08", date(2025, 8, 1), date(2025, 8, 31)),
    ],
)
def test_dates(text: str, after: date | None, before: date | None) -> None:
    assert (read(text).conditions.after, read(text).conditions.before, read(text).words) == (
        after,
        before,
        "",
    )


@pytest.mark.parametrize(
    "text, after, before",
    [
        ("last summer", date(2026, 6, 1), date(2026, 8, 31)),
        ("summer of 2019", date(2019, 6, 1), date(2019, 8, 31)),
        ("winter 2023", date(2023, 12, 1), date(2024, 2, 29)),
        ("last winter", date(2025, 12, 1), date(2026, 2, 28)),
        ("Christmas 2023", date(2023, 12, 24), date(2023, 12, 26)),
        ("last christmas", date(2025, 12, 24), date(2025, 12, 26)),
        ("new year\u2019s eve 2024", date(2024, 12, 31), date(2024, 12, 31)),
        ("easter 2024", date(2024, 3, 29), date(2024, 4, 1)),
        ("thanksgiving 2024", date(2024, 11, 28), date(2024, 12, 1)),
        ("in May 2019", date(2019, 5, 1), date(2019, 5, 31)),
        ("last November", date(2025, 11, 1), date(2025, 11, 30)),
        ("this november", date(2026, 11, 1), date(2026, 11, 30)),
        ("5 May 2019", date(2019, 5, 5), date(2019, 5, 5)),
        ("may 5th, 2019", date(2019, 5, 5), date(2019, 5, 5)),
        ("yesterday", date(2026, 11, 24), date(2026, 11, 24)),
        ("last week", date(2026, 11, 16), date(2026, 11, 22)),
        ("last weekend", date(2026, 11, 21), date(2026, 11, 22)),
        ("last month", date(2026, 10, 1), date(2026, 10, 31)),
        ("from last year", date(2025, 1, 1), date(2025, 12, 31)),
        ("two years ago", date(2024, 1, 1), date(2024, 12, 31)),
        ("3 weeks ago", date(2026, 11, 2), date(2026, 11, 8)),
    ],
)
def test_dates_as_people_say_them(text: str, after: date, before: date) -> None:
    query = read(f"dogs {text} snow")
    assert (query.conditions.after, query.conditions.before, query.words) == (after, before, "dogs snow")
    (chip,) = query.marks
    assert chip.text == text and query.without(chip) == "dogs snow"


@pytest.mark.parametrize(
    "text",
    [
        "the last supper",
        "may",
        "christmas",
        "a fall 2041",
        "31 may",
        "this man",
        '"last summer"',
        "-today",
    ],
)
def test_what_only_sounds_like_a_date_stays_words(text: str) -> None:
    assert read(text).conditions == Conditions(excluded=("today",) if text == "-today" else ())


NO_MARKS = """2041 1234 20250 .. 10:30 http://a.b/c - -- --x name: size: 2041-13
colour:red a-b 5\u00b2 \u0662\u0660\u0662\u0665"""


@pytest.mark.parametrize("text", NO_MARKS.split())
def test_what_is_no_mark_is_a_free_word(text: str) -> None:
    query = read(text)
    assert query.words == text and query.marks == ()


def test_a_list_of_parts_with_weights() -> None:
    parts = parts_of(" a red star, dog^2.5 , -night,-snow^.5, - , ,x^y ")
    assert [(p.content, p.weight) for p in parts] == [
        ("a red star", 1),
        ("dog", 2.5),
        ("night", -1),
        ("snow", -0.5),
        ("x^y", 1),
    ]


def test_minus_signs() -> None:
    query = read('-snow -"red car" -has:caption -favourite: -2025 well-known -name:x')
    assert query.conditions.excluded == ("snow", "red car", "2025") and query.words == "well-known"
    assert query.conditions.captioned is False and query.conditions.favourite is False


def test_quotation_marks() -> None:
    def phrases(text: str) -> list[str]:
        return [token.text for token in read(text).tokens if token.kind == "phrase"]

    assert phrases('"never closed words') == ["never closed words"]
    assert phrases("\u201ccurly marks\u201d and \u201egerman ones\u201c") == ["curly marks", "german ones"]
    assert read('5" screen').words == '5" screen' and read('""').words == '""'
    assert read('caption:"two words').conditions.caption == "two words"


def test_a_token_can_be_taken_away() -> None:
    query = read('dogs 2025-08   name:"a b" -snow')
    texts = [query.without(token) for token in query.marks]
    assert [" ".join(t.split()) for t in texts] == [
        'dogs name:"a b" -snow',
        "dogs 2025-08 -snow",
        'dogs 2025-08 name:"a b"',
    ]


def test_lines_are_the_parts_of_an_ordered_query() -> None:
    query = read('we arrived\n\n-snow 2025\n"it got" dark -night\nthe end')
    assert [part for part, weight in query.parts if weight == 1] == ["we arrived", "it got dark", "the end"]
    assert query.words == "we arrived it got dark the end" and read("").parts == ()


@pytest.mark.parametrize(
    "text, parts, marks",
    [
        ("red ball dog^2 -night", [("red ball", 1), ("dog", 2), ("night", -1)], ["dog", "night"]),
        ('"two dogs"^.5 night^-1 -snow^2', [("two dogs", 0.5), ("night", -1), ("snow", -2)], None),
        ("a star, dog^2, sea", [("a star, sea", 1), ("dog", 2)], ["dog"]),
        ("like [2] at night -[1]^2", [("like", 1), (2, 1), ("at night", 1), (1, -2)], []),
        ("a^0 b^6 ^2 c^ d^x [3] [0]", [("a^0 b^6 ^2 c^ d^x [3] [0]", 1)], []),
        ("-[3] 2024^2 name:a^2", [("[3]", -1), ("2024", 2)], ["[3]", "2024", "a^2"]),
    ],
)
def test_weights_and_numbers_of_pictures(text: str, parts: list, marks: list[str] | None) -> None:
    query = parse(text, pictures=2, today=TODAY)
    assert sorted(query.parts, key=str) == sorted(parts, key=str)
    assert marks is None or [token.text for token in query.marks] == marks


def test_any_text_is_read_and_every_character_belongs_to_one_token() -> None:
    """Fuzzed: 3,000 texts of marks, letters and foreign characters."""
    rng = random.Random(7)
    alphabet = [*'"-:. \n20a', "\u201c", "\u201d", "\u201e", "name:", "has:caption"]
    alphabet += ["2025-08", "..", "\u0130", "\U0001f436", "\u0301", "\x00", "size:", "favourite:", "^", "'"]
    for _ in range(3000):
        text = "".join(rng.choice(alphabet) for _ in range(rng.randrange(30)))
        query = read(text)
        at = 0
        for token in query.tokens:
            assert not text[at : token.start].strip() and token.start < token.end
            at = token.end
        assert not text[at:].strip()
        for token in query.tokens:
            assert len(read(query.without(token)).source) <= len(text)


def test_work_grows_with_the_length_only() -> None:
    """Each character is read a fixed number of times: counted, not timed."""

    class Counted(str):
        looks = 0

        def __getitem__(self, at):  # type: ignore[override]
            Counted.looks += 1
            return str.__getitem__(self, at)

    for shape in ('"', "-", 'a"', ' "a', "name:", "2025-", "-\u201c"):
        looks = []
        for size in (500, 1000):
            Counted.looks = 0
            parse(Counted(shape * size), today=TODAY)
            looks.append(Counted.looks)
        assert looks[1] <= 2.2 * looks[0] + 50


def test_a_place_is_a_condition_and_anything_else_behind_near_is_none() -> None:
    query = parse("dogs near:48.21,16.37,5km")
    assert query.words == "dogs" and query.conditions.near == (48.21, 16.37, 5.0)
    assert query.without(query.marks[0]) == "dogs"
    for text in ("near:", "near:95,0", "near:nowhereville", "near:1,2,3,4", "near:1e9,2", "near:1,2,-5"):
        assert parse(text).conditions.near is None
        assert bool(parse(text).words) == (text == "near:"), "half typed is a word, wrong is said"


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("near:Nowhereville", "near:48.21"),
        ("near:95,0", "near:48.21"),
        ("size:large", "size:800"),
        ("2025-8", "2024-06"),
        ("size:9999999", "size:800"),
        ("2024-13", "no such day"),
        ("2024-02-31", "no such day"),
        ("-name:IMG", "-IMG"),
        ("favourite:maybe", "favourite:"),
        ("has:dog", "has:caption"),
        ("is:red", "is:favourite"),
        ("after:june", "after:2024-06"),
        ("-before:2024", "before:2024"),
        ("before:2024-99", "before:2024"),
    ],
)
def test_a_condition_that_cannot_be_read_says_so_and_is_no_word(text: str, remedy: str) -> None:
    parsed = parse(f"dogs {text}")
    [token] = parsed.marks
    assert (token.kind, token.text) == ("unread", text) and remedy in token.problem
    assert parsed.words == "dogs" and parsed.conditions == Conditions() and parsed.without(token) == "dogs"
    query = SearchQuery.of_text(f"dogs {text}")
    assert query.keywords == "dogs" and remedy in query.unread[0]
    assert 'sugar-unread" role="alert"' in chips_html(SearchDraft(), f"dogs {text}")
    with pytest.raises(InputError, match="is not understood"):
        SearchRequest(SearchQuery.of_text(text), "mine")


def test_more_ways_to_write_a_condition() -> None:
    today = date(2026, 12, 1)

    def of(text: str) -> Conditions:
        return parse(text, today=today).conditions

    assert of("favourite:yes").favourite is True and of("favourite:no").favourite is False
    assert of("-favorite:yes").favourite is False and of("is:favourite").favourite is True
    assert of("after:2024") == Conditions(after=date(2024, 1, 1))
    assert of("before:2024-03") == Conditions(before=date(2024, 2, 29))
    assert of("after:2024-06 before:2025") == Conditions(after=date(2024, 6, 1), before=date(2024, 12, 31))
    for words in ("10:30", "http://x.org", "near:", "note:this", "1234-56-78"):
        assert parse(words, today=today).words == words, "no operator: words"
