"""Pictures with captions: a folder with a table or with text files beside the pictures; COCO; Flickr8k and
Flickr30k.

    open_folder(Path("holiday"))  # captions.csv, .tsv, .jsonl, metadata.csv ..., or a.jpg + a.txt
    open_coco(Path("coco"), "val")  # captions_val2017.json beside the pictures, or Karpathy's file
    # Flickr8k.token.txt, results.token, captions.txt, file<TAB>caption
    open_flickr(Path("flickr8k"), "train")

Not covered: what is learnt from a caption (recipes).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sugar.errors import InputError
from sugar.training.data.example import Example, captioned
from sugar.training.data.files import (
    NAME_COLUMNS,
    PICTURES,
    TEXT_COLUMNS,
    PictureFiles,
    column,
    find,
    read_json,
    read_lines,
    table,
)


class CaptionedPictures:
    """Pictures of one folder or zip, each with its captions. rows: (file name, captions)."""

    def __init__(self, name: str, root: Path, rows: Iterable[tuple[str, str]]) -> None:
        grouped: dict[str, list[str]] = {}
        for file, caption in rows:
            grouped.setdefault(file, []).append(caption.strip())
        self.name = name
        self.files = PictureFiles(root)
        self.rows = list(grouped.items())
        if not self.rows:
            raise InputError(
                f"{root} holds no captions. Check the table, or the text files beside the pictures."
            )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        file, captions = self.rows[index]
        words = [c for c in captions if c]
        if not words:
            raise InputError("The caption is empty.")
        return captioned(self.files.open(file), words, source=f"{self.name}: {file}")

    def captions(self, index: int) -> list[str]:
        return self.rows[index][1]


def open_folder(path: Path, split: str = "") -> CaptionedPictures:
    """A folder of pictures, or a table of names and captions in one.

    split: files of a list `*split*.txt` only.
    """
    if path.is_file() and path.suffix != ".zip":
        return CaptionedPictures(path.stem, path.parent, kept(_from_table(path), path.parent, split))
    for pattern in ("captions.*", "metadata.*", "*.jsonl", "*.csv", "*.tsv"):
        for file in sorted(path.glob(pattern)):
            if file.suffix.lower() in (".csv", ".tsv", ".jsonl", ".json", ".parquet"):
                return CaptionedPictures(path.name, path, kept(_from_table(file), path, split))
    beside = [
        (str(p.relative_to(path)), p.with_suffix(".txt").read_text("utf-8", errors="replace"))
        for p in sorted(path.rglob("*"))
        if p.suffix.lower() in PICTURES and p.with_suffix(".txt").is_file()
    ]
    if not beside:
        raise InputError(
            f"{path} holds neither a table (captions.csv, .tsv or .jsonl, metadata.csv) nor text files "
            "beside its pictures."
        )
    return CaptionedPictures(path.name, path, kept(beside, path, split))


def _from_table(path: Path) -> list[tuple[str, str]]:
    rows = table(path)
    if not rows:
        raise InputError(f"{path} has no rows.")
    name, text = (column(list(rows[0]), wanted, path) for wanted in (NAME_COLUMNS, TEXT_COLUMNS))
    found = []
    for row in rows:
        said = row[text]
        found += [(str(row[name]), str(s or "")) for s in (said if isinstance(said, list) else [said])]
    return found


def kept(rows: Iterable[tuple[str, str]], folder: Path, split: str) -> list[tuple[str, str]]:
    """The rows of the split. Raises InputError when no list names it."""
    rows = list(rows)
    if not split:
        return rows
    wanted = {line.strip() for line in read_lines(find(folder, f"*{split}*.txt"))}
    return [(file, caption) for file, caption in rows if file in wanted or Path(file).name in wanted]


def open_coco(path: Path, split: str = "") -> CaptionedPictures:
    """COCO captions as published (`images`, `annotations`), or Karpathy's file with its splits."""
    file = (
        path
        if path.is_file()
        else find(path, f"*captions*{split}*.json", f"*/captions*{split}*.json", "dataset*.json")
    )
    folder = path.parent if path.is_file() else path
    data = read_json(file)
    try:
        if "annotations" in data:
            names = {image["id"]: image["file_name"] for image in data["images"]}
            rows = [(names[a["image_id"]], str(a["caption"])) for a in data["annotations"]]
        else:
            chosen = [i for i in data["images"] if not split or i["split"] == split]
            rows = [
                (str(Path(i.get("filepath", "")) / i["filename"]), str(s["raw"]))
                for i in chosen
                for s in i["sentences"]
            ]
    except (KeyError, TypeError) as error:
        raise InputError(f"{file} is not a COCO captions file: {error} is missing.") from error
    return CaptionedPictures(path.stem, folder, rows)


def open_flickr(path: Path, split: str = "") -> CaptionedPictures:
    """Flickr8k or Flickr30k: `name.jpg#0<TAB>caption`, `name<TAB>caption`, or captions.txt with a header and
    commas.

    Pictures lie in the folder, in one of its folders, or in a zip of the file's name.
    """
    file = path
    if path.is_dir():
        file = find(path, "*.token.txt", "*.token", "captions.txt", "captions.tsv", "*.tsv")
    rows = []
    for n, line in enumerate(read_lines(file)):
        name, tab, caption = line.partition("\t")
        if not tab:
            name, _, caption = line.partition(",")
            if n == 0 and name.lower() in NAME_COLUMNS:
                continue
        rows.append((name.partition("#")[0], caption))
    zipped = file.with_suffix(".zip")
    return CaptionedPictures(
        file.stem, zipped if zipped.is_file() else file.parent, kept(rows, file.parent, split)
    )
