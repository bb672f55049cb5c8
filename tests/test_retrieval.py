"""Searching: words, pictures, changes, weights, stories, positions, filters, duplicates, margins, and what a
hit says about itself.
"""

from __future__ import annotations

import json
import math
import shutil
from datetime import date, datetime, timedelta

import numpy as np
import pytest
from pictures import encoded
from PIL import Image
from toy import AXES, ToyModel

from sugar.commands import gallery as gallery_command
from sugar.dtw import gak
from sugar.errors import InputError
from sugar.gallery import Gallery
from sugar.retrieval import (
    Filters,
    SearchOptions,
    Term,
    approximate_recall,
    confirm,
    parse_terms,
    search,
    search_positions,
    search_story,
)
from sugar.sequence import Sample

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
        rows.append(
            {"file": f"{colour}.png", "taken": (datetime(2024, 5, 1, 12) + timedelta(days=day)).isoformat()}
        )
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with Gallery.create(tmp_path / "g", model) as g:
        g.add(folder)
        yield g


def names(hits) -> list[str]:
    return [h.name.removesuffix(".png") for h in hits]


def test_words_find_pictures_and_a_hit_explains_itself(gallery, model):
    hits = search(gallery, model, Sample("red"), SearchOptions(k=3))
    assert names(hits)[0] == "red" and [h.rank for h in hits] == [0, 1, 2] == [h.rank_before for h in hits]
    best = hits[0]
    picture = model.embed([Sample(solid("red"))]).pooled[0]
    words = model.embed([Sample("red")]).pooled[0]
    assert best.shortlist_score == pytest.approx(float(picture @ words), abs=1e-6)
    assert best.score == pytest.approx(float(gak(words[None], picture[None], delta=0.7)), abs=1e-5), (
        "one slice each: the kernel of the cosine"
    )
    assert (
        best.path == ((0, 0),)
        and best.similarity.shape == (1, 1)
        and best.similarity[0, 0] == pytest.approx(best.shortlist_score)
    )
    assert (best.taken, best.width, best.camera) == (datetime(2024, 5, 1, 12), 32, "")


def test_scores_by_hand(gallery, model):
    """`red` is (any .1, red 1); a picture of colour (r, g, b) / 255 is (any .1, r, g, b): cosines a reader
    can check.
    """
    for hit in search(gallery, model, Sample("red"), SearchOptions(k=7, collapse=False)):
        r, g, b = (c / 255 for c in COLOURS[hit.name.removesuffix(".png")])
        night = float((r + g + b) / 3 < 0.25)
        expected = (0.01 + r) / math.sqrt(1.01) / math.sqrt(0.01 + r * r + g * g + b * b + night)
        assert hit.shortlist_score == pytest.approx(expected, abs=1e-5)


def test_a_picture_finds_its_like_and_not_itself(gallery, model):
    query = Sample(solid("red", (300, 200)))
    assert (
        "red" not in names(search(gallery, model, query, SearchOptions(k=7)))
        and names(search(gallery, model, query, SearchOptions(k=7, exclude_own=False)))[0] == "red"
    )
    assert search(gallery, model, query, SearchOptions(k=1))[0].rank_before == 0


def test_a_picture_and_a_change(gallery, model):
    assert names(
        search(gallery, model, Sample([solid("red"), "the same, but at night"]), SearchOptions(k=1))
    ) == ["dark red"]


def test_weights_and_a_minus_sign(gallery, model):
    assert names(search(gallery, model, parse_terms("red, blue"), SearchOptions(k=1))) == ["purple"]
    heavy = search(gallery, model, [Term(Sample("red"), 5), Term(Sample("blue"), 1)], SearchOptions(k=1))
    assert names(heavy) == ["red"] and 0 < heavy[0].score <= 1
    assert names(search(gallery, model, parse_terms("red, -night"), SearchOptions(k=7))).index(
        "dark red"
    ) > names(search(gallery, model, parse_terms("red"), SearchOptions(k=7))).index("dark red")
    assert names(search(gallery, model, [Term(Sample("night"), -1.0)], SearchOptions(k=1)))[0] not in (
        "black",
        "dark red",
    )


