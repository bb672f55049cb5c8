"""`Sugar`: one model that embeds, answers and scores interleaved samples. Every tab and every command calls this.

    model = Sugar.from_pretrained("sugar-tiny")                        # or a preset, a hub repository, a local folder
    e = model.embed([Sample(["a red star", picture])])                 # e.pooled (1, D), e.slices[0] (2, D), unit rows
    for piece in model.generate(Sample([picture, "what color is the star?"])):
        print(piece, end="")
    model.score(Sample([picture, "is it red?"]), ["yes", "no"])        # log p(answer | sample), (2,)

One code path for the embedded model and for 7B checkpoints. A picture's vision features are computed once and shared by
all three calls; a conversation's prefix is kept, so a second turn costs its new tokens only. Calls may come from several
threads: each forward pass holds one lock. Not covered: training (`sugar.training`), galleries.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from sugar.errors import InputError, ModelError, OutOfMemoryError
from sugar.model import checkpoint, decode, load
from sugar.model.head import EmbeddingHead
from sugar.model.processor import Layout, PreparedImage, Processor, pool_slices
from sugar.model.vision import VisionCache, VisionFeatures, as_encoder_outputs
from sugar.sequence import Embeddings, Sample, Turn

__all__ = ["Sugar"]

log = logging.getLogger("sugar")
T = TypeVar("T")

WINDOW = 256
"""Samples prepared at a time, so that a long list never has all its pixels in memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA has a class for it, the CPU allocator only words."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


