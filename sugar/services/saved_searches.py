"""Searches that a person keeps by name, in one file beside the galleries. They hold no pictures.

saved = SavedSearches(settings.gallery_root / "searches.json")
saved.keep(SavedSearch("beach", "two dogs 2025-08", "holiday", "pictures"))
saved.names(), saved.get("beach"), saved.delete("beach")
"""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from sugar.atomic import sweep, write_whole
from sugar.errors import InputError
from sugar.text_files import read_json

MOST = 200
"""Searches kept at most."""


@dataclass(frozen=True)
class SavedSearch:
    """One kept search. text is in the language of the search box."""

    name: str
    text: str
    gallery: str
    mode: str = "pictures"

    def __post_init__(self) -> None:
        if not all(isinstance(getattr(self, f.name), str) for f in fields(self)):
            raise InputError("A saved search holds texts only.")
        if not self.name.strip() or len(self.name) > 60:
            raise InputError("Give the search a name of 1 to 60 characters.")
        if not self.text.strip():
            raise InputError(
                "There are no words to save. A saved search holds words and filters, not pictures."
            )


class SavedSearches:
    """The kept searches of one person. Every change rewrites the file in one step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        sweep(path.parent, path.name)

    def names(self) -> list[str]:
        """The names, in alphabetical order."""
        return sorted(self._read(), key=str.casefold)

    def get(self, name: str) -> SavedSearch:
        """The search of that name. Raises InputError when there is none."""
        found = self._read().get(name)
        if found is None:
            raise InputError("There is no saved search of that name. Choose one from the list.")
        return found

    def keep(self, search: SavedSearch) -> None:
        """Keep a search; one of the same name is replaced. Raises InputError when there are too many."""
        with self._lock:
            known = self._read()
            if len(known) >= MOST and search.name not in known:
                raise InputError(f"{MOST} searches are saved already. Delete one first.")
            self._write(known | {search.name: search})

    def delete(self, name: str) -> None:
        """Delete a search. Raises InputError when there is none of that name."""
        with self._lock:
            self.get(name)
            self._write({key: value for key, value in self._read().items() if key != name})

    def _read(self) -> dict[str, SavedSearch]:
        try:
            rows = [SavedSearch(**row) for row in read_json(self.path.read_bytes())]
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise InputError(
                f"The file {self.path.name} with the saved searches is damaged or cannot be read. "
                f"Correct or delete it; it lies in {str(self.path.parent)!r}."
            ) from error
        return {row.name: row for row in rows}

    def _write(self, searches: dict[str, SavedSearch]) -> None:
        rows = [asdict(s) for s in searches.values()]
        text = json.dumps(rows, ensure_ascii=False, indent=1)
        write_whole(self.path, text.encode(errors="backslashreplace"))
