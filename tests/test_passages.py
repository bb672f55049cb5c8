"""sugar/passages: each format becomes passages, each refusal says why, and no text takes long."""

import io
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from pictures import encoded
from PIL import Image
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from sugar.passages import PassageLimits, pack, read_files, read_markdown, read_plain, sentences
from sugar.passages.office import read_docx, read_pdf

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
    cells = table.rows[0].cells + table.rows[1].cells
    for cell, text in zip(cells, ("Name", "Age", "Rex", "2"), strict=True):
        cell.text = text
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def told(text: str) -> list[tuple[str, str]]:
    return [(block.title, part) for block, part in pack(read_markdown(text, Counter()))]


def plain(text: str) -> list[str]:
    return [part for _, part in pack(read_plain(text))]


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


def test_sentences_end_where_a_reader_ends_them():
    assert sentences('Dr. A. Bell came at 5 p.m. today. "Is it late?" Yes! It cost 3.50 euros.') == [
        "Dr. A. Bell came at 5 p.m. today.",
        '"Is it late?"',
        "Yes!",
        "It cost 3.50 euros.",
    ]


def test_passages_are_capped_in_words_and_characters():
    text = "One two three. Four five. " + "W " * 200
    parts = plain(text)
    assert parts[0] == "One two three. Four five." and all(len(p.split()) <= 80 for p in parts)
    assert " ".join(parts).split() == text.split()
    long = plain("x" * 2_000_000)
    assert len(long) == 2500 and all(len(part) == 800 for part in long)


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


DATA = Path(__file__).parent / "data"
PAIRS_OF_DATA = {
    "german_excel_cp1252.csv": [
        ("Wie heißt der Hund?", "Bärli"),
        ("Wo steht das Haus?", "in Köln, Straße 5"),
    ],
    "chinese_excel_gbk.csv": [("狗叫什么名字?", "小白"), ("房子在哪里?", "在北京")],
    "excel_sep_line.csv": [("What is the dog called?", "Rex")],
    "crlf_json.jsonl": [("What is the dog called?", "Rex"), ("How old?", "4")],
    "notes_cp1252.txt": [("Unser Hund heißt Bärli. Er mag Käse – und “Würste”.", "")],
    "notes_cp1251.md": [("Нашу собаку зовут Белка.", "")],
    "tabs_quotes.tsv": [
        ('"Best pizza" said Ann', ""),
        ('12" ruler on the desk', ""),
        ('"unclosed quote at start', ""),
        ("The cat is black.", ""),
    ],
}
GUESSED = {
    "german_excel_cp1252.csv": "Windows-1252",
    "chinese_excel_gbk.csv": "GBK",
    "notes_cp1252.txt": "Windows-1252",
    "notes_cp1251.md": "Windows-1251",
    "tabs_quotes.tsv": "not closed in row 2, 4",
}


@pytest.mark.parametrize("name", PAIRS_OF_DATA)
def test_files_as_people_s_programs_write_them(name):
    reading = read_files([(name, (DATA / name).read_bytes())])
    assert [(p.text, p.answer) for p in reading.passages] == PAIRS_OF_DATA[name] and not reading.refused
    assert [n for n, _ in reading.notes] == [name] * (name in GUESSED)
    assert all(GUESSED[name] in told for _, told in reading.notes)


def test_values_of_json_are_words_or_nothing():
    rows = b"""[{"question": "How old?", "answer": 4}, {"question": "Is it wild?", "answer": false},
        {"question": "Who?", "answer": null}, {"text": NaN}, null, {"Question": 7, "ANSWER ": 2.50}]"""
    reading = read_files([("a.json", rows)])
    told = [(p.text, p.answer) for p in reading.passages]
    assert told == [("How old?", "4"), ("Is it wild?", "false"), ("7", "2.5")]
    assert [name for name, _ in reading.refused] == ["a.json, row 3", "a.json, row 5"]


def test_a_line_separator_ends_no_line():
    rows = '{"text": "one\u2028two"}\n{"text": "three\x85four"}\n'.encode()
    reading = read_files([("a.jsonl", rows), ("b.txt", "five\u2028six".encode())])
    assert [p.text for p in reading.passages] == ["one two", "three four", "five six"]


def test_words_parted_at_the_end_of_a_line_are_whole():
    parted = "An exam-\nple, pre-\nand post-war, Jean-\nPaul, so\u00ad\nft."
    assert plain(parted) == ["An example, pre- and post-war, Jean- Paul, soft."]


def test_a_long_caption_is_cut_and_said():
    reading = read_files([("star.png", STAR), ("star.txt", b"x" * 3000)])
    assert len(reading.passages[0].text) == 2000 and "3,000" in reading.notes[0][1]


