"""BM25 over words by SQLite's FTS5: captions, file names and dates of a gallery's pictures, or any texts.

    search_items(store, "IMG_2041", 20)              # [(item id, score)], best first
    index = TextIndex([("Trees", "An oak is tall.")]); index.search("tall oaks", 5)      # [(row, score)]

`sugar.search_words` says what the words of a text are; FTS5 gets them with spaces between, and stems them
(Porter). The table of a gallery is kept in step by triggers, so it changes in the same transactions as the
items. A gallery that cannot be written to, and has no table or an earlier program's, gets one in memory.
`python -m sugar index` and the first write make it. Not covered: meaning (index.py), filters of a search
(store.py), fusion of the two (sugar/fusion.py).
"""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from sugar.search_words import VERSION, content, indexed, phrases

MAX_TERMS = 40
"""Words of one query that are looked up."""

_TOKENS = "tokenize='porter ascii'"
_STAMP = "words"  # the key in `meta` of the version of the table's words
_MONTHS = (
    *("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug"),
    *("september sep sept", "october oct", "november nov", "december dec"),
)
_WEIGHTS = "2.0, 1.0, 1.0, 1.0"  # file name, a person's caption, dates, a model's caption
_SAID = "{name caption dates}"  # what people and cameras say


class _Store(Protocol):
    lock: Any

    def read(self, sql: str, values: Sequence[object] = ()) -> list[tuple]: ...


def _dates(row: str) -> str:
    """SQL: the words of an item's time: 2025-08-14 and the names of the month."""
    months = " ".join(f"WHEN '{n:02d}' THEN '{names}'" for n, names in enumerate(_MONTHS, 1))
    month = f"CASE substr({row}.taken, 6, 2) {months} ELSE '' END"
    return f"coalesce(substr({row}.taken, 1, 10) || ' ' || {month}, '')"


def _create(schema: str) -> str:
    return f"CREATE VIRTUAL TABLE {schema}.item_words USING fts5(name, caption, dates, by_model, {_TOKENS})"


def _row(row: str) -> str:
    """SQL: an item's values. What a model wrote stands apart from what a person did."""
    person, model = (
        f"indexed(CASE WHEN {row}.caption_by {sign} '' THEN {row}.caption ELSE '' END)"
        for sign in ("=", "<>")
    )
    return f"{row}.id, indexed({row}.name), {person}, indexed({_dates(row)}), {model}"


_INSERT = "INSERT INTO item_words (rowid, name, caption, dates, by_model)"
_FILL = f"{_INSERT} SELECT {_row('items')} FROM items"
_VALUES = f"VALUES ({_row('new')})"
_TRIGGERS = (
    f"CREATE TRIGGER words_added AFTER INSERT ON items BEGIN {_INSERT} {_VALUES}; END",
    "CREATE TRIGGER words_gone AFTER DELETE ON items BEGIN DELETE FROM item_words WHERE rowid = old.id; END",
    f"CREATE TRIGGER words_changed AFTER UPDATE OF name, caption, caption_by, taken ON items BEGIN "
    f"DELETE FROM item_words WHERE rowid = old.id; "
    f"{_INSERT} {_VALUES}; END",
)


_REMOVALS = (
    "DROP TABLE IF EXISTS temp.item_words",
    *(f"DROP TRIGGER IF EXISTS words_{what}" for what in ("added", "gone", "changed")),
    "DROP TABLE IF EXISTS main.item_words",
)
_STAMPED = f"INSERT OR REPLACE INTO meta VALUES ('{_STAMP}', '{VERSION}')"
_CURRENT = (
    "SELECT 1 FROM sqlite_master WHERE name = 'item_words' AND "
    f"EXISTS (SELECT 1 FROM meta WHERE key = '{_STAMP}' AND value = '{VERSION}')"
)


def ensure_words(db: sqlite3.Connection) -> None:
    """Inside a transaction: give a gallery today's table of words, and the triggers that keep it in step."""
    if not db.execute(_CURRENT).fetchone():
        for statement in (*_REMOVALS, _create("main"), _FILL, *_TRIGGERS, _STAMPED):
            db.execute(statement)