class Sugar:
    """A loaded model. Make one with `Sugar.from_pretrained`.

    name: as asked for. device, precision, why: what was picked, and why, for people. dimension: of the embeddings.
    fingerprint: a hash of all that decides embeddings; an index of another fingerprint must not be searched.
    card: the model card, Markdown.
    """

    def __init__(self, loaded: load.Loaded, head: EmbeddingHead | None, *, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.device, self.precision, self.why, self.family = loaded.device, loaded.precision, loaded.why, loaded.family
        self.model: Any = loaded.model
        self.processor: Processor = loaded.processor
        self.head = head.to(loaded.device) if head is not None else None
        self.card = checkpoint.card(folder)
        self.vision = VisionCache()
        self.prefixes = decode.PrefixStore()
        self.batch_tokens = 16384 if loaded.device.startswith("cuda") else 2048
        self._fingerprint = ""
        self._lock = threading.RLock()
        self._ends = self._end_tokens()

    # -- loading and saving --------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls, path_or_preset: str | Path = "sugar-tiny", *, adapter: str | Path | None = None, device: str = "auto", precision: str = "auto"
    ) -> Sugar:
        """Open a preset, a local folder or a hub repository.

        Raises ModelError when it is missing, gated, foreign, unsafe, or does not fit in memory; each message says what to do.
        """
        name = str(path_or_preset)
        folder = load.local_folder(name, device=device, precision=precision)
        settings = checkpoint.read_settings(folder)
        loaded = load.load(folder, name=name, device=device, precision=precision)
        head = EmbeddingHead.load(folder) if settings.get("head") else None
        return cls(loaded, head, name=settings.get("name", name), folder=folder)

    def save_pretrained(self, path: str | Path) -> None:
        """Write a folder that `from_pretrained`, and plain Transformers, open again. Raises ModelError for a 4-bit model's folder in use."""
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self.model.save_pretrained(path)
            self.processor.hf.save_pretrained(path)
            if self.head is not None:
                self.head.save(path)
                sizes = {"hidden": self.head.hidden, "head_hidden": self.head.head_hidden, "dimension": self.head.dimension}
                checkpoint.write_settings(path, name=self.name, encoder="sugar", head=sizes)

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def dimension(self) -> int:
        if self.head is None:
            raise ModelError(f"{self.name} has no embedding head.")
        return self.head.dimension

    @property
    def fingerprint(self) -> str:
        if not self._fingerprint:
            self._fingerprint = checkpoint.fingerprint([self.folder], "sugar")
        return self._fingerprint

    def _end_tokens(self) -> set[int]:
        """Tokens that end an answer: the generation settings', the tokenizer's, and the end-of-turn marks of chat templates."""
        tokenizer = self.processor.tokenizer
        configured = getattr(self.model.generation_config, "eos_token_id", None)
        ends = set(configured if isinstance(configured, list) else [configured])
        ends.add(tokenizer.eos_token_id)
        vocabulary = tokenizer.get_added_vocab()
        ends |= {vocabulary.get(mark) for mark in ("<end_of_utterance>", "<end_of_turn>", "<|im_end|>", "<|eot_id|>")}
        return {i for i in ends if i is not None}

    # -- embedding -----------------------------------------------------------------------------------------------------

    def embed(self, samples: Sequence[Sample], *, batch_size: int | None = None) -> Embeddings:
        """Unit vectors at slice ends (method.md A1).

        samples: N of them. batch_size: an upper bound; batches are otherwise made of samples of like length under a memory
        bound. Returns pooled (N, D) and slices (n_i, D). Raises InputError for a sample that is too long, OutOfMemoryError
        when even one sample does not fit.
        """
        if self.head is None:
            raise ModelError(f"{self.name} has no embedding head.")
        head = self.head
        rows: list[np.ndarray] = []
        for start in range(0, len(samples), WINDOW):
            window = samples[start : start + WINDOW]
            layouts = [self._embedding_layout(sample) for sample in window]
            found: dict[int, np.ndarray] = {}
            for batch in self._buckets(layouts, batch_size):
                states = self._shrinking(lambda chosen: self._hidden([layouts[i] for i in chosen]), batch)
                for chosen, d in states:
                    with self._lock, torch.inference_mode():
                        r = head(d).cpu().numpy()
                    ends = np.cumsum([len(layouts[i].slices) for i in chosen])[:-1]
                    found.update(zip(chosen, np.split(r, ends), strict=True))
            rows += [found[i] for i in range(len(window))]
        pooled = np.stack([r[-1] for r in rows]) if rows else np.zeros((0, self.dimension), np.float32)
        return Embeddings(pooled, rows, [np.array([s.is_image for s in sample]) for sample in samples])

    def _embedding_layout(self, sample: Sample) -> Layout:
        layout = self.processor.embedding_layout(sample, self._prepare(sample.images))
        return self._fits(layout)

    def _prepare(self, images: Sequence[Any]) -> list[PreparedImage]:
        with self._lock:
            return [self.vision.prepare(self.processor, image) for image in images]

    def _fits(self, layout: Layout) -> Layout:
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if limit and len(layout.ids) > limit:
            raise InputError(
                f"This is {len(layout.ids)} tokens with {len(layout.images)} pictures; {self.name} reads {limit}. Use fewer pictures or words."
            )
        return layout

    def _buckets(self, layouts: Sequence[Layout], batch_size: int | None) -> Iterator[list[int]]:
        """Indices of samples of like length, at most `batch_tokens` padded tokens a batch."""
        order = sorted(range(len(layouts)), key=lambda i: len(layouts[i].ids))
        batch: list[int] = []
        for i in order:
            width = len(layouts[i].ids)
            full = batch and (len(batch) + 1) * width > self.batch_tokens
            uneven = batch and width > 2 * len(layouts[batch[0]].ids) + 16
            if full or uneven or (batch_size and len(batch) >= batch_size):
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    def _hidden(self, layouts: Sequence[Layout]) -> torch.Tensor:
        """(all slices, hidden): last layer's states of the slices, no LM head.

        Right padding under causal attention touches nothing before it, so no mask is passed and the fast kernel runs.
        """
        batch = self.processor.collate(layouts)
        with self._lock, torch.inference_mode():
            features = self._features(batch.images)
            ids, image_mask = batch.input_ids.to(self.device), batch.image_mask.to(self.device)
            grids = [image.grid for image in batch.images if image.grid is not None]
            mask = batch.attention_mask.to(self.device) if grids else None
            place, _ = decode.positions(self.model, self.family, ids, image_mask, grids, mask)
            extra = {"token_type_ids": image_mask.long()} if self.family == "gemma3" and batch.images else {}
            output = self.model.model(
                input_ids=ids, position_ids=place, use_cache=False, **extra, **as_encoder_outputs(features, self.family)
            )
            return pool_slices(output.last_hidden_state, batch.slices)

    def _features(self, images: Sequence[PreparedImage]) -> list[VisionFeatures]:
        return self.vision.encode(self.model, images, self.family) if images else []

    def _shrinking(self, work: Callable[[list[int]], T], items: list[int]) -> list[tuple[list[int], T]]:
        """Run `work` on the items, on halves of them when memory runs out. Raises OutOfMemoryError when one alone is too much."""
        try:
            return [(items, work(items))]
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        self._release()
        if len(items) == 1:
            raise OutOfMemoryError(
                f"{self.device} is full even for one sample ({self.name}, {self.precision}). Use fewer or smaller pictures, or a smaller model."
            )
        self.batch_tokens = max(256, self.batch_tokens // 2)
        log.warning("memory ran out at a batch of %d: going on with half, %d tokens a batch", len(items), self.batch_tokens)
        middle = len(items) // 2
        return self._shrinking(work, items[:middle]) + self._shrinking(work, items[middle:])

    def _release(self) -> None:
        """Give back what is kept only for speed."""
        with self._lock:
            self.prefixes.clear()
            self.vision.clear()
            if self.device.startswith("cuda"):
                torch.cuda.empty_cache()

    # -- generating ----------------------------------------------------------------------------------------------------

    def generate(
        self,
        conversation: Sample | Sequence[Turn],
        *,
        max_new_tokens: int = 128,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[str]:
        """The answer as it comes, in pieces of text; greedy at temperature 0.

        conversation: a sample, or turns that end with the person's. stop: set it, and the text ends at the next token.
        Errors come out of the iterator. Raises InputError for settings out of range or a conversation that is too long,
        OutOfMemoryError when memory runs out; the model stays usable.
        """
        turns = self._turns(conversation)
        if max_new_tokens < 1 or temperature < 0 or not 0 < top_p <= 1:
            raise InputError(
                f"max_new_tokens {max_new_tokens}, temperature {temperature}, top_p {top_p}: use at least 1, at least 0, and above 0 up to 1."
            )
        return self._stream(turns, max_new_tokens, temperature, top_p, seed, stop)

    @staticmethod
    def _turns(conversation: Sample | Sequence[Turn]) -> list[Turn]:
        turns = [Turn("user", conversation)] if isinstance(conversation, Sample) else list(conversation)
        if not turns or turns[-1].role != "user":
            raise InputError("A conversation ends with a turn of the person who asks (role user).")
        return turns

    def _stream(
        self, turns: list[Turn], max_new_tokens: int, temperature: float, top_p: float, seed: int | None, stop: threading.Event | None
    ) -> Iterator[str]:
        rng = torch.Generator().manual_seed(seed) if seed is not None else None
        layout = self._fits(self.processor.chat_layout(turns, images=self._prepare([i for t in turns for i in t.sample.images])))
        text = decode.TextStream(self.processor)
        state: decode.State | None = None
        try:
            state = self._prefill(layout, tag="")
            for n in range(max_new_tokens):
                if stop is not None and stop.is_set():
                    return
                token = decode.pick(state.logits, temperature=temperature, top_p=top_p, rng=rng)
                if token in self._ends:
                    break
                if piece := text.push(token):
                    yield piece
                if n + 1 < max_new_tokens:
                    with self._lock, torch.inference_mode():
                        state.step(self.model, token)
            if piece := text.flush():
                yield piece
            self.prefixes.put("", state.marks, state.cache)
        except Exception as error:
            state = None
            if not is_out_of_memory(error):
                raise
            self._release()
            raise OutOfMemoryError(
                f"{self.device} ran out of memory after {len(layout.ids)} tokens of prompt with {len(layout.images)} pictures. "
                "Use fewer pictures, a shorter conversation, or a smaller model."
            ) from error

    def _prefill(self, layout: Layout, tag: str, *, keep: bool = True) -> decode.State:
        image_token = self.processor.image_token_id
        with self._lock, torch.inference_mode():
            kept = self.prefixes.take(tag, layout, image_token) if keep else None
            return decode.prefill(self.model, self.family, layout, self._features, image_token, kept)

    # -- scoring -------------------------------------------------------------------------------------------------------

    def score(self, sample: Sample | Sequence[Turn], answers: Sequence[str], *, end: bool = False) -> np.ndarray:
        """log p(answer | sample), summed over the answer's tokens: (len(answers),) float64.

        All answers go in one batch over one shared prefix. end: count the token that ends the answer too, which tells
        "a star" from "a star in a house". Raises InputError without answers.
        """
        if not answers:
            raise InputError("There is nothing to score. Give at least one answer.")
        turns = self._turns(sample)
        layout = self._fits(self.processor.chat_layout(turns, images=self._prepare([i for t in turns for i in t.sample.images])))
        state = self._prefill(layout, tag="", keep=False)
        tails = [self._fits_tail(layout, self.processor.answer_ids(turns, layout, answer, end=end)) for answer in answers]
        window = getattr(self.model.config.get_text_config(), "sliding_window", None) if self.family == "gemma3" else None
        first = torch.log_softmax(state.logits.float(), -1)
        scores = np.zeros(len(answers))

        def run(chosen: list[int]) -> None:
            with self._lock, torch.inference_mode():
                logits = decode.forward_tail(self.model, state, [tails[i][:-1] for i in chosen], window)
                for i, following in zip(chosen, logits, strict=True):
                    total = first[tails[i][0]].double()
                    if len(tails[i]) > 1:
                        wanted = torch.tensor(tails[i][1:], device=following.device)
                        total = total + torch.log_softmax(following.float(), -1).gather(1, wanted[:, None]).double().sum()
                    scores[i] = float(total)

        batch: list[int] = []
        for i in range(len(answers)):
            if batch and sum(len(tails[j]) for j in [*batch, i]) > self.batch_tokens:
                self._shrinking(run, batch)
                batch = []
            batch.append(i)
        self._shrinking(run, batch)
        return scores

    def _fits_tail(self, layout: Layout, tail: list[int]) -> list[int]:
        self._fits(Layout(layout.ids + tail, layout.images, []))
        return tail
