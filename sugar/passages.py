"""What a knowledge base is made of: passages of text, question/answer pairs, pictures with captions; and how files become them.

    report = read_files([("notes.md", data), ("facts.csv", data), ("star.png", data)])
    report.passages, report.refused                 # list[Passage], list[(name, reason)]

- Markdown and text: one passage per paragraph or list, at most `PASSAGE_WORDS` words, named by file and heading. A text file with the
  name of a picture beside it is that picture's caption.
- csv: a row is a question/answer pair (columns question, answer, and picture where it has one) or a caption (columns picture, caption).
  `picture` names a picture handed in together with the csv; `file` and `image` are understood as `picture`.
- pictures: through sugar/images.py, with the caption that a csv or a text file gives, or none.

Not covered: PDF and office files; files inside zips; what is close to a question (rag.py).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from PIL import Image

from sugar.errors import ImageError
from sugar.images import SUFFIXES, open_image
from sugar.sequence import Sample

__all__ = ["Limits", "Passage", "Reading", "read_files", "split_text"]

PASSAGE_WORDS = 80
TEXT_SUFFIXES = (".md", ".markdown", ".txt")


@dataclass(frozen=True)
class Limits:
    """Caps on one knowledge base: files, passages, and bytes of a text or csv file."""

    max_files: int = 200
    max_passages: int = 2_000
    max_text_bytes: int = 2_000_000
    picture_side: int = 1024


@dataclass(frozen=True, eq=False)
class Passage:
    """One thing that can be found and read. name: where it is from. text: a passage, a caption, or the question of a pair; may be
    empty beside a picture. answer: of a pair. item: the id of the gallery picture that it is, where it is one."""

    name: str
    text: str = ""
    answer: str = ""
    image: Image.Image | None = None
    item: int | None = None

    @property
    def kind(self) -> str:
        """ "pair", "picture" or "passage"."""
        return "pair" if self.answer else "picture" if self.image is not None else "passage"

    @property
    def key(self) -> Sample:
        """What is embedded to be found: the picture, then the text. The answer of a pair is not part of it (method.md A5)."""
        return Sample([part for part in (self.image, self.text) if part])


@dataclass
class Reading:
    """What became of a set of files: passages in order, and the refused files with the reason."""

    passages: list[Passage] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = [p.kind for p in self.passages]
        words = {"passage": "passages", "pair": "question/answer pairs", "picture": "pictures"}
        counts = ", ".join(f"{kinds.count(k)} {name}" for k, name in words.items() if k in kinds) or "nothing"
        return f"{counts} to read" + (f"; {len(self.refused)} refused" if self.refused else "")


def read_files(files: Sequence[tuple[str, bytes]], limits: Limits | None = None) -> Reading:
    """Named bytes -> passages. Nothing raises: a file that cannot be read is refused with its reason."""
    limits = limits or Limits()
    out = Reading()
    if len(files) > limits.max_files:
        out.refused.append((f"{len(files) - limits.max_files} files", f"A knowledge base takes {limits.max_files} files. Send fewer."))
    texts: list[tuple[str, str]] = []
    pictures: dict[str, Image.Image] = {}
    for path, data in files[: limits.max_files]:
        name = _clean(PurePosixPath(path.replace("\\", "/")).name) or "unnamed"
        suffix = PurePosixPath(name).suffix.lower()
        try:
            if suffix in SUFFIXES:
                pictures[name] = open_image(data, max_side=limits.picture_side).image
            elif suffix in (*TEXT_SUFFIXES, ".csv"):
                texts.append((name, _decoded(data, limits.max_text_bytes)))
            else:
                out.refused.append((name, f"{suffix or 'A file without suffix'} is not read. Use Markdown, text, csv, or pictures."))
        except ImageError as error:
            out.refused.append((name, str(error)))
        except ValueError as error:
            out.refused.append((name, str(error)))
    captions: dict[str, str] = {}
    for name, text in texts:
        twin = next((p for p in pictures if PurePosixPath(p).stem == PurePosixPath(name).stem), None)
        if name.lower().endswith(".csv"):
            _read_csv(name, text, pictures, captions, out)
        elif twin is not None and name.lower().endswith(".txt"):
            captions[twin] = _clean(text)[:2000]
        else:
            out.passages += [Passage(f"{name} › {heading}" if heading else name, part) for heading, part in split_text(text)]
    used = {id(p.image) for p in out.passages}
    out.passages += [
        Passage(n, captions.get(n, ""), image=image) for n, image in pictures.items() if n in captions or id(image) not in used
    ]
    if len(out.passages) > limits.max_passages:
        extra = len(out.passages) - limits.max_passages
        out.refused.append((f"{extra} passages", f"A knowledge base takes {limits.max_passages} passages; the last ones were left out."))
        del out.passages[limits.max_passages :]
    return out


def split_text(text: str, words: int = PASSAGE_WORDS) -> Iterator[tuple[str, str]]:
    """(heading, passage) of a Markdown or plain text: by paragraph, long ones by sentence, never across a heading.

    >>> list(split_text("# Trees\\n\\nAn oak is tall.\\n\\nA fir is green."))
    [('Trees', 'An oak is tall.'), ('Trees', 'A fir is green.')]
    """
    heading = ""
    for block in re.split(r"\n\s*\n|(?=^#{1,6}\s)|(?<=\n)(?=#{1,6}\s)", text.replace("\r\n", "\n")):
        if found := re.match(r"#{1,6}\s+(.*?)\s*#*\s*(?:\n|$)", block):
            heading, block = _clean(found.group(1))[:80], block[found.end() :]
        part: list[str] = []
        for sentence in re.split(r"(?<=[.!?])\s+|\n", block):
            told = _clean(sentence).split()
            while len(part) + len(told) > words and (part or len(told) > words):
                if not part:
                    part, told = told[:words], told[words:]
                yield heading, " ".join(part)
                part = []
            part += told
        if any(re.search(r"\w", word) for word in part):
            yield heading, " ".join(part)


def _read_csv(name: str, text: str, pictures: dict[str, Image.Image], captions: dict[str, str], out: Reading) -> None:
    try:
        dialect = csv.Sniffer().sniff(text[:4096], delimiters=",;\t") if text.strip() else csv.excel
    except csv.Error:
        dialect = csv.excel
    try:
        rows = [{(k or "").strip().lower(): _clean(v or "") for k, v in row.items() if isinstance(v, str)}
                for row in csv.DictReader(io.StringIO(text, newline=""), dialect=dialect)]  # fmt: skip
    except csv.Error as error:
        out.refused.append((name, f"The csv cannot be read ({error}). Save it again as comma-separated text."))
        return
    columns = set(rows[0]) if rows else set()
    if not {"question", "answer"} <= columns and not ("caption" in columns and columns & {"picture", "file", "image"}):
        seen = ", ".join(sorted(filter(None, columns))) or "none"
        out.refused.append((name, f"Its columns are {seen[:120]}. Give question and answer (and picture), or picture and caption."))
        return
    for number, row in enumerate(rows, 2):
        wanted = PurePosixPath((row.get("picture") or row.get("file") or row.get("image") or "").replace("\\", "/")).name
        if wanted and wanted not in pictures:
            out.refused.append((f"{name}, row {number}", f"The picture {wanted[:80]!r} was not sent along. Add it and send both again."))
        elif row.get("question") and row.get("answer"):
            out.passages.append(Passage(f"{name}, row {number}", row["question"], row["answer"], pictures.get(wanted)))
        elif wanted and row.get("caption"):
            captions[wanted] = row["caption"][:2000]
        elif any(row.values()):
            out.refused.append((f"{name}, row {number}", "A question, an answer or a caption is missing in it."))


def _decoded(data: bytes, most: int) -> str:
    if len(data) > most:
        raise ValueError(f"The file has {len(data):,} bytes; {most:,} are read at most. Split it.")
    if b"\0" in data[:8192] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("This is not a text (it holds zero bytes). Save it as plain UTF-8 text.")
    text = data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig", "replace")
    if not text.strip():
        raise ValueError("The file is empty.")
    return text


def _clean(text: str) -> str:
    """One line without control characters or marks that turn the direction of writing."""
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+", " ", text).strip()
