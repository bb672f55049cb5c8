"""The data set room: every format on files of the published shape, bad rows, mixtures, the check.

Pictures are drawn here. Not covered: what recipes learn (test_training_adapter.py).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from toy import ToyEmbedder

from sugar.__main__ import main
from sugar.errors import InputError, SettingsError
from sugar.gallery import Gallery
from sugar.model.processor import Layout
from sugar.training.data import open_data, open_one
from sugar.training.data.check import check, report
from sugar.training.data.example import BadRow, Example, captioned, join, texts_of
from sugar.training.data.mixture import Mixture, Reader, read_row
from sugar.training.losses import Terms
from sugar.training.sample_rows import SampleRows, StepReader, TrainRow, one_caption

WORDS = ["a red star", "a blue cat", "a green tree", "a pink fish"]


def pictures(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for n, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 10), (20 * n, 80, 120)).save(folder / name)
    return folder


NAMES = [f"{n:03d}.png" for n in range(4)]


def test_a_folder_with_captions(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "holiday", NAMES)
    rows = [("file_name", "caption"), *zip(NAMES, WORDS, strict=True)]
    (folder / "captions.csv").write_text("\n".join(map(",".join, rows)))
    dataset, weight = open_one(f"{folder}:2.5")
    assert (len(dataset), weight) == (4, 2.5)
    example = dataset[1]
    assert isinstance(example, Example) and example.pairs == ((1, 0),)
    assert example.samples[0].sample.images[0].size == (12, 10)
    assert example.samples[1].sample.text == "a blue cat" == dataset.captions(1)[0]
    assert example.conversations[0].turns[1].sample.text == "a blue cat"
    pickle.loads(pickle.dumps(dataset))[0]  # workers hold it


@pytest.mark.parametrize("zipped", [False, True])
def test_flickr(tmp_path: Path, zipped: bool) -> None:
    folder = pictures(tmp_path / "f", NAMES)
    (folder / "flickr8k.tsv").write_text("\n".join(f"{n}\t{w}" for n in NAMES for w in WORDS[:2]))
    (folder / "flickr8k_train.txt").write_text("\n".join(NAMES[:3]))
    if zipped:
        with zipfile.ZipFile(folder / "flickr8k.zip", "w") as file:
            for n in NAMES:
                file.write(folder / n, n)
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


def story_line(story: str, order: int, photo: str, text: str | None) -> list[dict[str, object]]:
    line = {"story_id": story, "worker_arranged_photo_order": order, "photo_flickr_id": photo, "text": text}
    return [line]


def test_mmc4_and_vist(tmp_path: Path) -> None:
    folder = pictures(tmp_path, ["x.png", "y.png", "11.jpg", "12.jpg", "13.jpg"])
    shown = [{"image_name": f"{name}.png", "matched_text_index": n} for n, name in ((1, "x"), (2, "y"))]
    document = {"text_list": ["First.", "Second.", "Third."], "image_info": shown}
    (folder / "docs.jsonl").write_text(json.dumps(document) + "\n")
    target = open_one(f"mmc4={folder}")[0][0].samples[0]
    assert [s.is_image for s in target.sample] == [False, True, False, True, False]
    assert target.language and target.allowed == (0, 1, 2, 3, 4)
    lines = [story_line("5", n, str(11 + n), WORDS[n]) for n in (2, 0, 1)]
    (folder / "val.story-in-sequence.json").write_text(json.dumps({"annotations": lines}))
    example = open_one(f"vist={folder}#val")[0][0]
    query, referent = (t.sample for t in example.samples)
    assert example.referents == ((0, 1),) and [s.is_image for s in query] == [False, True] * 2 + [False]
    assert query.text.splitlines() == WORDS[:3] and referent.images[0].size == (12, 10)


def picture_bytes(kind: str) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (12, 10)).save(made, kind)
    return made.getvalue()


JPEG, PNG = picture_bytes("JPEG"), picture_bytes("PNG")


def tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def said(spec: str) -> list[list[str] | str]:
    """What each row says: its texts, or why it is bad. No row's captions raise."""
    dataset, _ = open_one(spec)
    rows = [read_row(dataset, i) for i in range(len(dataset))]
    for i, row in enumerate(rows):
        assert isinstance(row, BadRow) or dataset.captions(i), "a good row has texts"
        assert all(isinstance(c, str) and c for c in dataset.captions(i))
    return [r.reason if isinstance(r, BadRow) else texts(r) for r in rows]


