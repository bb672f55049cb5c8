"""Finding: photos by captions, captions by photos, kinds by their names, the right caption beside a foil."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sugar.core import Sugar
from sugar.errors import InputError
from sugar.evaluation.figures import Figure
from sugar.evaluation.photos.asked import Asked
from sugar.metrics import recall_at_k
from sugar.sequence import Sample
from sugar.text_files import read_json
from sugar.training.photos.archive import Archive, clean
from sugar.training.photos.foils import all_foils

__all__ = ["captions", "foils", "kinds", "sugarcrepe"]

KINDS = ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj")


def captions(model: Sugar, asked: Asked) -> dict[str, Figure]:
    """Recall at 1, 5 and 10 in both directions; a photo counts as right when any of its captions is found."""
    photos = model.embed([Sample(photo) for photo in asked.photos]).pooled  # (P, D)
    texts = model.embed([Sample(c) for own in asked.captions for c in own]).pooled  # (P * 5, D)
    owner = np.repeat(np.arange(len(photos)), [len(own) for own in asked.captions])
    similarity = texts @ photos.T
    right = owner[None, :] == np.arange(len(photos))[:, None]  # (P, P * 5)
    figures = {}
    for k in (1, 5, 10):
        chance = k / len(photos)
        figures[f"photo_t2i_r{k}"] = Figure(recall_at_k(similarity, owner, k), chance)
        figures[f"photo_i2t_r{k}"] = Figure(recall_at_k(similarity.T, right, k), chance)
    return figures


def foils(model: Sugar, asked: Asked) -> dict[str, Figure]:
    """The caption against the same caption with one word exchanged: by cosine, and blind by word pairs.

    A coin says whether the foil is a likelier text than the caption, so that fluency gives nothing away.
    """
    rng = asked.rng("foils")
    pairs = []
    for photo, own, facts in zip(asked.photos, asked.captions, asked.facts, strict=True):
        right = clean(own[int(rng.integers(len(own)))])
        bar = asked.habits.likelihood(right)
        likelier = rng.random() < 0.5
        found = [f for f in all_foils(right, facts) if (asked.habits.likelihood(f.caption) > bar) == likelier]
        if found:
            wrong = found[int(rng.integers(len(found)))]
            pairs.append((photo, right, wrong.caption, wrong.kind))
    won, blind = _compare(model, asked, [p[:3] for p in pairs])
    figures = {"photo_foil": Figure(float(won.mean()), 0.5, float(blind.mean()))}
    for kind in ("noun", "color", "number", "action"):
        chosen = np.array([p[3] == kind for p in pairs])
        if chosen.any():
            figures[f"photo_foil_{kind}"] = Figure(
                float(won[chosen].mean()), 0.5, float(blind[chosen].mean())
            )
    return figures


def sugarcrepe(model: Sugar, asked: Asked, folder: Path) -> dict[str, Figure]:
    """SugarCrepe's own items on the COCO photos of the archive; empty where its files are not in `folder`."""
    names = asked.archive.names("coco_val_159")
    photos = dict(zip(names, asked.archive.photos("coco_val_159", names), strict=True))
    figures, all_won, all_blind = {}, [], []
    for kind in KINDS:
        path = folder / f"sugar-crepe-{kind}.json"
        if not path.is_file():
            continue
        try:
            items = read_json(path.read_bytes()).values()
            chosen = [i for i in items if i["filename"] in photos]
            pairs = [(photos[i["filename"]], i["caption"], i["negative_caption"]) for i in chosen]
        except (ValueError, KeyError) as error:
            raise InputError(f"{path} is not a file of SugarCrepe ({error!r}).") from error
        if pairs:
            won, blind = _compare(model, asked, pairs)
            figures[f"photo_sugarcrepe_{kind}"] = Figure(float(won.mean()), 0.5, float(blind.mean()))
            all_won.append(won)
            all_blind.append(blind)
    if all_won:
        mean, unseen = np.concatenate(all_won).mean(), np.concatenate(all_blind).mean()
        figures["photo_sugarcrepe"] = Figure(float(mean), 0.5, float(unseen))
    return figures


def _compare(model: Sugar, asked: Asked, pairs: list) -> tuple[np.ndarray, np.ndarray]:
    """Per (photo, right, wrong): is the right caption nearer, and is it the likelier text? Both (N,) bool."""
    photos = model.embed([Sample(photo) for photo, _, _ in pairs]).pooled
    right = model.embed([Sample(text) for _, text, _ in pairs]).pooled
    wrong = model.embed([Sample(text) for _, _, text in pairs]).pooled
    won = (photos * right).sum(1) > (photos * wrong).sum(1)
    likely = asked.habits.likelihood
    blind = np.array([likely(text) > likely(other) for _, text, other in pairs])
    return won, blind


def kinds(model: Sugar, archive: Archive) -> dict[str, Figure]:
    """Each class name finds the one photo of its class among all photos of the collection."""
    names = archive.names("imagenet500")
    classes = archive.classes()
    photos = model.embed([Sample(photo) for photo in archive.photos("imagenet500", names)]).pooled
    texts = model.embed([Sample(classes[int(name[:4])]) for name in names]).pooled
    similarity, target = texts @ photos.T, np.arange(len(names))
    return {
        f"photo_kinds_r{k}": Figure(recall_at_k(similarity, target, k), k / len(names)) for k in (1, 5, 10)
    }
