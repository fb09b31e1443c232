"""An object's own rows are in its Iceberg table, each once, whatever crashes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raydo.actors import archiver, tenant, turns
from raydo.actors.lake import Lake, namespace_of
from raydo.actors.object import DurableObject
from raydo.actors.world import World
from raydo.pipelining.errors import InvalidArgument, InvalidEvent, ObjectFailed
from raydo.pipelining.method import call
from raydo.pipelining.noun import Noun


class Meter(DurableObject):
    @call
    def read(self, values: list[int], *, fails: bool = False) -> int:
        rows = [{"value": value, "messageId": f"v{value}"} for value in values]
        written = self.iceberg.write(rows, "reading")
        if fails:
            raise ValueError("no")
        return written

    @call
    def odd(self, row: Any) -> int:
        return self.iceberg.write([row])

    @call(aside=True)
    def ask(self, sql: str, as_of: Any = None) -> Any:  # type: ignore[override]
        return self.iceberg.query(sql, as_of=as_of)

    @call
    def here(self) -> int:
        return len(self.sql("SELECT 1 FROM raw_events"))


SUM = "SELECT count(*) AS n, sum(properties ->> 'value') AS total FROM events"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


def table(world: World) -> list[int]:
    """Read the table as any engine would."""
    from raydo.actors.lake_table import opened

    noun = Noun("Meter", "acme")
    with opened(Lake(tenant.folder(world.data, noun), namespace_of(noun))) as found:
        if found is None or found.current_snapshot() is None:
            return []
        rows = found.scan().to_arrow().to_pylist()
    return sorted(json.loads(row["properties"])["value"] for row in rows)


def arrived(world: World) -> list[int]:
    """Wait until nothing is on its way any more."""
    deadline = time.monotonic() + 120
    while world.wait(world.Meter("acme").here()):
        assert time.monotonic() < deadline
        time.sleep(0.1)  # other threads work
    return table(world)


def test_what_is_written_is_in_the_table_soon_and_can_be_asked_at_once(world: World) -> None:
    meter = world.Meter("acme")
    assert world.wait(meter.read([1, 2, 3])) == 3
    assert world.wait(meter.ask(SUM)["rows"]) == [{"n": 3, "total": 6}]
    assert arrived(world) == [1, 2, 3]
    assert world.wait(meter.ask(SUM)["rows"]) == [{"n": 3, "total": 6}]
    assert world.wait(meter.read([3, 4])) == 1  # a row that came before is left out
    assert world.wait(meter.ask(SUM)["rows"][0]["total"]) == 10


def test_what_is_written_during_a_run_follows_it(world: World) -> None:
    meter = world.Meter("acme")
    for value in range(8):
        assert world.wait(meter.read([value])) == 1
    assert arrived(world) == list(range(8))


def test_a_call_that_raises_writes_nothing(world: World) -> None:
    meter = world.Meter("acme")
    with pytest.raises(ObjectFailed):
        world.wait(meter.read([1], fails=True))
    assert world.wait(meter.read([2])) == 1
    assert arrived(world) == [2]


@pytest.mark.slow
def test_a_crash_at_any_moment_of_a_run_leaves_each_row_there_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job = archiver.run_job
    fates = iter(("before", "after"))

    def crashing(job: archiver.Job) -> Any:
        fate = next(fates, None)
        if fate == "before":
            raise MemoryError
        done = run_job(job)
        if fate == "after":
            raise MemoryError
        return done

    monkeypatch.setattr(turns, "run_job", crashing)
    meter = world.Meter("acme")
    for value in range(4):
        world.wait(meter.read([value]))
        world.crash()
    assert arrived(world) == [0, 1, 2, 3]
    assert world.wait(meter.ask(SUM)["rows"]) == [{"n": 4, "total": 6}]


def test_the_past_is_there(world: World) -> None:
    meter = world.Meter("acme")
    world.wait(meter.read([1, 2]))
    then_ms = world.now_ms
    arrived(world)
    world.advance(seconds=1)
    world.wait(meter.read([3]))
    arrived(world)
    assert world.wait(meter.ask(SUM, then_ms)["rows"][0]["n"]) == 2
    assert world.wait(meter.ask(SUM)["rows"][0]["n"]) == 3


@pytest.mark.parametrize("row", ["text", 5, {"timestamp": "soon"}])
def test_what_is_no_row_is_refused(world: World, row: Any) -> None:
    with pytest.raises((InvalidArgument, InvalidEvent)):
        world.wait(world.Meter("acme").odd(row))


def test_a_run_planned_while_an_empty_one_ends_is_not_forgotten(live: Any) -> None:
    meter = live(Meter)
    with pytest.raises(ObjectFailed):
        meter.call("read", [1], fails=True)
    assert meter.activation.archive_job() is None  # what was planned was taken back
    meter.call("read", [2])
    assert meter.activation.settle_archive(None)
    assert meter.activation.archive_due
    assert meter.activation.archive_job().run.state == "planned"