def texts(row: Example) -> list[str]:
    if row.conversations and row.conversations[0].skill == "answer":
        return [s.text for t in row.conversations[0].turns for s in t.sample if not s.is_image]
    return [s.text for s in row.slices if not s.is_image]


def test_the_drawn_world_is_one_data_set() -> None:
    tuning, weight = open_one("drawn#tuning:2")
    assert tuning.captions(0) and weight == 2 and "tuning" in tuning[0].source
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


# --- files as people have them ------------------------------------------------------------------------------

EMPTY = "The caption is empty or null."
TALK = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "a dog"}]


def ask(question: object, answer: object, **row: object) -> dict[str, object]:
    return {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}], **row}


LLAVA_ROWS = {
    "no picture": (ask("Hi", "Hello", image=None), ["Hi", "Hello"]),
    "an empty name": (ask("Hi", "Hello", image=""), ["Hi", "Hello"]),
    "a list of no names": (ask("Hi", "Hello", images=[None]), ["Hi", "Hello"]),
    "no mark": (ask("What?", "a dog", image="a.jpg"), ["What?", "a dog"]),
    "images": (ask("<image>What?", "a dog", images=["a.jpg"]), ["What?", "a dog"]),
    "two pictures": (ask("<image>A <image> B?", "no", image=["a.jpg", "b.jpg"]), ["A", "B?", "no"]),
    "messages": (
        {
            "messages": [
                {"role": "user", "content": "<image>What?"},
                {"role": "assistant", "content": "a dog"},
            ],
            "images": ["a.jpg"],
        },
        ["What?", "a dog"],
    ),
    "parts": (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image", "image": "a.jpg"}, {"type": "text", "text": "Q"}],
                },
                {"role": "assistant", "content": [{"type": "text", "text": "A"}]},
            ]
        },
        ["Q", "A"],
    ),
    "roles": (
        {"conversations": [{"from": "Human", "value": "q"}, {"from": "BOT", "value": "a"}]},
        ["q", "a"],
    ),
    "an empty system turn": (
        {"conversations": [{"from": "system", "value": ""}, *TALK], "image": "a.jpg"},
        ["What?", "a dog"],
    ),
    "a system text": (ask("q", "a", system="Be short."), ["Be short.", "q", "a"]),
    "two questions": (
        {"conversations": [{"from": "human", "value": "one"}, *TALK], "image": "a.jpg"},
        ["one", "What?", "a dog"],
    ),
    "a mark in the answer": (ask("<image>\nq", "an <image> tag", image="a.jpg"), ["q", "an <image> tag"]),
    "a mark in a sentence": (
        ask("<image>\nWhat is <image> here?", "a tag", image="a.jpg"),
        ["What is <image> here?", "a tag"],
    ),
    "backslashes": (ask("<image>q", "a", image="images\\c.jpg"), ["q", "a"]),
    "another machine's path": (ask("<image>q", "a", image="/home/ann/set/images/C.JPG"), ["q", "a"]),
    "a published folder": (ask("<image>q", "a", image="coco/train2017/d.jpg"), ["q", "a"]),
    "a number": (ask("<image>How many?", 4, image="a.jpg"), ["How many?", "4"]),
    "unseen signs": (ask("q", "\ufeff\u200b "), "Turn 2, of gpt, is empty or null"),
    "the word None": (ask("How many?", "None"), ["How many?", "None"]),
    "an address": (ask("<image>q", "a", image="http://x.org/a.jpg"), "is an address"),
    "a NUL": (ask("<image>q", "a", image="a\0.jpg"), r"a\x00.jpg is missing"),
    "a long name": (ask("<image>q", "a", image="a" * 5000), "...aaa"),
    "an object for a name": (ask("<image>q", "a", image={"path": "a.jpg"}), "`image` is an object"),
    "a null answer": (ask("q", None), "Turn 2, of gpt, is empty or null"),
    "NaN": (ask("q", float("nan")), "Turn 2, of gpt, is empty or null"),
    "a null question": (ask(None, "a"), "Turn 1, of human, is empty or null"),
    "an unknown role": ({"conversations": [{"from": "cat", "value": "q"}]}, "said by 'cat'"),
    "no conversation": ({"id": 1}, "Its conversation is null"),
    "a text for a conversation": ({"conversations": "q"}, "Its conversation is a text"),
    "a null turn": ({"conversations": [None, *TALK]}, "Turn 1 is null"),
    "marks without pictures": (
        ask("<image>\n<image>q", "a", image="a.jpg"),
        "2 <image> marks and 1 pictures",
    ),
    "a null row": (None, "The row is null"),
    "a text for a row": ("oops", "The row is a text"),
    "a number for a row": (7, "The row is a number"),
}


