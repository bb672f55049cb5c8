"""A loaded model with its identity and its adapters: all of `Sugar` but its three calls.

    model.name, model.device, model.fingerprint, model.profile
    model.load_adapter("runs/mine"); model.save_adapter("folder"); model.unload_adapter("mine")

Not covered: embedding, generating, scoring (core.py).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sugar.embedder import Embedder
from sugar.errors import ModelError
from sugar.generator import Generator
from sugar.model import checkpoint, encoders, hub, load
from sugar.model.adapters import Adapters
from sugar.model.backbone import Backbone
from sugar.model.batching import Batching
from sugar.model.folders import fetch
from sugar.model.head import EmbeddingHead
from sugar.model.identity import Identity
from sugar.model.lora import TARGETS
from sugar.model.presets import here
from sugar.model.processor import Processor
from sugar.model.profile import Profile
from sugar.scorer import Scorer

__all__ = ["LoadedModel"]


class LoadedModel:
    """A model in memory.

    device, precision, why: what was picked, and why, for people. adapter: the default adapter's name. card:
    the model card, Markdown. backbone, embedder, generator, scorer, stack (the adapters): the parts that do
    the work.
    """

    def __init__(
        self,
        loaded: load.Loaded,
        head: EmbeddingHead | None,
        *,
        name: str,
        folder: Path | None,
        repository: str = "",
        encoder: str = "auto",
        profile: Profile | None = None,
    ) -> None:
        self.identity = Identity(name, folder, repository or name)
        self.device, self.precision, self.why = loaded.device, loaded.precision, loaded.why
        self.card = checkpoint.card(folder) if folder is not None else ""
        self.adapter: str | None = None
        self._profile = profile or Profile()
        self._stored_dtype = loaded.stored_dtype
        self.backbone = Backbone(loaded.model, loaded.processor, name=name)
        self.stack = Adapters(self.backbone, head.to(loaded.device) if head is not None else None)
        self.batching = Batching(self.backbone, self.forget)
        forced, fallback = encoders.choose(name, encoder, has_head=head is not None)
        self.embedder = Embedder(self.backbone, self.stack, self.batching, forced=forced, fallback=fallback)
        self.generator = Generator(self.backbone, self.batching)
        self.scorer = Scorer(self.backbone, self.batching)

    def save_pretrained(self, path: str | Path) -> None:
        """Write a folder that `from_pretrained` and plain Transformers open again, in the precision it came
        in.

        Raises ModelError while adapters are loaded: those are saved with `save_adapter`.
        """
        if self.adapters:
            raise ModelError(
                f"Adapters are loaded ({', '.join(self.adapters)}). Save them with save_adapter, "
                "and the base from its own folder."
            )
        with self.backbone.lock:
            checkpoint.save(
                Path(path),
                self.model,
                self.processor.hf,
                self.head,
                dtype=None if self.precision == "nf4" else self._stored_dtype,
                settings={"name": self.name, "encoder": "sugar", "profile": self._profile.to_json()},
                card=self.card,
            )

    # -- adapters --------------------------------------------------------------------------------

    @property
    def adapters(self) -> list[str]:
        """Names of the adapters in memory."""
        return self.stack.names

    def load_adapter(
        self,
        path_or_repository: str | Path,
        name: str | None = None,
        *,
        progress: Callable[[hub.DownloadProgress], None] | None = None,
    ) -> str:
        """Put an adapter beside the others, from a folder or the hub; its name: that of the folder, with a
        number where another folder has it already.

        Raises ModelError for another base's.
        """
        given = str(path_or_repository)
        folder = here(given)
        plain = folder.resolve().name if folder is not None else given.rpartition("/")[2]
        if folder is None:
            folder = fetch(given, progress=progress)
        name = name or self.stack.free_name(plain, folder)
        self.stack.load(folder, name, self.base)
        return name

    def unload_adapter(self, name: str) -> None:
        """Free an adapter's memory. Raises ModelError when there is none of that name."""
        self.stack.unload(name)
        with self.backbone.lock:
            self.generator.prefixes.clear()
            if self.adapter == name:
                self.adapter = None

    def new_adapter(
        self,
        name: str,
        head: EmbeddingHead | None,
        *,
        rank: int = 128,
        alpha: int = 256,
        targets: str = TARGETS,
    ) -> None:
        """A fresh, trainable LoRA on the language model's query and value projections, and its head, to
        train.
        """
        self.stack.create(name, head, rank=rank, alpha=alpha, targets=targets)

    def save_adapter(self, path: str | Path, name: str | None = None, *, card: str = "") -> Path:
        """Write an adapter as one folder: LoRA, head, base, model card. `card`: more text for the card."""
        return self.stack.save(Path(path), name or self.adapter, self.base, card=card)

    def push_adapter(
        self,
        repository: str,
        name: str | None = None,
        *,
        private: bool = True,
        card: str = "",
        **hub_options: Any,
    ) -> str:
        """Save an adapter with its model card to the hub; the page's address. hub_options: endpoint, token.

        Raises ModelError with the cause when refused.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_adapter(folder, name, card=card)
            return hub.upload(folder, repository, private=private, **hub_options)

    # -- what it is ------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def folder(self) -> Path | None:
        return self.identity.folder

    @property
    def family(self) -> str:
        return self.backbone.family

    @property
    def model(self) -> Any:
        """The Transformers model."""
        return self.backbone.model

    @property
    def processor(self) -> Processor:
        return self.backbone.processor

    @property
    def head(self) -> EmbeddingHead | None:
        """The base's own head."""
        return self.stack.head(None)

    @property
    def profile(self) -> Profile:
        """How the model wants to be asked: the default adapter's profile where it states one, else the
        base's.
        """
        own = self.stack.settings.get(self.adapter, {}) if self.adapter is not None else {}
        return Profile.from_settings(own) if own.get("profile") else self._profile

    @property
    def base(self) -> dict[str, Any]:
        """What adapters must agree with: repository, fingerprint of the weights, family and sizes."""
        return self.identity.base(self.backbone)

    @property
    def encoder(self) -> str:
        """How `embed` works now: `sugar` (a head), `triple`, `triple-small` or `prompt`. Shown to people."""
        return self.embedder.encoder(self.adapter)

    @property
    def decoding(self) -> str:
        """How tokens are decoded: `graph` (a captured step, on CUDA) or `eager`."""
        return self.generator.decoding

    @property
    def dimension(self) -> int:
        """The width of the embeddings that the default call gives."""
        return self.embedder.dimension(self.adapter)

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides the embeddings of the default call: weights, configuration, encoder,
        adapter.
        """
        if self.encoder in encoders.TRIPLES:
            return self.identity.of(self.embedder.triple.folders, self.encoder)
        own = [self.stack.folder(self.adapter)] if self.adapter is not None else []
        return self.identity.fingerprint(self.encoder, own)

    def forget(self) -> None:
        """Drop kept vision features and conversations: after weights changed, or to give memory back."""
        with self.backbone.lock:
            self.generator.prefixes.clear()
            self.backbone.vision.clear()
            if self.backbone.device.type == "cuda":
                torch.cuda.empty_cache()
