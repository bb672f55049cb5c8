"""Pictures with captions: a folder with a table or with text files beside the pictures; COCO; Flickr8k and
Flickr30k.

    open_folder(Path("holiday"))  # captions.csv, .tsv, .jsonl, metadata.csv ..., or a.jpg + a.txt
    open_coco(Path("coco"), "val")  # captions_val2017.json beside the pictures, or Karpathy's file
    # Flickr8k.token.txt, results.token, captions.txt, file<TAB>caption
    open_flickr(Path("flickr8k"), "train")

Not covered: what is learnt from a caption (recipes).
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sugar.errors import InputError
from sugar.file_names import name_key
from sugar.text_files import Rows, word
from sugar.training.data.example import Example, captioned
from sugar.training.data.files import (
    NAME_COLUMNS,
    PICTURES,
    TABLES,
    TEXT_COLUMNS,
    PictureFiles,
    Unusable,
    caption_words,
    column,
    find,
    first_of,
    hidden,
    kind_of,
    no_split,
    pictures_of,
    read_lines,
    read_rows,
    read_text,
    read_whole,
    suffix_of,
)

EMPTY = "The caption is empty or null."
SIDECARS = (".txt", ".caption")
NUMBER = re.compile(r"#(enc:)?\d+$")
"""The caption's number behind a name, `1.jpg#0`; a name may hold a # itself, `a#1.jpg`."""

Said = Iterable[tuple[str, Any]]
"""(file name, what is said of it): a caption, a list of them, or `Unusable`, with a file name or a place."""


class CaptionedPictures:
    """Pictures of one folder or zip, each with its captions."""

    def __init__(self, name: str, root: Path, said: Said, notes: Iterable[str] = ()) -> None:
        grouped: dict[str, list[Any]] = {}
        for file, value in said:
            grouped.setdefault(file, []).extend(value if isinstance(value, list) else [value])
        self.name = name
        self.files = PictureFiles(root)
        self.rows: list[tuple[str, list[str], str]] = []  # file, captions, why there are none
        beside = 0
        for file, values in grouped.items():
            reasons = [str(v) for v in values if isinstance(v, Unusable)]
            parts = [[] if isinstance(v, Unusable) else caption_words(v) for v in values]
            captions = [c for part in parts for c in part]
            beside += sum(not part for part in parts) if captions else 0
            self.rows.append((file, captions, "" if captions else (reasons or [EMPTY])[0]))
        self.notes = list(notes)
        if beside:
            self.notes.append(f"Empty or null captions of pictures that have others: {beside:,}.")
        if not self.rows:
            raise InputError(
                f"{root} holds no captions. Check the table, or the text files beside the pictures."
            )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        file, captions, reason = self.rows[index]
        if reason:
            raise InputError(f"{file}: {reason}")
        return captioned(self.files.open(file), captions, source=f"{self.name}: {file}")

    def captions(self, index: int) -> list[str]:
        return self.rows[index][1]


# --- a folder -----------------------------------------------------------------------------------------------


def open_folder(path: Path, split: str = "") -> CaptionedPictures:
    """A folder of pictures, or a table of names and captions in one.

    split: a folder of that name, the rows whose column `split` says so, or files of a list `*split*.txt`.
    """
    if path.suffix.lower() == ".zip" and path.is_file():
        raise InputError(f"{path} is a zip file. Unpack it, and name its folder.")
    if path.is_file():
        return _of_table(path.stem, path, path.parent, split)
    if split and (path / split).is_dir():
        path, split = path / split, ""
    name = path.name or path.resolve().name  # "." has none
    files = [p for p in sorted(path.glob("*")) if p.is_file() and not hidden(p)]
    tables = [p for p in files if suffix_of(p) in TABLES]
    named = [p for p in tables if p.name.lower().startswith(("captions.", "metadata."))]
    named += [p for p in files if p.name.lower() == "captions.txt"]
    if named:
        return _of_table(name, named[0], path, split, first_of(named))
    beside, notes = _beside(path)
    refused: list[InputError] = []
    for table in tables:
        try:
            return _of_table(name, table, path, split)
        except InputError as error:
            refused.append(error)
    if beside:
        return CaptionedPictures(name, path, kept(beside, path, split), notes)
    if refused:
        raise refused[0]
    below = [p.parent.name for p in sorted(path.glob("*/metadata.*"))]
    remedy = f" Its folders {', '.join(below)} hold tables: write #{below[0]}." if below else ""
    raise InputError(
        f"{path} holds neither a table (captions.csv, .tsv or .jsonl, metadata.csv) nor text files "
        f"beside its pictures.{remedy}"
    )


