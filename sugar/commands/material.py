"""`python -m sugar material PHOTOS OUT`: the training data of sugar-photo, as files that `--data` reads.

With `--tower` the classes that a tower's classifier is sure of become questions; with `--language` an
untouched base answers prompts, which keeps its language in training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sugar.paths import output_folder, there


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", help="the folder of captioned photos (sugar/everyday/archive.py)")
    parser.add_argument("out", help="the new folder")
    parser.add_argument("--language", metavar="BASE", help="a base without training, which answers prompts")
    parser.add_argument("--seed", type=int, default=5)


def run(args: argparse.Namespace) -> int:
    from sugar.everyday.archive import Archive
    from sugar.training import material
    from sugar.training.dual import open_tower

    archive, out = Archive(there(args.photos, "The folder of photos")), output_folder(args.out, "OUT")
    maker = material.Maker(archive, args.seed)
    maker.write(out)
    material.write_rows(out / "kinds.json", material.kinds(archive, open_tower(), args.seed))
    if args.language:
        from sugar import Sugar

        base = Sugar.from_pretrained(args.language, device="auto")
        rows = material.replay(base, material.replay_prompts(maker))
        material.write_rows(out / "photos" / "replay.json", rows)
    for path in sorted(Path(out).rglob("*.[jt]*")):
        if path.suffix in (".json", ".txt", ".tsv"):
            print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0
