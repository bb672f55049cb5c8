"""How much a visitor, an address and the server may ask for. No limit hangs on what the client chose.

    quotas = Quotas(Limits(per_minute=60))
    quotas.admit(visitor)                    # BusyError with the seconds to wait
    disk = Disk(root, per_visitor=200_000_000, in_all=5_000_000_000)
    disk.check(folders_of_the_visitor, adding=1_000_000)
    with arrivals.of(visitor, folder) as take:       # take(n): n more bytes came; GalleryError over a share

A request pays from its address and, where the visitor has a login, a key or a signed token, from the visitor.
Not covered: what a request is (ui/), the limits of one gallery (sugar/gallery).
"""

from __future__ import annotations

import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sugar.errors import BusyError, GalleryError
from sugar.services.visitors import Visitor, network_of

ADDRESS_FACTOR = 5
"""Visitors of one address: a household or an office shares it, so it may ask for this many times as much."""
LOGINS = 10
"""Attempts to log in, a minute, from one address."""
UPLOADS = 20
"""Uploads of one address at a time."""
READS = 100
"""Files and pages that an address may read for each request with the model."""
LIGHT = 0.1
"""What a request without the model costs, in requests with the model."""


class Buckets:
    """Token buckets, one for each key. A bucket holds `capacity` and fills by `per_second`.

    Buckets that are full again are forgotten, so that made-up keys take no memory for long. With `most`
    keys at once, a new key is refused rather than an old one forgotten.
    """

    def __init__(
        self,
        capacity: float,
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        most: int = 50_000,
    ) -> None:
        self.capacity, self.per_second, self._clock, self._most = capacity, per_second, clock, most
        self._levels: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, key: str, cost: float = 1.0) -> float:
        """Take `cost` from the key's bucket. Returns 0, or the seconds after which there is enough."""
        now = self._clock()
        with self._lock:
            level, since = self._levels.get(key, (self.capacity, now))
            if key not in self._levels and len(self._levels) >= self._most and not self._forget(now):
                return self.capacity / self.per_second
            level = min(self.capacity, level + (now - since) * self.per_second)
            if level < cost:
                self._levels[key] = (level, now)
                return (cost - level) / self.per_second
            self._levels[key] = (level - cost, now)
            return 0.0

    def _forget(self, now: float) -> int:
        """Drop buckets that are full by now; how many went. Holds the lock already."""
        full = [
            k
            for k, (n, since) in self._levels.items()
            if n + (now - since) * self.per_second >= self.capacity
        ]
        for key in full:
            del self._levels[key]
        return len(full)

    def sweep(self) -> None:
        with self._lock:
            self._forget(self._clock())

    def __len__(self) -> int:
        return len(self._levels)


@dataclass(frozen=True)
class QuotaLimits:
    """per_minute: one visitor's requests that use the model. newcomers: new visitors an hour, per address."""

    per_minute: int = 60
    newcomers: int = 60


