"""LLaVA conversations: `[{"image": "a.jpg", "conversations": [{"from": "human", "value": "<image>\\nWhat is
it?"}, ...]}]`.

Every answer is learnt; the picture is embedded alone. Not covered: rows with several images fields of other
projects.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sugar.errors import InputError
from sugar.sequence import Sample, Turn
from sugar.training.data.example import Conversation, Example, Target
from sugar.training.data.files import PictureFiles, find, read_json

MARK = "<image>"
ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


class Conversations:
    """Rows of a LLaVA file, beside its pictures."""

    def __init__(self, path: Path) -> None:
        file = path if path.is_file() else find(path, "*.json")
        self.name = file.stem
        self.files = PictureFiles(file.parent)
        self.rows: list[dict[str, Any]] = read_json(file)
        if not isinstance(self.rows, list) or not self.rows or "conversations" not in self.rows[0]:
            raise InputError(f"{file} is not a list of rows with `conversations`.")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        row = self.rows[index]
        names = row.get("image", [])
        pictures = [self.files.open(n) for n in ([names] if isinstance(names, str) else names)]
        waiting = list(pictures)
        turns = []
        for said in row["conversations"]:
            parts: list[Any] = []
            for n, text in enumerate(str(said["value"]).split(MARK)):
                if n:
                    if not waiting:
                        raise InputError(f"The conversation has more {MARK} marks than pictures.")
                    parts.append(waiting.pop(0))
                if text.strip():
                    parts.append(text.strip())
            role = ROLES.get(said["from"])
            if role is None or not parts:
                raise InputError(f"A turn of {said['from']!r} is empty or of an unknown role.")
            turns.append(Turn(role, Sample(parts)))  # type: ignore[arg-type]
        if waiting:
            raise InputError(f"{len(waiting)} picture(s) have no {MARK} mark.")
        while turns and turns[-1].role != "assistant":
            turns.pop()
        if not turns:
            raise InputError("Nobody answers in this conversation.")
        targets = tuple(Target(Sample(p)) for p in pictures)
        source = f"{self.name}: row {row.get('id', index)}"
        return Example(targets, (Conversation(tuple(turns)),), source=source)

    def captions(self, index: int) -> list[str]:
        return [str(s["value"]).replace(MARK, "").strip() for s in self.rows[index]["conversations"]]


def open_llava(path: Path, split: str = "") -> Conversations:
    """A LLaVA file, or a folder with one. split is part of the file's name."""
    return Conversations(find(path, f"*{split}*.json") if split else path)
