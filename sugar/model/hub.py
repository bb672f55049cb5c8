"""Downloads from the hub: how much, how far, resumed, verified; offline honoured; safetensors only.

    folder = download("llava-hf/llava-1.5-7b-hf", progress=print_progress, check=fits)

What is fetched: weights as safetensors, configuration, tokenizer and templates; never code, never pickles.
`check` sees the configuration and the size before the weights are fetched, and may refuse. Large files are
compared with the hub's own SHA-256 once. Not covered: data sets.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sugar.errors import ModelError
from sugar.model.checkpoint import read_json, reason

log = logging.getLogger("sugar")

WANTED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]
UNWANTED = ["consolidated*", *(f"*/{pattern}" for pattern in WANTED if pattern != "*.jinja")]
"""Other forms of the same weights, and folders that no checkpoint of ours reads, but for templates."""


@dataclass(frozen=True)
class DownloadProgress:
    """How far a download is. done, total: bytes of all its files."""

    repository: str
    done: int
    total: int


@dataclass(frozen=True)
class Remote:
    """A repository before its download.

    Attributes:
        files: (name, bytes, sha256 or None).
        parameters: how many, 0 when the hub does not say.
    """

    repository: str
    files: tuple[tuple[str, int, str | None], ...]
    parameters: int

    @property
    def bytes(self) -> int:
        return sum(size for _, size, _ in self.files)


def print_progress(p: DownloadProgress) -> None:
    """A line in the shell that rewrites itself."""
    share = p.done / p.total if p.total else 1.0
    print(
        f"\r{p.repository}: {p.done / 1e9:.2f} of {p.total / 1e9:.2f} GB ({share:.0%})",
        end="",
        file=sys.stderr,
        flush=True,
    )
    if p.done >= p.total:
        print(file=sys.stderr)


def explained(error: Exception, repository: str, revision: str) -> ModelError:
    """The hub's errors in words a person can act on."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        text = (
            f"{repository} is gated: its licence must be accepted. Open its page on the hub, accept, "
            "then run `hf auth login`."
        )
    elif isinstance(error, errors.RepositoryNotFoundError):
        text = (
            f"There is no repository {repository!r} on the hub, or it is private. "
            "Check the spelling, log in with `hf auth login`, or name a preset or a local folder."
        )
    elif isinstance(error, errors.RevisionNotFoundError):
        text = f"{repository} has no revision {revision!r}. Use main, or a commit that its page lists."
    elif isinstance(error, (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled)):
        text = (
            f"{repository} has not been downloaded to this machine, and the hub cannot be reached "
            "(offline mode, or no network). Go online once, or use sugar-photo, which ships with Sugar."
        )
    elif isinstance(error, errors.HFValidationError):
        text = (
            f"{repository!r} is neither a preset, nor a folder on this machine, nor a repository id "
            "(owner/name). Check the spelling."
        )
    elif isinstance(error, OSError) and error.errno == 28:
        text = (
            f"The disk is full while downloading {repository}. Free some space; what is there already "
            "will be reused."
        )
    else:
        why = f"{type(error).__name__}: {reason(error)}"
        text = f"{repository} could not be downloaded ({why}). Try again: it resumes."
    return ModelError(text)


