"""What the tab Tell apart reads and shows: its two fields, and what the scores say in words.

Not covered: the events (compare_handlers.py), the table (drawing.heat_map).
"""

from __future__ import annotations

from typing import Any

from PIL import Image

from sugar.errors import InputError
from sugar.sequence import Sample
from sugar.services.compare import Best, CompareResult
from sugar.services.workspace import VisitorSession
from sugar.settings import Settings
from sugar.text_files import lines as lines_of
from sugar.ui.components import keep_reduced
from sugar.ui.incoming import picture, text
from sugar.ui.text import compare as words

__all__ = ["fields", "in_words", "read_captions", "read_pictures", "take"]


def read_pictures(files: Any, settings: Settings) -> list[Image.Image]:
    """The pictures of a gallery component or of a program. Raises InputError, ImageError."""
    files = [] if files is None else files
    if not isinstance(files, (list, tuple)) or len(files) > 6:
        raise InputError(words.TOO_MANY)
    paths = [f[0] if isinstance(f, (list, tuple)) and f else f for f in files]
    return [picture(p["image"] if isinstance(p, dict) and "image" in p else p, settings) for p in paths]


def read_captions(lines: Any, settings: Settings) -> list[str]:
    """Captions: lines of a text, or a list of texts. Raises InputError."""
    lines = lines_of(lines) if isinstance(lines, str) else lines
    if not isinstance(lines, (list, tuple)):
        raise InputError(words.NOT_LINES)
    return [t for line in lines if (t := text(line, settings, what="caption", required=False))]


def fields(images: list[Image.Image], captions: list[str], visitor: VisitorSession) -> tuple[Any, str]:
    """Values for the two fields of the tab."""
    kept = [keep_reduced(image, visitor) for image in images[:6]]
    return kept, "\n".join(" ".join(line.split()) for line in captions[:6])


def take(sample: Sample, visitor: VisitorSession) -> tuple[Any, str]:
    """What another tab hands over, as values for the two fields."""
    return fields(sample.images, [s.text for s in sample if not s.is_image], visitor)


def in_words(result: CompareResult, way: str, winoground: bool) -> str:
    """What the scores say, as Markdown: what fits each picture, and each caption, best."""
    lines = [_sentence(b, words.PICTURE, words.CAPTION) for b in result.best_captions(way)]
    lines += [_sentence(b, words.CAPTION, words.PICTURE) for b in result.best_pictures(way)]
    if winoground:
        if result.fit.by(way).shape != (2, 2):
            raise InputError(words.NEEDS_TWO_BY_TWO)
        scores = result.winoground(way)
        told = {name: words.YES if getattr(scores, name) else words.NO for name in ("text", "image", "group")}
        lines.append(words.WINOGROUND_SCORES.format(**told))
    return "\n".join(f"- {line}" for line in lines)


def _sentence(best: Best, who: str, what: str) -> str:
    named = words.AND.join(what.format(n=n + 1).lower() for n in best.best)
    told = {"who": who.format(n=best.number + 1), "best": named, "score": best.score, "second": best.second}
    if len(best.best) > 1:
        return words.TIE.format(**told)
    return (words.FITS_ALONE if best.second is None else words.FITS).format(**told)
