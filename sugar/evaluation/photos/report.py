"""All rows of the photo model: what it must reach, what was measured, and the table.

    report = measure(model, Archive("DATA"), split="test", size=1000)
    print(table(report)); json.dumps(report.flat())

Figures are shares inside and percent on paper; CIDEr is given times 100, as papers do.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sugar.core import Sugar
from sugar.errors import SettingsError
from sugar.evaluation.drawn import FigureRow
from sugar.evaluation.figures import Figure
from sugar.evaluation.photos import answering, finding, foreign, telling
from sugar.evaluation.photos.asked import Asked
from sugar.training.photos.archive import Archive

__all__ = ["ROWS", "PhotoReport", "measure", "table"]

ROWS = (
    FigureRow("photo_t2i_r1", "text -> photo R@1", 21, 30),
    FigureRow("photo_t2i_r5", "text -> photo R@5", 50, 62),
    FigureRow("photo_t2i_r10", "text -> photo R@10", 62, 74),
    FigureRow("photo_i2t_r1", "photo -> text R@1", 27, 44),
    FigureRow("photo_i2t_r5", "photo -> text R@5", 55, 72),
    FigureRow("photo_i2t_r10", "photo -> text R@10", 67, 82),
    FigureRow("photo_bleu4", "captions, BLEU-4", 18, 23),
    FigureRow("photo_cider", "captions, CIDEr", 45, 60),
    FigureRow("photo_chair_captions", "captions that name something absent (CHAIR)"),
    FigureRow("photo_pope", "is there ...?, adversarial", 75, 85),
    FigureRow("photo_pope_even", "the same, each thing there as often as not"),
    FigureRow("photo_vqa", "who, how many, color, doing, where: mean"),
    FigureRow("photo_kinds_r5", "kinds by name, R@5 of 500", 40, 80),
    FigureRow("photo_foil", "caption against foil", 70, 85),
    FigureRow("photo_sugarcrepe", "SugarCrepe on 159 COCO photos"),
    FigureRow("photo_refused", "out of scope, refused", 85, 97),
    FigureRow("photo_refused_wrongly", "in scope, refused", 8, 3, at_most=True),
    FigureRow("photo_unsure", "photos against foreign pictures, AUROC"),
)
VQA_MARGINS = (12, 25)
"""How far `photo_vqa` must stand above its blind baseline: at least, and aim."""


@dataclass
class PhotoReport:
    """Figures by key, and how they were measured. said: captions by photo. threshold: a fit for `unsure`."""

    model: str
    split: str
    size: int
    seed: int
    figures: dict[str, Figure]
    said: dict[str, str] = field(default_factory=dict)
    threshold: float = 0.0
    seconds: float = 0.0

    def percent(self, key: str) -> float:
        return round(100 * self.figures[key].value, 2)

    def bars(self, row: FigureRow) -> tuple[float | None, float | None]:
        """At least and aim, in percent."""
        if row.key == "photo_vqa":
            blind = 100 * self.figures[row.key].baseline
            return tuple(round(blind + margin, 2) for margin in VQA_MARGINS)  # type: ignore[return-value]
        return row.at_least, row.aim

    def missed(self) -> list[str]:
        """Keys of the rows that do not reach what they must."""
        return [
            row.key
            for row in ROWS
            if row.key in self.figures
            and (bar := self.bars(row)[0]) is not None
            and not row.met(self.percent(row.key), bar)
        ]

    def flat(self) -> dict[str, Any]:
        """One object in percent; `_baseline` is the stronger of chance and what words alone give."""
        out: dict[str, Any] = {
            "model": self.model,
            "split": self.split,
            "size": self.size,
            "seed": self.seed,
            "seconds": round(self.seconds),
            "missed": self.missed(),
            "threshold": round(self.threshold, 4),
        }
        for key, figure in self.figures.items():
            out[key] = self.percent(key)
            if figure.chance is not None or figure.language is not None:
                out[f"{key}_baseline"] = round(100 * figure.baseline, 2)
        return out


def measure(
    model: Sugar,
    archive: Archive,
    *,
    split: str = "test",
    size: int = 1000,
    seed: int = 0,
    benchmarks: str | Path | None = None,
) -> PhotoReport:
    """Every row. split "dev" leaves out the collections that are for the finished model only.

    Args:
        benchmarks: a folder with `sugar-crepe-*.json`, or None to leave SugarCrepe out.
    Raises:
        SettingsError: a size below 10, or another split than dev and test.
    """
    if size < 10 or split not in ("dev", "test"):
        raise SettingsError(f"size {size} and split {split!r}; use at least 10 photos of dev or test.")
    began = time.perf_counter()
    asked = Asked(archive, split=split, size=size, seed=seed)
    figures, said = telling.captions(model, asked)
    figures |= finding.captions(model, asked) | finding.foils(model, asked)
    figures |= answering.existing(model, asked) | answering.open_questions(model, asked)
    figures |= answering.refused(model, asked)
    unsure, threshold = foreign.foreign(model, asked)
    figures |= unsure
    if split == "test":
        figures |= finding.kinds(model, archive)
        if benchmarks is not None:
            figures |= finding.sugarcrepe(model, asked, Path(benchmarks))
    captions = dict(zip(asked.names, said, strict=True))
    seconds = time.perf_counter() - began
    return PhotoReport(model.name, split, size, seed, figures, captions, threshold, seconds)


def table(report: PhotoReport) -> str:
    """The rows as Markdown, then all other figures."""
    lines = [
        f"{report.model} on {report.size} photos of Flickr8k {report.split}, seed {report.seed}, "
        f"{report.seconds:.0f} s.",
        "",
        "| % | measured | chance | blind | at least | aim | |",
        "|---|---|---|---|---|---|---|",
    ]
    shown = [row for row in ROWS if row.key in report.figures]
    for row in shown:
        figure, value = report.figures[row.key], report.percent(row.key)
        least, aim = report.bars(row)
        verdict = ""
        if least is not None and aim is not None:
            verdict = "aim met" if row.met(value, aim) else "met" if row.met(value, least) else "MISSED"
        sign = "<= " if row.at_most else ""
        bars = [f"{sign}{bar:g}" if bar is not None else "" for bar in (least, aim)]
        cells = [row.title, f"{value:.1f}", _cell(figure.chance), _cell(figure.language), *bars, verdict]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| others, % | measured | chance | blind |", "|---|---|---|---|"]
    rows = {row.key for row in ROWS}
    for key, f in report.figures.items():
        if key not in rows:
            lines.append(f"| {key} | {100 * f.value:.1f} | {_cell(f.chance)} | {_cell(f.language)} |")
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"
