"""The training objective over one step: L = L_g + alpha L_d, plus the named terms that are switched on.

    objective = Objective(llava, head, config, image_processor)
    # a dict of scalars by term, and skills measured on the way
    losses, report = objective(prepare(step, ...))

All pictures of a step go through the vision tower once; rows of like length go through the language model
together; the LM head sees only the positions where something is learnt. Not covered: what a step holds
(mix.py), the loop (loop.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sugar.model.adapters import EmbeddingHead
from sugar.model.backbone import Backbone
from sugar.model.processor import pool_slices
from sugar.scenes.world import GRID
from sugar.training import parallel
from sugar.training.losses import contrastive_loss, language_loss, similarity_loss, swap_loss
from sugar.training.rows import RowBatch, Tokens, collate
from sugar.training.scene_targets import DenseHead, pixels_of, scene_labels, scene_words
from sugar.training.steps import Step
from sugar.training.targets import label_statistics, slice_distances, target_matrix
from sugar.training.terms import Terms


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
    label_counts: dict[str, int]


def prepare(
    step: Step, terms: Terms, image_processor: Any, side: int, tokens: Tokens, budget: int = 6000
) -> Prepared:
    """Draw the pictures and compute masks, labels and targets of a step."""
    phi = target = None
    counts: dict[str, int] = {}
    if step.samples:
        facts = [f for s in step.samples for f in s.facts]
        flags = [i for s in step.samples for i in s.is_image]
        phi = slice_distances(facts, flags, across=terms.cross_modal_target, triple=terms.triple)
        lengths = [len(s.facts) for s in step.samples]
        positions = [s.positions for s in step.samples]
        target = target_matrix(phi, lengths, positions, kind=terms.kernel, same_sample=terms.same_sample)
        if terms.referent_labels:
            target = label_referents(step, target)
        counts = label_statistics(target, positions)
    batches = collate(step.rows, tokens.pad, budget)
    words = scene_words(step.scenes, tokens) if terms.token_word_alignment else None
    return Prepared(
        pixels_of(step.scenes, image_processor, side),
        batches,
        step,
        scene_labels(step.scenes),
        words,
        phi,
        target,
        counts,
    )


def label_referents(step: Step, target: Tensor) -> Tensor:
    """The label matrix in which the last position of a query with a referent is labelled as its referent is.

    Against a single picture c that is the slice kernel between c and the referent. Earlier positions of a
    query keep theirs.
    """
    last = last_positions(step)
    source = torch.arange(len(target))
    for query, referent in step.referents:
        source[last[query]] = last[referent]
    return target[source][:, source]


def last_positions(step: Step) -> list[int]:
    """Of each sample, where its last drawn position stands among all drawn positions."""
    return [int(e) - 1 for e in np.cumsum([len(s.positions) for s in step.samples])]


class Objective(nn.Module):
    """The model, its embedding head, and the losses of one step."""

    def __init__(self, llava: Any, head: EmbeddingHead, terms: Terms, *, dense: bool | None = None) -> None:
        super().__init__()
        self.llava: Any = llava
        self.backbone = Backbone(llava)
        self.head, self.terms = head, terms
        wanted = bool(terms.dense) if dense is None else dense
        self.dense = DenseHead(llava.config.vision_config.hidden_size) if wanted else None

    def forward(
        self, p: Prepared, *, dense_only: bool = False, share: tuple[int, int] = (0, 1)
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Loss terms, unweighted, and skills as (right, asked) pairs, measured on data never seen before.

        Args:
            share: (process, processes). Each process sees all pictures and reads its part of the rows;
                language, dense and alignment losses are parts that add up to the whole batch's, the others
                are whole in each process.
        """
        rank, world = share
        terms, core = self.terms, self.llava.model
        losses: dict[str, Tensor] = {}
        skills: dict[str, Tensor] = {}
        device = next(self.parameters()).device
        if dense_only:
            tokens = core.vision_tower(p.pixels.to(device)).last_hidden_state[:, 1:]
            loss, skills = self.dense(tokens, *(x.to(device) for x in p.scene_labels))  # type: ignore[misc]
            return {"dense": loss / world}, skills
        images = core.get_image_features(pixel_values=p.pixels.to(device), return_dict=True)
        features = torch.stack(list(images.pooler_output))  # (N, P, hidden)
        if self.dense is not None and terms.dense:
            seen = [x.to(device) for x in p.scene_labels]
            losses["dense"] = self.dense(images.hidden_states[-1][:, 1:], *seen)[0] / world
        if p.words is not None:
            losses["token_word_alignment"] = self._align(features, *(x.to(device) for x in p.words)) / world

        learnt_hidden, learnt_labels, learnt_rows = [], [], []
        pooled: dict[int, Tensor] = {}
        wanted = {s.row: k for k, s in enumerate(p.step.samples)}
        for batch in p.batches[rank::world]:
            hidden = self._read(batch, features, device)  # (B, T, hidden)
            rows: list[int] = []
            columns: list[int] = []
            slices, owners = [], []
            for b, number in enumerate(batch.row_numbers):
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
            power = terms.length_weighting
            weights = torch.tensor([n**-power for n, _ in learnt_rows for _ in range(n)], device=device)
            everyone = [stop - start for row in p.step.rows for start, stop, _ in row.answers]
            whole = sum(n * n**-power for n in everyone)
            losses["language"] = language_loss(logits, labels, weights) * weights.sum() / whole
            skills |= _exact(logits.argmax(-1) == labels, learnt_rows)
        if p.step.samples:
            order = [k for r in range(world) for k in self._samples_of(p, r, world)]
            counts = [
                sum(len(p.step.samples[k].positions) for k in self._samples_of(p, r, world))
                for r in range(world)
            ]
            own = [pooled[k] for k in self._samples_of(p, rank, world)]
            hidden_size = self.llava.config.text_config.hidden_size
            d = torch.cat(own) if own else features.new_zeros(0, hidden_size)
            embeddings = self.head(d)  # (own positions, dimension)
            with torch.autocast(device.type, enabled=False):  # cosines near 1 need their digits
                rows_of_all, mine = parallel.gather_rows(embeddings.float(), counts)
                whole_batch = torch.cat(
                    [rows_of_all[: mine.start], embeddings.float(), rows_of_all[mine.stop :]]
                )
                losses |= self._similarity(whole_batch[self._in_order(p, order, device)], p, skills)
        return losses, skills

    @staticmethod
    def _samples_of(p: Prepared, rank: int, world: int) -> list[int]:
        """The samples whose rows a process reads, in the order in which it reads them."""
        wanted = {s.row: k for k, s in enumerate(p.step.samples)}
        return [wanted[n] for batch in p.batches[rank::world] for n in batch.row_numbers if n in wanted]

    @staticmethod
    def _in_order(p: Prepared, order: list[int], device: torch.device) -> Tensor:
        """Where the positions of samples 0, 1, ... stand among those read in `order`."""
        indices: dict[int, list[int]] = {}
        at = 0
        for k in order:
            indices[k] = list(range(at, at + len(p.step.samples[k].positions)))
            at += len(indices[k])
        return torch.tensor([i for k in range(len(p.step.samples)) for i in indices[k]], device=device)

    def _align(self, features: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        """Cross-entropy of the words of each cell under the LM head, read straight off the
        projected picture tokens (N, P, hidden). A token of the whole picture, which some towers have before
        those of the cells, is left out."""
        side = int(features.shape[1] ** 0.5)
        features = features[:, -side * side :]
        log_p = (
            self.llava.lm_head(self.llava.model.language_model.norm(features)).float().log_softmax(-1)
        )  # (N, P, vocabulary)
        axis = (2 * torch.arange(side, device=features.device) + 1) * GRID // (2 * side)
        cell = (axis[:, None] * GRID + axis).reshape(-1)  # (P,)
        chosen = log_p[rows[:, 0]].gather(2, rows[:, 2, None, None].expand(-1, log_p.shape[1], 1))[
            ..., 0
        ]  # (W, P)
        there = (cell == rows[:, 1, None]).to(chosen.dtype)  # (W, P)
        return -((chosen * there).sum(1) / there.sum(1) * weights).sum() / weights.sum()

    def _slice(self, part: tuple[int, int, bool]) -> tuple[np.ndarray, bool]:
        start, stop, is_image = part
        return np.arange(start, stop), is_image and self.terms.pooling == "mean"

    def _read(self, batch: RowBatch, features: Tensor, device: torch.device) -> Tensor:
        pictures = list(features[batch.pictures]) if batch.pictures else []
        ids, positions, mask = (x.to(device) for x in (batch.ids, batch.positions, batch.mask))
        return self.backbone.read(ids, positions, mask, pictures)

    def _similarity(self, r: Tensor, p: Prepared, skills: dict[str, Tensor]) -> dict[str, Tensor]:
        """L_d and the added terms over all drawn positions; retrieval within the step as skills."""
        terms, step, last = self.terms, p.step, last_positions(p.step)
        losses: dict[str, Tensor] = {}
        assert p.target is not None
        target = p.target.to(r.device)
        cosines = r @ r.T
        if terms.similarity and not terms.contrastive_only:
            losses["similarity"] = similarity_loss(r, target, form=terms.form)
        images = [last[i] for i, s in enumerate(step.samples) if s.is_image == [True]]
        column = {i: k for k, i in enumerate(images)}
        asks = [(q, t, "story" if len(step.samples[q].facts) > 2 else "change") for q, t in step.referents]
        asks += [(q, t, "caption") for q, t in step.pairs if step.samples[t].is_image == [True]]
        if asks:
            similarity = cosines[[last[q] for q, _, _ in asks]][:, images]  # (queries, pictures)
            positives = torch.zeros_like(similarity, dtype=torch.bool)
            for i, (_, t, _) in enumerate(asks):
                positives[i, column[last[t]]] = True
            if terms.contrastive_only or terms.referent:
                losses["contrastive" if terms.contrastive_only else "referent"] = contrastive_loss(
                    similarity, positives
                )
            best = similarity.argmax(1)
            for i, (_, t, name) in enumerate(asks):
                hit = torch.stack(
                    [best[i] == column[last[t]], torch.ones_like(best[i], dtype=torch.bool)]
                ).long()
                skills[f"find by {name}"] = skills.get(f"find by {name}", 0) + hit
        cards = [(last[q], last[t]) for q, t in step.pairs if step.samples[t].is_image != [True]]
        if len(cards) > 1:
            similarity = cosines[[q for q, _ in cards]][:, [t for _, t in cards]]  # (questions, cards)
            name = "contrastive" if terms.contrastive_only else "referent"
            if name == "contrastive" or terms.referent:
                right = torch.eye(len(cards), dtype=torch.bool, device=r.device)
                losses[name] = losses.get(name, 0) + contrastive_loss(similarity, right)
            found = (similarity.argmax(1) == torch.arange(len(cards), device=r.device)).sum()
            skills["find card"] = torch.stack([found, torch.tensor(len(cards), device=r.device)])
        if step.swaps:
            index = torch.tensor([[last[i] for i in s] for s in step.swaps], device=r.device)
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
