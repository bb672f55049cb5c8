"""The data set room: every format on files of the published shape, bad rows, mixtures, the check.

Pictures are drawn here. Not covered: what recipes learn (test_training_adapter.py).
"""

from __future__ import annotations

import csv
import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sugar.errors import InputError, SettingsError
from sugar.sequence import Sample
from sugar.training.data import open_data, open_one
from sugar.training.data.check import check, report
from sugar.training.data.example import BadRow, Example, captioned, join
from sugar.training.data.mixture import Mixture
from sugar.training.data.reading import Reader, read_row
from sugar.training.sample_rows import one_caption

WORDS = ["a red star", "a blue cat", "a green tree", "a pink fish"]


def pictures(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for n, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 10), (20 * n, 80, 120)).save(folder / name)
    return folder


NAMES = [f"{n:03d}.png" for n in range(4)]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "beside"])
def test_a_folder_with_captions(tmp_path: Path, kind: str) -> None:
    folder = pictures(tmp_path / "holiday", NAMES)
    rows = list(zip(NAMES, WORDS, strict=True))
    if kind == "beside":
        for name, words in rows:
            (folder / name).with_suffix(".txt").write_text(words)
    elif kind == "jsonl":
        lines = [json.dumps({"file_name": n, "caption": w}) for n, w in rows]
        (folder / "metadata.jsonl").write_text("\n".join(lines))
    else:
        with (folder / f"captions.{kind}").open("w", newline="") as file:
            writer = csv.writer(file, delimiter="," if kind == "csv" else "\t")
            writer.writerows([("file_name", "caption"), *rows])
    dataset, weight = open_one(f"{folder}:2.5")
    assert (len(dataset), weight) == (4, 2.5)
    example = dataset[1]
    assert isinstance(example, Example) and example.pairs == ((1, 0),)
    assert example.samples[0].sample.images[0].size == (12, 10)
    assert example.samples[1].sample.text == "a blue cat" == dataset.captions(1)[0]
    assert example.conversations[0].turns[1].sample.text == "a blue cat"
    pickle.loads(pickle.dumps(dataset))[0]  # workers hold it


def test_coco_and_karpathy(tmp_path: Path) -> None:
    folder = pictures(tmp_path, ["val2017/000000000001.jpg", "val2017/000000000002.jpg"])
    published = {
        "images": [{"id": 7, "file_name": "000000000001.jpg"}, {"id": 8, "file_name": "000000000002.jpg"}],
        "annotations": [{"image_id": 7, "caption": w} for w in WORDS[:2]]
        + [{"image_id": 8, "caption": WORDS[2]}],
    }
    (folder / "captions_val2017.json").write_text(json.dumps(published))
    dataset, _ = open_one(f"coco={folder}#val")
    assert [dataset.captions(i) for i in range(2)] == [WORDS[:2], WORDS[2:3]]
    assert len(dataset[0].samples) == 3
    karpathy = [
        {
            "filepath": "val2017",
            "filename": f"00000000000{n}.jpg",
            "split": s,
            "sentences": [{"raw": WORDS[n]}],
        }
        for n, s in ((1, "train"), (2, "test"))
    ]
    (folder / "dataset_coco.json").write_text(json.dumps({"images": karpathy}))
    dataset, _ = open_one(f"coco={folder / 'dataset_coco.json'}#test")
    assert len(dataset) == 1 and dataset[0].samples[1].sample.text == WORDS[2]


@pytest.mark.parametrize("form", ["token", "plain", "comma", "zip"])
def test_flickr(tmp_path: Path, form: str) -> None:
    folder = pictures(tmp_path / "f", NAMES)
    lines = {
        "token": [f"{n}#{k}\t{w}" for n in NAMES for k, w in enumerate(WORDS[:2])],
        "comma": ["image,caption", *(f"{n},{w}, really" for n in NAMES for w in WORDS[:2])],
    }.get(form, [f"{n}\t{w}" for n in NAMES for w in WORDS[:2]])
    name = {"token": "Flickr8k.token.txt", "comma": "captions.txt"}.get(form, "flickr8k.tsv")
    (folder / name).write_text("\n".join(lines))
    (folder / "flickr8k_train.txt").write_text("\n".join(NAMES[:3]))
    if form == "zip":
        with zipfile.ZipFile(folder / "flickr8k.zip", "w") as zipped:
            for n in NAMES:
                zipped.write(folder / n, n)
                (folder / n).unlink()
    dataset, _ = open_one(f"flickr={folder}#train")
    assert len(dataset) == 3 and len(dataset.captions(0)) == 2
    assert dataset[2].samples[0].sample.images[0].size == (12, 10)
    assert pickle.loads(pickle.dumps(dataset))[0].samples[1].sample.text.startswith(WORDS[0])


