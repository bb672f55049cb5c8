"""The cut-off of "no close match": its arithmetic, and what stands in the embedded checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sugar.evaluation.cut_off import CutOff, half_cosine, measure_cut_off, write_cut_off
from sugar.rag.evidence import Scales


def test_a_cut_off_by_hand() -> None:
    present, absent = np.array([0.6, 0.7, 0.8, 0.9]), np.array([0.1, 0.2, 0.65, 0.3])
    found = measure_cut_off(present, absent, 0.0)
    assert (found.cut_off, found.wrongly_refused, found.refused) == (0.6, 0.0, 0.75)
    assert found.auroc == pytest.approx(15 / 16)
    assert measure_cut_off(present, present, 0.0).auroc == pytest.approx(0.5), "ties count as half"
    assert measure_cut_off(present, absent, 0.3).wrongly_refused == 0.0, "at most the share that was allowed"


def test_it_is_written_beside_the_other_thresholds(tmp_path: Path) -> None:
    (tmp_path / "sugar.json").write_text(json.dumps({"profile": {"abstain": {"strict": 9.0}}}))
    write_cut_off(tmp_path, CutOff(0.32049, 0.02, 0.98, 0.99))
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
    write_cut_off(tmp_path, CutOff(0.3, 0.02, 0.98, 0.99), half)
    written = json.loads((tmp_path / "sugar.json").read_text())
    assert written["profile"]["evidence"] == {"half_cosine": round(half, 3)}


def test_the_embedded_checkpoint_states_one() -> None:
    settings = json.loads((Path(__file__).parents[1] / "assets/sugar-tiny/sugar.json").read_text("utf-8"))
    assert 0 < settings["profile"]["abstain"]["search"] < 1
