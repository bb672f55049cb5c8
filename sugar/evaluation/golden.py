"""Golden answers: what a checkpoint says and where it embeds a few fixed scenes, so that a changed weight or
code path is noticed.

    json.dumps(golden(model))                    # written to assets/golden.json by `make assets`
    differences(golden(model), stored) == []     # what tests/test_checkpoint.py asks

Words must be equal, numbers close: float32 sums differ between machines in the last digits. Right or wrong is
not asked here.
"""

from __future__ import annotations

from typing import Any

from sugar.core import Sugar
from sugar.evaluation.figures import picture, test_rng
from sugar.scenes import long_caption, questions, sample_card, sample_edit, sample_scene, sample_story
from sugar.scenes.words import DIFFERENCE_QUESTION
from sugar.sequence import Sample

TOLERANCE = 0.01


def golden(model: Sugar) -> dict[str, Any]:
    """Greedy answers, scores and embeddings of fixed samples, through the public calls of `Sugar`."""
    rng = test_rng(2024, "golden")
    scenes = [sample_scene(rng) for _ in range(4)]
    pictures = [picture(s) for s in scenes]
    asked = [(p, q.text) for s, p in zip(scenes, pictures, strict=True) for q in questions(s, rng, 3)]
    answers = {
        f"{i}: {text}": "".join(model.generate(Sample([p, text]))) for i, (p, text) in enumerate(asked)
    }
    answers["describe the picture."] = "".join(model.generate(Sample([pictures[0], "describe the picture."])))
    edit = sample_edit(scenes[1], rng)
    answers[DIFFERENCE_QUESTION] = "".join(
        model.generate(Sample([picture(edit.before), picture(edit.after), DIFFERENCE_QUESTION]))
    )
    card = sample_card(rng)
    shown = picture(card.scene)
    answers["card"] = "".join(
        model.generate(Sample([shown, card.question, card.answer, shown, card.question]))
    )
    story = sample_story(rng)
    samples = [Sample(pictures[2]), Sample(long_caption(scenes[2], rng).words)]
    samples.append(Sample([story.sentences[0].words, picture(story.scenes[0]), story.sentences[1].words]))
    rows = model.embed(samples).slices
    return {
        "answers": answers,
        "scores": [
            round(float(v), 4)
            for v in model.score(Sample([pictures[0], "is it day or night?"]), ["day", "night"])
        ],
        "embeddings": [[round(float(v), 4) for v in row[:12]] for sample in rows for row in sample],
    }


def differences(found: dict[str, Any], stored: dict[str, Any]) -> list[str]:
    """What is not as stored, in words; empty when all is."""
    out = [
        f"{k}: {found['answers'].get(k)!r}, stored {v!r}"
        for k, v in stored["answers"].items()
        if found["answers"].get(k) != v
    ]
    out += [
        f"score {a}, stored {b}"
        for a, b in zip(found["scores"], stored["scores"], strict=True)
        if abs(a - b) > 10 * TOLERANCE
    ]
    for n, (row, kept) in enumerate(zip(found["embeddings"], stored["embeddings"], strict=True)):
        far = max(abs(a - b) for a, b in zip(row, kept, strict=True))
        if far > TOLERANCE:
            out.append(f"embedding {n} is off by {far:.4f}")
    return out
