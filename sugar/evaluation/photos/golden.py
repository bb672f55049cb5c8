"""Golden answers on the pictures that come with scikit-image: what sugar-photo says of them, good or bad.

    golden(model)                        # kept as assets/sugar-photo/golden.json, shown in its card
    differences(golden(model), stored)   # what a test asks

The pictures are free to use (CC0 or public domain) and are read from the installed package, never stored
here. Not covered: whether an answer is right; the table of figures says how often it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from sugar.core import Sugar
from sugar.model.cells import familiarity
from sugar.sequence import Sample

__all__ = ["PICTURES", "QUERIES", "differences", "golden", "pictures"]

PICTURES = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle", "camera", "clock", "page", "grass")
QUESTIONS = ("what is in the picture?", "what kind of thing is this?", "is there a person?")
QUERIES = ("a cat", "a cup of coffee", "a motorcycle", "a man with a camera", "grass", "a rocket")
SAID = ("hello", "what can you do?", "who won the world cup?")
TOLERANCE = 0.01


def pictures() -> dict[str, Image.Image]:
    """The pictures by name, in RGB. scikit-image must be installed."""
    from skimage import data

    found = {}
    for name in PICTURES:
        array = data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)()
        found[name] = Image.fromarray(np.asarray(array)).convert("RGB")
    return found


def golden(model: Sugar) -> dict[str, Any]:
    """Answers, the order of the pictures for each query, familiarity, and the first numbers of embeddings."""
    shown = pictures()
    answers = {
        name: {q: "".join(model.generate(Sample([picture, q]))) for q in QUESTIONS}
        for name, picture in shown.items()
    }
    rows = model.embed([Sample([picture]) for picture in shown.values()]).pooled
    queries = model.embed([Sample(query) for query in QUERIES]).pooled
    order = np.argsort(-(queries @ rows.T), axis=1)[:, :3]
    scores = familiarity(model.model, model.processor, list(shown.values()))
    return {
        "answers": answers,
        "said": {text: "".join(model.generate(Sample(text))) for text in SAID},
        "found": {q: [PICTURES[i] for i in best] for q, best in zip(QUERIES, order, strict=True)},
        "familiarity": [round(float(s), 4) for s in scores] if scores is not None else [],
        "embeddings": [[round(float(v), 4) for v in row[:8]] for row in rows],
    }


def differences(found: dict[str, Any], stored: dict[str, Any]) -> list[str]:
    """What is not as stored, in words. Texts must be equal, numbers close."""
    out = []
    for part in ("answers", "said", "found"):
        for key, value in stored[part].items():
            if found[part].get(key) != value:
                out.append(f"{part}, {key}: {found[part].get(key)!r}, stored {value!r}")
    for part in ("familiarity", "embeddings"):
        far = np.abs(np.asarray(found[part]) - np.asarray(stored[part])).max()
        if far > TOLERANCE:
            out.append(f"{part}: off by {far:.4f}")
    return out