def test_terms_are_parsed_or_refused():
    terms = parse_terms(" a red star, dog^2.5 , -night,-snow^.5 ")
    assert [(t.sample.text, t.weight) for t in terms] == [
        ("a red star", 1),
        ("dog", 2.5),
        ("night", -1),
        ("snow", -0.5),
    ]
    for bad, match in (
        (" , ", "empty"),
        ("dog^x", "not a weight"),
        ("dog^-1", "not a weight"),
        ("-", "empty"),
        ("dog^0", "weight is 0"),
    ):
        with pytest.raises(InputError, match=match):
            parse_terms(bad)
    with pytest.raises(InputError):
        Term(Sample("x"), float("nan"))


def test_terms_that_cancel_and_bad_numbers_are_refused(gallery, model):
    with pytest.raises(InputError, match="cancel"):
        search(gallery, model, [Term(Sample("red"), 1), Term(Sample("red"), -1)])
    for options in ({"k": 0}, {"shortlist": 0}):
        with pytest.raises(InputError, match="at least 1"):
            search(gallery, model, Sample("red"), SearchOptions(**options))
    with pytest.raises(InputError, match="at least one run"):
        search_story(gallery, model, Sample("red"), k=0)
    with pytest.raises(InputError, match="empty"):
        search(gallery, model, [])


# -- re-ranking


def test_a_caption_moves_its_picture_up_and_both_ranks_are_told(gallery, model):
    [white] = [i.id for i in gallery.items() if i.name == "white.png"]
    query = Sample("dog")
    assert search(gallery, model, query, SearchOptions(k=1))[0].item != white
    gallery.set_caption(white, "a dog")
    hits = search(gallery, model, query, SearchOptions(k=7))
    assert (
        hits[0].item == white
        and hits[0].rank == 0
        and hits[0].rank_before > 0
        and hits[0].path == ((0, 0), (0, 1))
    )
    assert hits[0].similarity.shape == (1, 2)
    plain = search(gallery, model, query, SearchOptions(k=7, rerank=False))
    assert [h.rank_before for h in plain] == [h.rank for h in plain] and plain[0].item != white
    assert sorted(h.rank_before for h in hits) == list(range(7))


def test_the_score_is_the_documented_one_for_a_captioned_item(gallery, model):
    [blue] = [i.id for i in gallery.items() if i.name == "blue.png"]
    gallery.set_caption(blue, "a star at night")
    query = Sample(["blue", "star", "a star at night"])
    [hit] = [h for h in search(gallery, model, query, SearchOptions(k=7)) if h.item == blue]
    q = model.embed([query]).slices[0]
    x = model.embed([Sample([solid("blue"), "a star at night"])]).slices[0]
    whole = gak(q[-1:], x[:1], delta=0.7)
    assert hit.score == pytest.approx(math.sqrt(whole * gak(q[-2:], x, delta=0.7)), abs=1e-5)
    assert hit.path[0] == (0, 0) and hit.path[-1] == (2, 1)


def test_a_long_query_against_single_pictures_keeps_a_sensible_order(gallery, model):
    """Five slices against one: the plain normalised kernel is near nothing.

    The score is that of the whole prefix.
    """
    story = Sample(["a star", "a circle", "blue", "blue", "blue"])
    hits = search(gallery, model, story, SearchOptions(k=7, collapse=False))
    assert (
        names(hits)[0] == "blue"
        and hits[0].score > 0.25
        and [h.rank for h in hits] == [h.rank_before for h in hits]
    )
    q = model.embed([story]).slices[0]
    assert gak(q, gallery.slices([hits[0].item])[0], delta=0.7) < 0.2 * hits[0].score
    assert hits[0].path == tuple((i, 0) for i in range(5)) and hits[0].similarity.shape == (5, 1)


