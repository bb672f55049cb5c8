"""sugar-photo as shipped: small files, one way in, the answers and figures that its card shows."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sugar.core import Sugar
from sugar.evaluation.golden import PICTURES, differences, of_photos, photos
from sugar.evaluation.photo_card import write_card
from sugar.evaluation.report import missed
from sugar.evaluation.tasks.photos import FOREIGN, ROWS
from sugar.everyday.scope import OUT_OF_SCOPE_TEST, REFUSAL
from sugar.model.cells import familiarity, heat
from sugar.sequence import Sample, Sampling
from sugar.services.model_slot import ModelSlot
from sugar.services.workspace import Workspace
from sugar.settings import Settings
from sugar.ui.components import ended_line

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "sugar-photo"


@pytest.fixture(scope="module")
def model() -> Sugar:
    return Sugar.from_pretrained(device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def stored() -> dict:
    return json.loads((FOLDER / "golden.json").read_text("utf-8"))


def test_it_is_the_model_that_starts(model: Sugar) -> None:
    assert model.name == "sugar-photo" == Settings().model
    assert model.encoder == "sugar" and model.profile.good_at.startswith("Everyday photos")


def test_files_are_small_safetensors_with_a_card() -> None:
    files = list(FOLDER.iterdir())
    assert all(f.stat().st_size < 9_000_000 for f in files)
    assert sum(f.stat().st_size for f in files) < 40_000_000
    assert not [f for f in files if f.suffix in (".bin", ".pt", ".pkl")]
    assert "Limits" in (FOLDER / "README.md").read_text("utf-8")
    assert "EfficientNet-Lite0" in (FOLDER.parents[1] / "NOTICE").read_text("utf-8")


def test_plain_transformers_opens_it_once_the_tower_is_registered() -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from sugar.model.efficientnet import EfficientNetLite, register

    register()
    assert AutoProcessor.from_pretrained(FOLDER).tokenizer is not None
    plain = AutoModelForImageTextToText.from_pretrained(FOLDER)
    assert plain.config.model_type == "llava"
    assert isinstance(plain.model.vision_tower, EfficientNetLite)


def test_it_says_what_its_card_says(model: Sugar, stored: dict) -> None:
    assert differences(of_photos(model), stored) == []


def test_the_card_follows_from_the_files(tmp_path: Path) -> None:
    for name in ("training.json", "quality.json", "golden.json"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    for shard in FOLDER.glob("*.safetensors"):
        (tmp_path / shard.name).write_bytes(shard.read_bytes())
    assert write_card(tmp_path).read_text("utf-8") == (FOLDER / "README.md").read_text("utf-8")


def test_quality_was_measured_on_the_test_split_and_hides_nothing() -> None:
    quality = json.loads((FOLDER / "quality.json").read_text("utf-8"))
    assert quality["split"] == "test" and quality["size"] == 1000
    assert quality["missed"] == missed(ROWS, quality)


def test_photos_are_found_by_what_they_show(model: Sugar) -> None:
    shown = photos()
    rows = model.embed([Sample([picture]) for picture in shown.values()]).pooled
    queries = {"motorcycle": "a motorcycle", "chelsea": "a cat", "camera": "a man with a camera"}
    ranks = []
    for name, words in queries.items():
        scores = rows @ model.embed([Sample(words)]).pooled[0]
        ranks.append(int((scores > scores[PICTURES.index(name)]).sum()))
    assert sum(rank == 0 for rank in ranks) >= 2 and max(ranks) <= 2  # by chance: 1 in 9 each


def test_what_it_cannot_do_is_said_in_its_one_sentence(model: Sugar) -> None:
    said = ["".join(model.generate(Sample(text))) for text in OUT_OF_SCOPE_TEST[:20]]
    assert sum(answer == REFUSAL for answer in said) >= 16
    photo = photos()["coffee"]
    assert "".join(model.generate(Sample([photo, "what is in the picture?"]))) != REFUSAL


def test_pictures_from_nowhere_are_unfamiliar(model: Sugar) -> None:
    rng = np.random.default_rng(0)
    threshold = model.profile.unsure
    assert threshold is not None
    for name in ("noise", "flat", "text"):
        scores = familiarity(model.model, model.processor, [FOREIGN[name](rng) for _ in range(6)])
        assert scores is not None and (scores < threshold).mean() >= 0.8
    shown = photos()
    real = [shown[name] for name in ("astronaut", "coffee", "motorcycle", "camera", "rocket")]
    known = familiarity(model.model, model.processor, real)
    assert known is not None and (known > threshold).all()


def test_heat_is_where_the_thing_is(model: Sugar) -> None:
    photo = photos()["motorcycle"].resize((112, 224))
    blank = Image.new("RGB", (224, 224), (200, 200, 200))
    blank.paste(photo, (112, 0))
    query = model.embed([Sample("a motorcycle")]).pooled[0]
    warm = heat(model.model, model.processor, blank, query)
    assert warm is not None and warm.shape == (7, 7)
    assert warm[:, 4:].mean() > warm[:, :3].mean()


class Asker:
    """A visitor who never stops an answer."""

    @contextmanager
    def answering(self) -> Iterator[threading.Event]:
        yield threading.Event()


def test_an_answer_about_noise_says_that_it_is_not_sure(model: Sugar) -> None:
    slot = ModelSlot(lambda name, progress: model)
    slot.start("sugar-photo")
    workspace = Workspace(Settings(), slot, None)  # type: ignore[arg-type]
    noise, photo = FOREIGN["noise"](np.random.default_rng(0)), photos()["camera"]
    said = [
        list(workspace.generate(Asker(), Sample([picture, "what is this?"]), Sampling()))[-1]  # type: ignore[arg-type]
        for picture in (noise, photo)
    ]
    assert said[0].unsure and not said[1].unsure
    assert ended_line(said[0]).startswith("I am not sure what this shows")
    assert "not sure" not in ended_line(said[1])
