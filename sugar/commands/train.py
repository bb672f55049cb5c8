"""`python -m sugar train`: a base of any family on any data, by a named recipe.

    python -m sugar train --recipe sugar --config own --data holiday --out runs/holiday
    python -m sugar train --recipe sugar --config photo        # on the files of `python -m sugar material`

Every field of the recipe's settings is a flag; those of its parts are written `--terms.swap 0`. The run
resumes by itself when `--out` holds a state. `accelerate launch --multi_gpu
--num_processes 2 -m sugar train ...` shares it between processes.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from sugar.errors import SettingsError
from sugar.paths import output_folder
from sugar.training.recipes import CARDS, RECIPES, for_card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", default="sugar", choices=sorted(RECIPES))
    names = sorted({c for recipe in RECIPES.values() for c in recipe.configs})
    parser.add_argument("--config", choices=names, help="named settings of the recipe; default: its first")
    parser.add_argument(
        "--preset-for", choices=sorted(CARDS), help="fit a 7B base into a card of that memory"
    )
    parser.add_argument("--data", action="append", metavar="FORMAT=PATH#SPLIT:WEIGHT", help="may be repeated")
    parser.add_argument("--quiet", action="store_true")
    known: set[str] = {"data"}
    for config in (next(iter(recipe.configs.values())) for recipe in RECIPES.values()):
        for name, kind, text in _fields(config):
            if name not in known:
                flag = f"--{name.replace('_', '-')}"
                parser.add_argument(flag, dest=name, type=_boolean if kind is bool else kind, help=text)
                known.add(name)


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
            found.append((prefix + field.name, type(value), f"e.g. {value!r}"))
    return found


def override(config: Any, values: dict[str, Any]) -> Any:
    """The frozen config with dotted names replaced. Raises SettingsError for a name that it lacks."""
    nested: dict[str, dict[str, Any]] = {}
    flat: dict[str, Any] = {}
    own = {f.name for f in dataclasses.fields(config)}
    for name, value in values.items():
        head, _, rest = name.partition(".")
        if head not in own:
            raise SettingsError(f"--{name.replace('_', '-')} is not a setting of this recipe.")
        if rest:
            nested.setdefault(head, {})[rest] = value
        else:
            flat[head] = value
    return dataclasses.replace(
        config, **flat, **{k: override(getattr(config, k), v) for k, v in nested.items()}
    )


def run(args: argparse.Namespace) -> int:
    from sugar.training import parallel
    from sugar.training.loop import train
    from sugar.training.memory import memory_line

    recipe = RECIPES[args.recipe]
    chosen = args.config or next(iter(recipe.configs))
    if chosen not in recipe.configs:
        raise SettingsError(
            f"The recipe {args.recipe} has the configs {', '.join(recipe.configs)}, not {chosen!r}."
        )
    config = recipe.configs[chosen]
    if args.preset_for:
        config = for_card(config, args.preset_for)
    names = {name for r in RECIPES.values() for name, _, _ in _fields(next(iter(r.configs.values())))}
    given = {n: getattr(args, n) for n in names if n != "data" and getattr(args, n, None) is not None}
    if args.data:
        given["data"] = tuple(args.data)
    config = override(config, given)
    task = recipe.task(dataclasses.replace(config, out=str(output_folder(config.out, "--out"))))
    quiet = args.quiet or parallel.rank() > 0
    if not quiet:
        print(memory_line(task))
    folder = train(task, quiet=quiet)
    if not quiet:
        print(f"the checkpoint is in {folder}")
    return 0