# -- stories and positions


def test_a_story_is_found_as_a_run_of_consecutive_pictures(gallery, model):
    hits = search_story(gallery, model, Sample(["green", solid("blue"), "red at night"]), k=3)
    best = hits[0]
    assert best.names == ("green.png", "blue.png", "dark red.png") and best.path == (
        (0, 0),
        (1, 1),
        (2, 2),
    )
    assert best.item == best.items[0] and (best.taken.day, best.until.day) == (2, 4)
    assert best.similarity.shape == (3, 3) and best.shortlist_score == pytest.approx(
        np.mean(np.diag(best.similarity))
    )
    assert best.score == pytest.approx(best.shortlist_score, abs=1e-5) and best.margin > 1
    used = [i for h in hits for i in h.items]
    assert len(used) == len(set(used)), "runs never overlap"
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True) and [
        h.rank for h in hits
    ] == [0, 1, 2]


def test_a_story_goes_by_time_taken_not_by_name(gallery, model):
    days = {i.id: i.taken for i in gallery.items()}
    for hit in search_story(gallery, model, Sample(["red", "green", "blue"]), k=2):
        assert [days[i] for i in hit.items] == sorted(days[i] for i in hit.items)
    backwards = search_story(gallery, model, Sample(["blue", "green", "red"]), k=1)[0]
    forwards = search_story(gallery, model, Sample(["red", "green", "blue"]), k=1)[0]
    assert forwards.names == ("red.png", "green.png", "blue.png") and forwards.score > backwards.score


def test_stories_with_filters_own_pictures_and_few_pictures(gallery, model):
    story = Sample(["red", solid("green")])
    later = search_story(gallery, model, story, filters=Filters(after=date(2024, 5, 3)))
    assert all(h.taken >= datetime(2024, 5, 3) for h in later)
    assert all("green.png" not in h.names for h in search_story(gallery, model, story, exclude_own=True))
    [one] = search_story(gallery, model, Sample(["red", "red", "blue"]), filters=Filters(name="purple"))
    assert one.path == ((0, 0), (1, 0), (2, 0)) and one.margin == 0
    assert search_story(gallery, model, story, filters=Filters(name="nothing")) == []


def test_a_hit_for_every_position(gallery, model):
    query = Sample(["red", "blue", solid("purple")])
    calls = len(model.calls)
    groups = search_positions(gallery, model, query, SearchOptions(k=2))
    assert len(model.calls) == calls + 1 and [len(g) for g in groups] == [2, 2, 2]
    assert names(groups[0])[0] == "red" and all("purple" not in names(g) for g in groups)
    assert names(search_positions(gallery, model, query, SearchOptions(k=1, exclude_own=False))[1]) == [
        "purple"
    ]
    for position, hits in enumerate(groups):
        alone = search(gallery, model, Sample(query.slices[: position + 1]), SearchOptions(k=2))
        assert hits[0].path[-1] == (position, 0)
        if position < 2:
            assert names(
                search_positions(gallery, model, query, SearchOptions(k=2, exclude_own=False))[position]
            ) == names(alone)


# -- filters and the rest


@pytest.mark.parametrize(
    "filters, expected",
    [
        (Filters(after=date(2024, 5, 6)), {"white", "black"}),
        (Filters(before=date(2024, 5, 2)), {"red", "green"}),
        (Filters(before=datetime(2024, 5, 2, 11)), {"red"}),
        (Filters(after=date(2024, 5, 2), before=date(2024, 5, 3)), {"green", "blue"}),
        (Filters(name="RED"), {"red", "dark red"}),
        (Filters(caption="dog big"), {"blue"}),
        (Filters(min_side=50), {"black"}),
        (Filters(max_side=50), {"red", "green"}),
        (Filters(name="red", min_side=30), {"dark red"}),
        (Filters(name="%"), set()),
    ],
)
def test_filters(gallery, model, filters, expected):
    gallery.set_caption(next(i.id for i in gallery.items() if i.name == "blue.png"), "Ein BIG dog")
    assert (
        set(
            names(search(gallery, model, Sample("red"), SearchOptions(filters=filters, k=20, collapse=False)))
        )
        == expected
    )


