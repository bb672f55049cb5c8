"""The app's settings: one frozen dataclass, from flags, then `SUGAR_*` variables, then its defaults.

    # or SUGAR_MODEL=... SUGAR_PORT=...
    settings = Settings.read(["--model", "llava-1.5-7b", "--port", "8080"])

Flags and variables are made from the fields, once: `queue_size` is `--queue-size` and `SUGAR_QUEUE_SIZE`.
Unknown ones fail. Not covered: how a model answers (those are on the page), training (recipes have their
own).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from sugar.errors import SettingsError
from sugar.paths import existing, shown, wanted

PREFIX = "SUGAR_"
TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def _setting(default: Any, text: str, low: float | None = None, high: float | None = None) -> Any:
    return field(default=default, metadata={"help": text, "low": low, "high": high})


@dataclass(frozen=True)
class Settings:
    """What the app starts with. Raises SettingsError for an unknown flag or variable, and for a value out of
    range.
    """

    model: str = _setting("sugar-photo", "preset, local folder or hub repository")
    adapter: str = _setting("", "folder or hub repository of an adapter")
    device: str = _setting("auto", "auto, cpu, cuda, cuda:1, ...")
    precision: str = _setting("auto", "auto, fp32, bf16, fp16, nf4")
    mode: str = _setting("", "personal, lan or public; without it, the safe one for the address")
    host: str = _setting("127.0.0.1", "address to listen on; 0.0.0.0 lets other machines in")
    allow_host: str = _setting("", "further names of this host, with commas, where a proxy of yours has one")
    proxies: int = _setting(
        0, "proxies of yours in front of the app, whose X-Forwarded-For is believed", 0, 9
    )
    port: int = _setting(7860, "first port to try", 0, 65535)
    share: bool = _setting(False, "a public address through gradio.live")
    auth: str = _setting("", "user:password, asked of every visitor")
    mcp: bool = _setting(False, 'offer the endpoints to MCP clients too (needs pip install "gradio[mcp]")')
    gallery: str = _setting("gallery_index", "folder of the galleries that persist")
    keep_originals: bool = _setting(True, "store uploads as they came; without it, copies of 1024 px")
    bin_days: int = _setting(30, "days in the bin before deleted pictures are gone for good", 0, 3650)
    collection: str = _setting(
        "", "sets made by `index --engine ray`, as NAME=ADDRESS with commas between, to be searched too"
    )
    public_collections: bool = _setting(False, "show them to the strangers of public mode as well")
    max_upload_mb: int = _setting(30, "largest picture or file that may be sent", 1, 2000)
    max_import_mb: int = _setting(4000, "largest zip that may be imported", 1, 1_000_000)
    max_pictures: int = _setting(12, "pictures in one conversation or query", 1, 200)
    max_text: int = _setting(8000, "characters in one text", 100, 1_000_000)
    max_tokens: int = _setting(1024, "longest answer, in tokens", 1, 100_000)
    answer_seconds: int = _setting(300, "longest time for one answer", 1, 86_400)
    queue_size: int = _setting(
        100, "questions that may wait; the next one is told that the app is busy", 1, 10_000
    )
    per_minute: int = _setting(60, "model requests a minute for one visitor", 1, 100_000)
    newcomers: int = _setting(60, "new visitors an hour from one address, in public mode", 1, 1_000_000)
    gallery_items: int = _setting(500, "pictures in one visitor's gallery, in public mode", 1, 10_000_000)
    visitor_mb: int = _setting(300, "what one visitor may keep, in public mode", 1, 1_000_000)
    server_mb: int = _setting(5000, "what all visitors together may keep, in public mode", 1, 100_000_000)

    def __post_init__(self) -> None:
        for f in fields(self):
            value, low, high = getattr(self, f.name), f.metadata["low"], f.metadata["high"]
            if low is not None and not low <= value <= high:
                raise SettingsError(f"{f.name} is {value}; it may be {low} to {high}.")
        if (root := existing(self.gallery)) is not None and not root.is_dir():
            raise SettingsError(
                f"gallery is {shown(self.gallery)}, a file. Name the folder of the galleries."
            )
        wanted(self.gallery, "gallery")
        _ = self.collections
        if self.auth and not all(self.auth.partition(":")[::2]):
            raise SettingsError("auth has the form user:password.")

    @property
    def collections(self) -> dict[str, str]:
        """Name -> address of the collections. Raises SettingsError: no name, or one twice."""
        found: dict[str, str] = {}
        for part in filter(None, (part.strip() for part in self.collection.split(","))):
            name, equals, address = (piece.strip() for piece in part.partition("="))
            if not (name and equals and address) or name in found or name in ("sample", "mine"):
                raise SettingsError(
                    f"collection is {shown(part)}; write NAME=ADDRESS, each name once, not sample or mine."
                )
            found[name] = address
        return found

    @property
    def gallery_root(self) -> Path:
        return existing(self.gallery) or wanted(self.gallery, "gallery")

    @classmethod
    def read(cls, argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
        """Flags win over variables, variables over defaults. `--help` prints and exits, as everywhere."""
        environ = os.environ if environ is None else environ
        known = {PREFIX + f.name.upper(): f for f in fields(cls)}
        unknown = sorted(k for k in environ if k.startswith(PREFIX) and k not in known)
        if unknown:
            raise SettingsError(f"Unknown variable {unknown[0]}. Known: {', '.join(known)}.")
        values: dict[str, Any] = {
            f.name: _parsed(f, environ[name], name) for name, f in known.items() if name in environ
        }
        parser = _Parser(prog="app.py", description="Sugar in a browser.", allow_abbrev=False)
        for f in fields(cls):
            flag = f"--{f.name.replace('_', '-')}"
            default = f.default if f.default != "" else "none"
            text = f"{f.metadata['help']} (default: {default}; {PREFIX}{f.name.upper()})"
            if isinstance(f.default, bool):
                parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
            else:
                parser.add_argument(flag, default=None, metavar=type(f.default).__name__.upper(), help=text)
        given = {k: v for k, v in vars(parser.parse_args(argv)).items() if v is not None}
        by_name = {f.name: f for f in fields(cls)}
        values |= {
            k: v if isinstance(v, bool) else _parsed(by_name[k], v, f"--{k.replace('_', '-')}")
            for k, v in given.items()
        }
        return cls(**values)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise SettingsError(f"{message}. See python app.py --help.")


def _parsed(f: Any, text: str, name: str) -> Any:
    if isinstance(f.default, bool):
        if text.lower() in TRUE + FALSE:
            return text.lower() in TRUE
        raise SettingsError(f"{name} is {text!r}; use 1 or 0.")
    if isinstance(f.default, int):
        try:
            return int(text)
        except ValueError:
            raise SettingsError(f"{name} is {text!r}; it must be a whole number.") from None
    return text
