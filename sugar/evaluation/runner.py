"""Run one benchmark: items -> predictions on disk -> the official score.

    result = run(benchmark, model, data=Path("coco"), out=Path("runs/evaluation"))
    result = rescore(benchmark, data=Path("coco"), predictions=Path("predictions.jsonl"))     # no model

Predictions are appended to `OUT/NAME-MODEL/predictions.jsonl` as they come; a run that was killed goes on
after the last
whole line. Under `accelerate launch` every process takes each n-th item and the first process scores them
all.
"""

from __future__ import annotations

import hashlib
import json
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
from sugar.evaluation import loops
from sugar.evaluation.benchmark import Benchmark, Match, Pool, Question, content
from sugar.evaluation.provenance import provenance
from sugar.evaluation.vectors import VectorStore
from sugar.metrics import ranks
from sugar.sequence import Sample
from sugar.text_files import read_json_rows, word

CHUNK = 64
"""Questions answered between two writes: what a kill can cost."""


@dataclass(frozen=True)
class Result:
    """figures: in percent, as the task's `score` gives them. row: what the results file keeps."""

    figures: dict[str, float]
    row: dict[str, Any]
    predictions: Path


class Processes:
    """This process and its siblings under `accelerate launch`, each on a card of its own; one process
    otherwise. Met before a model is opened."""

    def __init__(self) -> None:
        import torch
        from accelerate import PartialState

        self.state = PartialState(cpu=not torch.cuda.is_available())
        self.rank, self.count = self.state.process_index, self.state.num_processes

    def own(self, items: Sequence[Any]) -> list[Any]:
        return list(items[self.rank :: self.count])

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
    store = VectorStore(out / "vectors", model, suffix)
    known = {p["key"] for file in folder.glob("predictions*.jsonl") for p in read_predictions(file)}
    began = time.perf_counter()
    with own.open("a", encoding="utf-8") as file:
        for prediction in _predict(benchmark, model, data, items, known, processes, store, quiet):
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
    if limit is None:
        return list(items)
    if items and isinstance(items[0], Pool):
        return [replace(pool, queries=pool.queries[:limit]) for pool in items]
    return list(items[:limit])


def keys_of(items: Sequence[Any]) -> list[str]:
    """Keys of all predictions that the items ask for, in order."""
    return [k for i in items for k in ([q.key for q in i.queries] if isinstance(i, Pool) else [i.key])]


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
        if key is None or row.keys().isdisjoint(("text", "scores", "rank")):
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


def _predict(
    benchmark: Benchmark,
    model: Any,
    data: Path,
    items: Sequence[Any],
    known: set[str],
    processes: Processes,
    store: VectorStore,
    quiet: bool,
) -> Iterator[dict[str, Any]]:
    from tqdm import tqdm

    total = len(keys_of(items))
    with tqdm(
        total=total, initial=len(known), disable=quiet or processes.rank > 0, desc=benchmark.name
    ) as bar:
        if items and isinstance(items[0], Question):
            waiting = [i for i in processes.own(items) if i.key not in known]
            if benchmark.augment is not None and waiting:
                waiting = benchmark.augment(model, data, waiting)
            yield from _answers(model, waiting, bar)
        elif items and isinstance(items[0], Match):
            yield from _matches([i for i in processes.own(items) if i.key not in known], store, bar)
        else:
            for pool in items:
                waiting = [q for q in processes.own(pool.queries) if q.key not in known]
                yield from _ranks(replace(pool, queries=tuple(waiting)), store, bar)


def _answers(model: Any, questions: Sequence[Question], bar: Any) -> Iterator[dict[str, Any]]:
    for start in range(0, len(questions), CHUNK):
        chunk = questions[start : start + CHUNK]
        for tokens in sorted({q.tokens for q in chunk}):
            same = [q for q in chunk if q.tokens == tokens]
            said = loops.generate(model, [asked(model, q) for q in same], max_new_tokens=tokens)
            for question, text in zip(same, said, strict=True):
                yield {"key": question.key, "text": text}
        bar.update(len(chunk))


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


def _matches(items: Sequence[Match], store: VectorStore, bar: Any) -> Iterator[dict[str, Any]]:
    """Cosines of every picture with every caption, and of the captions with each other."""
    for start in range(0, len(items), CHUNK):
        chunk = items[start : start + CHUNK]
        samples: list[tuple[Any, ...]] = [(p,) for i in chunk for p in (*i.pictures, *i.captions)]
        rows = iter(store.embed(samples).astype(np.float64))
        for item in chunk:
            pictures = np.stack([next(rows) for _ in item.pictures])
            captions = np.stack([next(rows) for _ in item.captions])
            yield {
                "key": item.key,
                "scores": (captions @ pictures.T).tolist(),  # (captions, pictures)
                "texts": (captions @ captions.T).tolist(),
            }
        bar.update(len(chunk))


def _ranks(pool: Pool, store: VectorStore, bar: Any) -> Iterator[dict[str, Any]]:
    """Per query the rank of its best right candidate, 0 = first, ties against it, and how many tie."""
    if not pool.queries:
        return
    names = list(pool.candidates)
    samples = [parts for name in names for parts in pool.candidates[name]]
    owners = np.repeat(np.arange(len(names)), [len(pool.candidates[name]) for name in names])
    vectors = np.zeros((len(names), store.dimension))
    np.add.at(vectors, owners, store.embed(samples).astype(np.float64))
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    position = {name: i for i, name in enumerate(names)}
    for start in range(0, len(pool.queries), CHUNK):
        chunk = pool.queries[start : start + CHUNK]
        similarity = store.embed([q.parts for q in chunk]).astype(np.float64) @ vectors.T
        for query, row in zip(chunk, similarity, strict=True):
            row[[position[n] for n in query.without if n in position]] = -np.inf
            right = np.zeros(len(names), bool)
            right[[position[n] for n in query.right]] = True
            best = row[right].max()
            yield {
                "key": query.key,
                "rank": int(ranks(row[None], right[None])[0]),
                "ties": int((~right & (row == best)).sum()),
                "pool": int(np.isfinite(row).sum()),
            }
        bar.update(len(chunk))
