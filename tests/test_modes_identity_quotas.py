"""Modes, identities and limits: plain values and a clock that the test turns."""

from __future__ import annotations

import re
import threading
from dataclasses import fields
from pathlib import Path

import pytest

import sugar
from sugar.errors import BusyError, GalleryError, InputError, SettingsError
from sugar.services.modes import LAN, MODES, PERSONAL, PUBLIC, is_loopback, resolve
from sugar.services.quotas import Buckets, Disk, QuotaLimits, Quotas, size_of
from sugar.services.visitors import Caller, Identities, PrivateFiles, Visitor, Visits, network_of
from sugar.settings import Settings


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def a_mode(name: str = "", **changes: object) -> object:
    return resolve(name, **{"host": "127.0.0.1", "share": False, "auth": "", "space": False, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, PERSONAL),
        ({"host": "localhost"}, PERSONAL),
        ({"host": "::1"}, PERSONAL),
        ({"host": "0.0.0.0"}, PUBLIC),
        ({"host": "192.168.1.4"}, PUBLIC),
        ({"host": "0.0.0.0", "auth": "me:secret"}, LAN),
        ({"share": True}, PUBLIC),
        ({"share": True, "auth": "me:secret"}, PUBLIC),
        ({"space": True}, PUBLIC),
        ({"space": True, "name": "public"}, PUBLIC),
        ({"name": "public"}, PUBLIC),
        ({"name": "lan", "auth": "me:secret"}, LAN),
    ],
)
def test_the_default_mode_is_the_safe_one(changes: dict, expected: object) -> None:
    assert a_mode(**changes) is expected


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "private"},
        {"name": "personal", "share": True},
        {"name": "lan", "auth": "me:secret", "space": True},
        {"name": "personal", "host": "0.0.0.0"},
        {"name": "lan"},
    ],
)
def test_a_mode_that_promises_too_much_is_refused(changes: dict) -> None:
    with pytest.raises(SettingsError):
        a_mode(**changes)


def test_every_setting_does_something() -> None:
    """SUGAR_GALLERY_ITEMS used to be read nowhere."""
    package = Path(sugar.__file__).parent
    files = [f for f in [*package.rglob("*.py"), package.parent / "app.py"] if f.name != "settings.py"]
    text = "\n".join(f.read_text("utf-8") for f in files) + "".join(
        line for line in (package / "settings.py").read_text("utf-8").splitlines() if "self." in line
    )
    unread = [f.name for f in fields(Settings) if not re.search(rf"(settings|self)\.{f.name}\b", text)]
    assert unread == []


def test_where_strangers_come_nothing_persists() -> None:
    assert PUBLIC.private and not PUBLIC.folders and not PUBLIC.exchange_model and not PUBLIC.one_person
    assert not LAN.folders and not LAN.one_person
    assert [m for m in MODES.values() if m.folders] == [PERSONAL]
    assert PUBLIC.grace_seconds == 15 * 60
    assert is_loopback("127.8.9.1") and is_loopback("[::1]") and not is_loopback("127.0.0.1.example.org")


def test_a_token_keeps_its_visitor_and_a_forged_one_does_not() -> None:
    identities = Identities(PUBLIC)
    token, other = identities.new_token(), identities.new_token()
    ann = identities.visitor(Caller(token=token, session="first page", address="10.0.0.1"))
    again = identities.visitor(Caller(token=token, session="after a reload", address="10.0.0.2"))
    assert ann == again and ann.kind == "token" and ann.proven
    assert identities.visitor(Caller(token=other, session="first page")) != ann
    nonce, _, signature = token.partition(".")
    for forged in (
        nonce,
        f"{nonce}.",
        f"{nonce}.{signature[:-1]}0x",
        f"{nonce}.{other.partition('.')[2]}",
        ".",
        "é.é",
        "",
    ):
        assert not identities.valid(forged)
        assert identities.visitor(Caller(token=forged, session="s")).kind == "session"
    assert not Identities(PUBLIC).valid(token), "a token of another run"
    assert nonce not in ann.id and len(ann.id) == 32


def test_the_order_of_proofs() -> None:
    private, named = Identities(PUBLIC), Identities(LAN)
    token = private.new_token()
    key = "k" * 32
    assert private.visitor(Caller(login="guest", token=token)).kind == "token", "one password, many strangers"
    assert private.visitor(Caller(key=key, token=token)).kind == "key"
    assert named.visitor(Caller(login="me", key=key)) == named.visitor(Caller(login="me"))
    assert named.visitor(Caller(login="me")) != named.visitor(Caller(login="you"))
    assert private.visitor(Caller()) != private.visitor(Caller()), "who says nothing is nobody known"
    for short in ("", "x" * 15, "x" * 201):
        with pytest.raises(InputError, match="random text"):
            private.visitor(Caller(key=short))
    own = Identities(PERSONAL)
    assert own.visitor(Caller(session="a")) == own.visitor(Caller(key=key, session="b"))


