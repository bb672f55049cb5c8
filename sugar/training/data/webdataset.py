"""WebDataset tars: members of one key are one row (`0001.jpg`, `0001.txt` or `0001.json`). Read by HF
`datasets`.

Not covered: streaming from a network; the tars are read into the `datasets` cache once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sugar.errors import InputError
from sugar.images import open_image
from sugar.training.data.example import Example, captioned
from sugar.training.data.files import PICTURES, TEXT_COLUMNS, _cause

KINDS = tuple(s.removeprefix(".") for s in PICTURES)


class Tars:
    """Captioned pictures in tar files."""

    def __init__(self, path: Path) -> None:
        import datasets

        files = [str(p) for p in (sorted(path.glob("*.tar")) if path.is_dir() else [path])]
        if not files:
            raise InputError(f"{path} holds no .tar file.")
        datasets.disable_progress_bars()
        try:
            rows = datasets.load_dataset("webdataset", data_files=files, split="train")
        except Exception as error:
            raise InputError(f"{path} cannot be read as WebDataset ({_cause(error)}).") from error
        for name, feature in rows.features.items():
            if isinstance(feature, datasets.Image):
                rows = rows.cast_column(name, datasets.Image(decode=False))
        self.name, self.rows = path.stem, rows
        self.picture = next((c for c in rows.column_names if c.lower() in KINDS), None)
        if self.picture is None:
            raise InputError(f"{path} has the members {', '.join(rows.column_names)}; one picture is needed.")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        row = self.rows[index]
        captions = _captions(row)
        if not captions:
            raise InputError("The row has no caption: neither .txt nor a text in .json.")
        image = open_image(row[self.picture]["bytes"]).image
        return captioned(image, captions, source=f"{self.name}: {row.get('__key__', index)}")

    def captions(self, index: int) -> list[str]:
        return _captions(self.rows[index])


def _captions(row: dict[str, Any]) -> list[str]:
    said = row.get("txt") or ""
    facts = row.get("json") or {}
    if not said:
        said = next((facts[c] for c in TEXT_COLUMNS if facts.get(c)), "")
    words = said if isinstance(said, list) else [said]
    return [str(w).strip() for w in words if str(w).strip()]


def open_webdataset(path: Path, split: str = "") -> Tars:
    """One tar, or all tars of a folder. split is a folder of that name."""
    return Tars(path / split if split else path)
