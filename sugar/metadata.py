"""What people wrote into a picture or beside it - EXIF, IPTC and XMP texts - and bytes without the place.

    Described.of(image, data)                  # caption, rating, place of an opened picture and its bytes
    read_xmp(sidecar), write_xmp(described)    # the file "a.xmp" beside a picture
    without_location(data)                     # the same picture, bit for bit, without where it was taken

XMP is the part of it that programs for photos share: dc:description, dc:subject, xmp:Rating, exif:GPS. Not
covered: what a camera says (exif.py), opening the picture (images.py).
"""

from __future__ import annotations

import re
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from PIL import ExifTags, Image, IptcImagePlugin

from sugar import place
from sugar.text_files import decode

MOST = 1_000_000
"""Bytes of one XMP packet that are read."""
BEST = 5
"""The rating of a favourite."""

_RDF, _DC = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}", "{http://purl.org/dc/elements/1.1/}"
_XMP, _EXIF = "{http://ns.adobe.com/xap/1.0/}", "{http://ns.adobe.com/exif/1.0/}"
_PACKET = re.compile(rb"<x:xmpmeta.{0,%d}?</x:xmpmeta>" % MOST, re.DOTALL)
_OF_CAMERAS = re.compile(
    r"(?:olympus digital camera|sony dsc|dcim\W.*|dji\w*|samsung camera pictures|exif[_ ]jpeg[_ ]\w+"
    r"|minolta digital camera|konica minolta digital camera|kodak digital still camera|default|untitled"
    r"|screenshot|hdrpl|cof|oznor\w*|charset=ascii.*|ascii\W*|digital camera)?",
    re.IGNORECASE,
)
"""What cameras put where a person's description belongs."""


@dataclass(frozen=True)
class Described:
    """caption: the description, then the keywords. favourite: rated with five stars. location: degrees."""

    caption: str = ""
    favourite: bool = False
    location: tuple[float, float] | None = None

    @classmethod
    def of(cls, image: Image.Image, data: bytes) -> Described:
        """What a picture's own bytes say; XMP before IPTC before EXIF. Broken metadata says nothing."""
        found = cls()
        if packet := _PACKET.search(data):
            found = read_xmp(packet[0])
        if found.caption:
            return found
        said = ""
        for read in (_iptc, _exif):
            with suppress(Exception):  # whatever broken metadata brings
                said = said or read(image)
        return cls(said, found.favourite, found.location)


def _joined(description: str, keywords: list[str]) -> str:
    description = "" if _OF_CAMERAS.fullmatch(description.strip("\0 \n")) else description.strip("\0 \n")
    new = [k for k in dict.fromkeys(k.strip("\0 ") for k in keywords) if k and k not in description]
    return "\n".join(filter(None, (description, ", ".join(new))))


def _iptc(image: Any) -> str:
    told: dict[Any, Any] = IptcImagePlugin.getiptcinfo(image) or {}

    def texts(number: int) -> list[str]:
        values = told.get((2, number), [])
        return [decode(v).text for v in (values if isinstance(values, list) else [values]) if v]

    return _joined("\n".join(texts(120)), texts(25))


def _exif(image: Image.Image) -> str:
    exif = image.getexif()
    comment = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
    kinds = {b"ASCII\0\0\0": "latin-1", b"UNICODE\0": "utf-16"}
    typed = comment[8:].decode(kinds[comment[:8]], "replace") if comment[:8] in kinds else ""
    windows = [exif.get(tag, b"") for tag in (ExifTags.Base.XPComment, ExifTags.Base.XPTitle)]
    shown = [bytes(w).decode("utf-16-le", "replace") for w in windows if w]
    described = exif.get(ExifTags.Base.ImageDescription, "")
    plain = described if isinstance(described, str) else ""
    with suppress(UnicodeError):
        plain = plain.encode("latin-1").decode("utf-8")  # EXIF says ASCII, programs write UTF-8
    return next((said for text in (plain, *shown, typed) if (said := _joined(text, []))), "")


# -- XMP


def read_xmp(data: bytes) -> Described:
    """What an XMP packet or sidecar says; nothing where it is no XMP, too long, or names entities."""
    from lxml import etree

    if len(data) > MOST or b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        return Described()
    try:
        root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))
    except (etree.XMLSyntaxError, ValueError):
        return Described()
    said: dict[str, list[str]] = {}
    for node in root.iter(f"{_RDF}Description"):
        for key, value in node.attrib.items():
            said.setdefault(key, []).append(value)
        for inner in node:
            listed = [li.text or "" for li in inner.iter(f"{_RDF}li")]
            said.setdefault(inner.tag, []).extend(listed or [inner.text or ""])
    rating = "".join(said.get(f"{_XMP}Rating", [])[:1]).strip()
    where = [_degrees(said.get(f"{_EXIF}GPS{name}", [""])[0]) for name in ("Latitude", "Longitude")]
    described = next((d for d in said.get(f"{_DC}description", []) if d.strip()), "")
    title = next((d for d in said.get(f"{_DC}title", []) if d.strip()), "")
    caption = _joined(described or title, said.get(f"{_DC}subject", []))
    return Described(caption, rating in (f"{BEST}", f"{BEST}.0"), place.pair(*where))