def test_filters_are_checked():
    with pytest.raises(InputError, match="after is 'yesterday'"):
        Filters(after="yesterday")


def test_exclusion_and_k(gallery, model):
    first = search(gallery, model, Sample("red"), SearchOptions(k=1))[0].item
    assert first not in [
        h.item for h in search(gallery, model, Sample("red"), SearchOptions(k=20, exclude=frozenset({first})))
    ]
    assert len(search(gallery, model, Sample("red"), SearchOptions(k=20, collapse=False))) == 7
    assert len(search(gallery, model, Sample("red"), SearchOptions(k=3, shortlist=1))) == 3


def test_near_duplicates_are_collapsed_and_k_is_still_reached(gallery, model):
    gallery.add([(f"again{i}.png", encoded(solid((250 - i % 3, 20, 30), (100 + i, 90)))) for i in range(30)])
    hits = search(gallery, model, Sample("red"), SearchOptions(k=5, shortlist=8))
    assert len(hits) == 5 and len(hits[0].duplicates) >= 7
    assert len(search(gallery, model, Sample("red"), SearchOptions(k=20, collapse=False))) == 20


def test_the_margin_is_over_the_gallerys_own_scores(gallery, model):
    hits = search(gallery, model, Sample("red"), SearchOptions(k=7, collapse=False))
    scores = np.array([h.shortlist_score for h in hits])
    assert [h.margin for h in hits] == pytest.approx(
        ((scores - scores.mean()) / scores.std()).tolist(), abs=1e-4
    )
    assert {h.relevance for h in hits} <= {"clear", "likely", "weak"} and hits[-1].relevance == "weak"


def test_an_empty_gallery_and_one_picture(tmp_path, model):
    with Gallery.create(tmp_path / "e", model) as g:
        assert search(g, model, Sample("red")) == [] == search_story(
            g, model, Sample("red")
        ) and search_positions(g, model, Sample("red")) == [[]]
        assert approximate_recall(g) == 1.0
        g.add(("one.png", encoded(solid("red"))))
        [hit] = search(g, model, Sample("red"))
        assert hit.margin == 0 and len(search_story(g, model, Sample(["red", "blue"]))) == 1


