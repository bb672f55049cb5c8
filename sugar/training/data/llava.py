"""LLaVA conversations: `[{"image": "a.jpg", "conversations": [{"from": "human", "value": "<image>\\nWhat is
it?"}, ...]}]`.

Also as others write them: `images`, no picture at all, `messages` with `role` and `content`, JSON lines.
Every answer is learnt; each picture is embedded alone. Not covered: video, answers that are pictures.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sugar.errors import InputError
from sugar.sequence import Sample, Turn
from sugar.text_files import word
from sugar.training.data.example import Conversation, Example, Target
from sugar.training.data.files import PictureFiles, Unusable, find, kind_of, no_split, pictures_of, read_rows

MARK = re.compile("<image>", re.IGNORECASE)
PLACED = re.compile(r"(?:^|(?<=\n))\s*(?:<image>\s*)+|<image>\s*$", re.IGNORECASE)
"""Marks that stand before or behind the words of a turn, or alone on a line, not within a sentence."""

TALKS = ("conversations", "messages", "conversation")
WHO, WHAT = ("from", "role"), ("value", "content")
ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "bot", "chatgpt", "model"), "assistant"),
    "system": "system",
}

Part = str | int
"""A text, or the number of a picture among the row's."""


class Conversations:
    """Rows of a LLaVA file, beside its pictures."""

    def __init__(self, file: Path, root: Path, notes: list[str]) -> None:
        self.name = file.stem
        self.files = PictureFiles(root)
        found = read_rows(file)
        self.notes = [*notes, *found.notes]
        self.rows: list[tuple[int, Any]] = found.rows
        if not any(isinstance(row, dict) and _first(row, TALKS) for _, row in self.rows):
            raise InputError(f"{file} is not a list of rows with `conversations` or `messages`.")
        self.rows += [(number, Unusable(reason)) for number, reason in found.refused]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        number, row = self.rows[index]
        names, said = _talk(row)
        pictures = [self.files.open(n) for n in names]
        turns = tuple(
            Turn(role, Sample([pictures[p] if isinstance(p, int) else p for p in parts]))  # type: ignore[arg-type]
            for role, parts in said
        )
        source = f"{self.name}: row {word(row.get('id')) or number}"
        return Example(tuple(Target(Sample(p)) for p in pictures), (Conversation(turns),), source=source)

    def captions(self, index: int) -> list[str]:
        try:
            _, said = _talk(self.rows[index][1])
        except InputError:
            return []
        texts = (" ".join(p for p in parts if isinstance(p, str)) for _, parts in said)
        return [text for text in texts if text]


def _first(row: dict[str, Any], keys: tuple[str, ...]) -> Any:
    """The first of the fields that is not null."""
    return next((row[key] for key in keys if row.get(key) is not None), None)


def _talk(row: Any) -> tuple[list[str], list[tuple[str, list[Part]]]]:
    """The names of a row's pictures, and its turns.

    Raises InputError: a row of another shape, a turn that says nothing, marks and pictures that do not match.
    """
    if isinstance(row, Unusable):
        raise InputError(row)
    if not isinstance(row, dict):
        raise InputError(f"The row is {kind_of(row)}, not an object with `conversations`.")
    talk = _first(row, TALKS)
    if not isinstance(talk, list) or not talk:
        raise InputError(
            f"Its conversation is {kind_of(talk) if talk != [] else 'empty'}, not a list of turns."
        )
    names = _names(row)
    said: list[tuple[str, list[Any]]] = []  # the contents of a turn: texts, and None for the next picture
    if word(row.get("system")):
        said.append(("system", [word(row["system"])]))
    for n, turn in enumerate(talk, 1):
        if not isinstance(turn, dict):
            raise InputError(f"Turn {n} is {kind_of(turn)}, not an object.")
        who = str(_first(turn, WHO)).strip(" :").lower()
        if who not in ROLES:
            raise InputError(f"Turn {n} is said by {who[:40]!r}; known are {', '.join(ROLES)}.")
        contents = _contents(_first(turn, WHAT), names)
        if contents:
            said.append((ROLES[who], contents))
        elif ROLES[who] != "system":  # an empty system prompt is none
            raise InputError(f"Turn {n}, of {who}, is empty or null.")
    while said and said[-1][0] != "assistant":
        said.pop()
    if not said:
        raise InputError("Nobody answers in this conversation.")
    if next(role for role, _ in said if role != "system") == "assistant":
        raise InputError("The conversation begins with an answer. Put what was asked before it.")
    return names, _placed(said, len(names))


