"""sugar/rag: found by words and vectors, one score, read or quoted, cited where a passage supports it."""

from dataclasses import replace
from datetime import date, datetime

import pytest
from pictures import photo
from PIL import Image
from toy import ToyModel

from sugar.errors import InputError
from sugar.gallery import Gallery, GallerySettings
from sugar.model.checkpoint import READING
from sugar.passages import Passage, read_files
from sugar.rag import (
    KnowledgeBase,
    ask,
    cite,
    find_time,
    prompt,
    quoted,
    standalone,
    threshold,
    within_budget,
)
from sugar.sequence import PassageHit, Sample

GREEN = Image.new("RGB", (16, 16), (0, 255, 0))
NOTES = b"""# Trips

## The mill of Korvel

It was built in 1874 by Anna Brandt. It burnt down in 1901.

## Our garden

In summer roses grow there. In winter the garden sleeps.
"""


class Small(ToyModel):
    """A model with the paper's plain prompt: it reads pairs and pictures, says what it is told to."""

    profile = replace(ToyModel.profile, reading="{passages}{question}")

    def __init__(self, says: str = "ba mi") -> None:
        super().__init__()
        self.says, self.read = says, []

    def generate(self, conversation, **settings):
        self.read.append(conversation)
        yield from self.says.split("|")


class Instructed(Small):
    """A model of the hub: its prompt holds instructions."""

    profile = replace(ToyModel.profile, reading=READING)


def hit(caption="", answer="", name="x", score=0.9) -> PassageHit:
    return PassageHit(name=name, score=score, rank=0, kind="passage", text=caption, answer=answer)


def notes(*extra: Passage) -> list[Passage]:
    return [*read_files([("notes.md", NOTES)]).passages, *extra]


CARDS = [
    Passage("card-0", "what is the name of the red star?", "ba mi"),
    Passage("card-1", "what is the name of the green star?", "lu fe"),
    Passage("card-2", "how old is the red star?", "five"),
    Passage("card-3", "what does the green star like?", "hats"),
]


def answer(model, passages, question, **how):
    *_, reply = ask(model, KnowledgeBase(model, passages=passages), Sample(question), **how)
    return reply


# -- finding ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "question",
    [
        "what is the name of the red star?",
        "what is the name of the red star",
        "what is the red star called?",
        "name of the red star",
        "the red star, what is its name?",
        "WHAT IS THE NAME OF THE RÉD STAR",
    ],
)
def test_a_card_is_found_in_other_words(question):
    assert answer(Small(), CARDS, question).text == "ba mi [1]"


@pytest.mark.parametrize(
    "question", ["what is the name of the blue star?", "where is the zebra?", "what does the red star like?"]
)
def test_what_is_not_there_is_not_answered(question):
    model = Small()
    reply = answer(model, CARDS, question)
    assert reply.text.startswith("I don't know") and reply.by == "nobody" and not reply.hits
    assert not model.read and not reply.known and reply.nearest is not None


WORLD = """狗叫小白。房子在北京。我们的车是红色的。

白い犬の名前はシロです。家は京都にあります。

สุนัขชื่อโบโบ้ บ้านอยู่ที่เชียงใหม่

강아지 이름은 초코입니다. 집은 부산에 있습니다.

Die Stra\u00dfe zum o\ufb03ce hei\u00dft Kuhgasse."""


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("狗叫什么名字？", "狗叫小白。"),
        ("房子在哪里?", "房子在北京。"),
        ("犬の名前は何ですか", "白い犬の名前はシロです。"),
        ("家はどこですか？", "家は京都にあります。"),
        ("สุนัขชื่ออะไร", "โบโบ้"),
        ("강아지 이름이 뭐예요?", "강아지 이름은 초코입니다."),
        ("집은 어디에 있나요?", "집은 부산에 있습니다."),
        ("which street (strasse) leads to the office?", "Kuhgasse"),
        ("猫在哪里?", ""),
        ("自転車はどこですか", ""),
    ],
)
def test_notes_in_every_script_are_found_and_quoted(question, told):
    notes = read_files([("world.txt", WORLD.encode())]).passages
    reply = answer(Small(), notes, question)
    assert (told in reply.text) if told else reply.by == "nobody"


