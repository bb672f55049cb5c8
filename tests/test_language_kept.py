"""What a model kept of its base's language."""

from __future__ import annotations

import pytest
from everyday_archive import drawn_archive

from sugar.core import Sugar
from sugar.errors import SettingsError
from sugar.evaluation import runner
from sugar.evaluation.tasks import language
from sugar.everyday.archive import Archive
from sugar.training import material


def test_prompts_are_none_of_training(tmp_path_factory: pytest.TempPathFactory) -> None:
    asked = language.prompts()
    archive = Archive(drawn_archive(tmp_path_factory.mktemp("kept")))
    trained = {p.said for p in material.replay_prompts(material.Maker(archive))}
    assert len(set(asked)) == 200 and trained.isdisjoint(asked)


def test_a_base_keeps_its_own_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "prompts", lambda: ["a red star", "is there a boat?"])
    prose = language.paragraphs()
    assert len(prose) >= 20 and all(p.begun and p.rest for p in prose)
    monkeypatch.setattr(language, "paragraphs", lambda: prose[:3])
    tiny = Sugar.from_pretrained("sugar-tiny")
    found = runner.measure(language.benchmark(), tiny)
    kept = language.kept(found, found)
    assert kept["language_kept"] == 1 and kept["language_rouge"] == 100
    assert kept["language_perplexity"] == kept["language_perplexity_of_base"] > 1
    other = runner.measure(language.benchmark(), Sugar.from_pretrained("sugar-photo"))
    with pytest.raises(SettingsError, match="different tokenizers"):
        language.kept(found, other)
