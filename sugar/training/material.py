"""Training data of sugar-photo, made of captioned photos: files in the formats of `--data`, for any base.

    made = Maker(Archive("PHOTOS"), seed=5)
    made.write(Path("runs/material"))                     # photos, captions, questions, notes, texts
    write_rows(path, replay(base, replay_prompts(made)))  # the untouched base's own answers

Questions hold what at least two captions of a photo say, and things that none names, in conversations of one
to four turns. Notes are short texts with a question that they answer, or do not. The replay keeps a base's
language: it is trained on its own answers beside the photos. Not covered: training on it
(recipes.py, `photo`).
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sugar.everyday.archive import Archive, clean
from sugar.everyday.facts import Corpus, Facts, existence, questions
from sugar.sequence import Sample
from sugar.training.data.files import read_lines
from sugar.training.dual import sentence_folder

ASK = """
Describe the picture in one sentence.|What does this photo show?|What is in the picture?
Describe this photo.|What do you see?|What is happening here?|Caption this photo.
"""
ASK_KIND = """
What kind of thing is this?|What is the main thing?|What is this?
Which animal or thing is in the photo?
"""
EPOCHS, PAIRS, NOTES, CAPTION_NOTES = 4, 2500, 9000, 3000
TOLD_FIRST = 0.8
"""Share of conversations that begin with a caption: the photo is read once for all of its answers."""

READ = "Answer in a few words from the notes. If they do not say, answer: The notes do not say."
ABSENT = "The notes do not say."

SENTENCES = """
We rented {thing} for {euros} euros in {town}.
 What did we rent?|You rented {thing}.
 How much did we pay for {thing}?|{euros} euros.
 Where did we rent {thing}?|In {town}.
On {month} {day} we met {one} at {place}.
 Whom did we meet at {place}?|{one}.
 Where did we meet {one}?|At {place}.
 When did we meet {one}?|On {month} {day}.
{two} cooked {food} for everybody.
 Who cooked {food}?|{two}.
 What did {two} cook?|{Food}.
The train to {other} left at {hour} o'clock.
 When did the train to {other} leave?|At {hour} o'clock.
 Where did the train go?|To {other}.
We walked {far} kilometres and saw {animal}.
 How far did we walk?|{far} kilometres.
 Which animals did we see?|{Animal}.
 What did we see on the walk?|{Animal}.
The dog is called {dog} and belongs to {one}.
 What is the dog called?|{dog}.
 Whose dog is {dog}?|It belongs to {one}.
{two} turned {age} in {month}.
 How old is {two}?|{age}.
 When is the birthday of {two}?|In {month}.
{Second} was built in {year}.
 When was {second} built?|In {year}.
It rained all day, so we stayed in {second}.
 Why did we stay inside?|Because it rained all day.
 What was the weather like?|It rained all day.
{one} lost the keys near {place}.
 Who lost the keys?|{one}.
 What did {one} lose?|The keys.
"""
"""A sentence of a note; below it, indented, questions that it answers, and their answers."""

WORDS = """
names|Anna|Ben|Clara|David|Emma|Felix|Greta|Hugo|Ida|Jonas|Karin|Leo|Mia|Nils|Olga|Paul|Rosa|Sam|Tina
 Viktor|Lena|Tom|Julia|Max|Sofia
towns|Lisbon|Bergen|Porto|Vienna|Oslo|Florence|Dublin|Prague|Bremen|Gdansk|Split|Ghent|Turin|Basel|Malmo
 York|Cork|Nice|Graz|Lucca
thing|a blue canoe|two bicycles|a red tent|a small sailboat|a white van|a cabin by the lake|skis|a kayak
 an old car|a campervan
food|grilled sardines|apple pie|mushroom soup|lamb stew|fresh bread|pancakes|fish and chips|pea soup
 cheese dumplings|roast chicken