def test_an_approximate_index_answers_alike_and_reports_recall(tmp_path, model, monkeypatch):
    from sugar.gallery import index as index_room

    monkeypatch.setattr(index_room, "FLAT_LIMIT", 150)
    rng = np.random.default_rng(0)
    with Gallery.create(tmp_path / "a", model) as g:
        g.add(
            [
                (f"{i}.png", encoded(solid(tuple(int(c) for c in rng.integers(0, 255, 3)))))
                for i in range(200)
            ],
            batch_size=100,
        )
        assert (
            g.index_info["kind"] == "lists"
            and g.index_info["recall"] >= 0.95
            and approximate_recall(g, queries=30) >= 0.9
        )
        exact = g.nearest(model.embed([Sample("red")]).pooled, 5, exact=True)[1][0].tolist()
        assert (
            len(
                {h.item for h in search(g, model, Sample("red"), SearchOptions(k=5, collapse=False))}
                & set(exact)
            )
            >= 4
        )
        assert (
            len(
                search(
                    g, model, Sample("red"), SearchOptions(filters=Filters(name="19"), k=50, collapse=False)
                )
            )
            == 11 + 1
        )


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
    (tmp_path / "in" / "bad.png").write_bytes(b"x")
    assert shell("index", tmp_path / "in") == 1
    out = capsys.readouterr().out
    assert (
        "refused: bad.png: The file (1 bytes)" in out
        and "7 unchanged, 1 refused" in out
        and "7 pictures in gallery 'g'" in out
    )
    assert shell("search", "red", "-k", "2") == 0
    assert capsys.readouterr().out.startswith("  1. red.png  0.")
    (tmp_path / "q.png").write_bytes(encoded(solid("red")))
    assert shell("search", tmp_path / "q.png", "at night", "--json") == 0
    hits = json.loads(capsys.readouterr().out)["hits"]
    assert (
        hits[0]["name"] == "dark red.png"
        and hits[0]["taken"] == "2024-05-04T12:00:00"
        and hits[0]["path"] == [[0, 0], [1, 0]]
    )
    assert shell("search", "red", "--minus", "night", "-k", "7", "--json") == 0
    assert json.loads(capsys.readouterr().out)["hits"][-1]["name"] in ("black.png", "dark red.png")
    assert shell("search", "red, blue", "--weights") == 0 and capsys.readouterr().out.startswith(
        "  1. purple.png"
    )
    assert (
        shell("search", "green", "blue", "--story", "-k", "1") == 0
        and "green.png, blue.png" in capsys.readouterr().out
    )
    assert (
        shell("search", "red", "blue", "--positions", "-k", "1") == 0
        and "up to 'blue':" in capsys.readouterr().out
    )
    assert shell("search", "red", "--after", "2024-05-04", "--before", "2024-05-04T13:00", "--json") == 0
    assert [h["name"] for h in json.loads(capsys.readouterr().out)["hits"]] == ["dark red.png"]
    assert shell("search", "red", "--name", "nothing") == 1 and "no hits" in capsys.readouterr().out


def test_index_json_export_and_reindex_from_a_shell(shell, tmp_path, capsys, model, monkeypatch):
    assert shell("index", tmp_path / "in", "--json", "--export", tmp_path / "o.zip") == 0
    report = json.loads(capsys.readouterr().out)
    assert (
        report["counts"] == {"unchanged": 7}
        and report["items"] == 7
        and report["rows"] == []
        and (tmp_path / "o.zip").is_file()
    )
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


def test_the_toy_is_what_its_docstring_says(model):
    assert model.embed([Sample("a red star")]).pooled[0][AXES.index("red")] == pytest.approx(0.7054, abs=1e-3)
    e = model.embed([Sample(["red", solid("blue")]), Sample("dog")])
    assert (
        len(e) == 2 and np.allclose(e.pooled[0], e.slices[0][-1]) and e.is_image[0].tolist() == [False, True]
    )
    assert (
        "".join(model.generate(Sample([solid("red"), "what is it"])))
        == "I see 1 pictures and the words what is it"
    )
    assert model.score(Sample("red"), ["red", "blue star"]).tolist() == [0, -2]


def test_the_chat_models_yes_puts_the_best_hits_in_its_own_order(tmp_path, model) -> None:
    gallery = Gallery.create(tmp_path / "g", model)
    gallery.add(
        [(f"{name}.png", encoded(solid(name))) for name in ("red", "dark red", "purple", "green", "blue")]
    )
    hits = search(gallery, model, Sample("red"), SearchOptions(k=5))
    asked: list[Sample] = []

    class Contrary(ToyModel):
        def agreement(self, query, candidates):
            asked.append(query)
            return np.linspace(0.1, 0.9, len(candidates))  # likes the last best

    query = Sample("red")
    found = confirm(hits, gallery, Contrary(), query, top=3)
    assert asked == [query]
    assert [h.item for h in found] == [h.item for h in (hits[2], hits[1], hits[0], hits[3], hits[4])]
    assert [h.rank for h in found] == [0, 1, 2, 3, 4]
    assert [h.rank_before for h in found[:3]] == [h.rank_before for h in hits[2::-1]]
    assert [h.agreement for h in found[:3]] == pytest.approx([0.9, 0.5, 0.1])
    assert all(h.agreement is None for h in found[3:])
    assert confirm([], gallery, Contrary(), query) == []
