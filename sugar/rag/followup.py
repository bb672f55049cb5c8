"""A follow-up question becomes one that stands alone, from the question before it. Shown, so that a person
can edit it.

    standalone("and in winter?", "what grows in the garden in summer?")      # "what grows in the garden in
    winter?" standalone("how old is it?", "what is the name of the red star?")        # "how old is the red
    star?"

By rules on words, so it works with any model. A question that stands alone stays as it is.
"""

from __future__ import annotations

from sugar.rag.words import DETERMINERS, STOP, content, ends_in_verb
from sugar.search_words import fold

__all__ = ["standalone"]

_OPENINGS = (
    ("and", "what", "about"),
    ("and", "how", "about"),
    ("what", "about"),
    ("how", "about"),
    ("and",),
    ("or",),
    ("but",),
)
_PRONOUNS = frozenset(
    {
        "it",
        "they",
        "them",
        "he",
        "him",
        "she",
        "her",
        "this",
        "that",
        "there",
        "its",
        "their",
        "his",
        "these",
        "those",
        "one",
    }
)
_POSSESSIVE = frozenset({"its", "their", "his", "her"})
_PREPOSITIONS = frozenset(
    {"in", "on", "at", "of", "for", "from", "with", "during", "near", "under", "over", "behind", "by", "to"}
)
_QUESTION = frozenset(
    {
        "who",
        "whom",
        "whose",
        "which",
        "what",
        "when",
        "where",
        "why",
        "how",
        "is",
        "are",
        "was",
        "were",
        "do",
        "does",
        "did",
        "can",
    }
)


def standalone(question: str, before: str) -> str:
    """The question with what it refers to, taken from the question before it ("" for none)."""
    words = question.split()
    bare = [_bare(w) for w in words]
    if not before.strip() or not words:
        return question
    for opening in _OPENINGS:
        if tuple(bare[: len(opening)]) == opening and len(words) > len(opening):
            rest, own = words[len(opening) :], bare[len(opening) :]
            if own[0] in _QUESTION and len(opening) == 1:
                return _with_topic(rest, own, before)
            return _continued(rest, own, before)
    return _with_topic(words, bare, before)


def topic(question: str) -> str:
    """What a question is about: its last phrase after an article, or its capitalised words, or its content
    words.

    >>> topic("what is the name of the red star?")
    'the red star'
    """
    words = question.split()
    bare = [_bare(w) for w in words]
    for start in range(len(words) - 1, -1, -1):
        if bare[start] in DETERMINERS - _PRONOUNS or (bare[start] in _POSSESSIVE and start + 1 < len(words)):
            end = start + 1
            while end < len(words) and bare[end] not in STOP and words[end - 1][-1:] not in ",;":
                end += 1
            if end == len(words) and end > start + 2 and ends_in_verb(bare):
                end -= 1
            phrase = " ".join(words[start:end]).rstrip("?!.,;:")
            if end > start + 1 and phrase:
                return phrase
    named = [w.strip("?!.,;:") for w in words[1:] if w[:1].isupper()]
    if named:
        return " ".join(named)
    return " ".join(w.strip("?!.,;:") for w, b in zip(words, bare, strict=True) if b not in STOP)


def _with_topic(words: list[str], bare: list[str], before: str) -> str:
    """The question with its first pronoun replaced by the topic of the question before."""
    about = topic(before)
    text = " ".join(words)
    if not about:
        return text
    for place, word in enumerate(bare):
        following = bare[place + 1] if place + 1 < len(bare) else ""
        if word not in _PRONOUNS:
            continue
        if word in ("this", "that", "these", "those", "one") and following and following not in STOP:
            continue  # "that house" names what it is about
        if word in _POSSESSIVE and following and following not in STOP:
            put = f"{about}'s"
        elif word == "there":
            if place == 0 or bare[place - 1] in ("is", "are", "was", "were"):
                continue  # "is there a dog?"
            put = f"at {about}"
        else:
            put = about
        end = words[place][len(words[place].rstrip("?!.,;:")) :]
        return " ".join([*words[:place], put + end, *words[place + 1 :]])
    return text if content(text) else f"{before.rstrip('?!. ')}, {text}"


def _continued(rest: list[str], own: list[str], before: str) -> str:
    """ "and in winter?": the question before, its phrase with that preposition replaced; or its topic
    replaced."""
    words = before.split()
    bare = [_bare(w) for w in words]
    new = " ".join(rest).rstrip("?!. ")
    if own[0] in _PREPOSITIONS:
        for start in range(len(words) - 1, -1, -1):
            if bare[start] == own[0] and start:
                end = start + 1
                while end < len(words) and bare[end] not in _PREPOSITIONS | _QUESTION:
                    end += 1
                return " ".join([*words[:start], new, *words[end:]]).rstrip("?!. ") + "?"
        return f"{before.rstrip('?!. ')} {new}?"
    about = topic(before)
    if about and about in before:
        if own[-1] in ("one", "ones") and len(about.split()) > 1:
            new = " ".join([*new.split()[:-1], about.split()[-1]])
        head, _, tail = before.rpartition(about)
        return f"{head}{new}{tail}"
    return f"{before.rstrip('?!. ')} {new}?"


def _bare(word: str) -> str:
    return fold(word.strip("?!.,;:()\"'"))