animal|a fox|two deer|a seal|a heron|three goats|an owl|a hedgehog|wild horses|a stork|dolphins
places|the old harbour|the botanical garden|the castle|the night market|the lighthouse|the cathedral
 the city museum|a small bakery|the ferry terminal|the railway bridge
month|January|February|March|April|May|June|July|August|September|October|November|December
dog|Bruno|Kira|Lotte|Rex|Maja|Oskar|Pippa|Balu
euros|12|15|18|25|30|40|55|70
fillers|The view was lovely.|We were tired but happy.|The next day we slept in.
 Everybody had a good time.|The photos turned out well.|It was colder than we thought.
 We want to go back next year.|The shop was closed.
"""
"""A name and its words; an indented line goes on with the one before."""

Row = dict[str, Any]
"""A row of a LLaVA file."""


def tidy(caption: str) -> str:
    """A caption as a sentence.

    >>> tidy("a dog 's ball in the Grass .")
    "A dog's ball in the grass."
    """
    return _capital(clean(caption)) + "."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _entries(text: str) -> list[str]:
    return [entry for line in text.strip().split("\n") for entry in line.split("|")]


def _lists() -> dict[str, list[str]]:
    rows = (line.split("|") for line in WORDS.strip().replace("\n ", "|").split("\n"))
    return {name: own for name, *own in rows}


def sentences() -> list[tuple[str, list[tuple[str, str]]]]:
    found: list[tuple[str, list[tuple[str, str]]]] = []
    for line in SENTENCES.strip().split("\n"):
        if line.startswith(" "):
            question, _, answer = line.strip().partition("|")
            found[-1][1].append((question, answer))
        else:
            found.append((line, []))
    return found


def talk(turns: Sequence[str], pictures: Sequence[str] = ()) -> Row:
    """A LLaVA row of turns that take it in turns, the person first; the pictures stand before the first."""
    marks = "<image>\n" * len(pictures)
    said = [
        {"from": ("human", "gpt")[n % 2], "value": (marks if n == 0 else "") + t} for n, t in enumerate(turns)
    ]
    return {"image": list(pictures), "conversations": said} if pictures else {"conversations": said}


@dataclass
class Maker:
    """Rows out of a folder of captioned photos, the same for one seed."""

    archive: Archive
    seed: int = 5

    @cached_property
    def names(self) -> list[str]:
        return self.archive.split("train")

    @cached_property
    def captions(self) -> dict[str, list[str]]:
        return {name: self.archive.captions(name)[:5] for name in self.names}

    @cached_property
    def facts(self) -> dict[str, Facts]:
        return {name: Facts([clean(c) for c in own]) for name, own in self.captions.items()}

    @cached_property
    def corpus(self) -> Corpus:
        return Corpus(self.facts.values())

    def _draws(self, part: str) -> tuple[random.Random, np.random.Generator]:
        """Generators that no other part shares."""
        return random.Random(f"{self.seed} {part}"), np.random.default_rng([self.seed, *part.encode()])

    def write(self, out: Path) -> None:
        """Every file but those that need a model: see `kinds` and `replay`."""
        photos = out / "photos"
        plain = self.archive.names("coco_plain")
        for folder, collection, names in (
            (photos, "flickr8k", self.names),
            (out / "plain", "coco_plain", plain),
        ):
            folder.mkdir(parents=True, exist_ok=True)
            for name, data in zip(names, self.archive.files(collection, names), strict=True):
                (folder / name).write_bytes(data)
        table = [f"{n}\t{tidy(c)}" for n, own in self.captions.items() for c in own]
        _write(photos / "captions.tsv", ["file_name\tcaption", *table])
        write_rows(photos / "questions.json", self.questions())
        write_rows(photos / "pairs.json", self.pairs())
        write_rows(out / "notes.json", self.notes())
        _write(out / "words.txt", self.words())
        _write(out / "sentences.txt", [tidy(line) for line in self.archive.lines("sentences.txt")])

    # -- photos ------------------------------------------------------------------------------------

    def questions(self) -> Iterator[Row]:
        """Each photo `EPOCHS` times, with two to four questions, most after a caption."""
        draw, rng = self._draws("questions")
        for name in self.names * EPOCHS:
            asked = self._asked(name, int(rng.integers(2, 5)), draw, rng)
            if asked:
                turns = [text for pair in asked for text in pair]
                if draw.random() < TOLD_FIRST:
                    turns = [draw.choice(_entries(ASK)), tidy(draw.choice(self.captions[name])), *turns]
                yield talk(turns, [name])

    def _asked(
        self, name: str, most: int, draw: random.Random, rng: np.random.Generator
    ) -> list[tuple[str, str]]:
        """At most `most` questions of a photo and their answers; those about existence first in 45 %."""
        facts = self.facts[name]
        found = [(q.text, q.answer) for q in questions(facts, rng)]
        for kind in ("adversarial", "even", "even", "random", "popular"):
            found += [(q.text, q.answer) for q in existence(facts, self.corpus, rng, kind)]
        draw.shuffle(found)
        open_first = draw.random() < 0.55
        found.sort(key=lambda pair: (pair[1] in ("yes", "no")) == open_first)
        chosen = list(dict(reversed(found)).items())[::-1][:most]  # the first of each question
        return [(_capital(q), _capital(a)) for q, a in chosen]

    def pairs(self) -> Iterator[Row]:
        """Two photos: what differs, both described, which one a caption is of."""
        draw, _ = self._draws("pairs")
        for _ in range(PAIRS):
            names = draw.sample(self.names, 2)
            first, second = (tidy(draw.choice(self.captions[n])) for n in names)
            kind = draw.random()
            if kind < 0.4:
                differ = f"The first shows {_within(first)}, the second {_within(second)}."
                turns = ["What differs between these two pictures?", differ]
            elif kind < 0.7:
                turns = ["Describe both pictures.", f"First: {first} Second: {second}"]
            else:
                which = draw.random() < 0.5
                asked = f"Which picture shows this: {first if which else second}"
                turns = [asked, "The first." if which else "The second."]
            yield talk(turns, names)

    def words(self) -> list[str]:
        """Names out of WordNet, words of captions, names of classes; the common ones several times."""
        draw, _ = self._draws("words")
        vocabulary = json.loads((sentence_folder() / "tokenizer.json").read_text("utf-8"))
        named = wordnet_words(set(vocabulary["model"]["vocab"]))
        common = {thing for facts in self.facts.values() for thing in facts.things}
        for own in self.captions.values():
            common.update(w for c in own for w in re.findall("[a-z]+", c.lower()) if len(w) > 2)
        often = [word for word in sorted(common) if self.corpus.count.get(word, 0) >= 5]
        classes = self.archive.classes()
        photos = [f"a photo of a {name}" for name in classes]
        found = [*named, *sorted(common), *(classes + photos) * 4, *often * 6]
        draw.shuffle(found)
        return found

    # -- notes -------------------------------------------------------------------------------------

    def notes(self) -> Iterator[Row]:
        """Made notes, then captions as notes, with a question each."""
        draw, rng = self._draws("notes")
        for _ in range(NOTES):
            yield from self._note(draw)
        for _ in range(CAPTION_NOTES):
            yield from self._caption_note(draw, rng)

    def _note(self, draw: random.Random) -> Iterator[Row]:
        """One to three paragraphs of made sentences, and a question; in 30 % of another sentence."""
        filled = _filled(draw)
        draw.shuffle(filled)
        count = draw.randint(1, 5)
        told, untold = filled[:count], filled[count:]
        said = [sentence for sentence, _ in told] + draw.sample(_lists()["fillers"], draw.randint(0, 3))
        draw.shuffle(said)
        size = draw.randint(1, min(3, len(said)))
        cuts = [0, *sorted(draw.sample(range(1, len(said)), size - 1)), len(said)]
        paragraphs = [" ".join(said[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]
        if draw.random() < 0.7:
            question, answer = draw.choice(draw.choice(told)[1])
        else:
            (question, _), answer = draw.choice(draw.choice(untold)[1]), ABSENT
            if any(question == other for _, own in told for other, _ in own):
                return
        yield reading(paragraphs, question, answer)

    def _caption_note(self, draw: random.Random, rng: np.random.Generator) -> Iterator[Row]:
        """One to four captions, and a question that exactly one of them answers."""
        names = draw.sample(self.names, draw.randint(1, 4))
        who = draw.choice(names)
        written = [tidy(draw.choice(self.captions[name])) for name in names]
        own = written[names.index(who)].lower()
        good = [q for q in questions(self.facts[who], rng) if q.answer in own and q.kind != "who"]
        if good:
            q = draw.choice(good)
            if sum(q.answer in text.lower() for text in written) == 1:
                yield reading(written, _capital(q.text), _capital(q.answer) + ".")


WORDNET = Path("/usr/share/wordnet")
"""Where Debian's package wordnet-base puts it."""

