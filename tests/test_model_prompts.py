"""Training rows and inference prompts come from one code, token by token, for every family.

Yes and no in every spelling.
"""

from __future__ import annotations

from collections.abc import Callable

import checkpoints
import numpy as np
import pytest
import torch
from pictures import noise

from sugar.core import Sugar
from sugar.errors import InputError
from sugar.scorer import NO, YES
from sugar.sequence import Sample, Turn

every_family = pytest.mark.parametrize("family", checkpoints.FAMILIES)


A, B = noise(1), noise(2)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Sugar]:
    made: dict[str, Sugar] = {}

    def open_family(family: str) -> Sugar:
        if family not in made:
            made[family] = Sugar.from_pretrained(
                checkpoints.build(family, tmp_path_factory.mktemp("prompts"))
            )
        return made[family]

    return open_family


@every_family
def test_a_training_row_is_the_prompt_and_its_answer(opened: Callable[[str], Sugar], family: str) -> None:
    processor = opened(family).processor
    asked = [Turn("user", Sample([A, "where is this?"]))]
    row = processor.training_layout([*asked, Turn("assistant", Sample("a beach"))])
    prompt = processor.chat_layout(asked)
    assert row.ids[: len(prompt)] == prompt.ids
    assert row.ids[len(prompt) :] == processor.answer_ids(asked, prompt, "a beach", end=True)
    assert row.answers == ((len(prompt), len(row)),)
    assert [p.tolist() for p in row.picture_positions] == [p.tolist() for p in prompt.picture_positions]
    assert processor.decode(row.ids[slice(*row.answers[0])]).strip() == "a beach"


@every_family
def test_every_answer_of_a_conversation_is_learnt(opened: Callable[[str], Sugar], family: str) -> None:
    model = opened(family)
    turns = [
        Turn("user", Sample([A, "what is it?"])),
        Turn("assistant", Sample("a moon")),
        Turn("user", Sample([B, "and this?"])),
        Turn("assistant", Sample("two stars")),
    ]
    row = model.processor.training_layout(turns)
    prompt = model.processor.chat_layout(turns[:3])
    assert row.ids[: len(prompt)] == prompt.ids and len(row.images) == 2
    said = [model.processor.decode(row.ids[start:stop]).strip() for start, stop in row.answers]
    assert said == ["a moon", "two stars"]
    start, stop = row.answers[1]
    assert row.ids[stop - 1] in model.generator.ends and stop == len(row)


@every_family
def test_the_loss_of_a_training_row_is_the_score(opened: Callable[[str], Sugar], family: str) -> None:
    """The gradient path reads the same hidden states as inference: its log-likelihood is what `score`
    says.
    """
    model = opened(family)
    asked = Turn("user", Sample([A, "where is this?"]))
    row = model.processor.training_layout([asked, Turn("assistant", Sample("a beach"))])
    short = model.processor.training_layout([Turn("user", Sample("x")), Turn("assistant", Sample("y"))])
    model.model.get_output_embeddings().weight.requires_grad_(True)
    try:
        done = model.backbone.forward([short, row], grad=True)
        start, stop = row.answers[0]
        log_p = torch.log_softmax(model.backbone.logits(done.hidden[1, start - 1 : stop - 1]).float(), -1)
        total = log_p.gather(1, torch.tensor(row.ids[start:stop])[:, None]).sum()
        total.backward()
        assert model.model.get_output_embeddings().weight.grad.abs().sum() > 0
    finally:
        model.model.requires_grad_(False)
        model.model.zero_grad(set_to_none=True)
    assert float(total.detach()) == pytest.approx(model.score([asked], ["a beach"], end=True)[0], abs=1e-3)


@every_family
def test_yes_is_every_way_to_begin_it(opened: Callable[[str], Sugar], family: str) -> None:
    model = opened(family)
    questions = [
        Sample([A, "is it red?"]),
        Sample("is it, in more words than before, a star?"),
        Sample([B, A, "?"]),
    ]
    odds = model.log_odds(questions)
    for question, value in zip(questions, odds, strict=True):
        asked = [Turn("user", question)]
        layout = model.backbone.layout(asked)
        sums = []
        for words in (YES, NO):
            forms = model.scorer.forms(asked, layout, words)
            assert {model.processor.decode(f).strip() for f in forms} == set(words)
            assert len(set(forms)) == len(forms)
            sums.append(np.logaddexp.reduce([_log_p(model, layout.ids, layout.images, f) for f in forms]))
        assert value == pytest.approx(sums[0] - sums[1], abs=2e-3)
    assert model.probability_of_yes(questions) == pytest.approx(1 / (1 + np.exp(-odds)))


def _log_p(model: Sugar, ids: list[int], images: list, form: tuple[int, ...]) -> float:
    from sugar.model.processor import Layout

    with model.backbone.using(None):
        hidden = model.backbone.forward([Layout([*ids, *form], images, [])]).hidden[0]
        log_p = torch.log_softmax(model.backbone.logits(hidden[len(ids) - 1 : -1]).float(), -1)
    return float(log_p.gather(1, torch.tensor(form)[:, None]).sum())


def test_a_row_without_an_answer_is_refused(opened: Callable[[str], Sugar]) -> None:
    processor = opened("llava").processor
    for turns in ([], [Turn("user", Sample("x"))]):
        with pytest.raises(InputError, match="ends with an answer"):
            processor.training_layout(turns)
    with pytest.raises(InputError, match="empty"):
        processor.training_layout([Turn("user", Sample("x")), Turn("assistant", Sample(" "))])
