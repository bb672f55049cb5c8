"""Samples to unit vectors: one vector at the end of each slice (METHOD.md A1).

    embedder = Embedder(backbone, batching, fallback="prompt")
    e = embedder.embed([Sample(["a red star", picture])], adapter=None)  # e.pooled (1, D), e.slices[0] (2, D)

With a head the vectors are the head's; a base without one embeds by its search adapter (model/presets.py), by
a frozen encoder, or by a prompt (model/encoders.py). Not covered: searching (sugar/retrieval).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from sugar.model import encoders
from sugar.model.backbone import Backbone, Batching, with_readings
from sugar.model.load import fetch
from sugar.model.presets import SearchAdapter
from sugar.model.processor import Layout, pool_slices
from sugar.sequence import Embeddings, Sample

WINDOW = 256
"""Samples prepared at a time, so that a long list never has all its pixels in memory."""


class Embedder:
    """Embeds with one model.

    Args:
        forced: an encoder to use even where there is a head.
        fallback: the one to use without a head.
        search: the base's search adapter, if it has one, and what loads it and tells its name.
    """

    def __init__(
        self,
        backbone: Backbone,
        batching: Batching,
        *,
        forced: str | None = None,
        fallback: str = "prompt",
        search: tuple[SearchAdapter, Callable[[], str]] | None = None,
    ) -> None:
        self.backbone, self.batching = backbone, batching
        self.forced, self.fallback, self._search = forced, fallback, search
        self._frozen: encoders.TripleEncoder | encoders.GemmaEncoder | None = None
        self._search_name: str | None = None

    def encoder(self, adapter: str | None) -> str:
        """How it embeds with an adapter: `sugar` (a head), or one of `encoders.ENCODERS`."""
        if self.forced:
            return self.forced
        return "sugar" if adapter in self.backbone.adapters.heads else self.fallback

    def dimension(self, adapter: str | None) -> int:
        """The width of the vectors."""
        encoder = self.encoder(adapter)
        if encoder == "sugar":
            return self.backbone.adapters.heads[adapter].dimension
        if encoder in ("prompt", "search"):
            return self.backbone.hidden_size
        return self._frozen.dimension if self._frozen is not None else encoders.DIMENSIONS[encoder]

    @property
    def frozen(self) -> encoders.TripleEncoder | encoders.GemmaEncoder:
        """The frozen encoder, loaded when first needed. Raises ModelError when it cannot be had."""
        with self.backbone.lock:
            if self._frozen is None:
                device = str(self.backbone.device)
                if self.fallback == encoders.GEMMA:
                    folder = fetch(encoders.GEMMA_REPOSITORY)
                    self._frozen = encoders.GemmaEncoder.from_folder(folder, device=device)
                else:
                    parts = [fetch(n) for n in encoders.TRIPLES[self.fallback]]
                    self._frozen = encoders.TripleEncoder.from_folders(*parts, device=device)
            return self._frozen

    @property
    def search_adapter(self) -> str:
        """The name of the search adapter, loaded when first needed. Raises ModelError when it cannot be
        had.
        """
        assert self._search is not None, "the encoder `search` is chosen only where there is one"
        with self.backbone.lock:
            if self._search_name not in self.backbone.adapters.settings:
                self._search_name = self._search[1]()
            return self._search_name  # type: ignore[return-value]

    def embed(self, samples: Sequence[Sample], *, batch_size: int | None, adapter: str | None) -> Embeddings:
        """pooled (N, D) and slices (n_i, D) of N samples; see `Sugar.embed`."""
        encoder = self.encoder(adapter)
        flags = [np.array([s.is_image for s in sample]) for sample in samples]
        if encoder in encoders.FROZEN:
            rows = self.frozen.rows(samples, batch_size=batch_size or 8)
            alone = encoder in encoders.TRIPLES
            pooled = [encoders.pool(r) if alone else r[-1] for r in rows]
        else:
            rows = []
            for start in range(0, len(samples), WINDOW):
                part = samples[start : start + WINDOW]
                if encoder in ("prompt", "search"):
                    rows += self._prompted(part, batch_size, adapter)
                else:
                    rows += self._rows([self.backbone.sample_layout(s) for s in part], batch_size, adapter)
            pooled = [r[-1] for r in rows]
        empty = np.zeros((0, self.dimension(adapter)), np.float32)
        return Embeddings(np.stack(pooled) if pooled else empty, rows, flags)

    def states(self, samples: Sequence[Sample], *, adapter: str | None) -> np.ndarray:
        """(N, hidden and the tower's reading): what the head reads of each whole sample."""
        layouts = [self.backbone.sample_layout(s) for s in samples]
        return np.stack([rows[-1] for rows in self._rows(layouts, None, adapter, states=True)])

    def _rows(
        self,
        layouts: Sequence[Layout],
        batch_size: int | None,
        adapter: str | None,
        *,
        flat: bool = False,
        states: bool = False,
    ) -> list[np.ndarray]:
        """Per layout (n_i, D) unit rows, one per slice; with `states` what the head would read."""
        head = self.backbone.adapters.heads[adapter] if self.encoder(adapter) == "sugar" else None

        def work(chosen: list[int]) -> np.ndarray:
            with self.backbone.using(adapter):
                done = self.backbone.forward([layouts[i] for i in chosen], flat=flat)
                hidden = done.hidden
                if head is not None and head.reading:
                    hidden = with_readings(hidden, done.slices, done.pictures, head.reading)
                d = pool_slices(hidden, done.slices)  # (all slices, hidden, and the tower's reading)
                if states:
                    r = d.float()
                else:
                    r = head(d) if head is not None else torch.nn.functional.normalize(d.float(), dim=-1)
            return r.cpu().numpy()

        found: dict[int, np.ndarray] = {}
        for chosen, r in self.batching.run(work, [len(layout) for layout in layouts], batch_size):
            ends = np.cumsum([len(layouts[i].slices) for i in chosen])[:-1]
            found.update(zip(chosen, np.split(r, ends), strict=True))
        return [found[i] for i in range(len(layouts))]

    def _prompted(
        self, samples: Sequence[Sample], batch_size: int | None, adapter: str | None
    ) -> list[np.ndarray]:
        """Per sample (n_i, D): one prompt for each prefix, whose last token stands for the prefix."""
        layouts, flat = [], False
        searching = self._search if self.encoder(adapter) == "search" else None
        if searching is not None:
            adapter, flat = self.search_adapter, searching[0].flat
        for sample, n in ((s, n) for s in samples for n in range(1, len(s) + 1)):
            if searching is not None:
                part = Sample(sample.slices[:n])
                images = self.backbone.prepare(part.images)
                prompt = self.backbone.processor.prompt_layout(part, searching[0].prompts, images)
                layouts.append(self.backbone.fitting(prompt))
            else:
                prompt = self.backbone.layout(encoders.prompt_turns(sample, n))
                layouts.append(Layout(prompt.ids, prompt.images, [(np.array([len(prompt) - 1]), False)]))
        rows = np.concatenate(self._rows(layouts, batch_size, adapter, flat=flat))
        return np.split(rows, np.cumsum([len(sample) for sample in samples])[:-1])