def _of_table(
    name: str, file: Path, folder: Path, split: str, notes: Sequence[str] = ()
) -> CaptionedPictures:
    rows = read_rows(file)
    value = rows.rows[0][1]
    if len(rows.rows) == 1 and isinstance(value, dict) and _names_pictures(value):
        said: list[tuple[str, Any]] = list(value.items())  # {"a.jpg": "my dog", ...}
        if split:
            said = kept(said, folder, split)
    else:
        said = _said(rows, file, folder, split)
    return CaptionedPictures(name, folder, said, [*notes, *rows.notes])


def _names_pictures(value: dict[str, Any]) -> bool:
    """Whether an object's keys are names of pictures, and not of columns."""
    if not value or {*NAME_COLUMNS, *TEXT_COLUMNS} & {k.lower() for k in value}:
        return False
    return all(k.lower().endswith(PICTURES) or isinstance(v, dict) for k, v in value.items())


def _said(rows: Rows, file: Path, folder: Path, split: str) -> list[tuple[str, Any]]:
    name, text = (column(rows, wanted, file) for wanted in (NAME_COLUMNS, TEXT_COLUMNS))
    said: list[tuple[str, Any]] = []
    splits: Counter[str] = Counter()
    parts: list[str] = []
    for number, row in rows.rows:
        where = f"row {number}"
        if not isinstance(row, dict):
            said.append((where, Unusable(f"It is {kind_of(row)}, not an object with {name} and {text}.")))
        else:
            found = row.get(name)
            found = word(found.get("path") if isinstance(found, dict) else found)
            if found is None:
                said.append((where, Unusable("It names no picture.")))
            else:
                said.append((NUMBER.sub("", found), row.get(text)))
        parts.append(word(row.get("split")) or "" if isinstance(row, dict) else "")
        splits[parts[-1]] += 1
    if split and set(splits) - {""}:
        if not splits[split]:
            raise InputError(f"{file} has no split {split!r}; it has {', '.join(filter(None, splits))}.")
        both = zip(said, parts, strict=True)
        said = [s for s, part in both if part == split or isinstance(s[1], Unusable)]
    elif split:
        said = kept(said, folder, split)
    return said + [(f"row {number}", Unusable(reason)) for number, reason in rows.refused]


def _beside(path: Path) -> tuple[list[tuple[str, Any]], list[str]]:
    """Captions in text files beside the pictures, a.txt or a.jpg.txt, and what was guessed of them."""
    said: list[tuple[str, Any]] = []
    guessed: Counter[str] = Counter()
    alone = 0
    failed: list[OSError] = []
    for folder, _, names in os.walk(path, onerror=failed.append):
        texts = {name_key(n): n for n in names if n.lower().endswith(SIDECARS)}
        for name in sorted(n for n in names if n.lower().endswith(PICTURES) and not n.startswith(".")):
            keys = [name_key(base + s) for base in (os.path.splitext(name)[0], name) for s in SIDECARS]
            beside = next((texts[k] for k in keys if k in texts), None)
            if beside is None:
                alone += 1
                continue
            value: Any
            try:
                value, note = read_text(Path(folder, beside))
                guessed[note] += bool(note)
            except InputError as error:
                value = Unusable(str(error))
            said.append((os.path.relpath(os.path.join(folder, name), path), value))
    notes = [f"{n:,} text files: {note}" for note, n in guessed.items() if n]
    notes += [f"Folders that cannot be read, left out: {len(failed):,} ({failed[0]})."] if failed else []
    if said and alone:
        notes.append(f"Pictures without a text file beside them, left out: {alone:,}.")
    return sorted(said, key=lambda s: s[0]), notes


def kept(said: Said, folder: Path, split: str) -> list[tuple[str, Any]]:
    """The rows of the split that a list of names says. Raises InputError when no list names it, or names none
    of the rows."""
    said = list(said)
    if not split:
        return said
    file = find(folder, f"*{split}*.txt")
    wanted = {name_key(line.partition("\t")[0].strip()) for line in read_lines(file)}
    wanted |= {name.rpartition("/")[2] for name in wanted}

    def listed(name: str) -> bool:
        key = name_key(name)
        last = key.rpartition("/")[2]
        return key in wanted or last in wanted or os.path.splitext(last)[0] in wanted

    found = {name for name, _ in said if listed(name)}
    if said and not found:
        raise InputError(f"{file} names none of the {len(said):,} rows; the first is of {said[0][0]}.")
    return [(name, value) for name, value in said if name in found or isinstance(value, Unusable)]


# --- COCO ---------------------------------------------------------------------------------------------------


