"""The photo model from nothing; every stage resumes from the run's folder.

    folder = train(PhotoConfig(data="DATA", out="runs/photo"))      # the checkpoint, runs/photo/model

Stages: the tokenizer is cut and the teachers' outputs are cached; the decoder learns sentences alone; then
photos, first with L_g only; at last self-critical captions beside all other losses. `start` names a
checkpoint whose last stage is wanted only. Matrices are trained by Muon, the rest by AdamW.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sugar.atomic import replacing, sweep
from sugar.errors import SettingsError
from sugar.everyday.archive import Archive
from sugar.everyday.facts import EXISTS
from sugar.everyday.scope import DESCRIBE, OUT_OF_SCOPE, REFUSAL
from sugar.model.adapters import EmbeddingHead
from sugar.model.checkpoint import read_state
from sugar.model.photo import Encode
from sugar.paths import output_folder, there
from sugar.training.optimizer import Muon, matrices
from sugar.training.photos import teachers
from sugar.training.photos.config import PROFILE, PhotoConfig
from sugar.training.photos.critical import Critic
from sugar.training.photos.export import export, parts, restore
from sugar.training.photos.material import Material, gather
from sugar.training.photos.network import FusedCrossEntropy, Network
from sugar.training.photos.objective import objective
from sugar.training.photos.packed import PackedRow, Tokens, batches
from sugar.training.photos.steps import DIFFERENCE, KIND, MATCH, draw_step
from sugar.training.photos.tokens import cut_tokenizer

__all__ = ["average", "train"]

log = logging.getLogger("sugar")


def train(
    config: PhotoConfig,
    *,
    encode: Encode | None = None,
    tower: Any = None,
    words_folder: Path | None = None,
) -> Path:
    """Train the model, or go on where `out` stopped, and export it.

    Args:
        encode, tower, words_folder: other teachers than the pip packages' (tests).
    Returns:
        The checkpoint's folder.
    """
    if not config.data:
        raise SettingsError("The photo recipe needs the folder of photos and captions. Name it with --data.")
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    out = output_folder(config.out, "--out")
    archive = Archive(there(config.data, "--data"))
    folder = words_folder or teachers.package(*teachers.SENTENCES)
    if config.start:
        tower, tokenizer, words = parts(there(config.start, "--start"))
    else:
        tower = tower or teachers.open_tower(config.dual.hidden, config.dual.size)
        tokenizer, words = cut_tokenizer(_texts(archive), folder, config.network.width)
    material = gather(
        archive,
        out,
        encode=encode or teachers.open_minilm(),
        known=set(json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]),
        tower=tower,
        config=config.dual,
        sentences=config.sentences,
        seed=config.seed,
        reads=bool(config.start),
    )
    tokens = Tokens(tokenizer, 1 + tower.config.grid**2)
    network = Network(tower, material.dual, words, config.network)
    if config.start:
        restore(network, there(config.start, "--start"))
    else:
        _learn_text(network, material, tokens, config, out / "text.pt")
        _learn_photos(network, material, tokens, config, out / "state.pt")
    _learn_captions(network, material, tokens, config, out / "captions.pt")
    export(network, tower, tokenizer, out / "model", PROFILE)
    (out / "model" / "training.json").write_text(json.dumps(asdict(config), indent=1) + "\n", "utf-8")
    return out / "model"


def _texts(archive: Archive) -> list[tuple[str, int]]:
    """What the tokenizer must know, with weights: captions, sentences, class names, questions, answers."""
    captions = [(c, 3) for name in archive.split("train") for c in archive.captions(name)]
    sentences = [(line, 1) for line in archive.lines("sentences.txt")]
    said = [REFUSAL, MATCH, DIFFERENCE, *KIND, *EXISTS, *DESCRIBE, *OUT_OF_SCOPE]
    return captions + sentences + [(text, 50) for text in [*archive.classes(), *said]]


class Schedule:
    """Muon for matrices and AdamW for the rest, under one factor of the rates."""

    def __init__(self, module: nn.Module, config: PhotoConfig) -> None:
        self.config = config
        large = matrices(module)
        known = {id(p) for p in large}
        self.rest = [p for p in module.parameters() if id(p) not in known]
        self.muon = Muon(large, lr=config.matrix_rate, weight_decay=config.matrix_decay)
        self.adam = torch.optim.AdamW(self.rest, lr=config.rate, betas=(0.9, 0.98), weight_decay=0.0)

    def step(self, loss: Tensor, factor: float) -> None:
        """One update. factor: of both rates."""
        for optimizer, rate in ((self.muon, self.config.matrix_rate), (self.adam, self.config.rate)):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.rest, 1.0)
        self.muon.step()
        self.adam.step()

    def state(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"muon": self.muon.state_dict(), "adam": self.adam.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])


def _save(path: Path, content: dict[str, Any]) -> None:
    """Write beside the old file, then replace it: an interrupted write loses nothing."""
    sweep(path.parent, path.name)
    with replacing(path) as beside:
        torch.save(content, beside)


def _learn_text(
    network: Network, material: Material, tokens: Tokens, config: PhotoConfig, path: Path
) -> None:
    """Next words of sentences, and MiniLM's vector at each one's last token; then the head turns to the
    teacher's space.
    """
    if path.is_file():
        network.load_state_dict(read_state(path))
        return
    size = material.captions.own.shape[1]
    head = EmbeddingHead(config.network.width, config.network.head_hidden, size)
    both = nn.ModuleList([network.decoder, head])
    schedule = Schedule(both, config)
    words = material.captions.words + material.sentences.words
    own = torch.cat([material.captions.own, material.sentences.own])
    for step in range(config.text_steps):
        rng = np.random.default_rng([config.seed, 1, step])
        chosen = rng.integers(0, len(words), config.texts)
        named = rng.integers(0, len(material.class_texts.words), config.classes)
        said = [words[i] for i in chosen] + [material.class_texts.words[i] for i in named]
        target = torch.cat([own[chosen], material.class_texts.own[named]])
        done = step / config.text_steps
        factor = min(1.0, (step + 1) / config.warm_up) * min(1.0, (1 - done) / 0.35)
        loss, report = _text_loss(network, head, said, target, tokens)
        schedule.step(loss, factor)
        if step % 25 == 24:
            log.info("text: step %d, %s", step + 1, report)
    with torch.no_grad():
        turn = torch.linalg.lstsq(material.captions.own, material.captions.vectors).solution  # (E, D)
        network.head.first.load_state_dict(head.first.state_dict())
        network.head.second.weight.copy_(turn.T @ head.second.weight)
        network.head.second.bias.copy_(turn.T @ head.second.bias)
    _save(path, network.state_dict())


def _text_loss(
    network: Network, head: EmbeddingHead, said: list[str], target: Tensor, tokens: Tokens
) -> tuple[Tensor, dict[str, float]]:
    rows: list[PackedRow] = []
    for number in sorted(range(len(said)), key=lambda i: len(said[i])):
        if not rows or len(rows[-1]) + len(tokens.encode(said[number])) > 110:
            rows.append(PackedRow(tokens))
        rows[-1].block().text(said[number], number, weight=1.0)
    hidden, wanted, ends = [], [], []
    keys: list[Any] = []
    for packed in batches(rows):
        states = network(packed, None, tokens.image)
        learnt = packed.following >= 0
        hidden.append(states[learnt])
        wanted.append(packed.following[learnt])
        for b, row in enumerate(packed.rows):
            ends += [states[b, span.stop - 1] for span in row.spans]
            keys += [span.key for span in row.spans]
    count = sum(map(len, wanted))
    weights = torch.full((count,), 1 / count)
    language = FusedCrossEntropy.apply(torch.cat(hidden), network.words, torch.cat(wanted), weights)
    embeddings, target = head(torch.stack(ends)), F.normalize(target[keys], dim=1)
    cosine = (embeddings * target).sum(1).mean()
    geometry = (embeddings @ embeddings.T - target @ target.T).square().mean()
    loss = 0.5 * language + 2 * (1 - cosine) + 5 * geometry
    return loss, {
        "language": float(language.detach()),
        "cosine": float(cosine.detach()),
        "geometry": float(geometry.detach()),
    }


Losses = Callable[[int], tuple[Tensor, dict[str, float]]]
"""A step's number to its loss and its report."""


