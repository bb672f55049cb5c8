"""What a long run tells: `Progress` while it works; then an `IngestReport`, a `FileResult` for each file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sugar.gallery.sources import KINDS, Refusal

__all__ = ["STATUSES", "Progress", "IngestReport", "FileResult", "together"]

GOOD = ("added", "updated", "renamed", "unchanged", "duplicate")
STATUSES = (*GOOD, "refused", "no vectors", "passed over", "guessed", "left as it was")


@dataclass(frozen=True)
class FileResult:
    """The result for one file: a status of STATUSES, the reason if any, and the item it stands for.

    files: how many one row stands for, where many of a kind are told together.
    """

    name: str
    status: str
    reason: str = ""
    item: int | None = None
    files: int = 1


def together(refusals: Sequence[Refusal]) -> list[FileResult]:
    """One row for each kind of refusals, with three of them by name; in the order of KINDS."""
    out = []
    for kind, (status, what) in KINDS.items():
        mine = [r for r in refusals if r.kind == kind]
        if len(mine) == 1:
            out.append(FileResult(mine[0].name, status, mine[0].reason))
        elif mine:
            reasons = list(dict.fromkeys(r.reason for r in mine))
            told = ", ".join(r.name if len(reasons) == 1 else f"{r.name} ({r.reason})" for r in mine[:3])
            told += f" and {len(mine) - 3:,} more" if len(mine) > 3 else ""
            told = f"{reasons[0]} {told}" if len(reasons) == 1 else told
            out.append(FileResult(f"{len(mine):,} {what}", status, told, files=len(mine)))
    return out


@dataclass(frozen=True)
class Progress:
    """How far a run is. rate: files per second; eta: seconds left; current: the last file's name."""

    done: int
    total: int
    added: int
    refused: int
    rate: float
    eta: float
    current: str = ""

    @classmethod
    def after(
        cls, seconds: float, done: int, total: int, added: int, refused: int, current: str = ""
    ) -> Progress:
        """Progress with rate and eta worked out from the seconds that the run has taken so far."""
        rate = done / max(seconds, 1e-6)
        return cls(done, total, added, refused, rate, (total - done) / max(rate, 1e-6), current)

    def __str__(self) -> str:
        minutes, seconds = divmod(self.eta, 60)
        left = f"{minutes:.0f} min {seconds:.0f} s" if minutes else f"{seconds:.0f} s"
        counts = f"{self.done:,} of {self.total:,} · {self.added:,} added, {self.refused:,} refused"
        return f"{counts} · {self.rate:.1f}/s · {left} left"


@dataclass
class IngestReport:
    """The result of a whole run: one row per file, in order, then one for each kind that was passed over.

    `counts`: files by status; `said`: the rows that a person should read. Files after a cancel have no row.
    """

    rows: list[FileResult] = field(default_factory=list)
    cancelled: bool = False
    seconds: float = 0.0

    def _count(self, status: str) -> int:
        return sum(r.files for r in self.rows if r.status == status)

    added = property(lambda self: self._count("added"))
    updated = property(lambda self: self._count("updated"))
    renamed = property(lambda self: self._count("renamed"))
    unchanged = property(lambda self: self._count("unchanged"))
    duplicate = property(lambda self: self._count("duplicate"))
    refused = property(lambda self: self._count("refused"))
    without_vectors = property(lambda self: self._count("no vectors"))

    @property
    def said(self) -> list[FileResult]:
        return [row for row in self.rows if row.status not in GOOD]

    @property
    def counts(self) -> dict[str, int]:
        return {status: n for status in STATUSES if (n := self._count(status))}

    def __str__(self) -> str:
        parts = ", ".join(f"{n:,} {status}" for status, n in self.counts.items()) or "nothing to take in"
        end = " (cancelled; what is done is kept)" if self.cancelled else ""
        return f"{parts} in {self.seconds:.1f} s{end}"
