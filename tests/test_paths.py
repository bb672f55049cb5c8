"""Whatever is tried as a path: no text ends in OSError, ValueError or RuntimeError, at any door."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from toy import ToyModel

from sugar.__main__ import main
from sugar.core import Sugar
from sugar.errors import GalleryError, ImageError, ModelError, SettingsError, SugarError
from sugar.gallery import Gallery, watch
from sugar.images import open_image
from sugar.paths import existing, missing, output_file, output_folder, shown, there, wanted
from sugar.settings import Settings
from sugar.training.data import open_one

NOT_HERE = {
    "long": "x" * 300,
    "deep": "x/" * 5000,
    "nobody": "~nobodyhere/x",
    "nul": "a\0.jpg",
    "surrogate": "\ud800",
    "circle": "circle",
    "through a file": "file/x",
    "empty": "",
    "blank": " \n",
    "quotes": '""',
    "windows": "C:\\Users\\me\\Pictures",
    "a URL of nothing": "file:///no/such%00",
    "a URL of another machine": "file://host/share",
    "an address": "http://[",
    "a dash": "-folder",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "file").write_text("a file")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("text", NOT_HERE.values(), ids=NOT_HERE)
def test_no_text_breaks_the_question_or_a_door(text: str, place: Path) -> None:
    assert existing(text) is None
    assert len(missing(text)) < 300 and missing(text).isprintable()
    doors: dict[str, Any] = {
        "a flag": lambda: there(text, "--data"),
        "a model": lambda: Sugar.from_pretrained(text),
        "an adapter": lambda: Sugar.load_adapter(None, text),  # type: ignore[arg-type]
        "a picture": lambda: open_image(text),
        "training data": lambda: open_one(f"coco={text}"),
        "a gallery of training": lambda: open_one(f"gallery={text}"),
        "a gallery": lambda: Gallery.open(text, ToyModel(), read_only=True),
        "a search": lambda: main(["search", "a dog", f"--root={text}", f"--model={text}"]),
        "an import": lambda: main(["index", f"--import={text}", "--model", "sugar-photo"]),
    }
    for door, call in doors.items():
        try:
            assert call() == 2, door  # a command's exit code for an error that it showed
        except SugarError as error:
            assert len(str(error)) < 600, door


def test_an_index_run_names_what_it_did_not_find(place: Path) -> None:
    with Gallery.create(place / "gallery", ToyModel()) as gallery:
        for kind, text in NOT_HERE.items():
            report = gallery.add([text])
            assert report.refused == 1 and "There is no file or folder" in report.rows[0].reason, kind
            with pytest.raises(GalleryError, match="There is no folder"):
                watch(gallery, text)


def test_a_path_is_read_as_it_was_dropped_or_copied(place: Path) -> None:
    folder = place / "My Pictures" / unicodedata.normalize("NFD", "Ümit's 100%")
    folder.mkdir(parents=True)
    nfc = unicodedata.normalize("NFC", str(folder))
    url = "file://" + str(folder).replace(" ", "%20").replace("%", "%25").replace("%2520", "%20")
    texts = [str(folder), nfc, f"'{folder}'", f'"{folder}" \n', f" {folder}/ ", f"“{nfc}”", url]
    texts += [url.replace("file://", "file://localhost"), str(folder).replace(" ", "\\ ")]
    texts += [
        str(folder).replace("/", "\\"),
        str(folder.relative_to(place)),
        f"./{folder.relative_to(place)}",
    ]
    assert [existing(text) and os.path.samefile(existing(text) or "", folder) for text in texts] == [
        True
    ] * 12
    (place / "'quoted'").write_text("")
    assert existing("'quoted'") == Path("'quoted'"), "the plainest reading comes first"
    assert existing("~") == Path.home()
    assert existing(Path(" file")) is None, "a path that is one already is taken as it is"


def test_what_is_in_the_way_of_a_folder_is_said(place: Path) -> None:
    for text, why in (
        ("file", "a file of that name is in the way"),
        ("file/deeper", "a file of that name is in the way"),
        ("circle", "in the way"),
        ("x" * 300, "File name too long"),
        ("/proc/none", "No such file"),
        ("a\0b", "cannot be a path"),
        ("~nobodyhere/x", "cannot be a path"),
        ("\ud800", "cannot be a path"),
        ("", "cannot be a path"),
    ):
        with pytest.raises(SettingsError, match=f"--out is .*{why}"):
            output_folder(text, "--out")
    assert output_folder("deep/er", "--out").is_dir() and list(place.glob("deep/er/*")) == []
    assert output_file("new/out.zip", "--export") == Path("new/out.zip") and Path("new").is_dir()
    with pytest.raises(SettingsError, match="which is a folder"):
        output_file("new", "--export")
    with pytest.raises(SettingsError, match="gallery is 'file', a file"):
        Settings(gallery="file")
    with pytest.raises(SettingsError, match="gallery is '~nobodyhere', which cannot be a path"):
        Settings.read([], {"SUGAR_GALLERY": "~nobodyhere"})
    assert Settings(gallery="'new'").gallery_root == Path("new") and wanted("~/x", "") == Path.home() / "x"


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may read all")
def test_a_folder_without_permission_is_said(place: Path) -> None:
    (place / "closed").mkdir(mode=0o000)
    with pytest.raises(SettingsError, match="Permission denied"):
        there("closed/x", "--data")
    with pytest.raises(SettingsError, match="Permission denied"):
        output_folder("closed", "--out")


COMMANDS = {
    "train": ["train", "--recipe", "sugar", "--data", "drawn", "--out", "file"],
    "photos": ["train", "--config", "photo", "--data", ".", "--out", "file"],
    "start": ["train", "--config", "photo", "--data", "no\0where"],
    "data": ["data", "check", "drawn", "--out", "file"],
    "drawn": ["evaluate", "drawn", "--out", "file"],
    "benchmark": ["evaluate", "pope_random", "--data", "no/where"],
    "benchmark out": ["evaluate", "pope_random", "--data", ".", "--out", "file/x"],
    "predictions": ["evaluate", "pope_random", "--data", ".", "--predictions", "x" * 300],
    "compare": ["evaluate", "compare", "~nobodyhere", "b", "--benchmark", "pope_random", "--data", "."],
    "list": ["evaluate", "list", "--data", "~nobodyhere"],
    "ask": ["evaluate", "ask", "--out", "file"],
    "ablation": ["evaluate", "ablation", "--out", "file"],
    "export": ["index", "--export", "file/x.zip"],
    "root": ["index", ".", "--root", "~nobodyhere", "--model", "sugar-tiny"],
    "model": ["evaluate", "drawn", "--model", "~nobodyhere/x"],
}


@pytest.mark.parametrize("argv", COMMANDS.values(), ids=COMMANDS)
def test_every_command_names_its_path(
    argv: list[str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and len(said) < 600


def test_messages_show_a_text_on_one_short_line() -> None:
    assert shown("C:\\x 'y'\n\u202e\ud800") == "'C:\\x 'y'\\n\\u202e\\ud800'"
    assert len(shown("x" * 10_000)) < 120
    with pytest.raises(ImageError, match="no such file"):
        open_image("a\0.jpg")
    with pytest.raises(ModelError, match="is a file"):
        Sugar.from_pretrained(__file__)
