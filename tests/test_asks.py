"""A query answers from everything, and nothing waits for it but whoever asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Live, program

from raydo.actors import asks, question
from raydo.actors.analytics import Analytics
from raydo.actors.asks import Asking, Asks
from raydo.actors.settings import Settings
from raydo.actors.world import World
from raydo.gateway.command import main
from raydo.pipelining.errors import (
    InvalidArgument,
    Overloaded,
    QueryError,
    QueryForbidden,
    QueryLimit,
    Unavailable,
)
from raydo.pipelining.frame import Entry
from raydo.pipelining.stub import Stub

DAY_S = 86_400
ALL = "SELECT count(*) AS n, count(DISTINCT seq) AS seqs FROM events"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "data") as world:
        yield world
    assert not processes()


def processes() -> list[int]:
    """List the processes that this one started to answer queries."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if b"raydo.actors.answerer" in command and parent == os.getpid():
            found.append(int(entry.name))
    return found


def fill(world: World, count: int, *, days_ago: int, name: str = "E") -> Stub[Analytics]:
    at_ms = world.now_ms - days_ago * DAY_S * 1000
    items = [
        f'{{"event":"{name}","userId":"u{n % 7}","messageId":"{name}-{n}","timestamp":{at_ms + n}}}'
        for n in range(count)
    ]
    stub = world.stub(Analytics, "acme")
    assert world.wait(stub.ingest([item.encode() for item in items]))["accepted"] == count
    return stub


def archive(world: World, older_than_s: float = 7 * DAY_S) -> list[Any]:
    stub = world.stub(Analytics, "acme")
    assert world.wait(stub.archive(older_than_s)) is not None
    deadline = time.monotonic() + 60
    while True:
        runs = world.wait(stub.archive_runs())
        if all(run["state"] == "deleted" for run in runs):
            return runs
        assert time.monotonic() < deadline
        time.sleep(0.02)  # other threads work


def test_events_are_one_table_whatever_is_archived(world: World) -> None:
    stub = fill(world, 20, days_ago=30, name="Old")
    fill(world, 5, days_ago=1, name="New")
    assert world.wait(stub.query(ALL))["layers"] == ["L2"]
    [run] = archive(world)

    reply = world.wait(stub.query(ALL))

    assert reply["rows"] == [{"n": 25, "seqs": 25}]
    assert reply["layers"] == ["L2", "L3"]
    assert reply["snapshot_id"] == str(run["snapshot_id"])
    assert reply["read"]["files"] == 1
    for where, params in (("?", ["u1"]), (":who", {"who": "u1"})):
        asked = stub.query(f"{ALL} WHERE user_id = {where} AND event = 'Old'", params)
        assert world.wait(asked["rows"][0]["n"]) == 3


def test_rollups_and_what_is_not_archived_are_answered_without_the_archive(world: World) -> None:
    stub = fill(world, 20, days_ago=30)
    fill(world, 5, days_ago=1, name="New")
    archive(world)

    days = world.wait(stub.query("SELECT sum(events) AS n FROM daily_metrics"))
    raw = world.wait(stub.query("SELECT count(*) AS n FROM raw_events"))

    assert (days["rows"], days["layers"]) == ([{"n": 25}], ["L2"])
    assert (raw["rows"], raw["layers"]) == ([{"n": 5}], ["L2"])
    assert not processes()


def test_a_chain_over_the_archive_is_one_envelope(world: World) -> None:
    stub = fill(world, 20, days_ago=30)
    archive(world)
    before = world.residents.counts()["envelopes"]

    rows = stub.query(ALL)["rows"]
    assert world.wait(rows[0]["n"]) == 20

    assert world.residents.counts()["envelopes"] == before + 1


def test_a_query_sees_what_was_told_before_it(world: World) -> None:
    stub = fill(world, 20, days_ago=30)
    archive(world)
    for n in range(21, 26):
        stub.track("Late", userId="u1", timestamp=world.now_ms - 40 * DAY_S * 1000)
        assert world.wait(stub.query(ALL)["rows"][0]["n"]) == n


def test_as_of_is_what_was_known_then(world: World) -> None:
    stub = fill(world, 20, days_ago=30, name="First")
    first_ms = world.now_ms
    archive(world)
    world.advance(hours=1)
    fill(world, 10, days_ago=30, name="Second")
    runs = archive(world)

    assert world.wait(stub.query(ALL, None, None, first_ms)["rows"][0]["n"]) == 20
    assert world.wait(stub.query(ALL)["rows"][0]["n"]) == 30
    snapshot = {"snapshot_id": str(runs[0]["snapshot_id"])}
    assert world.wait(stub.query(ALL, as_of=snapshot)["rows"][0]["n"]) == 20
    for wrong in ("yesterday", {"snapshot": 1}, -1):
        with pytest.raises(InvalidArgument, match="asOf is a moment"):
            world.wait(stub.query(ALL, as_of=wrong))


