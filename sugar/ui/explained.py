"""Why a hit was found, as HTML: the heat map with its path, and the regions of the photo.

    explained(explanation); facts(explanation)

Not covered: where the data come from (sugar/services/search.py), the styles (static/search.css).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from sugar.services.search import Content, Explanation
from sugar.ui.components import escape, label
from sugar.ui.grid import figure
from sugar.ui.text import search as words

__all__ = ["alignment_table", "explained", "facts", "highlighted"]

_STEPS = {(0, 1): "right", (1, 0): "down", (1, 1): "diagonal"}


def explained(explanation: Explanation) -> str:
    """The HTML beneath an opened hit."""
    parts = []
    if explanation.similarity is not None:
        parts.append(f"<h4>{words.WHY}</h4><p>{escape(_sentence(explanation))}</p>")
        parts.append(
            alignment_table(
                explanation.similarity,
                explanation.rows,
                explanation.columns,
                explanation.path,
                _caption(explanation),
            )
        )
    if explanation.picture_heat is not None:
        lit = highlighted(explanation.pictures[0], explanation.picture_heat)
        parts.append(f"<h4>{words.WHERE}</h4>{figure(lit, words.WHERE_ALT, words.WHERE_HELP)}")
    return "".join(parts)


def facts(explanation: Explanation) -> str:
    """One line about an opened hit: its size and date, and what the model said."""
    hit = explanation.hit
    told = []
    if hit.items:
        told.append(words.RUN_OF.format(n=len(explanation.pictures)))
    else:
        told.append(words.SIZE_OF.format(width=hit.width, height=hit.height))
    if hit.taken:
        text = words.DAY_BY_NAME if hit.day_from_name else words.TAKEN_AT
        told.append(text.format(taken=hit.taken))
    if hit.agreement is not None:
        told.append(words.MODEL_SAYS.format(share=hit.agreement))
    return " · ".join(told)


def _sentence(explanation: Explanation) -> str:
    """One sentence: which part of the query agrees most with which part of the hit."""
    assert explanation.strongest is not None and explanation.similarity is not None
    row, column = explanation.strongest
    pictures = [isinstance(r, Image.Image) for r in explanation.rows]
    part = explanation.rows[row]
    said = (
        words.ROW_IMAGE.format(n=sum(pictures[: row + 1]))
        if isinstance(part, Image.Image)
        else words.ROW_PART.format(text=part[:80])
    )
    if explanation.hit.items:
        answer = words.COLUMN_RUN.format(n=column + 1)
    else:
        answer = words.COLUMN_CAPTION if column else words.COLUMN_PICTURE
    template = words.AGREES if explanation.similarity.size > 1 else words.AGREES_ALONE
    sentence = template.format(row=said, column=answer, score=explanation.similarity[row, column])
    return sentence[0].upper() + sentence[1:]


def _caption(explanation: Explanation) -> str:
    rows, columns = explanation.similarity.shape if explanation.similarity is not None else (0, 0)
    said = [words.READ_WITH] if rows > 1 and not explanation.hit.items else []
    return " ".join([*said, words.THE_LINE] if rows * columns > 1 else said)


def alignment_table(
    similarity: np.ndarray,
    rows: Sequence[Content],
    columns: Sequence[Content],
    path: Sequence[tuple[int, int]],
    caption: str = "",
) -> str:
    """(n, m) cosines as a table with thumbnails and words at its heads and the path drawn through it."""
    low, high = float(np.nanmin(similarity)), float(np.nanmax(similarity))
    span = (high - low) or 1.0
    steps = {
        (int(i), int(j)): _STEPS.get((int(k - i), int(n - j)), "")
        for (i, j), (k, n) in zip(path, path[1:], strict=False)
    }
    on_path = {(int(i), int(j)) for i, j in path}
    head = "".join(f'<th scope="col">{_head(c, j)}</th>' for j, c in enumerate(columns))
    body = ""
    for i, row in enumerate(rows):
        cells = ""
        for j in range(similarity.shape[1]):
            value = similarity[i, j]
            kind = f' class="on-path {steps.get((i, j), "")}"' if (i, j) in on_path else ""
            heat = 100 * min(1.0, max(0.0, (value - low) / span))
            cells += f'<td{kind} style="--heat:{heat:.0f}%"><span>{value:.2f}</span></td>'
        body += f'<tr><th scope="row">{_head(row, i)}</th>{cells}</tr>'
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    inner = f"{title}<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="sugar-heat sugar-aligned" tabindex="0"><table>{inner}</table></div>'


def _head(part: Content, number: int) -> str:
    return f'<span class="number">{number + 1}</span>{label(part, words.COLUMN_RUN.format(n=number + 1))}'


def highlighted(picture: Image.Image, heat: np.ndarray) -> Image.Image:
    """The picture with the regions of a heat map bright and the others dark.

    heat: (h, w) in [0, 1], rows from top to bottom.
    """
    values = np.clip(np.nan_to_num(np.asarray(heat, np.float64)), 0, 1)
    mask = Image.fromarray((255 * values).astype(np.uint8)).resize(picture.size, Image.Resampling.BICUBIC)
    dark = Image.blend(picture.convert("RGB"), Image.new("RGB", picture.size), 0.75)
    return Image.composite(picture.convert("RGB"), dark, mask)