def test_llava(tmp_path: Path) -> None:
    folder = pictures(tmp_path, ["a.jpg"])
    talk = [
        {"from": "human", "value": "<image>\nWhat is it?"},
        {"from": "gpt", "value": "A star."},
        {"from": "human", "value": "Its colour?"},
        {"from": "gpt", "value": "Red."},
    ]
    rows = [
        {"id": "1", "image": "a.jpg", "conversations": talk},
        {"id": "2", "image": "a.jpg", "conversations": talk[1:]},
        {"id": "3", "image": "missing.jpg", "conversations": talk},
    ]
    (folder / "mix.json").write_text(json.dumps(rows))
    dataset, _ = open_one(f"llava={folder}")
    turns = dataset[0].conversations[0].turns
    assert [t.role for t in turns] == ["user", "assistant", "user", "assistant"]
    assert [s.is_image for s in turns[0].sample] == [True, False] and turns[3].sample.text == "Red."
    assert [isinstance(read_row(dataset, i), BadRow) for i in range(3)] == [False, True, True]


def test_mmc4_and_vist(tmp_path: Path) -> None:
    folder = pictures(tmp_path, ["x.png", "y.png", "11.jpg", "12.jpg", "13.jpg"])
    document = {
        "text_list": ["First.", "Second.", "Third."],
        "image_info": [
            {"image_name": "x.png", "matched_text_index": 1},
            {"image_name": "y.png", "matched_text_index": 2},
        ],
    }
    (folder / "docs.jsonl").write_text(json.dumps(document) + "\n")
    target = open_one(f"mmc4={folder}")[0][0].samples[0]
    assert [s.is_image for s in target.sample] == [False, True, False, True, False]
    assert target.language and target.allowed == (0, 1, 2, 3, 4)
    lines = [
        [
            {
                "story_id": "5",
                "worker_arranged_photo_order": n,
                "text": WORDS[n],
                "photo_flickr_id": str(11 + n),
            }
        ]
        for n in (2, 0, 1)
    ]
    (folder / "val.story-in-sequence.json").write_text(json.dumps({"annotations": lines}))
    example = open_one(f"vist={folder}#val")[0][0]
    query, referent = (t.sample for t in example.samples)
    assert example.referents == ((0, 1),) and [s.is_image for s in query] == [False, True] * 2 + [False]
    assert query.text.splitlines() == WORDS[:3] and referent.images[0].size == (12, 10)