@pytest.mark.slow
def test_a_query_that_takes_long_ends_at_its_deadline_and_holds_nothing_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(question, "QUERY_S_MAX", 3.0)
    stub = fill(world, 5, days_ago=1)
    world.wait(stub.query("SELECT 1 AS n"))
    slow = stub.query(ENDLESS)

    began = time.monotonic()

    def watch() -> list[float]:
        took = []
        for _ in range(50):
            at = time.monotonic()
            world.wait(stub.track("During"))
            took.append(time.monotonic() - at)
        return took

    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(world.wait, slow)
        took = watch()
        assert not waits.done()
        with pytest.raises(QueryLimit, match="more than 3 s") as raised:
            waits.result()
    assert raised.value.detail == {"limit": "time", "max": 3.0}
    assert time.monotonic() - began < 3.0 + 10  # a process had to start, on a busy machine
    assert max(took) < 2.0
    assert world.wait(stub.query("SELECT count(*) AS n FROM events")["rows"][0]["n"]) == 55


@pytest.mark.slow
def test_more_slow_queries_than_envelopes_under_way_hold_no_event_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(question, "QUERY_S_MAX", 5.0)
    stub = fill(world, 5, days_ago=1)
    with ThreadPoolExecutor(8) as pool:
        waits = [pool.submit(world.wait, stub.query(ENDLESS)) for _ in range(8)]
        for _ in range(10):
            world.wait(stub.track("During"))
        assert not any(each.done() for each in waits)
    assert all(isinstance(each.exception(), QueryLimit | Overloaded) for each in waits)


def test_a_call_cannot_take_what_a_query_is_still_to_find(world: World) -> None:
    stub = fill(world, 20, days_ago=30)
    archive(world)
    with pytest.raises(InvalidArgument, match="await it first"):
        world.wait(stub.dau(stub.query(ALL)["rows"][0]["n"]))


def test_an_error_in_a_query_says_where(world: World) -> None:
    stub = fill(world, 20, days_ago=30)
    for archived in (False, True):
        if archived:
            archive(world)
        with pytest.raises(QueryError, match="line 1, column 8") as raised:
            world.wait(stub.query("SELECT usr_id FROM events"))
        assert "user_id" in raised.value.detail["near"]


def test_a_retry_gets_its_answer_and_its_effects_stay_single(
    live: Callable[..., Live], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Asks, "_needs_archive", lambda *_: True)
    acme = live(Analytics)
    tracked = program(("track", ("E",), {}), ("query", (ALL,), {}))
    entry = Entry(b"s" * 16, 1, 0, tracked)

    [first] = acme.activation.run([entry])
    [again] = acme.activation.run([entry])

    assert isinstance(first, Asking)
    assert isinstance(again, Asking)
    assert [each.sql for each in again.questions] == [ALL]
    acme.crash()
    [later] = acme.activation.run([entry])
    assert isinstance(later, Asking)
    monkeypatch.undo()
    assert acme.call("query", ALL)["rows"] == [{"n": 1, "seqs": 1}]


def test_where_no_process_may_be_asked_the_turn_answers(
    live: Callable[..., Live], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asks, "QUERY_TURN_S", 0.0)
    acme = live(Analytics)
    acme.call("track", "E")
    many = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9999) {ALL}, n"
    assert acme.call("query", many)["rows"] == [{"n": 9999, "seqs": 1}]
    with pytest.raises(Unavailable, match="cannot be asked here"):
        acme.call("query", ALL, as_of=1)


@pytest.mark.slow
def test_an_object_cannot_take_a_part_of_its_events_for_all(world: World) -> None:
    from raydo.actors.object import DurableObject
    from raydo.pipelining.method import call

    class Picker(DurableObject):
        @call
        def add(self, at_ms: int) -> None:
            self.pipeline.emit("Added", "picks", {})

        @call
        def count(self) -> int:
            rows = self.select("SELECT count(*) AS n FROM events")["rows"]
            return int(rows[0]["n"])

        @call
        def archive(self) -> bool:
            return self._state.upkeep.plan(self.now_ms + 1, 1) is not None

        @call
        def left(self) -> int:
            return len(self.sql("SELECT 1 FROM raw_events"))

        @call(aside=True)
        def everything(self) -> Any:
            return self.ask("SELECT count(*) AS n FROM events")

    picker = world.stub(Picker, "acme")
    world.wait(picker.add(1))
    assert world.wait(picker.count()) == 1
    world.wait(picker.archive())
    while world.wait(picker.left()):
        time.sleep(0.02)
    with pytest.raises(QueryForbidden, match=r"return self\.ask"):
        world.wait(picker.count())
    assert world.wait(picker.everything()["rows"][0]["n"]) == 1


