"""The one forward pass of every model family, which embedding, decoding, scoring and training call.

    backbone = Backbone(model, processor)
    layouts = [processor.embedding_layout(sample, backbone.prepare(sample.images))]
    done = backbone.forward(layouts)                     # no gradients, under the lock
    done.hidden, done.slices                             # (B, T, D); pool_slices(done.hidden, done.slices)
    backbone.logits(done.hidden[:, -1])                  # the LM head, only where it is wanted
    hidden = backbone.read(ids, positions, mask, features)  # training: plain tensors, gradients as set

README.md in this folder explains padding and masks. Not covered: what follows the hidden states (the head,
sampling, losses).
"""

from __future__ import annotations

import inspect
import itertools
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from sugar.errors import InputError, OutOfMemoryError
from sugar.model.adapters import Adapters
from sugar.model.families import FAMILIES, Family
from sugar.model.processor import Layout, PreparedImage, Processor, Span, image_key, merge_pixels
from sugar.sequence import Sample, Turn

log = logging.getLogger("sugar")

# -- vision features, computed once -----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class VisionFeatures:
    """features: (image tokens, D). deepstack: per injected layer (image tokens, D), Qwen3-VL only. reading:
    (R,), what the tower itself says of the picture, where it has such a vector.
    """

    prepared: PreparedImage
    features: Tensor
    deepstack: tuple[Tensor, ...] = ()
    reading: Tensor | None = None

    @property
    def bytes(self) -> int:
        own = () if self.reading is None else (self.reading,)
        return sum(t.numel() * t.element_size() for t in (self.features, *self.deepstack, *own))


def reading_size(model: Any) -> int:
    """The width of what a model's tower itself says of a picture, 0 where it says nothing."""
    tower: Any = getattr(model.model, "vision_tower", None)
    return int(tower.config.aligned_size) if hasattr(tower, "reading") else 0


def with_readings(
    hidden: Tensor, slices: Sequence[Sequence[Span]], pictures: Sequence[VisionFeatures], size: int
) -> Tensor:
    """States with what the tower says of a picture beside those of the picture's tokens, zeros elsewhere.

    hidden: (B, T, D). slices: per row the spans of its slices. pictures: their pictures, row by row. size: R
    numbers a picture. Returns (B, T, D + R).
    """
    beside = hidden.new_zeros(*hidden.shape[:2], size)
    places = [(row, where) for row, spans in enumerate(slices) for where, is_image in spans if is_image]
    for (row, where), picture in zip(places, pictures, strict=True):
        assert picture.reading is not None
        beside[row, where] = picture.reading.to(beside)
    return torch.cat([hidden, beside], dim=-1)


def encode(model: Any, images: Sequence[PreparedImage], family: Family) -> list[VisionFeatures]:
    """Run the vision tower over pictures whose pixels agree in shape."""
    wanted = inspect.signature(model.model.get_image_features).parameters
    pixels = {k: v.to(model.device) for k, v in merge_pixels(images).items() if k in wanted}
    pixels = {k: v.to(model.dtype) if k == "pixel_values" else v for k, v in pixels.items()}
    output = model.model.get_image_features(**pixels, return_dict=True)
    pooled = output.pooler_output
    if family.stacked:
        crops = [image.pixels["pixel_values"].shape[0] for image in images]
        pooled = [part.flatten(0, 1) for part in pooled.split(crops)]
    elif len(pooled) > len(images):  # one a tile
        rest = iter(pooled)
        tiles = [image.pixels["pixel_values"].shape[0] for image in images]
        pooled = [torch.cat(list(itertools.islice(rest, n))) for n in tiles]
    deepstack = getattr(output, "deepstack_features", None) or []
    said = model.model.vision_tower.reading(output.last_hidden_state) if reading_size(model) else None
    known = [PreparedImage(i.key, i.text, i.tokens, i.grid) for i in images]
    return [
        VisionFeatures(
            known[n],
            pooled[n].clone(),
            tuple(layer[n].clone() for layer in deepstack),
            None if said is None else said[n].clone(),
        )
        for n in range(len(images))
    ]  # clones: a view would keep the whole batch's memory alive


@torch.no_grad()
def projector_inputs(model: Any, images: Sequence[PreparedImage], family: Family) -> list[Tensor]:
    """What the frozen tower hands to the projector: per picture (tokens, tower width).

    The projector's own input is caught on its way; only for families whose projector ends the vision part.
    """
    caught: list[Tensor] = []
    projector = model.model.multi_modal_projector
    hook = projector.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    try:
        encode(model, images, family)
    finally:
        hook.remove()
    return [row.clone() for row in torch.cat(caught)]


