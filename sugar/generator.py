"""A conversation to the answer, token by token.

    generator = Generator(backbone, batching)
    for piece in generator.stream(turns, Sampling(max_new_tokens=64), adapter=None): ...

A conversation's keys and values are kept, so a second turn costs its new tokens only.
Not covered: several answers in one batch (`answers` is greedy), scoring (scorer.py).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence

import torch

from sugar.errors import InputError
from sugar.model.backbone import Backbone, Batching, is_out_of_memory
from sugar.model.decode import DecodingState, KeptCache, PrefixStore, TextStream, pick, prefill
from sugar.model.owner import owner
from sugar.model.processor import Layout
from sugar.sequence import Sample, Sampling, Turn

log = logging.getLogger("sugar")

GRAPH_AFTER = 2
"""Tokens decoded step by step before a step is captured: short answers never pay for it."""

WINDOW = 256
"""Samples laid out at a time, so that a long list never has all its pixels in memory."""

END_MARKS = ("<end_of_utterance>", "<end_of_turn>", "<turn|>", "<|im_end|>", "<|eot_id|>")


def as_turns(conversation: Sample | Sequence[Turn]) -> list[Turn]:
    """A conversation as turns. Raises InputError when it does not end with the turn of a person."""
    turns = [Turn("user", conversation)] if isinstance(conversation, Sample) else list(conversation)
    if not turns or turns[-1].role != "user":
        raise InputError("A conversation ends with a turn of the person who asks (role user).")
    return turns


class Generator:
    """Answers with one model.

    Attributes:
        decoding: `graph` (a captured step, on CUDA) or `eager`.
        ends: tokens that end an answer.
    """

    def __init__(self, backbone: Backbone, batching: Batching) -> None:
        self.backbone, self.batching = backbone, batching
        self.prefixes = PrefixStore()
        fixed = backbone.device.type == "cuda" and not backbone.family.recurrent
        self.decoding = "graph" if fixed else "eager"
        self.ends = self.end_tokens()

    def end_tokens(self) -> set[int]:
        """The generation settings', the tokenizer's, and the end-of-turn marks of chat templates."""
        tokenizer = self.backbone.processor.tokenizer
        configured = getattr(self.backbone.model.generation_config, "eos_token_id", None)
        ends = set(configured if isinstance(configured, list) else [configured])
        ends.add(tokenizer.eos_token_id)
        vocabulary = tokenizer.get_added_vocab()
        ends |= {vocabulary.get(mark) for mark in END_MARKS}
        return {i for i in ends if i is not None}

    def stream(
        self,
        turns: Sequence[Turn],
        sampling: Sampling,
        *,
        adapter: str | None,
        stop: threading.Event | None = None,
    ) -> Iterator[str]:
        """The answer as it comes; see `Sugar.generate`."""
        rng = torch.Generator().manual_seed(sampling.seed) if sampling.seed is not None else None
        layout = self.backbone.layout(turns)
        text = TextStream(self.backbone.processor)
        tag = f"{owner()} {adapter or ''}"
        state: DecodingState | None = None
        try:
            with self.backbone.using(adapter):
                cache = self.prefixes.take(tag, layout, self.backbone.processor.image_token_id)
                room = sampling.max_new_tokens if self.decoding == "graph" else 0
                state = prefill(self.backbone, layout, cache, room)
            for n in range(sampling.max_new_tokens):
                if stop is not None and stop.is_set():
                    return
                token = pick(state.logits, temperature=sampling.temperature, top_p=sampling.top_p, rng=rng)
                if token in self.ends:
                    break
                yield text.push(token)
                if n + 1 < sampling.max_new_tokens:
                    with self.backbone.using(adapter):
                        state.step(token)
                        if n == GRAPH_AFTER and self.decoding == "graph":
                            self._fix(state, token)
            if piece := text.flush():
                yield piece
            with self.backbone.lock:
                self.prefixes.put(tag, state.tokens, state.cache)
        except Exception as error:
            state = None
            if not is_out_of_memory(error):
                raise
            raise self.batching.refusal(len(layout), len(layout.images)) from error

    def _fix(self, state: DecodingState, token: int) -> None:
        """Go on with fixed shapes (a CUDA graph) where the logits agree.

        Else say so, once, and stay with plain steps.
        """
        if state.cache.graph is not None and state.cache.graph.fits():
            return
        try:
            if state.fix(token, capture=self.backbone.device.type == "cuda"):
                return
            why = "its logits differ"
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            why = str(error).partition("\n")[0]
        self.decoding = "eager"
        log.warning(
            "%s: a captured decoding step cannot be used (%s); decoding step by step", self.backbone.name, why
        )

    def answers(
        self, asked: Sequence[Sample | Sequence[Turn]], *, max_new_tokens: int, adapter: str | None
    ) -> list[str]:
        """The greedy answer to each sample or conversation, as `stream` gives it, computed in batches.

        Returns N texts.
        """
        said: list[str] = []
        for start in range(0, len(asked), WINDOW):
            layouts = [self.backbone.layout(as_turns(a)) for a in asked[start : start + WINDOW]]
            found: dict[int, str] = {}

            def work(rows: list[int], layouts: list[Layout] = layouts) -> list[str]:
                return self._batch([layouts[i] for i in rows], max_new_tokens, adapter)

            for chosen, texts in self.batching.run(work, [len(layout) for layout in layouts]):
                found.update(zip(chosen, texts, strict=True))
            said += [found[i] for i in range(len(layouts))]
        return said

    def _batch(self, layouts: Sequence[Layout], max_new_tokens: int, adapter: str | None) -> list[str]:
        backbone, cache = self.backbone, KeptCache(self.backbone)
        said: list[list[int]] = [[] for _ in layouts]
        running = set(range(len(layouts)))
        with backbone.using(adapter):
            done = backbone.forward(layouts, cache)
            mask, hidden = done.mask, done.hidden  # (B, T) or None, (B, T, D)
            for n in range(max_new_tokens):
                tokens = backbone.logits(hidden[:, -1]).argmax(-1).tolist()
                for b in sorted(running):
                    if tokens[b] in self.ends:
                        running.discard(b)
                    else:
                        said[b].append(tokens[b])
                if not running or n + 1 == max_new_tokens:
                    break
                fed = [[t if b in running else backbone.processor.pad_id] for b, t in enumerate(tokens)]
                mask = torch.cat([mask, mask.new_ones(len(layouts), 1)], 1) if mask is not None else None
                positions = (done.next_positions + n)[:, None]  # (B, 1)
                ids = torch.tensor(fed, device=backbone.device)
                hidden = backbone.read(ids, positions, mask, cache=cache)
        return [backbone.processor.decode(row).strip() for row in said]
