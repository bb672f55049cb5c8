"""Collections: a set that Ray embeds and a Lance table keeps, killed and gone on with, as the app sees it.

    pytest tests/test_cluster.py --kills 100       # two more runs, killed at their workers and as a whole

One set of 300 photos serves most tests: made in this process, and once by two workers of Ray. Without Ray or
Lance all are passed over.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import fields, replace
from datetime import date, datetime
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from moto.server import ThreadedMotoServer
from PIL import Image, ImageDraw, ImageFont
from toy import ToyModel

from sugar import cluster
from sugar.cluster import Collection, Job, table
from sugar.cluster import job as run
from sugar.cluster.collection import condition
from sugar.cluster.job import connected, write_rows
from sugar.cluster.sources import Source, Unit, library
from sugar.cluster.table import Facts
from sugar.errors import FingerprintError, GalleryError, InputError, SettingsError
from sugar.gallery import Filters, Gallery
from sugar.images import GALLERY_ITEM
from sugar.rag import KnowledgeBase
from sugar.retrieval import SearchOptions, search, search_story
from sugar.sequence import Sample
from sugar.services.galleries import Galleries
from sugar.services.gallery import GalleryService
from sugar.services.jobs import Jobs
from sugar.services.query import SearchQuery
from sugar.services.search import SearchRequest, search_gallery
from sugar.settings import Settings

missing = [name for name in ("ray", "lance") if find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(missing), reason=f"not installed: {missing}; pip install -r sugar/cluster/requirements.txt"
)

RED, BLUE = (250, 10, 10), (10, 10, 250)


def jpeg(colour: tuple[int, int, int], number: int, size: tuple[int, int] = (48, 32)) -> bytes:
    """A picture of one colour, and of a mark that no other number has."""
    image = Image.new("RGB", size, colour)
    for bit in range(10):
        if number >> bit & 1:
            image.paste((255, 255, 255), (4 * bit, 0, 4 * bit + 4, 8))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95)
    return out.getvalue()


def photos(folder: Path, count: int) -> None:
    """Red and blue photos of 2024 with captions, a copy, one that is damaged and one that is no picture."""
    folder.mkdir(parents=True)
    for n in range(count):
        name = f"IMG-2024{1 + n % 12:02}{1 + n % 28:02}-WA{n:04}"
        (folder / f"{name}.jpg").write_bytes(jpeg(BLUE if n % 10 == 0 else RED, n))
        if n % 3 == 0:
            (folder / f"{name}.txt").write_text(f"a dog, number {n}", "utf-8")
    first = min(folder.glob("*.jpg"))
    (folder / "copy.jpg").write_bytes(first.read_bytes())
    (folder / "cut.jpg").write_bytes(first.read_bytes()[:200])
    (folder / "none.png").write_bytes(b"%PDF-1.7")


@contextmanager
def without_ray() -> Iterator[None]:
    """What Ray's tasks and actors do, done in this process one after the other."""

    def stream(job: Job, ray: object, facts: Facts, units: list[Unit], known: np.ndarray) -> Iterator[dict]:
        actor, columns = run._Embed(job.load, facts), [f.name for f in fields(Unit)]
        for at in range(0, len(units), 50):
            part = pa.table({c: [getattr(unit, c) for unit in units[at : at + 50]] for c in columns})
            for rows in run._decoded(job, table.columns(facts), known, part):
                yield from write_rows(job.out, actor(rows)).to_pylist()

    ray = SimpleNamespace(get=lambda value: value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "library", lambda name: ray if name == "ray" else library(name))
        patch.setattr(run, "connected", lambda job: nullcontext(ray))
        patch.setattr(run, "_model_of", lambda ray, job: (job.load().fingerprint, job.load().dimension))
        patch.setattr(run, "_stream", stream)
        yield