def test_hits_say_what_found_them_and_are_ranked():
    base = KnowledgeBase(Small(), passages=[*CARDS, *notes()])
    hits = base.search(Sample("who built the mill of Korvel?"), 4)
    assert hits[0].name == "notes.md › Trips › The mill of Korvel" and hits[0].score > 0.9
    assert "words" in hits[0].found_by and [h.rank for h in hits] == [0, 1, 2, 3]
    assert base.search(Sample(GREEN), 1)[0].found_by == ("vectors",)
    with pytest.raises(InputError):
        base.search(Sample("dog"), 0)


def test_one_score_decides_order_cut_off_and_citation():
    """Hits fall in score, those read are those above the cut-off, the first that supports the answer is
    cited."""
    model = Small()
    base = KnowledgeBase(model, passages=[*CARDS, *notes()])
    for question in ("name of the red star", "who built the mill?", "roses in summer"):
        scores = [h.score for h in base.search(Sample(question), 5)]
        assert scores == sorted(scores, reverse=True) and all(0 <= s <= 1 for s in scores)
        for cut_off in (0.0, *(s + d for s in scores for d in (-0.001, 0.001))):
            *_, reply = ask(model, base, Sample(question), k=5, cut_off=cut_off)
            above = [s for s in scores if s >= cut_off]
            assert [h.score for h in reply.hits] == above and reply.known == bool(above)
            assert reply.cited == ((1,) if above else ())


def test_colours_and_things_must_stand_together():
    """ "the red star" is not in a picture of a red circle and a green star."""
    told = [Passage("a", "a red circle and a green star"), Passage("b", "a red star and a green circle")]
    base = KnowledgeBase(Small(), passages=told)
    first, second = base.search(Sample("where is the red star?"), 2)
    assert first.name == "b" and first.score > second.score + 0.1


def test_passages_the_model_cannot_embed_are_found_by_words():
    bad = Passage("bad", "a violet owl", image=Image.new("RGB", (1, 1), (255, 0, 255)))
    base = KnowledgeBase(Small(), passages=[*CARDS, bad])
    assert len(base) == 5 and base.search(Sample("the violet owl"))[0].name == "bad"
    with pytest.raises(InputError, match="nothing to read"):
        KnowledgeBase(Small())


# -- galleries and times ------------------------------------------------------------------------------


@pytest.fixture
def gallery(tmp_path):
    pictures = {
        "beach.jpg": ((0, 0, 255), datetime(2025, 8, 14), "Ann swims at the beach"),
        "hill.jpg": ((0, 255, 0), datetime(2025, 8, 20), "a walk with Boris"),
        "tree.jpg": ((255, 0, 0), datetime(2024, 12, 24), "Ann opens presents"),
    }
    with Gallery.create(tmp_path / "g", Small()) as gallery:
        gallery.add(
            [(name, photo(c, t)) for name, (c, t, _) in pictures.items()],
            captions={name: caption for name, (_, _, caption) in pictures.items()},
        )
        yield gallery


def test_a_time_filters_before_anything_is_ranked(gallery):
    base = KnowledgeBase(gallery.model, gallery=gallery)
    found = base.search(Sample("what did Ann do in August?"), 3)
    assert found[0].name == "beach.jpg" and {h.name for h in found} == {"beach.jpg", "hill.jpg"}
    assert base.search(Sample("what did Ann do in December 2024?"), 3)[0].name == "tree.jpg"
    assert base.search(Sample("what did Ann do in May?"), 3) == []
    *_, reply = ask(gallery.model, base, Sample("what did we do in August?"), k=3)
    assert reply.text.count("“") == 2 and reply.cited == (1, 2) and reply.by == "quote"
    assert "Ann swims at the beach" in reply.text and "presents" not in reply.text


def test_a_place_filters_where_the_person_keeps_places(tmp_path):
    here, there = (48, 16), (52, 13)
    with Gallery.create(tmp_path / "g", Small(), GallerySettings(keep_location=True)) as gallery:
        gallery.add(
            [("a.jpg", photo("red", None, here)), ("b.jpg", photo("blue", None, there))],
            captions={"a.jpg": "Ann at the river", "b.jpg": "Boris at the river"},
        )
        base = KnowledgeBase(gallery.model, gallery=gallery)
        assert [h.name for h in base.search(Sample("who was at the river near 48,16?"), 3)] == ["a.jpg"]
        assert base.search(Sample("who was at the river near 10,10?"), 3) == []
        *_, reply = ask(gallery.model, base, Sample("what is near 52.001, 13.001, 5 km?"), k=3)
        assert (reply.by, reply.cited) == ("quote", (1,)) and "Boris at the river" in reply.text
        assert reply.text.startswith("1 picture taken near 52.000,13.000")


