"""The loops that every benchmark is made of, batched over a `Sugar`:

    generate(model, samples)                    # greedy answers, N texts: what `model.generate` says one by one
    choose(model, samples, ["yes", "no"])       # (N, 2) log p(answer | sample), ends included: `model.score`, batched
    match(model, pairs_of_samples, ...)         # (P, 2, 2) cosines of swapped pairs, Winoground's form
    retrieve(model, queries, candidates)        # (Q, C) cosines of pooled embeddings

All run without gradients in batches of like length under the model's own token bound. Not covered: sampling, several turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from sugar.core import Sugar
from sugar.model import decode
from sugar.model.processor import Layout
from sugar.model.vision import as_encoder_outputs
from sugar.sequence import Sample, Turn

WINDOW = 512
"""Samples laid out at a time, so that a long list never has all its pixels in memory."""


def _layouts(model: Sugar, samples: Sequence[Sample]) -> list[Layout]:
    prepared = [[model.vision.prepare(model.processor, image) for image in sample.images] for sample in samples]
    return [model.processor.chat_layout([Turn("user", s)], images=p) for s, p in zip(samples, prepared, strict=True)]


def _batches(lengths: Sequence[int], bound: int) -> Iterator[list[int]]:
    """Numbers of rows of like length, at most `bound` padded tokens together."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[i] > bound:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _forward(model: Sugar, layouts: Sequence[Layout], cache: Any = None) -> tuple[Any, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(output, ids (B, T), mask (B, T), next positions (B,)) of left-padded rows: the last column is every row's last token."""
    batch = model.processor.collate(layouts, side="left")
    ids, mask = batch.input_ids.to(model.device), batch.attention_mask.to(model.device)
    image_mask = batch.image_mask.to(model.device)
    grids = [image.grid for image in batch.images if image.grid is not None]
    place, following = decode.positions(model.model, model.family, ids, image_mask, grids, mask)
    features = model.vision.encode(model.model, model.processor, batch.images) if batch.images else []
    extra = as_encoder_outputs(features, model.family)
    if model.family == "gemma3" and batch.images:
        extra["token_type_ids"] = image_mask.long()
    output = model.model(
        input_ids=ids, attention_mask=mask, position_ids=place, past_key_values=cache, use_cache=cache is not None,
        logits_to_keep=1 if cache is not None else 0, **extra,
    )  # fmt: skip
    return output, ids, mask, following


@torch.inference_mode()
def generate(model: Sugar, samples: Sequence[Sample], *, max_new_tokens: int = 48) -> list[str]:
    """The greedy answer to each sample, as `model.generate` at temperature 0 gives it. N texts."""
    said: dict[int, str] = {}
    pad = model.processor.pad_id
    for start in range(0, len(samples), WINDOW):
        layouts = _layouts(model, samples[start : start + WINDOW])
        for chosen in _batches([len(layout.ids) for layout in layouts], model.batch_tokens):
            cache = decode.KeptCache()
            output, _, mask, place = _forward(model, [layouts[i] for i in chosen], cache)
            rows: list[list[int]] = [[] for _ in chosen]
            open_rows = set(range(len(chosen)))
            for n in range(max_new_tokens):
                tokens = output.logits[:, -1].argmax(-1).tolist()
                for b in sorted(open_rows):
                    if tokens[b] in model._ends:
                        open_rows.discard(b)
                    else:
                        rows[b].append(tokens[b])
                if not open_rows or n + 1 == max_new_tokens:
                    break
                fed = torch.tensor([[t if b in open_rows else pad] for b, t in enumerate(tokens)], device=model.device)
                mask = torch.cat([mask, mask.new_ones(len(chosen), 1)], 1)
                position = (place + n)[:, None].to(model.device)  # (B, 1)
                position = position.expand(3, -1, -1) if model.family in decode.ROPE_3D else position
                output = model.model(input_ids=fed, attention_mask=mask, position_ids=position, past_key_values=cache, use_cache=True)
            for i, row in zip(chosen, rows, strict=True):
                said[start + i] = model.processor.decode(row).strip()
    return [said[i] for i in range(len(samples))]


@torch.inference_mode()
def choose(model: Sugar, samples: Sequence[Sample], answers: Sequence[str], *, end: bool = False) -> np.ndarray:
    """(N, answers) log p(answer | sample), summed over the answer's tokens. end: the token that ends the answer counts too."""
    scores = np.zeros((len(samples), len(answers)))
    for start in range(0, len(samples), WINDOW):
        part = samples[start : start + WINDOW]
        layouts = _layouts(model, part)
        rows: dict[tuple[int, tuple[int, ...]], list[tuple[int, list[int]]]] = {}
        for i, (sample, layout) in enumerate(zip(part, layouts, strict=True)):
            for j, answer in enumerate(answers):
                tail = model.processor.answer_ids([Turn("user", sample)], layout, answer, end=end)
                rows.setdefault((i, tuple(tail[:-1])), []).append((j, tail))  # answers of one token share a row
        keys = list(rows)
        whole = [Layout([*layouts[i].ids, *fed], layouts[i].images, layouts[i].slices) for i, fed in keys]
        for chosen in _batches([len(w.ids) for w in whole], model.batch_tokens):
            logits = _forward(model, [whole[k] for k in chosen])[0].logits  # (B, T, vocabulary)
            for b, k in enumerate(chosen):
                for j, tail in rows[keys[k]]:
                    log_p = torch.log_softmax(logits[b, -len(tail) :].float(), -1)
                    wanted = torch.tensor(tail, device=log_p.device)
                    scores[start + keys[k][0], j] = float(log_p.gather(1, wanted[:, None]).double().sum())
    return scores


def retrieve(model: Sugar, queries: Sequence[Sample], candidates: Sequence[Sample]) -> np.ndarray:
    """(Q, C) cosines of the pooled embeddings: one vector per query and candidate."""
    return model.embed(queries).pooled @ model.embed(candidates).pooled.T


def match(model: Sugar, captions: Sequence[Sequence[Sample]], pictures: Sequence[Sequence[Sample]]) -> np.ndarray:
    """(P, 2, 2) cosines [pair, caption, picture] of P pairs of captions and pairs of pictures."""
    sides = [model.embed([s for pair in pairs for s in pair]).pooled.reshape(len(pairs), 2, -1) for pairs in (captions, pictures)]
    return np.einsum("pcd,pid->pci", *sides)