NOUN_FILES, VERB_FILES = {5, 6, 8, 13, 17, 18, 20}, {29, 33, 34, 35, 38}
"""WordNet's files of animals, artifacts, bodies, food, objects, persons, plants; of bodily, sporting, eating,
touching and moving verbs.
"""


def wordnet_words(known: set[str], folder: Path = WORDNET) -> list[str]:
    """Names of things and actions in one or two words that are all known. Raises InputError without."""
    found: dict[str, None] = {}
    for name, files in (("data.noun", NOUN_FILES), ("data.verb", VERB_FILES)):
        for line in read_lines(folder / name):
            fields = line.split()
            if not fields or line.startswith(" ") or int(fields[1]) not in files:
                continue
            lemmas = fields[4 : 4 + 2 * int(fields[3], 16) : 2] if name == "data.noun" else fields[4:5]
            for lemma in lemmas:
                word = lemma.replace("_", " ").lower()
                if re.fullmatch("[a-z]+( [a-z]+)?", word) and known.issuperset(word.split()):
                    found[word] = None
    return list(found)


def reading(paragraphs: Sequence[str], question: str, answer: str) -> Row:
    """A question to notes, in the words of the profile that reads them."""
    body = "\n".join(f"[{n}]\n{text}" for n, text in enumerate(paragraphs, 1))
    return talk([f"{READ}\n{body}\nQuestion:\n{question}", answer])