def test_captions_are_quoted_and_pictures_opened(gallery):
    base = KnowledgeBase(gallery.model, gallery=gallery, passages=notes())
    *_, reply = ask(Small("hm"), base, Sample("who opens presents?"))
    assert reply.hits[0].name == "tree.jpg" and base.passage(reply.hits[0]).image is not None
    assert (reply.text, reply.by) == ("“Ann opens presents” [1]", "quote")  # the caption does not say "hm"
    *_, reply = ask(Small("Ann"), base, Sample("who opens presents?"))
    assert (reply.text, reply.by) == ("Ann [1]", "model")
    *_, reply = ask(Small("red"), base, Sample("what color are the presents?"), cut_off=0.3)
    assert (reply.text, reply.by, reply.cited) == ("red", "model", ())  # only the picture can tell
    *_, reply = ask(gallery.model, base, Sample("who plays chess?"))
    assert not reply.known


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("the dog in August 2025", (date(2025, 8, 1), date(2025, 8, 31), None)),
        ("what did we do in August?", (None, None, 8)),
        ("photos from 2019", (date(2019, 1, 1), date(2019, 12, 31), None)),
        ("on 14 August 2025 with Ann", (date(2025, 8, 14), date(2025, 8, 14), None)),
        ("2025-02 walk", (date(2025, 2, 1), date(2025, 2, 28), None)),
        ("who came yesterday?", (date(2025, 11, 1), date(2025, 11, 1), None)),
        ("last August", (date(2025, 8, 1), date(2025, 8, 31), None)),
        ("last year", (date(2024, 1, 1), date(2024, 12, 31), None)),
    ],
)
def test_times_are_read(question, expected):
    when = find_time(question, date(2025, 11, 2))
    assert (when.filters.after, when.filters.before, when.filters.month) == expected


@pytest.mark.parametrize("question", ["may I ask?", "IMG_2041", "what is 2041?", "2025-13 x", "march on", ""])
def test_what_is_not_a_time(question):
    assert find_time(question, date(2025, 11, 2)) is None


# -- answering ----------------------------------------------------------------------------------------


def test_the_best_sentence_is_quoted_with_its_source():
    reply = answer(Small(), notes(), "who built the mill of Korvel?")
    assert reply.text == "“It was built in 1874 by Anna Brandt.” [1]" and reply.by == "quote"
    assert answer(Small(), notes(), "when did the mill burn down?").text == "“It burnt down in 1901.” [1]"
    assert answer(Small(), notes(), "what happens in the garden in winter?").text.startswith("“In winter")


def test_a_small_model_must_say_what_the_pair_says():
    assert answer(Small("ba| mi"), CARDS, "name of the red star").by == "model"
    reply = answer(Small("i do not know"), CARDS, "name of the red star")
    assert (reply.text, reply.by) == ("“ba mi” [1]", "quote")


def test_an_instructed_model_answers_and_admits():
    question = "who built the mill of Korvel?"
    reply = answer(Instructed("Anna| Brandt"), notes(), question)
    assert (reply.text, reply.by, reply.cited) == ("Anna Brandt [1]", "model", (1,))
    reply = answer(Instructed("It is a purple zebra."), notes(), question)
    assert (reply.text, reply.by, reply.cited) == ("It is a purple zebra.", "model", ())
    assert not answer(Instructed("I do not know."), notes(), question).known


def test_answers_grow_and_a_question_needs_words():
    model = Instructed("Anna| Brandt")
    base = KnowledgeBase(model, passages=notes())
    grown = [r.text for r in ask(model, base, Sample("who built the mill of Korvel?"))]
    assert grown == ["", "Anna", "Anna Brandt", "Anna Brandt [1]"]
    with pytest.raises(InputError, match="no words"):
        list(ask(model, base, Sample(GREEN)))


def test_cut_offs_have_names():
    assert threshold(Small(), "strict") > threshold(Small()) > threshold(Small(), "always") == 0
    with pytest.raises(InputError):
        threshold(Small(), "loud")


