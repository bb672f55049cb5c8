"""The losses of a step: L = L_g + alpha L_d, and four named terms beside them.

    losses, report = objective(network, material, step, tokens, Terms())

L_g: next words of answers. L_d: squared error between the cosines of drawn positions and the Triple Kernel's
label matrix (normalised alignment kernel over slices). Deviations from the paper, each a weight: `pull_*`, a
slice's embedding to its teacher's vector; `contrast`, InfoNCE of captions and photos; `swap`, caption
against foil; `align`, the words for what a photo shows, read off its projected token.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sugar.dtw import TwoPart, label_matrix
from sugar.training.photos.material import Material
from sugar.training.photos.network import FusedCrossEntropy, Network
from sugar.training.photos.packed import Tokens, batches
from sugar.training.photos.step import Known, PhotoStep, push

__all__ = ["Terms", "objective"]


@dataclass(frozen=True)
class Terms:
    """Weights. The paper's objective is language 1 and similarity alpha, all others 0.
    discriminative=False: L_g only.
    """

    language: float = 1.0
    similarity: float = 2.0
    pull_photos: float = 4.5
    pull_texts: float = 3.0
    contrast: float = 0.4
    swap: float = 0.3
    align: float = 0.3
    aligned: int = 48
    temperature: float = 0.05
    delta: float = 1.0


def objective(
    network: Network,
    material: Material,
    step: PhotoStep,
    tokens: Tokens,
    terms: Terms,
    rng: np.random.Generator,
    *,
    discriminative: bool = True,
) -> tuple[Tensor, dict[str, float]]:
    """The weighted sum, and each part for the log."""
    pixels = np.stack([_features(material, step, *picture) for picture in step.pictures])
    features = network.project(network.read_tower(torch.from_numpy(pixels)))
    hidden, wanted, weights, pooled = [], [], [], {}
    for packed in batches(step.rows):
        states = network(packed, features, tokens.image)
        learnt = packed.following >= 0
        hidden.append(states[learnt])
        wanted.append(packed.following[learnt])
        weights.append(packed.weights[learnt])
        for b, row in enumerate(packed.rows):
            for span in row.spans:
                part = states[b, span.start : span.stop]
                pooled[span.key] = part.mean(0) if span.is_image else part[-1]
    weight = torch.cat(weights)
    language = FusedCrossEntropy.apply(
        torch.cat(hidden), network.words, torch.cat(wanted), weight / weight.sum()
    )
    aligned = _align(network, material, step, features, tokens, terms, rng)
    report = {"language": float(language.detach()), "align": float(aligned.detach())}
    language = terms.language * language + terms.align * aligned
    if not discriminative:
        return language, report
    keys = list(pooled)
    embeddings = network.head(torch.stack([pooled[key] for key in keys]))  # (slices, D)
    at = {key: i for i, key in enumerate(keys)}
    parts = _similarity(embeddings, at, step, terms, rng) | _comparisons(embeddings, at, step, terms)
    report |= {name: float(value.detach()) for name, value in parts.items()}
    total = language
    for name, value in parts.items():
        total = total + getattr(terms, name) * value
    return total, report


def _align(
    network: Network,
    material: Material,
    step: PhotoStep,
    features: Tensor,
    tokens: Tokens,
    terms: Terms,
    rng: np.random.Generator,
) -> Tensor:
    """Cross-entropy of the words for what is shown, under the LM head, at the projected token of the whole
    picture.

    For the step's photos these are the things that the captions agree on; for made pictures, and for
    `terms.aligned` more, the name of the class.
    """
    m = material
    pooled = torch.from_numpy(np.array(m.plain.features[:, 0][_sorted_draw(rng, m, terms.aligned)])).float()
    kinds = rng.integers(0, len(m.classes), len(pooled))
    made = push(m, pooled, kinds, rng)
    seen = [network.project(network.read_tower(made[:, None]))[:, 0]]
    wanted = [tokens.encode(m.classes[kind]) for kind in kinds]
    for picture, (collection, number) in enumerate(step.pictures):
        if collection == "made":
            words = list(tokens.encode(m.classes[step.made[number][1]]))
        elif collection != "plain":
            words = [i for thing in m.facts[number].agreed() for i in tokens.encode(thing)]
        else:
            words = []
        if words:
            seen.append(features[picture, :1])
            wanted.append(tuple(words))
    scores = (network.decoder.norm(torch.cat(seen)) @ network.words.T).log_softmax(-1)  # (N, vocabulary)
    rows = torch.tensor([row for row, words in enumerate(wanted) for _ in words])
    columns = torch.tensor([i for words in wanted for i in words])
    weights = torch.tensor([1 / len(words) for words in wanted for _ in words])
    return -(scores[rows, columns] * weights).sum() / len(wanted)


def _sorted_draw(rng: np.random.Generator, material: Material, count: int) -> np.ndarray:
    return np.sort(rng.integers(0, len(material.plain.names), count))


def _features(material: Material, step: PhotoStep, collection: str, number: int) -> np.ndarray:
    if collection == "made":
        return step.made[number][0]
    return getattr(material, collection).features[number]


def _similarity(
    embeddings: Tensor, at: dict[Hashable, int], step: PhotoStep, terms: Terms, rng: np.random.Generator
) -> dict[str, Tensor]:
    """L_d over single slices and drawn positions of the albums, and the pull of the single slices."""
    in_albums = {key for album in step.albums for key in album}
    single = [key for key in step.slices if key not in in_albums]
    sequences = [_sequence([step.slices[key]]) for key in single]
    positions: list[list[int]] = [[0]] * len(single)
    chosen = [at[key] for key in single]
    for album in step.albums:
        drawn = sorted(set(rng.integers(0, len(album), int(rng.integers(2, 5))).tolist()))
        sequences.append(_sequence([step.slices[key] for key in album]))
        positions.append(drawn)
        chosen += [at[album[i]] for i in drawn]
    target = label_matrix(sequences, positions, delta=terms.delta)
    r = embeddings[chosen]
    teacher = torch.stack([step.slices[key].vector for key in single])
    gap = 1 - (r[: len(single)] * teacher).sum(1)
    photos = torch.tensor([step.slices[key].is_image for key in single])
    return {
        "similarity": (r @ r.T - target).square().mean(),
        "pull_photos": gap[photos].mean(),
        "pull_texts": gap[~photos].mean(),
    }


def _sequence(slices: list[Known]) -> TwoPart:
    """Both parts of each slice; part 1 is padded to one width, which leaves its cosines as they are."""
    width = max(len(s.own) for s in slices)
    width = max(width, 1280)
    own = torch.stack([F.pad(s.own, (0, width - len(s.own))) for s in slices])
    return TwoPart(own, torch.stack([s.vector for s in slices]), torch.tensor([s.is_image for s in slices]))


def _comparisons(
    embeddings: Tensor, at: dict[Hashable, int], step: PhotoStep, terms: Terms
) -> dict[str, Tensor]:
    """InfoNCE of captions and the step's photos in both directions, and caption against foil."""
    pictures = sorted({picture for _, picture in step.pairs})
    texts = embeddings[[at["text", text] for text, _ in step.pairs]]
    photos = embeddings[[at["photo", picture] for picture in pictures]]
    right = torch.tensor([pictures.index(picture) for _, picture in step.pairs])
    similarity = texts @ photos.T / terms.temperature
    positive = F.one_hot(right, len(pictures)).bool()
    back = similarity.logsumexp(0) - similarity.masked_fill(~positive, -1e9).logsumexp(0)
    found = {"contrast": (F.cross_entropy(similarity, right) + back.mean()) / 2}
    if step.foils:
        wrong, good, photo = (
            embeddings[[at[kind, foil[n]] for foil in step.foils]]
            for n, kind in enumerate(("text", "text", "photo"))
        )
        found["swap"] = F.softplus(((photo * wrong) - (photo * good)).sum(1) / terms.temperature).mean()
    return found