def indexed_twice(folder: Path) -> SimpleNamespace:
    """300 photos indexed, then the same again with a photo more."""
    photos(folder / "photos", 300)
    job = Job(str(folder / "photos"), str(folder / "set.lance"), ToyModel, model="toy", workers=2, batch=32)
    lines: list[str] = []
    first = cluster.index(job, told=lines.append)
    (folder / "photos" / "z.jpg").write_bytes(jpeg(RED, 999))
    (folder / "photos" / "none.png").write_bytes(b"%PDF-1.8")  # has changed: is looked at again
    second = cluster.index(job)
    return SimpleNamespace(folder=folder, job=job, uri=job.out, lines=lines, first=first, second=second)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    with without_ray():
        return indexed_twice(tmp_path_factory.mktemp("set"))


@pytest.fixture
def collection(made: SimpleNamespace) -> Iterator[Collection]:
    with Collection.open(made.uri, ToyModel(), name="set") as opened:
        yield opened


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty bucket of an object store that this process serves."""
    store = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    store.start()
    url = "http://{}:{}".format(*store.get_host_and_port())
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    httpx.put(f"{url}/museum").raise_for_status()
    yield "s3://museum"
    store.stop()
    s3fs.S3FileSystem.clear_instance_cache()  # it keeps this store's address


# -- the run


def test_every_file_is_a_row_once_and_a_bad_one_says_why(made: SimpleNamespace) -> None:
    assert (made.first.added, made.first.failed, made.first.rows) == (301, 2, 302)  # the copy went at the end
    columns = ["name", "error", "id", "width", "fingerprint"]
    rows = table.existing_table(made.uri).to_table(columns=columns).to_pylist()
    bad = [(row["name"], row["error"]) for row in rows if row["error"]]
    assert sorted(name for name, _ in bad) == ["cut.jpg", "none.png"]
    assert "PDF" in dict(bad)["none.png"] and "damaged" in dict(bad)["cut.jpg"]
    good = [row for row in rows if not row["error"]]
    assert len({row["id"] for row in good}) == len(good) == 301
    assert {(row["width"], row["fingerprint"]) for row in good} == {(48, "toy-1")}
    first = made.folder / "photos" / good[0]["name"]
    assert good[0]["id"] == hashlib.sha256(first.read_bytes()).hexdigest()


def test_the_same_job_again_embeds_only_what_is_new(made: SimpleNamespace) -> None:
    second = made.second
    assert (second.added, second.failed, second.known) == (1, 1, 1)  # the copy is known by its content
    assert second.skipped == 301 and second.rows == 303  # a file that changed has one row


def test_two_workers_of_ray_make_the_same_set(made: SimpleNamespace, tmp_path: Path) -> None:
    """Ray's daemon gives its helpers 15 seconds to start, which a machine far too busy does not have."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > 3 * cores:
        pytest.skip(f"Ray does not start in time on this machine: its load is {load:.0f} on {cores} cores")
    with connected(made.job):
        again = indexed_twice(tmp_path)
    columns = ["id", "name", "error", "caption", "width", "words", "vector", "fingerprint"]
    one, other = (
        table.existing_table(uri).to_table(columns=columns).sort_by("name") for uri in (made.uri, again.uri)
    )
    assert one == other
    assert (again.first.added, again.first.failed, again.second.skipped) == (301, 2, 301)


def test_rows_that_are_all_known_write_nothing(made: SimpleNamespace) -> None:
    schema = table.columns(table.facts_of(table.existing_table(made.uri)))
    known = pa.Table.from_pylist([{"id": "0" * 64, "bytes": 7, "error": "known"}] * 3, schema)
    [told] = write_rows(made.uri, known).to_pylist()
    assert told == {"added": 0, "known": 3, "failed": 0, "bytes": 21, "fragments": []}


def test_the_cost_is_told(made: SimpleNamespace) -> None:
    assert "photos/s" in made.first.cost and "GB of table" in made.first.cost and made.first.rate > 0
    assert any("303 of 303 files to read" in line for line in made.lines)


