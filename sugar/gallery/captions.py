"""Captions that come with pictures: tables (captions.csv, metadata.jsonl), texts, XMP, Google's json beside.

    captions = Captions(pictures, others, read)
    captions.of("2024/a.jpg")         # Told: caption, taken, clock
    captions.rest                     # refusals: rows that name no picture, what was guessed, unused files

A table's row speaks of pictures beside or below it, in whatever spelling (sugar/file_names.py). A text is
`a.txt` or `a.jpg.txt`. Not covered: how bytes become text (sugar/text_files.py).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from sugar import metadata
from sugar.errors import InputError
from sugar.file_names import FileNames, name_key
from sugar.gallery.archives import ArchiveError
from sugar.gallery.items import clean_caption, clean_name
from sugar.gallery.sources import Refusal, Told, passed_over
from sugar.metadata import Described
from sugar.taken import read
from sugar.text_files import decode, read_json, read_json_rows, read_table, word

MAX_TABLE = 20_000_000
MAX_TEXT = 64_000
_TABLES = re.compile(r"(captions|metadata)\.(csv|tsv|jsonl)", re.IGNORECASE)
_FILE = ("file", "file_name", "filename", "file name", "image", "image_name", "picture", "path", "name")
_CAPTION = ("caption", "text", "description", "title")
_TAKEN = ("taken", "date", "datetime", "date_taken")


def is_caption_file(name: str) -> bool:
    """Whether a file of this name is a table of captions."""
    return _TABLES.fullmatch(name.rpartition("/")[2]) is not None


class Captions:
    """See the module docstring.

    Args:
        pictures, others: the names of all files of one folder, zip or upload.
        read: (name, most) -> at most so many bytes of one. May raise OSError or ArchiveError.
    """

    def __init__(
        self, pictures: Sequence[str], others: Iterable[str], read: Callable[[str, int], bytes]
    ) -> None:
        self.rest: list[Refusal] = []
        self._read = read
        self._rows: dict[str, Told] = {}
        self._words: dict[str, str] = {}
        self._google: dict[str, Told] = {}
        self._xmp: dict[str, Described] = {}
        others = list(others)
        tables = {name for name in others if is_caption_file(name)}
        # the nearest table is the strongest, and captions before metadata: it is read last
        for table in sorted(tables, key=lambda n: (n.count("/"), "captions" in n.lower()[-14:], n)):
            self._table(table, pictures)
        beside = {name_key(name): name for name in others if name not in tables}
        used = self._read_texts(pictures, beside) | self._read_google(pictures, beside)
        used |= self._read_xmp(pictures, beside)
        self.rest += [passed_over(name) for name in beside.values() if name not in used]

    def of(self, picture: str) -> Told:
        """What is told of a picture: by a table before a text, that before XMP, and that before Google."""
        row, google = self._rows.get(picture, Told()), self._google.get(picture, Told())
        xmp = self._xmp.get(picture, Described())
        caption = row.caption or self._words.get(picture, "") or xmp.caption or google.caption
        return Told(caption, row.taken, google.clock, xmp.favourite, xmp.location)

    def _table(self, name: str, pictures: Sequence[str]) -> None:
        foreign = "metadata" in name.lower()[-14:]  # so other programs call theirs too
        data = self._bytes(name, MAX_TABLE)
        if data is None:
            return
        if len(data) > MAX_TABLE:
            self._refuse(name, f"The caption file is larger than {MAX_TABLE / 1e6:g} MB. Split it.")
            return
        try:
            if name.lower().endswith(".jsonl"):
                found = read_json_rows(data)
                no_object = "This is no object with file and caption."
                found.refused += [(n, no_object) for n, row in found.rows if not isinstance(row, dict)]
                rows = [
                    (n, {str(k).strip().lower(): v for k, v in row.items()})
                    for n, row in found.rows
                    if isinstance(row, dict)
                ]
                columns = {key for _, row in rows for key in row}
            else:
                known = () if foreign else (*_FILE, *_CAPTION)
                found = read_table(data, known=known, columns=("file", "caption", "taken"))
                rows, columns = found.rows, set(found.columns)  # type: ignore[attr-defined]
        except InputError as error:
            self._refuse(name, f"The caption file cannot be read ({error}).")
            return
        if not columns & set(_FILE) and foreign:
            self.rest.append(passed_over(name))
            return
        if not columns & set(_FILE):
            first = f"row {found.refused[0][0]}: {found.refused[0][1]}" if found.refused else "no column file"
            self._refuse(name, f"The caption file cannot be read ({first}). Give file, caption in each row.")
            return
        self.rest += [Refusal(clean_name(name), note, "guess") for note in found.notes]
        self.rest += [Refusal(f"{clean_name(name)}, row {n}", why, "line") for n, why in found.refused]
        folder = name.rpartition("/")[0]
        below = f"{folder}/" if folder else ""
        names = FileNames(p.removeprefix(below) for p in pictures if p.startswith(below))
        for number, row in rows:
            file, caption, taken = (_first(row, columns) for columns in (_FILE, _CAPTION, _TAKEN))
            meant = names.find(file)
            where = f"{clean_name(name)}, row {number}"
            if meant is None:
                said = f"{clean_name(file)} ({where})" if file else where
                self.rest.append(Refusal(said, "The row names no picture that is here.", "row"))
                continue
            time = read(taken)
            if taken and time is None:
                why = f"The date {taken!r} cannot be read. Write it as 2024-05-31 or 2024-05-31T18:30."
                self.rest.append(Refusal(where, why, "line"))
            before = self._rows.get(below + meant, Told())
            told = None if time is None or time.from_name else time.time  # a guess from a name stays one
            self._rows[below + meant] = Told(clean_caption(caption) or before.caption, told or before.taken)

    def _read_texts(self, pictures: Sequence[str], beside: dict[str, str]) -> set[str]:
        """Captions from texts. Those that are not UTF-8 are detected together: one alone is too short."""
        used, odd = set[str](), list[tuple[str, str, bytes]]()
        for picture in pictures:
            key = name_key(picture)
            text = beside.get(f"{key}.txt") or beside.get(f"{_stem(key)}.txt")
            if text is None:
                continue
            used.add(text)
            if (data := self._bytes(text, MAX_TEXT)) is None:
                continue
            try:
                if (words := _utf8(data)) is not None:
                    self._words[picture] = clean_caption(words)
                elif b"\0" in data or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
                    self._words[picture] = clean_caption(decode(data).text)
                else:
                    odd.append((picture, text, data))
            except InputError as error:
                self._refuse(text, str(error))
        if odd:
            together = decode(b"\n".join(data for _, _, data in odd)[:200_000])
            for picture, text, data in odd:
                self._words[picture] = clean_caption(data.decode(together.encoding, "replace"))
                self.rest.append(Refusal(clean_name(text), together.note, "guess"))
        return used

    def _read_google(self, pictures: Sequence[str], beside: dict[str, str]) -> set[str]:
        """Captions and times from the json that Google Takeout puts beside each picture."""
        names = {_of_google(key): name for key, name in beside.items() if key.endswith(".json")}
        used = set[str]()
        for picture in pictures:
            if (name := names.get(name_key(picture))) is None:
                continue
            if (data := self._bytes(name, MAX_TEXT)) is None:
                continue
            with suppress(ValueError, LookupError, TypeError, OverflowError, OSError):
                told = read_json(data)
                if isinstance(told, dict) and ("photoTakenTime" in told or "description" in told):
                    used.add(name)
                    self._google[picture] = Told(clean_caption(word(told.get("description")) or ""))
                    seconds = int((told.get("photoTakenTime") or {})["timestamp"])
                    clock = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
                    self._google[picture] = replace(self._google[picture], clock=clock)
        return used

    def _read_xmp(self, pictures: Sequence[str], beside: dict[str, str]) -> set[str]:
        """What the sidecars a.xmp and a.jpg.xmp say."""
        used = set[str]()
        for picture in pictures:
            key = name_key(picture)
            name = beside.get(f"{key}.xmp") or beside.get(f"{_stem(key)}.xmp")
            if name is not None and (data := self._bytes(name, metadata.MOST)) is not None:
                used.add(name)
                found = metadata.read_xmp(data)
                self._xmp[picture] = replace(found, caption=clean_caption(found.caption))
        return used

    def _bytes(self, name: str, most: int) -> bytes | None:
        try:
            return self._read(name, most + 1)
        except ArchiveError as error:
            self._refuse(name, str(error))
        except OSError as error:
            self._refuse(name, f"The file cannot be read ({error.strerror}). Check its permissions.")
        return None

    def _refuse(self, name: str, reason: str) -> None:
        self.rest.append(Refusal(clean_name(name), reason))


def _first(row: Mapping[str, object], columns: Sequence[str]) -> str:
    """The first of these columns that says something."""
    return next((said for c in columns if (said := word(row.get(c))) is not None), "")


def _stem(key: str) -> str:
    folder, slash, base = key.rpartition("/")
    return folder + slash + (base.rpartition(".")[0] or base)


def _utf8(data: bytes) -> str | None:
    """Bytes as UTF-8, of which the last character may be cut off. None: they are of another encoding."""
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(data, final=len(data) <= MAX_TEXT)
    except UnicodeDecodeError:
        return None


def _of_google(key: str) -> str:
    """The picture that a Takeout json speaks of: "a.jpg.supplemental-meta(1).json" -> "a(1).jpg"."""
    found = re.fullmatch(r"(.*?)(\(\d+\))?\.json", key, re.DOTALL)
    assert found is not None
    name, number = found[1], found[2] or ""
    head, _, tail = name.rpartition(".")
    if head and "supplemental-metadata".startswith(tail):
        name = head
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}{number}{dot}{suffix}"
