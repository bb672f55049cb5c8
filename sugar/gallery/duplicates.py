"""Which pictures of a gallery show the same thing: groups by their 8 x 8 colour signatures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sugar.images import near_duplicate

__all__ = ["near_duplicate_groups"]


def near_duplicate_groups(rows: Sequence[tuple[int, bytes]], tolerance: int) -> list[list[int]]:
    """rows: (id, signature) pairs -> groups of two or more ids, joined by any chain of near-duplicates.

    Signatures are sorted by mean brightness: two near-duplicates differ in it by at most `tolerance`.
    """
    if len(rows) < 2:
        return []
    ids = np.array([r[0] for r in rows])
    signatures = np.frombuffer(b"".join(r[1] for r in rows), np.uint8).reshape(len(rows), -1)  # (N, 192)
    brightness = signatures.mean(1)
    order = np.argsort(brightness, kind="stable")
    ids, signatures, brightness = ids[order], signatures[order], brightness[order]
    parent = list(range(len(ids)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    ends = np.searchsorted(brightness, brightness + tolerance, side="right")
    for i, end in enumerate(ends):
        alike = near_duplicate(signatures[i], signatures[i + 1 : end], tolerance)
        for j in i + 1 + np.flatnonzero(alike):
            parent[root(int(j))] = root(i)
    groups: dict[int, list[int]] = {}
    for i in range(len(ids)):
        groups.setdefault(root(i), []).append(int(ids[i]))
    return sorted(sorted(g) for g in groups.values() if len(g) > 1)
