"""Embeddings for a base model that has no Sugar adapter: `embeddinggemma-2`, `triple` and `prompt`.

    encoder = TripleEncoder.from_folders(dino, clip, bge, device="cpu")  # the paper's encoders (METHOD.md A3)
    rows = encoder.rows([Sample([picture, "a red star"])])[0]              # (2, D) unit rows, one per slice
    part1, part2 = encoder.layout.parts(rows, is_image)  # what teachers are asked for (training/teachers)
    encoder = GemmaEncoder.from_folder(folder, device="cpu")        # rows (n_i, 768)

`embeddinggemma-2` (google/embeddinggemma-2, its text and vision parts) embeds a sample up to each slice, by
the prompts of its card; the mean of all tokens. `triple` embeds each slice alone: part 1 by DINOv2 or BGE,
part 2 by CLIP, in one unit row. CLIP reads 77 tokens and BGE 512; longer texts are cut. `prompt` is the
hidden state of a one-word prompt (METHOD.md B). Search adapters are the table's (presets.py). Not covered:
training of any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sugar.errors import ModelError
from sugar.model.checkpoint import reason
from sugar.model.load import load_processor
from sugar.model.presets import Prompts, find
from sugar.model.processor import neutraliser
from sugar.sequence import Sample, Slice, Turn

GEMMA = "embeddinggemma-2"
GEMMA_REPOSITORY = "google/embeddinggemma-2"
GEMMA_PROMPTS = Prompts("{picture}", "task: search result | query: {text}")
"""The prompts of its card: pictures as they are, words as a query."""

TRIPLES: dict[str, tuple[str, str, str]] = {
    "triple": ("facebook/dinov2-base", "openai/clip-vit-large-patch14", "BAAI/bge-base-en-v1.5"),
    "triple-small": (
        "facebook/dinov2-small",
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        "BAAI/bge-small-en-v1.5",
    ),
}
"""Picture, cross-modal and text encoder.

