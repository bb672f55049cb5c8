"""Interleaved documents: MMC4 json lines, and VIST stories (SIS).

    # {"text_list": [...], "image_info": [{"image_name": ..., "matched_text_index": 3}]}
    open_mmc4(Path("mmc4"))
    # val.story-in-sequence.json; the last picture is the referent of the query before it
    open_vist(Path("vist"), "val")

Texts of a document are learnt as they stand, and each slice end may be drawn as a target.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sugar.errors import InputError
from sugar.sequence import Sample
from sugar.text_files import word
from sugar.training.data.example import Example, Target
from sugar.training.data.files import PictureFiles, Unusable, find, kind_of, no_split, read_rows, read_whole


class Documents:
    """MMC4 rows: a picture stands before the sentence that it was matched to."""

    def __init__(self, file: Path, root: Path, notes: list[str]) -> None:
        self.name, self.files = file.stem, PictureFiles(root)
        found = read_rows(file)
        self.notes = [*notes, *found.notes]
        texts = (row["text_list"] for _, row in found.rows if isinstance(row, dict) and "text_list" in row)
        empty = sum(word(text) is None for said in texts if isinstance(said, list) for text in said)
        if empty:
            self.notes.append(f"Empty or null sentences, left out: {empty:,}.")
        self.rows: list[tuple[int, Any]] = [
            *found.rows,
            *((number, Unusable(reason)) for number, reason in found.refused),
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        number, row = self.rows[index]
        texts, before = _document(row)
        parts: list[Any] = []
        for n, text in enumerate(texts):
            parts += [self.files.open(name) for name in before.get(n, [])]
            if text:
                parts.append(text)
        return Example((Target(Sample(parts), language=True),), source=f"{self.name}: line {number}")

    def captions(self, index: int) -> list[str]:
        try:
            return [text for text in _document(self.rows[index][1])[0] if text]
        except InputError:
            return []


def _document(row: Any) -> tuple[list[str | None], dict[int, list[str]]]:
    """The sentences of a row, None for one that says nothing, and the pictures before each.

    Raises InputError: a row of another shape, a picture without a name or a sentence.
    """
    if isinstance(row, Unusable):
        raise InputError(row)
    if not isinstance(row, dict):
        raise InputError(f"The row is {kind_of(row)}, not an object with `text_list` and `image_info`.")
    for field in ("text_list", "image_info"):
        if not isinstance(row.get(field), list):
            raise InputError(f"Its `{field}` is {kind_of(row.get(field))}, not a list.")
    texts = [word(text) for text in row["text_list"]]
    if not any(texts):
        raise InputError("Its `text_list` says nothing.")
    before: dict[int, list[str]] = {}
    for n, info in enumerate(row["image_info"], 1):
        if not isinstance(info, dict):
            raise InputError(f"Picture {n} of `image_info` is {kind_of(info)}, not an object.")
        name, index = word(info.get("image_name")), word(info.get("matched_text_index"))
        if name is None:
            raise InputError(f"Picture {n} of `image_info` has no `image_name`.")
        if index is None or not index.isdecimal() or int(index) >= len(texts):
            raise InputError(
                f"Picture {n} has the `matched_text_index` {index or 'null'}; the texts are 0 to "
                f"{len(texts) - 1}."
            )
        before.setdefault(int(index), []).append(name)
    return texts, before


class Stories:
    """VIST: caption and picture in turn, up to the last caption, against the last picture."""

    def __init__(self, file: Path, root: Path, notes: list[str]) -> None:
        self.name, self.files = file.name.partition(".")[0], PictureFiles(root)
        found, guessed = read_whole(file)
        self.notes = [*notes, *guessed]
        entries = found.get("annotations") if isinstance(found, dict) else None
        if not isinstance(entries, list):
            raise InputError(f"{file} is not a VIST SIS file: it has no list `annotations`.")
        grouped: dict[str, list[tuple[int, str | None, str | None]]] = {}
        for n, entry in enumerate(entries, 1):
            entry = entry[0] if isinstance(entry, list) and entry else entry
            fields = entry if isinstance(entry, dict) else {}
            story = word(fields.get("story_id"))
            order = word(fields.get("worker_arranged_photo_order")) or ""
            grouped.setdefault(story or f"of annotation {n}", []).append(
                (
                    int(order) if order.isdecimal() else -1,
                    word(fields.get("text")),
                    word(fields.get("photo_flickr_id")),
                )
            )
        self.rows = [(story, sorted(lines, key=lambda line: line[0])) for story, lines in grouped.items()]
        if all(line[0] < 0 for _, lines in self.rows for line in lines):
            raise InputError(
                f"{file} is not a VIST SIS file: its annotations have no `worker_arranged_photo_order`."
            )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        story, lines = self.rows[index]
        if any(order < 0 or text is None or photo is None for order, text, photo in lines):
            raise InputError(
                f"The story {story} has a line without a text, a photo or its place in the order."
            )
        if len(lines) < 2:
            raise InputError(f"The story has {len(lines)} picture(s); at least 2 are needed.")
        parts: list[Any] = []
        for n, (_, text, photo) in enumerate(lines):
            parts.append(text)
            picture = self.files.open(str(photo))
            if n + 1 < len(lines):
                parts.append(picture)
        samples = (Target(Sample(parts), language=True), Target(Sample(picture)))
        return Example(samples, referents=((0, 1),), source=f"{self.name}: story {story}")

    def captions(self, index: int) -> list[str]:
        return [text for _, text, _ in self.rows[index][1] if text]


def open_mmc4(path: Path, split: str = "") -> Documents:
    """A json lines file of documents, or a folder with one."""
    notes = no_split(path, split) if path.is_file() else []
    names = (f"*{split}*.jsonl", f"*{split}*.jsonl.gz", f"*{split}*.json")
    file = path if path.is_file() else find(path, *names, notes=notes)
    return Documents(file, file.parent, notes)


def open_vist(path: Path, split: str = "") -> Stories:
    """A SIS file, or a folder with one; pictures are named by their Flickr id."""
    notes = no_split(path, split) if path.is_file() else []
    names = (f"{split}*.json",) if split else ("*.story-in-sequence.json", "*sis*.json", "*.json")
    file = path if path.is_file() else find(path, *names, notes=notes)
    return Stories(file, file.parent, notes)