def _learn_photos(
    network: Network, material: Material, tokens: Tokens, config: PhotoConfig, path: Path
) -> None:
    """The main stage: everything that a step draws, with L_g only at first."""

    def losses(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng([config.seed, step])
        drawn = draw_step(material, tokens, rng, config.step)
        discriminative = step >= config.language_steps
        return objective(network, material, drawn, tokens, config.terms, rng, discriminative=discriminative)

    _run(network, config, path, "photos", config.steps, config.warm_up, 1.0, losses)


def _learn_captions(
    network: Network, material: Material, tokens: Tokens, config: PhotoConfig, path: Path
) -> None:
    """The last stage: the model's own captions weighed by CIDEr-D, beside all that the main stage learns.

    At its end the weights are averaged with those before it (Wortsman et al. 2022, WiSE-FT).
    """
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    critic = Critic(material, tokens, config.critic)
    drawn_from = replace(config.step, captions=config.kept_captions)

    def losses(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng([config.seed, 2, step])
        drawn = draw_step(material, tokens, rng, drawn_from)
        loss, report = objective(network, material, drawn, tokens, config.terms, rng)
        own, rewarded = critic.loss(network, rng)
        return loss + own, report | rewarded

    _run(network, config, path, "captions", config.caption_steps, 10, config.last_rate, losses)
    average(network, before, config.averaged)


@torch.no_grad()
def average(network: nn.Module, before: dict[str, Tensor], share: float) -> None:
    """Keep a share in [0, 1] of what has changed since the parameters were `before`."""
    for name, value in network.named_parameters():
        value.copy_(torch.lerp(before[name], value, share))


def _run(
    network: Network,
    config: PhotoConfig,
    path: Path,
    name: str,
    steps: int,
    warm_up: int,
    peak: float,
    losses: Losses,
) -> None:
    """A stage of `steps` updates whose rate falls linearly from `peak` to 0; it resumes from `path`."""
    schedule, start = Schedule(network, config), 0
    if path.is_file():
        state = read_state(path, "network", "step", "muon", "adam")
        network.load_state_dict(state["network"])
        schedule.load(state)
        start = state["step"]
    began = time.perf_counter()
    for step in range(start, steps):
        loss, report = losses(step)
        schedule.step(loss, peak * min(1.0, (step + 1) / warm_up) * (1 - step / steps))
        if (step + 1) % 20 == 0 or step + 1 == steps:
            seconds = (time.perf_counter() - began) / (step + 1 - start)
            log.info("%s: step %d, %.2f s a step, %s", name, step + 1, seconds, report)
        if (step + 1) % config.save_every == 0 or step + 1 == steps:
            _save(path, {"network": network.state_dict(), "step": step + 1, **schedule.state()})
