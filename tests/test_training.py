"""Losses, labels, optimiser and schedule against values worked out apart.

Not covered: runs (test_training_adapter.py), the drawn world (test_scenes.py).
"""

from __future__ import annotations

import math
from dataclasses import replace

import checkpoints
import numpy as np
import pytest
import torch

from sugar.dtw import label_matrix, reference
from sugar.errors import SettingsError
from sugar.evaluation.ablation import fitted
from sugar.sequence import Slice
from sugar.training.adapter_card import deviations
from sugar.training.config import RunConfig, rate_at
from sugar.training.data.drawn import DrawnWorld
from sugar.training.data.example import join
from sugar.training.losses import contrastive_loss, similarity_loss, swap_loss
from sugar.training.optimizer import Muon, matrices, orthogonalise
from sugar.training.recipes import OWN, PAPER
from sugar.training.teachers import BatchFacts, SceneEncoders, batch_facts, draw_positions, labels
from sugar.training.teachers.labels import label_statistics

# --- losses -------------------------------------------------------------------------------------------------


def test_similarity_loss_by_hand() -> None:
    r = torch.tensor([[1.0, 0.0], [0.6, 0.8]])  # cosine 0.6
    wanted = torch.tensor([[1.0, 0.1], [0.1, 1.0]])
    assert similarity_loss(r, wanted).item() == pytest.approx(2 * 0.25 / 4)
    assert similarity_loss(r, wanted, form="positions").item() == pytest.approx(2 * 0.25 / 2)
    assert similarity_loss(r, r @ r.T).item() == pytest.approx(0.0, abs=1e-12)


def test_contrastive_loss_by_hand() -> None:
    s = torch.tensor([[0.05, 0.0, 0.0]])  # logits 1, 0, 0 at temperature 0.05
    e = math.e
    assert contrastive_loss(s, torch.tensor([[True, False, False]])).item() == pytest.approx(
        -math.log(e / (e + 2))
    )
    assert contrastive_loss(s, torch.tensor([[True, True, False]])).item() == pytest.approx(
        -math.log((e + 1) / (e + 2))
    )
    blind = torch.tensor([[0.05, -torch.inf, 0.0]])
    assert contrastive_loss(blind, torch.tensor([[True, False, False]])).item() == pytest.approx(
        -math.log(e / (e + 1))
    )
    assert contrastive_loss(s, torch.zeros(1, 3, dtype=torch.bool)).item() == 0.0


def test_swap_loss_by_hand() -> None:
    assert swap_loss(torch.zeros(2, 2, 2)).item() == pytest.approx(math.log(2))
    right = torch.tensor([[[0.05, 0.0], [0.0, 0.05]]])
    assert swap_loss(right).item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert swap_loss(-right).item() == pytest.approx(math.log(1 + math.e))
    assert swap_loss(torch.zeros(0, 2, 2)).item() == 0.0


# --- labels -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def facts() -> BatchFacts:
    """A batch of the drawn world: captioned scenes and their conversations, swapped pairs, edits, stories."""
    whole = join(DrawnWorld()[n] for n in range(36))
    return batch_facts(whole, draw_positions(whole, np.random.default_rng(0)), SceneEncoders())


def phi(facts: BatchFacts, i: int, j: int, *, triple: bool = True) -> float:
    """Squared distance of two slices of the batch: part 1 within a modality, part 2 across."""
    flags = [f for sample in facts.flags for f in sample]
    rows = facts.part1 if flags[i] == flags[j] and triple else facts.part2
    assert rows is not None
    return float(((rows[i] - rows[j]) ** 2).sum())


def expected(facts: BatchFacts, x: range, y: range) -> float:
    if len(x) == len(y) == 1:
        return 1 - phi(facts, x[0], y[0]) / 2
    cells = [[phi(facts, a, b) for b in y] for a in x]
    paths = reference.log_kernel_sum([[0.0] * len(y)] * len(x))  # Delannoy's number
    return math.exp(reference.log_gak(cells, math.sqrt((len(x) + len(y)) / 2)) - paths)


