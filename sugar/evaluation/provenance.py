"""Where a figure comes from: model, commit, machine, versions, date.

Every results row and figures file carries it.
"""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def commit() -> str:
    """The checkout's commit, with "+" where files differ from it; empty outside a checkout."""
    try:
        head = _git("rev-parse", "--short", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def machine() -> str:
    return f"{os.cpu_count()} x {platform.machine()} {platform.system()}"


def provenance(model: Any = None) -> dict[str, Any]:
    """Commit, machine, date, and of a model its name, fingerprint, precision and device."""
    about: dict[str, Any] = {
        "commit": commit(),
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    if model is not None:
        about |= {
            "model": model.name,
            "fingerprint": model.fingerprint,
            "precision": model.precision,
            "device": model.device,
            "seed": 0,
        }
    return about
