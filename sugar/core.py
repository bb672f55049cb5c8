"""`Sugar`: one model that embeds, answers and scores. Every tab and every command calls it.

    model = Sugar.from_pretrained("sugar-photo")  # or a preset, a hub repository, a local folder
    e = model.embed([Sample(["a red star", picture])])  # e.pooled (1, D), e.slices[0] (2, D), unit rows
    for piece in model.generate(Sample([picture, "what color is the star?"])):
        print(piece, end="")
    model.score(Sample([picture, "is it red?"]), ["yes", "no"])   # log p(answer | sample), (2,)

A face over `Embedder`, `Generator` and `Scorer`, which share one `Backbone` with its adapters. Calls may
come from several threads: each forward pass holds one lock. Not covered: training, galleries.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sugar.embedder import Embedder
from sugar.errors import InputError, ModelError
from sugar.generator import Generator, as_turns
from sugar.model import cells, checkpoint, encoders, hub, load
from sugar.model.adapters import TARGETS, EmbeddingHead, base_identity, merge, read_lora
from sugar.model.backbone import Backbone, Batching
from sugar.model.checkpoint import Profile
from sugar.model.load import fetch, local_folder
from sugar.model.presets import find, here
from sugar.model.processor import Processor
from sugar.scorer import Scorer
from sugar.sequence import Embeddings, Sample, Sampling, Turn

DEFAULT = ""
"""Sentinel: the adapter given to `from_pretrained`, if any. A name is never empty."""


class Sugar:
    """A loaded model and its three calls: embed, generate, score. Make one with `Sugar.from_pretrained`.

    device, precision, why: what was picked, and why, for people. adapter: the default adapter's name. card:
    the model card, Markdown. name, folder, repository: as asked for, where it lies (None in memory), where it
    came from. backbone, embedder, generator, scorer: the parts that do the work.
    """

    # -- opening ---------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        path_or_preset: str | Path = "sugar-photo",
        *,
        adapter: str | Path | None = None,
        device: str = "auto",
        precision: str = "auto",
        encoder: str = "auto",
        progress: Callable[[hub.DownloadProgress], None] | None = None,
    ) -> Sugar:
        """Open a preset, a local folder or a hub repository.

        Args:
            adapter: a folder or repository to load and use by default.
            encoder: how to embed: `auto` takes the head where there is one, else what the preset says; or one
                of `encoders.ENCODERS`.
            progress: called while downloading.
        Raises:
            ModelError: missing, gated, foreign, unsafe, or too large for the memory; each message says what
                to do.
        """
        name = str(path_or_preset)
        folder = local_folder(name, device=device, precision=precision, progress=progress)
        settings = checkpoint.read_settings(folder)
        loaded = load.load(folder, name=name, device=device, precision=precision)
        if (own := folder / checkpoint.LORA).is_dir():
            merge(read_lora(own, loaded.model), loaded.model)
        preset = find(name)
        model = cls(
            loaded,
            EmbeddingHead.load(folder) if settings.get("head") else None,
            name=settings.get("name", name),
            folder=folder,
            repository=preset.base or preset.repository if preset else name,
            encoder=encoder,
            profile=Profile.from_settings(settings),
        )
        if adapter is not None:
            model.adapter = model.load_adapter(adapter, progress=progress)
        return model

    @classmethod
    def wrap(
        cls,
        model: Any,
        processor: Any,
        head: EmbeddingHead | None,
        *,
        name: str = "in memory",
        device: str = "cpu",
        profile: Profile | None = None,
    ) -> Sugar:
        """A Transformers model and processor that are in memory already (training).

        The weights are not copied.

        Vision features are kept between calls: call `forget()` after the weights changed.
        """
        wrapped = Processor(processor, model.config.image_token_id, model.config.model_type)
        loaded = load.Loaded(model, wrapped, device, "in memory", "handed over in memory", model.dtype)
        return cls(loaded, head, name=name, folder=None, profile=profile)

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
        self.name, self.folder, self.repository = name, folder, repository or name
        self._hashes: dict[tuple[str, ...], str] = {}
        self.device, self.precision, self.why = loaded.device, loaded.precision, loaded.why
        self.card = checkpoint.card(folder) if folder is not None else ""
        self.adapter: str | None = None
        self._profile = profile or Profile()
        self._stored_dtype = loaded.stored_dtype
        self.backbone = Backbone(loaded.model, loaded.processor, name=name)
        if head is not None:
            self.backbone.adapters.heads[None] = head.to(loaded.device)
        self.batching = Batching(self.backbone, self.forget)
        forced, fallback = encoders.choose(name, encoder, has_head=head is not None)
        preset = find(name)
        self._search = preset.search if preset and fallback == "search" else None
        self.embedder = Embedder(
            self.backbone,
            self.batching,
            forced=forced,
            fallback=fallback,
            search=(self._search, self._load_search) if self._search else None,
        )
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

    # -- the three calls -------------------------------------------------------------------------

    def embed(
        self, samples: Sequence[Sample], *, batch_size: int | None = None, adapter: str | None = DEFAULT
    ) -> Embeddings:
        """Unit vectors at slice ends (METHOD.md A1).

        Args:
            samples: N of them.
            batch_size: an upper bound; batches are otherwise made of samples of like length under a memory
                bound.
            adapter: a loaded one's name, None for the bare base.
        Returns:
            pooled (N, D) and slices (n_i, D); with the encoder `triple` each row stands for its slice alone
            and pooled is the normalised sum of the rows.
        Raises:
            InputError: a sample is too long. OutOfMemoryError: not even one sample fits.
        """
        return self.embedder.embed(samples, batch_size=batch_size, adapter=self._named(adapter))

    def generate(
        self,
        conversation: Sample | Sequence[Turn],
        *,
        max_new_tokens: int = 128,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
        stop: threading.Event | None = None,
        adapter: str | None = DEFAULT,
    ) -> Iterator[str]:
        """The answer as it comes, a piece of text a token, empty where a token completes no character.

        Args:
            conversation: a sample, or turns that end with the person's.
            temperature: 0 is greedy.
            stop: set it, and the text ends at the next token.
            adapter: a loaded one's name, None for the bare base.
        Raises:
            InputError: settings out of range, a conversation that is too long. OutOfMemoryError: the model
                stays usable.
        """
        sampling = Sampling(temperature, top_p, max_new_tokens, seed)
        return self.generator.stream(
            as_turns(conversation), sampling, adapter=self._named(adapter), stop=stop
        )

    def score(
        self,
        sample: Sample | Sequence[Turn],
        answers: Sequence[str],
        *,
        end: bool = False,
        adapter: str | None = DEFAULT,
    ) -> np.ndarray:
        """log p(answer | sample), summed over the answer's tokens: (len(answers),) float64.

        end: count the token that ends the answer too, which tells "a star" from "a star in a house".
        Raises InputError without answers.
        """
        if not answers:
            raise InputError("There is nothing to score. Give at least one answer.")
        return self.scorer.score(as_turns(sample), answers, end=end, adapter=self._named(adapter))

    def log_odds(self, questions: Sequence[Sample], *, adapter: str | None = DEFAULT) -> np.ndarray:
        """log p(yes) - log p(no) of each question, over every way to begin either word: (N,)."""
        return self.scorer.log_odds(questions, adapter=self._named(adapter))

    def probability_of_yes(self, questions: Sequence[Sample], *, adapter: str | None = DEFAULT) -> np.ndarray:
        """How sure the model is of "yes" against "no", per question: (N,) in [0, 1].

        Questions carry their pictures.
        """
        return 1 / (1 + np.exp(-self.log_odds(questions, adapter=adapter)))

    def agreement(
        self, query: Sample, candidates: Sequence[Sample], *, adapter: str | None = DEFAULT
    ) -> np.ndarray:
        """How far each candidate fits a query, by the model's "yes" to the profile's question: (N,) in [0,
        1].

        query: words alone. Raises InputError for a query with pictures: the yes/no question takes a caption.
        """
        if query.images:
            raise InputError(
                "The yes/no question takes a caption. Search with words alone to have hits confirmed."
            )
        question = self.profile.match_question(query.text)
        return self.probability_of_yes([c + Sample(question) for c in candidates], adapter=adapter)

    # -- what it knows ---------------------------------------------------------------------------

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of a text that the model's tokenizer does not know: a search leaves them out and says
        so.
        """
        return self.processor.unknown_words(text)

    def picture_heat(self, query: Sample, image: Image.Image) -> np.ndarray | None:
        """How well each cell of a picture fits a query.

        Returns:
            (rows, columns) cosines, or None where the vision tower keeps no cells.
        """
        if not cells.has_cells(self.model):
            return None
        return cells.heat(self.model, self.processor, image.convert("RGB"), self.embed([query]).pooled[0])

    def unsure_of(self, image: Image.Image) -> bool:
        """Does a picture look like nothing that the model learnt from? False where that was never
        measured.
        """
        if self.profile.unsure is None:
            return False
        scores = cells.familiarity(self.model, self.processor, [image.convert("RGB")])
        return scores is not None and float(scores[0]) < self.profile.unsure

    # -- adapters --------------------------------------------------------------------------------

    @property
    def adapters(self) -> list[str]:
        """Names of the adapters in memory."""
        return list(self.backbone.adapters.settings)

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
        name = name or self.backbone.adapters.free_name(plain, folder)
        self.backbone.adapters.load(folder, name, self.base)
        return name

    def _load_search(self) -> str:
        """Put the base's search adapter beside the others; its name."""
        assert self._search is not None
        folder = fetch(self._search.repository, self._search.revision)
        name = self.backbone.adapters.free_name(self._search.repository.rpartition("/")[2], folder)
        self.backbone.adapters.load(folder, name, self.base, listed=True)
        return name

    def unload_adapter(self, name: str) -> None:
        """Free an adapter's memory. Raises ModelError when there is none of that name."""
        self.backbone.adapters.unload(name)
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
        whole: Sequence[str] = (),
    ) -> None:
        """A fresh, trainable LoRA on the language model's query and value projections, and its head, to
        train; whole: modules that are trained as a whole.
        """
        self.backbone.adapters.create(name, head, rank=rank, alpha=alpha, targets=targets, whole=whole)

    def save_adapter(self, path: str | Path, name: str | None = None, *, card: str = "") -> Path:
        """Write an adapter as one folder: LoRA, head, base, model card. `card`: more text for the card."""
        return self.backbone.adapters.save(Path(path), name or self.adapter, self.base, card=card)

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

    def _named(self, adapter: str | None) -> str | None:
        """An adapter's name for the parts: "" is the one that the model was opened with."""
        return self.adapter if adapter == DEFAULT else adapter

    # -- what it is ------------------------------------------------------------------------------

    @property
    def family(self) -> str:
        return self.backbone.family.name

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
        return self.backbone.adapters.heads.get(None)

    @property
    def profile(self) -> Profile:
        """How the model wants to be asked: the default adapter's profile where it states one, else the
        base's.
        """
        own = self.backbone.adapters.settings.get(self.adapter, {}) if self.adapter is not None else {}
        return Profile.from_settings(own) if own.get("profile") else self._profile

    @property
    def base(self) -> dict[str, Any]:
        """What adapters must agree with: repository, fingerprint of the weights, family and sizes.

        Raises ModelError for a model that lives in memory only.
        """
        if self.folder is None:
            raise ModelError(
                f"{self.name} lives in memory only. Save it and open the folder before adapters are loaded "
                "or saved."
            )
        return base_identity(self.model, self.family, self.repository, self._hash([self.folder], "base"))

    @property
    def encoder(self) -> str:
        """How `embed` works now: `sugar` (a head), or one of `encoders.ENCODERS`. Shown to people."""
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
        adapter. Raises ModelError for a model that lives in memory only.
        """
        encoder, used = self.encoder, self.adapter
        if encoder in encoders.FROZEN:
            return self._hash(self.embedder.frozen.folders, encoder)
        if encoder == "search":
            encoder, used = f"search {self._search}", self.embedder.search_adapter
        if encoder == "prompt":
            encoder = "prompt on two levels"
        own = [self.backbone.adapters.folder(used)] if used is not None else []
        if self.folder is None:
            raise ModelError(
                f"{self.name} lives in memory only and has no fingerprint. Save it and open the folder."
            )
        return self._hash([self.folder, *own], encoder)

    def _hash(self, folders: Sequence[Path], encoder: str) -> str:
        """The fingerprint of some folders together, computed once."""
        key = (encoder, *map(str, folders))
        if key not in self._hashes:
            self._hashes[key] = checkpoint.fingerprint(list(folders), encoder)
        return self._hashes[key]

    def forget(self) -> None:
        """Drop kept vision features and conversations: after weights changed, or to give memory back."""
        with self.backbone.lock:
            self.generator.prefixes.clear()
            self.backbone.vision.clear()
            if self.backbone.device.type == "cuda":
                torch.cuda.empty_cache()
