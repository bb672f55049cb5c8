"""Long work behind the page: ingest, import, export, re-index, captions, teaching.

    job = jobs.start(visitor, "ingest", "holiday: 1,000 files", work)      # returns at once
    jobs.of(visitor)                                                       # also after a reload
    jobs.cancel(visitor, job.id)                                           # this one only

    def work(job: Job) -> str:                                             # runs in a thread of its own
        gallery.add(paths, progress=lambda p: job.report(p.done, p.total, str(p)), cancel=job.stop)
        return "12 added"                                                  # kept as `result`

Work calls the model in the background (model_slot.py): questions go first. Not covered: what the work does.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sugar.errors import BusyError, Cancelled, InputError, SugarError
from sugar.model.owner import owned_by
from sugar.services.model_slot import low_priority
from sugar.services.visitors import Visitor

log = logging.getLogger("sugar")

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
KEPT = 20
"""Finished jobs of one visitor that stay in the list."""
CLOSING = 10.0
"""Seconds that a job of a visitor who left has to close its files."""


@dataclass(frozen=True)
class JobState:
    """What a page shows of a job.

    Args:
        phase: queued, running, done, failed or cancelled.
        done, total: units of work; total is 0 while it is not known.
        note: the work's own words about its progress.
        seconds: since it started, until now or its end.
        left: seconds that are left at this rate, or None.
        problem: why it failed, in words for the visitor.
        result: what the work returned.
    """

    id: str
    kind: str
    title: str
    phase: str
    done: int = 0
    total: int = 0
    note: str = ""
    seconds: float = 0.0
    left: float | None = None
    problem: str = ""
    result: Any = None

    @property
    def over(self) -> bool:
        return self.phase in (DONE, FAILED, CANCELLED)


class Job:
    """One piece of work, as the work itself sees it.

    unstarted: called when it is cancelled before it began.
    """

    def __init__(
        self,
        owner: Visitor,
        kind: str,
        title: str,
        work: Callable[[Job], Any],
        unstarted: Callable[[], None] = lambda: None,
    ) -> None:
        self.id, self.owner, self.kind = secrets.token_hex(8), owner, kind
        self.stop = threading.Event()
        self.over = threading.Event()
        self._work, self._unstarted = work, unstarted
        self._lock = threading.Lock()
        self._state = JobState(self.id, kind, title, QUEUED)
        self._began, self._ended = 0.0, 0.0

    def report(self, done: int, total: int = 0, note: str = "") -> None:
        """Say how far the work is."""
        with self._lock:
            self._state = replace(self._state, done=done, total=total, note=note)

    def check(self) -> None:
        """Raises Cancelled after a cancel. For work that has no use for `stop`."""
        if self.stop.is_set():
            raise Cancelled(f"{self._state.title} was cancelled.")

    def state(self) -> JobState:
        with self._lock:
            now = self._state
            seconds = (self._ended or time.monotonic()) - self._began if self._began else 0.0
            running = now.phase == RUNNING and now.done and now.total
            left = seconds * (now.total - now.done) / now.done if running else None
            return replace(now, seconds=seconds, left=left)

    def run(self) -> None:
        """Do the work. Called by Jobs, once."""
        with self._lock:
            if self._state.phase != QUEUED:
                return
            self._state, self._began = replace(self._state, phase=RUNNING), time.monotonic()
        phase, result, problem = DONE, None, ""
        try:
            with low_priority(), owned_by(self.owner.id):
                result = self._work(self)
            phase = CANCELLED if self.stop.is_set() else DONE
        except Cancelled:
            phase = CANCELLED
        except SugarError as error:
            phase, problem = FAILED, str(error)
        except Exception as error:
            number = secrets.token_hex(3)
            trace = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))
            log.error("fault %s: %s\n%s", number, type(error).__name__, trace)
            phase = FAILED
            name = type(error).__name__
            problem = f"Something broke that should not have ({name}); the log has it under {number}."
        self._end(phase, result, problem)

    def _end(self, phase: str, result: Any = None, problem: str = "") -> None:
        with self._lock:
            self._state = replace(self._state, phase=phase, result=result, problem=problem)
            self._ended = time.monotonic()
        self.over.set()

    def cancel(self) -> None:
        """Ask the work to end. What has not begun ends at once."""
        self.stop.set()
        with self._lock:
            waiting = self._state.phase == QUEUED
            if waiting:
                self._state = replace(self._state, phase=CANCELLED)
        if waiting:
            self._unstarted()
            self._end(CANCELLED)


class Jobs:
    """All jobs of the app.

    Args:
        workers: jobs that run at the same time. Jobs of one visitor run one after the other.
        per_visitor: jobs of one visitor that may run or wait. per_address: of all visitors of one address.
        in_all: jobs of everybody that may run or wait.
    """

    def __init__(
        self, workers: int = 2, per_visitor: int = 4, per_address: int = 8, in_all: int = 100
    ) -> None:
        self._workers, self._per_visitor, self._per_address = workers, per_visitor, per_address
        self._in_all = in_all
        self._jobs: dict[str, list[Job]] = {}
        self._waiting: deque[Job] = deque()
        self._running: set[Job] = set()
        self._lock = threading.RLock()

    def start(
        self,
        visitor: Visitor,
        kind: str,
        title: str,
        work: Callable[[Job], Any],
        unstarted: Callable[[], None] = lambda: None,
    ) -> Job:
        """Queue a piece of work. Returns at once.

        Args:
            unstarted: called when the work is cancelled before it began.
        Raises:
            BusyError: the visitor, or the server, has as many jobs as it may have.
        """
        job = Job(visitor, kind, title, work, unstarted)
        with self._lock:
            own = self._jobs.setdefault(visitor.id, [])
            if sum(not j.over.is_set() for j in own) >= self._per_visitor:
                raise BusyError(f"{self._per_visitor} of your jobs run or wait already. Let one end first.")
            everybody = [*self._waiting, *self._running]
            if sum(j.owner.address == visitor.address for j in everybody) >= self._per_address:
                raise BusyError(f"{self._per_address} jobs of your address run or wait. Let one end first.")
            if len(everybody) >= self._in_all:
                raise BusyError("The server has as much work as it may take. Try again in some minutes.")
            over = [j for j in own if j.over.is_set()]
            for old in over[: max(0, len(over) - KEPT + 1)]:
                own.remove(old)
            own.append(job)
            self._waiting.append(job)
        self._next()
        return job

    def of(self, visitor: Visitor) -> list[JobState]:
        """The visitor's jobs, the newest first."""
        with self._lock:
            own = list(self._jobs.get(visitor.id, []))
        return [job.state() for job in reversed(own)]

    def get(self, visitor: Visitor, job: str) -> Job:
        """Raises InputError when the visitor has no such job."""
        with self._lock:
            found = next((j for j in self._jobs.get(visitor.id, []) if j.id == job), None)
        if found is None:
            raise InputError("You have no job of that number. It may have been cleared.")
        return found

    def cancel(self, visitor: Visitor, job: str) -> None:
        """End one job of the visitor. Raises InputError when the visitor has no such job."""
        self.get(visitor, job).cancel()

    def clear(self, visitor: Visitor) -> None:
        """Take finished jobs off the visitor's list."""
        with self._lock:
            self._jobs[visitor.id] = [j for j in self._jobs.get(visitor.id, []) if not j.over.is_set()]

    def busy(self, visitor: Visitor) -> bool:
        """Whether work for the visitor runs or waits."""
        with self._lock:
            return any(not j.over.is_set() for j in self._jobs.get(visitor.id, []))

    def leave(self, visitor: Visitor) -> None:
        """The visitor is gone: end the jobs, wait until they have closed the files, forget them."""
        with self._lock:
            own = self._jobs.pop(visitor.id, [])
        for job in own:
            job.cancel()
        for job in own:
            job.over.wait(CLOSING)

    def _next(self) -> None:
        """Begin what may begin: at most `workers` at once, and one of each visitor."""
        with self._lock:
            self._waiting = deque(j for j in self._waiting if not j.over.is_set())
            owners = {job.owner for job in self._running}
            for job in list(self._waiting):
                if len(self._running) >= self._workers:
                    return
                if job.owner in owners:
                    continue
                self._waiting.remove(job)
                self._running.add(job)
                owners.add(job.owner)
                threading.Thread(target=self._run, args=(job,), name=f"job-{job.kind}", daemon=True).start()

    def _run(self, job: Job) -> None:
        try:
            job.run()
        finally:
            with self._lock:
                self._running.discard(job)
            self._next()
