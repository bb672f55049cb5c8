"""Who may do what: the three modes of the app, and the rules that hold in each.

    mode = resolve("", host="127.0.0.1", share=False, auth="", space=False)     # PERSONAL
    mode.private                                                                # False: galleries persist

Every room asks the mode; none guesses from the address. The table for people is in README.md beside this.
Not covered: who a visitor is (visitors.py), how much a visitor may ask for (quotas.py).
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass

from sugar.errors import SettingsError
from sugar.settings import Settings


@dataclass(frozen=True)
class Mode:
    """One way of running the app.

    Args:
        name: what `--mode` takes.
        means: one sentence for the start line and the page.
        private: every visitor has one gallery of their own, which goes after `grace_seconds` without a sign.
        folders: the page may name a folder of the machine that the app runs on.
        exchange_model: the page may load another model.
        one_person: everybody who reaches the page is the same person.
        grace_seconds: how long a visitor's files stay after the visitor's last sign.
    """

    name: str
    means: str
    private: bool
    folders: bool
    exchange_model: bool
    one_person: bool
    grace_seconds: float


PERSONAL = Mode(
    "personal",
    "one person on this machine: galleries persist, only this machine's own addresses are answered",
    private=False,
    folders=True,
    exchange_model=True,
    one_person=True,
    grace_seconds=24 * 3600.0,
)
LAN = Mode(
    "lan",
    "people who know the password: galleries persist and belong to the login",
    private=False,
    folders=False,
    exchange_model=True,
    one_person=False,
    grace_seconds=24 * 3600.0,
)
PUBLIC = Mode(
    "public",
    "strangers: each visitor has a private gallery that is deleted after 15 minutes without use",
    private=True,
    folders=False,
    exchange_model=False,
    one_person=False,
    grace_seconds=15 * 60.0,
)
MODES = {mode.name: mode for mode in (PERSONAL, LAN, PUBLIC)}


def resolve(name: str, *, host: str, share: bool, auth: str, space: bool) -> Mode:
    """The mode to run in.

    Args:
        name: "personal", "lan", "public", or "" for the safe default.
        host: the address that the app listens on.
        share: whether a public address through a tunnel is asked for.
        auth: "user:password", or "".
        space: whether this is a Hugging Face Space.

    Returns:
        The named mode. Without a name: public on a Space and with a tunnel; personal on a loopback address;
        lan elsewhere with a password; public elsewhere.

    Raises:
        SettingsError: an unknown name, or a mode that promises more than the address keeps.
    """
    if name and name not in MODES:
        raise SettingsError(f"mode is {name!r}; it may be {', '.join(MODES)}.")
    exposed = "a Space" if space else "--share" if share else ""
    if exposed:
        if name not in ("", PUBLIC.name):
            raise SettingsError(
                f"Strangers can reach {exposed}, so its mode is public. Leave out --mode {name}."
            )
        return PUBLIC
    if name == PERSONAL.name and not is_loopback(host):
        raise SettingsError(
            f"--mode personal answers this machine only, but the address is {host}. "
            "Use --mode lan with --auth user:password, or --host 127.0.0.1."
        )
    if name == LAN.name and not auth:
        raise SettingsError("--mode lan keeps galleries for those who log in. Set --auth user:password.")
    if name:
        return MODES[name]
    if is_loopback(host):
        return PERSONAL
    return LAN if auth else PUBLIC


def mode_of(settings: Settings) -> Mode:
    """The mode that these settings ask for, here. Raises SettingsError, see `resolve`."""
    return resolve(
        settings.mode, host=settings.host, share=settings.share, auth=settings.auth, space=on_a_space()
    )


def on_a_space() -> bool:
    """Whether Hugging Face runs the app, as a Space."""
    return "SPACE_ID" in os.environ


def is_loopback(host: str) -> bool:
    """Whether an address is reached from its own machine only: 127.0.0.1, ::1 and their like, localhost."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
