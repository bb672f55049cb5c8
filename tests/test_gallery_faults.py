"""A gallery that is killed at random moments, fills its disk, or cannot write.

pytest tests/test_gallery_faults.py --kills 100       # of each kind, and disks where one can be mounted
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killed import VICTIMS, Broken, Hashed, Ledger, check, kills, pictures, whole

from sugar.errors import GalleryError
from sugar.gallery import Gallery, export_zip


@pytest.mark.parametrize("kind", list(VICTIMS))
def test_a_killed_gallery_is_whole_at_the_next_start(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found = kills(kind, tmp_path / kind, request.config.getoption("--kills"), seed=0)
    print(found)
    assert found["problems"] == []


def test_the_check_sees_what_is_broken(tmp_path):
    work = VICTIMS["ingest"](tmp_path, np.random.default_rng(0))
    work.prepare()
    ledger = Ledger(tmp_path / "ledger")
    check(work, ledger)
    with Gallery.open(work.gallery, Hashed()) as gallery:
        [first, second, *_] = gallery.items()
        path = gallery.picture_path(first.id)
        (gallery.folder / "pictures" / "ab").mkdir(exist_ok=True)
        extra = gallery.folder / "pictures" / "ab" / "ab.jpg"
        extra.write_bytes(b"x")
        with pytest.raises(Broken, match="without a row"):
            whole(gallery)
        extra.unlink()
        path.rename(tmp_path / "away")
        with pytest.raises(Broken, match="without a file"):
            whole(gallery)
        (tmp_path / "away").rename(path)
        with gallery.store.write() as db:
            db.execute("DELETE FROM vectors WHERE item = ?", (second.id,))
        with pytest.raises(Broken, match="no vectors"):
            whole(gallery)
        gallery.embed_pending()
        gallery.delete([first.id])
    with pytest.raises(Broken, match="lost"):
        check(work, ledger)
    ledger.note("deleting", first.sha256)
    check(work, ledger)
    ledger.note("deleted", second.sha256)
    with pytest.raises(Broken, match="came back"):
        check(work, ledger)
    ledger.note("fault", "ValueError: x")
    with pytest.raises(Broken, match="nobody should see"):
        check(work, ledger)


# -- disks -------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Three megabytes of their own, where the system lets us mount them."""
    if request.config.getoption("--kills") < 100:
        pytest.skip("disks are mounted with --kills 100")
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(mount)]
    if (made := subprocess.run(command, capture_output=True, text=True)).returncode:
        pytest.skip(made.stderr)
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


def test_a_full_disk_loses_nothing_and_deleting_makes_room(small_disk: Path) -> None:
    rng, model = np.random.default_rng(0), Hashed()
    told: list[int] = []
    (small_disk / "ballast").write_bytes(bytes(400_000))
    with Gallery.create(small_disk / "g", model) as gallery:
        with pytest.raises(GalleryError, match="disk is full"):
            gallery.add(pictures(5000, rng), batch_size=8, workers=1, progress=lambda p: told.append(p.added))
        assert len(gallery) >= max(told)
        with pytest.raises(GalleryError, match="disk is full"):
            export_zip(gallery, small_disk / "out.zip")
        with pytest.raises(GalleryError):
            Gallery.create(small_disk / "h", model).add(pictures(999, rng))
    subprocess.run(["rm", "-rf", str(small_disk / "h"), str(small_disk / "ballast")], check=True)
    with Gallery.open(small_disk / "g", model) as gallery:  # a person freed some space, as the message says
        whole(gallery)
        kept = len(gallery)
        half = [i.id for i in gallery.items()][: kept // 2]
        gallery.delete(half)
        whole(gallery)
        assert len(gallery) == kept - len(half)
        assert gallery.add(pictures(8, rng), workers=1).added == 8


def test_a_read_only_disk_is_searched_and_says_so(small_disk: Path) -> None:
    model = Hashed()
    with Gallery.create(small_disk / "g", model) as gallery:
        gallery.add(pictures(8, np.random.default_rng(0)), workers=1)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    try:
        with Gallery.open(small_disk / "g", model, read_only=True) as gallery:
            assert len(gallery.nearest(np.ones((1, 16), np.float32), 5)[1][0]) == 5
            changes: list[Callable[[], Any]] = [
                lambda: gallery.delete([1]),
                lambda: gallery.add(("a.png", b"")),
                gallery.destroy,
            ]
            for change in changes:
                with pytest.raises(GalleryError, match="reading only"):
                    change()
        with pytest.raises(GalleryError, match="cannot be written"):
            Gallery.open(small_disk / "g", model)
        with pytest.raises(GalleryError, match="cannot be made"):
            Gallery.create(small_disk / "x", model)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
