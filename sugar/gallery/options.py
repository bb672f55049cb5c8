"""`GallerySettings`: what a gallery keeps and how much it takes. Stored in the gallery itself."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields

from sugar.errors import SettingsError
from sugar.gallery.archives import UploadLimits
from sugar.images import ImageLimits

__all__ = ["VISITOR_SETTINGS", "GallerySettings"]


@dataclass(frozen=True)
class GallerySettings:
    """A gallery's own settings.

    keep_location: store where a picture was taken (off: it is never read). caption_vectors: embed captions
    beside their pictures. picture_side: pixels of the longer side of the kept copy. The rest are caps:
    pictures and source bytes per gallery, bytes and pixels per file, files and bytes per upload,
    bytes of an import, packed and unpacked.
    """

    keep_location: bool = False
    caption_vectors: bool = True
    picture_side: int = 1024
    max_items: int = 2_000_000
    max_gallery_bytes: int = 2_000_000_000_000
    max_file_bytes: int = 30_000_000
    max_pixels: int = 80_000_000
    max_upload_files: int = 200_000
    max_upload_bytes: int = 500_000_000_000
    max_import_bytes: int = 500_000_000_000

    def __post_init__(self) -> None:
        for f in fields(self):
            if f.type == "int" and getattr(self, f.name) < 1:
                raise SettingsError(f"{f.name} is {getattr(self, f.name)}; give a number of at least 1.")

    @property
    def image_limits(self) -> ImageLimits:
        return ImageLimits(max_bytes=self.max_file_bytes, max_pixels=self.max_pixels)

    @property
    def upload_limits(self) -> UploadLimits:
        return UploadLimits(max_files=self.max_upload_files, max_bytes=self.max_upload_bytes)

    @classmethod
    def from_json(cls, text: str) -> GallerySettings:
        """Raises SettingsError for an unknown key, and for what are no settings."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            values = None
        kinds = {f.name: type(f.default) for f in fields(cls)}
        if not isinstance(values, dict) or any(
            type(v) is not kinds.get(k, type(v)) for k, v in values.items()
        ):
            raise SettingsError(
                f"The gallery's own settings are damaged ({text[:60]!r}). Restore its folder from a backup, "
                "or delete the gallery."
            )
        if unknown := set(values) - {f.name for f in fields(cls)}:
            raise SettingsError(
                f"Unknown gallery settings {sorted(unknown)}. A newer program made it; use that one."
            )
        return cls(**values)


VISITOR_SETTINGS = GallerySettings(
    max_items=2_000, max_gallery_bytes=2_000_000_000, max_upload_files=1_000, max_upload_bytes=1_000_000_000
)
"""For a shared host: small caps, and no location ever."""
