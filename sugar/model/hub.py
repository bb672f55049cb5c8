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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sugar.errors import ModelError
from sugar.model.checkpoint import read_json, reason

__all__ = ["DownloadProgress", "Remote", "download", "explained", "look", "print_progress"]

log = logging.getLogger("sugar")

WANTED = (".safetensors", ".json", ".jinja", ".txt", ".model")
UNWANTED = ("onnx/", "openvino/", "original/", "runs/", ".git", "consolidated", "coreml/")
"""Other forms of the same weights, and folders that no checkpoint of ours reads."""


@dataclass(frozen=True)
class DownloadProgress:
    """How far a download is. done, total: bytes of all its files; file: the one under way."""

    repository: str
    file: str
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
    commit: str
    files: tuple[tuple[str, int, str | None], ...]
    parameters: int

    @property
    def bytes(self) -> int:
        return sum(size for _, size, _ in self.files)


def print_progress(p: DownloadProgress) -> None:
    """A line in the shell that rewrites itself."""
    share = p.done / p.total if p.total else 1.0
    print(
        f"\r{p.repository}: {p.done / 1e9:.2f} of {p.total / 1e9:.2f} GB ({share:.0%}) {p.file[:40]:<40}",
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


def _wanted(name: str) -> bool:
    return (
        name.endswith(WANTED)
        and not name.startswith(UNWANTED)
        and (name.count("/") == 0 or name.endswith(".jinja"))
    )


def look(
    repository: str, revision: str = "main", *, endpoint: str | None = None, token: str | None = None
) -> Remote:
    """What a download would fetch, without fetching it.

    Raises ModelError: missing, gated, unreachable, or without safetensors.
    """
    from huggingface_hub import HfApi

    try:
        info = HfApi(endpoint=endpoint, token=token).model_info(
            repository, revision=revision, files_metadata=True
        )
    except Exception as error:
        raise explained(error, repository, revision) from error
    siblings = info.siblings or []
    files = tuple(
        (s.rfilename, s.size or 0, s.lfs.sha256 if s.lfs else None) for s in siblings if _wanted(s.rfilename)
    )
    if not any(name.endswith(".safetensors") for name, _, _ in files):
        names = [
            s.rfilename for s in siblings if s.rfilename.endswith((".bin", ".pt", ".pth", ".ckpt", ".gguf"))
        ]
        raise ModelError(
            f"{repository} holds no safetensors{f', only {names[0]}' if names else ''}. Pickled weights can "
            "run code when opened, so "
            "Sugar never reads them. Use a repository with safetensors."
        )
    counts = dict(getattr(info.safetensors, "parameters", None) or {}) if info.safetensors else {}
    parameters = sum(2 * n if kind in ("U8", "I8") else n for kind, n in counts.items())
    return Remote(repository, info.sha or revision, files, parameters)


def download(
    repository: str,
    revision: str = "main",
    *,
    progress: Callable[[DownloadProgress], None] | None = None,
    check: Callable[[Remote, dict[str, Any]], None] | None = None,
    endpoint: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    config_name: str = "config.json",
) -> Path:
    """The local folder of a repository, complete. What is there already is not fetched again.

    A broken download resumes.

    check: called with what is to come and its configuration before any weights are fetched; it may raise. In
    offline mode only what is there is used. Raises ModelError with the cause and the remedy.
    """
    from huggingface_hub import constants, hf_hub_download, snapshot_download

    common: dict[str, Any] = {"cache_dir": cache_dir, "endpoint": endpoint, "token": token}
    try:
        if constants.HF_HUB_OFFLINE:
            return Path(
                snapshot_download(repository, revision=revision, local_files_only=True, cache_dir=cache_dir)
            )
        try:
            remote = look(repository, revision, endpoint=endpoint, token=token)
        except ModelError as error:
            if not _unreachable(error.__cause__):
                raise
            known = Path(
                snapshot_download(repository, revision=revision, local_files_only=True, cache_dir=cache_dir)
            )
            log.warning("%s: the hub cannot be reached, going on with what is on this machine", repository)
            return known
        small_first = sorted(remote.files, key=lambda f: (f[0].endswith(".safetensors"), f[0]))
        done = 0
        folder: Path | None = None
        checked = check is None
        for name, size, sha256 in small_first:
            if name.endswith(".safetensors") and not checked:
                assert check is not None
                path = hf_hub_download(repository, config_name, revision=revision, **common)
                check(remote, read_json(Path(path)))
                _room(remote, Path(path))
                checked = True
            meter = _meter(progress, remote, name, done) if progress else None
            path = Path(hf_hub_download(repository, name, revision=revision, tqdm_class=meter, **common))
            _verify(path, name, size, sha256, repository)
            done += size
            folder = path.parents[name.count("/")]
            if progress:
                progress(DownloadProgress(repository, name, done, remote.bytes))
        assert folder is not None
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


def _meter(progress: Callable[[DownloadProgress], None], remote: Remote, name: str, before: int) -> Any:
    """A tqdm class that reports bytes to `progress` and prints nothing."""
    from tqdm import tqdm

    class Meter(tqdm):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            self._seen = int(kwargs.get("initial") or 0)
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            self._seen += int(n or 0)
            progress(DownloadProgress(remote.repository, name, before + self._seen, remote.bytes))
            return None

    return Meter
