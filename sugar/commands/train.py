"""`python -m sugar train --recipe sugar --config tiny`: rebuild the shipped checkpoint from nothing, or train a base with LoRA.

Every field of `SugarConfig` is a flag of its own; those of its parts are written `--terms.swap 0`, `--mix.cards 4`. The run resumes by
itself when `--out` holds a state.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from sugar.training.loop import SugarConfig, train
from sugar.training.recipes import RECIPES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", default="sugar", choices=sorted(RECIPES))
    parser.add_argument("--config", default="tiny", choices=sorted({c for configs in RECIPES.values() for c in configs}))
    for name, kind, text in _fields(SugarConfig()):
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, type=_boolean if kind is bool else kind, default=None, help=text)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is not true or false")
    return text.lower() in ("true", "1")


def _fields(config: Any, prefix: str = "") -> list[tuple[str, type, str]]:
    found = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            found += _fields(value, f"{prefix}{field.name}.")
        else:
            found.append((prefix + field.name, type(value), f"default of the recipe, {value!r} where it names none"))
    return found


def override(config: Any, values: dict[str, Any]) -> Any:
    """The frozen config with dotted names replaced."""
    nested: dict[str, dict[str, Any]] = {}
    flat: dict[str, Any] = {}
    for name, value in values.items():
        head, _, rest = name.partition(".")
        if rest:
            nested.setdefault(head, {})[rest] = value
        else:
            flat[head] = value
    return dataclasses.replace(config, **flat, **{k: override(getattr(config, k), v) for k, v in nested.items()})


def run(args: argparse.Namespace) -> int:
    given = {name: getattr(args, name) for name, _, _ in _fields(SugarConfig()) if getattr(args, name) is not None}
    config = override(RECIPES[args.recipe][args.config], given)
    folder = train(config)
    print(f"the checkpoint is in {folder}")
    return 0