@pytest.mark.parametrize(
    ("text", "cited", "numbers"),
    [
        ("a wren [2]", "a wren [2]", (2,)),
        ("a wren [9]", "a wren [2]", (2,)),
        ("A wren sings.", "A wren sings. [2]", (2,)),
        ("The oak is old. A wren sings.", "The oak is old. [1] A wren sings. [2]", (1, 2)),
        ("it is a purple zebra", "it is a purple zebra", ()),
        ("yes", "yes", ()),
        ("I do not know [1]", "I do not know", ()),
        ("i don't know.", "i don't know.", ()),
        ("", "", ()),
    ],
)
def test_a_citation_stands_only_where_the_passage_supports_it(text, cited, numbers):
    hits = [hit("the oak is old"), hit("what sings?", "a wren")]
    assert cite(text, "what is it?", hits) == (cited, numbers)


# -- the prompt ---------------------------------------------------------------------------------------


def test_the_plain_prompt_is_the_papers():
    card = Passage("c", "what is its name?", "ba mi", image=GREEN)
    sample = prompt(Small(), [card], Sample([GREEN, "what is its name?"]))
    assert [s.is_image for s in sample] == [True, False, True, False]
    assert sample[1].text == "what is its name?\nba mi" and sample[3].text == "what is its name?"


def test_the_instructed_prompt_numbers_passages_best_last():
    text = prompt(Instructed(), [Passage("a", "best"), Passage("b", "second")], Sample("q?")).text
    assert text.startswith("Answer the question")
    assert text.index("[2]\nsecond") < text.index("[1]\nbest") < text.index("Question:\nq?")


def test_passages_are_dropped_by_rank_and_words_stay_whole():
    ranked = [Passage(str(i), f"word{i} " * 40 + "end.") for i in range(5)]
    kept = within_budget(ranked, lambda text: len(text.split()), 100)
    assert [p.name for p in kept] == ["0", "1"] and all(p.text.endswith("end.") for p in kept)
    long = Passage("long", "One two three. " + "antidisestablishmentarianism " * 50)
    text = within_budget([long], len, 200)[0].text
    assert text == "One two three." and len(text) <= 200
    endless = Passage("long", "antidisestablishmentarianism " * 50)
    assert set(within_budget([endless], len, 200)[0].text.split()) == {"antidisestablishmentarianism"}
    assert prompt(Instructed(), [endless], Sample("q?"), budget=3).text.count("anti") == 3


@pytest.mark.parametrize(
    "trap",
    [
        *("<image>", "</s>", "<|im_start|>", "<<image>image>", "< image >", "<0x0A>", "[INST]"),
        *("[[INST]INST]", "ASSISTANT:", "System :", "[7]", "\0"),
    ],
)
def test_quotations_cannot_pass_for_anything_else(trap):
    text = quoted(f"before {trap} after")
    assert trap not in text and "before" in text and "after" in text
    assert "<image>" not in text and "[7]" not in text and "[INST]" not in text


def test_quotations_keep_ordinary_text():
    plain = "3 < 4 and 5 > 2; e.g. [a] user manual, ratio 1:2 (x)"
    assert quoted(plain) == plain


# -- follow-up questions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "before", "expected"),
    [
        ("and in winter?", "what grows in the garden in summer?", "what grows in the garden in winter?"),
        ("how old is it?", "what is the name of the red star?", "how old is the red star?"),
        (
            "what about the blue one?",
            "what is the name of the red star?",
            "what is the name of the blue star?",
        ),
        ("and when was it painted?", "who built the Korvel mill?", "when was the Korvel mill painted?"),
        ("where does he live?", "who is Ann Bell?", "where does Ann Bell live?"),
        ("and the mill?", "when was the bridge built?", "when was the mill built?"),
        ("is there a dog?", "where is the cat?", "is there a dog?"),
        ("when was the mill built?", "where is the cat?", "when was the mill built?"),
        ("and in winter?", "", "and in winter?"),
    ],
)
def test_a_follow_up_keeps_the_conversation(question, before, expected):
    assert standalone(question, before) == expected


def test_the_mill_of_korvel_is_not_its_tavern() -> None:
    towns = ("Brunn", "Olm", "Taff", "Sern")
    told = "\n\n".join(
        ["The mill of Korvel was built in 1874.", *(f"The tavern of {t} was built in 1790." for t in towns)]
    )
    base = KnowledgeBase(Small(), passages=read_files([("notes.txt", told.encode())]).passages)
    questions = ("When was the mill of Korvel built?", "When was the tavern of Korvel built?")
    there, absent = (base.search(Sample(q), k=1)[0].score for q in questions)
    assert there > 0.9 and absent < 0.6  # 0.7 where a missing word of the topic only counts by its weight
