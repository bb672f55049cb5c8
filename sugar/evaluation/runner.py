"""Run one benchmark: items -> predictions -> the official score.

    result = run(benchmark, model, data=Path("coco"), out=Path("runs/evaluation"))
    result = rescore(benchmark, data=Path("coco"), predictions=Path("predictions.jsonl"))     # no model
    result = measure(benchmark, model)                                                        # no files

Predictions are appended to `OUT/NAME-MODEL/predictions.jsonl` as they come; a run that was killed goes on
after the last whole line. Under `accelerate launch` every process takes each n-th item and the first process
scores them all. Embeddings are kept by content and model, so that a picture is embedded once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sugar.atomic import write_whole
from sugar.errors import InputError, SettingsError
from sugar.evaluation.benchmark import Benchmark, Match, Part, Pool, Query, Question, content, flat
from sugar.evaluation.provenance import provenance
from sugar.metrics.retrieval import ranks
from sugar.sequence import Sample
from sugar.text_files import read_json_rows, word

CHUNK = 64
"""Questions answered between two writes: what a kill can cost."""
KEY_BYTES = 32
BATCH = 256
"""Samples that are embedded between two writes."""

Prediction = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """figures: in percent, as the task's `score` gives them. row: what the results file keeps."""

    figures: dict[str, float]
    row: dict[str, Any]
    predictions: Path


@dataclass(frozen=True)
class Measured:
    """What a benchmark asked, what the model gave for it, and the figures, without files."""

    items: list[Any]
    predictions: list[Prediction]
    figures: dict[str, float]


class Processes:
    """This process and its siblings under `accelerate launch`, each on a card of its own; one process
    otherwise. Met before a model is opened."""

    def __init__(self) -> None:
        import torch
        from accelerate import PartialState

        self.state = PartialState(cpu=not torch.cuda.is_available())
        self.rank, self.count = self.state.process_index, self.state.num_processes

    def wait(self) -> None:
        self.state.wait_for_everyone()