def _filled(draw: random.Random) -> list[tuple[str, list[tuple[str, str]]]]:
    """Every sentence with its questions, all with one choice of words."""
    lists = _lists()
    chosen = {name: draw.choice(own) for name, own in lists.items()}
    for names, many in (
        (("one", "two"), "names"),
        (("town", "other"), "towns"),
        (("place", "second"), "places"),
    ):
        chosen |= dict(zip(names, draw.sample(lists[many], 2), strict=True))
    chosen |= {
        name: str(draw.randint(low, high))
        for name, low, high in (
            ("day", 1, 28),
            ("hour", 7, 21),
            ("far", 3, 38),
            ("year", 1996, 2024),
            ("age", 3, 80),
        )
    }
    chosen |= {_capital(name): _capital(chosen[name]) for name in ("food", "animal", "second")}
    return [
        (text.format(**chosen), [(q.format(**chosen), a.format(**chosen)) for q, a in own])
        for text, own in sentences()
    ]


def _within(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:-1]


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("\n".join(lines) + "\n", "utf-8")


def write_rows(path: Path, rows: Iterator[Row]) -> None:
    """A LLaVA file."""
    path.write_text(json.dumps(list(rows), ensure_ascii=False, indent=0), "utf-8")


# -- what needs a model ----------------------------------------------------------------------------

SURE = {"plain": 0.35, "photos": 0.6}
"""The classifier's confidence from which a photo is of a class, by the folder that `write` puts it into."""


