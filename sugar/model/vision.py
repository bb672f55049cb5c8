"""Vision features of a picture: computed once, kept in a bounded cache, shared by embed, chat, compare and
RAG.

    cache = VisionCache(max_bytes=256 << 20)
    # no pixels where features are known
    prepared = [cache.prepare(processor, image) for image in sample.images]
    features = cache.encode(model, processor, prepared)                       # one per picture, in order
    model(..., mm_encoder_outputs=as_encoder_outputs(features, family))

Features leave the vision tower and projector in the language model's width; they do not depend on LoRA in the
language model. Not covered: adapters that change the vision tower (`lora.py` clears the cache for those).
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from sugar.model.families import STACKED
from sugar.model.layout import PreparedImage, image_key, merge_pixels
from sugar.model.processor import Processor

__all__ = ["VisionCache", "VisionFeatures", "as_encoder_outputs"]


@dataclass(frozen=True, eq=False)
class VisionFeatures:
    """features: (image tokens, D). deepstack: per injected layer (image tokens, D), Qwen3-VL only."""

    prepared: PreparedImage
    features: Tensor
    deepstack: tuple[Tensor, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in (self.features, *self.deepstack))


def as_encoder_outputs(features: Sequence[VisionFeatures | Tensor], family: str) -> dict[str, Any]:
    """The `mm_encoder_outputs` argument of a Transformers forward; empty when there is no picture.

    features: per picture its features, or a plain tensor (image tokens, D) where the family injects no deeper
    layers.
    """
    if not len(features):
        return {}
    pooled: Any = [f if isinstance(f, Tensor) else f.features for f in features]
    if family in STACKED:
        pooled = torch.cat(pooled)
    deep = [() if isinstance(f, Tensor) else f.deepstack for f in features]
    deepstack = [list(layer) for layer in zip(*deep, strict=True)]
    return {
        "mm_encoder_outputs": {"image": SimpleNamespace(pooler_output=pooled, deepstack_features=deepstack)}
    }


def encode(model: Any, images: Sequence[PreparedImage], family: str) -> list[VisionFeatures]:
    """Run the vision tower over pictures whose pixels agree in shape. Raises nothing of its own."""
    wanted = inspect.signature(model.model.get_image_features).parameters
    pixels = {k: v.to(model.device) for k, v in merge_pixels(images).items() if k in wanted}
    pixels = {k: v.to(model.dtype) if k == "pixel_values" else v for k, v in pixels.items()}
    output = model.model.get_image_features(**pixels, return_dict=True)
    pooled = output.pooler_output
    if family in STACKED:
        pooled = [
            part.flatten(0, 1)
            for part in pooled.split([image.pixels["pixel_values"].shape[0] for image in images])
        ]
    deepstack = getattr(output, "deepstack_features", None) or []
    known = [PreparedImage(i.key, i.text, i.tokens, i.grid) for i in images]
    return [
        VisionFeatures(known[n], pooled[n].clone(), tuple(layer[n].clone() for layer in deepstack))
        for n in range(len(images))
    ]  # clones: a view would keep the whole batch's memory alive


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