def test_another_model_and_nothing_to_read_are_refused(made: SimpleNamespace, tmp_path: Path) -> None:
    facts = table.facts_of(table.existing_table(made.uri))
    with pytest.raises(SettingsError, match="name another --out"):
        table.created(made.uri, replace(facts, fingerprint="other"))
    with pytest.raises(SettingsError, match="no pictures"):
        Source(str(tmp_path)).units()
    with pytest.raises(GalleryError, match="no collection at"):
        Collection.open(str(tmp_path / "x.lance"), ToyModel())
    with pytest.raises(FingerprintError, match="'toy'"):
        Collection.open(made.uri, ToyModel("toy-2"))
    with pytest.raises(SettingsError, match="workers is 0"):
        replace(made.job, workers=0)


CHILD = """
import sys
sys.path[:0] = {path!r}
from toy import ToyModel
import time
from sugar import cluster
class Slow(ToyModel):
    def embed(self, samples, **how):
        time.sleep(.02 * len(samples))
        return super().embed(samples)
if __name__ == "__main__":
    import sugar.cluster.job as job
    job._COMMIT_EVERY, job._IN_ONE = 0.5, 24
    print(cluster.index(cluster.Job({source!r}, {out!r}, Slow, workers=2, batch=8)))
"""


def test_a_job_is_killed_twice_and_its_workers_too_and_nothing_reported_is_lost(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--kills") < 100:
        pytest.skip("takes two minutes: runs with --kills 100")
    photos(tmp_path / "photos", 300)
    out = tmp_path / "set.lance"
    program = CHILD.format(path=sys.path, source=str(tmp_path / "photos"), out=str(out))
    (tmp_path / "child.py").write_text(program)

    def rows() -> set[bytes]:
        return set(table.ids_of(table.existing_table(str(out)))[0].tolist()) if out.exists() else set()

    kept: set[bytes] = set()
    for least in (30, 90, 10_000):
        child = subprocess.Popen([sys.executable, str(tmp_path / "child.py")], start_new_session=True)
        shot = False
        while child.poll() is None:
            time.sleep(0.2)
            now = rows()
            assert kept <= now
            kept = now
            if len(now) > 150 and not shot:  # a worker dies; the job goes on
                workers = subprocess.run(
                    ["pgrep", "-f", "ray::MapWorker"], capture_output=True, text=True
                ).stdout.split()
                own = [int(w) for w in workers if os.getsid(int(w)) == child.pid]
                if own:
                    os.kill(own[0], signal.SIGKILL)
                    shot = True
            if len(now) >= least:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    assert child.returncode == 0
    assert cluster.shown(str(out))["pictures"] == 300 and len(rows()) == 302


# -- sources


def test_photos_and_table_may_lie_in_object_storage(bucket: str, made: SimpleNamespace) -> None:
    store = s3fs.S3FileSystem()
    for path in sorted((made.folder / "photos").glob("IMG*"))[:12]:
        store.put(str(path), f"{bucket}/photos/{path.name}")
    job = Job(f"{bucket}/photos", f"{bucket}/sets/a.lance", ToyModel, model="toy", batch=4)
    with without_ray():
        first, again = cluster.index(job), cluster.index(job)
    assert (first.failed, again.added, again.rows) == (0, 0, first.added)
    with Collection.open(job.out, ToyModel(), name="set") as collection:
        hits = search(collection, ToyModel(), Sample("blue"), SearchOptions())
        best = hits[0].item
        assert collection.picture(best).size == (48, 32)
        lost = collection.item(best).sha256
    table.delete(job.out, [lost])
    table.compact(job.out)
    assert cluster.shown(job.out)["pictures"] == first.added - 1


def test_text_in_photos_is_read_kept_and_found(tmp_path: Path) -> None:
    photos(tmp_path / "photos", 4)
    image = Image.new("RGB", (600, 200), "white")
    ImageDraw.Draw(image).text((40, 60), "CAFE CENTRAL 12.30", "black", ImageFont.load_default(size=40))
    image.save(tmp_path / "photos" / "bill.png")
    job = Job(str(tmp_path / "photos"), str(tmp_path / "a.lance"), ToyModel, model="toy", ocr=True)
    with without_ray():
        cluster.index(job)
        with pytest.raises(SettingsError, match="ocr True, and now it is False"):
            cluster.index(replace(job, ocr=False))
    with Collection.open(job.out, ToyModel(), name="set") as collection:
        (item, _), *others = collection.by_words("central", 5)
        assert not others and collection.item(item).text == "CAFE CENTRAL 12.30"
        assert collection.item(item).name == "bill.png" and collection.item(item).caption == ""
        [hit, *_] = KnowledgeBase(ToyModel(), gallery=collection).search(
            Sample("what is the cafe called?"), 1
        )
        assert (hit.name, hit.text) == ("bill.png", "CAFE CENTRAL 12.30")


def test_storage_that_cannot_be_used_is_named(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = Facts("toy", "toy", 8, f"{bucket}/photos", 512, False)
    with pytest.raises(SettingsError, match="No collection can be written at 's3://other/a.lance'"):
        table.created("s3://other/a.lance", facts)
    with pytest.raises(SettingsError, match="cannot be listed"):
        Source("s3://other/photos").units()
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(SettingsError, match="cannot be listed"):
        Source(f"{bucket}/photos").units()


def test_shards_and_parquet_files_are_read_and_each_picture_is_found_again(tmp_path: Path) -> None:
    data = {f"{n:03}": jpeg(RED, n) for n in range(4)}
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for key, picture in data.items():
            for suffix, body in ((".jpg", picture), (".txt", f"number {key}".encode()), (".json", b"{}")):
                facts = tarfile.TarInfo(f"in/{key}{suffix}")
                facts.size = len(body)
                tar.addfile(facts, io.BytesIO(body))
    cells = [{"bytes": picture, "path": f"{key}.jpg"} for key, picture in data.items()]
    rows = pa.table({"image": [*cells, {"bytes": None, "path": "x"}], "caption": ["a", "b", None, "d", "e"]})
    pq.write_table(rows, tmp_path / "b.parquet", row_group_size=2)
    (tmp_path / "broken.tar").write_bytes(b"no shard" * 200)
    source = Source(str(tmp_path))
    shard, parquet, broken = source.units()
    found = list(source.read(shard))
    assert [(f.name, f.caption) for f in found] == [(f"{k}.jpg", f"number {k}") for k in data]
    there = list(source.read(parquet))
    assert [f.caption for f in there] == ["a", "b", "", "d", "e"] and there[0].name == "000.jpg"
    assert "no bytes" in there[4].problem
    for one in [*found, *there[:4]]:
        assert source.bytes_of(one.path, one.place, one.size) == one.data in data.values()
    [problem] = source.read(broken)
    assert problem.data is None and "ReadError" in problem.problem
    with pytest.raises(GalleryError, match="leaves its source"):
        source.bytes_of("../../etc/passwd", -1, 10)
    with pytest.raises(GalleryError, match="cannot be read"):
        source.bytes_of("gone.jpg", -1, 10)


def test_a_shard_that_was_read_in_part_is_read_again(made: SimpleNamespace) -> None:
    """Only whole files are passed over by their stamp; members of a shard by their content."""
    found = table.existing_table(made.uri).to_table(columns=["seen", "place"]).to_pylist()
    assert all((row["seen"] != 0) == (row["place"] < 0) for row in found)


# -- as a gallery


@pytest.fixture(scope="module")
def twin(made: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """A gallery of the same photos."""
    with Gallery.create(tmp_path_factory.mktemp("twin") / "g", ToyModel()) as gallery:
        gallery.add([made.folder / "photos"], workers=1)
        yield gallery


def test_the_hits_are_those_of_a_gallery_of_the_same_photos(collection: Collection, twin: Gallery) -> None:
    for text in ("blue", "a red dog", "green night"):
        found = [search(g, ToyModel(), Sample(text), SearchOptions(8)) for g in (collection, twin)]
        scores = [np.array([[h.score, h.shortlist_score, h.margin] for h in hits]) for hits in found]
        assert len(found[0]) == 8 and np.allclose(*scores, atol=0.01), text
    for text, name in (("WA0030", "WA0030"), ("dog 231", "WA0231"), ("number 33", "WA0033")):
        request = SearchRequest(SearchQuery.of_text(text), "x", limit=8)
        for gallery in (collection, twin):
            hits = search_gallery(gallery, ToyModel(), request).hits
            assert any(name in hit.name and hit.found_by != "meaning" for hit in hits[:3]), (text, gallery)


@pytest.mark.parametrize(
    "filters",
    [
        Filters(after=date(2024, 5, 3), before=date(2024, 6, 30)),
        Filters(after=datetime(2024, 5, 3), month=5),
        Filters(month=2, day=2),
        Filters(name="wa00"),
        Filters(name="it's"),
        Filters(caption="DOG 30"),
        Filters(captioned=True),
        Filters(captioned=False, excluded=("WA000", "dog")),
        Filters(min_side=33),
        Filters(max_side=48),
        Filters(camera="canon"),
        Filters(near=(48.0, 16.0, 5.0)),
        Filters(favourite=True),
    ],
)
def test_conditions_mean_what_they_mean_in_a_gallery(
    filters: Filters, collection: Collection, twin: Gallery
) -> None:
    assert sorted(i.sha256 for i in collection.items(filters=filters)) == sorted(
        i.sha256 for i in twin.items(filters=filters)
    )
    assert len(collection.matching(filters)) == len(twin.matching(filters)), condition(filters)


def test_stories_ask_and_pictures_work_as_in_a_gallery(collection: Collection, made: SimpleNamespace) -> None:
    [run, *_] = search_story(collection, ToyModel(), Sample(["red", "blue"]), k=1)
    assert len(run.items) >= 2
    [hit, *_] = KnowledgeBase(ToyModel(), gallery=collection).search(Sample("which dog is number 30?"), 2)
    assert hit.text == "a dog, number 30" and collection.count_word("dogs") == 100
    item = collection.items(order="newest", limit=1)[0]
    picture = collection.picture(item.id)
    assert picture.size == (48, 32) and picture.info[GALLERY_ITEM] == item.sha256
    assert Image.open(io.BytesIO(collection.thumbnail(item.id))).size == (48, 32)
    assert b"Exif" not in collection.copy(item)
    assert len(collection.listing()) == 301 and collection.listing()[0][1] == "2024-12"
    assert collection.shapes([item.id]) == {item.id: item.width / item.height} and collection.shapes([]) == {}
    assert collection.by_content([item.sha256, "0" * 64]) == {item.sha256: item.id}


def test_a_changed_source_shows_no_other_picture(made: SimpleNamespace, collection: Collection) -> None:
    item = next(i for i in collection.items(filters=Filters(name="WA0007")))
    path = next((made.folder / "photos").glob("*WA0007.jpg"))
    before = path.read_bytes()
    path.write_bytes(jpeg(BLUE, 7))
    try:
        with pytest.raises(GalleryError, match="another file"):
            collection.picture(item.id)
        path.unlink()
        with pytest.raises(GalleryError, match="cannot be read"):
            collection.picture(item.id)
        mean = np.asarray(Image.open(io.BytesIO(collection.thumbnail(item.id)))).reshape(-1, 3).mean(0)
        assert mean[0] > mean[2]  # the colours of then
    finally:
        path.write_bytes(before)


# -- the index


def test_an_index_finds_95_of_100_and_takes_new_rows_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "HELD_OUT", 200)
    facts = table.Facts("m", "toy-1", 32, str(tmp_path), 512, False)
    found = table.created(str(tmp_path / "t.lance"), facts)
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((60, 32))
    for at in (0, 6_000):
        rows = centres[rng.integers(60, size=6_000)] + 0.5 * rng.standard_normal((6_000, 32))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        written = [
            {
                "id": f"{at + i:064x}"[::-1],
                "place": at + i,
                "bytes": 1,
                "seen": 0,
                "words": f"n{at + i}",
                "vector": row.astype("<f2"),
            }
            for i, row in enumerate(rows)
        ]
        told = write_rows(str(tmp_path / "t.lance"), pa.Table.from_pylist(written, table.columns(facts)))
        found = table.append(found, told.to_pylist()[0]["fragments"])
        quality = table.finish(found)
        assert quality.lists >= 16 and quality.recall >= 0.95 and quality.queries == 200
    best = table.neighbours(found, rows[5], 1, quality)["_rowid"].to_pylist()
    assert found._take_rows(best, columns=["words"])["words"].to_pylist() == ["n6005"]


# -- deletion, and several programs


def test_what_is_deleted_is_found_no_more_and_then_in_no_file(made: SimpleNamespace, tmp_path: Path) -> None:

    uri = str(tmp_path / "set.lance")
    shutil.copytree(made.uri, uri)
    with Collection.open(uri, ToyModel()) as opened:
        item = opened.items(filters=Filters(name="WA0030"))[0]
        other = opened.items(filters=Filters(name="WA0033"))[0]
        assert opened.is_current() and cluster.holding(uri, {item.sha256}) == {item.sha256}
        assert cluster.delete(uri, [item.sha256]) == 1 and cluster.holding(uri, {item.sha256}) == set()
        opened._looked = 0.0
        assert not opened.is_current()
    with Collection.open(uri, ToyModel()) as opened:
        assert len(opened) == 300 and not opened.items(filters=Filters(name="WA0030"))
        assert item.id not in [
            h.item for h in search(opened, ToyModel(), Sample("blue dog"), SearchOptions(300))
        ]
        assert not opened.by_words("wa0030", 5) and opened.item(other.id).name == other.name
    cluster.compact(uri)
    with Collection.open(uri, ToyModel()) as opened:
        assert len(opened) == 300 and opened.item(other.id).sha256 == other.sha256  # numbers stay
    held = b"".join(p.read_bytes() for p in Path(uri).rglob("*") if p.is_file())
    assert item.sha256.encode() not in held and item.name.encode() not in held


APP = """
import json, sys
from types import SimpleNamespace
sys.path[:0] = {path!r}
from toy import ToyModel
from sugar.services.galleries import Galleries
from sugar.services.modes import LAN, PUBLIC
from sugar.services.visitors import Identities
from sugar.settings import Settings
files = SimpleNamespace(showing=lambda visitor: {{}})
visitors = SimpleNamespace(mode=LAN, files=files, disk=None, quotas=None)
galleries, model = Galleries(Settings(gallery={root!r}, collection={collection!r}), visitors), ToyModel()
page, identities = SimpleNamespace(visitor=SimpleNamespace(id="a")), Identities(PUBLIC)
for line in sys.stdin:
    sizes = {{name: len(galleries.open(page, name, model)) for name in galleries.names(page)}}
    print(json.dumps([sizes, identities.new_token(), identities.valid(line.strip())]), flush=True)
"""


def test_two_apps_share_collections_and_galleries_and_no_visitors(
    made: SimpleNamespace, tmp_path: Path
) -> None:
    """What sugar/cluster/README.md says of several apps behind one address."""
    uri, root = str(tmp_path / "set.lance"), tmp_path / "galleries"
    shutil.copytree(made.uri, uri)
    program = APP.format(path=sys.path, root=str(root), collection=f"set={uri}")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    two = [subprocess.Popen([sys.executable, "-W", "ignore", "-c", program], **pipes) for _ in range(2)]

    def asked(token: str = "") -> list[tuple[dict[str, int], str, bool]]:
        for process in two:
            process.stdin.write(f"{token}\n")
            process.stdin.flush()
        return [json.loads(process.stdout.readline()) for process in two]

    try:
        first, second = asked()
        assert first[0] == second[0] == {"set": 301}
        assert [known for _, _, known in asked(first[1])] == [True, False]
        with Gallery.create(root / "shared", ToyModel()) as own:
            own.add([made.folder / "photos" / "z.jpg"], workers=1)
        with Collection.open(uri, ToyModel()) as opened:
            cluster.delete(uri, [opened.items(limit=1)[0].sha256])
        deadline = time.monotonic() + 60
        while any(sizes != {"shared": 1, "set": 300} for sizes, _, _ in asked()):  # noticed within seconds
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        for process in two:
            process.kill()
            process.communicate()


# -- in the app


def settings(made: SimpleNamespace, root: Path, **more: object) -> Settings:
    return Settings(gallery=str(root), collection=f"set = {made.uri}", **more)


def everybody(private: bool) -> SimpleNamespace:
    files = SimpleNamespace(showing=lambda visitor: {}, root=Path("/nowhere/x"))
    return SimpleNamespace(mode=SimpleNamespace(private=private), files=files, disk=None, quotas=None)


def test_a_collection_is_one_of_the_galleries_and_for_reading(made: SimpleNamespace, tmp_path: Path) -> None:
    model = ToyModel()
    galleries = Galleries(settings(made, tmp_path), everybody(private=False))
    kept: dict[type, object] = {}
    state = SimpleNamespace(of=lambda kind: kept.setdefault(kind, kind()))
    page = SimpleNamespace(visitor=SimpleNamespace(id="a"), state=state)
    assert galleries.names(page) == ["set"] and galleries.read_only("set")
    workspace = SimpleNamespace(
        galleries=galleries, model=lambda: model, gallery=lambda page, name: galleries.open(page, name, model)
    )
    service = GalleryService(workspace, Jobs())
    listing = service.show(page, "set")
    assert (listing.total, listing.count, listing.read_only) == (301, 301, True) and not listing.problem
    ids = listing.months[0][1][:2]
    assert len(service.cells(page, ids)) == 2
    for change in (
        lambda: service.set_caption(page, ids[0], "x"),
        lambda: service.delete(page, ids),
        lambda: service.export(page, "set"),
        lambda: service.near_duplicates(page),
        lambda: galleries.remove(page, "set", model),
        lambda: galleries.create(page, "set", model),
    ):
        with pytest.raises((GalleryError, InputError)):
            change()
    assert galleries.receiving(page, "set", model) == "mine"
    items = {i.sha256 for i in galleries.open(page, "set", model).items(limit=3)}
    assert galleries.holding(page, items | {"0" * 64}) == items
    Gallery.create(tmp_path / "set", model).close()
    with pytest.raises(SettingsError, match="another name"):
        Galleries(settings(made, tmp_path), everybody(private=False))


def test_strangers_see_a_collection_where_the_operator_says_so(made: SimpleNamespace, tmp_path: Path) -> None:
    page = SimpleNamespace(visitor=SimpleNamespace(id="a"))
    for public in (False, True):
        galleries = Galleries(settings(made, tmp_path, public_collections=public), everybody(private=True))
        assert ("set" in galleries.names(page)) is public
        if not public:
            with pytest.raises(GalleryError, match="no gallery of that name"):
                galleries.open(page, "set", ToyModel())


@pytest.mark.parametrize("text", ["x", "=a", "a=", "a=1,a=2", "sample=x", "mine=x"])
def test_a_setting_without_name_or_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="NAME=ADDRESS"):
        Settings(collection=text)


def test_the_commands_say_what_is_wrong(made: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    from sugar.__main__ import main

    assert main(["index", "--engine", "ray", "--source", "x"]) == 2
    assert "--source and --out" in capsys.readouterr().err
    assert main(["collection", "delete", made.uri, "abc"]) == 2
    assert "no SHA-256" in capsys.readouterr().err
    assert main(["collection", "show", made.uri]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 301
