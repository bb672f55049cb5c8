"""The search service without a page: queries, modes, conditions, confirmation, explanations."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pictures import encoded
from PIL import Image
from toy import ToyModel

from sugar.errors import InputError
from sugar.gallery import Gallery
from sugar.images import GALLERY_ITEM
from sugar.model.checkpoint import Profile
from sugar.services.query import QueryPart, SearchQuery, day
from sugar.services.search import (
    AGAIN,
    SearchDraft,
    SearchRequest,
    SearchService,
    SearchState,
    item_of,
)
from sugar.settings import Settings
from sugar.ui.photos_drawing import notes_of, result_sections

COLOURS = {
    "red": (250, 20, 30),
    "green": (20, 240, 30),
    "blue": (20, 30, 240),
    "dark red": (110, 5, 5),
    "purple": (200, 20, 200),
}


def solid(colour: str) -> Image.Image:
    return Image.new("RGB", (32, 24), COLOURS[colour])


class State:
    """What a visitor keeps: one instance a class."""

    def __init__(self) -> None:
        self.kept: dict[type, Any] = {}

    def of(self, kind: type) -> Any:
        return self.kept.setdefault(kind, kind())


class Workspace:
    """One gallery and one toy model."""

    settings = Settings()

    def __init__(self, gallery: Gallery, model: ToyModel) -> None:
        self.held, self.toy = gallery, model

    def model(self) -> ToyModel:
        return self.toy

    def gallery(self, visitor: Any, name: str) -> Gallery:
        assert name == "g"
        return self.held


@pytest.fixture
def service(tmp_path):
    model = ToyModel()
    folder = tmp_path / "in"
    folder.mkdir()
    rows = []
    for number, colour in enumerate(COLOURS):
        (folder / f"{colour}.png").write_bytes(encoded(solid(colour)))
        taken = datetime(2024, 5, 1, 12) + timedelta(days=number)
        rows.append(f'{{"file": "{colour}.png", "taken": "{taken.isoformat()}"}}')
    (folder / "captions.jsonl").write_text("\n".join(rows))
    with Gallery.create(tmp_path / "g", model) as gallery:
        gallery.add(folder)
        yield SearchService(Workspace(gallery, model))


@pytest.fixture
def visitor():
    return SimpleNamespace(state=State())


def ask(text: str, pictures: Any = (), **options: Any) -> SearchRequest:
    return SearchRequest(SearchQuery.of_text(text, pictures=pictures), "g", **options)


def names(hits) -> list[str]:
    return [h.name.removesuffix(".png") for h in hits]


def test_words_conditions_and_exclusions(service, visitor) -> None:
    assert names(service.search(visitor, ask("red")).hits)[0] == "red"
    assert names(service.search(visitor, ask("red 2024-05-04")).hits) == ["dark red"]
    assert names(service.search(visitor, ask("red name:purple")).hits) == ["purple"]
    assert "blue" not in names(service.search(visitor, ask("red -blue")).hits), "the name holds the word"
    last = names(service.search(visitor, ask("-night")).hits)[-1]
    assert last == "dark red", "excluded by its look: it comes last"


def test_conditions_alone_list_the_newest_first(service, visitor) -> None:
    result = service.search(visitor, ask("2024-05-01..2024-05-03"))
    assert names(result.hits) == ["blue", "green", "red"] and result.aligned is None
    explanation = service.explain(visitor, result.hits[0].item)
    assert explanation.similarity is None and explanation.strongest is None
    assert explanation.pictures[0].size == (32, 24)


def test_a_picture_and_words_in_either_order(service, visitor) -> None:
    result = service.search(visitor, ask("at night", [solid("red")]))
    assert names(result.hits)[0] == "dark red"
    query = SearchQuery.of_text("at night", pictures=[solid("red"), solid("blue")], words_at=1)
    assert [isinstance(p.content, str) for p in query.parts] == [False, True, False]


def test_a_story_and_positions(service, visitor) -> None:
    parts = tuple(QueryPart(c) for c in ("green", "blue"))
    story = service.search(visitor, SearchRequest(SearchQuery(parts), "g", "story", 1))
    assert names(story.hits) == ["green"] and len(story.hits[0].items) == 2
    assert len(service.explain(visitor, story.hits[0].items[1]).pictures) == 2 == len(story.shown)
    positions = service.search(visitor, SearchRequest(SearchQuery(parts), "g", "positions", 1))
    assert [names(g) for g in positions.groups][0] == ["green"] and len(positions.groups) == 2
    twice = service.search(visitor, SearchRequest(SearchQuery(parts[:1] * 2), "g", "positions", 1))
    first, again = twice.shown
    assert again == first + AGAIN and item_of(again) == first, "each has a number of its own on the page"


def test_an_opened_hit_is_explained(service, visitor) -> None:
    with pytest.raises(InputError, match="Search again"):
        service.explain(visitor, 1)
    found = service.search(visitor, ask("red at night"))
    explanation = service.explain(visitor, next(iter(found.shown)))
    assert explanation.rows == ("red at night",) and explanation.similarity.shape == (1, 1)
    assert explanation.strongest == (0, 0) and explanation.picture_heat is None
    with pytest.raises(InputError, match="no longer on the page"):
        service.explain(visitor, 99)


def test_a_link_brings_the_pictures_of_the_gallery_back(service, visitor) -> None:
    red, blue = (i.sha256 for i in service.workspace.held.items() if i.name in ("red.png", "blue.png"))
    visitor.state.of(SearchState).linked = ([red, "0" * 64, blue], 1)
    service.follow_link(visitor, "g")
    draft = visitor.state.of(SearchState).draft
    assert [part and part.info[GALLERY_ITEM] for part in draft.parts] == [red, None, blue]
    draft.fill([])
    service.follow_link(visitor, "g")
    assert draft.pictures == [], "once"


def test_the_picture_heat_of_a_model_that_has_one(service, visitor) -> None:
    service.workspace.toy.picture_heat = lambda query, image: np.eye(7) * 0.4 + 0.1
    first = next(iter(service.search(visitor, ask("red")).shown))
    assert service.explain(visitor, first).picture_heat == pytest.approx(np.eye(7))
    service.workspace.toy.picture_heat = lambda query, image: np.full((7, 7), 0.3)
    assert service.explain(visitor, first).picture_heat is None, "all the same says nothing"


def test_unknown_words_are_left_out_and_said(service, visitor) -> None:
    result = service.search(visitor, ask("a zzebra, red"))
    assert result.unknown_words == ("zzebra",) and result.aligned.text == "a red"
    assert names(result.hits)[0] == "red"
    nothing = service.search(visitor, ask("zzebra"))
    assert nothing.hits == [] and nothing.unknown_words == ("zzebra",)


def test_keywords_find_names_and_captions_that_the_model_does_not_know(service, visitor) -> None:
    gallery = service.workspace.held
    blue = next(i.id for i in gallery.items() if i.name == "blue.png")
    gallery.set_caption(blue, "a zzebra at the lake")
    by_words = service.search(visitor, ask("zzebra")).hits
    assert names(by_words) == ["blue"] and by_words[0].found_by == "words"
    lake = service.search(visitor, ask("lake")).hits
    assert names(lake)[0] == "blue" and lake[0].found_by == "words"
    both = service.search(visitor, ask("purple")).hits
    assert names(both)[0] == "purple" and {h.found_by for h in both[1:]} == {"meaning"}
    assert "blue" not in names(service.search(visitor, ask("red -lake")).hits)


def test_no_close_match_by_the_checkpoints_own_cut_off(service, visitor) -> None:
    toy = service.workspace.toy
    assert service.search(visitor, ask("star")).close is None
    toy.profile = Profile(abstain={"search": 0.5})
    assert service.search(visitor, ask("star")).close == 0
    close = service.search(visitor, ask("red"))
    assert 0 < close.close < len(close.hits) and close.hits[0].shortlist_score >= 0.5
    sections = result_sections(close, close.shown)
    assert f"{len(close.hits) - close.close} less close" in notes_of(close, sections)[-1][1]
    left = result_sections(close, list(close.shown)[1:])
    assert sum(len(ids) for _, ids, _ in left) == len(close.hits) - 1, "a deleted one is left out"
    assert service.search(visitor, ask("at night", [solid("red")])).close is None


def test_confirmation_only_where_the_profile_allows_it(service, visitor) -> None:
    toy = service.workspace.toy
    asked = []
    toy.agreement = lambda query, candidates: asked.append(query) or np.linspace(0, 1, len(candidates))
    toy.profile = Profile(confirms=("caption",))
    result = service.search(visitor, ask("red", confirm=True))
    assert result.confirmed and len(asked) == 1
    assert result.hits[0].agreement == 1.0
    changed = service.search(visitor, ask("at night", [solid("red")], confirm=True))
    assert not changed.confirmed and len(asked) == 1, "a change is not among the kinds it can judge"
    toy.profile = Profile(confirms=())
    assert not service.search(visitor, ask("red", confirm=True)).confirmed and len(asked) == 1


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: ask(""), "query is empty"),
        (lambda: ask("2024", mode="story"), "query is empty"),
        (lambda: ask("red", mode="sideways"), "choose one of"),
        (lambda: ask("red", limit=0), "may be 1 to"),
        (lambda: ask("red -blue", mode="story"), "only in Photos"),
        (lambda: QueryPart("red", 0), "other than 0"),
        (lambda: QueryPart("red", float("nan")), "other than 0"),
        (lambda: day("yesterday"), "not a day"),
    ],
)
def test_what_makes_no_sense_is_refused(make, says) -> None:
    with pytest.raises(InputError, match=says):
        make()


def test_too_many_parts(service, visitor) -> None:
    with pytest.raises(InputError, match="12 parts at most"):
        service.search(visitor, ask("red", [solid("red")] * 12))


def test_the_parts_of_the_box_are_added_moved_and_removed() -> None:
    draft, red, blue = SearchDraft(), solid("red"), solid("blue")
    draft.add(red, 3)
    draft.add(blue, 3)
    assert draft.parts == [red, blue, None] and draft.words_at == 2
    draft.move(2, 1)
    assert draft.parts == [red, None, blue] and draft.pictures == [red, blue]
    draft.remove(1)
    draft.move(0, 9)
    draft.remove(0)
    assert draft.parts == [None, blue] and draft.words_at == 0
    draft.add(red, 3)
    with pytest.raises(InputError, match="3 parts at most"):
        draft.add(red, 3)