def test_a_visitor_stays_for_the_grace_period_and_no_longer(tmp_path: Path) -> None:
    clock, gone = Clock(), []
    visits = Visits(PUBLIC, PrivateFiles(tmp_path), clock)
    visits.on_leave.append(gone.append)
    ann, bob = Visitor("a" * 32, "token"), Visitor("b" * 32, "token")
    page = visits.page(ann, "1")
    kept = Path(page.keep(b"private", ".txt"))
    visits.touch(bob)
    clock.now += 14 * 60
    visits.touch(bob)
    assert visits.sweep() == 0 and visits.page(ann, "1") is page
    clock.now += 15 * 60 + 1
    visits.touch(bob)
    visits.busy = lambda visitor: True
    assert visits.sweep() == 0, "work for her still runs"
    visits.busy = lambda visitor: False
    assert kept.read_bytes() == b"private"
    assert visits.sweep() == 1 and gone == [ann] and not kept.parent.parent.exists()
    assert visits.known(bob) and not visits.known(ann)
    assert visits.page(ann, "1") is not page and visits.page(ann, "1").fresh, "the page learns that it is new"


def test_what_a_visitor_left_goes_at_the_next_sweep_if_not_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full table of handles, or an error in one part, kept the rest and ended the sweeper."""
    import sugar.services.visitors as module

    visits = Visits(PUBLIC, PrivateFiles(tmp_path))
    broken, told = [True], []

    def fails_once(visitor: Visitor) -> None:
        if broken.pop() if broken else False:
            raise RuntimeError("database is locked")
        told.append("first")

    visits.on_leave += [fails_once, lambda visitor: told.append("second")]
    ann = Visitor("a" * 32, "token")
    kept = Path(visits.page(ann, "1").keep(b"private", ".txt"))
    real, handles = module.shutil.rmtree, [0]

    def rmtree(folder: Path) -> None:
        handles[0] += 1
        if handles[0] == 1:
            raise OSError(24, "Too many open files")
        real(folder)

    monkeypatch.setattr(module.shutil, "rmtree", rmtree)
    visits.leave(ann)
    assert told == ["second"] and kept.exists() and not visits.known(ann)
    visits.sweep()
    assert told == ["second", "first"] and not kept.parent.parent.exists()
    visits.sweep()
    assert told == ["second", "first"] and handles[0] == 2
    swept = threading.Event()
    also = iter([RuntimeError("once"), None])

    def sweeping() -> None:
        if error := next(also, None):
            raise error
        swept.set()

    ended = visits.sweep_every(0.01, sweeping)
    assert swept.wait(30), "the sweeper goes on after an error"
    ended.set()


def test_the_pages_of_one_visitor_do_not_stop_each_other(tmp_path: Path) -> None:
    visits = Visits(PUBLIC, PrivateFiles(tmp_path))
    ann = Visitor("a" * 32, "token")
    one, two = visits.page(ann, "1"), visits.page(ann, "2")
    with one.answering() as first, two.answering() as second:
        two.stop()
        assert second.is_set() and not first.is_set()
    assert first.is_set()
    one.state.of(dict)["x"] = 1
    assert one.state.of(dict) == {"x": 1} and two.state.of(dict) == {}
    visits.leave(ann)
    with one.answering() as late:
        assert late.is_set(), "an answer asked for at the last moment ends too"


def test_the_pages_of_a_visitor_are_bounded(tmp_path: Path) -> None:
    closed: list[tuple[str, bool]] = []
    visits = Visits(PUBLIC, PrivateFiles(tmp_path), most_pages=3)
    visits.on_close.append(lambda session, left: closed.append((session, left)))
    ann = Visitor("a" * 32, "token")
    first = visits.page(ann, "first")
    with first.answering() as answer:
        for n in range(5):
            visits.page(ann, str(n))
            visits.session(ann, str(n))
        assert not answer.is_set(), "an answer that is written is not given up for a made-up session"
    assert [page.session for page in visits.pages(ann)] == ["first", "3", "4"]
    assert closed == [("0", False), ("1", False)]
    visits.leave(ann)
    assert closed[2:] == [("2", True), ("3", True), ("4", True)]


def test_made_up_keys_send_nobody_away(tmp_path: Path) -> None:
    """10,050 made-up keys used to take a real visitor's gallery away."""
    visits = Visits(PUBLIC, PrivateFiles(tmp_path), most=12, of_one_address=5)
    galleries = {"a" * 32}
    visits.keeping.append(lambda visitor: visitor.id in galleries)
    ann, bob = Visitor("a" * 32, "token", "10.0.0.1"), Visitor("b" * 32, "token", "10.0.0.1")
    visits.touch(ann)
    visits.page(bob, "1").keep(b"notes", ".txt")
    for n in range(50):
        visits.page(Visitor(f"{n:032x}", "key", "10.0.0.1"), "s")
    assert visits.known(ann) and visits.known(bob)
    for n in range(50, 53):
        visits.page(Visitor(f"{n:032x}", "key", "10.0.0.1"), "s").state.of(dict)["words"] = "x"
    with pytest.raises(BusyError, match="of your address"):
        visits.touch(Visitor("c" * 32, "token", "10.0.0.1"))
    for n in range(7):
        visits.page(Visitor(f"{n:031x}f", "token", f"10.0.1.{n}"), "s").keep(b"x", ".txt")
    with pytest.raises(BusyError, match="as many visitors as this host"):
        visits.touch(Visitor("d" * 32, "token", "10.0.0.9"))
    assert not visits.touch(ann), "who is here goes on"


