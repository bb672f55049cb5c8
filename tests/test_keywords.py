"""sugar/gallery/keywords.py and sugar/fusion.py: words find names, captions and dates."""

import re
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from pictures import photo
from toy import ToyModel

from sugar.fusion import Fused, reciprocal_rank
from sugar.gallery import Filters, Gallery
from sugar.gallery.keywords import TextIndex
from sugar.retrieval import SearchOptions, search
from sugar.search_words import asked, content, fold, tokens
from sugar.sequence import Sample


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


def drop_words(folder: Path, *statements: str) -> None:
    """Take the table of words out of a closed gallery, then do more."""
    triggers = [f"DROP TRIGGER words_{what}" for what in ("added", "gone", "changed")]
    with closing(sqlite3.connect(folder / "gallery.db", isolation_level=None)) as db:
        for statement in (*triggers, "DROP TABLE item_words", *statements):
            db.execute(statement)


def test_a_gallery_without_the_table_is_searched_and_stays_as_it_is(gallery, tmp_path):
    gallery.close()
    drop_words(tmp_path / "g")
    shutil.copytree(tmp_path / "g", tmp_path / "old")
    before = (tmp_path / "old" / "gallery.db").read_bytes()
    with Gallery.open(tmp_path / "old", ToyModel(), read_only=True) as old:
        assert names(old, "roses") == ["garden.jpg"] and names(old, "2024") == ["IMG_2042.jpg"]
    assert (tmp_path / "old" / "gallery.db").read_bytes() == before
    with Gallery.open(tmp_path / "old", ToyModel()) as mine:
        assert names(mine, "roses") == ["garden.jpg"]
        mine.set_caption(mine.by_words("roses", 1)[0][0], "tulips")
        assert names(mine, "roses") == [] and names(mine, "tulip") == ["garden.jpg"]


WORLD = {
    "a.jpg": "雪地里的小狗",
    "b.jpg": "公園で遊ぶ犬",
    "c.jpg": "Ein Hund in der Straße von Łódź",
    "d.jpg": "мой пёс на снегу",
    "e.jpg": "สุนัขในหิมะ",
    "f.jpg": "The dog’s o\ufb03ce, exam\u00adple",
    "g.jpg": "강아지를 산책시키는 사람",
    "h.jpg": "我的iPhone照片",
    "i.jpg": "हिन्दी किताब",
    "j.jpg": "ជំរាបសួរ ຂອບໃຈຫຼາຍ မင်္ဂလာပါ",
    "k.jpg": "ｱｲｽｸﾘｰﾑ",
}


FOUND = """小狗=a | 狗=a | 雪地里的小狗=a | 小狗在哪里？=a | 小猫= | 犬=b | 公園=b
犬は何をしていますか=b | 園で=b | strasse=c | STRASSE=c | lodz=c | пес=d
หิมะ=e | หมา= | office=f | dog's=f | example=f | 강아지=g
강아지가 어디에 있나요?=g | 照片=h | iphone=h | iPhone 照片=h | किताब=i
ຂອບໃຈ=j | ខ្មែរ= | ជំរាប=j | アイス=k"""
"""What is looked for, and the letter of the picture that is found."""


@pytest.mark.parametrize(("words", "found"), [cell.split("=") for cell in re.split(r" \| |\n", FOUND)])
def test_words_of_every_script_are_found(world, words, found):
    assert names(world, words) == [f"{name}.jpg" for name in found]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with Gallery.create(tmp_path_factory.mktemp("world") / "g", ToyModel()) as gallery:
        gallery.add([(n, photo((9 * i, 0, 0))) for i, n in enumerate(WORLD)], captions=WORLD)
        yield gallery


@pytest.mark.parametrize(
    ("words", "found"),
    [("小狗", "a"), ("狗", "a"), ("strasse", "c"), ("lodz", "c"), ("office", "f"), ("zz", "")],
)
def test_a_condition_on_captions_folds_as_the_search_does(world, words, found):
    ids = world.matching(Filters(caption=words)).tolist()
    assert [item.name[0] for item in world.items(ids=ids)] == list(found)


def test_a_table_of_an_earlier_program_is_made_anew(gallery, tmp_path):
    """Its words were split by SQLite, which takes a run of Chinese for one word."""
    item = gallery.by_words("roses", 1)[0][0]
    gallery.set_caption(item, "雪地里的小狗")
    gallery.close()
    drop_words(
        tmp_path / "g",
        "DELETE FROM meta WHERE key = 'words'",
        "CREATE VIRTUAL TABLE item_words USING fts5(name, caption, dates, tokenize='porter unicode61')",
        "INSERT INTO item_words (rowid, name, caption) SELECT id, name, caption FROM items",
        "CREATE TRIGGER words_added AFTER INSERT ON items BEGIN "
        "INSERT INTO item_words (rowid, name, caption) VALUES (new.id, new.name, new.caption); END",
    )
    with Gallery.open(tmp_path / "g", ToyModel(), read_only=True) as old:
        assert names(old, "小狗") == ["garden.jpg"]
    with Gallery.open(tmp_path / "g", ToyModel()) as mine:
        assert names(mine, "小狗") == ["garden.jpg"]
        mine.add([("new.jpg", photo((1, 2, 3)))], captions={"new.jpg": "另一只小狗"})
        assert set(names(mine, "小狗")) == {"garden.jpg", "new.jpg"}
        mine.delete([mine.by_words("另一只", 1)[0][0]])
        assert names(mine, "小狗") == ["garden.jpg"] and names(mine, "2024-12") == ["IMG_2042.jpg"]


