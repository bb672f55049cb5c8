"""The table of adapters: what each row trains, that finished rows are kept, and what the README gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sugar.errors import SettingsError
from sugar.evaluation import adapters
from sugar.training.recipes import RECIPES
from sugar.training.vladva import VladvaConfig


def test_rows_are_trained_once_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[object] = []
    monkeypatch.setattr(adapters, "train", lambda task, quiet: trained.append(task) or tmp_path)
    for name in ("vladva", "lora"):
        monkeypatch.setitem(RECIPES, name, replace(RECIPES[name], task=lambda config: config))
    opened: list[tuple[object, str]] = []

    def from_pretrained(base: str, *, adapter: object, encoder: str) -> None:
        opened.append((adapter, encoder))

    monkeypatch.setattr(adapters.Sugar, "from_pretrained", from_pretrained)
    monkeypatch.setattr(
        adapters, "measure", lambda model, seed, size: {k: 10.0 + 2 * seed for k in adapters.COLUMNS}
    )
    settings = {"base": "sugar-tiny", "out": tmp_path, "steps": 3, "seeds": 2, "size": 10}
    rows = ["hand-prompt", "soft-prompt", "autoregressive", "sugar"]
    assert adapters.run(**settings, only=rows) == 0  # type: ignore[arg-type]
    soft, whole = trained[0], trained[1]
    assert isinstance(soft, VladvaConfig) and isinstance(whole, VladvaConfig)
    assert (soft.soft_prompt, soft.low_rank, soft.autoregressive) == (True, False, False)
    assert (whole.soft_prompt, whole.low_rank, whole.autoregressive) == (True, True, True)
    assert opened[:4] == [(None, "prompt"), (tmp_path, "prompt"), (tmp_path, "prompt"), (tmp_path, "auto")]
    table = (tmp_path / "adapters.md").read_text("utf-8")
    assert (
        "| VladVA: soft prompt | 11.0 ± 1.4 (76.7) | 11.0 ± 1.4 (91.7) | 11.0 ± 1.4 |" in table
        and "--only hand-prompt" in table
    )
    before = len(opened)
    assert adapters.run(**settings, only=rows) == 0 and len(opened) == before  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="no-tea"):
        adapters.run(**settings, only=["no-tea"])  # type: ignore[arg-type]
