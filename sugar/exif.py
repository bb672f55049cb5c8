"""What is read of a picture's EXIF: orientation, time taken, camera and place.

Not covered: opening the picture (images.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from PIL import ExifTags, Image

__all__ = ["Exif"]


class Exif:
    """The metadata of one opened picture. Broken EXIF costs a picture nothing but its metadata."""

    def __init__(self, image: Image.Image) -> None:
        self._exif: Any = {}
        with suppress(
            Exception
        ):  # struct.error, ValueError, SyntaxError, OSError: whatever broken EXIF brings
            self._exif = image.getexif()
        self.orientation: int = self._get(lambda e: int(e.get(ExifTags.Base.Orientation, 1))) or 1
        self.taken = self._get(self._time)
        self.camera = self._get(self._model) or ""
        self.location = self._get(self._gps)

    def _get(self, read: Callable[[Any], Any]) -> Any:
        with suppress(Exception):
            return read(self._exif)
        return None

    @staticmethod
    def _time(exif: Any) -> datetime | None:
        detail = exif.get_ifd(ExifTags.IFD.Exif)
        for raw in (
            detail.get(ExifTags.Base.DateTimeOriginal),
            detail.get(ExifTags.Base.DateTimeDigitized),
            exif.get(306),
        ):
            with suppress(ValueError, TypeError):
                return datetime.strptime(str(raw).strip("\0 "), "%Y:%m:%d %H:%M:%S")
        return None

    @staticmethod
    def _model(exif: Any) -> str:
        words = [str(exif.get(tag, "")).strip("\0 ") for tag in (ExifTags.Base.Make, ExifTags.Base.Model)]
        text = words[1] if words[1].lower().startswith(words[0].lower()) else " ".join(words)
        return re.sub(r"[\x00-\x1f\x7f]", "", text).strip()[:80]

    @staticmethod
    def _gps(exif: Any) -> tuple[float, float] | None:
        gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
        if not {1, 2, 3, 4} <= set(gps):
            return None
        latitude, longitude = (float(d) + float(m) / 60 + float(s) / 3600 for d, m, s in (gps[2], gps[4]))
        return (-latitude if gps[1] == "S" else latitude), (-longitude if gps[3] == "W" else longitude)
