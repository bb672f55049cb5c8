"""Which device and precision a model runs in, and whether it fits.

    device = pick_device("auto")
    precision, why = choose_precision(name, parameters, unquantised, device, "auto", "full")

README.md in this folder says what `auto` picks. Not covered: reading weights (load.py).
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from sugar.errors import ModelError
from sugar.model.presets import PRECISIONS, PRESETS, memory_need

__all__ = ["DTYPES", "choose_precision", "free_memory", "pick_device"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(device: str) -> str:
    """'auto' -> cuda, mps or cpu. Raises ModelError when a device that was asked for is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = device.split(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise ModelError(f"Device {device!r} is not known. Use auto, cpu, cuda, cuda:N or mps.")
    if (kind == "cuda" and not torch.cuda.is_available()) or (
        kind == "mps" and not torch.backends.mps.is_available()
    ):
        raise ModelError(
            f"Device {device!r} was asked for, but this machine has none that PyTorch can use. Use --device "
            "cpu."
        )
    return device


def free_memory(device: str) -> float:
    """GB that a model may take: free memory of a CUDA device, available memory of the machine otherwise."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(torch.device(device))[0] / 1e9
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            available = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
        for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
            if os.path.exists(limit) and (text := Path(limit).read_text().strip()).isdigit():
                available = min(available, int(text))
        return available / 1e9
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2e9


def choose_precision(
    name: str, parameters: float, unquantised: float, device: str, precision: str, stored: str
) -> tuple[str, str]:
    """(precision, why). parameters in billions. Raises ModelError, with what would fit, when nothing fits.

    stored: 'nf4' for a checkpoint that was quantised ahead of time; it stays so.
    """
    if precision not in ("auto", *PRECISIONS):
        raise ModelError(f"Precision {precision!r} is not known. Use auto, {', '.join(PRECISIONS)}.")
    free = free_memory(device)
    if stored == "nf4":
        if precision not in ("auto", "nf4"):
            raise ModelError(
                f"{name} is stored in 4 bits and cannot be opened as {precision}. Use precision auto, or "
                "its full checkpoint."
            )
        order = ["nf4"]
    elif precision != "auto":
        order = [precision]
    elif device.startswith("cuda"):
        order = ["bf16" if torch.cuda.is_bf16_supported() else "fp16", "nf4"]
    else:
        order = ["fp32", "bf16"]
    needs = {p: memory_need(parameters, p, unquantised) for p in order}
    for p in order:
        if needs[p] <= free:
            asked = (
                "as asked"
                if precision != "auto"
                else "as stored"
                if stored == "nf4"
                else "the widest that fits"
            )
            return p, f"{p} on {device}, {asked}: needs about {needs[p]:.1f} of {free:.1f} GB free"
    least = min(needs.values())
    others = [
        f"{other.name} ({p})"
        for other in PRESETS.values()
        for p in (
            [other.stored] if other.stored == "nf4" else ["nf4"] if device.startswith("cuda") else ["bf16"]
        )
        if other.memory(p) <= free and other.name != name
    ]
    smaller = (
        []
        if precision == "auto"
        else [p for p in PRECISIONS if memory_need(parameters, p, unquantised) <= free]
    )
    remedy = f"It would fit as {' or '.join(smaller)}. " if smaller else ""
    raise ModelError(
        f"{name} needs about {least:.1f} GB as {' or '.join(order)} and {device} has {free:.1f} GB free. "
        f"{remedy}"
        f"These fit: {', '.join(others) or 'none of the presets'}."
    )
