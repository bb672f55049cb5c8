"""`Sugar`: one model that embeds, answers and scores. Every tab and every command calls it.

    model = Sugar.from_pretrained("sugar-photo")  # or a preset, a hub repository, a local folder
    e = model.embed([Sample(["a red star", picture])])  # e.pooled (1, D), e.slices[0] (2, D), unit rows
    for piece in model.generate(Sample([picture, "what color is the star?"])):
        print(piece, end="")
    model.score(Sample([picture, "is it red?"]), ["yes", "no"])   # log p(answer | sample), (2,)

A face over `Embedder`, `Generator`, `Scorer` and the adapter stack, which share one `Backbone`. Calls may
come from several threads: each forward pass holds one lock. Not covered: training, galleries.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sugar.errors import InputError
from sugar.generator import as_turns
from sugar.loaded import LoadedModel
from sugar.model import cells, checkpoint, encoders, hub, load
from sugar.model.folders import local_folder
from sugar.model.head import EmbeddingHead
from sugar.model.known_words import unknown_words
from sugar.model.presets import find
from sugar.model.processor import Processor
from sugar.model.profile import Profile
from sugar.sequence import Embeddings, Sample, Sampling, Turn

__all__ = ["Sugar"]

DEFAULT = ""
"""In place of an adapter's name, which is never empty: the one that the model was opened with, if any."""


class Sugar(LoadedModel):
    """A loaded model and its three calls: embed, generate, score. Make one with `Sugar.from_pretrained`."""

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
            encoder: how to embed: `auto` takes the head where there is one, else what the preset says
                (`triple`,
                `triple-small`, `prompt`).
            progress: called while downloading.
        Raises:
            ModelError: missing, gated, foreign, unsafe, or too large for the memory; each message says what
                to do.
        """
        name = str(path_or_preset)
        folder = local_folder(name, device=device, precision=precision, progress=progress)
        settings = checkpoint.read_settings(folder)
        loaded = load.load(folder, name=name, device=device, precision=precision)
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
        family = model.config.model_type
        wrapped = Processor(processor, model.config.image_token_id, family)
        loaded = load.Loaded(
            model, wrapped, family, device, "in memory", "handed over in memory", "full", model.dtype
        )
        return cls(loaded, head, name=name, folder=None, profile=profile)

    def named(self, adapter: str | None) -> str | None:
        """An adapter's name for the parts: "" is the one that the model was opened with."""
        return self.adapter if adapter == DEFAULT else adapter

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of a text that the model's tokenizer does not know: a search leaves them out and says
        so.
        """
        return unknown_words(self.processor.tokenizer, text)

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

    # -- the three calls -------------------------------------------------------------------------

    def embed(
        self, samples: Sequence[Sample], *, batch_size: int | None = None, adapter: str | None = DEFAULT
    ) -> Embeddings:
        """Unit vectors at slice ends (method.md A1).

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
        return self.embedder.embed(samples, batch_size=batch_size, adapter=self.named(adapter))

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
        return self.generator.stream(as_turns(conversation), sampling, adapter=self.named(adapter), stop=stop)

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
        return self.scorer.score(as_turns(sample), answers, end=end, adapter=self.named(adapter))

    def log_odds(self, questions: Sequence[Sample], *, adapter: str | None = DEFAULT) -> np.ndarray:
        """log p(yes) - log p(no) of each question, over every way to begin either word: (N,)."""
        return self.scorer.log_odds(questions, adapter=self.named(adapter))

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

    def two_part(self, embeddings: Embeddings) -> list[tuple[np.ndarray, np.ndarray]] | None:
        """Per sample part 1 (n_i, D1) and part 2 (n_i, D2) for the Triple Kernel (method.md A3).

        None without `triple`.
        """
        if self.encoder not in encoders.TRIPLES:
            return None
        parts = self.embedder.triple.layout.parts
        return [parts(r, f) for r, f in zip(embeddings.slices, embeddings.is_image, strict=True)]
