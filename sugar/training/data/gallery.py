"""A gallery of this app with its captions, as a data set: `--data gallery=holiday`.

    dataset = GalleryCaptions(gallery, name="holiday")  # an open gallery: pictures that a person captioned

Captions that a model wrote are left out: a model does not learn from itself. Not covered: changing a gallery.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sugar.errors import InputError
from sugar.gallery import Gallery
from sugar.images import open_image
from sugar.paths import existing, shown
from sugar.sequence import Embeddings, Sample
from sugar.settings import Settings
from sugar.training.data.example import Example, captioned


class GalleryCaptions:
    """The captioned pictures of an open gallery. Rows are paths and captions, so workers can hold them."""

    def __init__(self, gallery: Any, *, name: str) -> None:
        self.name = name
        self.rows: list[tuple[Path, str, str]] = [
            (gallery.picture_path(item.id), item.name, item.caption.strip())
            for item in gallery.items()
            if item.caption.strip() and not item.caption_by
        ]
        if not self.rows:
            raise InputError(f"No picture of the gallery {name} has a caption of yours. Caption some first.")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        path, name, caption = self.rows[index]
        return captioned(open_image(path).image, [caption], source=f"{self.name}: {name}")

    def captions(self, index: int) -> list[str]:
        return [self.rows[index][2]]


class _NoModel:
    """What a gallery is opened with when only its pictures and captions are read."""

    fingerprint, dimension, name = "none", 1, "no model"

    def embed(self, samples: list[Sample], **_: Any) -> Embeddings:
        raise InputError("This gallery was opened for its captions only.")


def open_gallery(path: Path, split: str = "") -> GalleryCaptions:
    """A gallery's folder, or the name of one of the app's (`SUGAR_GALLERY`, gallery_index/ without it)."""
    places = (path, Settings.read([]).gallery_root / path)
    folder = next((place for place in places if existing(place / "gallery.db")), None)
    if folder is None:
        raise InputError(f"There is no gallery at {shown(places[0])} or {shown(places[1])}.")
    gallery = Gallery.open(folder, _NoModel())  # type: ignore[arg-type]
    try:
        return GalleryCaptions(gallery, name=folder.name)
    finally:
        gallery.close()
