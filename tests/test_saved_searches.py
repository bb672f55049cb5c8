"""Searches kept by name, and what a press on a chip does to the text of the box."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from sugar.errors import InputError
from sugar.services.saved_searches import SavedSearch, SavedSearches
from sugar.services.search import SearchDraft
from sugar.ui.search_box import changed, chips_html


def test_searches_are_kept_replaced_and_deleted(tmp_path: Path) -> None:
    kept = SavedSearches(tmp_path / "g" / "saved.json")
    assert kept.names() == []
    kept.keep(SavedSearch("sea", "beach 2025", "holiday"))
    kept.keep(SavedSearch("Alps", "mountains\nsnow", "holiday", "story"))
    kept.keep(SavedSearch("sea", "beach 2026", "holiday"))
    again = SavedSearches(kept.path)
    assert again.names() == ["Alps", "sea"] and again.get("sea").text == "beach 2026"
    assert again.get("Alps").mode == "story"
    again.delete("sea")
    assert kept.names() == ["Alps"] and [p.name for p in kept.path.parent.iterdir()] == ["saved.json"]
    for call in (kept.get, kept.delete):
        with pytest.raises(InputError, match="no saved search"):
            call("sea")


@pytest.mark.parametrize(
    "name, text, says",
    [("", "x", "name of 1 to 60"), ("x" * 61, "x", "name of 1 to 60"), ("x", " ", "no words")],
)
def test_what_cannot_be_kept(name: str, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        SavedSearch(name, text, "g")


@pytest.mark.parametrize("content", ["{", '[{"name": "x"}]', '[{"name": 1, "text": "a", "gallery": "g"}]'])
def test_a_damaged_file_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "saved.json").write_text(content)
    with pytest.raises(InputError, match="Correct or delete it"):
        SavedSearches(tmp_path / "saved.json").names()


def test_a_file_saved_by_an_editor_is_read_and_a_folder_is_said(tmp_path: Path) -> None:
    kept = SavedSearches(tmp_path / "saved.json")
    kept.keep(SavedSearch("sea\u2028side", "half a character \ud800", "g"))
    kept.path.write_bytes(b"\xef\xbb\xbf" + kept.path.read_bytes())
    assert kept.names() == ["sea\u2028side"]
    kept.path.unlink()
    kept.path.mkdir()
    with pytest.raises(InputError, match="damaged or cannot be read"):
        kept.names()


def press(box: str, draft: SearchDraft | None = None, **event: object) -> str:
    return changed(draft or SearchDraft(), box, SimpleNamespace(**event))


def test_chips_change_the_text() -> None:
    assert press("red", do="add", text="favourite:") == "red favourite:"
    assert press("red", do="add", text="two words") == "red", "only conditions can be added"
    assert press("red -blue 2025", do="remove", chip=0) == "red 2025"
    assert press("red -blue 2025", do="remove", chip="9") == "red -blue 2025"
    assert press("red 2025", do="dates", **{"from": "2024-01-02", "until": ""}) == "red 2024-01-02.."
    assert press("red", do="dates", **{"from": "2024-01-02", "until": "2024-01-02"}) == "red 2024-01-02"
    assert press("red 2025", do="dates", **{"from": "", "until": ""}) == "red"
    assert press("red", do="dates", **{"from": "<b>", "until": "x y"}) == "red"
    assert press("red", do="explode", chip="x", to=None) == "red"


def test_chips_are_pictures_words_and_conditions_and_never_markup() -> None:
    draft = SearchDraft()
    draft.add(Image.new("RGB", (9, 9)), 12)
    html = chips_html(draft, '<i>a</i> name:"<b>" favourite:')
    assert html.count("data-part=") == 2 and html.count('data-do="remove"') == 2
    assert "<i>" not in html and "<b>" not in html
    assert press("favourite: a", do="add", text="-favourite:") == "favourite: a", "it is set already"
    press("", draft, do="take", chip=0)
    assert draft.pictures == [] and chips_html(draft, "a") == ""


def test_pictures_keep_their_place_in_the_text_when_they_move_or_go() -> None:
    draft = SearchDraft()
    for side in (9, 8, 7):
        draft.add(Image.new("RGB", (side, side)), 12)
    text = "like [1]^2 -[3] not [2]"
    text = press(text, draft, do="move", chip=0, to=2)
    assert text == "like [3]^2 -[2] not [1]"
    assert press(text, draft, do="take", chip=2) == "like -[2] not [1]"
    html = chips_html(draft, "-[2]^3 dog^2 less^-1")
    assert " × -3" in html and "“dog” × 2" in html and "less “less”" in html