def forget_words(db: sqlite3.Connection) -> None:
    """Merge the table's parts, so that no word of a deleted row is left in it. Called before pages are
    given back."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'item_words'").fetchone():
        db.execute("INSERT INTO item_words (item_words) VALUES ('optimize')")


def search_items(
    store: _Store, text: str, k: int, only: Iterable[int] | None = None, *, people: bool = False
) -> list[tuple[int, float]]:
    """The k items whose words fit the text best: (item id, BM25 score, larger is better), best first.

    Args:
        text: free text; its words are joined by OR, words with marks between them (IMG_2041, 2025-08) are
        phrases, and so are the n-grams of scripts without spaces. only: item ids to look among. people: look
        at what people and cameras say, not at a model's captions.
    """
    query = match_query(text)
    if not query or k < 1:
        return []
    with store.lock:
        _ready(store)
        rows = store.read(
            f"SELECT rowid, -bm25(item_words, {_WEIGHTS}) AS score FROM item_words "
            "WHERE item_words MATCH ? "
            "ORDER BY score DESC, rowid" + ("" if only is not None else f" LIMIT {int(k)}"),
            (f"{_SAID}: ({query})" if people else query,),
        )
    if only is not None:
        wanted = {int(i) for i in only}
        rows = [row for row in rows if row[0] in wanted][:k]
    return [(int(item), float(score)) for item, score in rows]


def shares(store: _Store, text: str, items: Iterable[int]) -> dict[int, float]:
    """How much of a text's content each item says: the share of its words, each weighed by how rare it is.

    Function words do not count, and a word that no item says weighs most. 0 to 1; looks at what people and
    cameras say.
    """
    wanted = list(items)
    found = dict.fromkeys(wanted, 0.0)
    with store.lock:
        _ready(store)
        count = int(store.read("SELECT count(*) FROM item_words")[0][0])
        total = 0.0
        for words in {tuple(words) for words in phrases(content(text))[:MAX_TERMS]}:
            quoted = f'{_SAID}: ("{" ".join(words)}")'
            rows = store.read("SELECT rowid FROM item_words WHERE item_words MATCH ?", (quoted,))
            having = {item for (item,) in rows}
            weight = math.log(1 + count / (len(having) + 0.5))
            total += weight
            for item in having.intersection(found):
                found[item] += weight
    return {item: value / total if total else 0.0 for item, value in found.items()}


def _ready(store: _Store) -> None:
    """A table in memory where the gallery's file has none of today's and was not written to since."""
    own = store.read(_CURRENT)
    copy = store.read("SELECT 1 FROM sqlite_temp_master WHERE name = 'item_words'")
    if own and copy:  # another program has written since
        store.read("DROP TABLE temp.item_words")
    elif not own and not copy:
        store.read("PRAGMA temp_store=MEMORY")
        store.read(_create("temp"))
        store.read(_FILL)


def match_query(text: str) -> str:
    """An FTS5 query of free text: every word in quotation marks, so that nothing in it is an operator.

    >>> match_query('IMG_2041 "dog" OR x*')
    '"img 2041" OR "dog" OR "or" OR "x"'
    """
    return " OR ".join(f'"{" ".join(words)}"' for words in phrases(text)[:MAX_TERMS])


class TextIndex:
    """BM25 over (title, text) rows, in memory. Rows are numbered from 0. May be used from any thread."""

    def __init__(self, rows: Iterable[tuple[str, str]]) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._db.execute(f"CREATE VIRTUAL TABLE words USING fts5(title, text, {_TOKENS})")
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO words (rowid, title, text) VALUES (?, ?, ?)", _numbered(rows))
        self._db.execute("COMMIT")

    def search(self, text: str, k: int) -> list[tuple[int, float]]:
        """(row, BM25 score) of the k rows that fit the text best, best first."""
        if not (query := match_query(text)):
            return []
        with self._lock:
            rows = self._db.execute(
                "SELECT rowid, -bm25(words, 0.5, 1.0) AS score FROM words WHERE words MATCH ? "
                "ORDER BY score DESC, rowid LIMIT ?",
                (query, k),
            ).fetchall()
        return [(int(row), float(score)) for row, score in rows]

    def close(self) -> None:
        with self._lock:
            self._db.close()


def _numbered(rows: Iterable[tuple[str, str]]) -> Iterable[tuple[int, str, str]]:
    return ((number, indexed(title), indexed(text)) for number, (title, text) in enumerate(rows))