def _names(row: dict[str, Any]) -> list[str]:
    """The names of the row's pictures; none where the field is null or empty."""
    found = _first(row, ("image", "images"))
    names = []
    for name in found if isinstance(found, list) else [found]:
        if isinstance(name, (dict, list)):
            raise InputError(f"Its `image` is {kind_of(name)}, not the name of a file.")
        if word(name):
            names.append(str(word(name)))
    return names


def _contents(value: Any, names: list[str]) -> list[Any]:
    """Texts and pictures of a turn, a picture as None; names written into the turn join `names`.

    value: a text, or the parts that chat formats write: {"type": "text", "text": ...}, {"type": "image"}.
    """
    if not isinstance(value, list):
        text = word(value)
        return [text] if text else []
    found: list[Any] = []
    for part in value:
        part = part if isinstance(part, dict) else {"text": part}
        if "image" in str(part.get("type")) or "image" in part or "image_url" in part:
            name = _first(part, ("image", "image_url", "path", "url"))
            name = word(name.get("url") if isinstance(name, dict) else name)
            if name:
                names.append(name)
            found.append(None)
        elif text := word(part.get("text")):
            found.append(text)
    return found


def _placed(said: list[tuple[str, list[Any]]], count: int) -> list[tuple[str, list[Part]]]:
    """The turns with `count` pictures where their marks stand, in order.

    A mark is what the person writes: in an answer it is text, and so is one within a sentence where there are
    more marks than pictures. Pictures without any mark come first.
    """
    asked = [c for role, contents in said if role == "user" for c in contents]
    marks = sum(1 if c is None else len(MARK.findall(c)) for c in asked)
    alone = sum(1 if c is None else sum(len(MARK.findall(m)) for m in PLACED.findall(c)) for c in asked)
    within = marks == count
    if not within and alone != count and (marks or not count):
        raise InputError(f"The conversation has {marks} <image> marks and {count} pictures.")
    first: list[Part] = [] if marks else list(range(count))
    numbers = iter(range(count))
    turns: list[tuple[str, list[Part]]] = []
    for role, contents in said:
        parts: list[Part] = []
        if role == "user":
            parts, first = first, []
            for content in contents:
                if content is None:
                    parts.append(next(numbers))
                    continue
                at = 0
                for placed in (MARK if within else PLACED).finditer(content):
                    parts += [content[at : placed.start()].strip()]
                    parts += [next(numbers) for _ in MARK.findall(placed.group())]
                    at = placed.end()
                parts.append(content[at:].strip())
            parts = [p for p in parts if p != ""]
        else:
            if None in contents:
                raise InputError("An answer holds a picture; only texts can be learnt as answers.")
            parts = ["\n".join(contents)]
        if turns and turns[-1][0] == role == "user":
            turns[-1][1].extend(parts)  # templates want turns to alternate
        else:
            turns.append((role, parts))
    return turns


def open_llava(path: Path, split: str = "") -> Conversations:
    """A LLaVA file, or a folder with one. split is part of the file's name."""
    if path.is_file():
        return Conversations(path, pictures_of(path), no_split(path, split))
    notes: list[str] = []
    names = [f"*{split}*{suffix}" for suffix in (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".parquet")]
    file = find(path, *names, *(f"*/{n}" for n in names), notes=notes)
    return Conversations(file, path, notes)
