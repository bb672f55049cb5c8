"""Every table of a README is what its JSON file says, and a page that differs is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sugar.commands import figures
from sugar.errors import SettingsError


def test_pages_and_figures_agree() -> None:
    for page in figures.pages():
        text = page.read_text("utf-8")
        assert figures.fill(text) == text, f"{page} is stale: run `python -m sugar figures`"


def test_every_file_of_figures_is_shown_somewhere() -> None:
    shown = {
        name for page in figures.pages() for _, name, _ in figures.BLOCK.findall(page.read_text("utf-8"))
    }
    assert {f.stem for f in figures.FIGURES.glob("*.json")} <= shown


def test_a_stale_page_is_found_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "FIGURES", tmp_path)
    figures.save(
        "speed", "python -m x", {"columns": ["what", "s"], "rows": [["start", 1.23456], ["stop", None]]}
    )
    page = "a\n<!-- figures speed -->\nold 9.9\n<!-- /figures -->\nb"
    filled = figures.fill(page)
    assert (
        "| start | 1.235 |\n| stop |  |" in filled and "`python -m x`, 20" in filled and "9.9" not in filled
    )
    assert figures.fill(filled) == filled
    path = tmp_path / "speed.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "rows": [["start", 2.0]]}))
    assert figures.fill(filled) != filled


def test_a_block_without_its_file_is_refused() -> None:
    with pytest.raises(SettingsError, match="missing"):
        figures.fill("<!-- figures nothing-like-this -->\n<!-- /figures -->")


def test_rows_of_mappings_and_a_mapping_of_rows() -> None:
    assert "| first load | 1 |" in figures.as_table({"rows": {"first_load": 1}})
    assert figures.as_table({"rows": [{"a": 1, "b": True}, {"a": 2}]}).splitlines()[-1] == "| 2 |  |"
