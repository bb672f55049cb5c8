"""A dual encoder over frozen features as teachers: small enough to train on one's own captions in minutes.

    save_dual(folder, tower, texts, sentences)        # what training made
    encoders = DualEncoders.open(folder)
    part1, part2 = encoders.encode([picture_slice, text_slice])

Part 1 compares within a modality: the tower's standardised features, or the sentence encoder's vector. Part
2 compares across: the tower's aligned reading, or the text network's. Not covered: training (../dual.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from sugar.errors import ModelError
from sugar.model.checkpoint import read_tensors
from sugar.model.efficientnet import EfficientNetLite, register
from sugar.model.sentences import open_sentences
from sugar.sequence import Slice
from sugar.training.data.example import Example

TOWER, SENTENCES, TEXTS = "tower", "sentences", "texts.safetensors"


class TextNetwork(nn.Module):
    """Sentence vectors into the space of the tower's aligned reading: two layers beside a linear map."""

    SCALE = 20.0

    def __init__(self, size: int, hidden: int, out: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(size, hidden), nn.Linear(hidden, out)
        self.skip = nn.Linear(size, out)
        self.dropout = dropout

    def forward(self, v: Tensor) -> Tensor:
        """(..., size) unit rows to (..., out) unit rows."""
        v = v * self.SCALE
        y = F.gelu(self.first(F.dropout(v, 0.3 * self.dropout, self.training)))
        return F.normalize(self.second(F.dropout(y, self.dropout, self.training)) + self.skip(v), dim=-1)


def save_dual(folder: Path, tower: EfficientNetLite, texts: TextNetwork, sentences: Path) -> None:
    """Write the folder. sentences: the folder of the sentence encoder."""
    folder.mkdir(parents=True, exist_ok=True)
    tower.save_pretrained(folder / TOWER)
    shutil.copytree(sentences, folder / SENTENCES, dirs_exist_ok=True)
    save_file({k: v.contiguous() for k, v in texts.state_dict().items()}, folder / TEXTS)


def pixels_of(images: Sequence[Image.Image], side: int) -> Tensor:
    """The tower's input (B, 3, side, side), (value - 127) / 128."""
    rgb = [np.asarray(i.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)) for i in images]
    return ((torch.from_numpy(np.stack(rgb)).float() - 127) / 128).permute(0, 3, 1, 2)


class DualEncoders:
    """The encoder set of a folder."""

    cached = True

    def __init__(self, folder: Path, tower: EfficientNetLite, texts: TextNetwork, name: str) -> None:
        self.tower, self.texts, self.name = tower, texts, name
        self.sentences = open_sentences(folder / SENTENCES)
        self.widths = (tower.config.features, tower.config.aligned_size)

    @classmethod
    def open(cls, folder: Path) -> DualEncoders:
        """Raises ModelError when the folder is not one of `save_dual`."""
        register()
        weights = read_tensors(folder / TEXTS)
        try:
            size, hidden, out = (
                weights[n].shape[i] for n, i in (("first.weight", 1), ("first.weight", 0), ("skip.weight", 0))
            )
            texts = TextNetwork(size, hidden, out)
            texts.load_state_dict(weights)
            tower = EfficientNetLite.from_pretrained(
                folder / TOWER, local_files_only=True, use_safetensors=True
            )
        except (KeyError, RuntimeError, OSError, ValueError) as error:
            raise ModelError(
                f"{folder} is not a dual encoder ({error}). Train one with `--recipe dual`."
            ) from error
        mark = f"{float(tower.aligned_first.weight.sum()):.6g}{float(texts.first.weight.sum()):.6g}"
        name = "dual-" + "".join(c for c in mark if c.isalnum())
        return cls(folder, tower.eval().requires_grad_(False), texts.eval().requires_grad_(False), name)

    def learn(self, examples: Iterable[Example]) -> None:
        """Nothing: these encoders are frozen."""

    @torch.inference_mode()
    def encode(self, slices: Sequence[Slice]) -> tuple[np.ndarray, np.ndarray]:
        """Unit rows of slices, each encoded alone: (n, features), zero-padded for texts, and (n, aligned)."""
        part1 = np.zeros((len(slices), self.widths[0]), np.float32)
        part2 = np.zeros((len(slices), self.widths[1]), np.float32)
        pictures = [n for n, s in enumerate(slices) if s.is_image]
        texts = [n for n, s in enumerate(slices) if not s.is_image]
        if pictures:
            pixels = pixels_of([slices[n].image for n in pictures], self.tower.config.image_size)
            x = self.tower.cells(pixels).mean((2, 3))
            part1[pictures] = F.normalize((x - self.tower.usual) / self.tower.spread, dim=1).numpy()
            aligned = self.tower.aligned_second(F.gelu(self.tower.aligned_first(x)))
            part2[pictures] = F.normalize(aligned, dim=1).numpy()
        if texts:
            own = torch.from_numpy(self.sentences([slices[n].text for n in texts])).float()
            part1[np.array(texts)[:, None], np.arange(own.shape[1])] = F.normalize(own, dim=1).numpy()
            part2[texts] = self.texts(F.normalize(own, dim=1)).numpy()
        return part1, part2