def test_webdataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "shard.tar"
    with tarfile.open(path, "w") as tar:
        for n, words in enumerate(WORDS):
            made = io.BytesIO()
            Image.new("RGB", (12, 10)).save(made, "PNG")
            for suffix, data in (("png", made.getvalue()), ("txt", words.encode())):
                info = tarfile.TarInfo(f"{n:04d}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    dataset, _ = open_one(f"webdataset={path}")
    assert len(dataset) == 4 and dataset[3].samples[1].sample.text == WORDS[3]


def test_the_drawn_world_is_one_data_set() -> None:
    world, _ = open_one("drawn")
    examples = [world[n] for n in range(6)]
    assert examples[1].swaps and examples[3].referents and len(examples[5].samples[0].sample) == 9
    again = [s.sample.text for s in world[0].samples[1:]]
    assert again == [s.sample.text for s in examples[0].samples[1:]]
    assert all(hasattr(s, "facts") for e in examples for s in e.slices)


def test_unknown_data_is_refused(tmp_path: Path) -> None:
    for spec in ("parrot=here", str(tmp_path / "nowhere")):
        with pytest.raises(SettingsError):
            open_one(spec)
    with pytest.raises(SettingsError, match="Name what to train on"):
        open_data([])
    with pytest.raises(InputError, match="neither a table"):
        open_one(str(pictures(tmp_path / "bare", NAMES)))


# --- examples, mixtures, bad rows ---------------------------------------------------------------------------


class Numbers:
    """Rows whose caption is their number; those below `bad` cannot be opened."""

    def __init__(self, name: str, size: int, bad: int = 0) -> None:
        self.name, self.size, self.bad = name, size, bad

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Example:
        if index < self.bad:
            raise InputError("torn")
        return captioned(Image.new("RGB", (8, 8)), [f"{self.name} {index}"], source=f"{self.name}: {index}")

    def captions(self, index: int) -> list[str]:
        return [f"{self.name} {index}"]


def test_join_shifts_numbers() -> None:
    one = captioned(Image.new("RGB", (8, 8)), ["a", "b"])
    both = join([one, one])
    assert both.pairs == ((1, 0), (2, 0), (4, 3), (5, 3)) and len(both.conversations) == 2


def test_one_caption_is_embedded_and_answered() -> None:
    example = captioned(Image.new("RGB", (8, 8)), ["a", "b", "c"])
    seen = set()
    for seed in range(20):
        chosen = one_caption(example, np.random.default_rng(seed))
        words = chosen.samples[1].sample.text
        assert chosen.pairs == ((1, 0),) and chosen.conversations[0].turns[1].sample.text == words
        seen.add(words)
    assert seen == {"a", "b", "c"}


def test_mixtures_keep_their_shares_and_repeat_no_row_within_an_epoch() -> None:
    mixture = Mixture([Numbers("x", 10), Numbers("y", 40)], [2, 1], seed=3)
    drawn = [pair for step in range(5) for pair in mixture.rows(step, 6)]
    assert [sum(d == k for d, _ in drawn) for k in (0, 1)] == [20, 10]
    x = [row for d, row in drawn if d == 0]
    assert sorted(x[:10]) == sorted(x[10:]) == list(range(10)) and x[:10] != x[10:]
    assert Mixture([Numbers("x", 10), Numbers("y", 40)], [2, 1], seed=3).rows(4, 6) == drawn[-6:]
    held = Mixture([Numbers("x", 10)], seed=3, held_out=0.3)
    assert len(held) == 7 and not {r for _, r in held.validation} & set(held.kept[0].tolist())
    with pytest.raises(SettingsError):
        Mixture([Numbers("x", 10)], [0])


def test_bad_rows_are_skipped_and_counted_and_too_many_stop() -> None:
    reader = Reader(Mixture([Numbers("x", 200, bad=3)], seed=0))
    for step in range(25):
        assert len(reader.examples(step, 8)) == 8
    assert len(reader.bad) == 3
    with pytest.raises(InputError, match="more than 5%"):
        poor = Reader(Mixture([Numbers("x", 100, bad=20)], seed=0))
        for step in range(25):
            poor.examples(step, 4)


def test_the_check_says_what_is_wrong(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "set", NAMES)
    rows = [
        ("file_name", "caption"),
        *zip(NAMES, ["a red star", "a red star", "a blue cat", ""], strict=True),
    ]
    with (folder / "captions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([*rows, ("gone.png", "a moon")])
    dataset, _ = open_one(str(folder))
    test, _ = open_one(str(folder))
    found = check(dataset, [test], model="sugar-tiny", rows=10, out=tmp_path / "out")
    assert (found.rows, found.opened, found.duplicates, len(found.bad)) == (5, 5, 1, 2) and not found.usable
    assert found.overlap == {"set": 4} and Image.open(found.grid).size[0] >= 160
    text = report(found)
    assert "gone.png is missing" in text and "The caption is empty" in text and "learnt: 'a red star" in text
    assert json.dumps(found.flat()) and found.flat()["lengths"]["most"] > 5


def test_samples_know_their_allowed_positions() -> None:
    from sugar.training.data.example import Target

    assert Target(Sample(["a", "b", "c"])).allowed == (0, 1, 2)
    assert Target(Sample(["a", "b", "c"]), (2,)).allowed == (2,)


def test_the_drawn_world_s_teachers_read_facts() -> None:
    from sugar.training.teachers import SceneEncoders, batch_facts, labels

    example = open_one("drawn")[0][5]  # a story: nine slices and its last picture
    facts = batch_facts(example, [[2, 8], [0]], SceneEncoders())
    target = labels(facts, relabel=True, same_sample="kernel")
    assert target.shape == (3, 3) and target[1, 2] == pytest.approx(1.0, abs=1e-5)
    assert labels(facts)[0, 1] == 1.0 and 0 <= target[0, 1] < 1
    with pytest.raises(InputError, match="drawn world only"):
        SceneEncoders().encode([Sample("a star")[0]])
