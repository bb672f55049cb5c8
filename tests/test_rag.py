"""sugar/rag.py and sugar/passages.py: files become passages, what is close is read, the rest is "I do not know"."""

import io

import numpy as np
import pytest
from PIL import Image
from toy import ToyModel

from sugar.errors import InputError
from sugar.gallery import Gallery
from sugar.passages import Limits, Passage, read_files, split_text
from sugar.rag import KnowledgeBase, ask, cite, prompt, quoted, style_of, without_retrieval
from sugar.sequence import Hit, Sample

GREEN = Image.new("RGB", (16, 16), (0, 255, 0))


def png(color=(255, 0, 0)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), color).save(out, "PNG")
    return out.getvalue()


def hit(caption="", answer="", name="x", margin=3.0) -> Hit:
    return Hit(0, name, caption, 0.5, 0, 0.5, 0, margin=margin, meta={"answer": answer})


class Writer(ToyModel):
    """Answers what it is told to, and keeps what it was given to read."""

    def __init__(self, says: str = "ba mi", name: str = "sugar-tiny") -> None:
        super().__init__()
        self.says, self.name, self.read = says, name, []

    def generate(self, conversation, **settings):
        self.read.append(conversation)
        yield from self.says.split(" ")


# -- files -----------------------------------------------------------------------------------------------------------------------------


def test_markdown_splits_at_headings_and_paragraphs():
    text = "Intro.\n\n# Trees\nAn oak is tall.\n\nA fir\nis green.\n## Birds ##\n\nA wren sings.\n\n---\n"
    assert list(split_text(text)) == [
        ("", "Intro."), ("Trees", "An oak is tall."), ("Trees", "A fir is green."), ("Birds", "A wren sings."),
    ]  # fmt: skip


def test_long_paragraphs_split_at_sentences_and_at_worst_anywhere():
    parts = [p for _, p in split_text("one two three. four five. " + "w " * 25, words=10)]
    assert parts[0] == "one two three. four five." and all(len(p.split()) <= 10 for p in parts)
    assert " ".join(parts).split() == ("one two three. four five. " + "w " * 25).split()


def test_every_kind_of_file_becomes_passages():
    reading = read_files(
        [
            ("notes.md", b"# Trees\nAn oak."), ("a/facts.csv", b"question,answer,picture\nwhat is it?,a star,star.png\nhow old?,five,\n"),
            ("star.png", png()), ("dog.png", png((0, 255, 0))), ("dog.txt", b"my dog"),
            ("plain.txt", "ß".encode()), ("lone.png", png((1, 2, 3))),
        ]
    )  # fmt: skip
    found = {p.name: p for p in reading.passages}
    assert found["notes.md › Trees"].kind == "passage" and found["notes.md › Trees"].text == "An oak."
    assert found["facts.csv, row 2"].kind == "pair" and found["facts.csv, row 2"].image is not None
    assert found["facts.csv, row 3"].answer == "five" and found["facts.csv, row 3"].image is None
    assert (found["dog.png"].kind, found["dog.png"].text) == ("picture", "my dog") and found["lone.png"].text == ""
    assert "star.png" not in found and found["plain.txt"].text == "ß" and not reading.refused
    assert str(reading) == "2 passages, 2 question/answer pairs, 2 pictures to read"


def test_captions_from_a_csv_with_semicolons():
    reading = read_files([("c.csv", "﻿file;caption\nstar.png;a red star\n".encode()), ("star.png", png())])
    assert [(p.name, p.text) for p in reading.passages] == [("star.png", "a red star")]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.pdf", b"%PDF", "not read"), ("a.md", b"", "empty"), ("a.txt", b"\0\1\2", "zero bytes"),
        ("a.png", b"no picture", "not a picture"),
        ("a.csv", b"x,y\n1,2\n", "columns are x, y"), ("a.csv", b"question,answer\n,5\n", "missing"),
        ("a.csv", b"question,answer,picture\nq,a,../../etc/passwd\n", "not sent along"), ("a.md", b"x" * 3_000_000, "at most"),
        ("noname", b"x", "without suffix"),
    ],
)  # fmt: skip
def test_refused_files_say_why(name, data, reason):
    reading = read_files([(name, data)])
    assert not reading.passages and reason in reading.refused[0][1]


def test_caps_on_files_and_passages():
    reading = read_files([(f"{i}.txt", b"a\n\nb") for i in range(4)], Limits(max_files=3, max_passages=4))
    assert len(reading.passages) == 4 and len(reading.refused) == 2


# -- finding ---------------------------------------------------------------------------------------------------------------------------


def base(model, *extra) -> KnowledgeBase:
    texts = ["the night", "the circle", "a blue circle", "a circle at night", "blue", "nothing known"]
    return KnowledgeBase(model, passages=[Passage(f"t{i}", t) for i, t in enumerate(texts)] + list(extra))


def test_what_is_close_stands_out():
    model = ToyModel()
    knowledge = base(model, Passage("pair", "what is the dog called?", "rex"))
    hits = knowledge.search(Sample("the dog"), 3)
    assert hits[0].name == "pair" and hits[0].margin > 2 > hits[1].margin and [h.rank for h in hits] == [0, 1, 2]
    assert hits[0].meta["answer"] == "rex" and knowledge.passage(hits[0]).answer == "rex"
    with pytest.raises(InputError):
        knowledge.search(Sample("dog"), 0)


