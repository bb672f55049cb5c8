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
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from sugar.errors import InputError, ModelError, OutOfMemoryError
from sugar.model import adapters, checkpoint, decode, encoders, hub, load
from sugar.model.adapters import TARGETS
from sugar.model.head import EmbeddingHead
from sugar.model.presets import find
from sugar.model.processor import Layout, PreparedImage, Processor, pool_slices
from sugar.model.vision import VisionCache, VisionFeatures, as_encoder_outputs
from sugar.sequence import Embeddings, Sample, Turn

__all__ = ["Sugar"]

log = logging.getLogger("sugar")
T = TypeVar("T")

DEFAULT = "default"
"""In place of an adapter's name: the one that the model was opened with, if any."""

GRAPH_AFTER = 2
"""Tokens decoded step by step before a step is captured: short answers never pay for it."""

WINDOW = 256
"""Samples prepared at a time, so that a long list never has all its pixels in memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA has a class for it, the CPU allocator only words."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


class Sugar:
    """A loaded model. Make one with `Sugar.from_pretrained`.

    name: as asked for. device, precision, why: what was picked, and why, for people. encoder: how it embeds. adapter: the
    default adapter's name. dimension: of the embeddings. fingerprint: a hash of all that decides embeddings; an index of
    another fingerprint must not be searched. decoding: `graph` (a captured step, on CUDA) or `eager`. card: the model card, Markdown.
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
    ) -> None:
        self.name, self.folder, self.repository = name, folder, repository or name
        self.device, self.precision, self.why, self.family = loaded.device, loaded.precision, loaded.why, loaded.family
        self.model: Any = loaded.model
        self.processor: Processor = loaded.processor
        self.head = head.to(loaded.device) if head is not None else None
        self.card = checkpoint.card(folder) if folder is not None else ""
        self.adapter: str | None = None
        self.vision = VisionCache()
        self.prefixes = decode.PrefixStore()
        self.decoding = "graph" if loaded.device.startswith("cuda") else "eager"
        self.batch_tokens = 16384 if loaded.device.startswith("cuda") else 2048
        self._stored_dtype = loaded.stored_dtype
        self._heads: dict[str, EmbeddingHead] = {}
        self._stack = adapters.Stack(loaded.model)
        self._triple: encoders.TripleEncoder | None = None
        self._fingerprints: dict[str, str] = {}
        self._lock = threading.RLock()
        self._ends = self._end_tokens()
        preset = find(name)
        self._fallback = encoder if encoder != "auto" else preset.encoder if preset and preset.encoder != "sugar" else "prompt"
        if self._fallback not in encoders.ENCODERS:
            raise ModelError(f"Encoder {encoder!r} is not known. Use auto, {', '.join(encoders.ENCODERS)}.")
        if encoder == "sugar" and head is None:
            raise ModelError(f"{name} has no embedding head. Load an adapter that brings one, or use encoder triple or prompt.")
        self._forced = encoder if encoder in ("prompt", *encoders.TRIPLES) else None

    # -- loading and saving --------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        path_or_preset: str | Path = "sugar-tiny",
        *,
        adapter: str | Path | None = None,
        device: str = "auto",
        precision: str = "auto",
        encoder: str = "auto",
        progress: Callable[[hub.Progress], None] | None = None,
    ) -> Sugar:
        """Open a preset, a local folder or a hub repository.

        adapter: a folder or repository to load and use by default. encoder: how to embed: `auto` takes the head where there
        is one, else what the preset says (`triple`, `triple-small`, `prompt`). progress: called while downloading.
        Raises ModelError when it is missing, gated, foreign, unsafe, or does not fit in memory; each message says what to do.
        """
        name = str(path_or_preset)
        folder = load.local_folder(name, device=device, precision=precision, progress=progress)
        settings = checkpoint.read_settings(folder)
        loaded = load.load(folder, name=name, device=device, precision=precision)
        head = EmbeddingHead.load(folder) if settings.get("head") else None
        preset = find(name)
        repository = preset.base or preset.repository if preset else name
        model = cls(loaded, head, name=settings.get("name", name), folder=folder, repository=repository, encoder=encoder)
        if adapter is not None:
            model.adapter = model.load_adapter(adapter, progress=progress)
        return model

    @classmethod
    def wrap(cls, model: Any, processor: Any, head: EmbeddingHead | None, *, name: str = "in memory", device: str = "cpu") -> Sugar:
        """A model that is in memory already (training): Transformers model and processor, head. Its weights are not copied.

        Vision features are kept between calls: after changing weights call `forget()`.
        """
        family, dtype = model.config.model_type, model.dtype
        wrapped = Processor(processor, model.config.image_token_id, family)
        loaded = load.Loaded(model, wrapped, family, device, "in memory", "handed over in memory", "full", dtype)
        return cls(loaded, head, name=name, folder=None)

    def save_pretrained(self, path: str | Path) -> None:
        """Write a folder that `from_pretrained`, and plain Transformers, open again, in the precision that the weights came in.

        Raises ModelError while adapters are loaded: those are saved with `save_adapter`.
        """
        if self._stack.loaded:
            raise ModelError(
                f"Adapters are loaded ({', '.join(self._stack.loaded)}). Save them with save_adapter, and the base from its own folder."
            )
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        with self._lock:
            if self.precision == "nf4":
                self.model.save_pretrained(path)
            else:
                weights = {k: v.to(self._stored_dtype) if v.is_floating_point() else v for k, v in self.model.state_dict().items()}
                running, self.model.config.dtype = self.model.config.dtype, self._stored_dtype
                self.model.save_pretrained(path, state_dict=weights)
                self.model.config.dtype = running
            self.processor.hf.save_pretrained(path)
            if self.head is not None:
                self.head.save(path)
                checkpoint.write_settings(path, name=self.name, encoder="sugar", head=self.head.sizes)
            if self.card:
                (path / "README.md").write_text(self.card + "\n", "utf-8")

    # -- adapters ------------------------------------------------------------------------------------------------------

    @property
    def adapters(self) -> list[str]:
        """Names of the adapters in memory."""
        return list(self._stack.loaded)

    def load_adapter(
        self, path_or_repository: str | Path, name: str | None = None, *, progress: Callable[[hub.Progress], None] | None = None
    ) -> str:
        """Put an adapter beside the others, from a folder or the hub; its name. Raises ModelError for another base's."""
        folder = Path(path_or_repository).expanduser()
        if not folder.is_dir():
            folder = load.fetch(str(path_or_repository), progress=progress)
        name = name or Path(path_or_repository).name
        settings = adapters.check_base(folder, self.base)
        head = EmbeddingHead.load(folder).to(self.device) if settings.get("head") else None
        with self._lock:
            self._stack.load(folder, name, settings)
            if head is not None:
                self._heads[name] = head
        return name

    def unload_adapter(self, name: str) -> None:
        """Free an adapter's memory. Raises ModelError when there is none of that name."""
        with self._lock:
            self._stack.unload(name)
            self._heads.pop(name, None)
            self._fingerprints.pop(name, None)
            self.prefixes.clear()
            if self.adapter == name:
                self.adapter = None

    def new_adapter(self, name: str, head: EmbeddingHead | None, *, rank: int = 128, alpha: int = 256, targets: str = TARGETS) -> None:
        """A fresh, trainable LoRA on the language model's query and value projections, and its head: what training starts from."""
        with self._lock:
            self._stack.create(name, rank=rank, alpha=alpha, targets=targets)
            if head is not None:
                self._heads[name] = head.to(self.device)

    def save_adapter(self, path: str | Path, name: str | None = None, *, card: str = "") -> Path:
        """Write an adapter as one folder: LoRA, head, base, model card. `card`: more text for the card."""
        name = name or self.adapter
        if name is None or name not in self._stack.loaded:
            raise ModelError(f"No adapter named {name!r} is loaded; there are {', '.join(self.adapters) or 'none'}.")
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        with self._lock:
            peft = self._stack.peft
            config = peft.peft_config[name]
            config.base_model_name_or_path = self.base["repository"]
            peft.save_pretrained(path, selected_adapters=[name], save_embedding_layers=False)
            for written in (path / name).glob("*") if (path / name).is_dir() else ():  # PEFT puts named adapters in a folder of their own
                written.replace(path / written.name)
            if (path / name).is_dir():
                (path / name).rmdir()
            head = self._heads.get(name)
            if head is not None:
                head.save(path)
            checkpoint.write_settings(path, kind="adapter", name=name, base=self.base, head=head.sizes if head is not None else None)
            (path / "README.md").write_text(adapters.model_card(name, self.base, config.r, card), "utf-8")
        return path

    def push_adapter(
        self,
        repository: str,
        name: str | None = None,
        *,
        private: bool = True,
        card: str = "",
        endpoint: str | None = None,
        token: str | None = None,
    ) -> str:
        """Save an adapter with its model card to the hub; the page's address. Raises ModelError with the cause when refused."""
        from huggingface_hub import HfApi

        with tempfile.TemporaryDirectory() as folder:
            self.save_adapter(folder, name, card=card)
            try:
                api = HfApi(endpoint=endpoint, token=token)
                address = api.create_repo(repository, private=private, exist_ok=True)
                api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Sugar adapter")
            except Exception as error:
                raise hub.explained(error, repository, "main") from error
        return str(address)

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def base(self) -> dict[str, Any]:
        """What adapters must agree with: repository, fingerprint of the weights, family and sizes."""
        if self.folder is None:
            raise ModelError(f"{self.name} lives in memory only. Save it and open the folder before adapters are loaded or saved.")
        if "base" not in self._fingerprints:
            self._fingerprints["base"] = checkpoint.fingerprint([self.folder], "base")
        return adapters.base_identity(self.model, self.family, self.repository, self._fingerprints["base"])

    @property
    def encoder(self) -> str:
        """How `embed` works now: `sugar` (a head), `triple`, `triple-small` or `prompt`. Shown to people."""
        return self._encoder(self._resolve(DEFAULT))

    @property
    def dimension(self) -> int:
        """The width of the embeddings that the default call gives."""
        head = self._head_of(self._resolve(DEFAULT))
        if self.encoder == "sugar" and head is not None:
            return head.dimension
        if self.encoder == "prompt":
            return self.model.config.get_text_config().hidden_size
        return self._triple.layout.dimension if self._triple is not None else encoders.DIMENSIONS[self.encoder]

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides the embeddings of the default call: weights, configuration, way of encoding, adapter."""
        adapter = self._resolve(DEFAULT)
        key = f"{self.encoder}/{adapter}"
        if key not in self._fingerprints:
            if self.encoder in encoders.TRIPLES:
                _ = self.triple
                folders = self._triple_folders
            elif self.folder is None:
                raise ModelError(f"{self.name} lives in memory only and has no fingerprint. Save it and open the folder.")
            else:
                folders = [self.folder]
                if adapter is not None:
                    own = self._stack.loaded[adapter].get("folder")
                    if own is None:
                        raise ModelError(
                            f"The adapter {adapter!r} has not been saved and has no fingerprint. Use save_adapter and load it."
                        )
                    folders.append(own)
            self._fingerprints[key] = checkpoint.fingerprint(folders, self.encoder)
        return self._fingerprints[key]

    @property
    def triple(self) -> encoders.TripleEncoder:
        """The three frozen encoders, loaded when first needed. Raises ModelError when they cannot be had."""
        with self._lock:
            if self._triple is None:
                names = encoders.TRIPLES[self._fallback]
                self._triple_folders = [load.fetch(n) for n in names]
                self._triple = encoders.TripleEncoder.from_folders(*self._triple_folders, device=self.device)
            return self._triple

    def two_part(self, embeddings: Embeddings) -> list[tuple[np.ndarray, np.ndarray]] | None:
        """Per sample part 1 (n_i, D1) and part 2 (n_i, D2) for the Triple Kernel (method.md A3); None unless the encoder is `triple`."""
        if self.encoder not in encoders.TRIPLES:
            return None
        return [self.triple.layout.parts(rows, flags) for rows, flags in zip(embeddings.slices, embeddings.is_image, strict=True)]

    def forget(self) -> None:
        """Drop kept vision features and conversations: after weights changed, or to give memory back."""
        self._release()

    def _resolve(self, adapter: str | None) -> str | None:
        return self.adapter if adapter == DEFAULT else adapter

    def _head_of(self, adapter: str | None) -> EmbeddingHead | None:
        return self._heads.get(adapter) if adapter is not None else self.head

    def _encoder(self, adapter: str | None) -> str:
        if self._forced:
            return self._forced
        return "sugar" if self._head_of(adapter) is not None else self._fallback

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

    def embed(self, samples: Sequence[Sample], *, batch_size: int | None = None, adapter: str | None = "default") -> Embeddings:
        """Unit vectors at slice ends (method.md A1).

        samples: N of them. batch_size: an upper bound; batches are otherwise made of samples of like length under a memory
        bound. adapter: a loaded one's name, None for the bare base. Returns pooled (N, D) and slices (n_i, D); with the
        encoder `triple` each row stands for its slice alone and pooled is the normalised sum of the rows.
        Raises InputError for a sample that is too long, OutOfMemoryError when even one sample does not fit.
        """
        adapter = self._resolve(adapter)
        encoder = self._encoder(adapter)
        flags = [np.array([s.is_image for s in sample]) for sample in samples]
        if encoder in encoders.TRIPLES:
            rows = self.triple.rows(samples, batch_size=batch_size or 32)
            pooled = [encoders.pool(r) for r in rows]
        else:
            rows = [
                r
                for start in range(0, len(samples), WINDOW)
                for r in self._rows(samples[start : start + WINDOW], batch_size, adapter, encoder)
            ]
            pooled = [r[-1] for r in rows]
        return Embeddings(np.stack(pooled) if pooled else np.zeros((0, self.dimension), np.float32), rows, flags)

    def _rows(self, samples: Sequence[Sample], batch_size: int | None, adapter: str | None, encoder: str) -> list[np.ndarray]:
        """Per sample (n_i, D) unit rows of the encoders that run through this model."""
        if encoder == "prompt":  # one prompt per prefix; its last token stands for the prefix
            layouts = [self._prompt_layout(sample, n) for sample in samples for n in range(1, len(sample) + 1)]
        else:
            layouts = [self._fits(self.processor.embedding_layout(sample, self._prepare(sample.images))) for sample in samples]
        head = self._head_of(adapter) if encoder == "sugar" else None

        def work(chosen: list[int]) -> np.ndarray:
            d = self._hidden([layouts[i] for i in chosen], adapter)
            with torch.inference_mode():
                r = head(d) if head is not None else torch.nn.functional.normalize(d.float(), dim=-1)
            return r.cpu().numpy()

        found: dict[int, np.ndarray] = {}
        for batch in self._buckets(layouts, batch_size):
            for chosen, r in self._shrinking(work, batch):
                ends = np.cumsum([len(layouts[i].slices) for i in chosen])[:-1]
                found.update(zip(chosen, np.split(r, ends), strict=True))
        rows = [found[i] for i in range(len(layouts))]
        if encoder == "prompt":
            ends = np.cumsum([len(sample) for sample in samples])[:-1]
            return np.split(np.concatenate(rows), ends)
        return rows

    def _prompt_layout(self, sample: Sample, upto: int) -> Layout:
        turns = encoders.prompt_turns(sample, upto)
        layout = self._fits(self.processor.chat_layout(turns, images=self._prepare(turns[0].sample.images)))
        return Layout(layout.ids, layout.images, [(np.array([len(layout.ids) - 1]), False)])

    def _prepare(self, images: Sequence[Any]) -> list[PreparedImage]:
        with self._lock:
            return [self.vision.prepare(self.processor, image) for image in images]

    def _fits(self, layout: Layout) -> Layout:
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if limit and len(layout.ids) > limit:
            raise InputError(f"This is {len(layout.ids)} tokens with {len(layout.images)} pictures; {self.name} reads {limit}. Use less.")
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

    def _hidden(self, layouts: Sequence[Layout], adapter: str | None) -> torch.Tensor:
        """(all slices, hidden): last layer's states of the slices, no LM head.

        Right padding under causal attention touches nothing before it, so no mask is passed and the fast kernel runs.
        """
        batch = self.processor.collate(layouts)
        with self._lock, torch.inference_mode():
            self._stack.use(adapter)
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
        return self.vision.encode(self.model, self.processor, images) if images else []

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
                f"{self.device} is full even for one sample ({self.name}, {self.precision}). Use fewer pictures or a smaller model."
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
        adapter: str | None = "default",
    ) -> Iterator[str]:
        """The answer as it comes, a piece of text a token, empty where a token completes no character; greedy at temperature 0.

        conversation: a sample, or turns that end with the person's. stop: set it, and the text ends at the next token.
        adapter: a loaded one's name, None for the bare base.
        Errors come out of the iterator. Raises InputError for settings out of range or a conversation that is too long,
        OutOfMemoryError when memory runs out; the model stays usable.
        """
        turns = self._turns(conversation)
        if max_new_tokens < 1 or temperature < 0 or not 0 < top_p <= 1:
            raise InputError(f"max_new_tokens {max_new_tokens}, temperature {temperature}, top_p {top_p}: use >= 1, >= 0 and in (0, 1].")
        return self._stream(turns, max_new_tokens, temperature, top_p, seed, stop, self._resolve(adapter))

    @staticmethod
    def _turns(conversation: Sample | Sequence[Turn]) -> list[Turn]:
        turns = [Turn("user", conversation)] if isinstance(conversation, Sample) else list(conversation)
        if not turns or turns[-1].role != "user":
            raise InputError("A conversation ends with a turn of the person who asks (role user).")
        return turns

    def _stream(
        self,
        turns: list[Turn],
        max_new_tokens: int,
        temperature: float,
        top_p: float,
        seed: int | None,
        stop: threading.Event | None,
        adapter: str | None,
    ) -> Iterator[str]:
        rng = torch.Generator().manual_seed(seed) if seed is not None else None
        layout = self._fits(self.processor.chat_layout(turns, images=self._prepare([i for t in turns for i in t.sample.images])))
        text = decode.TextStream(self.processor)
        state: decode.State | None = None
        try:
            state = self._prefill(layout, adapter, room=max_new_tokens if self.decoding == "graph" else 0)
            for n in range(max_new_tokens):
                if stop is not None and stop.is_set():
                    return
                token = decode.pick(state.logits, temperature=temperature, top_p=top_p, rng=rng)
                if token in self._ends:
                    break
                yield text.push(token)
                if n + 1 < max_new_tokens:
                    with self._lock, torch.inference_mode():
                        self._stack.use(adapter)
                        state.step(self.model, token)
                        if n == GRAPH_AFTER and self.decoding == "graph":
                            self._fix(state, token)
            if piece := text.flush():
                yield piece
            with self._lock:
                self.prefixes.put(adapter or "", state.marks, state.cache)
        except Exception as error:
            state = None
            if not is_out_of_memory(error):
                raise
            raise self._full(layout) from error

    def _full(self, layout: Layout) -> OutOfMemoryError:
        """Give back what is kept, and the refusal to raise."""
        self._release()
        return OutOfMemoryError(
            f"{self.device} ran out of memory after {len(layout.ids)} tokens of prompt with {len(layout.images)} pictures. "
            "Use fewer pictures, a shorter conversation, or a smaller model."
        )

    def _fix(self, state: decode.State, token: int) -> None:
        """Go on with fixed shapes (a CUDA graph) where that gives the same logits; else say so, once, and stay with plain steps."""
        if state.cache.graph is not None and state.cache.graph.fits():
            return
        try:
            if state.fix(self.model, token, self._window(), capture=self.device.startswith("cuda")):
                return
            why = "its logits differ"
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            why = str(error).splitlines()[0]
        self.decoding = "eager"
        log.warning("%s: a captured decoding step cannot be used (%s); decoding step by step", self.name, why)

    def _window(self) -> int | None:
        return getattr(self.model.config.get_text_config(), "sliding_window", None) if self.family == "gemma3" else None

    def _prefill(self, layout: Layout, adapter: str | None, *, keep: bool = True, room: int = 0) -> decode.State:
        image_token = self.processor.image_token_id
        with self._lock, torch.inference_mode():
            self._stack.use(adapter)
            kept = self.prefixes.take(adapter or "", layout, image_token) if keep else None
            return decode.prefill(self.model, self.family, layout, self._features, image_token, kept, room)

    # -- scoring -------------------------------------------------------------------------------------------------------

    def score(
        self, sample: Sample | Sequence[Turn], answers: Sequence[str], *, end: bool = False, adapter: str | None = "default"
    ) -> np.ndarray:
        """log p(answer | sample), summed over the answer's tokens: (len(answers),) float64.

        All answers go in one batch over one shared prefix. end: count the token that ends the answer too, which tells
        "a star" from "a star in a house". Raises InputError without answers.
        """
        if not answers:
            raise InputError("There is nothing to score. Give at least one answer.")
        turns, adapter = self._turns(sample), self._resolve(adapter)
        layout = self._fits(self.processor.chat_layout(turns, images=self._prepare([i for t in turns for i in t.sample.images])))
        try:
            state = self._prefill(layout, adapter, keep=False)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise self._full(layout) from error
        tails = [self._fits_tail(layout, self.processor.answer_ids(turns, layout, answer, end=end)) for answer in answers]
        first = torch.log_softmax(state.logits.float(), -1)
        scores = np.zeros(len(answers))

        def run(chosen: list[int]) -> None:
            with self._lock, torch.inference_mode():
                self._stack.use(adapter)
                logits = decode.forward_tail(self.model, state, [tails[i][:-1] for i in chosen], self._window())
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

    def probability_of_yes(self, questions: Sequence[Sample], *, adapter: str | None = "default") -> np.ndarray:
        """How sure the model is of "yes" against "no", per question: (N,) in [0, 1]. Questions carry their own pictures."""
        return np.array([1 / (1 + np.exp(no - yes)) for yes, no in (self.score(q, ["yes", "no"], adapter=adapter) for q in questions)])

    def agreement(self, query: Sample, candidates: Sequence[Sample], *, adapter: str | None = "default") -> np.ndarray:
        """How far each candidate fits a query, by the chat model's "yes": (N,) in [0, 1]. For re-ranking the top hits on request.

        Words alone are asked for in the question that tells captions apart, anything else after the candidate.
        """
        if not query.images:
            return self.probability_of_yes([c + Sample(f"does this show {query.text}?") for c in candidates], adapter=adapter)
        ask = Sample("Answer yes or no.")
        return self.probability_of_yes([c + Sample("Does this fit the following?") + query + ask for c in candidates], adapter=adapter)

    def _fits_tail(self, layout: Layout, tail: list[int]) -> list[int]:
        self._fits(Layout(layout.ids + tail, layout.images, []))
        return tail
