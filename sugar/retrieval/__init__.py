"""Search a gallery with any order of words and pictures. README.md in this folder explains the score.

    search(gallery, model, Sample("a dog"))                                # list[PictureHit], best first
    search(gallery, model, Sample([picture, "the same, but at night"]))    # a picture and a change
    search(gallery, model, [Term(Sample("a dog"), 2.0), Term(Sample("snow"), -1.0)], SearchOptions(k=5))
    search_story(gallery, model, Sample(["we arrived", picture, "it got dark"]))
    search_positions(gallery, model, sample)           # hits for every prefix of the query
    confirm(hits, gallery, model, query)               # the chat model's yes or no decides

Pictures without vectors cannot be hits; `gallery.pending()` lists them.
Not covered: answers from hits (sugar/rag).
"""

from sugar.gallery import Filters
from sugar.retrieval.ranking import (
    KINDS,
    SearchOptions,
    by_words,
    confirm,
    kind_of,
    search,
    search_positions,
)
from sugar.retrieval.stories import search_story
from sugar.retrieval.terms import Term

__all__ = [
    "Filters",
    "KINDS",
    "SearchOptions",
    "Term",
    "by_words",
    "confirm",
    "kind_of",
    "search",
    "search_positions",
    "search_story",
]
