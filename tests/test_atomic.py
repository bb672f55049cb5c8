"""A file is written whole or not at all, and nothing stays beside it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sugar.atomic import replacing, sweep, write_whole
from sugar.errors import NotSavedError

FULL = OSError(errno.ENOSPC, "No space left on device")


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two" and [p.name for p in path.parent.iterdir()] == ["a.json"]
    long = tmp_path / ("\u00e9" * 127)
    write_whole(long, b"a name that is as long as names may be")
    assert long.exists()


@pytest.mark.parametrize(
    "error, says", [(FULL, "disk is full"), (PermissionError(errno.EACCES, "denied"), "permissions")]
)
def test_what_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, says: str
) -> None:
    path = tmp_path / "a.json"
    write_whole(path, b"one")

    def fail(*args: object) -> None:
        raise error

    for place in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, place, fail)
            with pytest.raises(NotSavedError, match=f"a.json was not saved.*{says}"):
                write_whole(path, b"two")
    with pytest.raises(ZeroDivisionError), replacing(path) as beside:
        beside.write_bytes(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"one" and [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_sweep_under_a_writer_costs_one_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, sync, swept = tmp_path / "a.json", os.fsync, []

    def swept_once(handle: int) -> None:
        sync(handle)
        if not swept:
            swept.append(sweep(tmp_path, "a.json"))

    monkeypatch.setattr(os, "fsync", swept_once)
    write_whole(path, b"whole")
    assert swept and path.read_bytes() == b"whole"


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, pathlib\nfrom sugar.atomic import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1])) as beside:\n"
        "    beside.write_bytes(b'half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    write_whole(tmp_path / "a.json", b"one")
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.json")], timeout=60)
    assert ended.returncode == -signal.SIGKILL and len(list(tmp_path.iterdir())) == 2
    sweep(tmp_path, "b.json")
    assert len(list(tmp_path.iterdir())) == 2, "another file's"
    sweep(tmp_path)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"one"]