class VisionCache:
    """Least recently used features, at most `max_bytes` of them.

    Not for several threads at once: the core holds a lock.
    """

    def __init__(self, max_bytes: int = 256 << 20, batch: int = 32) -> None:
        self.max_bytes, self.batch = max_bytes, batch
        self.used = self.hits = self.misses = 0
        self._entries: OrderedDict[str, VisionFeatures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def clear(self) -> None:
        self._entries.clear()
        self.used = 0

    def prepare(self, processor: Processor, image: Image.Image) -> PreparedImage:
        """The picture's placeholder; its pixels too, unless its features are known."""
        key = image_key(image)
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
            return replace(entry.prepared, source=image)
        return processor.prepare_image(image, key)

    def encode(
        self, model: Any, processor: Processor, images: Sequence[PreparedImage]
    ) -> list[VisionFeatures]:
        """Features per picture, in order; each distinct picture goes through the tower once."""
        found: dict[str, VisionFeatures] = {}
        missing: dict[str, PreparedImage] = {}
        for image in images:
            entry = self._entries.get(image.key)
            if entry is not None:
                found[image.key] = entry
                self.hits += 1
            elif image.key not in missing:
                if not image.pixels and image.source is not None:  # known when it was prepared, dropped since
                    image = processor.prepare_image(image.source, image.key)
                missing[image.key] = image
                self.misses += 1
        groups: dict[tuple[Any, ...], list[PreparedImage]] = {}
        for image in missing.values():
            shape = tuple(
                (k, tuple(v.shape) if k != "pixel_values" or v.dim() > 2 else v.shape[1:])
                for k, v in image.pixels.items()
            )
            groups.setdefault(shape, []).append(image)
        for group in groups.values():
            for start in range(0, len(group), self.batch):
                for features in encode(model, group[start : start + self.batch], processor.family):
                    found[features.prepared.key] = features
                    self._keep(features)
        return [found[image.key] for image in images]

    def _keep(self, features: VisionFeatures) -> None:
        if features.bytes > self.max_bytes:
            return
        self._entries[features.prepared.key] = features
        self.used += features.bytes
        while self.used > self.max_bytes:
            self.used -= self._entries.popitem(last=False)[1].bytes


# -- the forward pass ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Forward:
    """What a forward pass returns.

    hidden: (B, T, D), the last layer's states; with a kept prefix, of the new tokens only. slices: per row
    the spans, in padded positions. pictures: what was read of pictures, row by row. next_positions: (B,), the
    position of the token after each row. mask: (B, T) where rows were padded on the left, else None.
    """

    hidden: Tensor
    slices: list[list[Span]]
    pictures: list[VisionFeatures]
    next_positions: Tensor
    mask: Tensor | None


class Backbone:
    """A Transformers model with its vision features and adapters, behind one lock.

    model: `...ForConditionalGeneration` of a served family. processor: makes and pads layouts; `read` needs
    none.
    name: for messages.
    """

    def __init__(self, model: Any, processor: Processor | None = None, *, name: str = "This model") -> None:
        self.model = model
        self.processor: Any = processor
        self.name = name
        self.family = FAMILIES[model.config.model_type]
        self.text_config = model.config.get_text_config()
        self.vision = VisionCache()
        self.lock = threading.RLock()
        self.adapters = Adapters(model, self.lock, lambda: self.vision.clear(), self._probe)

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def hidden_size(self) -> int:
        return int(self.text_config.hidden_size)

    @property
    def window(self) -> int | None:
        """Width of the local layers' sliding window, for the families that mix local and global layers."""
        return self.text_config.sliding_window if self.family.local_layers else None

    @contextmanager
    def using(self, adapter: str | None) -> Iterator[None]:
        """Hold the model with one adapter active, or none, and without gradients.

        Passes inside belong together.
        """
        with self.lock, torch.inference_mode():
            self.adapters.use(adapter)
            yield

    def _probe(self, seeing: bool) -> Tensor:
        """Logits of a few words, with a picture where `seeing`: they tell whether an adapter works."""
        picture = [Image.linear_gradient("L")] if seeing else []
        return self.logits(self.forward([self.sample_layout(Sample([*picture, "a star"]))]).hidden)

    # -- prompts and pictures --------------------------------------------------------------------

    def prepare(self, images: Sequence[Image.Image]) -> list[PreparedImage]:
        """Placeholders of pictures, with pixels where the features are not known yet."""
        with self.lock:
            return [self.vision.prepare(self.processor, image) for image in images]

    def layout(self, turns: Sequence[Turn]) -> Layout:
        """The prompt of a conversation. Raises InputError when it is too long for the model."""
        images = self.prepare([image for turn in turns for image in turn.sample.images])
        return self.fitting(self.processor.chat_layout(turns, images=images))

    def sample_layout(self, sample: Sample) -> Layout:
        """A sample as it is embedded. Raises InputError when it is too long for the model."""
        return self.fitting(self.processor.embedding_layout(sample, self.prepare(sample.images)))

    def features(self, images: Sequence[PreparedImage], *, grad: bool = False) -> list[VisionFeatures]:
        """Per picture its features in the language model's width.

        grad: afresh, under the caller's gradient mode.
        """
        if not images:
            return []
        if grad:
            return encode(self.model, images, self.family)
        with self.lock, torch.inference_mode():
            return self.vision.encode(self.model, self.processor, images)

    # -- the forward pass ------------------------------------------------------------------------

    def forward(self, layouts: Sequence[Layout], cache: Any = None, *, flat: bool = False) -> Forward:
        """Hidden states of layouts, in one batch, without gradients.

        Args:
            layouts: B sequences, padded on the right, or on the left where a cache is given.
            cache: keys and values to fill, of all rows; or, for one row, those of its first tokens, which are
                not read again.
            flat: count positions in one axis, in the families that have three.
        """
        left = cache is not None  # right padding under causal attention touches nothing before it: no mask
        batch = self.processor.collate(layouts, "left" if left else "right")
        start = int(cache.get_seq_length()) if left else 0
        assert not start or len(layouts) == 1, "a kept prefix belongs to one row"
        with self.lock, torch.inference_mode():
            ids, image_mask = batch.input_ids.to(self.device), batch.image_mask.to(self.device)
            mask = batch.attention_mask.to(self.device) if batch.padded else None
            grids = [image.grid for image in batch.images if image.grid is not None]
            positions, following = self.positions(ids, image_mask, grids, mask, flat=flat)
            images = batch.images
            if start:
                where = layouts[0].picture_positions
                images = [image for image, at in zip(images, where, strict=True) if at[0] >= start]
            pictures = self.features(images)
            hidden = self.read(
                ids[:, start:],
                positions[..., start:],
                mask if left else None,
                pictures,
                cache=cache,
                image_mask=image_mask,
            )
        return Forward(hidden, batch.slices, pictures, following, mask if left else None)

    def read(
        self,
        ids: Tensor,
        positions: Tensor,
        mask: Any = None,
        features: Sequence[VisionFeatures | Tensor] = (),
        *,
        cache: Any = None,
        image_mask: Tensor | None = None,
    ) -> Tensor:
        """The last layer's hidden states of token ids, (B, T, D), under the caller's gradient mode and
        adapter.

        Args:
            ids: (B, T) long, with an image token for every row of `features`.
            positions: (B, T) long, or (3, B, T) for the families with 3-D positions.
            mask: None (causal), (B, past + T) long, or (B, 1, T, past + T) bool, True where attention may
                look.
            features: per picture, row by row; a plain tensor (image tokens, D) where the family injects no
                deeper layers.
            cache: keys and values of what came before; they grow.
            image_mask: (B, past + T) bool, which tokens are pictures.
        """
        if self.family.positions_3d and positions.dim() == 2:
            positions = positions.expand(3, -1, -1)
        extra: dict[str, Any] = {"mm_encoder_outputs": self._encoded(features)} if len(features) else {}
        if self.family.two_way and image_mask is not None and bool(image_mask.any()):
            extra[self.family.type_ids] = image_mask.long()
        return self.model.model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=cache is not None,
            **extra,
        ).last_hidden_state

    def _encoded(self, features: Sequence[VisionFeatures | Tensor]) -> dict[str, Any]:
        """Features as a Transformers forward takes them in place of pixels."""
        pooled: Any = [f if isinstance(f, Tensor) else f.features for f in features]
        if self.family.stacked:
            pooled = torch.cat(pooled)
        deep = [() if isinstance(f, Tensor) else f.deepstack for f in features]
        deepstack = [list(layer) for layer in zip(*deep, strict=True)]
        return {"image": SimpleNamespace(pooler_output=pooled, deepstack_features=deepstack)}

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., V) of (..., D) hidden states, capped where the family caps them (Gemma 4)."""
        logits = self.model.get_output_embeddings()(hidden)
        cap = getattr(self.text_config, "final_logit_softcapping", None)
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def positions(
        self,
        ids: Tensor,
        image_mask: Tensor,
        grids: Sequence[Tensor],
        mask: Tensor | None,
        *,
        flat: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Position ids (B, T), or (3, B, T) for the families with 3-D positions, and the next position per
        row (B,).
        """
        rows, width = ids.shape
        if self.family.positions_3d and not flat:
            grid = torch.cat(list(grids)).to(ids.device) if grids else None
            position_ids, delta = self.model.model.get_rope_index(
                ids, mm_token_type_ids=image_mask.long(), image_grid_thw=grid, attention_mask=mask
            )
            length = mask.sum(1) if mask is not None else torch.full((rows,), width, device=ids.device)
            return position_ids, length + delta.reshape(-1)
        if mask is None:
            position_ids = torch.arange(width, device=ids.device).expand(rows, -1)
            return position_ids, torch.full((rows,), width, device=ids.device)
        return (mask.cumsum(1) - 1).clamp(min=0), mask.sum(1)

    # -- bounds ----------------------------------------------------------------------------------

    def fitting(self, layout: Layout, more: int = 0) -> Layout:
        """The layout itself. Raises InputError when it, and `more` tokens after it, exceed what the model
        reads.
        """
        limit = getattr(self.text_config, "max_position_embeddings", None)
        if limit and len(layout) + more > limit:
            raise InputError(
                f"This is {len(layout) + more} tokens with {len(layout.images)} pictures; "
                f"{self.name} reads {limit}. Use less."
            )
        return layout


