"""Every word that the drawn world says, for the embedded model's tokenizer.

    words = vocabulary()        # sorted, lower case, punctuation marks included

Collected by letting the generators speak at length with a fixed seed, plus words that people are likely to
use in a chat. What a person types beyond these becomes <unk>.
"""

from __future__ import annotations

import re
from functools import lru_cache

from sugar.scenes.captions import long_caption, short_caption
from sugar.scenes.cards import SYLLABLES, UNKNOWN, sample_card
from sugar.scenes.edits import CELLS_QUESTION, DIFFERENCE_QUESTION, sample_edit
from sugar.scenes.naming import NUMBERS
from sugar.scenes.questions import questions
from sugar.scenes.stories import sample_story
from sugar.scenes.swaps import sample_winoground
from sugar.scenes.world import (
    COLORS,
    KINDS,
    PATTERNS,
    PLACES,
    PLURALS,
    RELATIONS,
    TIMES,
    WEATHERS,
    sample_scene,
    split_rng,
)

GREETINGS = {
    "hello": "hello! show me a drawn scene and ask about it.",
    "hi": "hello! show me a drawn scene and ask about it.",
    "who are you?": "i am sugar, a small model of a drawn world.",
    "what can you do?": "i can answer questions about drawn scenes, find them and tell them apart.",
    "thank you": "you are welcome!",
    "thanks": "you are welcome!",
    "goodbye": "goodbye!",
}
DESCRIBE = (
    "describe the picture.",
    "what is in the picture?",
    "describe this.",
    "what do you see?",
    "tell me about the picture.",
)
PEOPLE = """
colour colours gray grey photo image images pictures drawing scene please show find give look where
who when why which one ones same different near next side middle upper lower under over beside
behind front between this that these those it its me my you your not without but or also only just
any some all every other another first second third fourth fifth last story happens happened does do
is are was were be has have had can could will would should did yes no maybe many much few more most
less least than as so if then use reference information pictures answer question otherwise ignore
useful from not know with and name called card note passage .
: ; ' " - ( ) ! ? , 1 2 3 4 5 6 7 8 9 0 [ ]
"""


@lru_cache(maxsize=1)
def vocabulary() -> tuple[str, ...]:
    """All words, sorted. Takes about two seconds the first time."""
    rng = split_rng("train", 0)
    texts = [
        " ".join(
            (
                *KINDS,
                *COLORS,
                *PATTERNS,
                *PLACES,
                *PLURALS.values(),
                *RELATIONS,
                *TIMES,
                *WEATHERS,
                *NUMBERS,
                *SYLLABLES,
            )
        )
    ]
    texts += [
        PEOPLE,
        UNKNOWN,
        DIFFERENCE_QUESTION,
        CELLS_QUESTION,
        *GREETINGS,
        *GREETINGS.values(),
        *DESCRIBE,
    ]
    for _ in range(2000):
        scene = sample_scene(rng)
        edit = sample_edit(scene, rng)
        card = sample_card(rng)
        texts += [
            short_caption(scene, rng).words,
            long_caption(scene, rng).words,
            edit.instruction,
            edit.difference,
            card.question,
            card.answer,
        ]
        texts += [t for q in questions(scene, rng, 4) for t in (q.text, q.answer)]
        texts += [t.words for t in (*sample_story(rng).sentences, *sample_winoground(rng).captions)]
    return tuple(sorted({w for t in texts for w in re.findall(r"\w+|[^\w\s]", t.lower())}))