def test_html_in_markdown_keeps_its_text():
    text = """# Dogs

<div align="center">
The vet of Rex is <b>Dr. Miller</b> in Oak&nbsp;Street.<br/>
She is kind.
</div>

<details><summary>Food</summary>

Rex eats **two** bowls.

</details>

<table>
<tr><th>Name</th><th>Age</th></tr>
<tr><td>Rex</td><td>4</td></tr>
</table>

<h2>Chip</h2>
<ul><li>number 1234</li><li>under the skin</li></ul>
<script>var hidden = 1</script><style>p {}</style>

A <!-- secret --> line<br>with <kbd>a</kbd> x<y, y>z and `vector<int>`. <img src="a.png" alt="Rex">
"""
    left: Counter[str] = Counter()
    assert [(b.title, " | ".join(b.sentences)) for b in read_markdown(text, left)] == [
        ("Dogs", "The vet of Rex is Dr. Miller in Oak Street. | She is kind."),
        ("Dogs", "Food"),
        ("Dogs", "Rex eats two bowls."),
        ("Dogs", "Name: Rex. Age: 4."),
        ("Dogs › Chip", "number 1234 | under the skin"),
        ("Dogs › Chip", "A line with a x<y, y>z and vector<int>."),
    ]


def test_the_marks_of_obsidian_and_notion_are_read_as_text():
    text = """> [!note]- About Rex
> Rex is ==brown==.

See [[Rex the dog|Rex]], [[Bea]] and ![[rex.png]] %%not this%%
[wiki](https://a.b/Rex_(dog) "t") &amp; more[^1].

- [ ] buy a leash
- [x] call <vet@dogs.example>

[^1]: Graz

[link]: http://a.b/c "gone"

<aside>
Feed \\*twice\\*.
</aside>
"""
    left: Counter[str] = Counter()
    assert [b.sentences for b in read_markdown(text, left)] == [
        ["About Rex", "Rex is brown."],
        ["See Rex, Bea and wiki & more."],
        ["buy a leash", "call vet@dogs.example"],
        ["Graz"],
        ["Feed twice."],
    ]
    assert left == {"pictures": 1}


def test_a_docx_says_what_its_page_shows():
    left: Counter[str] = Counter()
    blocks = list(read_docx((DATA / "docx_controls_and_changes.docx").read_bytes(), left))
    assert [b.sentences for b in blocks] == [
        ["Rex is a brown dog."],
        ["The vet of Rex is Dr. Miller (content control)."],
        ["Rex was born in Graz (tracked insertion)."],
        ["Name of the owner: Ann Smith (form field)"],
        ["Rex weighs 20 kg (text box)."],
        ["Name: Rex. Age: 4. City: Graz."],
        ["Name: Bella. Age: 7. City: Linz."],
        ["Rex from Graz."],
        ["buy a leash", "call the vet"],
        ["Header: project Alpha"],
    ]
    assert {b.title for b in blocks[:-1]} == {"Dogs"} and not +left
    blocks = list(read_docx((DATA / "docx_layout_table.docx").read_bytes(), left))
    assert [b.sentences for b in blocks] == [["outer"], ["Key: chip. Value: 1234."]]


NAMES = nsdecls("w") + ' xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'


def of_xml(*parts: str) -> list[str]:
    """What is read of a docx with these elements in its body."""
    document = docx.Document()
    for part in parts:
        document.element.body.insert(-1, parse_xml(part.replace(">", f" {NAMES}>", 1)))
    out = io.BytesIO()
    document.save(out)
    return [told for block in read_docx(out.getvalue(), Counter()) for told in block.sentences]


def run(text: str, inside: str = "") -> str:
    return f'<w:r>{inside}<w:t xml:space="preserve">{text}</w:t></w:r>'


def row(*cells: str, inside: str = "") -> str:
    told = "".join(f"<w:tc>{inside}<w:p>{run(cell)}</w:p></w:tc>" for cell in cells)
    return f"<w:tr>{told}</w:tr>"


def test_text_boxes_are_read_once():
    box = f"<w:txbxContent><w:p>{run('In a box.')}</w:p></w:txbxContent>"
    choice = f"<mc:Choice Requires='wps'><w:drawing>{box}</w:drawing></mc:Choice>"
    other = f"<mc:Fallback><w:pict>{box}</w:pict></mc:Fallback>"
    text = f"<w:p>{run('Before.')}<w:r><mc:AlternateContent>{choice}{other}</mc:AlternateContent></w:r></w:p>"
    assert of_xml(text) == ["Before.", "In a box."]


def test_what_a_page_does_not_show_is_not_read():
    assert of_xml(
        f"<w:p>{run('Moved')}<w:moveFrom>{run('away')}</w:moveFrom>"
        f"<w:moveTo>{run(' here.')}</w:moveTo></w:p>",
        f"<w:p>{run('hidden', '<w:rPr><w:vanish/></w:rPr>')}{run('Seen.')}</w:p>",
        f"<w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent><w:p>{run('Click')}</w:p>"
        "</w:sdtContent></w:sdt>",
        f"<w:p>{run('One')}<w:r><w:br/><w:t>so</w:t><w:softHyphen/><w:t>ft</w:t></w:r></w:p>",
    ) == ["Moved here.", "Seen.", "One", "soft"]


