"""How likely answers are: log p(answer | sample), and the one yes-or-no scorer.

    scorer = Scorer(backbone, batching)
    scorer.score(turns, ["yes", "no"], adapter=None)                 # (2,)
    scorer.log_odds(samples, adapter=None)                           # (N,) log p(yes) - log p(no)

"Yes" is every way in which a model may begin it: yes, Yes, YES, each with and without a leading space, each
sequence of tokens counted once; "no" likewise. Not covered: what is asked (model/checkpoint.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sugar.model.backbone import Backbone, Batching, is_out_of_memory
from sugar.model.decode import continuations, prefill
from sugar.model.processor import Layout
from sugar.sequence import Sample, Turn

YES = ("yes", "Yes", "YES")
NO = ("no", "No", "NO")
WINDOW = 256
"""Samples laid out at a time, so that a long list never has all its pixels in memory."""

Tail = tuple[int, ...]


class Scorer:
    """Scores answers with one model."""

    def __init__(self, backbone: Backbone, batching: Batching) -> None:
        self.backbone, self.batching = backbone, batching

    def tail(self, turns: Sequence[Turn], layout: Layout, answer: str, end: bool = False) -> Tail:
        """The tokens of an answer after its prompt. Raises InputError when both together are too long."""
        ids = self.backbone.processor.answer_ids(turns, layout, answer, end=end)
        self.backbone.fitting(layout, len(ids))
        return tuple(ids)

    def score(
        self, turns: Sequence[Turn], answers: Sequence[str], *, end: bool, adapter: str | None
    ) -> np.ndarray:
        """(answers,) float64: all answers in one batch over one shared prefix; see `Sugar.score`."""
        layout = self.backbone.layout(turns)
        try:
            with self.backbone.using(adapter):
                state = prefill(self.backbone, layout)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise self.batching.refusal(len(layout), len(layout.images)) from error
        tails = [self.tail(turns, layout, answer, end) for answer in answers]
        first = torch.log_softmax(state.logits.float(), -1)  # (V,)
        scores = np.zeros(len(answers))

        def work(chosen: list[int]) -> None:
            with self.backbone.using(adapter):
                following = continuations(state, [tails[i][:-1] for i in chosen])
                for i, logits in zip(chosen, following, strict=True):
                    log_p = torch.cat([first[None], torch.log_softmax(logits.float(), -1)])  # (tail, V)
                    scores[i] = _total(log_p, tails[i])

        batch: list[int] = []
        for i in range(len(answers)):
            if batch and sum(len(tails[j]) for j in [*batch, i]) > self.batching.tokens:
                self.batching.shrinking(work, batch)
                batch = []
            batch.append(i)
        self.batching.shrinking(work, batch)
        return scores

    def log_odds(self, samples: Sequence[Sample], *, adapter: str | None) -> np.ndarray:
        """(N,) log p(yes) - log p(no) of each question."""
        odds = np.zeros(len(samples))
        for start in range(0, len(samples), WINDOW):
            turns = [[Turn("user", sample)] for sample in samples[start : start + WINDOW]]
            layouts = [self.backbone.layout(t) for t in turns]
            both = [
                (self.forms(t, layout, YES), self.forms(t, layout, NO))
                for t, layout in zip(turns, layouts, strict=True)
            ]
            rows = self._tails(layouts, [[*yes, *no] for yes, no in both], adapter)
            for i, ((yes, _), row) in enumerate(zip(both, rows, strict=True)):
                odds[start + i] = np.logaddexp.reduce(row[: len(yes)]) - np.logaddexp.reduce(row[len(yes) :])
        return odds

    def forms(self, turns: Sequence[Turn], layout: Layout, words: Sequence[str]) -> list[Tail]:
        """The distinct token sequences of some words: as the template writes them, and with and without a
        leading space.
        """
        tokenizer = self.backbone.processor.tokenizer
        found = {self.tail(turns, layout, word) for word in words}
        for word in words:
            for text in (word, f" {word}"):
                found.add(tuple(tokenizer(text, add_special_tokens=False)["input_ids"]))
        unknown = tokenizer.unk_token_id
        known = {t for t in found if t and unknown not in t} or found
        shortest = sorted(known, key=len)
        return [t for n, t in enumerate(shortest) if not any(t[: len(s)] == s for s in shortest[:n])]

    def _tails(
        self, layouts: Sequence[Layout], tails: Sequence[Sequence[Tail]], adapter: str | None
    ) -> list[np.ndarray]:
        """Per layout (its tails,) log p. Tails that differ in their last token only share one row."""
        rows: dict[tuple[int, Tail], list[int]] = {}
        for i, own in enumerate(tails):
            for j, tail in enumerate(own):
                rows.setdefault((i, tail[:-1]), []).append(j)
        keys = list(rows)
        whole = [Layout([*layouts[i].ids, *fed], layouts[i].images, layouts[i].slices) for i, fed in keys]
        scores = [np.zeros(len(own)) for own in tails]

        def work(chosen: list[int]) -> None:
            with self.backbone.using(adapter):
                hidden = self.backbone.forward([whole[k] for k in chosen]).hidden  # (B, T, D)
                for b, k in enumerate(chosen):
                    i, fed = keys[k]
                    stop = len(whole[k])
                    last = hidden[b, stop - len(fed) - 1 : stop]  # (tail, D)
                    log_p = torch.log_softmax(self.backbone.logits(last).float(), -1)  # (tail, V)
                    for j in rows[keys[k]]:
                        scores[i][j] = _total(log_p, tails[i][j])

        for _ in self.batching.run(work, [len(layout) for layout in whole]):
            pass
        return scores


def _total(log_p: torch.Tensor, tail: Tail) -> float:
    """Sum of the log probabilities of a tail's tokens. log_p: (tail, V)."""
    wanted = torch.tensor(tail, device=log_p.device)
    return float(log_p.gather(1, wanted[:, None]).double().sum())