def test_one_passage_alone_is_judged_against_strangers():
    knowledge = KnowledgeBase(ToyModel(), passages=[Passage("dog", "a dog")])
    assert knowledge.search(Sample("the dog"))[0].margin > 2
    assert knowledge.search(Sample("the night"))[0].margin < 1


def test_gallery_pictures_are_found_and_read(tmp_path):
    model = ToyModel()
    with Gallery.create(tmp_path / "g", model) as gallery:
        gallery.add([(f"{n}.png", png(c)) for n, c in {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}.items()])
        knowledge = KnowledgeBase(model, gallery=gallery, passages=[Passage("note", "a dog")])
        best = knowledge.search(Sample("green"), 2)[0]
        assert best.name == "green.png" and best.meta["kind"] == "picture"
        assert knowledge.passage(best).image.getpixel((4, 4))[1] > 200


def test_passages_the_model_cannot_read_are_reported():
    bad = Passage("bad", "text", image=Image.new("RGB", (1, 1), (255, 0, 255)))
    knowledge = base(ToyModel(), bad)
    assert [name for name, _ in knowledge.refused] == ["bad"] and len(knowledge) == 6
    with pytest.raises(InputError, match="nothing to read"):
        KnowledgeBase(ToyModel())


# -- answering -------------------------------------------------------------------------------------------------------------------------


def test_the_prompt_is_the_papers():
    card = Passage("c", "what is its name?", "ba mi", image=GREEN)
    sample = prompt([card], Sample([GREEN, "what is its name?"]))
    assert [s.is_image for s in sample] == [True, False, True, False]
    assert sample[1].text == "what is its name?\nba mi" and sample[3].text == "what is its name?"


def test_several_passages_stand_best_last_and_numbered_when_instructed():
    sample = prompt([Passage("a", "best"), Passage("b", "second")], Sample("q?"), "instructed")
    text = sample.text
    assert text.index("[2]\nsecond") < text.index("[1]\nbest") < text.index("Question:\nq?") and text.startswith("Answer the question")


def test_a_known_question_is_answered_with_a_citation():
    model = Writer()
    answers = list(ask(model, base(model, Passage("pair", "what is the dog called?", "ba mi")), Sample("the dog?")))
    assert answers[0].text == "" and answers[-1].text == "bami [1]" and [h.name for h in answers[-1].hits] == ["pair"]
    assert model.read[0].text == "what is the dog called?\nba mi\nthe dog?"


def test_an_unknown_question_is_not_answered():
    model = Writer()
    answers = list(ask(model, base(model), Sample("the dog?"), margin=2.0))
    assert len(answers) == 1 and answers[0].text.startswith("I do not know") and not answers[0].hits and not model.read
    with pytest.raises(InputError, match="no words"):
        list(ask(model, base(model), Sample(GREEN)))


def test_without_retrieval_reads_the_question_only():
    model = Writer()
    assert list(without_retrieval(model, Sample("who?")))[-1].text == "bami" and model.read[0].text == "who?"


def test_the_style_follows_the_model():
    assert (
        style_of(Writer()) == "plain" and style_of(Writer(name="qwen")) == "instructed" and style_of(Writer(), "instructed") == "instructed"
    )
    with pytest.raises(InputError):
        style_of(Writer(), "loud")


@pytest.mark.parametrize(
    "trap", ["<image>", "</s>", "<|im_start|>", "<<image>image>", "< image >", "[INST]", "ASSISTANT:", "System :", "[7]", "\0"]
)
def test_quotations_cannot_pass_for_anything_else(trap):
    text = quoted(f"before {trap} after")
    assert trap not in text and "before" in text and "after" in text
    assert "<image>" not in text and "[7]" not in text


def test_quotations_keep_ordinary_text():
    plain = "3 < 4 and 5 > 2; e.g. [a] user manual, ratio 1:2 (x)"
    assert quoted(plain) == plain


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("a wren [2]", "a wren [2]"), ("a wren [9]", "a wren [2]"), ("a wren", "a wren [2]"), ("oak", "oak [1]"), ("hm", "hm [1]"),
        ("I do not know", "I do not know"), ("i don't know.", "i don't know."), ("", ""),
    ],
)  # fmt: skip
def test_citations_hold(text, cited):
    assert cite(text, [hit("the oak"), hit("birds?", "a wren")]) == cited


def test_margins_need_no_spread():
    knowledge = KnowledgeBase(ToyModel(), passages=[Passage("a", "nothing"), Passage("b", "nothing")])
    assert np.isfinite(knowledge.search(Sample("nothing"))[0].margin)


def test_the_words_alone_count_as_much_as_the_whole():
    """Of two cards with like pictures, the one whose question is the one asked wins, by the mean of both similarities."""
    cards = [Passage("dog", "the dog", "rex", GREEN), Passage("star", "the star", "ba", GREEN)]
    knowledge = KnowledgeBase(ToyModel(), passages=cards)
    assert knowledge.search(Sample([Image.new("RGB", (8, 8), (0, 200, 40)), "a star"]))[0].name == "star"
