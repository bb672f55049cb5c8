"""sugar/passages: each format becomes passages, each refusal says why, and no text takes long."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import docx
import pytest
from pictures import encoded
from PIL import Image
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from sugar.passages import PassageLimits, pack, read_files, read_markdown, read_plain, sentences
from sugar.passages.docx import read_docx

ROOT = Path(__file__).resolve().parents[1]


STAR = encoded(Image.new("RGB", (16, 16), (255, 0, 0)))


def pdf(*pages: str, password: str = "") -> bytes:
    """A PDF with one line of text on each page."""
    writer = PdfWriter()
    for text in pages:
        page = writer.add_blank_page(300, 300)
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"),
                NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
        )
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def word_file() -> bytes:
    document = docx.Document()
    document.add_heading("Garden", 1)
    document.add_heading("Oaks", 2)
    document.add_paragraph("The oak was planted in 1874. It is tall.")
    table = document.add_table(2, 2)
    for cell, text in zip(
        table.rows[0].cells + table.rows[1].cells, ("Name", "Age", "Rex", "2"), strict=True
    ):
        cell.text = text
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def told(text: str, reader=read_markdown, **caps) -> list[tuple[str, str]]:
    return [(block.title, part) for block, part in pack(reader(text), **caps)]


# -- one format after the other ---------------------------------------------------------------------


def test_markdown_has_title_paths_lists_and_tables():
    text = (
        "---\ntags: x\n---\nIntro.\n\n# Trees\nAn oak is **tall**.\n\nA fir\nis green.\n## Birds ##\n\n"
        "- a [wren](http://x) sings\n- an owl sleeps\n\n---\n\n# Pets\n\n|Name|Age|\n|-|-|\n|Rex|2|\n"
    )
    assert told(text) == [
        ("", "Intro."),
        ("Trees", "An oak is tall."),
        ("Trees", "A fir is green."),
        ("Trees › Birds", "a wren sings\nan owl sleeps"),
        ("Pets", "Name: Rex. Age: 2."),
    ]


def test_plain_text_has_paragraphs():
    assert told("# no title\nis here.\n\n\nTwo.", read_plain) == [("", "# no title is here."), ("", "Two.")]


def test_sentences_end_where_a_reader_ends_them():
    assert sentences('Dr. A. Bell came at 5 p.m. today. "Is it late?" Yes! It cost 3.50 euros.') == [
        "Dr. A. Bell came at 5 p.m. today.",
        '"Is it late?"',
        "Yes!",
        "It cost 3.50 euros.",
    ]


def test_passages_are_capped_in_words_and_characters():
    parts = [p for _, p in told("One two three. Four five. " + "W " * 25, words=10)]
    assert parts[0] == "One two three. Four five." and all(len(p.split()) <= 10 for p in parts)
    assert " ".join(parts).split() == ("One two three. Four five. " + "W " * 25).split()
    long = told("x" * 2_000_000, read_plain, characters=500)
    assert len(long) == 4000 and all(len(part) == 500 for _, part in long)


def test_every_kind_of_file_becomes_passages():
    reading = read_files(
        [
            ("notes.md", b"# Trees\nAn oak."),
            ("a/facts.csv", b"question,answer,picture\nwhat is it?,a star,star.png\nhow old?,five,\n"),
            ("star.png", STAR),
            ("dog.png", encoded(Image.new("RGB", (16, 16), (0, 255, 0)))),
            ("dog.txt", b"my dog"),
            ("plain.txt", "ß".encode()),
            ("lone.png", encoded(Image.new("RGB", (16, 16), (1, 2, 3)))),
            ("more.jsonl", b'{"question": "who?", "answer": "Ann"}\n{"text": "A hill.", "title": "Walks"}\n'),
            ("book.pdf", pdf("Page one here.", "The mill burnt down in 1901.")),
            ("report.docx", word_file()),
        ]
    )
    found = {p.name: p for p in reading.passages}
    assert found["notes.md › Trees"].kind == "passage" and found["notes.md › Trees"].text == "An oak."
    assert found["facts.csv, row 2"].kind == "pair" and found["facts.csv, row 2"].image is not None
    assert found["facts.csv, row 3"].answer == "five" and found["facts.csv, row 3"].image is None
    assert (found["dog.png"].kind, found["dog.png"].text) == ("picture", "my dog")
    assert found["lone.png"].text == "" and "star.png" not in found and found["plain.txt"].text == "ß"
    assert found["more.jsonl, row 1"].answer == "Ann" and found["more.jsonl, row 2 › Walks"].text == "A hill."
    assert found["book.pdf, page 2"].text == "The mill burnt down in 1901."
    oaks = [p.text for p in reading.passages if p.name == "report.docx › Garden › Oaks"]
    assert oaks == ["The oak was planted in 1874. It is tall.", "Name: Rex. Age: 2."]
    assert not reading.refused and str(reading) == "7 passages, 3 question/answer pairs, 2 pictures to read"


def test_captions_from_a_csv_with_semicolons():
    data = "\ufefffile;caption\nstar.png;a red star\n".encode()
    reading = read_files([("c.csv", data), ("star.png", STAR)])
    assert [(p.name, p.text) for p in reading.passages] == [("star.png", "a red star")]


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"<w>" + b" " * 30_000_000)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.odt", b"x", "not read"),
        ("a.md", b"", "empty"),
        ("a.txt", b"\0\1\2", "zero bytes"),
        ("a.png", b"no picture", "not a picture"),
        ("a.csv", b"x,y\n1,2\n", "columns are x, y"),
        ("a.csv", b"question,answer\n,5\n", "missing"),
        ("a.csv", b"question,answer,picture\nq,a,../../etc/passwd\n", "not sent along"),
        ("a.csv", b'question,answer\n"' + b"x" * 200_000 + b'",a\n', "cannot be read"),
        ("a.md", b"x" * 3_000_000, "at most"),
        ("a.md", b"\n" * 200_000 + b"x", "lines"),
        ("noname", b"x", "without suffix"),
        ("a.jsonl", b"[" * 100_000, "not JSON"),
        ("a.jsonl", b'{"n": ' + b"9" * 5000 + b"}", "not JSON"),
        ("a.jsonl", b"[1]", "not a JSON object"),
        ("a.pdf", b"%PDF-1.4 nothing", "damaged"),
        ("a.pdf", pdf(""), "no text"),
        ("a.pdf", pdf("secret", password="x"), "password"),
        ("a.docx", b"not a zip", "not a docx"),
        ("a.docx", bomb(), "too large when unpacked"),
    ],
)
def test_refused_files_say_why(name, data, reason):
    reading = read_files([(name, data)])
    assert not reading.passages and reason in reading.refused[0][1]


def test_caps_on_files_passages_and_pages():
    reading = read_files(
        [(f"{i}.txt", b"a\n\nb") for i in range(4)], PassageLimits(max_files=3, max_passages=4)
    )
    assert len(reading.passages) == 4 and len(reading.refused) == 2
    reading = read_files([("a.pdf", pdf("one", "two"))], PassageLimits(max_pages=1))
    assert "2 pages" in reading.refused[0][1]
    assert "at most" in read_files([("a.pdf", pdf("one"))], PassageLimits(max_office_bytes=10)).refused[0][1]


def test_a_docx_does_not_read_other_files(tmp_path):
    """An external entity in the XML of a docx stays what it is: nothing of another file comes into the
    text."""
    (tmp_path / "secret").write_text("hidden words")
    source = word_file()
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(source)) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename == "word/document.xml":
                entity = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{tmp_path}/secret">]>'.encode()
                data = data.replace(b"?>", b"?>" + entity, 1).replace(b"It is tall", b"&e;", 1)
            new.writestr(entry, data)
    try:
        text = str(list(read_docx(out.getvalue())))
    except ValueError:
        text = ""
    assert "hidden words" not in text


# -- hostile texts ----------------------------------------------------------------------------------

PIECES = (
    *(
        "# a",
        " ",
        "\t",
        "\n",
        "[",
        "]",
        "(",
        ")",
        "*",
        "_",
        "`",
        "<",
        ">",
        "- ",
        "> ",
        "1. ",
        "| ",
        "|-",
        "~~~",
        "&#",
    ),
    *(
        '"',
        "'",
        ",",
        ";",
        ".",
        "!",
        "a",
        "A. ",
        "\u202e",
        "<image>",
        "[INST]",
        "user:",
        "user",
        "[1",
        "]: <",
        "\\",
    ),
)
FUZZ = """
import random, sys, time
from sugar.passages import pack, read_files, read_markdown
from sugar.rag import quoted
pieces = {pieces!r}
rng = random.Random({seed})
for round in range({rounds}):
    text = "".join(rng.choice(pieces) * int(1.6 ** rng.randrange({most})) for _ in range(6))
    text = (text + "b") * rng.randrange(1, 4)
    for name in ("a.md", "a.txt", "a.csv", "a.jsonl"):
        for passage in read_files([(name, text.encode())]).passages:
            assert len(passage.text) <= 4000
    quoted(text)
"""


def test_no_text_takes_long():
    """Random texts of repeated marks, up to some 60 KB each: a reader that is not linear would not finish."""
    code = FUZZ.format(pieces=PIECES, seed=3, rounds=60, most=21)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=240)


@pytest.mark.parametrize("text", ["# a" + " " * 1400 + "b", "# a" + " " * 100_000 + "b", "[" * 100_000])
def test_the_note_that_froze_the_server(text):
    code = f"from sugar.passages import read_files; print(read_files([('a.md', {text!r}.encode())]))"
    subprocess.run([sys.executable, "-"], input=code.encode(), cwd=ROOT, check=True, timeout=60)
