"""What a long run tells: `Progress` while it works; then an `IngestReport`, a `FileResult` for each file."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["STATUSES", "Progress", "IngestReport", "FileResult"]

STATUSES = ("added", "updated", "renamed", "unchanged", "duplicate", "refused", "no vectors")


@dataclass(frozen=True)
class FileResult:
    """The result for one file: a status of STATUSES, the reason if any, and the item it stands for."""

    name: str
    status: str
    reason: str = ""
    item: int | None = None


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
    """The result of a whole run: one row per file, in order; `counts` by status.

    Files after a cancel have no row.
    """

    rows: list[FileResult] = field(default_factory=list)
    cancelled: bool = False
    seconds: float = 0.0

    def _count(self, status: str) -> int:
        return sum(r.status == status for r in self.rows)

    added = property(lambda self: self._count("added"))
    updated = property(lambda self: self._count("updated"))
    renamed = property(lambda self: self._count("renamed"))
    unchanged = property(lambda self: self._count("unchanged"))
    duplicate = property(lambda self: self._count("duplicate"))
    refused = property(lambda self: self._count("refused"))
    without_vectors = property(lambda self: self._count("no vectors"))

    @property
    def counts(self) -> dict[str, int]:
        return {status: n for status in STATUSES if (n := self._count(status))}

    def __str__(self) -> str:
        parts = ", ".join(f"{n:,} {status}" for status, n in self.counts.items()) or "nothing to take in"
        end = " (cancelled; what is done is kept)" if self.cancelled else ""
        return f"{parts} in {self.seconds:.1f} s{end}"
