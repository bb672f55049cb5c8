"""Teaching a gallery's captions as a service, and what the page shows of a run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from sugar.core import Sugar
from sugar.errors import InputError, SettingsError
from sugar.scenes import draw, long_caption, sample_scene, split_rng
from sugar.services.jobs import Jobs, JobState
from sugar.services.models import ModelService
from sugar.services.modes import PERSONAL, PUBLIC, Mode
from sugar.services.teach import TeachRequest, TeachResult, TeachService
from sugar.services.visitors import Visitor
from sugar.settings import Settings
from sugar.ui.photos_drawing import jobs_html


class Shown:
    """A gallery with what the data set reads of one."""

    def __init__(self, folder: Path, count: int) -> None:
        rng = split_rng("tuning", 6)
        self.paths, self.captions = [], []
        for n in range(count):
            scene = sample_scene(rng)
            self.paths.append(folder / f"{n}.png")
            Image.fromarray(draw(scene)).save(self.paths[-1])
            self.captions.append(long_caption(scene, rng, opening=False).words)

    def items(self) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(id=n, name=f"{n}.png", caption=c, caption_by="")
            for n, c in enumerate(self.captions)
        ] + [SimpleNamespace(id=0, name="0.png", caption="the model's own", caption_by="sugar-tiny")]

    def picture_path(self, item: int) -> Path:
        return self.paths[item]


@pytest.fixture(scope="module")
def model() -> Sugar:
    return Sugar.from_pretrained("sugar-tiny", device="cpu")


def service(tmp_path: Path, model: Sugar, mode: Mode = PERSONAL) -> TeachService:
    settings = Settings(gallery=str(tmp_path / "galleries"))
    workspace = SimpleNamespace(settings=settings, model=lambda: model)
    return TeachService(workspace, Jobs(workers=1), mode)  # type: ignore[arg-type]


VISITOR = Visitor("0" * 32, "owner")


def test_teaching_gives_an_adapter_on_the_model_tab_and_figures(tmp_path: Path, model: Sugar) -> None:
    teach = service(tmp_path, model)
    job = teach.start(VISITOR, Shown(tmp_path, 25), TeachRequest("holiday", steps=3))
    assert job.over.wait(300)
    state = job.state()
    assert state.phase == "done", state.problem
    result = state.result
    assert isinstance(result, TeachResult) and (result.captions, result.kept_aside) == (25, 5)
    assert result.adapter in model.adapters and (result.folder / "README.md").is_file()
    assert 0 <= result.after["R@1"] <= 100 and "too few to say" in str(result)
    assert not (tmp_path / "galleries" / ".teaching" / result.adapter).exists()
    model.unload_adapter(result.adapter)  # as after a restart: it is on the disk only
    workspace = SimpleNamespace(
        settings=teach.workspace.settings, model=lambda: model, models=SimpleNamespace(peek=lambda: model)
    )
    models = ModelService(workspace)  # type: ignore[arg-type]
    plain = model.fingerprint
    assert models.adapters() == [result.adapter]
    models.use(result.adapter)
    assert models.facts()["Adapter"] == result.adapter and model.fingerprint != plain
    models.use("")
    assert "Adapter" not in models.facts() and model.fingerprint == plain
    for bad in ("../holiday", "another"):
        with pytest.raises(InputError, match="no adapter"):
            models.use(bad)
    model.unload_adapter(result.adapter)


def test_a_cancelled_run_keeps_nothing(tmp_path: Path, model: Sugar) -> None:
    teach = service(tmp_path, model)
    job = teach.start(VISITOR, Shown(tmp_path, 25), TeachRequest("holiday", "mine", steps=5000))
    job.cancel()
    assert job.over.wait(300) and job.state().phase == "cancelled"
    assert model.adapters == []


def test_what_cannot_be_taught_is_refused(tmp_path: Path, model: Sugar) -> None:
    many, few = Shown(tmp_path, 25), Shown(tmp_path, 5)
    with pytest.raises(SettingsError, match="own machine"):
        service(tmp_path, model, PUBLIC).start(VISITOR, many, TeachRequest("holiday"))
    with pytest.raises(InputError, match="needs 20"):
        service(tmp_path, model).start(VISITOR, few, TeachRequest("holiday"))
    with pytest.raises(InputError, match="cannot name"):
        service(tmp_path, model).start(VISITOR, many, TeachRequest("holiday", "../up"))


@pytest.mark.parametrize(
    ("kept", "before", "after", "said"),
    [
        (14, 40.0, 90.0, "14 kept aside are too few to say what that brought"),
        (15, 40.0, 90.0, "came first for 40 % before and 90 % after. The adapter"),
        (15, 100.0, 100.0, "100 % after. There was nothing to gain."),
    ],
)
def test_a_result_claims_only_what_was_measured(kept: int, before: float, after: float, said: str) -> None:
    result = TeachResult("mine", Path("mine"), 75, kept, {"R@1": before}, {"R@1": after})
    assert said in str(result)


def test_a_run_is_shown_like_all_work() -> None:
    running = JobState("1", "teach", "holiday", "running", 10, 60, "step 10 of 60", 20.0, 100.0)
    shown = jobs_html([running])
    assert "Teaching the captions of holiday" in shown and "step 10 of 60 · 100 s left" in shown
    assert 'value="10" max="60"' in shown
