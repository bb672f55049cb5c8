"""The shell: arguments in, the rooms' functions called, exit code out."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

REQUIRED: Any = object()
"""In place of a default: the flag must be given."""


def add_flags(parser: argparse.ArgumentParser, defaults: Mapping[str, Any], texts: Mapping[str, str]) -> None:
    """A flag for each default, of its type: a switch for False, several values for (), a flag that may be
    repeated for [], a choice for a tuple, whose first is the default; a type stands for no default.
    """
    for name, default in defaults.items():
        if default is False:
            how: dict[str, Any] = {"action": "store_true"}
        elif default == ():
            how = {"nargs": "*", "metavar": "ROW"}
        elif default == []:
            how = {"action": "append"}
        elif isinstance(default, tuple):
            how = {"default": default[0], "choices": default}
        elif isinstance(default, type):
            how = {"type": default}
        elif default is None or default is REQUIRED:
            how = {"required": default is REQUIRED}
        else:
            how = {"default": default, "type": type(default)}
        parser.add_argument(f"--{name}", help=texts[name], **how)
