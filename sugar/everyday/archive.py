"""The data folder of the photo model: photos in zip files, captions, splits, sentences and class names.

    archive = Archive("DATA")
    archive.split("test")                 # names of photos
    archive.captions("123.jpg")           # the captions of one photo, as written
    archive.photos("flickr8k", names)     # PIL pictures, one after another

Files: flickr8k.zip, flickr8k.tsv, flickr8k_{train,dev,test}.txt, sentences.txt, coco_plain.zip,
coco_val_159.zip, imagenet500.zip, imagenet_classes.txt. Not covered: downloading them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from PIL import Image

from sugar.errors import InputError
from sugar.images import open_image
from sugar.text_files import decode, lines


def clean(caption: str) -> str:
    """A caption as the model learns to say it: lower case, single spaces, no full stop.

    >>> clean("A dog 's ball , in the Grass .")
    "a dog's ball, in the grass"
    """
    text = " ".join(caption.lower().split())
    return text.replace(" ,", ",").replace(" 's", "'s").rstrip(" .")


class Archive:
    """The folder. Files are read when they are needed; a missing one raises InputError with its name."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def lines(self, name: str) -> list[str]:
        """The non-empty lines of a text file."""
        try:
            text = decode((self.folder / name).read_bytes()).text
        except OSError as error:
            raise InputError(
                f"{self.folder / name} cannot be read ({error}). Name the folder with --data."
            ) from error
        return [line.strip() for line in lines(text) if line.strip()]

    def split(self, name: str) -> list[str]:
        """The photos of the official split "train", "dev" or "test"."""
        return self.lines(f"flickr8k_{name}.txt")

    @cached_property
    def _captions(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for line in self.lines("flickr8k.tsv"):
            name, _, caption = line.partition("\t")
            found[name].append(caption)
        return dict(found)

    def captions(self, photo: str) -> list[str]:
        """The captions of a photo of flickr8k, as their authors wrote them."""
        return self._captions[photo]

    def classes(self) -> list[str]:
        """The 1,000 class names of ImageNet, in order."""
        return self.lines("imagenet_classes.txt")

    def names(self, collection: str) -> list[str]:
        """The photos in a zip file, sorted by name. collection: "flickr8k", "coco_plain", ..."""
        with self._zip(collection) as file:
            return sorted(name for name in file.namelist() if name.endswith(".jpg"))

    def files(self, collection: str, names: Sequence[str]) -> Iterator[bytes]:
        """The files of pictures, in the order of `names`."""
        with self._zip(collection) as file:
            yield from map(file.read, names)

    def photos(self, collection: str, names: Sequence[str]) -> Iterator[Image.Image]:
        """RGB pictures, in the order of `names`."""
        for data in self.files(collection, names):
            yield open_image(data).image

    def _zip(self, collection: str) -> ZipFile:
        path = self.folder / f"{collection}.zip"
        try:
            return ZipFile(path)
        except (OSError, BadZipFile) as error:
            raise InputError(f"{path} cannot be read ({error}). Name the folder with --data.") from error