# -- batches under a memory bound ------------------------------------------------------------------

T = TypeVar("T")


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA has a class for it, the CPU allocator only words."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


class Batching:
    """The memory bound of one model.

    Args:
        tokens: padded tokens in a batch at most.
        release: gives kept memory back.
    """

    def __init__(self, backbone: Backbone, release: Callable[[], None]) -> None:
        self.backbone, self.release = backbone, release
        self.tokens = 16384 if backbone.device.type == "cuda" else 2048

    def buckets(self, lengths: Sequence[int], batch_size: int | None = None) -> Iterator[list[int]]:
        """Indices of sequences of like length, at most `tokens` padded tokens and `batch_size` sequences a
        batch.
        """
        batch: list[int] = []
        for i in sorted(range(len(lengths)), key=lengths.__getitem__):
            full = batch and (len(batch) + 1) * lengths[i] > self.tokens
            uneven = batch and lengths[i] > 2 * lengths[batch[0]] + 16
            if full or uneven or (batch_size and len(batch) >= batch_size):
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    def run(
        self, work: Callable[[list[int]], T], lengths: Sequence[int], batch_size: int | None = None
    ) -> Iterator[tuple[list[int], T]]:
        """(indices, what `work` made of them) for every batch, or part of a batch that fitted."""
        for batch in self.buckets(lengths, batch_size):
            yield from self.shrinking(work, batch)

    def shrinking(self, work: Callable[[list[int]], T], items: list[int]) -> list[tuple[list[int], T]]:
        """Run `work` on the items, on halves of them when memory runs out.

        Raises OutOfMemoryError when one alone is too much.
        """
        try:
            return [(items, work(items))]
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        self.release()
        if len(items) == 1:
            raise OutOfMemoryError(
                f"{self.backbone.device} is full even for one sample ({self.backbone.name}). "
                "Use fewer pictures or a smaller model."
            )
        self.tokens = max(256, self.tokens // 2)
        log.warning(
            "memory ran out at a batch of %d: going on with half, %d tokens a batch", len(items), self.tokens
        )
        middle = len(items) // 2
        return self.shrinking(work, items[:middle]) + self.shrinking(work, items[middle:])

    def refusal(self, tokens: int, pictures: int) -> OutOfMemoryError:
        """Give back what is kept, and the error to raise for one prompt that does not fit."""
        self.release()
        return OutOfMemoryError(
            f"{self.backbone.device} ran out of memory after {tokens} tokens of prompt with {pictures} "
            "pictures. "
            "Use fewer pictures, a shorter conversation, or a smaller model."
        )
