"""A person who is erased is in no byte of the folder, and every answer is that of the other events."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest
from pyiceberg.avro.file import AvroFile
from pyiceberg.io.pyarrow import PyArrowFileIO
from test_archive import settled
from test_audit import main_ok
from test_lake_erasure import walk

from raydo.actors import tenant, turns
from raydo.actors.analytics import Analytics
from raydo.actors.erasures import hash_of
from raydo.actors.forgetting import keeps_from_ms
from raydo.pipelining.noun import Noun

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Keyed

    from raydo.actors.world import World

DAY_MS = 86_400_000
NOUN = Noun("Analytics", "acme")
ALICE = "alice-7c1e"  # an id that nothing else contains
DEVICE = "device-91ab"
GONE = {ALICE, DEVICE}


class Books:
    """Feed events to a tenant, and keep those that should be left."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stub: Any = world.stub(Analytics, "acme")
        self.events: list[dict[str, Any]] = []
        self.count = 0

    def track(self, event: str, user: str | None, *, days_ago: float, **more: Any) -> None:
        at_ms = int(self.world.now_ms - days_ago * DAY_MS)
        each = {
            "event": event,
            "userId": user,
            "timestamp": at_ms,
            "messageId": f"m{self.count}",
            "properties": {"n": self.count},
            **more,
        }
        self.events.append(each)
        self.count += 1
        done = self.world.wait(self.stub.ingest([json.dumps(each).encode()]))
        assert done["accepted"] == 1, done

    def fill(self) -> None:
        """Fill both layers: alice by two ids, others beside her, one of them on her device."""
        for days_ago in (20.01, 12.5, 12.51, 3.2, 0.1):
            self.track("Seen", None, days_ago=days_ago, anonymousId=DEVICE)
            self.track("Buy", ALICE, days_ago=days_ago, context={"ip": "10.0.0.1"})
            self.track("Buy", "bob", days_ago=days_ago)
            self.track("Seen", "carol", days_ago=days_ago + 0.2)
        self.track("$identify", ALICE, days_ago=3, anonymousId=DEVICE)
        self.track("Shared", "dave", days_ago=12.5, anonymousId=DEVICE)
        self.track("Seen", "dave", days_ago=12.5)
        self.track("Shared", "dave", days_ago=3.2, anonymousId=DEVICE)

    def archive(self, older_than_days: float = 7) -> None:
        self.world.wait(self.stub.archive(older_than_days * DAY_MS / 1_000))
        settled(self.world)

    def erase(self, user: str = ALICE) -> dict[str, Any]:
        planned = self.world.wait(self.stub.erase(user))
        return self.done(planned["n"])

    def done(self, n: int) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while True:
            found = {each["n"]: each for each in self.world.wait(self.stub.erasures())}
            if found[n]["state"] == "done":
                return dict(found[n])
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def forget(self, ids: set[str]) -> None:
        self.events = [
            each for each in self.events if not {each["userId"], each.get("anonymousId")} & ids
        ]

    def check(self) -> None:
        """Compare what the tenant says with what a child would count."""
        now_ms = self.world.now_ms
        days: dict[int, list[dict[str, Any]]] = {}
        for each in self.events:
            days.setdefault(each["timestamp"] // DAY_MS, []).append(each)
        told = self.world.wait(self.stub.dau(30, "UTC"))
        for back, day in enumerate(told):
            there = days.get(now_ms // DAY_MS - back, [])
            users = {each["userId"] or each.get("anonymousId") for each in there} - {None}
            assert (day["events"], day["dau"]) == (len(there), len(users)), day
        ids = "SELECT id FROM events ORDER BY seq"
        rows = self.world.wait(self.stub.query(ids))["rows"]
        assert [row["id"] for row in rows] == [each["messageId"] for each in self.events]
        at = "SELECT count(*) AS n FROM events"
        then = self.world.wait(self.stub.query(at, as_of=now_ms))["rows"]
        assert then[0]["n"] == len(self.events)
        sql = "SELECT event, sum(count) AS n FROM hourly_events GROUP BY 1"
        hours = self.world.wait(self.stub.query(sql))["rows"]
        names = Counter(each["event"] for each in self.events)
        assert {row["event"]: row["n"] for row in hours} == names
        assert self.world.wait(self.stub.stats())["events"] == names
        cohorts = self.world.wait(self.stub.retention("day", None, None, "UTC"))
        first: dict[str, int] = {}
        for each in self.events:
            user = each["userId"] or each.get("anonymousId")
            first[user] = min(first.get(user, 2**62), each["timestamp"] // DAY_MS)
        sizes = Counter(first.values())
        assert sum(cohort["size"] for cohort in cohorts) == sum(
            n for day, n in sizes.items() if day > now_ms // DAY_MS - len(cohorts)
        )


@pytest.fixture
def books(world: World) -> Books:
    return Books(world)


def traces(folder: Path, texts: set[str]) -> list[str]:
    """List the files that hold one of some texts, decoded where they are packed."""
    found = []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += repr(pq.read_table(path).to_pylist()).encode()
        elif path.suffix == ".avro":
            with AvroFile(PyArrowFileIO().new_input(str(path))) as records:
                content += b"".join(repr(each._data).encode() for each in walk(list(records)))
        elif content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        found += [path.name for text in texts if text.encode() in content]
    return found


def test_no_byte_is_left_and_every_answer_is_that_of_the_others(books: Books) -> None:
    books.fill()
    books.archive()
    folder = tenant.folder(books.world.data, NOUN)
    kinds = {name.rpartition(".")[2] for name in traces(folder, GONE)}
    assert {"parquet", "avro", "seg"} <= kinds

    erased = books.erase(DEVICE)  # any of her ids

    assert traces(folder, GONE) == []
    before = len(books.events)
    books.forget(GONE)
    books.check()
    receipt = erased["receipt"]
    assert receipt["rows"] + receipt["rows_archive"] == before - len(books.events)
    assert receipt["rows_archive"] == 7
    assert receipt["files"] > 0
    assert receipt["snapshots"] == 1
    assert erased["hashes"] == [hash_of("acme", each) for each in (ALICE, DEVICE)]
    actions = [row["action"] for row in books.world.wait(books.stub.audit.list())]
    assert actions == ["erased", "erasure_planned"]
    books.world.crash()
    assert traces(folder, GONE) == []
    books.check()


def test_what_comes_after_the_plan_is_somebody_new(books: Books) -> None:
    books.fill()
    planned = books.world.wait(books.stub.erase(ALICE))
    books.forget(GONE)
    books.track("Again", ALICE, days_ago=0.1)
    books.track("Again", "erin", days_ago=0.1, anonymousId=DEVICE)
    books.done(planned["n"])

    books.check()
    rows = books.world.wait(books.stub.query("SELECT DISTINCT person_id FROM events"))["rows"]
    assert {row["person_id"] for row in rows} == {"bob", "carol", "dave", ALICE, "erin"}


@pytest.mark.slow
@pytest.mark.parametrize("state", ["planned", "restated", "rewritten"])
def test_a_crash_only_delays_it(books: Books, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    books.fill()
    books.archive()
    seen: list[str] = []
    settle = turns._settle_erasure

    def until(found: Any, activation: Any) -> None:
        now = activation._wake().erasures.next().state
        seen.append(now)
        if now == state:
            raise OSError("the machine stops here")
        settle(found, activation)

    monkeypatch.setattr(turns, "_settle_erasure", until)
    n = books.world.wait(books.stub.erase(ALICE))["n"]
    deadline = time.monotonic() + 60
    while state not in seen:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    monkeypatch.setattr(turns, "_settle_erasure", settle)
    books.world.crash()
    books.world.wait(books.stub.stats())

    receipt = books.done(n)["receipt"]
    assert receipt["rows"] > 0
    books.forget(GONE)
    books.check()
    assert traces(tenant.folder(books.world.data, NOUN), GONE) == []


def test_an_erasure_is_done_again_after_a_restore(books: Books, tmp_path: Path) -> None:
    from shutil import copytree

    from raydo.actors.world import World

    books.fill()
    books.world.wait(books.stub.query("SELECT 1 FROM events"))
    books.world.crash()
    copytree(books.world.data, tmp_path / "copy")
    books.erase()
    listed = books.world.wait(books.stub.erasures())

    with World(tmp_path / "copy", now_ms=books.world.now_ms) as world:
        old = Books(world)
        old.events = books.events
        [planned] = world.wait(old.stub.erase_again(listed))
        old.done(planned["n"])
        old.forget(GONE)
        old.check()
        assert traces(tenant.folder(world.data, NOUN), GONE) == []
    assert books.world.wait(books.stub.erase_again(listed)) == []  # it is done already


def test_nobody_and_no_tenant_are_erased_in_peace(books: Books) -> None:
    assert books.world.wait(books.stub.erase("nobody"))["state"] == "done"
    assert not list(books.world.data.glob("*/*"))
    books.track("A", "bob", days_ago=1)
    receipt = books.erase("nobody")["receipt"]
    assert (receipt["rows"], receipt["rows_archive"]) == (0, 0)
    books.check()


def test_kept_replies_that_name_the_person_are_forgotten(books: Books) -> None:
    other = books.world.connection.acting("write:k").stub(Analytics, "acme")
    books.world.wait(other.track("A", {"userId": "bob"}, messageId=f"of-{ALICE}"))
    books.world.wait(books.stub.track("A", {"userId": ALICE}))
    receipt = books.erase()["receipt"]
    assert receipt["replies"] == 1
    folder = tenant.folder(books.world.data, NOUN)
    assert traces(folder, {ALICE}) == ["tenant.db"]  # in a message id of another's event


async def test_over_http_a_key_that_may_erase_gets_the_receipt(keyed: Keyed) -> None:
    bounds = {"tenants": "ac*", "scopes": ["erase"]}
    key = (await keyed.keyring.create("service", None, bounds=bounds))["key"]
    write = await keyed.key("write")
    for user in (ALICE, "bob"):
        await keyed.ask("POST", "/track", write, json={"event": "A", "userId": user})
    acme = {"x-tenant": "acme"}

    done = await keyed.ask("POST", "/admin/erase", key, json={"user_id": ALICE}, headers=acme)

    assert done.status_code == 200, done.text
    assert done.json()["receipt"]["rows"] == 1
    listed = (await keyed.ask("GET", "/admin/erasures", key, headers=acme)).json()["erasures"]
    assert listed == [done.json()]
    assert ALICE not in done.text
    told = (await keyed.ask("GET", "/admin/audit", await keyed.key("admin"))).json()["rows"]
    [erased] = [row for row in told if row["action"] == "erased"]
    assert erased["detail"]["planned_by"].startswith("service:")
    assert ALICE not in str(told)
    wrong = await keyed.ask("POST", "/admin/erase", write, json={"user_id": "bob"})
    assert wrong.status_code == 403
    empty = await keyed.ask("POST", "/admin/erase", key, json={"user_id": ""}, headers=acme)
    assert empty.status_code == 400


def test_by_command_a_folder_forgets_a_user(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.ndjson"
    source.write_text(f'{{"event":"A","userId":"{ALICE}"}}\n{{"event":"B","userId":"bob"}}\n')
    data = str(tmp_path / "data")
    main_ok(["import", str(source), "-t", "acme", "--data", data])
    capsys.readouterr()
    main_ok(["erase", "-t", "acme", "--user", ALICE, "--data", data, "--json"])
    assert json.loads(capsys.readouterr().out)["receipt"]["rows"] == 1
    assert traces(tmp_path / "data", {ALICE}) == []
    assert traces(tmp_path / "data", {"bob"}) == ["tenant.db"]


# What is kept for a time


@pytest.mark.parametrize("archived", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_what_is_older_than_the_tenant_keeps_goes_from_all_layers(
    world: World, *, archived: bool
) -> None:
    books = Books(world)
    for days_ago in (400, 100, 70, 40, 2):
        books.track("Seen", f"old-{ALICE}" if days_ago > 80 else "bob", days_ago=days_ago)
        books.track("Seen", "carol", days_ago=days_ago)
    if archived:
        books.archive()
    books.world.wait(books.stub.set_settings(retention_months=2, zone="Europe/Berlin"))
    world.advance(days=8)
    from_ms = keeps_from_ms(world.now_ms, 2, "Europe/Berlin")
    n = books.world.wait(books.stub.erasures())[-1]["n"]
    done = books.done(n)

    kept_ms = done["before_ms"]
    assert kept_ms <= from_ms
    books.events = [each for each in books.events if each["timestamp"] >= kept_ms]
    assert len(books.events) == 4
    ids = "SELECT id, person_id FROM events ORDER BY seq"
    rows = world.wait(books.stub.query(ids))["rows"]
    assert [row["id"] for row in rows] == [each["messageId"] for each in books.events]
    days = world.wait(books.stub.dau(500, "UTC"))
    assert sum(day["events"] for day in days) == 4
    cohorts = world.wait(books.stub.retention("month", "2024-01-01"))
    assert sum(cohort["size"] for cohort in cohorts) == 2  # who began with what is left
    hours = world.wait(books.stub.query("SELECT sum(count) AS n FROM hourly_events"))
    assert hours["rows"] == [{"n": 4}]
    assert traces(tenant.folder(world.data, NOUN), {f"old-{ALICE}"}) == []
    assert world.wait(books.stub.audit.list())[0]["action"] == "expired"


def test_rows_of_the_audit_log_leave_with_what_they_tell_of(world: World) -> None:
    books = Books(world)
    world.wait(books.stub.set_settings(retention_months=1))
    world.advance(days=10)
    books.track("A", "bob", days_ago=0)
    world.advance(days=50)
    [planned] = world.wait(books.stub.erasures())
    books.done(planned["n"])
    actions = [row["action"] for row in world.wait(books.stub.audit.list())]
    assert actions == ["expired"]


def test_months_are_counted_back_from_the_local_day() -> None:
    berlin = "Europe/Berlin"
    at_ms = int(datetime(2026, 3, 31, 12, tzinfo=ZoneInfo(berlin)).timestamp() * 1_000)
    for months, day in ((1, (2026, 2, 28)), (13, (2025, 2, 28)), (3, (2025, 12, 31))):
        begin = datetime(*day, tzinfo=ZoneInfo(berlin))
        assert keeps_from_ms(at_ms, months, berlin) == int(begin.timestamp() * 1_000)


# A whole tenant


async def test_a_tenant_that_is_erased_leaves_nothing_but_a_row(keyed: Keyed) -> None:
    for name in ("acme", "globex"):
        write = await keyed.key("write", name)
        await keyed.ask("POST", "/track", write, json={"event": "A", "userId": ALICE})
    server, admin = await keyed.key("server"), await keyed.key("admin")
    write = await keyed.key("write")
    body: dict[str, Any] = {"tenant": "acme", "all": True}
    for wrong in (body, body | {"confirm": "globex"}, body | {"confirm": "acme", "user_id": "x"}):
        assert (await keyed.ask("POST", "/admin/erase", server, json=wrong)).status_code == 400
    confirmed = body | {"confirm": "acme"}
    assert (await keyed.ask("POST", "/admin/erase", write, json=confirmed)).status_code == 403

    done = await keyed.ask("POST", "/admin/erase", admin, json=confirmed)

    assert done.status_code == 200, done.text
    listed = (await keyed.ask("GET", "/admin/tenants", server)).json()["tenants"]
    assert {each["tenant"] for each in listed if each["object"] == "Analytics"} == {"globex"}
    served = keyed.backend._served
    assert served is not None
    data = served.runtime._settings.data  # type: ignore[attr-defined]
    assert [path.name.partition("-")[0] for path in (data / "Analytics").iterdir()] == ["globex"]
    again = await keyed.ask("POST", "/track", write, json={"event": "A"})
    assert again.status_code == 401  # its keys went with it
    rows = (await keyed.ask("GET", "/admin/audit?kind=server", server)).json()["rows"]
    assert rows[0]["action"] == "tenant_erased"
    assert rows[0]["detail"] == {"tenant": "acme", "objects": ["Analytics"]}
    assert rows[0]["by"].startswith("admin:")


def test_whoever_comes_after_begins_anew(books: Books) -> None:
    books.fill()
    while books.world.wait(books.stub.erase_everything("acme")):
        time.sleep(0.02)
    assert not list(books.world.data.glob("*/*"))
    books.events = []
    books.track("A", ALICE, days_ago=1)
    books.check()
    books.world.crash()
    books.check()


def test_what_a_crash_left_of_a_tenant_is_swept(books: Books) -> None:
    from raydo.actors.due import scan

    books.track("A", ALICE, days_ago=1)
    books.world.crash()
    folder = tenant.folder(books.world.data, NOUN)
    folder.rename(folder.with_name(f"{folder.name}.gone"))
    assert not list(tenant.tenants(books.world.data))
    assert list(scan(books.world.data)) == []
    assert traces(books.world.data, {ALICE}) == []


def test_by_command_a_tenant_goes(tmp_path: Path) -> None:
    source = tmp_path / "in.ndjson"
    source.write_text(f'{{"event":"A","userId":"{ALICE}"}}\n')
    data = str(tmp_path / "data")
    main_ok(["import", str(source), "-t", "acme", "--data", data])
    main_ok(["erase", "-t", "acme", "--all", "--yes", "--data", data])
    assert traces(tmp_path / "data", {ALICE}) == []
    assert not list((tmp_path / "data" / "Analytics").iterdir())


@pytest.mark.slow
def test_an_archive_elsewhere_goes_with_its_tenant(tmp_path: Path) -> None:
    from raydo.actors.settings import Settings
    from raydo.actors.world import World

    warehouse = tmp_path / "warehouse"
    catalog = {"uri": f"sqlite:///{tmp_path / 'catalog.db'}", "warehouse": str(warehouse)}
    warehouse.mkdir()
    with World(tmp_path / "data", settings=Settings(lake={"type": "sql", **catalog})) as world:
        books = Books(world)
        books.fill()
        books.archive()
        assert traces(warehouse, {ALICE})
        while world.wait(books.stub.erase_everything("acme")):
            time.sleep(0.05)
    assert not [path for path in warehouse.rglob("*") if path.is_file()]
    assert traces(tmp_path, {"acme"}) == []