class Quotas:
    """The limits of one running app."""

    def __init__(self, limits: QuotaLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        rate = limits.per_minute / 60
        self._visitors = Buckets(limits.per_minute, rate, clock)
        self._addresses = Buckets(limits.per_minute * ADDRESS_FACTOR, rate * ADDRESS_FACTOR, clock)
        self._anonymous = Buckets(limits.per_minute, rate, clock)
        self._newcomers = Buckets(limits.newcomers, limits.newcomers / 3600, clock)
        self._logins = Buckets(LOGINS, LOGINS / 60, clock)
        self._reads = Buckets(limits.per_minute * READS, rate * READS, clock)

    def admit(self, visitor: Visitor, *, uses_model: bool = True) -> None:
        """Count one request. Raises BusyError: the visitor or the address has asked for too much."""
        cost = 1.0 if uses_model else LIGHT
        address = network_of(visitor.address)
        if visitor.proven:
            wait = self._visitors.take(visitor.id, cost)
        else:  # a session is a name that the client made up: all of an address pay as one visitor
            wait = self._anonymous.take(address, cost)
        wait = wait or self._addresses.take(address, cost)
        _refuse(wait, f"{self.limits.per_minute} requests in a minute is the limit here.")

    def admit_newcomer(self, visitor: Visitor) -> None:
        """Count a visitor who is given something to keep, such as a gallery. Raises BusyError: too many in an
        hour.
        """
        wait = self._newcomers.take(network_of(visitor.address))
        if wait:
            raise BusyError(
                f"{self.limits.newcomers} new visitors in an hour is the limit for one address. "
                f"Try again in {math.ceil(wait / 60)} minutes."
            )

    def admit_read(self, address: str) -> None:
        """Count a request that changes nothing. Raises BusyError: too many within a minute."""
        wait = self._reads.take(network_of(address))
        _refuse(wait, f"{self.limits.per_minute * READS} files in a minute is the limit here.")

    def admit_login(self, address: str) -> None:
        """Count an attempt to log in. Raises BusyError: too many within a minute."""
        _refuse(self._logins.take(network_of(address)), f"{LOGINS} attempts in a minute.")

    def sweep(self) -> None:
        """Forget what is full again."""
        for buckets in vars(self).values():
            if isinstance(buckets, Buckets):
                buckets.sweep()


def _refuse(wait: float, limit: str) -> None:
    """Raises BusyError where there are seconds to wait."""
    if wait:
        raise BusyError(f"{limit} Try again in {math.ceil(wait)} seconds.")


class Disk:
    """The room that visitors may take on the disk.

    Args:
        root: the folder under which all visitors' folders lie.
        per_visitor: bytes of one visitor.
        in_all: bytes of all visitors together.
        keep_free: bytes that stay free on the disk, whoever asks.
    """

    def __init__(self, root: Path, per_visitor: int, in_all: int, keep_free: int = 200_000_000) -> None:
        self.root, self.per_visitor, self.in_all, self.keep_free = root, per_visitor, in_all, keep_free

    def check(self, folders: Iterable[Path], adding: int = 0) -> None:
        """Whether a visitor, whose things lie in `folders`, may add so many bytes.

        Raises:
            GalleryError: the visitor's share or the server's is used up, or the disk is nearly full.
        """
        own = sum(size_of(folder) for folder in folders)
        if own + adding > self.per_visitor:
            raise GalleryError(
                f"You may keep {self.per_visitor // 1_000_000:,} MB here and this would make "
                f"{-(-(own + adding) // 1_000_000):,}. Delete some pictures, or send fewer."
            )
        if size_of(self.root) + adding > self.in_all:
            raise GalleryError("This server keeps as much for its visitors as it may. Try again later.")
        self.check_free(adding)

    def check_free(self, adding: int = 0) -> None:
        """Raises GalleryError when the disk itself is nearly full."""
        existing = next(p for p in (self.root, *self.root.parents) if p.exists())
        free = shutil.disk_usage(existing).free
        if free - adding < self.keep_free:
            raise GalleryError(f"The disk has {free // 1_000_000:,} MB left. Free some room first.")


@dataclass
class _Share:
    """What one visitor, one address or the server has on the disk and on its way."""

    most: float
    who: str
    uploads: int = 0
    kept: int = 0
    coming: int = 0


class Arrivals:
    """Bytes on their way in, counted while they come, so that no header and no number of uploads says less.

    Uploads of one visitor share a count, as do those of one address and all together. Who proves nothing is
    a new visitor in each upload, so all that such visitors of one address keep counts as one visitor's.

    Args:
        disk: the shares of a visitor and of all, and the floor.
        shared_out: whether there are shares; else the floor alone holds.
    """

    def __init__(self, disk: Disk, shared_out: bool) -> None:
        self.disk, self.shared_out = disk, shared_out
        self.folder = disk.root / "arriving"
        self._shares: dict[str, _Share] = {}
        self._folders: dict[str, set[Path]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def of(self, visitor: Visitor, folder: Path, said: int = 0) -> Iterator[Callable[[int], None]]:
        """One upload of the visitor whose files lie in `folder`; call what it gives with every block's size.

        said: bytes that the sender announced. They are refused at once when they are too many, and hold
        nothing back from others: only what came counts.

        Raises GalleryError, also from the call: a share is used up, or the disk is nearly full. BusyError:
        too many uploads of one address at a time.
        """
        came, ended = 0, False
        with self._lock:
            shares = self._begin(visitor, folder) if self.shared_out else []

        def check(size: int) -> None:
            for share in shares:
                if share.kept + share.coming + size > share.most:
                    raise GalleryError(
                        f"{share.who} may keep {share.most // 1_000_000:,.0f} MB here, and this would be "
                        "more. Delete something, send less, or try again later."
                    )
            self.disk.check_free(size)

        def take(size: int) -> None:
            nonlocal came
            with self._lock:
                check(size)
                came += size
                for share in shares:
                    share.coming += size

        try:
            check(said)
            yield take
            ended = True
        finally:
            with self._lock:
                for share in shares:
                    share.uploads -= 1
                    share.coming -= came
                    share.kept += came if ended else 0
                self._shares = {key: share for key, share in self._shares.items() if share.uploads}

    def _begin(self, visitor: Visitor, folder: Path) -> list[_Share]:
        """The shares that an upload counts for, with what they keep by now. Holds the lock already."""
        address, one = network_of(visitor.address), self.disk.per_visitor
        theirs = self._folders.setdefault(address, set())
        theirs.add(folder)
        unproven = [f for f in theirs if f.name.startswith("session-")]
        busy = self._shares.get(f"address {address}")
        if busy is not None and busy.uploads >= UPLOADS:
            raise BusyError(f"{UPLOADS} uploads at a time is the limit here. Wait until one has ended.")
        own = (f"visitor {visitor.id}", one, "You", [folder])
        if not visitor.proven:
            own = (f"unproven {address}", one, "Programs of your address that send no key", unproven)
        everybody = ("", self.disk.in_all, "All visitors together", [self.disk.root])
        together = (f"address {address}", one * ADDRESS_FACTOR, "Your address", list(theirs))
        shares = []
        for key, most, who, folders in (own, together, everybody):
            share = self._shares.setdefault(key, _Share(most, who))
            share.uploads += 1
            share.kept = sum(size_of(f) for f in folders)
            shares.append(share)
        shares[-1].kept -= size_of(self.folder)
        return shares

    def sweep(self) -> None:
        """Forget the folders of visitors who left."""
        with self._lock:
            here = {address: {f for f in theirs if f.exists()} for address, theirs in self._folders.items()}
            self._folders = {address: theirs for address, theirs in here.items() if theirs}


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder; 0 where there is none. Files that go meanwhile count nothing."""
    total, waiting = 0, [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    else:
                        try:
                            total += entry.stat(follow_symlinks=False).st_size
                        except FileNotFoundError:
                            continue
        except (FileNotFoundError, NotADirectoryError):
            continue
    return total