def _degrees(text: str) -> float | None:
    """`48,12.6N` or `48,12,36N`, as XMP writes degrees, minutes and seconds; None for anything else."""
    found = re.fullmatch(r"(\d{1,3})((?:,\d{1,2}(?:\.\d{1,12})?){1,2})([NSEW])", text.strip())
    if found is None:
        return None
    parts = [float(found[1]), *map(float, found[2][1:].split(","))]
    if any(part >= 60 for part in parts[1:]):
        return None
    return (-1 if found[3] in "SW" else 1) * sum(part / 60**n for n, part in enumerate(parts))


def write_xmp(described: Described) -> bytes:
    """A sidecar that programs for photos read."""
    inner = f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{escape(described.caption)}</rdf:li>'
    inner += "</rdf:Alt></dc:description>"
    if described.favourite:
        inner += f"<xmp:Rating>{BEST}</xmp:Rating>"
    if described.location is not None:
        latitude, longitude = described.location
        for name, value, signs in (("Latitude", latitude, "NS"), ("Longitude", longitude, "EW")):
            degrees, minutes = divmod(abs(value) * 60, 60)
            told = f"{degrees:.0f},{minutes:.6f}{signs[value < 0]}"
            inner += f"<exif:GPS{name}>{told}</exif:GPS{name}>"
    names = "".join(
        f' xmlns:{short}="{url[1:-1]}"'
        for short, url in (("rdf", _RDF), ("dc", _DC), ("xmp", _XMP), ("exif", _EXIF))
    )
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF{names}><rdf:Description rdf:about="">{inner}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>\n"
    ).encode()


# -- without the place


_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = re.compile(rb"II\*\0|MM\0\*")
_GPS_TAG = 0x8825
_PLACES = re.compile(
    rb"(?:exif:GPS\w+|photoshop:(?:City|State|Country)|Iptc4xmpCore:(?:Location|CountryCode))"
    rb"(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)')|[^>]*>([^<]*)<)"
)
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}


def without_location(data: bytes) -> bytes:
    """The bytes of a picture file with every GPS value of its EXIF and XMP blanked, of the same length.

    Nothing else changes; the same object comes back where there is no place. A text of a PNG that may hold
    packed metadata goes whole.
    """
    if data.startswith(_PNG):
        return _png_without_location(data)
    out = bytearray(data)
    _blank(out)
    return data if out == data else bytes(out)


def _blank(out: bytearray) -> None:
    for found in _TIFF.finditer(bytes(out)):
        _blank_gps(out, found.start())
    for said in _PLACES.finditer(bytes(out)):
        group = next(n for n in (1, 2, 3) if said[n] is not None)
        out[said.start(group) : said.end(group)] = b" " * (said.end(group) - said.start(group))


def _blank_gps(out: bytearray, start: int) -> None:
    """Empty the GPS directories of the TIFF structure that begins at `start`, values and all."""
    order = "<" if out[start : start + 1] == b"I" else ">"

    def number(kind: str, at: int) -> int:
        return int(struct.unpack_from(order + kind, out, at)[0])

    with suppress(struct.error):
        at, seen = number("I", start + 4), set[int]()
        while at and at not in seen and len(seen) < 100:
            seen.add(at)
            count = number("H", start + at)
            for entry in range(start + at + 2, start + at + 2 + 12 * count, 12):
                if number("H", entry) != _GPS_TAG or number("H", entry + 2) not in (4, 13):
                    continue
                inner = start + number("I", entry + 8)
                for row in range(inner + 2, inner + 2 + 12 * min(number("H", inner), 64), 12):
                    size = _SIZES.get(number("H", row + 2), 0) * number("I", row + 4)
                    if size > 4:
                        where = start + number("I", row + 8)
                        if where + size <= len(out):
                            out[where : where + size] = bytes(size)
                    out[row : row + 12] = bytes(12)
                out[inner : inner + 2] = b"\0\0"
            at = number("I", start + at + 2 + 12 * count)


def _png_without_location(data: bytes) -> bytes:
    parts, at, changed = [_PNG], len(_PNG), False
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        chunk = data[at : at + 12 + size]
        at += 12 + size
        if kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"):
            body = bytearray(chunk[8:-4])
            name, _, rest = bytes(body).partition(b"\0")
            raw = name.startswith(b"Raw profile type")
            if raw or (b"xmp" in name.lower() and (kind == b"zTXt" or rest[:1] == b"\1")):
                changed = True  # packed, and nobody's own words
                continue
            _blank(body)
            if body != chunk[8:-4]:
                changed = True
                chunk = struct.pack(">I4s", size, kind) + body
                chunk += struct.pack(">I", zlib.crc32(chunk[4:]))
        parts.append(chunk)
    return b"".join(parts) + data[at:] if changed else data