def test_a_bucket_fills_again() -> None:
    clock = Clock()
    buckets = Buckets(3, 0.5, clock)
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 2.0]
    assert buckets.take("b") == 0
    clock.now += 2
    assert buckets.take("a") == 0 and buckets.take("a") == 2.0
    clock.now += 60
    buckets.sweep()
    assert len(buckets) == 0


def test_made_up_keys_take_no_memory_for_long() -> None:
    clock = Clock()
    buckets = Buckets(1, 1.0, clock, most=100)
    assert sum(not buckets.take(str(n)) for n in range(1000)) == 100
    clock.now += 1
    assert buckets.take("new") == 0 and len(buckets) == 1


def test_made_up_sessions_do_not_pass_the_limit() -> None:
    """With 3 a minute, 8 of 8 calls under made-up sessions used to pass."""
    quotas, identities = Quotas(QuotaLimits(per_minute=3), Clock()), Identities(PUBLIC)

    def passes(**who: str) -> bool:
        try:
            quotas.admit(identities.visitor(Caller(address="10.0.0.1", **who)))
        except BusyError as error:
            assert "Try again in" in str(error)
            return False
        return True

    assert sum(passes(session=f"made up {n}") for n in range(8)) == 3
    ann = identities.new_token()
    assert [passes(token=ann) for _ in range(4)] == [True] * 3 + [False]
    passed = sum(passes(token=identities.new_token()) for _ in range(30))
    assert passed == 15 - 6, "all tokens of one address together"
    quotas.admit(identities.visitor(Caller(token=identities.new_token(), address="10.0.0.2")))


def test_made_up_keys_pay_from_their_address() -> None:
    quotas, identities = Quotas(QuotaLimits(per_minute=2), Clock()), Identities(PUBLIC)
    passed = 0
    for n in range(50):
        try:
            quotas.admit(identities.visitor(Caller(key=f"key number {n:08}", address="10.0.0.1")))
            passed += 1
        except BusyError:
            pass
    assert passed == 10


def test_newcomers_of_an_address_are_counted() -> None:
    quotas = Quotas(QuotaLimits(newcomers=2), Clock())
    for _ in range(2):
        quotas.admit_newcomer(Visitor("a" * 32, "session", "10.0.0.1"))
    with pytest.raises(BusyError, match="new visitors"):
        quotas.admit_newcomer(Visitor("b" * 32, "session", "10.0.0.1"))


def test_one_ipv6_customer_is_one_address() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::2") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:10.0.0.1") == "10.0.0.1" and network_of("testclient") == "testclient"


def test_the_disk_is_shared_out(tmp_path: Path) -> None:
    ann, bob = tmp_path / "ann", tmp_path / "bob"
    for folder in (ann, bob):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "file").write_bytes(b"x" * 1000)
    assert size_of(ann) == 1000 and size_of(tmp_path / "nobody") == 0
    disk = Disk(tmp_path, per_visitor=1500, in_all=2600, keep_free=0)
    disk.check([ann], adding=500)
    with pytest.raises(GalleryError, match="You may keep"):
        disk.check([ann], adding=501)
    with pytest.raises(GalleryError, match="This server keeps"):
        Disk(tmp_path, per_visitor=10_000, in_all=2600, keep_free=0).check([ann], adding=601)
    with pytest.raises(GalleryError, match="The disk has"):
        Disk(tmp_path / "new", 10_000, 10_000, keep_free=10**18).check([])


def test_every_promise_names_a_test_that_exists() -> None:
    page = (Path(sugar.__file__).parent / "services" / "README.md").read_text("utf-8")
    here = Path(__file__).parent
    known = {
        name
        for file in here.glob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text("utf-8"), re.M)
    }
    assert set(re.findall(r"`(test_\w+)`", page)) <= known
    promised = page.split("## What is promised")[1].split("What is not promised:")[0]
    lines = re.split(r"^- ", promised, flags=re.M)[1:]
    assert [line.split(".")[0] for line in lines if "`test_" not in line] == []
