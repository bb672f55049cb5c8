"""Searching: words, pictures, changes, weights, stories, positions, filters, duplicates, margins, and what a
hit says about itself.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from datetime import date, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from pictures import encoded
from PIL import Image
from toy import ToyModel

from sugar.commands import gallery as gallery_command
from sugar.dtw import cdist_gak, gak
from sugar.errors import AlignmentError, InputError
from sugar.gallery import Gallery
from sugar.retrieval import (
    KINDS,
    Filters,
    SearchOptions,
    Term,
    confirm,
    kind_of,
    scoring,
    search,
    search_positions,
    search_story,
)
from sugar.retrieval.terms import EmbeddedQuery, embed_query, signatures_of
from sugar.sequence import PictureHit, Sample
from sugar.training.teachers.labels import BatchFacts, labels

COLOURS = {
    "red": (250, 20, 30),
    "green": (20, 240, 30),
    "blue": (20, 30, 240),
    "dark red": (110, 5, 5),
    "purple": (200, 20, 200),
    "white": (250, 250, 250),
    "black": (5, 5, 5),
}


def solid(colour, size=(32, 24)) -> Image.Image:
    return Image.new("RGB", size, COLOURS.get(colour, colour))


@pytest.fixture
def model() -> ToyModel:
    return ToyModel()


@pytest.fixture
def gallery(tmp_path, model):
    """Seven plain pictures, one a day from 1 May 2024, in the order of COLOURS."""
    folder = tmp_path / "in"
    folder.mkdir()
    rows = []
    for day, colour in enumerate(COLOURS):
        (folder / f"{colour}.png").write_bytes(encoded(solid(colour, (32 + 10 * day, 24 + 5 * day))))
        taken = datetime(2024, 5, 1, 12) + timedelta(days=day)
        rows.append({"file": f"{colour}.png", "taken": taken.isoformat()})
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with Gallery.create(tmp_path / "g", model) as g:
        g.add(folder)
        yield g


class Reached(Exception):
    """Says on which devices the tensors of a call lie."""


def where(*tensors) -> None:
    raise Reached({t.device.type for t in tensors})


def parts_are(sequences, *_, **__) -> None:
    where(*[s.part1 for s in sequences])


def test_slices_are_aligned_and_labels_made_where_the_model_is(monkeypatch):
    """On a device that pretends: what reaches the scorer lies there, and nothing was fetched back."""
    rows = np.eye(4, dtype=np.float32)
    monkeypatch.setattr(scoring, "PackedSequences", SimpleNamespace(from_list=lambda given: where(*given)))
    query = EmbeddedQuery(np.ones(1), [rows[:3]], rows[2], signatures_of([]), "meta")
    with pytest.raises(Reached) as seen:
        scoring.alignment_scores(query, [rows[:1], rows[:3], rows[1:3]], 0.7, align=True)
    assert seen.value.args[0] == {"meta"}
    monkeypatch.setattr(sys.modules[labels.__module__], "label_matrix", parts_are)
    facts = BatchFacts([[True, False], [False]], [[1], [0]], [], [], [], rows[:3], rows[:3])
    with pytest.raises(Reached) as seen:
        labels(facts, device="meta")
    assert seen.value.args[0] == {"meta"}
    assert embed_query(SimpleNamespace(embed=ToyModel().embed), [Term(Sample("a"))], True).device == "cpu"
    monkeypatch.setattr("sugar.dtw.scores._faults", {False: "", True: ""})  # as where a card is and works
    assert scoring.alignment_path("mps") == scoring.alignment_path("cpu") != scoring.alignment_path("cuda")
    with pytest.raises(AlignmentError, match="works on CUDA and the tensors are on cpu"):
        cdist_gak([rows], [rows], path="triton")


def find(gallery, *query, **options) -> list[PictureHit]:
    """The hits for words, pictures or terms, seven at most."""
    asked = list(query) if isinstance(query[0], Term) else Sample(query)
    return search(gallery, gallery.model, asked, SearchOptions(**{"k": 7, **options}))


def names(hits) -> list[str]:
    return [h.name.removesuffix(".png") for h in hits]


def test_words_find_pictures_and_a_hit_explains_itself(gallery, model):
    hits = find(gallery, "red", k=3)
    assert names(hits)[0] == "red" and [h.rank for h in hits] == [0, 1, 2] == [h.rank_before for h in hits]
    best = hits[0]
    picture, words = model.embed([Sample(solid("red")), Sample("red")]).pooled
    assert best.shortlist_score == pytest.approx(float(picture @ words), abs=1e-6)
    alone = float(gak(words[None], picture[None], delta=0.7))
    assert best.score == pytest.approx(alone, abs=1e-5), "one slice each: the kernel of the cosine"
    assert best.path == ((0, 0),) and best.similarity == pytest.approx(np.array([[best.shortlist_score]]))
    assert (best.taken, best.width, best.camera) == (datetime(2024, 5, 1, 12), 32, "")


def test_scores_by_hand(gallery):
    """`red` is (any .1, red 1); a picture of colour (r, g, b) / 255 is (any .1, r, g, b): cosines a reader
    can check.
    """
    for hit in find(gallery, "red", collapse=False):
        r, g, b = (c / 255 for c in COLOURS[hit.name.removesuffix(".png")])
        night = float((r + g + b) / 3 < 0.25)
        expected = (0.01 + r) / math.sqrt(1.01) / math.sqrt(0.01 + r * r + g * g + b * b + night)
        assert hit.shortlist_score == pytest.approx(expected, abs=1e-5)


def test_a_picture_finds_its_like_and_not_itself_and_may_be_changed(gallery):
    red = solid("red", (300, 200))
    assert "red" not in names(find(gallery, red)) and names(find(gallery, red, exclude_own=False))[0] == "red"
    assert find(gallery, red)[0].rank_before == 0
    assert names(find(gallery, solid("red"), "the same, but at night"))[0] == "dark red"


def test_weights_and_a_minus_sign(gallery):
    assert names(find(gallery, Term(Sample("red")), Term(Sample("blue"))))[0] == "purple"
    heavy = find(gallery, Term(Sample("red"), 5), Term(Sample("blue"), 1))
    assert names(heavy)[0] == "red" and 0 < heavy[0].score <= 1
    red, night = Term(Sample("red")), Term(Sample("night"), -1)
    assert names(find(gallery, red, night)).index("dark red") > names(find(gallery, red)).index("dark red")
    assert names(find(gallery, Term(Sample("night"), -1.0)))[0] not in ("black", "dark red")


def test_terms_that_cancel_and_bad_numbers_are_refused(gallery, model):
    with pytest.raises(InputError, match="other than 0"):
        Term(Sample("x"), float("nan"))
    with pytest.raises(InputError, match="cancel"):
        find(gallery, Term(Sample("red"), 1), Term(Sample("red"), -1))
    for options in ({"k": 0}, {"shortlist": 0}):
        with pytest.raises(InputError, match="at least 1"):
            SearchOptions(**options)
    with pytest.raises(InputError, match="at least one run"):
        search_story(gallery, model, Sample("red"), k=0)
    with pytest.raises(InputError, match="empty"):
        search(gallery, model, [])


# -- re-ranking


def test_a_caption_moves_its_picture_up_and_both_ranks_are_told(gallery):
    [white] = [i.id for i in gallery.items() if i.name == "white.png"]
    assert find(gallery, "dog")[0].item != white
    gallery.set_caption(white, "a dog")
    best, *others = find(gallery, "dog")
    assert (best.item, best.rank, best.path, best.similarity.shape) == (white, 0, ((0, 0), (0, 1)), (1, 2))
    assert best.rank_before > 0 and sorted(h.rank_before for h in [best, *others]) == list(range(7))
    plain = find(gallery, "dog", rerank=False)
    assert [h.rank_before for h in plain] == [h.rank for h in plain] and plain[0].item != white


def test_the_score_is_the_documented_one_for_a_captioned_item(gallery, model):
    [blue] = [i.id for i in gallery.items() if i.name == "blue.png"]
    gallery.set_caption(blue, "a star at night")
    query = ["blue", "star", "a star at night"]
    [hit] = [h for h in find(gallery, *query) if h.item == blue]
    q, x = model.embed([Sample(query), Sample([solid("blue"), "a star at night"])]).slices
    whole = gak(q[-1:], x[:1], delta=0.7)
    assert hit.score == pytest.approx(math.sqrt(whole * gak(q[-2:], x, delta=0.7)), abs=1e-5)
    assert hit.path[0] == (0, 0) and hit.path[-1] == (2, 1)


def test_a_long_query_against_single_pictures_keeps_a_sensible_order(gallery, model):
    """Five slices against one: the plain normalised kernel is near nothing.

    The score is that of the whole prefix.
    """
    story = ["a star", "a circle", "blue", "blue", "blue"]
    hits = find(gallery, *story, collapse=False)
    assert names(hits)[0] == "blue" and hits[0].score > 0.25
    assert [h.rank for h in hits] == [h.rank_before for h in hits]
    [q] = model.embed([Sample(story)]).slices
    assert gak(q, gallery.slices([hits[0].item])[0], delta=0.7) < 0.2 * hits[0].score
    assert hits[0].path == tuple((i, 0) for i in range(5)) and hits[0].similarity.shape == (5, 1)


# -- stories and positions


def test_a_story_is_found_as_a_run_of_consecutive_pictures(gallery, model):
    hits = search_story(gallery, model, Sample(["green", solid("blue"), "red at night"]), k=3)
    best = hits[0]
    assert best.names == ("green.png", "blue.png", "dark red.png") and best.path == ((0, 0), (1, 1), (2, 2))
    assert best.item == best.items[0] and (best.taken.day, best.until.day) == (2, 4)
    assert best.similarity.shape == (3, 3)
    assert best.shortlist_score == pytest.approx(np.mean(np.diag(best.similarity)))
    assert best.score == pytest.approx(best.shortlist_score, abs=1e-5) and best.margin > 1
    used = [i for h in hits for i in h.items]
    assert len(used) == len(set(used)), "runs never overlap"
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
    assert [h.rank for h in hits] == [0, 1, 2]


def test_a_story_goes_by_time_taken_not_by_name(gallery, model):
    days = {i.id: i.taken for i in gallery.items()}
    forwards, second = search_story(gallery, model, Sample(["red", "green", "blue"]), k=2)
    for hit in (forwards, second):
        assert [days[i] for i in hit.items] == sorted(days[i] for i in hit.items)
    [backwards] = search_story(gallery, model, Sample(["blue", "green", "red"]), k=1)
    assert forwards.names == ("red.png", "green.png", "blue.png") and forwards.score > backwards.score


def test_stories_with_filters_and_few_pictures(gallery, model):
    story = Sample(["red", solid("green")])
    later = search_story(gallery, model, story, filters=Filters(after=date(2024, 5, 3)))
    assert all(h.taken >= datetime(2024, 5, 3) for h in later)
    [one] = search_story(gallery, model, Sample(["red", "red", "blue"]), filters=Filters(name="purple"))
    assert one.path == ((0, 0), (1, 0), (2, 0)) and one.margin == 0
    assert search_story(gallery, model, story, filters=Filters(name="nothing")) == []


def test_a_hit_for_every_position(gallery, model):
    query = Sample(["red", "blue", solid("purple")])
    calls = len(model.calls)
    groups = search_positions(gallery, model, query, SearchOptions(k=2))
    assert len(model.calls) == calls + 1 and [len(g) for g in groups] == [2, 2, 2]
    assert names(groups[0])[0] == "red" and all("purple" not in names(g) for g in groups)
    assert [hits[0].path[-1] for hits in groups] == [(0, 0), (1, 0), (2, 0)]
    shown = search_positions(gallery, model, query, SearchOptions(k=2, exclude_own=False))
    assert names(shown[1])[0] == "purple"
    for position in (0, 1):
        assert names(shown[position]) == names(find(gallery, *query.slices[: position + 1], k=2))


# -- filters and the rest


@pytest.mark.parametrize(
    "filters, expected",
    [
        (Filters(after=date(2024, 5, 6)), {"white", "black"}),
        (Filters(before=date(2024, 5, 2)), {"red", "green"}),
        (Filters(before=datetime(2024, 5, 2, 11)), {"red"}),
        (Filters(after=date(2024, 5, 2), before=date(2024, 5, 3)), {"green", "blue"}),
        (Filters(month=5, day=2), {"green"}),
        (Filters(month=6), set()),
        (Filters(name="RED"), {"red", "dark red"}),
        (Filters(caption="dog big"), {"blue"}),
        (Filters(min_side=50), {"black"}),
        (Filters(max_side=50), {"red", "green"}),
        (Filters(name="red", min_side=30), {"dark red"}),
        (Filters(name="%"), set()),
    ],
)
def test_filters(gallery, filters, expected):
    gallery.set_caption(next(i.id for i in gallery.items() if i.name == "blue.png"), "Ein BIG dog")
    assert set(names(find(gallery, "red", filters=filters, collapse=False))) == expected


def test_exclusion_and_k(gallery):
    first = find(gallery, "red", k=1)[0]
    left = [h.item for h in find(gallery, "red", k=20, filters=Filters(excluded=(first.name.upper(),)))]
    assert left and first.item not in left
    assert len(find(gallery, "red", k=20, collapse=False)) == 7
    assert len(find(gallery, "red", k=3, shortlist=1)) == 3


def test_near_duplicates_are_collapsed_and_k_is_still_reached(gallery):
    gallery.add([(f"again{i}.png", encoded(solid((250 - i % 3, 20, 30), (100 + i, 90)))) for i in range(30)])
    hits = find(gallery, "red", k=5, shortlist=8)
    assert len(hits) == 5 and len(hits[0].duplicates) >= 7
    assert len(find(gallery, "red", k=20, collapse=False)) == 20


def test_the_margin_is_over_the_gallerys_own_scores(gallery):
    hits = find(gallery, "red", collapse=False)
    scores = np.array([h.shortlist_score for h in hits])
    standard = (scores - scores.mean()) / scores.std()
    assert [h.margin for h in hits] == pytest.approx(standard.tolist(), abs=1e-4)
    assert {h.relevance for h in hits} <= {"clear", "likely", "weak"} and hits[-1].relevance == "weak"


def test_an_empty_gallery_and_one_picture(tmp_path, model):
    red = Sample("red")
    with Gallery.create(tmp_path / "e", model) as g:
        assert search(g, model, red) == [] == search_story(g, model, red)
        assert search_positions(g, model, red) == [[]]
        g.add(("one.png", encoded(solid("red"))))
        [hit] = search(g, model, red)
        assert hit.margin == 0 and len(search_story(g, model, Sample(["red", "blue"]))) == 1


def test_an_approximate_index_answers_alike_and_reports_recall(tmp_path, model, monkeypatch):
    from sugar.gallery import index as index_room

    monkeypatch.setattr(index_room, "FLAT_LIMIT", 150)
    rng = np.random.default_rng(0)
    shades = [tuple(int(c) for c in rng.integers(0, 255, 3)) for _ in range(200)]
    with Gallery.create(tmp_path / "a", model) as g:
        g.add([(f"{i}.png", encoded(solid(shade))) for i, shade in enumerate(shades)], batch_size=100)
        assert g.index_info["kind"] == "lists" and g.index_info["recall"] >= 0.95
        rows = g.spread()[::10]
        near, truth = g.nearest(rows, 10)[1], g.nearest(rows, 10, exact=True)[1]
        assert np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(near, truth, strict=True)]) >= 0.9
        exact = g.nearest(model.embed([Sample("red")]).pooled, 5, exact=True)[1][0].tolist()
        assert len({h.item for h in find(g, "red", k=5, collapse=False)} & set(exact)) >= 4
        assert len(find(g, "red", filters=Filters(name="19"), k=50, collapse=False)) == 11 + 1


def test_the_chat_models_yes_puts_the_best_hits_in_its_own_order(gallery) -> None:
    class Contrary(ToyModel):
        def agreement(self, query, candidates):
            asked.append(query)
            return np.linspace(0.1, 0.9, len(candidates))  # likes the last best

    asked: list[Sample] = []
    hits, query = find(gallery, "red", k=5), Sample("red")
    found = confirm(hits, gallery, Contrary(), query, top=3)
    assert asked == [query] and confirm([], gallery, Contrary(), query) == []
    assert [h.item for h in found] == [hits[n].item for n in (2, 1, 0, 3, 4)]
    assert [h.rank for h in found] == [0, 1, 2, 3, 4]
    assert [h.rank_before for h in found[:3]] == [h.rank_before for h in hits[2::-1]]
    assert [h.agreement for h in found[:3]] == pytest.approx([0.9, 0.5, 0.1])
    assert all(h.agreement is None for h in found[3:])


def test_a_kind_of_query_that_the_profile_does_not_name_is_not_asked(gallery, model) -> None:
    kinds = {"caption": ["red"], "change": [solid("red"), "at night"], "story": ["red", "blue"]}
    assert tuple(kinds) == KINDS and [kind_of(Sample(q)) for q in kinds.values()] == list(KINDS)
    hits = find(gallery, "red", k=3)
    assert ToyModel.profile.confirms == ("caption",)
    for query in (kinds["change"], kinds["story"]):
        assert confirm(hits, gallery, model, Sample(query)) == hits


# -- from a shell


@pytest.fixture
def shell(gallery, model, monkeypatch, tmp_path):
    """Runs a command on galleries under tmp_path with the toy model.

    `g` is the gallery of the fixture above.
    """
    from sugar.__main__ import main

    gallery.close()
    monkeypatch.setattr(gallery_command, "load_model", lambda args: model)

    def run(command: str, *words: str) -> int:
        return main([command, *map(str, words), "--root", str(tmp_path), "--gallery", "g"])

    return run


def test_index_and_search_from_a_shell(shell, tmp_path, capsys):
    def said() -> str:
        return capsys.readouterr().out

    (tmp_path / "in" / "bad.png").write_bytes(b"x")
    assert shell("index", tmp_path / "in") == 1
    out = said()
    assert "refused: bad.png: The file (1 bytes)" in out
    assert "7 unchanged, 1 refused" in out and "7 pictures in gallery 'g'" in out
    assert shell("search", "red", "-k", "2") == 0 and said().startswith("  1. red.png  0.")
    (tmp_path / "q.png").write_bytes(encoded(solid("red")))
    assert shell("search", tmp_path / "q.png", "at night", "--json") == 0
    hit = json.loads(said())["hits"][0]
    assert (hit["name"], hit["taken"]) == ("dark red.png", "2024-05-04T12:00:00")
    assert hit["path"] == [[0, 0], [1, 0]] and hit["relevance"] in ("clear", "likely", "weak")
    assert shell("search", "red", "--minus", "night", "-k", "7", "--json") == 0
    assert json.loads(said())["hits"][-1]["name"] in ("black.png", "dark red.png")
    assert shell("search", "red, blue", "--weights") == 0 and said().startswith("  1. purple.png")
    assert shell("search", "green", "blue", "--story", "-k", "1") == 0 and "green.png, blue.png" in said()
    assert shell("search", "red", "blue", "--positions", "-k", "1") == 0 and "up to 'blue':" in said()
    assert shell("search", "red", "--after", "2024-05-04", "--before", "2024-05-04T13:00", "--json") == 0
    assert [h["name"] for h in json.loads(said())["hits"]] == ["dark red.png"]
    assert shell("search", "red", "--name", "nothing") == 1 and "no hits" in said()


def test_index_json_export_and_reindex_from_a_shell(shell, tmp_path, capsys, model, monkeypatch):
    assert shell("index", tmp_path / "in", "--json", "--export", tmp_path / "o.zip") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["counts"], report["items"], report["rows"]) == ({"unchanged": 7}, 7, [])
    assert (tmp_path / "o.zip").is_file()
    model.fingerprint = "toy-2"
    assert shell("search", "red") == 1 and "index --reindex" in capsys.readouterr().out
    assert shell("index", "--reindex") == 0 and "re-indexed" in capsys.readouterr().out
    assert shell("search", "red") == 0
    assert shell("index", "--import", tmp_path / "o.zip") == 2 and "already" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "g")
    assert shell("index", "--import", tmp_path / "o.zip") == 0
    assert "7 pictures in gallery 'g'" in capsys.readouterr().out


def test_wrong_use_from_a_shell_says_what_to_do(shell, capsys):
    assert shell("index") == 2 and "Nothing to do" in capsys.readouterr().err
    assert shell("search", "red", "--after", "soon") == 2 and "not a date" in capsys.readouterr().err
    assert shell("search", "red", "--story", "--minus", "x") == 2
    assert shell("index", "x", "--batch-size", "0") == 2
