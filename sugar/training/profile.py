"""The profile of a model of the drawn world: asked at inference as it is asked in training.

Not covered: the examples of the page, which `python -m sugar assets` draws and writes into the profile.
"""

from __future__ import annotations

from sugar.model.checkpoint import Profile
from sugar.scenes.edits import DIFFERENCE_QUESTION
from sugar.scenes.questions import match_question
from sugar.scenes.vocabulary import DESCRIBE

__all__ = ["DRAWN"]

DRAWN = Profile(
    yes_no=match_question("{caption}"),
    difference=DIFFERENCE_QUESTION,
    reading="{passages}{question}",
    describe=DESCRIBE[0],
    confirms=(),
    good_at="Drawn scenes: shapes, colours, places, weather. Short answers.",
    limits="It knows drawn scenes only, and few words. It does not understand photographs.",
    larger="smolvlm-256m",
)