def look(repository: str, revision: str = "main", *, endpoint: str | None = None) -> Remote:
    """What a download would fetch, without fetching it.

    Raises ModelError: missing, gated, unreachable, or without safetensors.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import filter_repo_objects

    try:
        info = HfApi(endpoint=endpoint).model_info(repository, revision=revision, files_metadata=True)
    except Exception as error:
        raise explained(error, repository, revision) from error
    sizes = {s.rfilename: (s.size or 0, s.lfs.sha256 if s.lfs else None) for s in info.siblings or []}
    wanted = filter_repo_objects(sizes, allow_patterns=WANTED, ignore_patterns=UNWANTED)
    files = tuple((name, *sizes[name]) for name in wanted)
    if not any(name.endswith(".safetensors") for name, _, _ in files):
        pickles = [n for n in sizes if n.endswith((".bin", ".pt", ".pth", ".ckpt", ".gguf"))]
        raise ModelError(
            f"{repository} holds no safetensors{f', only {pickles[0]}' if pickles else ''}. Pickled weights "
            "can run code when opened, so Sugar never reads them. Use a repository with safetensors."
        )
    counts = dict(getattr(info.safetensors, "parameters", None) or {}) if info.safetensors else {}
    parameters = sum(2 * n if kind in ("U8", "I8") else n for kind, n in counts.items())
    return Remote(repository, files, parameters)


def download(
    repository: str,
    revision: str = "main",
    *,
    progress: Callable[[DownloadProgress], None] | None = None,
    check: Callable[[Remote, dict[str, Any]], None] | None = None,
    endpoint: str | None = None,
    cache_dir: str | Path | None = None,
) -> Path:
    """The local folder of a repository, complete. What is there already is not fetched again.

    A broken download resumes.

    check: called with what is to come and its configuration before any weights are fetched; it may raise. In
    offline mode only what is there is used. Raises ModelError with the cause and the remedy.
    """
    from huggingface_hub import constants, hf_hub_download, snapshot_download

    wanted: dict[str, Any] = {
        "revision": revision,
        "cache_dir": cache_dir,
        "allow_patterns": WANTED,
        "ignore_patterns": UNWANTED,
    }
    try:
        if constants.HF_HUB_OFFLINE:
            return Path(snapshot_download(repository, local_files_only=True, **wanted))
        try:
            remote = look(repository, revision, endpoint=endpoint)
        except ModelError as error:
            if not _unreachable(error.__cause__):
                raise
            folder = Path(snapshot_download(repository, local_files_only=True, **wanted))
            log.warning("%s: the hub cannot be reached, going on with what is on this machine", repository)
            return folder
        if check is not None:
            config = Path(
                hf_hub_download(
                    repository, "config.json", revision=revision, cache_dir=cache_dir, endpoint=endpoint
                )
            )
            check(remote, read_json(config))
            _room(remote, config)
        meter = _meter(progress, remote) if progress else None
        folder = Path(snapshot_download(repository, endpoint=endpoint, tqdm_class=meter, **wanted))
        for name, size, sha256 in remote.files:
            _verify(folder / name, name, size, sha256, repository)
        if progress:
            progress(DownloadProgress(repository, remote.bytes, remote.bytes))
        return folder
    except ModelError:
        raise
    except Exception as error:
        raise explained(error, repository, revision) from error


def upload(
    folder: str | Path,
    repository: str,
    *,
    private: bool = True,
    endpoint: str | None = None,
    token: str | None = None,
) -> str:
    """Put a folder into a repository of the hub; the page's address.

    Raises ModelError with the cause when refused.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi(endpoint=endpoint, token=token)
        address = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Sugar adapter")
    except Exception as error:
        raise explained(error, repository, "main") from error
    return str(address)


UNREACHABLE = {"ConnectError", "ConnectionError", "TimeoutException", "OfflineModeIsEnabled"}
UNREACHABLE |= {"LocalEntryNotFoundError"}


def _unreachable(error: BaseException | None) -> bool:
    return bool(UNREACHABLE & {kind.__name__ for kind in type(error).__mro__})


def _room(remote: Remote, near: Path) -> None:
    free = shutil.disk_usage(near.parent).free
    weights = sum(size for name, size, _ in remote.files if name.endswith(".safetensors"))
    if weights > free:
        raise ModelError(
            f"{remote.repository} is {weights / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB free. Free "
            "some space, or set HF_HOME to "
            "a larger disk."
        )


def _verify(path: Path, name: str, size: int, sha256: str | None, repository: str) -> None:
    """Size always; SHA-256 once per file, remembered beside the blob that the hub's cache keeps."""
    blob = path.resolve()
    seen = blob.stat().st_size
    if size and seen != size:
        blob.unlink()
        raise ModelError(
            f"{name} of {repository} has {seen} bytes where the hub says {size}. It was removed; try again."
        )
    verified = blob.with_name(blob.name + ".verified")
    if sha256 is None or verified.exists():
        return
    digest = hashlib.sha256()
    with blob.open("rb") as file:
        for block in iter(lambda: file.read(1 << 22), b""):
            digest.update(block)
    if digest.hexdigest() != sha256:
        blob.unlink()
        path.unlink(missing_ok=True)
        raise ModelError(
            f"{name} of {repository} was damaged on the way (its SHA-256 differs). It was removed; try again."
        )
    verified.touch()


def _meter(progress: Callable[[DownloadProgress], None], remote: Remote) -> Any:
    """A tqdm class that reports the bytes of all files to `progress` and prints nothing."""
    from huggingface_hub.utils import tqdm

    lock = threading.Lock()

    class Meter(tqdm):  # type: ignore[type-arg, misc]
        done = 0

        def __init__(self, *args: Any, name: str | None = None, **kwargs: Any) -> None:
            self.counts = name == "huggingface_hub.snapshot_download"  # one of its three bars has the bytes
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            if self.counts:
                with lock:
                    self.done = min(self.done + int(n or 0), remote.bytes)
                    progress(DownloadProgress(remote.repository, self.done, remote.bytes))
            return None

    return Meter
