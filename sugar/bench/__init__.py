"""Benchmarks: each prints a table for people and returns its rows; the command adds where and when.

A file holds OPTIONS (a flag's default, and what it means) and `run(options)`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil


@contextmanager
def peak_memory(process: psutil.Process) -> Iterator[list[float]]:
    """A list whose only number becomes the most megabytes that the process held above its start."""
    start, most, over = process.memory_info().rss, [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            most[0] = max(most[0], (process.memory_info().rss - start) / 1e6)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        over.set()
        watcher.join()
