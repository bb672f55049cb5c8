"""What is read of a picture's EXIF: orientation, time taken, camera and place.

Not covered: opening the picture (images.py), what is a time (taken.py), what is a place (place.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from PIL import ExifTags, Image

from sugar import place, taken

_YEARS = range(1826, 2100)  # from the oldest photograph that is kept; clocks that were never set say others
_HEMISPHERES = ({"n": 1, "s": -1}, {"e": 1, "w": -1})


class Exif:
    """The metadata of one picture whose pixels are loaded: loading may turn it upright, and says so here.

    Broken EXIF costs a picture nothing but its metadata.
    """

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
        """The time of taking, else of digitizing; the time of the last change only where neither is told.

        A time of taking that is blank, all zeros or cannot be read says that the day is not known, and the
        day of an edit is then no better than none.
        """
        detail = exif.get_ifd(ExifTags.IFD.Exif)
        told = [
            value
            for tag in (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized)
            for value in (detail.get(tag), exif.get(tag))  # some programs write it beside the make
            if value not in (None, "", b"")
        ]
        for value in told or [exif.get(ExifTags.Base.DateTime)]:
            found = taken.read(value)
            if found is not None and found.time.year in _YEARS:
                return found.time
        return None

    @staticmethod
    def _model(exif: Any) -> str:
        words = [str(exif.get(tag, "")).strip("\0 ") for tag in (ExifTags.Base.Make, ExifTags.Base.Model)]
        text = words[1] if words[1].lower().startswith(words[0].lower()) else " ".join(words)
        return re.sub(r"[\x00-\x1f\x7f]", "", text).strip()[:80]

    @staticmethod
    def _gps(exif: Any) -> tuple[float, float] | None:
        gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
        latitude, longitude = (
            _degrees(gps.get(tag + 1), gps.get(tag), signs)
            for tag, signs in zip((1, 3), _HEMISPHERES, strict=True)
        )
        return place.pair(latitude, longitude)


def _degrees(value: Any, hemisphere: Any, signs: dict[str, int]) -> float | None:
    """Degrees, or degrees and minutes, or these and seconds, in a hemisphere: "S", "s ", b"South".

    None where any of them is missing, is not a number (0/0), or is out of its range: sixty minutes. A number
    without its hemisphere is half a value: "North" is a guess that is wrong for half of the Earth.
    """
    told = hemisphere.decode("latin-1") if isinstance(hemisphere, bytes) else str(hemisphere)
    sign = signs.get(told.strip("\0 ")[:1].lower())
    parts = [float(part) for part in (value if isinstance(value, (tuple, list)) else (value,))]
    if sign == -1 and parts[0] < 0:
        parts[0] = -parts[0]  # said twice
    if sign is None or not 1 <= len(parts) <= 3 or parts[0] < 0 or not all(0 <= p < 60 for p in parts[1:]):
        return None
    return sign * sum(part / 60**n for n, part in enumerate(parts))
