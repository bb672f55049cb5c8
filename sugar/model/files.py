"""The files of a checkpoint or an adapter as they came: read, or refused with the cause and the remedy.

    config = read_json(folder / "config.json")        # a JSON object
    shapes = tensor_shapes(folder / "model.safetensors")    # of the header alone
    tensors = read_tensors(folder / "head.safetensors")
    state = read_state(folder / "state.pt")                 # of a training run; tensors only are unpickled

One way for base models, adapters, heads, soft prompts and training states. What is seen often: Git LFS
pointers in place of files, cut downloads, web pages saved as files, pickles. Imports no model library
before a file is read. Not covered: what the content means.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sugar.errors import ModelError
from sugar.paths import existing

if TYPE_CHECKING:
    import torch

__all__ = ["read_json", "read_state", "read_tensors", "reason", "tensor_shapes"]

MOST_JSON = 64 << 20
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises ModelError for anything else."""
    data = _present(path, MOST_JSON).read_bytes()
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} is not valid JSON ({reason(error)}). Download or save the checkpoint again."
        ) from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds a {type(value).__name__}, not a JSON object. Download it again.")
    return value


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a safetensors file, from its header. Raises ModelError for a damaged one."""
    from safetensors import safe_open

    _present(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in list(file.keys())}
    except Exception as error:  # SafetensorError, OSError, and what a hostile header brings
        raise _damaged(path, error) from error


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file. Raises ModelError for a damaged one."""
    from safetensors.torch import load_file

    _present(path)
    try:
        return load_file(path)
    except Exception as error:
        raise _damaged(path, error) from error


def read_state(path: Path, *keys: str) -> dict[str, Any]:
    """What `torch.save` wrote of a training run, with these keys. Raises ModelError for another file."""
    import torch

    _present(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a cut zip, a pickle of something else: many kinds
        raise _damaged(path, error, "Delete it to begin again, or use another --out.") from error
    if not isinstance(state, dict) or not set(keys) <= state.keys():
        raise ModelError(f"{path} is no state of such a run. Use another --out.")
    return state


def reason(error: BaseException) -> str:
    """The first line of a library's message; its kind where it says nothing.

    >>> reason(ValueError("too long\\nat line 3")), reason(KeyError())
    ('too long', 'KeyError')
    """
    return (str(error).strip() or type(error).__name__).split("\n")[0][:300]


def _present(path: Path, most: int | None = None) -> Path:
    """The path of a file that may be read. Raises ModelError with what lies there instead."""
    again = "Download or save it again."
    if existing(path) is None:
        if path.is_symlink():
            raise ModelError(f"{path} is a link that leads nowhere. {again}")
        if path.suffix != ".safetensors":
            raise ModelError(f"{path} is missing. {again}")
        pickles = sorted(p.name for kind in PICKLES for p in path.parent.glob(kind))
        also = "".join(
            f" It holds {name}, which can run code when opened: Sugar reads safetensors only."
            for name in pickles[:1]
        )
        raise ModelError(f"{path} is missing.{also} {again[:-1]}, or convert it to safetensors.")
    if not path.is_file():
        raise ModelError(f"{path} is a folder or a device, where a file should be. {again}")
    try:
        with path.open("rb") as file:
            start = file.read(64)
        size = path.stat().st_size
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}). Check its permissions.") from error
    if not start:
        raise ModelError(f"{path} is empty (0 bytes). {again}")
    if start.startswith(b"version https://git-lfs"):
        raise ModelError(
            f"{path} is a Git LFS pointer, not the file itself. Run `git lfs pull` in its folder. {again}"
        )
    if start.lstrip()[:9].lower() in (b"<!doctype", b"<html>", b"<html lan"):
        raise ModelError(f"{path} is a web page, not the file itself. {again}")
    if most is not None and size > most:
        raise ModelError(f"{path} has {size / 1e6:,.0f} MB; at most {most / 1e6:.0f} are read. {again}")
    return path


def _damaged(path: Path, error: Exception, remedy: str = "Delete it and download it again.") -> ModelError:
    return ModelError(f"{path} is damaged or cut short ({reason(error)}). {remedy}")