@pytest.mark.slow
def test_a_copied_folder_answers_every_query_the_same(tmp_path: Path) -> None:
    queries = [
        "SELECT seq, event, user_id, timestamp, date FROM events ORDER BY seq",
        "SELECT * FROM daily_metrics ORDER BY date",
        "SELECT * FROM hourly_events ORDER BY hour, event",
        "SELECT count(*) AS n FROM raw_events",
    ]

    def replies(world: World) -> list[Any]:
        stub = world.stub(Analytics, "acme")
        then = world.wait(stub.query(ALL, as_of=world.now_ms)["rows"])
        return [then, *(world.wait(stub.query(sql)["rows"]) for sql in queries)]

    with World(tmp_path / "data") as world:
        fill(world, 20, days_ago=30, name="Old")
        archive(world)
        fill(world, 5, days_ago=1, name="New")
        now_ms = world.now_ms
        expected = replies(world)
    shutil.copytree(tmp_path / "data", tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "data")

    with World(tmp_path / "elsewhere", now_ms=now_ms) as copy:
        assert replies(copy) == expected
        fill(copy, 5, days_ago=30, name="Later")
        archive(copy)
        assert copy.wait(copy.stub(Analytics, "acme").query(ALL)["rows"][0]["n"]) == 30


async def test_over_http_a_query_reaches_the_archive_and_the_past(
    gateway: httpx.AsyncClient,
) -> None:
    for n in range(5):
        body = {"event": "Old", "messageId": f"m{n}", "timestamp": "2024-01-02T03:04:05Z"}
        await gateway.post("/track", json=body)
    done = (await gateway.post("/admin/archive", json={"older_than_s": 3600})).json()

    reply = (await gateway.post("/query", json={"sql": ALL})).json()
    before = (await gateway.post("/query", json={"sql": ALL, "asOf": 1_000})).json()
    moment = (
        await gateway.post("/query", json={"sql": ALL, "asOf": "2100-01-01T00:00:00Z"})
    ).json()
    wrong = await gateway.post("/query", json={"sql": ALL, "asOf": "soon"})

    assert (reply["rows"], reply["layers"]) == ([{"n": 5, "seqs": 5}], ["L2", "L3"])
    assert reply["snapshot_id"] == str(done["snapshot_id"])
    assert before["rows"] == [{"n": 0, "seqs": 0}]
    assert moment["rows"] == reply["rows"]
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_argument")


def test_the_command_asks_as_of_a_moment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with World(tmp_path) as world:
        fill(world, 5, days_ago=30)
        now_ms = world.now_ms
    for as_of, expected in ((str(now_ms), '"n": 5'), ("1970-01-02T00:00:00Z", '"n": 0')):
        with pytest.raises(SystemExit) as ended:
            main(
                *[
                    [
                        "query",
                        ALL,
                        "--tenant",
                        "acme",
                        "--data",
                        str(tmp_path),
                        "--json",
                        "--as-of",
                        as_of,
                    ]
                ]
            )
        assert ended.value.code == 0
        assert expected in capsys.readouterr().out


def test_the_archives_libraries_stay_out_of_the_process_that_has_the_tenant(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        fill(world, 20, days_ago=30)
        archive(world)
        now_ms = world.now_ms
    script = f"""
import sys
from pathlib import Path
from raydo.actors.analytics import Analytics
from raydo.actors.settings import Settings
from raydo.actors.world import World

with World(Path({str(tmp_path)!r}), now_ms={now_ms}) as world:
    acme = world.stub(Analytics, "acme")
    world.wait(acme.track("E"))
    world.wait(acme.archive())
    reply = world.wait(acme.query({ALL!r}))
    world.wait(acme.query({ALL!r}, as_of={now_ms}))
    print(reply["rows"], [m for m in ("duckdb", "pyarrow", "pyiceberg", "ray") if m in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "[{'n': 21, 'seqs': 21}] []\n", done.stderr


@pytest.mark.slow
def test_a_catalog_that_tenants_share_and_a_warehouse_are_a_matter_of_settings(
    tmp_path: Path,
) -> None:
    lake = {
        "type": "sql",
        "uri": f"sqlite:///{tmp_path}/catalog.db",
        "warehouse": f"file://{tmp_path}/warehouse",
    }
    settings = Settings(data=tmp_path / "data", lake=lake)
    with World(tmp_path / "data", settings=settings) as world:
        stub = fill(world, 20, days_ago=30)
        archive(world)
        reply = world.wait(stub.query(ALL))
    assert (reply["rows"], reply["layers"]) == ([{"n": 20, "seqs": 20}], ["L2", "L3"])
    assert list((tmp_path / "warehouse").rglob("*.parquet"))
    assert not list((tmp_path / "data").rglob("*.parquet"))
