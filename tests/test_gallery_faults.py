"""The benchmark that kills galleries, at a small count; and its check, which must see what is broken."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sugar.bench import faults
from sugar.bench.faults.check import Broken, check, whole
from sugar.bench.faults.work import VICTIMS, Hashed, Ledger
from sugar.gallery import Gallery


@pytest.mark.parametrize("kind", list(VICTIMS))
def test_a_killed_gallery_is_whole_at_the_next_start(tmp_path, capsys, kind):
    assert faults.run(["--kills", "2", "--only", kind, "--folder", str(tmp_path)]) == 0, (
        capsys.readouterr().out
    )
    [row] = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert row["rounds"] == 2 and row["broken"] == 0


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
