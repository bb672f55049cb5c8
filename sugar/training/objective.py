"""The training objective over one step: L = L_g + alpha L_d, plus the named terms that are switched on.

    objective = Objective(llava, head, config, image_processor)
    losses, report = objective(prepare(step, ...))            # a dict of scalars by term, and skills measured on the way

All pictures of a step go through the vision tower once; rows of like length go through the language model together; the LM head sees
only the positions where something is learnt. Not covered: what a step holds (mix.py), the loop (loop.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from sugar.model.head import EmbeddingHead
from sugar.model.processor import pool_slices
from sugar.scenes.captions import CELLS
from sugar.scenes.draw import draw
from sugar.scenes.world import COLORS, GRID, KINDS, PATTERNS, PLACES, SIZES, TIMES, WEATHERS, Scene
from sugar.training.losses import contrastive_loss, language_loss, similarity_loss, swap_loss
from sugar.training.mix import Step
from sugar.training.rows import RowBatch, Tokens, collate
from sugar.training.targets import completion_kernel, slice_distances, target_matrix

THING_CLASSES = (len(KINDS) + 1, len(COLORS) + 1, len(PATTERNS) + 1, len(SIZES) + 1)  # the last of each: nothing there
SETTING_CLASSES = (len(PLACES), len(TIMES), len(WEATHERS))


@dataclass(frozen=True)
class Terms:
    """Weights of the loss terms, and the choices of the ablation. The paper's objective is language 1, similarity alpha, all others 0.

    across: what the cross-modal encoder sees: "bag" as in the paper, "sharp" as a named deviation. kernel: "gak", or "mean" without GAK.
    triple: False reads the cross-modal part everywhere. pooling: "mean" over a picture's tokens, or "last". form: of L_d, see losses.py.
    contrastive_only: InfoNCE in place of the squared error.
    """

    language: float = 1.0
    similarity: float = 5.0
    swap: float = 0.2  # 2 x 2 cross-entropy of swapped pairs
    referent: float = 0.2  # InfoNCE of queries with a referent, and of captions, over the pictures of the step
    dense: float = 0.2  # the scene graph read off the vision tower's tokens
    even: float = 0.5  # a token of an answer of n tokens weighs n^-even in the language loss: "yes" is heard beside long lists
    align: float = 0.3  # a picture token, after the projector, near the embeddings of the words for what it shows
    across: str = "sharp"
    kernel: str = "gak"
    triple: bool = True
    pooling: str = "mean"
    form: str = "pairs"
    contrastive_only: bool = False


@dataclass
class Prepared:
    """A step as tensors. pixels (N, 3, H, W); labels per row batch; everything else as in Step."""

    pixels: Tensor
    batches: list[RowBatch]
    step: Step
    scene_labels: tuple[Tensor, Tensor]
    words: tuple[Tensor, Tensor] | None
    phi: Tensor | None
    target: Tensor | None


def pixels_of(scenes: Sequence[Scene], image_processor: Any, side: int) -> Tensor:
    """(N, 3, side, side): the scenes as the checkpoint's own image processor prepares them. Half of them, by their seed, are drawn a third
    larger and come down through the processor, as the pictures that people bring do."""
    pictures = [Image.fromarray(draw(s, side * 4 // 3 if s.seed & 4 else side)) for s in scenes]
    return image_processor(pictures, return_tensors="pt")["pixel_values"]


def scene_labels(scenes: Sequence[Scene]) -> tuple[Tensor, Tensor]:
    """What stands in each cell, (N, 9, 8): kind, colour, pattern, size of the thing and of one inside it; and the setting, (N, 3)."""
    empty = [c - 1 for c in THING_CLASSES]
    things = np.tile(np.array(empty * 2), (len(scenes), GRID * GRID, 1))
    setting = np.array([(PLACES.index(s.place), TIMES.index(s.time), WEATHERS.index(s.weather)) for s in scenes]).reshape(-1, 3)
    for n, scene in enumerate(scenes):
        for t in scene.things:
            at = 4 if t.inside is not None else 0
            things[n, t.row * GRID + t.col, at : at + 4] = (
                KINDS.index(t.kind), COLORS.index(t.color), PATTERNS.index(t.pattern), SIZES.index(t.size),
            )  # fmt: skip
    return torch.from_numpy(things), torch.from_numpy(setting)


def scene_words(scenes: Sequence[Scene], tokens: Tokens) -> tuple[Tensor, Tensor]:
    """The words that name what a cell shows, for the `align` term: (W, 3) of (picture, cell, token id) and the weight of each, (W,)."""
    rows, weights = [], []
    for n, scene in enumerate(scenes):
        for t in scene.things:
            words = [(t.kind, 0.3), (t.color, 0.3), (t.pattern, 0.1), (t.size, 0.1), (CELLS[t.row][t.col], 0.2)]
            for text, weight in words:
                ids = tokens.encode(text)
                rows += [(n, t.row * GRID + t.col, i) for i in ids]
                weights += [weight / len(ids)] * len(ids)
    return torch.tensor(rows), torch.tensor(weights)


def prepare(step: Step, terms: Terms, image_processor: Any, side: int, tokens: Tokens, budget: int = 6000) -> Prepared:
    """Draw the pictures and compute masks, labels and targets of a step."""
    phi = target = None
    if step.samples:
        facts = [f for s in step.samples for f in s.facts]
        flags = [i for s in step.samples for i in s.is_image]
        phi = slice_distances(facts, flags, across=terms.across, triple=terms.triple)
        lengths = [len(s.facts) for s in step.samples]
        positions = [s.positions for s in step.samples]
        target = target_matrix(phi, lengths, positions, kind=terms.kernel)
        if terms.kernel == "gak":
            _label_referents(step, phi, lengths, target)
    batches = collate(step.rows, tokens.pad, budget)
    words = scene_words(step.scenes, tokens) if terms.align else None
    return Prepared(pixels_of(step.scenes, image_processor, side), batches, step, scene_labels(step.scenes), words, phi, target)


def _label_referents(step: Step, phi: Tensor, lengths: list[int], target: Tensor) -> None:
    """Overwrite the labels of (query, single picture) by the kernel of the two completions (method.md A2, last paragraph)."""
    starts = np.cumsum([0, *lengths])
    place = last_places(step)
    single = [i for i, s in enumerate(step.samples) if s.is_image == [True]]
    columns = torch.tensor([place[i] for i in single])
    candidates = [int(starts[i]) for i in single]
    for query, referent in step.referents:
        slices = range(int(starts[query]), int(starts[query + 1]))
        label = completion_kernel(phi, slices, int(starts[referent]), candidates)
        target[place[query], columns] = label
        target[columns, place[query]] = label


def last_places(step: Step) -> list[int]:
    """Of each sample, where its last drawn position stands among all drawn positions."""
    return [int(e) - 1 for e in np.cumsum([len(s.positions) for s in step.samples])]


class DenseHead(nn.Module):
    """Throw-away classifiers of the `dense` term: what stands in a token's cell, and the setting from the mean token."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.things = nn.Linear(hidden, 2 * sum(THING_CLASSES))
        self.setting = nn.Linear(hidden, sum(SETTING_CLASSES))

    def forward(self, tokens: Tensor, things: Tensor, setting: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """tokens (N, P, D) of a square grid; labels of `scene_labels`. Returns the mean loss and (right, asked) per attribute."""
        side = int(tokens.shape[1] ** 0.5)
        axis = torch.arange(side, device=tokens.device) * GRID // side
        cell = (axis[:, None] * GRID + axis).reshape(-1)  # (P,) the cell each token lies in
        h = self.norm(tokens)
        loss, right = h.new_zeros(()), {}
        pieces = self.things(h).split(THING_CLASSES * 2, dim=-1)
        for j, (logits, classes) in enumerate(zip(pieces, THING_CLASSES * 2, strict=True)):
            wanted = things[:, cell, j]  # (N, P)
            weight = torch.ones(classes, device=h.device)
            weight[-1] = 0.15
            loss = loss + F.cross_entropy(logits.reshape(-1, classes), wanted.reshape(-1), weight=weight) * (3.0 if j % 4 == 0 else 1.0)
            there = wanted != classes - 1
            name = ("kind", "color", "pattern", "size")[j % 4] + (" inside" if j >= 4 else "")
            right[f"see {name}"] = torch.stack([(logits.argmax(-1) == wanted)[there].sum(), there.sum()])
        for j, logits in enumerate(self.setting(h.mean(1)).split(SETTING_CLASSES, dim=-1)):
            loss = loss + 0.5 * F.cross_entropy(logits, setting[:, j])
        return loss / 12, right


class Objective(nn.Module):
    """The model, its embedding head, and the losses of one step."""

    def __init__(self, llava: Any, head: EmbeddingHead, terms: Terms) -> None:
        super().__init__()
        self.llava: Any = llava
        self.head, self.terms = head, terms
        self.dense = DenseHead(llava.config.vision_config.hidden_size) if terms.dense else None

    def forward(self, p: Prepared, *, dense_only: bool = False) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Loss terms, unweighted, and skills as (right, asked) pairs, measured on data never seen before."""
        terms, core = self.terms, self.llava.model
        losses: dict[str, Tensor] = {}
        skills: dict[str, Tensor] = {}
        device = next(self.parameters()).device
        if dense_only:
            tokens = core.vision_tower(p.pixels.to(device)).last_hidden_state[:, 1:]
            losses["dense"], skills = self.dense(tokens, *(x.to(device) for x in p.scene_labels))  # type: ignore[misc]
            return losses, skills
        images = core.get_image_features(pixel_values=p.pixels.to(device), return_dict=True)
        features = torch.stack(list(images.pooler_output))  # (N, P, hidden)
        if self.dense is not None:
            losses["dense"], _ = self.dense(images.hidden_states[-1][:, 1:], *(x.to(device) for x in p.scene_labels))
        if p.words is not None:
            losses["align"] = self._align(features, *(x.to(device) for x in p.words))

        learnt_hidden, learnt_labels, learnt_rows = [], [], []
        pooled: dict[int, Tensor] = {}
        wanted = {s.row: k for k, s in enumerate(p.step.samples)}
        for batch in p.batches:
            hidden = self._read(batch, features, device)  # (B, T, hidden)
            rows: list[int] = []
            columns: list[int] = []
            slices, owners = [], []
            for b, number in enumerate(batch.which):
                row = p.step.rows[number]
                for start, stop, skill in row.answers:
                    rows += [b] * (stop - start)
                    columns += range(start, stop)
                    learnt_rows.append((stop - start, skill))
                    learnt_labels += row.labels[start:stop]
                if number in wanted:
                    sample = p.step.samples[wanted[number]]
                    slices.append([self._slice(row.slices[i]) for i in sample.positions])
                    owners.append(wanted[number])
                else:
                    slices.append([])
            if rows:
                learnt_hidden.append(hidden[rows, [c - 1 for c in columns]])
            if owners:
                flat = pool_slices(hidden, slices)
                parts = flat.split([len(p.step.samples[k].positions) for k in owners])
                pooled.update(zip(owners, parts, strict=True))

        if terms.language and learnt_hidden:
            logits = self.llava.lm_head(torch.cat(learnt_hidden))  # (tokens, vocabulary)
            labels = torch.tensor(learnt_labels, device=device)
            weights = torch.tensor([n**-terms.even for n, _ in learnt_rows for _ in range(n)], device=device) if terms.even else None
            losses["language"] = language_loss(logits, labels, weights)
            skills |= _exact(logits.argmax(-1) == labels, learnt_rows)
        if pooled:
            embeddings = self.head(torch.cat([pooled[k] for k in range(len(p.step.samples))]))  # (positions, dimension)
            with torch.autocast(device.type, enabled=False):  # cosines near 1 need their digits
                losses |= self._similarity(embeddings.float(), p, skills)
        return losses, skills

    def _align(self, features: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        """Cross-entropy of the words of each cell under the LM head, read straight off the projected picture tokens (N, P, hidden)."""
        log_p = self.llava.lm_head(self.llava.model.language_model.norm(features)).float().log_softmax(-1)  # (N, P, vocabulary)
        side = int(features.shape[1] ** 0.5)
        axis = torch.arange(side, device=features.device) * GRID // side
        cell = (axis[:, None] * GRID + axis).reshape(-1)  # (P,)
        chosen = log_p[rows[:, 0]].gather(2, rows[:, 2, None, None].expand(-1, log_p.shape[1], 1))[..., 0]  # (W, P)
        there = (cell == rows[:, 1, None]).to(chosen.dtype)  # (W, P)
        return -((chosen * there).sum(1) / there.sum(1) * weights).sum() / weights.sum()

    def _slice(self, part: tuple[int, int, bool]) -> tuple[np.ndarray, bool]:
        start, stop, is_image = part
        return np.arange(start, stop), is_image and self.terms.pooling == "mean"

    def _read(self, batch: RowBatch, features: Tensor, device: torch.device) -> Tensor:
        core = self.llava.model
        ids = batch.ids.to(device)
        embeds = core.get_input_embeddings()(ids)
        if batch.pictures:
            places = (ids == self.llava.config.image_token_id)[..., None]
            embeds = embeds.masked_scatter(places, features[batch.pictures].flatten(0, 1).to(embeds.dtype))
        mask = batch.mask.to(device)
        return core.language_model(inputs_embeds=embeds, attention_mask=mask, position_ids=batch.positions.to(device)).last_hidden_state

    def _similarity(self, r: Tensor, p: Prepared, skills: dict[str, Tensor]) -> dict[str, Tensor]:
        """L_d and the added terms over all drawn positions; retrieval within the step as skills."""
        terms, step, place = self.terms, p.step, last_places(p.step)
        losses: dict[str, Tensor] = {}
        assert p.target is not None
        target = p.target.to(r.device)
        cosines = r @ r.T
        if terms.similarity and not terms.contrastive_only:
            losses["similarity"] = similarity_loss(r, target, form=terms.form)
        images = [place[i] for i, s in enumerate(step.samples) if s.is_image == [True]]
        column = {i: k for k, i in enumerate(images)}
        asks = [(q, t, "story" if len(step.samples[q].facts) > 2 else "change") for q, t in step.referents]
        asks += [(q, t, "caption") for q, t in step.pairs if step.samples[t].is_image == [True]]
        if asks:
            similarity = cosines[[place[q] for q, _, _ in asks]][:, images]  # (queries, pictures)
            positives = torch.zeros_like(similarity, dtype=torch.bool)
            for i, (_, t, _) in enumerate(asks):
                positives[i, column[place[t]]] = True
            if terms.contrastive_only or terms.referent:
                losses["contrastive" if terms.contrastive_only else "referent"] = contrastive_loss(similarity, positives)
            best = similarity.argmax(1)
            for i, (_, t, name) in enumerate(asks):
                hit = torch.stack([best[i] == column[place[t]], torch.ones_like(best[i], dtype=torch.bool)]).long()
                skills[f"find by {name}"] = skills.get(f"find by {name}", 0) + hit
        cards = [(place[q], place[t]) for q, t in step.pairs if step.samples[t].is_image != [True]]
        if len(cards) > 1:
            similarity = cosines[[q for q, _ in cards]][:, [t for _, t in cards]]  # (questions, cards)
            name = "contrastive" if terms.contrastive_only else "referent"
            if name == "contrastive" or terms.referent:
                right = torch.eye(len(cards), dtype=torch.bool, device=r.device)
                losses[name] = losses.get(name, 0) + contrastive_loss(similarity, right)
            found = (similarity.argmax(1) == torch.arange(len(cards), device=r.device)).sum()
            skills["find card"] = torch.stack([found, torch.tensor(len(cards), device=r.device)])
        if step.swaps:
            index = torch.tensor([[place[i] for i in s] for s in step.swaps], device=r.device)
            four = torch.stack([cosines[index[:, a], index[:, b]] for a in (0, 1) for b in (2, 3)], 1).view(
                -1, 2, 2
            )  # [pair, picture, caption]
            if terms.swap:
                losses["swap"] = swap_loss(four)
            d, o = four.diagonal(dim1=1, dim2=2), four.flip(2).diagonal(dim1=1, dim2=2)
            group = (d.min(1).values > o.max(1).values).sum()
            skills["swapped, by embedding"] = torch.stack([group, torch.tensor(len(four), device=r.device)])
        return losses


def _exact(right: Tensor, spans: list[tuple[int, str]]) -> dict[str, Tensor]:
    """Per skill, (answers right to the last token, answers asked)."""
    skills: dict[str, list[int]] = {}
    at = 0
    flags = right.tolist()
    for length, skill in spans:
        count = skills.setdefault(skill, [0, 0])
        count[0] += all(flags[at : at + length])
        count[1] += 1
        at += length
    return {k: torch.tensor(v, device=right.device) for k, v in skills.items()}