def test_folding_and_the_words_of_a_question():
    assert fold("Zoë İstanbul Ærø ﬁ Ｆｕｌｌ") == "zoe istanbul aero fi full"
    assert tokens("雪地 is") == ["雪", "雪地", "地", "is"] and tokens("สุนั")[:3] == ["ส", "สุ", "สุน"]
    assert asked("雪地里的小狗") == ["雪地", "地里", "小狗"] and asked("がか") == ["がか"]
    assert asked("とんかつの写真") == ["とん", "んか", "かつ", "写真"] and asked("目的地") == ["目的", "的地"]
    for run in ("です" * 5_000, "的" * 5_000, "ที่" * 5_000, "a" + "\u0301" * 10_000):
        asked(run)  # in linear time


def test_texts_in_memory():
    index = TextIndex([("Trees", "An oak is tall."), ("Birds", "A wren sings.")])
    assert [row for row, _ in index.search("singing wrens", 5)] == [1]
    assert [row for row, _ in index.search("trees", 5)] == [0] and index.search("?", 5) == []


def test_rankings_fuse_by_reciprocal_rank():
    fused = reciprocal_rank({"vectors": [7, 3, 9], "words": [3, 4]})
    assert fused[0] == Fused(3, 1 / 62 + 1 / 61, ("vectors", "words"))
    assert [f.item for f in fused] == [3, 7, 4, 9] and fused[2].found_by == ("words",)
    assert reciprocal_rank({}) == []
    weighed = reciprocal_rank({"a": [1, 2], "b": [3]}, {"b": {3: 0.5}})
    assert [f.item for f in weighed] == [1, 2, 3], "half a match of words does not stand above a close one"


SAID = """sunset over the sea=sunset sea | der Hund und die Katze=Hund Katze | man in a hat=man hat
Hund in der Straße=Hund Straße | el perro en la playa=perro playa | un chien dans la neige=chien neige
собака на снегу=собака снегу | the who=the who | IMG_2041=IMG_2041 | 小狗=小狗"""


@pytest.mark.parametrize(("text", "kept"), [cell.split("=") for cell in re.split(r" \| |\n", SAID)])
def test_function_words_of_a_language_are_left_out(text, kept):
    assert content(text) == kept


def test_only_what_people_say_counts_and_by_how_much(gallery):
    first, *_ = gallery.by_words("IMG_2041", 1)
    gallery.set_caption(first[0], "a violet thunderstorm", by="toy")
    assert names(gallery, "thunderstorm") == ["IMG_2041.jpg"]
    assert names(gallery, "thunderstorm", people=True) == []
    garden = gallery.by_words("garden", 1)[0][0]
    shares = gallery.shares("the roses of a zebra", [garden, first[0]])
    assert 0 < shares[garden] < 0.5 and shares[first[0]] == 0, "a word that nobody says weighs most"
    assert gallery.shares("the roses running", [garden]) == {garden: 1.0}
    assert gallery.shares("the", [garden]) in ({garden: 0.0}, {garden: 1.0})
    gallery.set_caption(first[0], "a violet thunderstorm")
    assert names(gallery, "thunderstorm", people=True) == ["IMG_2041.jpg"], "saved by a person, it is theirs"


def test_a_model_s_captions_change_no_ranking_and_go_in_one_press(gallery):
    def ranked(words: str) -> list[tuple[float, int, str]]:
        hits = search(gallery, gallery.model, Sample(words), SearchOptions(k=9), keywords=words)
        return sorted((-h.score, h.item, h.found_by) for h in hits)  # of equal scores any may come first

    queries = ("a blue dog", "sunset over the sea", "the roses", "red")
    before = [ranked(q) for q in queries]
    bare = [i for i in gallery.items() if not i.caption]
    for item in bare:
        gallery.set_caption(item.id, "a red star over the sea, a dog", by="toy")
    assert [ranked(q) for q in queries] == before
    assert gallery.forget_model_captions() == len(bare) and [ranked(q) for q in queries] == before
    assert {i.caption for i in gallery.items()} == {
        "",
        "Zoë opens presents",
        "the roses of our garden, running wild",
    }


def test_what_programs_before_embedded_of_a_model_s_captions_goes_too(gallery):
    gallery.set_caption(1, "a red dog")
    with gallery.store.write() as db:
        db.execute("UPDATE items SET caption_by = 'toy' WHERE id = 1")
    assert len(gallery.slices([1])[0]) == 2 and gallery.forget_model_captions() == 1
    assert len(gallery.slices([1])[0]) == 1
    gallery.close()
    with Gallery.open(gallery.folder, gallery.model) as again:
        assert len(again.slices([1])[0]) == 1 and again.nearest(again.pooled([1]), 1)[1].tolist() == [[1]]