def kinds(archive: Archive, tower: Any, seed: int = 3) -> Iterator[Row]:
    """Photos whose class the tower's classifier is sure of, and the class as the answer."""
    from sugar.training.teachers.dual import pixels_of

    draw, classes = random.Random(seed), archive.classes()
    for folder, collection, names in (
        ("plain", "coco_plain", archive.names("coco_plain")),
        ("photos", "flickr8k", archive.split("train")),
    ):
        for name, photo in zip(names, archive.photos(collection, names), strict=True):
            logits = tower.classifier(tower.cells(pixels_of([photo], tower.config.image_size)).mean((2, 3)))
            sure, best = logits.softmax(-1)[0].max(0)
            if sure > SURE[folder]:
                named = classes[int(best)]
                article = "An" if named[0].lower() in "aeiou" else "A"
                yield talk([draw.choice(_entries(ASK_KIND)), f"{article} {named}."], [f"{folder}/{name}"])


TOKENS, TOGETHER = 72, 32

CHAT = """
Hello!|Hi|Hi there|Good morning|Good evening|Hey, how are you?|How are you today?|What is your name?
Who are you?|What can you do?|What can you do for me?|Can you help me?|Help|Thank you|Thanks a lot!
Bye|Goodbye|See you later|Tell me a joke|Tell me a short story|Sing a song
What is the capital of France?|What is the capital of Italy?|What is the capital of Japan?
Who wrote Hamlet?|What is 2 + 2?|What is 17 plus 4?|What is the largest planet?|Why is the sky blue?
What is love?|What is a prime number?|How does a car engine work?|How do planes fly?
How do I cook rice?|Give me a simple recipe for pancakes.|How do I bake bread?
Give me three tips for better sleep.|What should I pack for a hike?|Plan a picnic for four people.
How do I take better photos?|What makes a good photo?|How do I sort my holiday photos?
Suggest a title for a photo album about a summer trip.|What is a lens?|What is an aperture?
Explain exposure in photography.|What is the difference between a frog and a toad?|What do dogs eat?
How old do cats get?|What is a good name for a dog?|Recommend a book for children.
What is democracy?|Explain gravity to a child.|What is the meaning of life?|Are you a robot?
Are you human?|Do you have feelings?|What day is it today?|What is the weather tomorrow?
Who won the game last night?|Translate 'good morning' into French.|Say 'thank you' in Spanish.
How do you spell 'elephant'?|What is a synonym of happy?|What is the opposite of cold?
Give me three words that rhyme with sea.|Write a haiku about the sea.|Write a haiku about snow.
Write a short poem about a dog.|Write a birthday wish for my friend.
Write a thank-you note to my neighbour.|Write an email to cancel an appointment.
Write a caption for a photo of a sunset.|Write a caption for a photo of two friends laughing.
Is it safe to eat raw eggs?|How far is the moon?|How many legs does a spider have?
How many days are in a year?|What is photosynthesis?|What is an atom?|Who painted the Mona Lisa?
What is the Great Wall of China?|Where is the Sahara?|What is jazz?|What is a solar eclipse?
How do I remove a coffee stain?|How do I tie a tie?|What is a good breakfast?
How do I learn to swim?|How do I train a puppy?|What are the rules of football?|What is yoga?
Name three musical instruments.|Name five fruits.|Name four sports played with a ball.
List the seasons.|List three things to do on a rainy day.|Write a sentence with the word 'mountain'.
Write two sentences about winter.|Write a short advertisement for a bicycle.|Tell me about horses.
Tell me something about Paris.|Explain what a camera is.
"""
ABOUT = """
Write a short poem about {}.|Write two sentences about {}.|What is {}?
Explain to a child what {} is.|Tell me something about {}.|Write a short story about {}.
List three facts about {}.|What can you do with {}?|Describe {}.|Why do people like {}?
Give me a name for {}.|Write a question about {}.
"""
NOUNS = """
a dog|a cat|a horse|a bird|an elephant|the sea|a mountain|a river|snow|the sun|a bicycle|a car
a train|a boat|a kite|a guitar|a book|a house|a bridge|a garden|a flower|a tree|an apple|bread
coffee|pizza|a birthday|a holiday|football|swimming|dancing|friendship|music|winter|summer|autumn
a child|a teacher|a doctor|a city|a village|a market|a museum|a camera|a photo album|a computer
a robot|a balloon|an umbrella|a frog|a whale|a tiger|honey|rain|a rainbow|the moon|a star|a beach
a forest|a desert
"""
REWRITE = """
Shorten this: {}|Say it in other words: {}|Write a title for this: {}|Make this a question: {}
What is this about? {}|Continue the story: {}|Write a poem about this: {}|Correct the grammar: {}
Who or what is in this sentence? {}|Make it longer: {}|Write it in the past tense: {}
"""
TOGETHER_TWO = """
Summarize in one sentence: {} {}|What do these have in common? {} {}
Write a story with these two: {} {}
"""
ABOUT_PHOTO = """
Write a short poem about this photo.|Write a short story about this photo.
Suggest a title for this photo.|Write a caption for a social post with this photo.
What might happen next?|How does this photo feel?|Write two sentences about this photo.
Invent a name for this place and say why.
"""


