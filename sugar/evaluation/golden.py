"""Golden answers: what a checkpoint says of fixed pictures and where it embeds them, so that a changed weight
or code path is noticed.

    of_scenes(model)                    # sugar-tiny, kept as assets/golden.json
    of_photos(model)                    # sugar-photo, kept beside it as golden.json and shown in its card
    differences(found, stored) == []    # what a test asks

Photos are those that come with scikit-image (CC0 or public domain), read from the installed package. Whether
an answer is right is not asked here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from sugar.core import Sugar
from sugar.evaluation.tasks.drawn import stream
from sugar.model.cells import familiarity
from sugar.scenes import draw, long_caption, questions, sample_card, sample_edit, sample_scene, sample_story
from sugar.scenes.words import DIFFERENCE_QUESTION
from sugar.sequence import Sample

PICTURES = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle", "camera", "clock", "page", "grass")
QUESTIONS = ("what is in the picture?", "what kind of thing is this?", "is there a person?")
QUERIES = ("a cat", "a cup of coffee", "a motorcycle", "a man with a camera", "grass", "a rocket")
SAID = ("hello", "what can you do?", "who won the world cup?")
TOLERANCE = 0.01
"""Numbers may be this far off: float32 sums differ between machines. Scores ten times that."""


def _say(model: Sugar, *parts: Any) -> str:
    return "".join(model.generate(Sample(list(parts))))


def of_scenes(model: Sugar) -> dict[str, Any]:
    """Greedy answers, scores and embeddings of drawn scenes, through the public calls of `Sugar`."""

    def picture(scene: Any) -> Image.Image:
        return Image.fromarray(draw(scene))

    rng = stream(2024, "golden")
    scenes = [sample_scene(rng) for _ in range(4)]
    pictures = [picture(s) for s in scenes]
    asked = [(p, q.text) for s, p in zip(scenes, pictures, strict=True) for q in questions(s, rng, 3)]
    answers = {f"{i}: {text}": _say(model, p, text) for i, (p, text) in enumerate(asked)}
    answers["describe the picture."] = _say(model, pictures[0], "describe the picture.")
    edit = sample_edit(scenes[1], rng)
    shown = (picture(edit.before), picture(edit.after))
    answers[DIFFERENCE_QUESTION] = _say(model, *shown, DIFFERENCE_QUESTION)
    card = sample_card(rng)
    again = (picture(card.scene), card.question)
    answers["card"] = _say(model, *again, card.answer, *again)
    story = sample_story(rng)
    samples = [Sample(pictures[2]), Sample(long_caption(scenes[2], rng).words)]
    samples.append(Sample([story.sentences[0].words, picture(story.scenes[0]), story.sentences[1].words]))
    rows = [row for sample in model.embed(samples).slices for row in sample]
    scores = model.score(Sample([pictures[0], "is it day or night?"]), ["day", "night"])
    return {
        "answers": answers,
        "scores": _numbers(scores),
        "embeddings": [_numbers(row[:12]) for row in rows],
    }


def photos() -> dict[str, Image.Image]:
    """The pictures by name, in RGB. scikit-image must be installed."""
    from skimage import data

    found = {}
    for name in PICTURES:
        array = data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)()
        found[name] = Image.fromarray(np.asarray(array)).convert("RGB")
    return found


def of_photos(model: Sugar) -> dict[str, Any]:
    """Answers, the order of the pictures for each query, familiarity, and the first numbers of embeddings."""
    shown = photos()
    rows = model.embed([Sample([picture]) for picture in shown.values()]).pooled
    queries = model.embed([Sample(query) for query in QUERIES]).pooled
    order = np.argsort(-(queries @ rows.T), axis=1)[:, :3]
    scores = familiarity(model.model, model.processor, list(shown.values()))
    return {
        "answers": {name: {q: _say(model, p, q) for q in QUESTIONS} for name, p in shown.items()},
        "said": {text: _say(model, text) for text in SAID},
        "found": {q: [PICTURES[i] for i in best] for q, best in zip(QUERIES, order, strict=True)},
        "familiarity": _numbers(scores) if scores is not None else [],
        "embeddings": [_numbers(row[:8]) for row in rows],
    }


def _numbers(row: Any) -> list[float]:
    return [round(float(v), 4) for v in row]


def differences(found: Any, stored: Any, name: str = "") -> list[str]:
    """What is not as stored, in words; empty when all is. Texts must be equal, numbers close."""
    if isinstance(stored, dict):
        return [
            d for key in stored for d in differences(found.get(key), stored[key], f"{name} {key}".strip())
        ]
    if isinstance(stored, list) and stored and isinstance(stored[0], list):
        return [d for n, row in enumerate(stored) for d in differences(found[n], row, f"{name} {n}")]
    if isinstance(stored, list) and stored and isinstance(stored[0], float):
        far = np.abs(np.subtract(found, stored)).max()
        return [f"{name} is off by {far:.4f}"] if far > TOLERANCE * (10 if name == "scores" else 1) else []
    return [] if found == stored else [f"{name}: {found!r}, stored {stored!r}"]
