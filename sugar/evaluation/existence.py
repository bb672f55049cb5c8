"""POPE: is there a red star? The absent objects are random, of popular kinds, or adversarial: kind and colour
are there, not together.
"""

from __future__ import annotations

from sugar.core import Sugar
from sugar.evaluation.baselines import habit
from sugar.evaluation.figures import BLANK, Figure, picture, test_rng
from sugar.evaluation.loops import generate
from sugar.metrics import pope
from sugar.scenes import sample_scene
from sugar.scenes.questions import Question, existence
from sugar.scenes.words import article
from sugar.sequence import Sample

SPLITS = ("random", "popular", "adversarial")


def measure(model: Sugar, seed: int, size: int) -> dict[str, Figure]:
    """Per split as many questions with the answer no as with yes, one of each about every scene that admits
    both.
    """
    rng = test_rng(seed, "pope")
    scenes = [sample_scene(rng) for _ in range(size)]
    figures: dict[str, Figure] = {}
    for split in SPLITS:
        samples, blanks, wanted = [], [], []
        for scene in scenes:
            absent = next((q for _ in range(20) if (q := existence(scene, rng, split))), None)
            obj = scene.objects[int(rng.integers(len(scene.objects)))]
            if absent is None:
                continue
            there = Question(absent.kind, f"is there {article(obj.phrase)}?", "yes")
            for q in (there, absent):
                samples.append(Sample([picture(scene), q.text]))
                blanks.append(Sample([BLANK, q.text]))
                wanted.append(q)
        truth = [q.answer for q in wanted]
        p = pope(generate(model, samples, max_new_tokens=4), truth)
        few = max(2, len(blanks) // 8 * 2)
        unseen = pope(generate(model, blanks[:few], max_new_tokens=4), truth[:few]).accuracy
        known = pope([habit().answer(q.text, "exist") for q in wanted], truth).accuracy
        figures[f"pope_{split}"] = Figure(p.accuracy, 0.5, max(unseen, known))
        figures |= {
            f"pope_{split}_{name}": Figure(getattr(p, name))
            for name in ("precision", "recall", "f1", "yes_ratio")
        }
    return figures
