"""Which path runs: chosen by the tensors' device, or asked for by name.

What ran is kept in a `PathReport` for whoever looks.

    reference   float64 loops in Python, the oracle              torch    vectorised over pairs, CPU or CUDA
    numba       compiled loops on the CPU, when installed        triton   kernels on CUDA

Nothing is imported until a path is used. An explicit request for a path that is not there raises
AlignmentError. Under TRITON_INTERPRET=1 the Triton path is there on the CPU as well, slowly: that is for
tests. Not covered: several GPUs.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from dataclasses import dataclass, replace

import torch

from sugar.errors import AlignmentError

PATHS = ("reference", "torch", "numba", "triton")


@dataclass(frozen=True)
class PathReport:
    """What the last call did: path, device, how many pairs in how many chunks, how many of them were redone
    in logs.
    """

    path: str
    device: str
    pairs: int = 0
    chunks: int = 0
    redone: int = 0

    def __str__(self) -> str:
        done = f"{self.pairs} pairs in {self.chunks} chunks, {self.redone} redone in logs"
        return f"{self.path} on {self.device}: {done}"


class _Last(threading.local):
    report: PathReport | None = None


_last = _Last()


def last_report() -> PathReport:
    """The `PathReport` of this thread's last alignment. Raises AlignmentError before the first."""
    if _last.report is None:
        raise AlignmentError(
            "nothing was aligned in this thread yet, so there is no report; call gak, dtw or another scorer "
            "first."
        )
    return _last.report


def start_report(path: str, device: torch.device) -> None:
    """Begin a call's report."""
    _last.report = PathReport(path, str(device))


def count(pairs: int, redone: int = 0) -> None:
    """Add one finished chunk to the report of the call that runs."""
    if _last.report is not None:
        now = _last.report
        _last.report = replace(
            now, pairs=now.pairs + pairs, chunks=now.chunks + 1, redone=now.redone + redone
        )


def missing(path: str, device: torch.device) -> str:
    """Why `path` cannot run on tensors of `device`, or "" when it can."""
    if path in ("reference", "torch"):
        return ""
    if importlib.util.find_spec(path) is None:
        return f"the package {path} is not installed (pip install {path})"
    if path == "numba":
        return "" if device.type == "cpu" else f"it works on the CPU and the tensors are on {device}"
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    return "" if device.type == "cuda" or interpreted else f"it works on CUDA and the tensors are on {device}"


LONGEST_ROW = 4096  # slices of a column that the Triton kernels take
NUMBA_FROM = 200_000  # table cells; below, importing numba costs more than it saves


def choose_path(asked: str | None, device: torch.device, cells: int = NUMBA_FROM, longest: int = 1) -> str:
    """The path for tensors of `device`: what was asked for, else triton on CUDA, else torch, or numba when
    it is installed and the work is at least NUMBA_FROM table cells. Columns longer than LONGEST_ROW are
    torch's.

    Raises AlignmentError for an unknown path and for an asked-for path that is not there.
    """
    if asked is not None:
        if asked not in PATHS:
            raise AlignmentError(
                f"path {asked!r} is unknown; choose one of {', '.join(PATHS)}, or None to choose by device."
            )
        reason = missing(asked, device)
        if asked == "triton" and not reason and longest > LONGEST_ROW:
            reason = f"its rows hold {LONGEST_ROW} slices and the longest sequence has {longest}"
        if reason:
            raise AlignmentError(
                f"path {asked!r} is not there: {reason}; ask for path='torch', or path=None to choose by "
                "device."
            )
        return asked
    if (device.type == "cpu" and cells < NUMBA_FROM) or (device.type == "cuda" and longest > LONGEST_ROW):
        return "torch"
    fastest = "triton" if device.type == "cuda" else "numba"
    return "torch" if missing(fastest, device) else fastest