About 2.5 GB and 0.8 GB of downloads, 0.6 and 0.2 billion parameters.
"""

DIMENSIONS = {"triple": 768 + 768 + 768, "triple-small": 384 + 384 + 512, GEMMA: 768}
"""Widths of their rows, known before they are downloaded."""

FROZEN = (GEMMA, *TRIPLES)
"""Encoders of their own, beside the chat model."""

ENCODERS = ("sugar", "search", "prompt", *FROZEN)


def choose(name: str, encoder: str, *, has_head: bool) -> tuple[str | None, str]:
    """(the encoder to use always, or None; the one to use where there is no head) of what was asked for.

    Raises ModelError for an unknown encoder, for `sugar` without a head, or `search` without an adapter.
    """
    preset = find(name)
    fallback = encoder
    if encoder == "auto":
        fallback = preset.encoder if preset and preset.encoder != "sugar" else "prompt"
        fallback = "search" if preset and preset.search else fallback
    if fallback == "search" and not (preset and preset.search):
        raise ModelError(f"{name} has no search adapter. Use one of {', '.join(n for n in ENCODERS[2:])}.")
    if fallback not in ENCODERS:
        raise ModelError(f"Encoder {encoder!r} is not known. Use auto, {', '.join(ENCODERS)}.")
    if encoder == "sugar" and not has_head:
        raise ModelError(
            f"{name} has no embedding head. Load an adapter that brings one, or use encoder triple or prompt."
        )
    return (encoder if encoder in ("search", "prompt", *FROZEN) else None), fallback


@dataclass(frozen=True)
class TripleLayout:
    """The widths of the blocks of a row: picture part 1, text part 1, part 2.

    A row is [picture part 1 | text part 1 | part 2] / sqrt(2), with the other modality's block zero. The
    inner product of two rows of one modality is the mean of the two kernels that apply; `parts` gives the
    exact two parts back.
    """

    image: int
    text: int
    cross: int

    @property
    def dimension(self) -> int:
        return self.image + self.text + self.cross

    def row(self, part1: np.ndarray, part2: np.ndarray, is_image: bool) -> np.ndarray:
        """(D,) unit row from two unit vectors."""
        row = np.zeros(self.dimension, np.float32)
        start = 0 if is_image else self.image
        row[start : start + len(part1)] = part1
        row[self.image + self.text :] = part2
        return row / np.sqrt(2, dtype=np.float32)

    def parts(self, rows: np.ndarray, is_image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """rows: (n, D), is_image: (n,).

        Returns part 1 (n, max(image, text)), zero-padded to one width, and part 2 (n, cross).
        """
        width = max(self.image, self.text)
        part1 = np.zeros((len(rows), width), np.float32)
        part1[is_image, : self.image] = rows[is_image, : self.image]
        part1[~is_image, : self.text] = rows[~is_image, self.image : self.image + self.text]
        return part1 * np.sqrt(2, dtype=np.float32), rows[:, self.image + self.text :] * np.sqrt(
            2, dtype=np.float32
        )


def unit(x: Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(x.float(), dim=-1).cpu().numpy()


class TripleEncoder:
    """DINOv2, CLIP and BGE as slice encoders. Make one with `from_folders`."""

    def __init__(
        self, dino: tuple[Any, Any], clip: tuple[Any, Any, Any], bge: tuple[Any, Any], device: str
    ) -> None:
        self.folders: list[Path] = []
        (
            (self.dino, self.dino_pictures),
            (self.clip, self.clip_pictures, self.clip_tokens),
            (self.bge, self.bge_tokens),
        ) = dino, clip, bge
        self.device = device
        self.layout = TripleLayout(
            self.dino.config.hidden_size, self.bge.config.hidden_size, self.clip.config.projection_dim
        )

    @property
    def dimension(self) -> int:
        return self.layout.dimension

    @classmethod
    def from_folders(cls, dino: Path, clip: Path, bge: Path, *, device: str = "cpu") -> TripleEncoder:
        """Open three local checkpoints. Raises ModelError when one is not what it should be."""
        import transformers

        def model(kind: Any, folder: Path) -> Any:
            return (
                kind.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
                .eval()
                .to(device)
            )

        def part(kind: Any, folder: Path) -> Any:
            return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)

        pictures, tokens = transformers.AutoImageProcessor, transformers.AutoTokenizer
        try:
            made = cls(
                (model(transformers.Dinov2Model, dino), part(pictures, dino)),
                (model(transformers.CLIPModel, clip), part(pictures, clip), part(tokens, clip)),
                (model(transformers.BertModel, bge), part(tokens, bge)),
                device,
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"The three encoders cannot be opened ({error}). Delete {dino}, {clip} and {bge}, and "
                "download them again."
            ) from error
        made.folders = [dino, clip, bge]
        return made

    def rows(self, samples: Sequence[Sample], *, batch_size: int = 32) -> list[np.ndarray]:
        """Per sample (n_i, D) unit rows, one per slice.

        Equal texts and the same picture object are encoded once.
        """
        slices = [s for sample in samples for s in sample]
        distinct: dict[Any, Slice] = {(id(s.content) if s.is_image else s.text): s for s in slices}
        found: dict[Any, np.ndarray] = {}
        for is_image in (True, False):
            keys = [key for key, s in distinct.items() if s.is_image == is_image]
            encode: Callable[[list[Any]], tuple[np.ndarray, np.ndarray]] = (
                self._pictures if is_image else self._texts
            )
            if not is_image:
                keys.sort(key=len)
            for start in range(0, len(keys), batch_size):
                chosen = keys[start : start + batch_size]
                part1, part2 = encode([distinct[key].content for key in chosen])
                found.update(
                    (key, self.layout.row(a, b, is_image))
                    for key, a, b in zip(chosen, part1, part2, strict=True)
                )
        return [
            np.stack([found[id(s.content) if s.is_image else s.text] for s in sample]) for sample in samples
        ]

    @torch.inference_mode()
    def _pictures(self, images: list[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
        rgb = [image.convert("RGB") for image in images]
        own = self.dino(**self.dino_pictures(rgb, return_tensors="pt").to(self.device)).last_hidden_state[
            :, 0
        ]
        return unit(own), unit(
            _pooled(
                self.clip.get_image_features(**self.clip_pictures(rgb, return_tensors="pt").to(self.device))
            )
        )

    @torch.inference_mode()
    def _texts(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        def tokens(tokenizer: Any, limit: int) -> Any:
            return tokenizer(texts, padding=True, truncation=True, max_length=limit, return_tensors="pt").to(
                self.device
            )

        own = self.bge(**tokens(self.bge_tokens, self.bge.config.max_position_embeddings)).last_hidden_state[
            :, 0
        ]
        cross = self.clip.get_text_features(
            **tokens(self.clip_tokens, self.clip.config.text_config.max_position_embeddings)
        )
        return unit(own), unit(_pooled(cross))


class GemmaEncoder:
    """EmbeddingGemma 2 as an encoder of samples. Make one with `from_folder`."""

    def __init__(self, model: Any, hf: Any, folder: Path) -> None:
        self.model, self.hf, self.folders = model, hf, [folder]
        self.neutralise = neutraliser(hf)

    @property
    def dimension(self) -> int:
        return int(self.model.config.text_config.embedding_dim)

    @classmethod
    def from_folder(cls, folder: Path, *, device: str = "cpu") -> GemmaEncoder:
        """Open a local checkpoint, without its ears. Raises ModelError when it is not what it should be.

        In float32, or bfloat16 on a GPU that has it: float16 overflows.
        """
        import transformers

        wide = device.startswith("cuda") and torch.cuda.is_bf16_supported()
        try:
            config = transformers.EmbeddingGemma2Config.from_pretrained(folder, local_files_only=True)
            config.audio_config = None
            model = transformers.EmbeddingGemma2Model.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.bfloat16 if wide else torch.float32,
            )
            return cls(model.eval().to(device), load_processor(folder, "EmbeddingGemma2Processor"), folder)
        except Exception as error:  # Transformers and tokenizers raise whatever a strange file leads them to
            raise ModelError(
                f"{folder} cannot be opened as EmbeddingGemma 2 ({reason(error)}). Delete it, and download "
                "it again."
            ) from error

    def rows(self, samples: Sequence[Sample], *, batch_size: int = 8) -> list[np.ndarray]:
        """Per sample (n_i, D) unit rows, one for each prefix: row i stands for slices 1 to i."""
        parts = [Sample(sample.slices[:n]) for sample in samples for n in range(1, len(sample) + 1)]
        texts = [
            GEMMA_PROMPTS.written(
                [self.hf.image_token] * len(part.images),
                [self.neutralise(s.text) for s in part if not s.is_image],
            )
            for part in parts
        ]
        order = sorted(range(len(parts)), key=lambda i: (len(parts[i].images), len(texts[i])))
        found: dict[int, np.ndarray] = {}
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            for pictured in (False, True):  # a batch has pictures in every text, or in none
                group = [i for i in chosen if bool(parts[i].images) == pictured]
                if group:
                    made = self._encode([texts[i] for i in group], [list(parts[i].images) for i in group])
                    found.update(zip(group, made, strict=True))
        ends = np.cumsum([len(sample) for sample in samples])[:-1]
        every = [found[i] for i in range(len(parts))]
        empty = np.zeros((0, self.dimension), np.float32)
        return np.split(np.stack(every) if every else empty, ends) if samples else []

    @torch.inference_mode()
    def _encode(self, texts: list[str], pictures: list[list[Image.Image]]) -> np.ndarray:
        rgb = [[image.convert("RGB") for image in images] for images in pictures]
        given = self.hf(text=texts, images=rgb if rgb[0] else None, padding=True, return_tensors="pt")
        given = {k: v.to(self.model.device) for k, v in given.items() if k != "mm_token_type_ids"}
        if "pixel_values" in given:
            given["pixel_values"] = given["pixel_values"].to(self.model.dtype)
        hidden = self.model(**given).last_hidden_state.float()  # (B, T, D)
        kept = given["attention_mask"][..., None].float()
        return unit((hidden * kept).sum(1) / kept.sum(1))


def _pooled(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output.pooler_output


def pool(rows: np.ndarray) -> np.ndarray:
    """One vector of a sample whose rows stand for slices alone: their normalised sum.

    rows: (n, D) unit rows.
    """
    total = rows.sum(0)
    return total / max(float(np.linalg.norm(total)), 1e-12)


TASK = (
    "Given an image, summarize the provided image in one word. "
    "Given only text, describe the text in one word."
)  # fmt: skip


def prompt_turns(sample: Sample, upto: int) -> list[Turn]:
    """The one-word prompt over the first `upto` slices (METHOD.md B): its last hidden state stands for them.

    On two levels, the task in the system turn and one word asked for, as Gen2Embed found best for models that
    were never trained to embed.
    """
    part = Sample(sample.slices[:upto])
    kinds = {s.is_image for s in part}
    what = "image" if kinds == {True} and upto == 1 else "text" if kinds == {False} else "above"
    asked = part + Sample(f"\nRepresent the given {what} in one word:")
    return [Turn("system", Sample(TASK)), Turn("user", asked)]
