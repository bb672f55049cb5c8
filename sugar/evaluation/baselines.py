"""The language-only baseline: the most frequent answer to a question's wording, learnt from the tuning split,
pictures unseen.

    habit = Habit.learn(kinds, size=1500)
    habit.answer("is there a red star or a blue cat?", "choose")      # "red star"

Things and colours are lifted out of the question, and out of the answer where it repeats one, so a habit like
"the second of the two" is found as well as "white". Not covered: the model itself with a blank picture, which
the benchmarks measure.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache

from sugar.scenes.questions import ASKERS, Question, ask
from sugar.scenes.world import COLORS, KINDS, PLURALS, sample_scene, split_rng

_OBJECTS = {w: "kind" for w in (*KINDS, *PLURALS.values())} | {c: "color" for c in COLORS}


def lift(question: str, answer: str = "") -> tuple[str, str, list[str]]:
    """(question with objects and colours as <kind>, <color>; answer with what it repeats as <0>, <1> ...; the
    words lifted out).

    >>> lift("is the red star small or big?", "small")
    ('is the <color> <kind> small or big?', 'small', ['red', 'star'])
    >>> lift("is there a red star or a blue cat?", "blue cat")[1]
    '<2> <3>'
    """
    words: list[str] = []

    def out(found: re.Match[str]) -> str:
        if found.group() not in _OBJECTS:
            return found.group()
        words.append(found.group())
        return f"<{_OBJECTS[found.group()]}>"

    pattern = re.sub(r"\ban? (?=<)", "a ", re.sub(r"\w+", out, question))
    said = re.sub(
        r"\w+",
        lambda m: f"<{len(words) - 1 - words[::-1].index(m.group())}>" if m.group() in words else m.group(),
        answer,
    )
    return pattern, said, words


class Habit:
    """Counts of answers by wording, and by kind of question for wordings never met."""

    def __init__(self, asked: Iterable[Question]) -> None:
        by_pattern: dict[str, Counter[str]] = defaultdict(Counter)
        by_kind: dict[str, Counter[str]] = defaultdict(Counter)
        for q in asked:
            pattern, said, _ = lift(q.text, q.answer)
            by_pattern[pattern][said] += 1
            by_kind[q.kind][q.answer] += 1
        self.patterns = {p: c.most_common(1)[0][0] for p, c in by_pattern.items()}
        self.kinds = {k: c.most_common(1)[0][0] for k, c in by_kind.items()}

    def answer(self, question: str, kind: str) -> str:
        pattern, _, words = lift(question)
        said = self.patterns.get(pattern, self.kinds.get(kind, "yes"))
        return re.sub(
            r"<(\d+)>", lambda m: words[int(m.group(1))] if int(m.group(1)) < len(words) else "", said
        )

    def answers(self, asked: Sequence[Question]) -> list[str]:
        return [self.answer(q.text, q.kind) for q in asked]


@lru_cache(maxsize=2)
def habit(size: int = 1500) -> Habit:
    """What can be learnt without looking from `size` tuning scenes, each asked every kind of question."""
    rng = split_rng("tuning", 0)
    scenes = [sample_scene(rng) for _ in range(size)]
    return Habit(q for scene in scenes for kind in ASKERS if (q := ask(scene, kind, rng)))