def test_the_label_matrix_is_the_reference(facts: BatchFacts) -> None:
    one, kernel = labels(facts), labels(facts, same_sample="kernel")
    starts = np.cumsum([0, *map(len, facts.flags)])
    ends = [(s, range(starts[s], starts[s] + p + 1)) for s, row in enumerate(facts.positions) for p in row]
    chosen = [n for n, (_, x) in enumerate(ends) if len(x) > 1][:6] + list(range(5))
    for i in chosen:
        for j in chosen:
            wanted = 1.0 if i == j else expected(facts, ends[i][1], ends[j][1])
            assert kernel[i, j].item() == pytest.approx(wanted, abs=1e-5)
            same = ends[i][0] == ends[j][0]
            assert one[i, j].item() == pytest.approx(1.0 if same else wanted, abs=1e-5)


@pytest.mark.parametrize("slices", range(2, 10))
def test_a_referent_leads_by_a_tenth(slices: int) -> None:
    """A sequence of 2 to 9 slices that are like its referent, against other pictures, none of them like it.
    Divided by the root of the self-kernels, the lead is lost as sequences grow."""
    rng = np.random.default_rng(slices)
    rows = np.eye(16)[:1].repeat(slices, 0) + np.pad(0.25 * rng.normal(size=(slices, 15)), ((0, 0), (1, 0)))
    others = np.linalg.qr(rng.normal(size=(16, 16)))[0][1:6]
    others += 0.3 * np.eye(16)[0]
    unit = [torch.from_numpy(r / np.linalg.norm(r, axis=-1, keepdims=True)) for r in (rows, others)]
    batch = [unit[0], torch.eye(16, dtype=torch.float64)[:1], *unit[1][:, None]]
    leads = []
    for normalized in ("paths", "self"):
        row = label_matrix(batch, normalized=normalized)[0]
        leads.append(float(row[1] - row[2:].max()))
    assert leads[0] >= 0.1 and 0 < row[1] <= 1
    assert leads[1] <= 1 / math.sqrt([1, 3, 13, 63, 321, 1683, 8989, 48639, 265729][slices - 1])


def test_every_label_of_the_drawn_world_says_something() -> None:
    """No vector is of length zero, and texts that state nothing differ as their words do."""
    whole = join(DrawnWorld()[n] for n in range(36))
    slices = [s for sample in whole.sequences for s in sample]
    for across in ("exact", "bag"):
        for part in SceneEncoders(across).encode(slices):
            np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1, atol=1e-5)
    first, other = SceneEncoders("bag").encode([Slice("remove it"), Slice("make it bigger")])[1]
    assert 0 < first @ other < 0.6


def test_the_bag_tells_swapped_pictures_a_little() -> None:
    swaps = [e for e in (DrawnWorld()[n] for n in range(1, 240, 6))]
    right = []
    for example in swaps:
        exact, bag = (SceneEncoders(name).encode(example.slices)[1] for name in ("exact", "bag"))
        for part, most in ((exact, 0.9), (bag, 0.25)):
            cosines = part[:2] @ part[2:].T  # (pictures, captions)
            right.append(bool((np.diag(cosines) > np.diag(cosines[::-1])).all()))
            margin = float((np.diag(cosines) - np.diag(cosines[::-1])).max())
            assert margin <= most
    assert np.mean(right) > 0.8


def test_the_ablation_s_labels_by_hand(facts: BatchFacts) -> None:
    """The mean slice similarity, and the cross-modal part alone."""
    mean, single = labels(facts, kernel="mean"), labels(facts, triple=False)
    story = facts.flags.index(max(facts.flags, key=len))
    starts, last = np.cumsum([0, *map(len, facts.flags)]), facts.last
    own = range(starts[story], starts[story + 1])
    cosines = [1 - phi(facts, a, 0) / 2 for a in own]
    assert mean[last[story], last[0]].item() == pytest.approx(np.mean(cosines), abs=1e-5)
    pictures = [n for n, flags in enumerate(facts.flags) if flags == [True]]
    a, b = pictures[:2]
    wanted = 1 - phi(facts, starts[a], starts[b], triple=False) / 2
    assert single[last[a], last[b]].item() == pytest.approx(wanted, abs=1e-5)