def run(
    benchmark: Benchmark,
    model: Any,
    *,
    data: Path,
    out: Path,
    limit: int | None = None,
    available: bool = False,
    quiet: bool = False,
) -> Result:
    """Answer what is not answered yet, then score.

    Args:
        limit: the first N items (of a pool: queries).
        available: leave out the items whose pictures are not in the folder. The row says how many were left.

    Raises:
        SettingsError: files or pictures are missing. ImageError: a picture cannot be read.
    """
    items = read(benchmark, data, limit=limit, available=available)
    processes = Processes()
    folder = out / f"{benchmark.name}-{re.sub(r'[^A-Za-z0-9._-]', '_', Path(model.name).name)}"
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "model": model.fingerprint,
        "limit": limit,
        "available": available,
        "data": data_hash(benchmark, data),
    }
    with processes.state.main_process_first():
        _same_run(folder, about)
    suffix = "" if processes.count == 1 else f"-{processes.rank}of{processes.count}"
    own = folder / f"predictions{suffix}.jsonl"
    write_predictions(own, read_predictions(own))  # without a line that a kill cut short
    store = VectorStore(model, out / "vectors", suffix)
    known = {p["key"] for file in folder.glob("predictions*.jsonl") for p in read_predictions(file)}
    waiting = only(items, set(keys_of(items)[processes.rank :: processes.count]) - known)
    began = time.perf_counter()
    with own.open("a", encoding="utf-8") as file:
        for prediction in predict(benchmark, model, waiting, store, data, quiet=quiet or processes.rank > 0):
            file.write(json.dumps(prediction, ensure_ascii=False) + "\n")
            file.flush()
    processes.wait()
    merged = folder / "predictions.jsonl"
    found = {
        p["key"]: p for file in sorted(folder.glob("predictions*.jsonl")) for p in read_predictions(file)
    }
    ordered = [found[key] for key in keys_of(items)]
    figures = benchmark.score(items, ordered)
    row = {
        "benchmark": benchmark.name,
        "items": len(ordered),
        "limit": limit,
        "available": available,
        "figures": {k: round(v, 3) for k, v in figures.items()},
        "seconds": round(time.perf_counter() - began, 1),
        "data": data_hash(benchmark, data),
        **provenance(model),
    }
    if processes.rank == 0:
        write_predictions(merged, ordered)
        if benchmark.export is not None:
            benchmark.export(items, ordered, folder)
        with (out / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    processes.wait()
    return Result(figures, row, merged)


def read(benchmark: Benchmark, data: Path, *, limit: int | None, available: bool) -> list[Any]:
    """The items to run. Raises SettingsError that names a missing file or picture and the remedy."""
    benchmark.source.check(data)
    items = list(benchmark.read(data))
    if available:
        items = [item for item in map(with_pictures, items) if item is not None]
    elif lacking := next((p for item in items for p in pictures(item) if not p.is_file()), None):
        raise SettingsError(
            f"The picture {lacking} is missing. Put it there, or give --available to run on the items "
            "whose pictures are there."
        )
    if not items:
        raise SettingsError(f"No item of {benchmark.title} has its files in {data}.")
    return limited(items, limit)


def pictures(item: Any) -> list[Path]:
    """The picture files that an item names."""
    if isinstance(item, Pool):
        named = [q.parts for q in item.queries] + [s for each in item.candidates.values() for s in each]
        return [p for parts in named for p in parts if isinstance(p, Path)]
    return [p for p in (item.pictures if isinstance(item, Match) else item.parts) if isinstance(p, Path)]


def with_pictures(item: Any) -> Any:
    """The item if its pictures are there, a pool without what lacks its pictures, or None."""
    if not isinstance(item, Pool):
        return item if all(p.is_file() for p in pictures(item)) else None

    def there(parts: Sequence[Any]) -> bool:
        return all(p.is_file() for p in parts if isinstance(p, Path))

    candidates = {name: samples for name, samples in item.candidates.items() if all(map(there, samples))}
    queries = tuple(q for q in item.queries if there(q.parts) and q.right <= candidates.keys())
    answered = {name for q in queries for name in q.right}
    kept = {n: s for n, s in candidates.items() if n in answered or isinstance(s[0][0], Path)}
    return replace(item, queries=queries, candidates=kept) if queries else None


def rescore(
    benchmark: Benchmark, *, data: Path, predictions: Path, limit: int | None = None, available: bool = False
) -> dict[str, float]:
    """The score of saved predictions, without a model. What is wrong with the file is said on stderr.

    Raises SettingsError when one is missing.
    """
    items = read(benchmark, data, limit=limit, available=available)
    found = by_key(predictions)
    lacking = [key for key in keys_of(items) if key not in found]
    if lacking:
        raise SettingsError(
            f"{predictions} has no prediction for {len(lacking)} of {len(keys_of(items))} items, "
            f"{lacking[0]!r} first. Finish the run, or give the --limit that it was made with."
        )
    return benchmark.score(items, [found[key] for key in keys_of(items)])


def limited(items: Sequence[Any], limit: int | None) -> list[Any]:
    """The first N items; of each pool, the first N queries."""
    if limit is None:
        return list(items)
    if items and isinstance(items[0], Pool):
        return [replace(pool, queries=pool.queries[:limit]) for pool in items]
    return list(items[:limit])


def keys_of(items: Sequence[Any]) -> list[str]:
    """Keys of all predictions that the items ask for, in order."""
    return [item.key for item in flat(items)]


def only(items: Sequence[Any], keys: set[str]) -> list[Any]:
    """The items with these keys, and the pools with these queries."""
    out = []
    for item in items:
        if isinstance(item, Pool):
            if queries := tuple(q for q in item.queries if q.key in keys):
                out.append(replace(item, queries=queries))
        elif item.key in keys:
            out.append(item)
    return out


def by_key(path: Path) -> dict[str, dict[str, Any]]:
    """The predictions of a file that a person hands in. What is wrong with it is said on stderr."""
    notes: list[str] = []
    found = {p["key"]: p for p in read_predictions(path, notes)}
    for note in notes:
        print(f"{path}: {note}", file=sys.stderr)
    return found


def read_predictions(path: Path, notes: list[str] | None = None) -> list[dict[str, Any]]:
    """The whole lines of a predictions file, each with a key; a line that a kill cut short is left out.

    A text that is null is an empty answer. notes: takes what is wrong with the file, a sentence each.
    """
    if not path.is_file():
        return []
    try:
        rows = read_json_rows(path.read_bytes())
    except InputError as error:
        raise SettingsError(f"{path}: {error}") from error
    refused, out, silent = list(rows.refused), [], 0
    for number, row in rows.rows:
        key = word(row.get("key")) if isinstance(row, dict) else None
        if key is None or len(row) < 2:
            refused.append((number, "This is no prediction: a JSON object with a key, and a text or scores."))
            continue
        row["key"] = key
        if "text" in row and not isinstance(row["text"], str):
            row["text"] = word(row["text"]) or ""
            silent += not row["text"]
        out.append(row)
    if notes is not None:
        counts = Counter(row["key"] for row in out)
        twice = [key for key, count in counts.items() if count > 1]
        notes += rows.notes
        if refused:
            number, why = min(refused)
            notes.append(f"{len(refused):,} of its lines cannot be read, line {number} first: {why}")
        if twice:
            notes.append(f"{len(twice):,} keys occur twice, {twice[0]!r} first; the last one counts.")
        if silent:
            notes.append(f"{silent:,} predictions have no text; they are scored as empty answers.")
    return out


def write_predictions(path: Path, predictions: Sequence[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(p, ensure_ascii=False) + "\n" for p in predictions)
    write_whole(path, lines.encode(errors="backslashreplace"))


def data_hash(benchmark: Benchmark, data: Path) -> str:
    """A hash of the annotation files' content (folders by name only)."""
    digest = hashlib.sha256()
    for name in sorted(benchmark.source.files):
        path = data / name
        digest.update(name.encode() + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()[:16]


def _same_run(folder: Path, about: dict[str, Any]) -> None:
    """Raises SettingsError when the folder holds predictions of another model, limit or data."""
    path = folder / "run.json"
    if path.is_file() and json.loads(path.read_text("utf-8")) != about:
        raise SettingsError(
            f"{folder} holds predictions of another run ({path.read_text('utf-8')}). Use another --out."
        )
    path.write_text(json.dumps(about), "utf-8")


# -- the loops: what is asked of the model, batched ---------------------------------------------------------


def measure(benchmark: Benchmark, model: Any, *, quiet: bool = True) -> Measured:
    """Answer everything and score it, without files."""
    items, nowhere = list(benchmark.read(Path())), VectorStore(model)
    found = {p["key"]: p for p in predict(benchmark, model, items, nowhere, Path(), quiet=quiet)}
    predictions = [found[key] for key in keys_of(items)]
    return Measured(items, predictions, benchmark.score(items, predictions))


def predict(
    benchmark: Benchmark,
    model: Any,
    items: Sequence[Any],
    store: VectorStore,
    data: Path,
    *,
    quiet: bool,
) -> Iterator[Prediction]:
    """The predictions of the items, one kind of item after the other."""
    from tqdm import tqdm

    with tqdm(total=len(keys_of(items)), disable=quiet, desc=benchmark.name) as bar:
        for kind in dict.fromkeys(map(type, items)):
            own: list[Any] = [item for item in items if type(item) is kind]
            if kind is Question:
                found = _answers(model, benchmark.augment(model, data, own) if benchmark.augment else own)
            elif kind is Match:
                found = _matches(model, own, store)
            elif kind is Pool:
                found = _ranks(own, store)
            else:
                assert benchmark.predict is not None, f"{benchmark.name} has items of a kind of its own"
                found = benchmark.predict(model, data, own)
            for prediction in found:
                yield prediction
                bar.update()


def _answers(model: Any, questions: Sequence[Question]) -> Iterator[Prediction]:
    """The greedy answer to each question."""
    for start in range(0, len(questions), CHUNK):
        chunk = questions[start : start + CHUNK]
        for tokens in sorted({q.tokens for q in chunk}):
            same = [q for q in chunk if q.tokens == tokens]
            samples = [asked(model, q) for q in same]
            said = model.generator.answers(samples, max_new_tokens=tokens, adapter=model.adapter)
            for question, text in zip(same, said, strict=True):
                yield {"key": question.key, "text": text}


def asked(model: Any, question: Question) -> Sample:
    """The sample that this model is given: its own caption request, or the paper's instruction where it
    follows one.
    """
    parts = list(question.parts)
    if not isinstance(parts[-1], str):
        parts.append(model.profile.describe)
    elif question.instruction and model.profile.instructed:
        parts[-1] = f"{parts[-1]}\n{question.instruction}"
    return content(parts)


def _matches(model: Any, items: Sequence[Match], store: VectorStore) -> Iterator[Prediction]:
    """Every caption with every picture: log odds of yes, or cosines, then also of the captions themselves."""
    by_cosine = [i for i in items if not i.yes_no]
    store.embed([(p,) for i in by_cosine for p in (*i.pictures, *i.captions)])
    for item in by_cosine:
        pictures = store.embed([(p,) for p in item.pictures]).astype(np.float64)
        captions = store.embed([(c,) for c in item.captions]).astype(np.float64)
        scores = (captions @ pictures.T).tolist()  # (captions, pictures)
        yield {"key": item.key, "scores": scores, "texts": (captions @ captions.T).tolist()}
    by_answer = [i for i in items if i.yes_no]
    for start in range(0, len(by_answer), CHUNK):
        chunk = by_answer[start : start + CHUNK]
        pairs = [(p, i.yes_no.replace("{caption}", c)) for i in chunk for c in i.captions for p in i.pictures]
        odds = iter(model.log_odds([content(parts) for parts in pairs]))
        for item in chunk:
            yield {
                "key": item.key,
                "scores": [[float(next(odds)) for _ in item.pictures] for _ in item.captions],
            }


def _ranks(pools: Sequence[Pool], store: VectorStore) -> Iterator[Prediction]:
    """Per query the rank of its best right candidate, 0 = first, ties against it, and how many tie."""
    samples = [[parts for each in pool.candidates.values() for parts in each] for pool in pools]
    store.embed([*(parts for own in samples for parts in own), *(q.parts for p in pools for q in p.queries)])
    for pool, own in zip(pools, samples, strict=True):
        names = list(pool.candidates)
        owners = np.repeat(np.arange(len(names)), [len(pool.candidates[name]) for name in names])
        vectors = np.zeros((len(names), store.dimension))
        np.add.at(vectors, owners, store.embed(own).astype(np.float64))
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        position = {name: i for i, name in enumerate(names)}
        for start in range(0, len(pool.queries), CHUNK):
            chunk = pool.queries[start : start + CHUNK]
            similarity = store.embed([q.parts for q in chunk]).astype(np.float64) @ vectors.T
            for query, row in zip(chunk, similarity, strict=True):
                yield _rank(query, row, position)


def _rank(query: Query, row: np.ndarray, position: dict[str, int]) -> Prediction:
    row[[position[n] for n in query.without if n in position]] = -np.inf
    right = np.zeros(len(row), bool)
    right[[position[n] for n in query.right]] = True
    best = row[right].max()
    return {
        "key": query.key,
        "rank": int(ranks(row[None], right[None])[0]),
        "ties": int((~right & (row == best)).sum()),
        "pool": int(np.isfinite(row).sum()),
    }


class VectorStore:
    """Embeddings by content, in memory, and on disk where there is a folder.

        store = VectorStore(model, Path("runs/vectors"))
        vectors = store.embed([("a dog",), (path,)])        # (N, D) float32 unit rows

    One file a model's fingerprint: records of a SHA-256 key and D float32 values, appended; a record that a
    kill cut short is dropped at the next start. suffix: each process has a file of its own. Raises ModelError
    when there is a folder and the model has no fingerprint (it lives in memory only).
    """

    def __init__(self, model: Any, folder: Path | None = None, suffix: str = "") -> None:
        self.model, self.dimension = model, int(model.dimension)
        self.path = None if folder is None else folder / f"{model.fingerprint}{suffix}.vectors"
        self._known: dict[bytes, np.ndarray] = {}
        self._file_keys: dict[Path, bytes] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for file in sorted(folder.glob(f"{model.fingerprint}*.vectors")):
                self._read(file)

    def __len__(self) -> int:
        return len(self._known)

    def _read(self, file: Path) -> None:
        size = KEY_BYTES + 4 * self.dimension
        data = file.read_bytes()
        for start in range(0, len(data) // size * size, size):
            row = np.frombuffer(data, np.float32, self.dimension, start + KEY_BYTES)
            self._known[data[start : start + KEY_BYTES]] = row
        if file == self.path and len(data) % size:
            os.truncate(file, len(data) // size * size)

    def _key(self, parts: Sequence[Part]) -> bytes:
        digest = hashlib.sha256()
        for part in parts:
            if isinstance(part, str):
                digest.update(b"t" + hashlib.sha256(part.encode()).digest())
            elif isinstance(part, bytes):
                digest.update(b"i" + hashlib.sha256(part).digest())
            else:
                if part not in self._file_keys:
                    self._file_keys[part] = hashlib.sha256(part.read_bytes()).digest()
                digest.update(b"i" + self._file_keys[part])
        return digest.digest()

    def embed(self, samples: Sequence[Sequence[Part]]) -> np.ndarray:
        """(N, D) float32 pooled vectors, each distinct sample embedded once."""
        keys = [self._key(parts) for parts in samples]
        new = {key: parts for key, parts in zip(keys, samples, strict=True) if key not in self._known}
        waiting = list(new.items())
        for start in range(0, len(waiting), BATCH):
            chosen = waiting[start : start + BATCH]
            rows = self.model.embed([content(parts) for _, parts in chosen]).pooled.astype(np.float32)
            self._known |= zip((key for key, _ in chosen), rows, strict=True)
            if self.path is not None:
                with self.path.open("ab") as file:
                    file.writelines(key + row.tobytes() for (key, _), row in zip(chosen, rows, strict=True))
        return np.stack([self._known[key] for key in keys]) if keys else np.zeros((0, self.dimension), "f4")
