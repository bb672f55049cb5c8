"""`python -m sugar pack BASE OUT --texts FILE`: a checkpoint in 4 bits; `--adapter` puts a trained one in.

`pack LANGUAGE OUT --tower runs/dual/model/tower` puts a tower before a language model: a base. Without an
adapter a base is rounded, and training goes on from the rounded one. Then `pack PACKED OUT --adapter
runs/photo/model` writes what ships: the rounded base, the LoRA beside it in 16 bits, the head, the trained
projector. `--profile` names a JSON file: the checkpoint's profile of sugar.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sugar.errors import SettingsError
from sugar.paths import output_folder, there

ROW, ROWS = 96, 160
"""Tokens a row, and rows at most, of which the rounding learns what the layers read: ten thousand words."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "base", help="a checkpoint; with --adapter a packed one, with --tower a language model"
    )
    parser.add_argument("out", help="the new folder")
    parser.add_argument("--tower", help="a tower of `--recipe dual`, to put before a language model")
    parser.add_argument("--texts", help="a text file, a text a line, to round by; some lines of it are read")
    parser.add_argument("--adapter", help="an adapter that was trained on the packed base")
    parser.add_argument("--name", default="sugar", help="the checkpoint's name (%(default)s)")
    parser.add_argument("--profile", help="a JSON file: how the checkpoint wants to be asked")


def run(args: argparse.Namespace) -> int:
    from sugar.model import packed
    from sugar.model.checkpoint import Profile, read_json

    base, out = there(args.base, "The base"), output_folder(args.out, "OUT")
    if args.tower:
        from sugar.model.assembled import assemble_pretrained
        from sugar.model.efficientnet import EfficientNetLite

        tower = EfficientNetLite.from_pretrained(there(args.tower, "--tower"), local_files_only=True)
        assemble_pretrained(tower, base, out)
    elif args.adapter:
        profile = Profile.from_settings({"profile": read_json(Path(args.profile)) if args.profile else {}})
        settings = {"name": args.name, "encoder": "sugar", "profile": profile.to_json()}
        packed.bundle(base, there(args.adapter, "--adapter"), out, settings)
    elif args.texts:
        _pack(base, out, there(args.texts, "--texts"))
    else:
        raise SettingsError(
            "Give --tower, to make a base, --texts, to round one by, or --adapter, to put one beside a "
            "rounded one."
        )
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size / 1e6:.0f} MB")
    return 0


def _pack(base: Path, out: Path, texts: Path) -> None:
    import torch

    from sugar import Sugar
    from sugar.model import packed
    from sugar.text_files import decode, lines

    sugar = Sugar.from_pretrained(base, device="cpu", precision="fp32")
    said = lines(decode(texts.read_bytes()).text)
    said = said[:: max(1, len(said) // (ROW * ROWS // 8))]  # a line has eight tokens and more
    ids = [token for line in said for token in sugar.processor.encode(line)][: ROW * ROWS]
    if len(ids) < ROW:
        raise SettingsError(
            f"{texts} has {len(ids)} tokens; the rounding needs at least {ROW}. Give more text."
        )
    rows = torch.tensor(ids[: len(ids) // ROW * ROW]).view(-1, ROW)
    packed.pack(sugar.model, sugar.processor.hf, out, rows)
