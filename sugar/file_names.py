"""Which file a name in a table means.

    names = FileNames(["a/Bärli.jpg", "b.png"])
    names.find("./A/BÄRLI.JPG")  # "a/Bärli.jpg", whatever the case, the Unicode form and the slashes

Not covered: opening the file. No name is ever joined to a folder here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def name_key(name: str) -> str:
    """What two spellings of a file's name have in common: NFC, lower case, "/" between folders, no "./".

    >>> name_key(".\\\\Fotos\\\\A.JPG")
    'fotos/a.jpg'
    """
    parts = unicodedata.normalize("NFC", name).casefold().replace("\\", "/").strip().split("/")
    return unicodedata.normalize("NFC", "/".join(p for p in parts if p not in ("", ".")))


class FileNames:
    """Names of files, found by how people write them. The exact name wins; a name that fits two is none."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, str] = {}
        self._keys: dict[str, list[str]] = {}
        for name in names:
            self._names.setdefault(name, name)
            key = name_key(name)
            base = key.rpartition("/")[2]
            stem = base.rpartition(".")[0] or base
            for way in {key, "\0" + base, "\1" + stem}:
                self._keys.setdefault(way, []).append(name)

    def find(self, wanted: str) -> str | None:
        """The file that is meant, or None.

        In this order: this very name; the same name in another spelling; a longer path that ends in the name
        of one file; the name of one file in a folder; the name of one file without its ending.
        """
        if wanted in self._names:
            return wanted
        key = name_key(wanted)
        if not key:
            return None
        parts = key.split("/")
        for n in range(len(parts)):
            if found := self._only("/".join(parts[n:])):
                return found
        if len(parts) > 1:
            return None  # another folder's picture of this name is another picture
        return self._only("\0" + key) or self._only("\1" + key)

    def _only(self, key: str) -> str | None:
        found = self._keys.get(key, ())
        return found[0] if len(found) == 1 else None
