"""The one reading of text files: encodings, lines, tables, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sugar.errors import InputError
from sugar.file_names import FileNames
from sugar.text_files import decode, detect, lines, read_json, read_json_rows, read_table, word

DATA = Path(__file__).with_name("data")

SENTENCES = {
    "cp1252": [
        "Unser Hund heißt Bärli. Er mag Käse – und “Würste”.",
        "Bärli im Schnee",
        "Le café à l’été — garçon",
        "El niño está aquí, ¿qué?",
    ],
    "cp1251": ["# Собака\n\nНашу собаку зовут Белка.", "Собака"],
    "koi8-r": ["Нашу собаку зовут Белка. Она любит снег."],
    "gbk": ["狗叫什么名字?,小白", "雪地里的小狗"],
    "big5": ["房子在台北。小狗的名字叫小白。"],
    "shift_jis": ["犬の名前はシロです。雪が好きです。", "子犬.jpg"],
    "euc_jp": ["犬の名前はシロです。雪が好きです。"],
    "euc_kr": ["우리 개의 이름은 바둑이입니다. 눈을 좋아합니다."],
    "cp1250": ["Zażółć gęślą jaźń. Nasz pies nazywa się Burek.", "Příliš žluťoučký kůň"],
    "cp1253": ["Ο σκύλος μας λέγεται Άργος και αγαπά το χιόνι."],
    "cp1254": ["Köpeğimizin adı Karabaş. Karı çok seviyor, ışık"],
    "cp1255": ["הכלב שלנו נקרא רקס והוא אוהב שלג."],
    "cp1256": ["كلبنا اسمه ريكس وهو يحب الثلج."],
    "mac_roman": ["Le chien s’appelle Médor. Il est né à Orléans."],
    "cp874": ["สุนัขของเราชื่อเร็กซ์ มันชอบหิมะ"],
}


@pytest.mark.parametrize("encoding", SENTENCES)
def test_an_unmarked_encoding_is_detected_and_said(encoding: str) -> None:
    for sentence in SENTENCES[encoding]:
        text = decode(sentence.encode(encoding))
        assert text.text == sentence
        assert text.guessed and "save it as UTF-8" in text.note


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"])
def test_unicode_is_read_with_its_mark_and_without(encoding: str) -> None:
    assert (
        decode("The dog is called Bärli.\r\nYes.".encode(encoding)).text == "The dog is called Bärli.\nYes."
    )


def test_marked_encodings_are_no_guess() -> None:
    assert decode("Bärli".encode("utf-16")).note == "" == decode(b"\xef\xbb\xbfB").note
    assert decode(b"one\rtwo").text == "one\ntwo"


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", bytes(range(256)) * 4, b"PK\3\4\0\0\0\0\x08\0"]
)
def test_other_kinds_of_files_are_refused_with_the_remedy(data: bytes) -> None:
    with pytest.raises(InputError, match="Save it as UTF-8"):
        decode(data)


def test_names_of_a_dos_zip_are_told_apart_by_all_of_them() -> None:
    names = "Bärli.jpg\nKäse.txt\nÜbung.jpg"
    assert names.encode("cp850").decode(detect(names.encode("cp850"), ("cp437", "cp850"))) == names


def test_a_line_ends_at_a_newline_and_nowhere_else() -> None:
    inside = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\x1dh\x1ei"
    assert lines(f"{inside}\nnext\r\n\nlast") == [inside, "next", "", "last"]
    assert lines("") == [] and lines("one\n") == ["one"]


def test_what_says_nothing_is_no_word() -> None:
    nothing = [None, "", "  ", float("nan"), float("inf"), [], {}, ["a"], "\ufeff", " \u200b\u2060 "]
    assert [word(value) for value in nothing] == [None] * len(nothing)
    said = ["a", "4", "4", "2.5", "true", "false", "0"]
    assert [word(v) for v in (" a ", 4, 4.0, 2.5, True, False, 0)] == said
    assert word("\ud83d\ude00 \ud800") == "😀 �"


def test_rows_have_the_numbers_of_their_lines_and_columns_their_names() -> None:
    """test_passages.py reads the same files, and others, down to the passages."""
    german = read_table((DATA / "german_excel_cp1252.csv").read_bytes())
    assert german.columns == ("question", "answer")
    assert german.rows[1] == (3, {"question": "Wo steht das Haus?", "answer": "in Köln, Straße 5"})
    unicode_text = 'question\tanswer\r\nWie?\t"Bärli, ""der"" Hund"\r\n'.encode("utf-16")
    assert read_table(unicode_text).rows == [(2, {"question": "Wie?", "answer": 'Bärli, "der" Hund'})]


def test_an_open_quotation_mark_swallows_no_row() -> None:
    table = read_table(b'file,caption\na.jpg,"unclosed dog\nb.jpg,a cat\nc.jpg,the end"\nd.jpg,"a\nb"\n')
    files = [(n, row["file"]) for n, row in table.rows]
    assert files == [(2, "a.jpg"), (3, "b.jpg"), (4, "c.jpg"), (5, "d.jpg")]
    assert table.rows[-1][1]["caption"] == "a\nb"


def test_quoted_cells_hold_lines_separators_and_marks() -> None:
    table = read_table(b'text,title\n"Rex, the ""dog"".\nHe likes snow.",Dogs\n\nCats,"",\n')
    assert table.rows == [
        (2, {"text": 'Rex, the "dog".\nHe likes snow.', "title": "Dogs"}),
        (5, {"text": "Cats", "title": ""}),
    ]


def test_databases_put_a_backslash_before_a_quotation_mark() -> None:
    rows = read_table(rb"""file,caption