@pytest.mark.parametrize("suffix", [".json", ".jsonl", "lines.json", ".json.gz"])
def test_llava_rows_of_many_hands(tmp_path: Path, suffix: str) -> None:
    """Whatever a row is, it is learnt as a person expects, or it is a bad row with its reason."""
    folder = pictures(tmp_path / "set", ["a.jpg", "b.jpg", "images/c.jpg", "train2017/d.jpg"])
    rows = [row for row, _ in LLAVA_ROWS.values()]
    dumped = json.dumps(rows) if suffix == ".json" else "\n".join(map(json.dumps, rows))
    data = b"\xef\xbb\xbf" + dumped.encode()
    (folder / f"mix{suffix}").write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    for name, found, (_, wanted) in zip(
        LLAVA_ROWS, said(f"llava={folder}"), LLAVA_ROWS.values(), strict=True
    ):
        assert found == wanted if isinstance(wanted, list) else wanted in found, name


def test_a_broken_line_is_a_bad_row(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text(f'{json.dumps(ask("q", "a"))}\n{{"conversations": \n')
    assert said(f"llava={tmp_path}")[0] == ["q", "a"] and "not JSON" in said(f"llava={tmp_path}")[1]
    (tmp_path / "d.jsonl").write_text('{"image": "a.jpg"}\n')
    with pytest.raises(InputError, match="not a list of rows with"):
        open_one(f"llava={tmp_path}")


MMC4_ROWS = [
    ({"text_list": ["one\u2028two", None, "three"]}, {"matched_text_index": 0}, ["one\u2028two", "three"]),
    ({"text_list": ["one"]}, {"matched_text_index": None}, "`matched_text_index` null"),
    ({"text_list": ["one"]}, {"matched_text_index": 7}, "`matched_text_index` 7; the texts are 0 to 0"),
    ({"text_list": ["one"]}, {"matched_text_index": -1}, "`matched_text_index` -1"),
    ({"text_list": ["one"]}, {"image_name": None}, "has no `image_name`"),
    ({"text_list": [None, ""]}, {}, "says nothing"),
    ({"text_list": None}, {}, "`text_list` is null"),
    ({"text_list": ["one"], "image_info": None}, None, "`image_info` is null"),
    ({"text_list": ["one"], "image_info": [None]}, None, "is null, not an object"),
    (None, None, "The row is null"),
    ("oops", None, "The row is a text"),
]


def test_mmc4_rows_of_many_hands(tmp_path: Path) -> None:
    folder = pictures(tmp_path, ["a.jpg"])
    info = {"image_name": "a.jpg", "matched_text_index": 0}
    rows = [row if more is None else {"image_info": [info | more], **row} for row, more, _ in MMC4_ROWS]
    (folder / "docs.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows), "utf-8")
    for found, (_, _, wanted) in zip(said(f"mmc4={folder}"), MMC4_ROWS, strict=True):
        assert found == wanted if isinstance(wanted, list) else wanted in found
    assert "Empty or null sentences, left out: 3." in open_one(f"mmc4={folder}")[0].notes


def test_a_story_without_a_text_is_one_bad_row(tmp_path: Path) -> None:
    folder = pictures(tmp_path, ["1.png", "2.jpg"])
    lines = [(s, n, p, t) for s in "56" for n, (p, t) in enumerate((("1", "a"), ("2", "b")))]
    told = [story_line(s, n, p, None if s + p == "62" else t) for s, n, p, t in lines]
    (folder / "val.json").write_text(json.dumps({"annotations": [*told, None]}))
    rows = said(f"vist={folder}#val")
    assert rows[0] == ["a", "b"] and all("without a text" in str(r) for r in rows[1:]) and len(rows) == 3


TARS: dict[str, tuple[dict[str, bytes], list[object]]] = {
    "dots in names": (
        {"22.05.jpg": JPEG, "22.05.txt": b"x", "22.06.jpg": JPEG, "22.06.txt": b"y", "22.07.jpg": JPEG},
        [["x"], ["y"], "It has no caption"],
    ),
    "dots in one name": ({"a.jpg": JPEG, "a.txt": b"x", "b.v2.jpg": JPEG, "b.v2.txt": b"y"}, [["x"], ["y"]]),
    "dots in the folder": ({"train.v1/1.jpg": JPEG, "train.v1/1.txt": b"x"}, [["x"]]),
    "several files of a key": (
        {"1.jpg": JPEG, "1.seg.png": PNG, "1.caption.txt": b"x", "1.cls": b"7"},
        [["x"]],
    ),
    "mixed endings": (
        {"1.jpg": JPEG, "1.txt": b"x", "2.png": PNG, "2.txt": b"y", "3.JPEG": JPEG, "3.TXT": b"z"},
        [["x"], ["y"], ["z"]],
    ),
    "no text in the first": ({"1.jpg": JPEG, "2.jpg": JPEG, "2.txt": b"y"}, ["It has no caption", ["y"]]),
    "json": (
        {
            "1.jpg": JPEG,
            "1.json": b'{"caption": "x", "width": 6}',
            "2.jpg": JPEG,
            "2.json": b'{"caption": null}',
        },
        [["x"], EMPTY],
    ),
    "null beside a caption": ({"1.jpg": JPEG, "1.json": b'{"caption": ["x", null, NaN]}'}, [["x"]]),
    "no JSON": ({"1.jpg": JPEG, "1.json": b"{x"}, ["cannot be read"]),
    "blanks": ({"1.jpg": JPEG, "1.txt": b" \n", "2.jpg": JPEG, "2.txt": b"None"}, [EMPTY, EMPTY]),
    "macOS": ({"./._1.jpg": b"\0\5", "__MACOSX/1.jpg": b"\0", "./1.jpg": JPEG, "./1.txt": b"x"}, [["x"]]),
    "gzipped members": ({"1.jpg": JPEG, "1.json.gz": gzip.compress(b'{"text": "x"}')}, [["x"]]),
    "a damaged picture": ({"1.jpg": JPEG[:60], "1.txt": b"x"}, ["damaged"]),
}


@pytest.mark.parametrize("name", TARS)
def test_tars_of_many_hands(tmp_path: Path, name: str) -> None:
    members, wanted = TARS[name]
    for found, want in zip(said(f"webdataset={tar(tmp_path / 't.tar', members)}"), wanted, strict=True):
        assert found == want if isinstance(want, list) else str(want) in found


def test_several_tars_as_people_name_them(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    for n, mode in enumerate(("w", "w", "w:gz")):
        suffix = "tar.gz" if mode == "w:gz" else "tar"
        tar(folder / f"s-{n:03d}.{suffix}", {"0.jpg": JPEG, "0.txt": WORDS[n].encode()}, mode)
    ways = {
        "": 3,
        "/s-{000..001}.tar": 2,
        "/*.tar": 2,
        f"/s-000.tar::{folder}/s-001.tar": 2,
        "/s-{000,001}.tar:3": 2,
    }
    for way, count in ways.items():
        assert said(f"webdataset={folder}{way}") == [[w] for w in WORDS[:count]], way
    gzipped, _ = open_one(f"webdataset={folder}/s-002.tar.gz")
    unpacked = gzipped._tars[0]  # type: ignore[attr-defined]
    assert unpacked.is_file() and pickle.loads(pickle.dumps(gzipped))[0]
    del gzipped
    assert not unpacked.exists()
    cut = (folder / "s-000.tar").read_bytes()[:1700]
    (folder / "s-000.tar").write_bytes(cut)
    assert "cut short" in open_one(f"webdataset={folder}/s-000.tar")[0].notes[0]
    for wrong in ("/s-{000..005}.tar", "/*.zip", "://x"):
        with pytest.raises(InputError):
            open_one(f"webdataset={folder}{wrong}")
    with pytest.raises(InputError, match="is an address"):
        open_one("webdataset=https://example.org/a.tar")


def coco_file(*named: tuple[object, object], said: object = None) -> str:
    annotations = said or [{"image_id": i, "caption": WORDS[n]} for n, (i, _) in enumerate(named)]
    return json.dumps({"images": [{"id": i, "file_name": f} for i, f in named], "annotations": annotations})


def test_coco_as_people_have_it(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "coco", ["val2017/1.jpg", "val2017/2.jpg"])
    file = folder / "annotations" / "captions_val2017.json"
    file.parent.mkdir()
    for names in (("1.jpg", "2.jpg"), ("val2017/1.jpg", "coco/val2017/2.jpg")):
        file.write_text(coco_file((1, names[0]), ("2", names[1])))
        for spec in (f"{folder}#val", folder, file, file.parent, folder / "val2017"):
            assert said(f"coco={spec}") == [[WORDS[0]], [WORDS[1]]], spec
    beside = pictures(tmp_path / "flat", ["1.jpg"]) / "mine.json"
    beside.write_text(coco_file((1, "val2017/1.jpg")))
    assert said(f"coco={beside}") == said(f"coco={beside.parent}") == [[WORDS[0]]]
    assert "#train is passed over" in open_one(f"coco={file}#train")[0].notes[0]
    (folder / "annotations" / "captions_train2017.json").write_text(coco_file((1, "1.jpg")))
    assert (
        "captions_train2017.json is read, not captions_val2017.json" in open_one(f"coco={folder}")[0].notes[0]
    )


def test_coco_annotations_of_nothing(tmp_path: Path) -> None:
    file = pictures(tmp_path, ["1.jpg", "2.jpg"]) / "captions.json"
    rows = [(1, "x"), (1, None), (2, None), (3, "y"), (999, "z"), (None, "z"), (2, "nan")]
    annotations = [*({"image_id": i, "caption": c} for i, c in rows), None, "x", {"image_id": 2}]
    file.write_text(coco_file((1, "1.jpg"), (2, "2.jpg"), (3, None), said=annotations))
    first, *others = said(f"coco={file}")
    assert first == ["x"] and "Empty or null captions" in open_one(f"coco={file}")[0].notes[0]
    wanted = [EMPTY, "3 has no file name", "999 is not among", *["names no picture"] * 3]
    assert len(others) == 6 and all(w in str(o) for w, o in zip(wanted, others, strict=True))
    file.write_text(coco_file((1, "1.jpg"), said=[{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4]}]))
    with pytest.raises(InputError, match="holds no captions: its annotations have bbox, category_id"):
        open_one(f"coco={file}")


@pytest.mark.parametrize("kind", ["coco", "flickr"])
def test_karpathy_s_splits(tmp_path: Path, kind: str) -> None:
    folder = pictures(
        tmp_path, ["flickr30k-images/1.jpg", "flickr30k-images/2.jpg", "flickr30k-images/3.jpg"]
    )
    where = {"filepath": "flickr30k-images"} if kind == "coco" else {}
    images = [
        {**where, "filename": f"{n}.jpg", "split": s, "sentences": [{"raw": c} for c in raw]}
        for n, s, raw in ((1, "train", ["x", None]), (2, "restval", ["y"]), (3, "test", [None]))
    ]
    (folder / "dataset_flickr30k.json").write_text(json.dumps({"images": images}))
    spec = f"{kind}={folder}"
    assert said(f"{spec}#train") == [["x"], ["y"]] and said(f"{spec}#restval") == [["y"]]
    assert any("restval" in n for n in open_one(f"{spec}#train")[0].notes)
    assert EMPTY in said(f"{spec}#test")[0] and len(said(spec)) == 3
    with pytest.raises(InputError, match="no split 'val'; it has train, restval, test"):
        open_one(f"{spec}#val")


FLICKR = {
    "tokens": (
        "Flickr8k.token.txt",
        'a.jpg#0\tA , in , pink ; x\na.jpg#1\t"A dog" .\n',
        ["A , in , pink ; x", '"A dog" .'],
    ),
    "Kaggle": (
        "captions.txt",
        'image,caption\na.jpg,"A dog, a ""cat"" ."\na.jpg,A man, sitting .\n',
        ['A dog, a "cat" .', "A man, sitting ."],
    ),
    "bars": (
        "results.csv",
        "image_name| comment_number| comment\na.jpg| 0| Two , dogs .\na.jpg| 1| b | c\n",
        ["Two , dogs .", "b | c"],
    ),
    "three columns": (
        "captions.txt",
        "image_name,comment_number,comment\na.jpg,0, Two , dogs\n",
        ["Two , dogs"],
    ),
    "a # in the name": ("captions.txt", "image,caption\na#1.jpg,A dog .\n", ["A dog ."]),
}


@pytest.mark.parametrize("name", FLICKR)
def test_flickr_as_people_have_it(tmp_path: Path, name: str) -> None:
    file, text, wanted = FLICKR[name]
    folder = pictures(tmp_path, ["Images/a.jpg", "Images/a#1.jpg"])
    (folder / file).write_text(text, "utf-8")
    (folder / "Flickr8k.lemma.token.txt").write_text("a.jpg#0\tlemma\n")
    assert said(f"flickr={folder}{'' if file.startswith('Flickr8k') else f'/{file}'}") == [wanted]


FOLDERS: dict[str, tuple[str, bytes | str, list[object]]] = {
    "semicolons of Excel": (
        "captions.csv",
        "file;caption\r\na.jpg;B\u00e4rli, im Schnee\r\n".encode("cp1252"),
        [["B\u00e4rli, im Schnee"]],
    ),
    "an open quotation mark": (
        "captions.tsv",
        'file\tcaption\na.jpg\t"open dog\nb.jpg\t"Pizza" sign\n',
        [['"open dog'], ['"Pizza" sign']],
    ),
    "no header": (
        "captions.csv",
        "a.jpg,my dog; old; brown\nb.jpg,my cat\n",
        [["my dog; old; brown"], ["my cat"]],
    ),
    "a header in other words": ("captions.csv", "Datei;Text dazu\na.jpg;x\n", [["x"]]),
    "names in other spellings": (
        "Captions.CSV",
        "File Name,Caption\n./A.JPG,x\nsub\\c.jpg,y\nu\u0308.jpg,z\n",
        [["x"], ["y"], ["z"]],
    ),
    "pandas": ("captions.csv", "file,caption\na.jpg,nan\nb.jpg,None\n", [EMPTY, EMPTY]),
    "nothing": ("captions.csv", "file,caption\na.jpg,\n,x\nb.jpg,  \n", [EMPTY, "names no picture", EMPTY]),
    "null in lines": (
        "captions.jsonl",
        '{"file": "a.jpg", "caption": null}\nnull\n{"file": "b.jpg", "caption": ["x\u2028y", null, 4]}\n{x\n',
        [EMPTY, "It is null", ["x\u2028y", "4"], "not JSON"],
    ),
    "an object": ("captions.json", '{\n"a.jpg": "x",\n"b.jpg": ["y", null]}', [["x"], ["y"]]),
    "a wrapped list": ("captions.json", '{"data": [{"image": "a.jpg", "caption": "x"}]}', [["x"]]),
    "lists of pandas": (
        "captions.csv",
        "file,caption\na.jpg,\"['x', None]\"\nb.jpg,\"['one' 'two']\"\n",
        [["x"], ["['one' 'two']"]],
    ),
    "kohya": ("meta.json", '{"a.jpg": {"caption": "x"}, "b": {"caption": null}}', [["x"], EMPTY]),
    "lists in cells": ("captions.csv", 'raw,filename\n"[""x"", null]",a.jpg\n', [["x"]]),
    "a text beside": ("a.txt", "\ufeffB\u00e4rli", [["B\u00e4rli"]]),
    "a Windows text beside": ("A.TXT", "B\u00e4rli im Schnee".encode("cp1252"), [["B\u00e4rli im Schnee"]]),
    "an empty text beside": ("a.jpg.txt", "", [EMPTY]),
    "no text beside": ("a.txt", b"\0\1\2\3\0\0\5\6", ["not a text"]),
    "paths elsewhere": ("captions.csv", "file,caption\n/etc/passwd,x\n../../a.jpg,y\n", ["outside", ["y"]]),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_of_many_hands(tmp_path: Path, name: str) -> None:
    file, data, wanted = FOLDERS[name]
    folder = pictures(tmp_path / "set", ["a.jpg", "b.jpg", "sub/C.jpg", "\u00fc.jpg"])
    (folder / "._a.jpg").write_bytes(b"\0\5")
    (folder / file).write_bytes(data.encode() if isinstance(data, str) else data)
    for found, want in zip(said(str(folder)), wanted, strict=True):
        assert found == want if isinstance(want, list) else str(want) in found


def test_a_picture_that_is_gone_is_not_another_folder_s(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "set", ["1.jpg", "cats/1.jpg", "cats/2.jpg"])
    (folder / "captions.csv").write_text("file,caption\ncats/1.jpg,x\nCats/2.JPG,y\nelsewhere/1.jpg,z\n")
    assert said(str(folder)) == [["x"], ["y"], ["z"]]
    (folder / "cats" / "1.jpg").unlink()
    assert "1.jpg is missing" in said(str(folder))[0]


def test_parquet_and_its_nothing(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    folder = pictures(tmp_path, ["a.jpg", "b.jpg"])
    rows = {
        "file_name": ["a.jpg", "b.jpg", None],
        "caption": [["x", None], None, ["z"]],
        "n": [1.0, float("nan"), 2],
    }
    parquet.write_table(pyarrow.table(rows), folder / "captions.parquet")
    found = said(str(folder))
    assert found[0] == ["x"] and EMPTY in found[1] and "names no picture" in found[2]


def test_splits_of_folders(tmp_path: Path) -> None:
    folder = pictures(tmp_path, ["train/a.jpg", "test/b.jpg"])
    for split, name in (("train", "a"), ("test", "b")):
        (folder / split / "metadata.csv").write_text(f"file_name,text\n{name}.jpg,{split}\n")
    assert said(f"{folder}#train") == [["train"]]
    with pytest.raises(InputError, match="folders test, train hold tables: write #test"):
        open_one(str(folder))
    (folder / "captions.csv").write_text("file,caption,split\ntrain/a.jpg,x,dev\ntest/b.jpg,y,fit\n,z,\n")
    (right, wrong) = said(f"{folder}#fit")
    assert right == ["y"] and "names no picture" in wrong
    with pytest.raises(InputError, match="no split 'val'; it has dev, fit"):
        open_one(f"{folder}#val")
    (folder / "captions.csv").write_text("file,caption\ntrain/a.jpg,x\ntest/b.jpg,y\n")
    (folder / "val_list.txt").write_text("\ufeffB.jpg\r\n", "utf-8")
    assert said(f"{folder}#val") == [["y"]]
    (folder / "val_list.txt").write_text("c.jpg\n")
    with pytest.raises(InputError, match="names none of the 2 rows"):
        open_one(f"{folder}#val")


def test_a_gallery_s_name_is_looked_for_where_the_app_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.create(tmp_path / "kept" / "holiday", ToyEmbedder()) as gallery:
        gallery.add([("a.png", PNG)])
        gallery.set_caption(gallery.items()[0].id, "a red star")
    monkeypatch.setenv("SUGAR_GALLERY", str(tmp_path / "kept"))
    assert said("gallery=holiday") == [["a red star"]]
    with pytest.raises(InputError, match="kept/winter"):
        open_one("gallery=winter")


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


class WordRows(SampleRows):
    """Rows without a model: one for each sample and conversation; it knows no word with a snowman."""

    terms = Terms()

    def __init__(self, processor: object = None) -> None:
        self.processor = SimpleNamespace(decode=str)  # type: ignore[assignment]

    def rows(self, example: Example, positions: Sequence[Sequence[int]]) -> list[TrainRow]:
        if any("\u2603" in text for text in texts_of(example)):
            raise InputError("No word of it is known.")
        ends = np.cumsum([0, *map(len, positions)])
        indices = [list(range(a, b)) for a, b in pairwise(ends)]
        samples = len(example.samples)
        found = [TrainRow(Layout([1], [], []), [], own) for own in indices[:samples]]
        return found + [TrainRow(Layout([1, 2], [], [], ((1, 2),)), [], own) for own in indices[samples:]]


def many_hands(folder: Path) -> Path:
    """A LLaVA set of 200 good rows and a few that no model can read."""
    pictures(folder, [f"{n}.png" for n in range(200)])
    rows: list[object] = [ask("<image>What?", f"number {n}", image=f"{n}.png") for n in range(200)]
    rows[::50] = [
        None,
        ask("<image>What?", None, image="1.png"),
        "oops",
        ask("<image>What?", "\u2603", image="2.png"),
    ]
    (folder / "mix.json").write_text(json.dumps(rows))
    return folder


def test_a_run_goes_on_over_rows_that_are_or_turn_bad(tmp_path: Path) -> None:
    """A row may be null, have a text that the model cannot read, or lose its picture on the way."""
    folder = many_hands(tmp_path / "set")
    mixture = Mixture([open_one(f"llava={folder}")[0]], seed=1)
    read = StepReader(pickle.loads(pickle.dumps(Reader(mixture))), WordRows(), None, 0, 8, 4)
    for step in range(50):
        if step == 25:  # the second epoch begins
            (folder / "7.png").unlink()
            (folder / "8.png").write_bytes(PNG[:40])
        data = read(step)
        indices = [i for row in data.rows for i in row.indices]
        assert sorted(indices) == list(range(data.facts.count)) and len(indices) >= 16
        assert len(data.rows) == 16 and data.bad == read.bad
    reasons = {row: bad.reason for (_, row), bad in read.reader.bad.items()}
    wanted = {
        **{0: "row is null", 50: "is empty or null", 100: "row is a text", 150: "No word"},
        **{7: "7.png is missing", 8: "damaged PNG"},
    }
    assert set(reasons) == set(wanted) and all(wanted[row] in reason for row, reason in reasons.items())


def test_the_check_survives_every_row_and_says_what_was_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sugar.core.Sugar.from_pretrained", lambda name: SimpleNamespace(processor=None))
    monkeypatch.setattr("sugar.training.sample_rows.SampleRows", WordRows)
    talks = many_hands(tmp_path / "talks")
    album = pictures(tmp_path / "album", [f"{n}.png" for n in range(60)])
    lines = [
        "file;caption",
        *(f'{n}.png;"Z\u00fcrich {n}' if n == 5 else f"{n}.png;Z\u00fcrich {n}" for n in range(60)),
    ]
    (album / "captions.csv").write_bytes("\r\n".join(lines).encode("cp1252"))
    out = ["--out", str(tmp_path / "out"), "--json"]
    assert main(["data", "check", f"llava={talks}", str(album), *out]) == 0
    said = capsys.readouterr().out
    found = json.loads(said.splitlines()[-1])
    assert [(len(f["bad"]), f["usable"], f["opened"]) for f in found] == [(4, True, 200), (0, True, 60)]
    assert "The row is null" in said and "No word of it is known" in said
    assert "note: captions.csv: Its encoding is not UTF-8; it was read as Windows-1252." in said
    assert "note: captions.csv: A quotation mark is not closed in row 7" in said and "ï»¿" not in said
    (talks / "mix.json").write_text(json.dumps([None, *[ask("q", "a")] * 9]))
    assert main(["data", "check", f"llava={talks}", *out]) == 1 and "10.0%" in capsys.readouterr().out


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
