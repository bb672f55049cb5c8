"""The settings of the photo model's recipe, and how the model was trained to be asked."""

from __future__ import annotations

from dataclasses import dataclass, field

from sugar.everyday.scope import DESCRIBE
from sugar.model.checkpoint import Profile
from sugar.model.photo import DecoderSizes
from sugar.training.photos.critical import CriticConfig
from sugar.training.photos.dual import DualConfig
from sugar.training.photos.objective import Terms
from sugar.training.photos.step import StepConfig
from sugar.training.photos.steps import DIFFERENCE, MATCH

__all__ = ["PROFILE", "PhotoConfig"]


@dataclass(frozen=True)
class PhotoConfig:
    """The settings of the shipped model. data: the archive's folder. Resumes where `out` holds a state.

    start: a checkpoint's folder, to begin with the last stage. kept_captions: captions of a photo that are
    still learnt word by word in it. last_rate: its first factor of both rates. averaged: share of the last
    stage's change that is kept, since captions gain early in it and retrieval loses late.
    """

    data: str = ""
    out: str = "runs/photo"
    start: str = ""
    seed: int = 7
    text_steps: int = 525
    language_steps: int = 95
    steps: int = 1300
    caption_steps: int = 280
    kept_captions: int = 1
    last_rate: float = 0.3
    averaged: float = 2 / 3
    matrix_rate: float = 0.01
    rate: float = 1.5e-3
    matrix_decay: float = 0.1
    warm_up: int = 40
    sentences: int = 60_000
    texts: int = 128
    classes: int = 24
    threads: int = 1
    save_every: int = 60
    dual: DualConfig = field(default_factory=DualConfig)
    network: DecoderSizes = field(default_factory=DecoderSizes)
    step: StepConfig = field(default_factory=StepConfig)
    terms: Terms = field(default_factory=Terms)
    critic: CriticConfig = field(default_factory=CriticConfig)


PROFILE = Profile(
    yes_no=MATCH,
    difference=DIFFERENCE,
    reading="{passages}{question}",
    describe=DESCRIBE[0],
    confirms=(),
    unsure=-0.252,
    memory=1,
    good_at="Everyday photos, short answers. For more: SmolVLM (0.5 GB).",
    limits="It reads no text, knows no names, counts badly, takes each question by itself, and can be wrong.",
    larger="smolvlm-256m",
    examples={
        "chat": [{"text": "what can you do?"}],
        "search": [
            {"mode": "Pictures", "rows": [{"text": "two dogs playing in snow"}]},
            {"mode": "Pictures", "rows": [{"text": "people at the beach"}]},
            {"mode": "Pictures", "rows": [{"text": "a red car"}]},
        ],
        "ask": [
            {"text": "what is the name of the purple cup?"},
            {"text": "name of the red fish"},
            {"text": "what is the red star called?"},
        ],
    },
)
"""How the model was trained to be asked. Its yes or no ranks the best six hits worse than their cosines do.
It reads one question at a time: after its own caption it is right about existence in 66 % instead of 79, and
after two questions in 50 (278 questions about photos of the dev split, half of them to be answered "yes").
99 % of plain photos of ImageNet stand above `unsure`.
"""
