"""sugar/gallery/keywords.py and sugar/fusion.py: words find names, captions and dates."""

import shutil
from datetime import datetime

import pytest
from pictures import photo
from toy import ToyModel

from sugar.fusion import Fused, reciprocal_rank
from sugar.gallery import Gallery
from sugar.gallery.keywords import TextIndex, match_query


@pytest.fixture
def gallery(tmp_path):
    pictures = [
        ("IMG_2041.jpg", photo((255, 0, 0), datetime(2025, 8, 14, 12))),
        ("IMG_2042.jpg", photo((0, 255, 0), datetime(2024, 12, 24, 18))),
        ("garden.jpg", photo((0, 0, 255))),
    ]
    captions = {"IMG_2042.jpg": "Zoë opens presents", "garden.jpg": "the roses of our garden, running wild"}
    with Gallery.create(tmp_path / "g", ToyModel()) as gallery:
        gallery.add(pictures, captions=captions)
        yield gallery


def names(gallery: Gallery, words: str, **how) -> list[str]:
    return [gallery.item(item).name for item, _ in gallery.by_words(words, 10, **how)]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("IMG_2041", ["IMG_2041.jpg"]),
        ("img 2042", ["IMG_2042.jpg", "IMG_2041.jpg"]),
        ("zoe's present", ["IMG_2042.jpg"]),
        ("a rose runs", ["garden.jpg"]),
        ("august", ["IMG_2041.jpg"]),
        ("2024-12", ["IMG_2042.jpg"]),
        ("2025-08-14", ["IMG_2041.jpg"]),
        ("zebra", []),
        ('"* OR NEAR( -', []),
    ],
)
def test_words_find_names_captions_and_dates(gallery, words, found):
    assert names(gallery, words) == found


def test_only_some_items(gallery):
    first = gallery.by_words("IMG", 10)
    assert names(gallery, "IMG", only=[first[1][0]]) == [gallery.item(first[1][0]).name]


def test_words_follow_captions_and_deletion(gallery):
    item = gallery.by_words("roses", 1)[0][0]
    gallery.set_caption(item, "a violet thunderstorm")
    assert names(gallery, "roses") == [] and names(gallery, "thunderstorms") == ["garden.jpg"]
    gallery.delete([item])
    assert names(gallery, "thunderstorm garden") == []


def test_no_word_of_a_deleted_picture_is_left_in_any_file(tmp_path):
    with Gallery.create(tmp_path / "g", ToyModel()) as gallery:
        gallery.add([(f"n{i}.png", photo((i, 9 * i, 0))) for i in range(12)])
        gallery.add([("xylophone.jpg", photo((255, 0, 0)))], captions={"xylophone.jpg": "quetzalcoatl"})
        gallery.delete([gallery.by_words("quetzalcoatl", 1)[0][0]])
        for path in (tmp_path / "g").rglob("*"):
            if path.is_file():
                data = path.read_bytes().lower()
                assert b"xylophon" not in data and b"quetzalcoatl" not in data, path


def test_a_gallery_without_the_table_is_searched_and_stays_as_it_is(gallery, tmp_path):
    gallery.close()
    source = tmp_path / "g" / "gallery.db"
    import sqlite3

    with sqlite3.connect(source) as db:
        for trigger in ("added", "gone", "changed"):
            db.execute(f"DROP TRIGGER words_{trigger}")
        db.execute("DROP TABLE item_words")
    db.close()
    shutil.copytree(tmp_path / "g", tmp_path / "old")
    before = (tmp_path / "old" / "gallery.db").read_bytes()
    with Gallery.open(tmp_path / "old", ToyModel(), read_only=True) as old:
        assert names(old, "roses") == ["garden.jpg"] and names(old, "2024") == ["IMG_2042.jpg"]
    assert (tmp_path / "old" / "gallery.db").read_bytes() == before
    with Gallery.open(tmp_path / "old", ToyModel()) as mine:
        assert names(mine, "roses") == ["garden.jpg"]
        mine.set_caption(mine.by_words("roses", 1)[0][0], "tulips")
        assert names(mine, "roses") == [] and names(mine, "tulip") == ["garden.jpg"]


def test_a_query_has_no_operators():
    assert match_query('IMG_2041 "dog" OR x*') == '"IMG 2041" OR "dog" OR "OR" OR "x"'
    assert match_query("?!") == ""


def test_texts_in_memory():
    index = TextIndex([("Trees", "An oak is tall."), ("Birds", "A wren sings.")])
    assert [row for row, _ in index.search("singing wrens", 5)] == [1]
    assert [row for row, _ in index.search("trees", 5)] == [0] and index.search("?", 5) == []


def test_rankings_fuse_by_reciprocal_rank():
    fused = reciprocal_rank({"vectors": [7, 3, 9], "words": [3, 4]})
    assert fused[0] == Fused(3, 1 / 62 + 1 / 61, ("vectors", "words"))
    assert [f.item for f in fused] == [3, 7, 4, 9] and fused[2].found_by == ("words",)
    assert [f.item for f in reciprocal_rank({"a": [1], "b": [2]}, weights={"b": 2.0})] == [2, 1]
    assert reciprocal_rank({}) == []