a.jpg,"a \"red\", old dog"
b.jpg,"it says \"no\""
c.jpg,"ends in C:\"
d.jpg,"open \"
""").rows
    said = ['a "red", old dog', 'it says "no"', "ends in C:\\", "open \\"]
    assert [row["caption"] for _, row in rows] == said


def test_a_comma_in_the_last_unquoted_cell_stays_in_it_and_is_said() -> None:
    table = read_table(b"image,caption\na.jpg,A dog , a cat .\nb.jpg| x\n")
    assert table.rows[0][1] == {"image": "a.jpg", "caption": "A dog , a cat ."}
    assert "1 rows have more cells" in table.notes[0]
    pipes = read_table(b"image_name| comment_number| comment\na.jpg| 0| Two dogs .\n")
    assert pipes.rows == [(2, {"image_name": "a.jpg", "comment_number": "0", "comment": "Two dogs ."})]


def test_a_table_without_a_header_has_columns_by_order() -> None:
    table = read_table(
        b"a.jpg,my dog\nb.jpg,my cat\n", known=("file", "caption"), columns=("file", "caption")
    )
    assert table.rows == [
        (1, {"file": "a.jpg", "caption": "my dog"}),
        (2, {"file": "b.jpg", "caption": "my cat"}),
    ]
    kinds = {"known": ("file", "caption"), "columns": ("file", "caption")}
    for row in (b"a.jpg,x; y; z", b"a.jpg\tx, y, z", b"a.jpg;x, y, z", b"\n\na.jpg|x, y, z"):
        ((_, found),) = read_table(row, **kinds).rows
        assert found["file"] == "a.jpg" and found["caption"][:1] == "x"
    assert read_table(b"").rows == [] == read_table(b"file,caption\n").rows


def test_a_hostile_table_costs_no_more_than_its_size() -> None:
    """Every row opens a cell. A reading that looked ahead from each to the end would not end in a day."""
    for row in (b'"\n', b'"""a\n', b'x,"\n', b'"a""\n', b'""""\n', b'"\\"\n'):
        assert read_table(b"a,b\n" + row * 50_000).columns == ("a", "b")


def test_json_lines_keep_separators_numbers_and_the_good_rows() -> None:
    rows = read_json_rows((DATA / "crlf_json.jsonl").read_bytes())
    assert [word(value["answer"]) for _, value in rows.rows] == ["Rex", "4"]
    written = json.dumps({"text": "Yes.\u2028There is"}, ensure_ascii=False) + '\n{"text": \n\nnull\n'
    rows = read_json_rows(written.encode())
    assert rows.rows == [(1, {"text": "Yes.\u2028There is"}), (4, None)]
    assert [n for n, _ in rows.refused] == [2] and "one object on each line" in rows.refusals[0]


def test_a_json_list_is_rows_too() -> None:
    assert read_json_rows(b' [{"a": NaN}, 2]').rows == [(1, {"a": None}), (2, 2)]
    assert read_json_rows(b"[1]\n[2]\n").rows == [(1, [1]), (2, [2])]
    assert read_json_rows(b'{"a": 1}').rows == [(1, {"a": 1})]
    assert read_json('{"a": "ä"}'.encode("utf-16")) == {"a": "ä"}
    for broken in (b"{", b"[" * 100_000, b"1" * 10_000):
        with pytest.raises(InputError, match="JSON"):
            read_json(broken)
        assert read_json_rows(broken).refused


def test_names_of_files_are_found_as_people_write_them() -> None:
    names = FileNames(["2024/Bärli.JPG", "a.jpg", "b.png", "x/c.jpg", "y/c.jpg"])
    written = {
        "2024/Bärli.JPG": ["2024\\ba\u0308rli.jpg", "bärli.jpg"],
        "a.jpg": ["./A.JPG", "/home/me/photos/a.jpg", " a.jpg "],
        "b.png": ["b"],
        "x/c.jpg": ["x/C.jpg"],
    }
    for name, ways in written.items():
        assert [names.find(way) for way in ways] == [name] * len(ways)
    assert [names.find(n) for n in ("", "c.jpg", "z/c.jpg", "a.png", "..", "x/C")] == [None] * 6
