"""The cut-off of "no close match": its arithmetic, and what stands in the embedded checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sugar.evaluation.comparison import share_interval
from sugar.evaluation.cut_off import CutOff, half_cosine, measure_cut_off, write_cut_off
from sugar.rag.evidence import Scales


def test_a_cut_off_is_fitted_on_one_half_and_measured_on_the_other() -> None:
    present, absent = np.array([0.6, 0.1, 0.8, 0.9]), np.array([0.99, 0.2, 0.99, 0.65])
    found = measure_cut_off(present, absent, 0.0)
    assert (found.cut_off, found.queries) == (0.6, 2)
    assert (found.wrongly_refused, found.refused) == (0.5, 0.5), "of the second and the fourth"
    assert found.auroc == pytest.approx(0.5)
    for name, (low, high) in found.bounds.items():
        assert 0 <= low <= getattr(found, name) <= high <= 1, name
    assert share_interval(0.0, 47) == (0.0, pytest.approx(0.076, abs=1e-3)), "none of 47 is no proof of none"
    assert measure_cut_off(present, present, 0.0).auroc == pytest.approx(0.5), "ties count as half"
    assert measure_cut_off(np.repeat(present, 2), np.repeat(absent, 2), 0.3).wrongly_refused <= 0.3


def test_it_is_written_beside_the_other_thresholds(tmp_path: Path) -> None:
    (tmp_path / "sugar.json").write_text(json.dumps({"profile": {"abstain": {"strict": 9.0}}}))
    write_cut_off(tmp_path, CutOff(0.32049))
    written = json.loads((tmp_path / "sugar.json").read_text())
    assert written["profile"]["abstain"] == {"strict": 9.0, "search": 0.32}
    assert "evidence" not in written["profile"]


def test_the_scale_of_pictures_meets_the_balanced_cut_off(tmp_path: Path) -> None:
    absent = np.linspace(0.1, 0.5, 101)
    half = half_cosine(absent, balanced=0.6)
    scales = Scales(half_cosine=half)
    assert np.mean([scales.of_picture(c, 99.0) >= 0.6 for c in absent]) == pytest.approx(0.2, abs=0.01)
    assert Scales().of_picture(0.9, 0.0) == 0.0, "without a measured cosine the deviations count"
    (tmp_path / "sugar.json").write_text("{}")
    write_cut_off(tmp_path, CutOff(0.3), half)
    written = json.loads((tmp_path / "sugar.json").read_text())
    assert written["profile"]["evidence"] == {"half_cosine": round(half, 3)}


def test_the_embedded_checkpoint_states_one() -> None:
    settings = json.loads((Path(__file__).parents[1] / "assets/sugar-tiny/sugar.json").read_text("utf-8"))
    assert 0 < settings["profile"]["abstain"]["search"] < 1