@dataclass(frozen=True)
class Prompt:
    """What a person says; with a photo, `told` is what the base reads in its place: its caption."""

    said: str
    photo: str = ""
    told: str = ""


def replay_prompts(maker: Maker, sentences: int = 700, photos: int = 260) -> list[Prompt]:
    """Greetings, questions, jobs on sentences and jobs on photos."""
    draw, _ = maker._draws("replay")
    lines = [tidy(line) for line in maker.archive.lines("sentences.txt")]
    draw.shuffle(lines)
    lines = lines[:sentences]
    said = _entries(CHAT)
    said += [job.format(noun) for noun in _entries(NOUNS) for job in draw.sample(_entries(ABOUT), 3)]
    said += [draw.choice(_entries(REWRITE)).format(line) for line in lines]
    pairs = zip(lines[::5], lines[1::5], strict=False)
    said += [draw.choice(_entries(TOGETHER_TWO)).format(a, b) for a, b in pairs]
    found = [Prompt(text) for text in said]
    for name in draw.sample(maker.names, min(photos, len(maker.names))):
        job, caption = draw.choice(_entries(ABOUT_PHOTO)), tidy(draw.choice(maker.captions[name]))
        found.append(Prompt(job, name, f"This is what a photo shows: {caption} {job}"))
    draw.shuffle(found)
    return found


def replay(sugar: Any, prompts: Sequence[Prompt]) -> Iterator[Row]:
    """A base's own greedy answers, cut after their last whole sentence; those that go in circles are left
    out.
    """
    for start in range(0, len(prompts), TOGETHER):
        part = prompts[start : start + TOGETHER]
        samples = [Sample(p.told or p.said) for p in part]
        answers = sugar.generator.answers(samples, max_new_tokens=TOKENS, adapter=None)
        for prompt, answer in zip(part, answers, strict=True):
            text = whole_sentences(sugar, answer)
            if text and not circles(text):
                yield talk([prompt.said, text], [prompt.photo] if prompt.photo else [])


def whole_sentences(sugar: Any, answer: str) -> str:
    """The answer; where it was cut at TOKENS, as far as its last whole sentence goes."""
    text = answer.strip()
    if len(sugar.processor.encode(text)) < TOKENS - 1:
        return text
    end = max(text.rfind(mark) for mark in (". ", ".\n", "! ", "? ", "\n"))
    return text[: end + 1].strip() if end >= 20 else ""


def circles(text: str) -> bool:
    """Does it say more than three runs of four words again?"""
    words = text.lower().split()
    runs = [tuple(words[n : n + 4]) for n in range(len(words) - 3)]
    return len(runs) - len(set(runs)) > 3
