"""`python -m sugar train | evaluate | index | search | bench ...`: the rooms' functions, from a shell.

Only the file of the command that is asked for is imported. A SugarError ends with its message and exit code
2; anything else keeps its traceback.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from sugar.errors import SugarError

COMMANDS = {
    "train": ("train", "train a model by a recipe"),
    "data": ("data", "look at a data set before it is trained on"),
    "material": ("material", "make the training data of sugar-photo from captioned photos"),
    "pack": ("pack", "round a checkpoint to 4 bits, or put a trained adapter beside one"),
    "evaluate": ("evaluate", "measure a model, or run the ablation"),
    "index": ("gallery", "take a folder of pictures into a gallery"),
    "collection": ("cluster", "delete from a collection of `index --engine ray`, compact it, show it"),
    "search": ("gallery", "search a gallery with words and pictures"),
    "assets": ("assets", "rebuild what ships beside the checkpoint: gallery, cards, golden answers, quality"),
    "figures": ("figures", "fill the tables of the README files from what commands measured"),
    "bench": ("figures", "measure the scorer, the core, the app, a public host, or the trainer"),
}
"""Command -> its file in sugar/commands, and what it does. A file of two commands lists them as COMMANDS."""


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="python -m sugar", description="Sugar from a shell.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = next((a for a in argv if a in COMMANDS), None)
    for name, (file, text) in COMMANDS.items():
        sub = subparsers.add_parser(name, help=text, description=text)
        if name == chosen:
            module = importlib.import_module(f"sugar.commands.{file}")
            own = getattr(module, "COMMANDS", None)
            add_arguments, run = own[name] if own else (module.add_arguments, module.run)
            add_arguments(sub)
            sub.set_defaults(run=run)
    args = parser.parse_args(argv)
    try:
        return int(args.run(args))
    except SugarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
