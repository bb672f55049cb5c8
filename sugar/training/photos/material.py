"""Everything that the steps draw from: photos and their teachers' vectors, captions, sentences, words.

    material = Material.gather(archive, folder)      # computes what the folder lacks
    material.photos["flickr8k"].vectors              # (N, 256), the cross-modal part of the Triple Kernel

Stages of the cache: the tower's features, MiniLM's vectors, the dual encoder. Each is a file; a second run
reads it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sugar.everyday.archive import Archive, clean
from sugar.everyday.facts import Corpus, Facts
from sugar.model.checkpoint import read_state
from sugar.model.efficientnet import EfficientNetLite
from sugar.model.photo import Encode
from sugar.training.photos import teachers
from sugar.training.photos.dual import Captioned, Dual, DualConfig, train_dual

__all__ = ["Material", "Photos", "Texts", "gather", "wordnet_words"]

WORDNET = Path("/usr/share/wordnet")
NOUN_FILES = {5, 6, 8, 13, 17, 18, 20}
"""WordNet's files of animals, artifacts, bodies, food, objects, persons and plants."""

VERB_FILES = {29, 33, 34, 35, 38}
"""WordNet's files of verbs of the body, competition, consumption, contact and motion."""

NEIGHBOURS = 12


@dataclass(frozen=True)
class Photos:
    """N photos of one collection. features: (N, 17, F) float16. own: (N, F), part 1 of the Triple Kernel.
    vectors: (N, D), part 2. classes, confidence: (N,), the classifier's first choice."""

    names: list[str]
    features: np.ndarray
    own: Tensor
    vectors: Tensor
    classes: Tensor
    confidence: Tensor

    @classmethod
    def read(cls, names: list[str], features: np.ndarray, tower: EfficientNetLite, dual: Dual) -> Photos:
        """The teachers' view of the photos."""
        pooled = torch.from_numpy(np.array(features[:, 0])).float()
        confidence, classes = tower.classifier(pooled).softmax(-1).max(1)
        own = F.normalize((pooled - dual.mean) / dual.spread, dim=1)
        return cls(names, features, own, dual.photos(pooled), classes, confidence)


@dataclass(frozen=True)
class Texts:
    """N texts. own: (N, E), MiniLM's rows. vectors: (N, D), the dual encoder's."""

    words: list[str]
    own: Tensor
    vectors: Tensor

    @classmethod
    def read(cls, words: list[str], own: np.ndarray, dual: Dual) -> Texts:
        """The teachers' view of the texts."""
        rows = F.normalize(torch.from_numpy(own).float(), dim=1)
        return cls(words, rows, torch.cat([dual.texts(part) for part in rows.split(4096)]))


@dataclass(frozen=True)
class Material:
    """What a step draws from. names: the training photos. mirrored: the same, mirrored. plain: photos without
    captions. captions: of photo i, numbers 5 i to 5 i + 4. near: (N, 12), each photo's neighbours."""

    tower: EfficientNetLite
    dual: Dual
    photos: Photos
    mirrored: Photos
    plain: Photos
    captions: Texts
    owned: list[list[int]]
    facts: list[Facts]
    corpus: Corpus
    near: np.ndarray
    sentences: Texts
    words: Texts
    classes: list[str]
    class_texts: Texts


def wordnet_words(known: set[str], folder: Path = WORDNET) -> list[str]:
    """Names of things and actions in WordNet, of one or two words that MiniLM's vocabulary holds whole."""
    found: dict[str, None] = {}
    for name, files in (("data.noun", NOUN_FILES), ("data.verb", VERB_FILES)):
        path = folder / name
        for line in path.read_text("utf-8").split("\n") if path.is_file() else ():
            fields = line.split()
            if not fields or line.startswith(" ") or int(fields[1]) not in files:
                continue
            lemmas = fields[4 : 4 + 2 * int(fields[3], 16) : 2] if name == "data.noun" else fields[4:5]
            for lemma in lemmas:
                word = lemma.replace("_", " ").lower()
                if re.fullmatch("[a-z]+( [a-z]+)?", word) and known.issuperset(word.split()):
                    found[word] = None
    return list(found)


