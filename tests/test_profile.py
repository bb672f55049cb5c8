"""sugar/model/checkpoint.py: what a checkpoint states, the defaults, what is refused, and that the shipped
one asks as it was trained.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sugar.errors import ModelError
from sugar.model.checkpoint import Profile, read_settings
from sugar.model.presets import PRESETS
from sugar.scenes import match_question
from sugar.scenes.words import DESCRIBE, DIFFERENCE_QUESTION

ASSETS = Path(__file__).resolve().parents[1] / "assets"


def test_a_checkpoint_without_a_profile_has_the_defaults() -> None:
    profile = Profile.from_settings({"format": 1})
    assert profile == Profile() and profile.instructed and profile.confirms == ("caption",)
    assert profile.match_question("a dog") == "Does this picture show a dog? Answer yes or no."
    stated = replace(profile, describe="tell me", confirms=())
    assert Profile.from_settings({"profile": json.loads(json.dumps(stated.to_json()))}) == stated


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"yesno": "x"}, "unknown keys: yesno"),
        ({"yes_no": "is it?"}, "lacks {caption}"),
        ({"reading": "{passages}"}, "lacks {question}"),
    ],
)
def test_broken_profiles_are_refused(stated: dict, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        Profile.from_settings({"profile": stated})


def test_a_caption_with_braces_is_a_caption() -> None:
    assert Profile(yes_no="is there {caption}?").match_question("{passages}") == "is there {passages}?"


@pytest.mark.parametrize(
    "folder",
    sorted(p.parent for p in ASSETS.glob("*/sugar.json") if read_settings(p.parent).get("kind") != "adapter"),
    ids=lambda p: p.name,
)
def test_shipped_profiles_name_files_that_are_there(folder: Path) -> None:
    profile = Profile.from_settings(read_settings(folder))
    assert profile.larger in PRESETS and profile.good_at and profile.limits
    assert {"strict", "balanced", "always"} <= set(profile.abstain)
    named: list[str] = []

    def collect(value: object) -> None:
        if isinstance(value, dict):
            named.extend([value["file"]] if "file" in value else [])
            named.extend(value.get("files", []))
            for part in value.values():
                collect(part)
        elif isinstance(value, list):
            for part in value:
                collect(part)

    collect(profile.examples)
    assert profile.examples and all((ASSETS / name).is_file() for name in named)


def test_the_drawn_model_is_asked_as_it_was_trained() -> None:
    profile = Profile.from_settings(read_settings(ASSETS / "sugar-tiny"))
    assert profile.match_question("a red star") == match_question("a red star")
    assert (profile.difference, profile.describe) == (DIFFERENCE_QUESTION, DESCRIBE[0])
    assert profile.reading == "{passages}{question}" and not profile.instructed and profile.confirms == ()
