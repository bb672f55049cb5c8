"""The bin: hidden from everything at once, back as it was, gone for good after its days."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pictures import png
from toy import ToyEmbedder

from sugar.errors import GalleryError
from sugar.gallery import Filters, Gallery, GallerySettings, bin, export_zip, holding, sweep_bin
from sugar.retrieval import SearchOptions, search
from sugar.sequence import Sample


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    made = Gallery.create(tmp_path / "g", ToyEmbedder())
    made.add([(f"{n}.png", png(n)) for n in range(5)])
    made.set_caption(2, "a red dog", by="toy")
    made.set_caption(3, "my star")
    made.set_favourite([2])
    return made


def found(gallery: Gallery) -> set[int]:
    return {h.item for h in search(gallery, gallery.model, Sample("red"), SearchOptions(k=9))}


def rows(gallery: Gallery) -> list[dict]:
    return [vars(item) for item in gallery.items()]


def test_what_is_in_the_bin_is_nowhere_else_and_comes_back_as_it_was(gallery: Gallery, tmp_path) -> None:
    before, vectors = rows(gallery), gallery.slices([2, 3])
    originals = [gallery.original(n) for n in (2, 3)]
    assert bin.put(gallery, [2, 3, 99]) == 2
    assert len(gallery) == 3 and found(gallery) == {1, 4, 5} and gallery.by_words("dog star", 5) == []
    assert gallery.listing() and not {2, 3} & {i for i, _ in gallery.listing()}
    assert gallery.matching(Filters()).tolist() == [1, 4, 5] and gallery.indexed() == {"toy-1": 3}
    assert export_zip(gallery, tmp_path / "out.zip") == 3
    with pytest.raises(GalleryError, match="no picture"):
        gallery.thumbnail(2)
    assert [(b.id, b.name) for b in bin.binned(gallery)] == [(2, "1.png"), (3, "2.png")]
    assert holding([gallery.folder], [b.sha256 for b in bin.binned(gallery)]), "conversations keep them"
    gallery.close()
    with Gallery.open(gallery.folder, ToyEmbedder()) as again:
        assert found(again) == {1, 4, 5}, "not in the index that was saved"
        assert bin.restore(again, [3]) == 1 and bin.restore(again) == 1 and bin.restore(again) == 0
        assert rows(again) == before and found(again) == {1, 2, 3, 4, 5}
        assert all((a == b).all() for a, b in zip(again.slices([2, 3]), vectors, strict=True))
        assert [again.original(n) for n in (2, 3)] == originals
        assert [i for i, _ in again.by_words("dog", 5)] == [2] and not bin.binned(again)


def holders(gallery: Gallery, *needles: bytes) -> list[Path]:
    return [
        p
        for p in gallery.folder.rglob("*")
        if p.is_file() and any(needle in p.read_bytes() for needle in needles)
    ]


def test_an_emptied_bin_leaves_no_byte(gallery: Gallery) -> None:
    seen: list[int] = []
    gallery.after_delete = lambda: seen.append(1)
    traces = [
        gallery.original(2)[-60:],
        gallery.thumbnail(2)[-60:],
        gallery.picture_path(2).read_bytes()[-60:],
    ]
    traces += [b"a red dog", np.ascontiguousarray(gallery.slices([2])[0], "<f4").tobytes()[:24]]
    bin.put(gallery, [2, 3])
    assert holders(gallery, *traces) and not seen
    assert bin.empty(gallery, [2]) == 1 and seen == [1]
    assert not holders(gallery, *traces)
    assert bin.restore(gallery, [2]) == 0 and [b.id for b in bin.binned(gallery)] == [3]
    assert bin.restore(gallery) == 1 and gallery.item(3).caption == "my star"
    bin.put(gallery, [3])
    gallery.clear()
    assert not bin.binned(gallery) and not list(gallery.folder.glob("*/*/*.png"))


def test_what_is_added_again_comes_out_of_the_bin_with_its_words(gallery: Gallery) -> None:
    bin.put(gallery, [2])
    assert gallery.add(("again.png", png(1))).counts == {"duplicate": 1}
    assert (gallery.item(2).caption, gallery.item(2).favourite) == ("a red dog", True)
    assert not bin.binned(gallery) and gallery.original(2) == png(1)


def aged(folder: Path, days: float) -> None:
    then = datetime.now(UTC) - timedelta(days=days)
    with closing(sqlite3.connect(folder / "gallery.db")) as db:
        db.execute("UPDATE bin SET since = ?", (then.isoformat(timespec="seconds"),))
        db.commit()


def test_after_its_days_it_is_gone_for_good_without_a_model(gallery: Gallery) -> None:
    path = gallery.picture_path(2)
    bin.put(gallery, [2])
    gallery.close()
    aged(gallery.folder, 29.9)
    assert sweep_bin(gallery.folder, 30) == 0 and path.exists()
    aged(gallery.folder, 30.1)
    assert sweep_bin(gallery.folder, 30) == 1 and not path.exists()
    with Gallery.open(gallery.folder, ToyEmbedder()) as again:
        assert len(again) == 4 and not bin.binned(again) and found(again) == {1, 3, 4, 5}


def test_what_a_program_before_had_promised_to_delete_goes(gallery: Gallery) -> None:
    sha = gallery.item(2).sha256
    gallery.close()
    (gallery.folder / "leaving.json").write_text(json.dumps({sha: 1.0}))
    assert sweep_bin(gallery.folder, 30) == 1 and not (gallery.folder / "leaving.json").exists()
    with Gallery.open(gallery.folder, ToyEmbedder()) as again:
        assert [i.id for i in again.items()] == [1, 3, 4, 5]
    (gallery.folder / "leaving.json").write_bytes(b"\xff[")
    assert sweep_bin(gallery.folder, 30) == 0


def test_a_bin_does_not_come_back_into_a_full_gallery_or_one_for_reading(tmp_path: Path) -> None:
    with Gallery.create(tmp_path / "g", ToyEmbedder(), GallerySettings(max_items=3)) as gallery:
        gallery.add([(f"{n}.png", png(n)) for n in range(3)])
        bin.put(gallery, [1, 2])
        gallery.add(("new.png", png(9)))
        with pytest.raises(GalleryError, match="no room"):
            bin.restore(gallery)
        assert bin.restore(gallery, [1]) == 1 and len(gallery) == 3
    with Gallery.open(tmp_path / "g", ToyEmbedder(), read_only=True) as gallery:
        for change in (
            lambda: bin.put(gallery, [1]),
            lambda: bin.restore(gallery),
            lambda: bin.empty(gallery),
        ):
            with pytest.raises(GalleryError, match="reading only"):
                change()


def test_two_models_vectors_come_back(gallery: Gallery) -> None:
    with Gallery.open(gallery.folder, ToyEmbedder("toy-2")) as other:
        other.embed_pending()
        bin.put(gallery, [2])
        assert len(found(other)) == 4 and len(other.pending()) == 0
        bin.restore(gallery)
        assert len(found(other)) == 5 and len(other.pending()) == 0
