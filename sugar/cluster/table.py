"""A set of photos as one Lance table: its columns, what is committed, its indices, deletion.

    table = opened(uri) or created(uri, facts)           # a lance.LanceDataset
    table = append(table, fragments)                     # what workers wrote becomes part of the set, at once
    quality = finish(table)                              # copies go, small files merge, indices, recall@10
    delete(uri, ids); compact(uri)                       # out of every search at once; then out of every file

A row without `error` is a picture. Its `id` is the SHA-256 of the source's bytes, and its row id, which stays
through compaction, is the number by which the app names it. Not covered: embedding (job.py), searching
(collection.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from sugar import paths
from sugar.cluster.sources import library
from sugar.errors import GalleryError, SettingsError

EXACT = 5_000
"""Rows up to which every vector is compared: an index would not be faster."""

AIM = 0.95
"""recall@10 against the exact search that an index must reach."""

HELD_OUT = 1_000
_EFFORTS = ((1, 2), (2, 2), (4, 2), (4, 4), (8, 4), (8, 8), (16, 8), (32, 16))
"""(64ths of the lists that are probed, how many times k vectors are read and compared exactly)."""

_WORDS = {"base_tokenizer": "whitespace", "stem": True, "remove_stop_words": False, "ascii_folding": False}
_INDICES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("words", "INVERTED", {"with_position": True, **_WORDS}),
    ("id", "BTREE", {}),
    ("taken", "BTREE", {}),
    ("name_folded", "NGRAM", {}),
    ("caption_folded", "NGRAM", {}),
)
"""BM25 over names, captions and dates; sorted ids and times; trigrams for parts of names and captions."""

_KEY, _TUNED = b"sugar", "sugar.tuned"
PICTURES = "error IS NULL"


@dataclass(frozen=True)
class Facts:
    """What holds for all rows. source: where the pictures lie; side: pixels that the model was given.

    ocr: the text in the pictures was read.
    """

    model: str
    fingerprint: str
    dimension: int
    source: str
    side: int
    keep_location: bool
    ocr: bool = False


@dataclass(frozen=True)
class Quality:
    """How the set is searched: lists probed, refinement, and recall@10 over `queries` held-out ones.

    lists is 0 where every vector is compared.
    """

    lists: int = 0
    probes: int = 0
    refine: int = 1
    recall: float = 1.0
    queries: int = 0


def columns(facts: Facts) -> Any:
    """The Arrow schema of a set."""
    pa = library("pyarrow")
    text, number = pa.string(), pa.int32()
    fields = [
        ("id", text),
        ("source", text),
        ("place", pa.int64()),
        ("seen", pa.int64()),
        ("bytes", pa.int64()),
    ]
    fields += [("name", text), ("width", number), ("height", number), ("format", text), ("camera", text)]
    fields += [("taken", pa.timestamp("s")), ("day_from_name", pa.bool_()), ("caption", text)]
    fields += [("latitude", pa.float64()), ("longitude", pa.float64())]
    fields += [("name_folded", text), ("caption_folded", text), ("words", text)]
    fields += [("text", text)] if facts.ocr else []
    fields += [("vector", pa.list_(pa.float16(), facts.dimension)), ("slices", pa.binary())]
    fields += [("signature", pa.binary(192)), ("fingerprint", text), ("error", text)]
    return pa.schema(fields, metadata={_KEY: json.dumps(vars(facts)).encode()})


def opened(uri: str) -> Any | None:
    """The table there; None where there is none. Raises GalleryError: something else is there."""
    lance = library("lance")
    try:
        table = lance.dataset(uri)
    except (ValueError, OSError, FileNotFoundError) as error:
        if "not found" in str(error).lower():
            return None
        raise GalleryError(
            f"The collection {paths.shown(uri)} cannot be opened: {str(error)[:200]}"
        ) from error
    if _KEY not in (table.schema.metadata or {}):
        raise GalleryError(f"{paths.shown(uri)} is a Lance table of another program, not a collection.")
    return table


def existing_table(uri: str) -> Any:
    """The table there. Raises GalleryError: there is none."""
    if (table := opened(uri)) is None:
        raise GalleryError(
            f"There is no collection at {paths.shown(uri)}. Make one with: python -m sugar index --engine ray"
        )
    return table


def created(uri: str, facts: Facts) -> Any:
    """The table of these facts, new or as it was left.

    Raises SettingsError: another model made it, it was made in another way, or none can be written there.
    """
    table = opened(uri)
    if table is None:
        lance, empty = library("lance"), columns(facts).empty_table()
        try:
            return lance.write_dataset(empty, uri, enable_stable_row_ids=True)
        except OSError as error:
            raise SettingsError(
                f"No collection can be written at {paths.shown(uri)}: {str(error)[:200]}"
            ) from error
    known = facts_of(table)
    for key, own in vars(known).items():
        if (asked := getattr(facts, key)) != own and key != "model":
            raise SettingsError(
                f"The collection {paths.shown(uri)} has {key} {own!r}, and now it is {asked!r}. "
                "One collection holds one model's vectors, made in one way: name another --out."
            )
    return table


def facts_of(table: Any) -> Facts:
    """What its rows have in common. Raises GalleryError: a newer program wrote it."""
    try:
        return Facts(**json.loads(table.schema.metadata[_KEY]))
    except (TypeError, ValueError) as error:
        raise GalleryError("The collection was made by another version of Sugar. Use that one.") from error


def tuned(table: Any) -> Quality:
    """How it is to be searched."""
    found = table.metadata.get(_TUNED)
    return Quality(**json.loads(found)) if found else Quality()


def append(table: Any, fragments: Sequence[str]) -> Any:
    """Make fragments that workers wrote part of the table, in one commit. Returns the newer table."""
    lance = library("lance")
    found = [library("lance.fragment").FragmentMetadata.from_json(f) for f in fragments]
    if not found:
        return table
    return lance.LanceDataset.commit(table, lance.LanceOperation.Append(found), read_version=table.version)


def short(ids: Iterable[str]) -> np.ndarray:
    """(n,) S16: the first half of SHA-256 sums, which is enough to tell them apart."""
    return np.array([bytes.fromhex(i[:32]) for i in ids], "S16")


def ids_of(table: Any) -> tuple[np.ndarray, np.ndarray]:
    """(ids as `short`, `seen`) of all rows, in their order."""
    ids, seen = [np.zeros(0, "S16")], [np.zeros(0, np.int64)]
    for batch in table.scanner(columns=["id", "seen"]).to_batches():
        ids.append(short(batch["id"].to_pylist()))
        seen.append(batch["seen"].to_numpy())
    return np.concatenate(ids), np.concatenate(seen)


def finish(table: Any, *, anew: bool = False) -> Quality:
    """Put a table in order after a run: one row a picture, large files, all rows in the indices.

    anew: build the indices again, as after a deletion. That of the vectors is built again too where recall@10
    over held-out queries is below the aim.
    """
    _delete(table, "_rowid", _again(table).tolist())
    table.optimize.compact_files()
    table.cleanup_old_versions(timedelta(hours=1))  # open apps look for the newest
    there = set() if anew else {index.name for index in table.describe_indices()}
    if there:
        table.optimize.optimize_indices()
    vectors, quality = table.count_rows(PICTURES), tuned(table)
    for column, kind, how in _INDICES if vectors else ():
        if column not in there:
            table.create_scalar_index(column, kind, name=column, replace=True, **how)
    if vectors <= EXACT:
        return _keep(table, Quality())
    if "vector" in there and vectors <= 4_000 * quality.lists:
        quality = _tune(table, quality.lists)
        if quality.recall >= AIM:
            return _keep(table, quality)
    lists = max(16, int(np.sqrt(vectors)))
    table.create_index("vector", "IVF_RQ", name="vector", metric="dot", num_partitions=lists, replace=True)
    return _keep(table, _tune(table, lists))


def _again(table: Any) -> np.ndarray:
    """Row ids of pictures that an earlier row shows, and of places that a later row shows otherwise."""
    rows = table.to_table(columns=["id", "source", "place"], with_row_id=True)
    latest = rows.group_by(["source", "place"]).aggregate([("_rowid", "max")])["_rowid_max"]
    rows = rows.filter(library("pyarrow.compute").is_in(rows["_rowid"], latest.combine_chunks()))
    first = rows.group_by("id").aggregate([("_rowid", "min")])["_rowid_min"]
    return np.setdiff1d(table.to_table(columns=[], with_row_id=True)["_rowid"], first)


def _keep(table: Any, quality: Quality) -> Quality:
    table.update_metadata({_TUNED: json.dumps(vars(quality))})
    return quality


def neighbours(
    table: Any,
    query: np.ndarray,
    k: int,
    quality: Quality,
    where: str = "",
    exact: bool = False,
    columns: Sequence[str] = (),
) -> Any:
    """An Arrow table of _rowid and _distance of the k best, best first. query: (D,), or (Q, D) for each."""
    near: dict[str, Any] = {"column": "vector", "q": query.astype(np.float32), "k": k}
    if exact or not quality.lists:
        near["use_index"] = False
    else:
        near |= {"nprobes": quality.probes, "refine_factor": quality.refine}
    how = {"filter": where, "prefilter": True} if where else {}
    return table.scanner(columns=["_rowid", "_distance", *columns], nearest=near, **how).to_table()


def _each(table: Any, queries: np.ndarray, k: int, quality: Quality) -> list[list[int]]:
    """The row ids of the k best of each query, (Q, D), best first."""
    found: list[list[int]] = [[] for _ in queries]
    for at in range(0, len(queries), 100):
        rows = neighbours(table, queries[at : at + 100], k, quality, columns=["query_index"]).to_pylist()
        for row in sorted(rows, key=lambda r: r["_distance"]):
            found[at + row["query_index"]].append(row["_rowid"])
    return found


def _tune(table: Any, lists: int) -> Quality:
    """The least effort that finds AIM of the exact top 10 of queries that are not in the set.

    Half of them are stored vectors, whose own row does not count, half midpoints of two: a text's vector lies
    between pictures, not on one.
    """
    rng = np.random.default_rng(0)
    picked = np.sort(rng.choice(count := table.count_rows(), size=min(4 * HELD_OUT, count), replace=False))
    some = table.take(picked, columns=["vector", "_rowid"])
    some = some.filter(library("pyarrow.compute").field("vector").is_valid())
    shuffled = rng.permutation(some.num_rows)
    stored = matrix(some["vector"].combine_chunks())[shuffled]
    numbers = some["_rowid"].to_numpy()[shuffled]
    half = min(HELD_OUT // 2, len(stored) // 3)
    middle = stored[half : 2 * half] + stored[2 * half : 3 * half]
    queries = np.concatenate([stored[:half], middle / np.linalg.norm(middle, axis=1, keepdims=True)])
    truth = _exact(table, queries, 11)
    quality = Quality()
    for part, refine in _EFFORTS:
        probes = max(1, lists * part // 64)
        quality = Quality(lists, probes, refine, 1.0, len(queries))
        found = []
        for number, rows in enumerate(_each(table, queries, 11, quality)):
            own = {int(numbers[number])} if number < half else set()
            best = [int(r) for r in truth[number] if int(r) not in own][:10]
            found.append(len(set(best) & set([r for r in rows if r not in own][:10])) / len(best))
        quality = Quality(lists, probes, refine, round(float(np.mean(found)), 4), len(queries))
        if quality.recall >= AIM:
            break
    return quality


def matrix(vectors: Any) -> np.ndarray:
    """(n, D) float32 of an Arrow array of vectors, none of them null."""
    flat = vectors.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(vectors), -1).astype(np.float32)


def _exact(table: Any, queries: np.ndarray, k: int) -> np.ndarray:
    """(Q, k) row ids of the exact best, by one pass over all vectors."""
    scores, rows = np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
    scan = table.scanner(columns=["vector"], filter=PICTURES, with_row_id=True, batch_size=16_384)
    for batch in scan.to_batches():
        near = queries @ matrix(batch["vector"]).T  # (Q, n)
        every = np.concatenate([scores, near], axis=1)
        own = np.broadcast_to(batch["_rowid"].to_numpy().astype(np.int64), near.shape)
        best = np.argpartition(-every, k - 1, axis=1)[:, :k]
        scores = np.take_along_axis(every, best, axis=1)
        rows = np.take_along_axis(np.concatenate([rows, own], axis=1), best, axis=1)
    return np.take_along_axis(rows, np.argsort(-scores, axis=1), axis=1)


# -- deletion


def delete(uri: str, ids: Iterable[str]) -> int:
    """Delete pictures by their SHA-256: no search finds them from now on. Returns how many rows went.

    Their bytes stay in the table's files until `compact`.
    """
    table = existing_table(uri)
    before = table.count_rows()
    _delete(table, "id", sorted(set(ids)))
    return int(before - table.count_rows())


def shown(uri: str) -> dict[str, Any]:
    """What there is to say about a collection: its facts, how it is searched, how many rows failed."""
    table = existing_table(uri)
    rows, failed = table.count_rows(), table.count_rows(f"NOT ({PICTURES})")
    return {**vars(facts_of(table)), **vars(tuned(table)), "pictures": rows - failed, "failed": failed}


def compact(uri: str) -> Quality:
    """Write the files of the table anew without what was deleted, and drop its earlier versions.

    Then no file of it holds a deleted row. An app that has the collection open goes on with the new files.
    """
    table = existing_table(uri)
    table.optimize.compact_files(materialize_deletions=True, materialize_deletions_threshold=0.0)
    quality = finish(table, anew=True)
    table.cleanup_old_versions(timedelta(0), delete_unverified=True)
    return quality


def holding(uri: str, items: Iterable[str]) -> set[str]:
    """Those of the items, by their SHA-256, that the collection has; all of them where it cannot be read."""
    wanted = set(items)
    try:
        where = f"{_among('id', sorted(wanted))} AND {PICTURES}"
        return set(existing_table(uri).to_table(columns=["id"], filter=where)["id"].to_pylist())
    except (GalleryError, SettingsError, OSError, ValueError):
        return wanted


def quoted(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def _delete(table: Any, column: str, values: list[Any]) -> None:
    if values:
        table.delete(_among(column, values))


def _among(column: str, values: list[Any]) -> str:
    texts = [quoted(v) if isinstance(v, str) else str(v) for v in values]
    return f"{column} IN ({', '.join(texts) or 'NULL'})"