def gather(
    archive: Archive,
    folder: Path,
    *,
    encode: Encode,
    known: set[str],
    tower: EfficientNetLite,
    config: DualConfig,
    sentences: int,
    seed: int = 0,
    reads: bool = False,
) -> Material:
    """Read, or compute and keep in `folder`, everything that the training photos and texts need.

    reads: the tower is a checkpoint's and keeps its reading of photos.
    """
    names, plain = archive.split("train"), archive.names("coco_plain")
    views = [
        teachers.features(tower, archive, "flickr8k", names, folder, mirrored=mirrored)
        for mirrored in (False, True)
    ]
    features = teachers.features(tower, archive, "coco_plain", plain, folder)
    written = [archive.captions(name)[:5] for name in names]
    captions = [[clean(c) for c in own] for own in written]
    owned, flat = _numbered(captions)
    rows = teachers.vectors(encode, [c for own in written for c in own], folder / "captions.npy")
    classes = archive.classes()
    phrases = [f"a photo of a {name}" for name in classes]
    class_rows = teachers.vectors(encode, classes, folder / "classes.npy")
    phrase_rows = teachers.vectors(encode, phrases, folder / "phrases.npy")
    words = wordnet_words(known)
    word_rows = teachers.vectors(encode, words, folder / "words.npy")
    spare = _without(archive.lines("sentences.txt"), flat, sentences, np.random.default_rng(seed))
    spare_rows = teachers.vectors(encode, spare, folder / "sentences.npy")

    five = np.stack([rows[(own * 5)[:5]] for own in owned])
    data = Captioned(
        [torch.from_numpy(np.array(view)) for view in views],
        torch.from_numpy(five).float(),
        torch.from_numpy(np.array(features[:, 0])),
        torch.from_numpy(class_rows).float(),
        torch.from_numpy(phrase_rows).float(),
    )
    dual = _dual(tower, data, config, folder / "dual.pt", reads)
    if not reads:
        dual.install(tower, data.class_names)
    photos = Photos.read(names, views[0], tower, dual)
    nearness = photos.vectors @ photos.vectors.T
    facts = [Facts(own) for own in captions]
    return Material(
        tower,
        dual,
        photos,
        Photos.read(names, views[1], tower, dual),
        Photos.read(plain, features, tower, dual),
        Texts.read(flat, rows, dual),
        owned,
        facts,
        Corpus(facts),
        nearness.topk(min(NEIGHBOURS + 1, len(names)), 1)[1][:, 1:].numpy(),
        Texts.read([clean(s) for s in spare], spare_rows, dual),
        Texts.read(words, word_rows, dual),
        classes,
        Texts.read([*classes, *phrases], np.concatenate([class_rows, phrase_rows]), dual),
    )


def _numbered(captions: list[list[str]]) -> tuple[list[list[int]], list[str]]:
    """Per photo the numbers of its captions, and all captions in one list."""
    owned: list[list[int]] = []
    flat: list[str] = []
    for own in captions:
        owned.append(list(range(len(flat), len(flat) + len(own))))
        flat += own
    return owned, flat


def _without(lines: Sequence[str], captions: Sequence[str], most: int, rng: np.random.Generator) -> list[str]:
    """At most `most` different lines in random order, none of which is a caption."""

    def bare(text: str) -> str:
        return text.lower().replace(" ", "").rstrip(".")

    seen = {bare(caption) for caption in captions}
    kept = [line for line in dict.fromkeys(lines) if bare(line) not in seen]
    return [kept[i] for i in rng.permutation(len(kept))[:most]]


def _dual(tower: EfficientNetLite, data: Captioned, config: DualConfig, path: Path, reads: bool) -> Dual:
    if path.is_file():
        dual = Dual(tower, data.views[0][:, 0].float(), config, data.captions.shape[-1])
        dual.load_state_dict(read_state(path))
        return dual.eval().requires_grad_(False)
    dual = train_dual(tower, data, config, reads=reads)
    torch.save(dual.state_dict(), path)
    return dual
