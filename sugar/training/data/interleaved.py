"""Interleaved documents: MMC4 json lines, and VIST stories (SIS).

    # {"text_list": [...], "image_info": [{"image_name": ..., "matched_text_index": 3}]}
    open_mmc4(Path("mmc4"))
    # val.story-in-sequence.json; the last picture is the referent of the query before it
    open_vist(Path("vist"), "val")

Texts of a document are learnt as they stand, and each slice end may be drawn as a target.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sugar.errors import InputError
from sugar.sequence import Sample
from sugar.training.data.example import Example, Target
from sugar.training.data.files import PictureFiles, find, read_json, read_lines


class Documents:
    """MMC4 rows: a picture stands before the sentence that it was matched to."""

    def __init__(self, path: Path) -> None:
        file = path if path.is_file() else find(path, "*.jsonl")
        self.name, self.files = file.stem, PictureFiles(file.parent)
        try:
            self.rows: list[dict[str, Any]] = [json.loads(line) for line in read_lines(file)]
        except ValueError as error:
            raise InputError(f"{file} is not JSON lines ({error}).") from error

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        row = self.rows[index]
        before: dict[int, list[str]] = {}
        for info in row["image_info"]:
            before.setdefault(int(info["matched_text_index"]), []).append(info["image_name"])
        parts: list[Any] = []
        for n, text in enumerate(row["text_list"]):
            parts += [self.files.open(name) for name in before.get(n, [])]
            if text.strip():
                parts.append(text.strip())
        return Example((Target(Sample(parts), language=True),), source=f"{self.name}: line {index + 1}")

    def captions(self, index: int) -> list[str]:
        return list(self.rows[index]["text_list"])


class Stories:
    """VIST: caption and picture in turn, up to the last caption, against the last picture."""

    def __init__(self, path: Path) -> None:
        file = path if path.is_file() else find(path, "*.story-in-sequence.json", "*sis*.json", "*.json")
        self.name, self.files = file.name.partition(".")[0], PictureFiles(file.parent)
        grouped: dict[str, list[tuple[int, str, str]]] = {}
        try:
            for (entry,) in read_json(file)["annotations"]:
                line = (int(entry["worker_arranged_photo_order"]), entry["text"], entry["photo_flickr_id"])
                grouped.setdefault(str(entry["story_id"]), []).append(line)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{file} is not a VIST SIS file ({error}).") from error
        self.rows = [(story, sorted(lines)) for story, lines in grouped.items()]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        story, lines = self.rows[index]
        if len(lines) < 2:
            raise InputError(f"The story has {len(lines)} picture(s); at least 2 are needed.")
        parts: list[Any] = []
        for n, (_, text, photo) in enumerate(lines):
            parts.append(text)
            picture = self.files.open(f"{photo}.jpg")
            if n + 1 < len(lines):
                parts.append(picture)
        samples = (Target(Sample(parts), language=True), Target(Sample(picture)))
        return Example(samples, referents=((0, 1),), source=f"{self.name}: story {story}")

    def captions(self, index: int) -> list[str]:
        return [text for _, text, _ in self.rows[index][1]]


def open_mmc4(path: Path, split: str = "") -> Documents:
    """A json lines file of documents, or a folder with one."""
    return Documents(find(path, f"*{split}*.jsonl") if path.is_dir() and split else path)


def open_vist(path: Path, split: str = "") -> Stories:
    """A SIS file, or a folder with one; pictures are named by their Flickr id."""
    return Stories(find(path, f"{split}*.json") if path.is_dir() and split else path)
