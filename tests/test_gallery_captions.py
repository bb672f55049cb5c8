"""Captions and names that come with pictures: tables, texts, Google's json, zips of other systems."""

from __future__ import annotations

import io
import json
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import pytest
from pictures import png
from toy import ToyEmbedder

from sugar.gallery import Gallery
from sugar.gallery.archives import UploadLimits
from sugar.gallery.gathering import gather
from sugar.gallery.sources import Refusal, Source

DATA = Path(__file__).with_name("data")


def gathered(*sources: object) -> tuple[dict[str, tuple[str, datetime | None]], list[tuple[str, str]]]:
    """({picture: (caption, taken)}, [(kind, name) of what is not taken])."""
    found = gather(list(sources), salt="x", limits=UploadLimits())  # type: ignore[arg-type]
    pictures = {e.name: (e.caption, e.told.taken) for e in found if isinstance(e, Source)}
    return pictures, [(e.kind, e.name) for e in found if isinstance(e, Refusal)]


def folder(root: Path, names: Iterable[str], texts: dict[str, bytes]) -> Path:
    for n, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(n))
    for name, data in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


SNOW = "Bärli im Schnee"
TABLES: dict[str, tuple[str, bytes]] = {
    "semicolon, cp1252": ("captions.csv", f"file;caption\r\na.jpg;{SNOW}\r\nb.jpg;Käse\r\n".encode("cp1252")),
    "utf-16": ("captions.csv", f"file,caption\r\na.jpg,{SNOW}\r\n".encode("utf-16")),
    "sep=": ("captions.csv", f"sep=;\r\nfile;caption\r\na.jpg;{SNOW}\r\n".encode("utf-8-sig")),
    "image, text": ("captions.csv", f"image,text\na.jpg,{SNOW}\n".encode()),
    "file_name": ("captions.csv", f"File_Name,Caption\na.jpg,{SNOW}\n".encode()),
    "name, description": ("captions.csv", f"description,name\n{SNOW},a.jpg\n".encode()),
    "title where there is no caption": ("captions.csv", f"file,caption,title\na.jpg,,{SNOW}\n".encode()),
    "no header": ("captions.csv", f"a.jpg,{SNOW}\n".encode()),
    "Captions.CSV": ("Captions.CSV", f"file,caption\na.jpg,{SNOW}\n".encode()),
    "tsv": ("captions.tsv", f"file\tcaption\na.jpg\t{SNOW}\n".encode()),
    "metadata.csv": ("metadata.csv", f"file_name,text\na.jpg,{SNOW}\n".encode()),
    "metadata.jsonl": ("metadata.jsonl", json.dumps({"file_name": "a.jpg", "text": SNOW}).encode()),
    "a bad line": (
        "captions.jsonl",
        json.dumps({"file": "a.jpg", "caption": SNOW}).encode() + b'\n{"file":\n',
    ),
    "U+2028": ("captions.jsonl", json.dumps({"file": "a.jpg", "caption": SNOW, "x": "\u2028"}).encode()),
    "another case": ("captions.csv", f"file,caption\nA.JPG,{SNOW}\n".encode()),
    "./": ("captions.csv", f"file,caption\n./a.jpg,{SNOW}\n".encode()),
    "backslash": ("captions.csv", f"file,caption\n.\\a.jpg,{SNOW}\n".encode()),
    "a full path": ("captions.csv", f"file,caption\n/home/me/photos/a.jpg,{SNOW}\n".encode()),
    "a path of Windows": ("captions.csv", f"file,caption\nC:\\me\\a.jpg,{SNOW}\n".encode()),
    "no ending": ("captions.csv", f"file,caption\na,{SNOW}\n".encode()),
    "a text": ("a.txt", SNOW.encode()),
    "a text in utf-16": ("a.txt", SNOW.encode("utf-16")),
    "a text in cp1252": ("a.txt", SNOW.encode("cp1252")),
    "a.jpg.txt": ("a.jpg.txt", SNOW.encode()),
    "A.TXT": ("A.TXT", SNOW.encode("utf-8-sig")),
    "Takeout": ("a.jpg.json", json.dumps({"title": "a.jpg", "description": SNOW}).encode()),
    "Takeout's newer name": (
        "a.jpg.supplemental-meta.json",
        json.dumps({"description": SNOW, "photoTakenTime": {"timestamp": "1653738315"}}).encode(),
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_caption_is_found_however_it_is_written(tmp_path: Path, case: str) -> None:
    name, data = TABLES[case]
    source = folder(tmp_path / "in", ["a.jpg", "b.jpg"], {name: data})
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as out:
        for path in source.iterdir():
            out.write(path, f"trip/{path.name}")
    for handed in (source, tmp_path / "x.zip"):
        pictures, rest = gathered(handed)
        first, second = sorted(pictures)
        assert pictures[first][0] == SNOW and pictures[second][0] in ("", "Käse")
        assert [kind for kind, _ in rest] == ["guess"] * ("cp1252" in case) + ["line"] * (
            case == "a bad line"
        )


def test_captions_among_files_that_are_handed_over_one_by_one(tmp_path: Path) -> None:
    """As a browser sends the files of a folder: each in a folder of its own."""
    table, text = b"file,caption\na.jpg,one\nnone.jpg,two\n", b"three"
    files, sources = {"a.jpg": png(1), "b.jpg": png(2), "Captions.csv": table, "b.txt": text}, []
    for n, (name, data) in enumerate(files.items()):
        path = tmp_path / str(n) / name
        path.parent.mkdir()
        path.write_bytes(data)
        sources.append(path)
    for given in (sources, [(p.name, p.read_bytes()) for p in sources]):
        pictures, rest = gathered(*given)
        assert {n: caption for n, (caption, _) in pictures.items()} == {"a.jpg": "one", "b.jpg": "three"}
        assert rest == [("row", "none.jpg (Captions.csv, row 3)")]


def test_of_files_with_one_name_nothing_is_taken_for_the_other(tmp_path: Path) -> None:
    """A browser sends two folders: their tables have one name, and so have two of their pictures."""
    table = b"file,caption\na.jpg,one\nIMG_1.jpg,which?\n"
    first = {"a.jpg": png(1), "IMG_1.jpg": png(2), "captions.csv": table}
    second = {"b.jpg": png(3), "IMG_1.jpg": png(4), "captions.csv": b"file,caption\nb.jpg,two\n"}
    pictures, rest = gathered(*first.items(), *second.items())
    captions = {n: caption for n, (caption, _) in pictures.items()}
    assert captions == {"a.jpg": "one", "b.jpg": "two", "IMG_1.jpg": ""}
    assert rest == [("row", "IMG_1.jpg (captions.csv, row 3)")]


def test_texts_of_one_folder_are_detected_together(tmp_path: Path) -> None:
    words = {"a": "Die Gänse", "b": "Müller", "c": "Straßenfest in Köln", "d": "plain"}
    texts = {f"{n}.txt": w.encode("cp1252") for n, w in words.items()}
    pictures, rest = gathered(folder(tmp_path, [f"{n}.png" for n in words], texts))
    assert {n[0]: caption for n, (caption, _) in pictures.items()} == words
    assert rest == [("guess", "a.txt"), ("guess", "b.txt"), ("guess", "c.txt")]


def test_a_table_beats_a_text_and_the_nearest_table_the_others(tmp_path: Path) -> None:
    texts = {
        "captions.csv": b"file,caption\nsub/a.png,far\nsub/b.png,far\n",
        "sub/captions.jsonl": b'{"file": "a.png", "caption": "near"}\n{"file": "b.png", "caption": null}\n',
        "sub/metadata.csv": b"file_name,text\na.png,other\n",
        "sub/a.txt": b"a text",
        "sub/c.txt": b"a text",
    }
    pictures, rest = gathered(folder(tmp_path, ["sub/a.png", "sub/b.png", "sub/c.png"], texts))
    assert [pictures[f"sub/{n}.png"][0] for n in "abc"] == ["near", "far", "a text"] and rest == []


def test_dates_as_people_write_them(tmp_path: Path) -> None:
    table = b"file,date\na.png,2024:05:01 10:00:00\nb.png,01.05.2024\nc.png,2024-05-01T10:00Z\nd.png,May\n"
    pictures, rest = gathered(folder(tmp_path, ["a.png", "b.png", "c.png", "d.png"], {"captions.csv": table}))
    times = [pictures[f"{n}.png"][1] for n in "abcd"]
    assert times == [datetime(2024, 5, 1, 10), datetime(2024, 5, 1), datetime(2024, 5, 1, 10), None]
    assert rest == [("line", "captions.csv, row 5")]


def test_googles_time_is_used_where_the_picture_has_none(tmp_path: Path) -> None:
    told = {"photoTakenTime": {"timestamp": "1653738315"}, "description": "from Google"}
    texts = {"a(1).png": png(9), "a.png(1).json": json.dumps(told).encode(), "album.json": b"{}"}
    with Gallery.create(tmp_path / "g", ToyEmbedder()) as gallery:
        report = gallery.add(folder(tmp_path / "in", ["a.png"], texts))
        found = {i.name: (i.caption, i.taken) for i in gallery.items()}
    assert found == {"a.png": ("", None), "a(1).png": ("from Google", datetime(2022, 5, 28, 11, 45, 15))}
    assert report.counts == {"added": 2, "passed over": 1}


def test_a_table_that_cannot_be_read_costs_only_itself(tmp_path: Path) -> None:
    texts = {"captions.csv": b"\0\1\2\3" * 50, "sub/captions.csv": b"id,caption\n1,x\n", "a.txt": b"a text"}
    texts["sub/metadata.csv"] = b"id,camera\n1,x\n"  # of another program
    pictures, rest = gathered(folder(tmp_path, ["a.png", "sub/b.png"], texts))
    others = [("", "captions.csv"), ("other", "sub/metadata.csv"), ("", "sub/captions.csv")]
    assert pictures["a.png"][0] == "a text" and rest == others
    (tmp_path / "captions.csv").unlink()
    (tmp_path / "captions.csv").symlink_to(tmp_path / "none.csv")
    pictures, rest = gathered(tmp_path)
    assert len(pictures) == 2 and ("", "captions.csv") in rest


# -- what is passed over is counted


def test_what_is_passed_over_is_counted_by_its_kind(tmp_path: Path) -> None:
    texts = {f"{n}.MOV": b"x" for n in range(40)} | {f"{n}.CR2": b"x" for n in range(2)}
    texts |= dict.fromkeys(("one.mp4", "letter.docx", "README.txt", ".DS_Store", "sub/Thumbs.db"), b"x")
    lines = [b"file,caption", *(b"x%d.png,gone" % n for n in range(30)), b"a.png,here\n"]
    texts["captions.csv"] = b"\n".join(lines)
    source = folder(tmp_path / "in", ["a.png", "sub/b.png"], texts)
    (tmp_path / "elsewhere").mkdir()
    (source / "link").symlink_to(tmp_path / "elsewhere")
    (source / "loop").symlink_to(source)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as out:
        for path in sorted(source.rglob("*")):
            if path.is_file() and "loop" not in path.parts:
                out.write(path, path.relative_to(source).as_posix())
    with Gallery.create(tmp_path / "g", ToyEmbedder()) as gallery:
        first, second = gallery.add(source), gallery.add(tmp_path / "x.zip")
    kinds = {"41 videos", "2 camera raw files", "2 other files", "30 rows of caption files"}
    assert {row.name for row in first.said} == kinds | {"2 linked folders"}
    assert {row.name for row in second.said} == kinds
    assert first.counts == {"added": 2, "passed over": 77} and "77 passed over" in str(first)
    [rows] = [r.reason for r in first.said if "rows" in r.name]
    assert "x0.png (captions.csv, row 2)" in rows and rows.endswith("and 27 more")


# -- zips of other systems


def old_zip(names: dict[bytes, bytes], extra: dict[bytes, bytes] | None = None) -> bytes:
    """A zip whose names are bytes without the mark for UTF-8."""
    out = io.BytesIO()
    stand_ins = {}
    with zipfile.ZipFile(out, "w") as archive:
        for n, (name, data) in enumerate(names.items()):
            stand_in = f"{n:02}" + "x" * (len(name) - 2)
            info = zipfile.ZipInfo(stand_in)
            info.extra = (extra or {}).get(name, b"")
            archive.writestr(info, data)
            stand_ins[stand_in.encode()] = name
    data = out.getvalue()
    for stand_in, name in stand_ins.items():
        data = data.replace(stand_in, name)
    return data


NAMES = {
    "gbk": ["小狗.jpg", "雪地里/生日.jpg"],
    "shift_jis": ["子犬.jpg"],
    "big5": ["小狗.jpg"],
    "cp949": ["강아지.jpg"],
    "cp437": ["Bärli.jpg"],
    "cp850": ["niño.jpg", "Ñandú.jpg", "Køb.jpg"],
    "cp852": ["żółw.jpg", "łąka.jpg"],
    "cp866": ["фото/собака.jpg"],
    "cp1251": ["собака.jpg", "кошка на окне.jpg"],
    "cp1252": ["Bärli.jpg", "Käse.jpg"],
    "utf-8": ["Bärli.jpg", "小狗.jpg"],
}


@pytest.mark.parametrize("encoding", NAMES)
def test_the_names_in_a_zip_are_read_as_they_were_meant(encoding: str) -> None:
    names = NAMES[encoding]
    table = "file,caption\n" + "".join(f"{n},about {n}\n" for n in names)
    files = {n.encode(encoding): png(i) for i, n in enumerate(names)} | {b"captions.csv": table.encode()}
    pictures, rest = gathered(("x.zip", old_zip(files)))
    assert {n: caption for n, (caption, _) in pictures.items()} == {n: f"about {n}" for n in names}
    assert rest == ([] if encoding == "utf-8" else [("guess", "x.zip")])


def test_a_shared_zip_of_windows_in_chinese() -> None:
    assert gathered(DATA / "zip_gbk_names.zip")[0] == {"小狗.jpg": ("雪地里的小狗", None)}


def test_a_name_in_info_zips_extra_field_is_the_name() -> None:
    raw, name = b"B?rli.jpg", "Bärli.jpg"
    field = struct.pack("<BI", 1, zlib.crc32(raw)) + name.encode()
    good = struct.pack("<HH", 0x7075, len(field)) + field
    stale = good[:5] + b"\0\0\0\0" + good[9:]
    assert list(gathered(("x.zip", old_zip({raw: png(1)}, {raw: good})))[0]) == [name]
    assert list(gathered(("x.zip", old_zip({raw: png(1)}, {raw: stale})))[0]) == ["B?rli.jpg"]


def test_names_that_a_program_has_lost_are_still_as_many_pictures() -> None:
    """Info-ZIP writes "?" for letters that it does not know; two folders may differ by backslashes only."""
    names = [b"????.jpg", b"????.jpg ", b"a/b.jpg", b"a\\b.jpg"]
    data = old_zip({name: png(n) for n, name in enumerate(names)}).replace(b"????.jpg ", b"????.jpg\0")
    assert sorted(gathered(("x.zip", data))[0]) == ["???? (2).jpg", "????.jpg", "a/b (2).jpg", "a/b.jpg"]


def test_backslashes_and_decomposed_letters_in_a_zip() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("fotos\\", b"")
        archive.writestr("fotos\\" + unicodedata.normalize("NFD", "Bärli.jpg"), png(1))
        table = f"file,caption\n{unicodedata.normalize('NFC', 'bärli.jpg')},my dog\n"
        archive.writestr("fotos\\captions.csv", table)
        archive.writestr("__MACOSX\\._a.jpg", b"x")
    pictures, rest = gathered(("x.zip", out.getvalue()))
    assert pictures == {"fotos/Bärli.jpg": ("my dog", None)} and rest == []
