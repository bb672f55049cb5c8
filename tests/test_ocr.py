"""Text in pictures: three scripts, turned ones, none at all, too much of it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from sugar import ocr

pytestmark = pytest.mark.skipif(find_spec("rapidocr") is None, reason="rapidocr is not installed")
HERE = Path(__file__).parent
RECEIPT = ("CAFE CENTRAL", "2 x Cappuccino 7.80", "TOTAL EUR 12.30")


def written(*lines: str, step: int = 60, size: int = 32) -> Image.Image:
    image = Image.new("RGB", (600, 40 + step * len(lines)), "white")
    for number, line in enumerate(lines):
        font = ImageFont.load_default(size=size)
        ImageDraw.Draw(image).text((40, 20 + step * number), line, fill="black", font=font)
    return image


def texts(image: Image.Image) -> list[str]:
    return [line.text for line in ocr.read(image)]


def test_a_receipt_is_read_line_by_line_with_boxes() -> None:
    lines = ocr.read(written(*RECEIPT))
    assert [line.text for line in lines] == list(RECEIPT)
    for number, line in enumerate(lines):
        left, top, right, bottom = line.box
        assert 0 < left < 0.1 < 0.3 < right < 1
        assert top < (50 + 60 * number) / 220 < bottom


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_turned_pictures_are_read(angle: int) -> None:
    assert sorted(texts(written(*RECEIPT).rotate(angle, expand=True))) == sorted(RECEIPT)


def test_chinese_and_japanese_are_read() -> None:
    assert texts(Image.open(HERE / "chinese.png")) == ["北京欢迎你", "牛肉面 28 元"]
    assert texts(Image.open(HERE / "japanese.png")) == ["いらっしゃいませ", "ラーメン 850円"]


def test_pictures_without_text_have_none() -> None:
    assert texts(Image.new("RGB", (300, 200), "navy")) == []
    assert texts(Image.open(HERE.parent / "assets" / "examples" / "cat.jpg")) == []


def test_a_page_full_of_text_is_read_in_part() -> None:
    page = written(*(f"line number {n} of many" for n in range(60)), step=20, size=14)
    assert len(ocr.read(page)) == ocr.MOST_LINES