def test_tables_of_a_docx_are_rows_or_layouts_and_merged_cells_are_read_once():
    wide = "<w:tcPr><w:gridSpan w:val='100000000'/></w:tcPr>"
    inner = f"<w:tr><w:tc><w:p/><w:tbl>{row('Key', 'Value')}{row('chip', '12')}</w:tbl></w:tc></w:tr>"
    assert of_xml(
        f"<w:tbl>{row('Left.', 'Right.')}</w:tbl>",
        f"<w:tbl>{row('Name', 'Age')}{row('Dogs', inside=wide)}{row('Rex', '4')}"
        f"{row('gone', inside='<w:tcPr><w:vMerge/></w:tcPr>')}{inner}</w:tbl>",
    ) == ["Left.", "Right.", "Dogs.", "Name: Rex. Age: 4.", "Key: chip. Value: 12."]


def test_parts_that_are_not_read_are_counted():
    document = docx.Document()
    document.add_paragraph("A star:")
    document.add_picture(io.BytesIO(STAR))
    out = io.BytesIO()
    document.save(out)
    reading = read_files([("a.docx", out.getvalue()), ("b.pdf", pdf("one", "")), ("c.md", b"A ![](s.png)")])
    assert reading.notes == [
        ("a.docx", "Not read: 1 pictures."),
        ("b.pdf", "Not read: 1 pages without text."),
        ("c.md", "Not read: 1 pictures."),
    ]


def test_pictures_are_found_however_their_names_are_written():
    data = 'picture,caption\n./STAR.PNG,a red star\n"fotos\\\\Ba\u0308r.png",a bear\n'.encode()
    sent = [("c.csv", data), ("dog.png.txt", b"my dog")]
    pictures = ("star.png", "B\u00e4r.png", "DOG.PNG", "other/star.png")
    reading = read_files([*sent, *((name, STAR) for name in pictures)])
    found = {p.name: p.text for p in reading.passages}
    assert found == {"star.png": "a red star", "B\u00e4r.png": "a bear", "DOG.PNG": "my dog"}
    assert [name for name, _ in reading.refused] == ["star.png"]


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
        ("a.txt", b"\0\1\2", "not a text"),
        ("a.png", b"no picture", "not a picture"),
        ("a.csv", b"x,y\n1,2\n", "columns are x, y"),
        ("a.csv", b"question,answer\n,5\n", "missing"),
        ("a.csv", b"question,answer,picture\nq,a,../../etc/passwd\n", "not sent along"),
        ("a.csv", b'question,answer\n"' + b"x" * 200_000 + b'",a\n', "longer than 4,000 characters"),
        ("a.md", b"x" * 3_000_000, "at most"),
        ("a.md", b"\n" * 200_000 + b"x", "lines"),
        ("noname", b"x", "without suffix"),
        ("a.jsonl", b"[" * 100_000, "not JSON"),
        ("a.jsonl", b'{"n": ' + b"9" * 5000 + b"}", "not JSON"),
        ("a.jsonl", b"[1]", "not a JSON object"),
        ("a.csv", b"question,answer\n", "no rows"),
        ("a.md", b"---\ntags: x\n---\n<script>\nvar a\n</script>\n![](x.png)\n", "not read: 1 pictures"),
        ("a.txt", b"-- ** --", "No words"),
        ("a.docx", bomb(), "too large when unpacked"),
    ],
)
def test_refused_files_say_why(name, data, reason):
    reading = read_files([(name, data)])
    assert not reading.passages and reason in reading.refused[0][1]


def test_office_files_are_refused_with_their_reason():
    """In this process; `bomb` above goes the whole way."""
    files = {b"%PDF-1.4 nothing": "damaged", pdf(""): "no text", pdf("secret", password="x"): "password"}
    for data, reason in files.items():
        with pytest.raises(ValueError, match=reason):
            list(read_pdf(data, Counter(), 500, 30))
    with pytest.raises(ValueError, match="not a docx"):
        list(read_docx(b"not a zip", Counter()))


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
        text = str(list(read_docx(out.getvalue(), Counter())))
    except ValueError:
        text = ""
    assert "hidden words" not in text


# -- hostile texts ----------------------------------------------------------------------------------

PIECES = [
    *str.split("# a· ·\t·\n·[·]·(·)·*·_·`·<·>·- ·> ·1. ·| ·|-·~~~·&#·\"·'·,·;·.·!·a·A. ·\u202e·\\", "·"),
    *str.split("<image>·[INST]·user:·user·[1·]: <·<div>·</div>·<td ·<!--·-->·[[·]]·==·%%·](·[^", "·"),
    *("a-\n", "。", "\u00ad", "x.png"),
]
FUZZ = """
import random, sys, time
from sugar.passages import pack, read_files, read_markdown
from sugar.rag import quoted
for text in ("# a" + " " * 1400 + "b", "# a" + " " * 100_000 + "b", "[" * 100_000):  # this froze the server
    read_files([("a.md", text.encode())])
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
    code = FUZZ.format(pieces=PIECES, seed=3, rounds=30, most=21)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=240)
