"""Albums out of captioned pictures: runs of 2 to 5 neighbours in the table's order, each told twice.

    open_albums(Path("flickr8k"), "train")       # --data albums=flickr8k#train

A telling is one sample, picture and caption in turn; the second takes other captions where a picture has
several, so that two long sequences of one meaning are there to align (Sugar, section 3). Not covered: the
order of pictures in time, which captions do not tell.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sugar.sequence import Sample
from sugar.training.data.captions import CaptionedPictures, open_flickr, open_folder
from sugar.training.data.example import Example, Target

FEWEST, MOST = 2, 5


class Albums:
    """One album for every three pictures; which pictures and captions, its number decides."""

    def __init__(self, pictures: CaptionedPictures) -> None:
        self.name, self.pictures, self.notes = f"albums of {pictures.name}", pictures, pictures.notes

    def __len__(self) -> int:
        return max(1, len(self.pictures) // 3)

    def __getitem__(self, index: int) -> Example:
        rng = np.random.default_rng([index])
        first, size = 3 * index, int(rng.integers(FEWEST, MOST + 1))
        rows = [self.pictures[n % len(self.pictures)] for n in range(first, first + size)]
        tellings: list[list[object]] = [[], []]
        for row in rows:
            captions = [t.sample.text for t in row.samples[1:]]
            order = rng.permutation(len(captions))
            for n, telling in enumerate(tellings):
                telling += [row.samples[0].sample.images[0], captions[order[n % len(captions)]]]
        targets = tuple(Target(Sample(telling)) for telling in tellings)  # type: ignore[arg-type]
        return Example(targets, retold=((0, 1),), source=f"{self.name}: {rows[0].source}")

    def captions(self, index: int) -> list[str]:
        return [t.text for target in self[index].samples for t in target.sample if not t.is_image]


def open_albums(path: Path, split: str = "") -> Albums:
    """Albums of a captioned folder, or of Flickr8k and Flickr30k as published."""
    published = path.is_dir() and any(path.glob("*k.t*"))
    return Albums((open_flickr if published else open_folder)(path, split))