def test_a_query_s_last_position_is_labelled_by_its_referent(facts: BatchFacts) -> None:
    plain, target = labels(facts), labels(facts, relabel=True)
    last = facts.last
    for query, referent in facts.referents:
        assert torch.equal(target[last[query]], target[last[referent]])
    rest = [n for n in range(len(plain)) if n not in {last[q] for q, _ in facts.referents}]
    assert torch.equal(target[rest][:, rest], plain[rest][:, rest])


def test_labels_can_be_fitted_by_unit_vectors(facts: BatchFacts) -> None:
    """K / D is no positive semi-definite matrix, but unit vectors come near it: all but a few percent."""
    target = labels(facts)
    assert float(torch.linalg.eigvalsh(target.double())[0]) < -0.1
    r = fitted(target, 192)
    assert float((r @ r.T - target).square().mean()) < 0.05 * float(target.var())


def test_samples_of_several_slices_draw_two_to_four_positions(facts: BatchFacts) -> None:
    for flags, drawn in zip(facts.flags, facts.positions, strict=True):
        assert drawn == sorted(set(drawn)) and drawn[-1] == len(flags) - 1
        assert len(drawn) == 1 if len(flags) < 3 else 2 <= len(drawn) <= 4


def test_label_statistics_by_hand() -> None:
    target = torch.tensor(
        [[1.0, 1.0, 0.2, 0.0], [1.0, 1.0, 0.3, 0.01], [0.2, 0.3, 1.0, 0.9], [0.0, 0.01, 0.9, 1.0]]
    )
    assert label_statistics(target, [[0, 1], [0], [0]]) == {
        "pairs": 5,
        "kernel": 2,
        "kernel_signal": 1,
        "signal": 3,
    }


# --- optimiser ----------------------------------------------------------------------------------------------


def test_orthogonalise_pushes_singular_values_to_one() -> None:
    x = torch.randn(3, 6, 20, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(x))
    assert values.min() > 0.6 and values.max() < 1.25
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    assert torch.linalg.matrix_norm(orthogonalise(x) - u @ v).max() < 0.3 * math.sqrt(6)


def test_muon_takes_the_matrices_and_leaves_the_rest() -> None:
    llava, head, _ = checkpoints.small()
    both = torch.nn.ModuleList([llava, head])
    chosen = {id(p) for p in matrices(both)}
    assert id(llava.get_input_embeddings().weight) not in chosen and id(llava.lm_head.weight) not in chosen
    assert id(head.first.weight) in chosen and all(p.dim() == 2 for p in matrices(both))


def test_a_muon_step_by_hand() -> None:
    for shape in ((4, 8), (8, 4)):
        p = torch.nn.Parameter(torch.zeros(shape))
        p.grad = torch.eye(*shape) * 0.01  # the size of the gradient does not matter
        Muon([p], lr=0.1, weight_decay=0.0).step()
        steps = torch.linalg.svdvals(p.detach()) / (0.1 * math.sqrt(max(1, shape[0] / shape[1])))
        assert steps.min() > 0.6 and steps.max() < 1.25
        assert (p.detach().diagonal() < 0).all()


def test_rate_rises_holds_and_falls() -> None:
    c = RunConfig(schedule="linear", steps=1000, warmup=50, decay=0.25)
    assert [rate_at(s, c) for s in (0, 49, 500, 750, 875, 999)] == pytest.approx(
        [1 / 50, 1, 1, 1, 0.5, 0.004]
    )
    assert rate_at(500, RunConfig(steps=1000)) == pytest.approx(0.5)


@pytest.mark.parametrize("bad", [{"precision": "fp16"}, {"batch": 0}, {"optimizer": "sgd"}])
def test_settings_out_of_range_are_refused(bad: dict) -> None:
    with pytest.raises(SettingsError):
        replace(PAPER, **bad)


def test_deviations_from_the_paper_are_listed_by_name() -> None:
    assert deviations(PAPER) == {}
    assert set(deviations(OWN)) == {"similarity", "referent"}
    assert deviations(replace(PAPER, optimizer="muon")) == {"optimizer": "optimizer muon (paper: adamw)"}