def open_coco(path: Path, split: str = "") -> CaptionedPictures:
    """COCO captions as published (`images`, `annotations`), or Karpathy's file with its splits.

    path: the folder of both, that of the annotations or of the pictures, or the file.
    """
    notes: list[str] = []
    file, root = (path, pictures_of(path)) if path.is_file() else _coco_file(path, split, notes)
    data, guessed = read_whole(file)
    notes += guessed
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        raise InputError(f"{file} is not a COCO captions file: it has no list `images`.")
    published = "annotations" in data
    if published and path.is_file():
        notes += no_split(path, split)
    said = _published(data, file) if published else _karpathy(data["images"], split, file, notes)
    return CaptionedPictures(path.stem, root, said, notes)


def _coco_file(path: Path, split: str, notes: list[str]) -> tuple[Path, Path]:
    """The captions file of a folder, and the folder of its pictures."""
    beside = path.parent / "annotations"
    try:
        patterns = (
            f"*captions*{split}*.json",
            f"*/*captions*{split}*.json",
            "dataset*.json",
            "*/dataset*.json",
        )
        file = find(path, *patterns, *(() if split else ("*.json",)), notes=notes)
    except InputError:
        if not beside.is_dir():
            raise
        return find(
            beside, f"*captions*{path.name}*.json", notes=notes
        ), path  # the pictures' folder was given
    return file, pictures_of(file) if file.parent == path else path


def _published(data: dict[str, Any], file: Path) -> list[tuple[str, Any]]:
    annotations = data["annotations"]
    rows = [a for a in annotations if isinstance(a, dict)] if isinstance(annotations, list) else []
    if not any("caption" in a for a in rows):
        seen = ", ".join(sorted(rows[0])) if rows else "nothing"
        raise InputError(
            f"{file} holds no captions: its annotations have {seen}. Give the file captions_*.json, not "
            "instances_*.json or another."
        )
    names = {word(i.get("id")): word(i.get("file_name")) for i in data["images"] if isinstance(i, dict)}
    said: list[tuple[str, Any]] = []
    for n, a in enumerate(annotations, 1):
        number = word(a.get("image_id")) if isinstance(a, dict) else None
        name = names.get(number)
        if not isinstance(a, dict) or number is None:
            said.append((f"annotation {n}", Unusable("It names no picture.")))
        elif name is None:
            why = "has no file name" if number in names else "is not among the file's images"
            said.append((f"annotation {n}", Unusable(f"Its picture {number} {why}.")))
        else:
            said.append((name, a.get("caption")))
    return said


def _karpathy(images: list[Any], split: str, file: Path, notes: list[str]) -> list[tuple[str, Any]]:
    """Karpathy's splits: those who train on his `train` train on `restval` too."""
    wanted = {split, "restval"} if split == "train" else {split}
    splits = Counter(str(i.get("split")) for i in images if isinstance(i, dict))
    if split and split not in splits:
        raise InputError(f"{file} has no split {split!r}; it has {', '.join(splits)}.")
    if split == "train" and splits["restval"]:
        notes.append(
            f"train holds restval too ({splits['restval']:,} pictures), as those who use this split do."
        )
    said: list[tuple[str, Any]] = []
    for n, image in enumerate(images, 1):
        if not isinstance(image, dict):
            said.append((f"image {n}", Unusable(f"It is {kind_of(image)}, not an object.")))
        elif not split or image.get("split") in wanted:
            name = word(image.get("filename"))
            sentences = image.get("sentences")
            if name is None or not isinstance(sentences, list):
                said.append((name or f"image {n}", Unusable("It has no `filename` or no `sentences`.")))
                continue
            folder = word(image.get("filepath"))
            said.append((f"{folder}/{name}" if folder else name, sentences or [None]))
    return said


# --- Flickr -------------------------------------------------------------------------------------------------


def open_flickr(path: Path, split: str = "") -> CaptionedPictures:
    """Flickr8k or Flickr30k: `name.jpg#0<TAB>caption`, `name<TAB>caption`, captions.txt or results.csv with a
    header and commas or bars, or Karpathy's file.

    Pictures lie in the folder, in one of its folders, or in a zip of the file's name.
    """
    notes: list[str] = []
    file = path
    if path.is_dir():
        patterns = ("*k.token.txt", "*.token.txt", "*.token", "captions.txt", "captions.*", "results*.csv")
        file = find(
            path, *patterns, "*.tsv", "*.csv", "dataset*.json", "*/captions.txt", "*/*.token*", notes=notes
        )
    if suffix_of(file) == ".json":
        return open_coco(file, split)
    rows = read_rows(file)
    said = _said(rows, file, file.parent, split)
    zipped = file.with_suffix(".zip")
    root = path if path.is_dir() else pictures_of(file)
    return CaptionedPictures(file.stem, zipped if zipped.is_file() else root, said, [*notes, *rows.notes])
