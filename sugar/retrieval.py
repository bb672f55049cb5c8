"""Search a gallery with any order of words and pictures.

    search(gallery, model, Sample("a dog"))                                  # list[Hit], best first
    search(gallery, model, Sample([picture, "the same, but at night"]))      # a picture and a change; the picture itself is left out
    search(gallery, model, [Term(Sample("a dog"), 2.0), Term(Sample("snow"), -1.0)])      # weights and a minus sign
    search_story(gallery, model, Sample(["we arrived", picture, "it got dark"]))    # runs of consecutive pictures that tell that story
    search_positions(gallery, model, sample)                                 # hits for every position of the sequence

    search(gallery, model, query, *, k=12, rerank=True, shortlist=100, filters=Filters(), exclude=(), exclude_own=True, collapse=True,
           delta=0.7) -> list[Hit]
        query: a Sample, or Terms (sample, weight); exclude: item ids; exclude_own: leave out pictures that the query itself shows;
        collapse: of near-duplicates only the best is a hit, the others are in hit.meta["duplicates"] (ids)
    search_story(gallery, model, story, *, k=5, filters=Filters(), exclude_own=False) -> list[Hit]
        hit.items: the run's ids in order of time; hit.path: pairs (story slice, position in the run); hit.item: the run's first
    search_positions(gallery, model, query, *, k=1, ...as search) -> list[list[Hit]]      one list per slice of the query
    Filters(after=None, before=None, name="", caption="", min_side=0, max_side=None)      dates are date or datetime, both inclusive
    parse_terms(text) -> list[Term]              "a red star, dog^2, -night": commas part terms, ^ weighs, a leading minus subtracts
    approximate_recall(gallery, *, queries=100, k=10) -> float      share of flat search's top k that the index in use finds

Every Hit carries both scores, both ranks, path, similarity, margin; hit.meta has "taken", "width", "height", "camera", "duplicates" and
"relevance", a word from the margin. Items without vectors cannot be hits: `gallery.pending()` lists them.
"""
