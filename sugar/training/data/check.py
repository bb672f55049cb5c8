"""Looking at a data set before it is trained on.

    found = check(dataset, overlap=[test_set], model="sugar-tiny", rows=1000, out=Path("runs/check"))
    print(report(found))

Not covered: mending what is found.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from sugar.sequence import Sample
from sugar.text_files import clean_text
from sugar.training.data.example import BadRow, Dataset, Example, notes_of, texts_of
from sugar.training.data.mixture import MOST_BAD, read_captions, read_row

CELL = 160
SHOWN = 3


@dataclass
class Checked:
    """What was found.

    notes: what was guessed or passed over when the set was opened. lengths: tokens of each row's sequences.
    samples: the first rows as they will be trained.
    """

    name: str
    rows: int
    opened: int = 0
    pictures: int = 0
    texts: int = 0
    answers: int = 0
    lengths: list[int] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    duplicates: int = 0
    overlap: dict[str, int] = field(default_factory=dict)
    samples: list[str] = field(default_factory=list)
    grid: str = ""

    @property
    def usable(self) -> bool:
        return self.opened > 0 and len(self.bad) <= MOST_BAD * self.opened

    def flat(self) -> dict[str, Any]:
        """As JSON: lengths as quantiles, bad rows as texts."""
        found = dataclasses.asdict(self)
        found["lengths"] = _quantiles(self.lengths)
        found["bad"] = [f"{b.source}: {b.reason}" for b in self.bad]
        return {**found, "usable": self.usable}


def check(dataset: Dataset, overlap: Sequence[Dataset] = (), *, model: str, rows: int, out: Path) -> Checked:
    """Open up to `rows` rows, spread evenly; compare the captions of all of them (of a long set, 100,000)."""
    from sugar.core import Sugar
    from sugar.training.sample_rows import SampleRows, TrainRow

    found = Checked(dataset.name, len(dataset), notes=notes_of(dataset))
    maker = SampleRows(Sugar.from_pretrained(model).processor)
    pictures: list[Image.Image] = []

    def laid_out(row: Example) -> tuple[Example, list[TrainRow]]:
        return row, maker.rows(row, [[len(t.sample) - 1] for t in row.samples])

    for index in np.unique(np.linspace(0, len(dataset) - 1, min(rows, len(dataset))).astype(int)):
        read = read_row(dataset, int(index), laid_out)
        found.opened += 1
        if isinstance(read, BadRow):
            found.bad.append(read)
            continue
        row, made = read
        slices = row.slices
        found.pictures += sum(s.is_image for s in slices)
        found.texts += sum(not s.is_image for s in slices)
        found.answers += sum(t.role == "assistant" for c in row.conversations for t in c.turns)
        found.lengths += [len(r.layout) for r in made]
        if len(found.samples) < SHOWN:
            found.samples.append(_shown(row, maker, made))
            pictures += [s.image for s in slices if s.is_image][:4]
    captions = _captions(dataset)
    found.duplicates = sum(n - 1 for n in captions.values())
    for other in overlap:
        theirs = _captions(other)
        found.overlap[other.name] = sum(n for text, n in captions.items() if text in theirs)
    if pictures:
        found.grid = str(_grid(pictures, out / f"{dataset.name}.png"))
    return found


def _captions(dataset: Dataset, most: int = 100_000) -> Counter[str]:
    counted: Counter[str] = Counter()
    for index in range(min(len(dataset), 2000 if dataset.name == "drawn" else most)):
        counted.update(" ".join(c.lower().split()) for c in read_captions(dataset, index))
    return counted


def _shown(row: Example, maker: Any, made: Sequence[Any]) -> str:
    def written(sample: Sample) -> str:
        return " | ".join("[picture]" if s.is_image else s.text for s in sample)

    lines = [f"{row.source}", *(f"  embedded: {written(t.sample)}" for t in row.samples)]
    for made_row in made:
        for start, stop in made_row.layout.answers:
            before = maker.processor.decode(made_row.layout.ids[:start])
            lines.append(
                f"  read: {before.strip()!r} learnt: "
                f"{maker.processor.decode(made_row.layout.ids[start:stop])!r}"
            )
    unread = [t for t in texts_of(row) if not t.strip()]
    return "\n".join(lines + ([f"  {len(unread)} empty texts"] if unread else []))


def _grid(pictures: Sequence[Image.Image], path: Path) -> Path:
    columns = min(4, len(pictures))
    sheet = Image.new("RGB", (columns * CELL, -(-len(pictures) // columns) * CELL), "white")
    for n, picture in enumerate(pictures):
        small = ImageOps.contain(picture.convert("RGB"), (CELL, CELL))
        sheet.paste(small, ((n % columns) * CELL, n // columns * CELL))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    return path


def _quantiles(lengths: Sequence[int]) -> dict[str, int]:
    if not lengths:
        return {}
    names = ("least", "half", "nine of ten", "most")
    return dict(zip(names, (int(np.quantile(lengths, q)) for q in (0, 0.5, 0.9, 1)), strict=True))


def report(found: Checked) -> str:
    """The findings for people."""
    lengths = ", ".join(f"{k} {v}" for k, v in _quantiles(found.lengths).items())
    share = len(found.bad) / max(1, found.opened)
    lines = [
        f"{found.name}: {found.rows:,} rows; {found.opened:,} opened: {found.pictures:,} pictures, "
        f"{found.texts:,} texts, "
        f"{found.answers:,} answers",
        f"tokens a sequence: {lengths or 'none'}",
        f"captions that occur again: {found.duplicates:,}",
        *(f"captions that {name} has too: {n:,}" for name, n in found.overlap.items()),
        *(f"note: {note}" for note in found.notes),
        f"bad rows: {len(found.bad)} ({share:.1%}); above {MOST_BAD:.0%} training stops",
        *(f"  {bad.source}: {bad.reason}" for bad in found.bad[:10]),
        "",
        *found.samples,
    ]
    report = "\n".join([*lines, *([f"pictures: {found.grid}"] if found.grid else [])])
    return clean_text(report)  # names of files hold what no terminal prints
