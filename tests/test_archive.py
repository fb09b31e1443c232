"""Old events leave SQLite for the archive, by a real run, and nothing is lost or told twice."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from raydo.actors import archiver, tenant, turns
from raydo.actors.analytics import Analytics
from raydo.actors.lake import Lake, namespace_of
from raydo.actors.lake_runs import weekly_at
from raydo.actors.settings import Settings
from raydo.actors.world import World
from raydo.gateway.command import main
from raydo.pipelining.noun import Noun

DAY_S = 86_400
NOUN = Noun("Analytics", "acme")


@pytest.fixture
def world(tmp_path: Path) -> Any:
    with World(tmp_path) as world:
        yield world


def fill(world: World, count: int, *, days_ago: int, name: str = "E") -> None:
    at_ms = world.now_ms - days_ago * DAY_S * 1000
    items = [
        f'{{"event":"{name}","userId":"u{n % 7}","messageId":"{name}-{n}","timestamp":{at_ms + n}}}'
        for n in range(count)
    ]
    stub = world.stub(Analytics, "acme")
    assert world.wait(stub.ingest([item.encode() for item in items]))["accepted"] == count


def settled(world: World) -> list[Any]:
    """Wait until the runs planned so far are done."""
    deadline = time.monotonic() + 60
    stub = world.stub(Analytics, "acme")
    while True:
        runs = world.wait(stub.archive_runs())
        if all(run["state"] == "deleted" for run in runs):
            return runs
        assert time.monotonic() < deadline
        time.sleep(0.05)  # other threads work


def archived(world: World) -> list[tuple[int, str]]:
    """Read the archive as any engine would."""
    from raydo.actors.lake_table import opened

    lake = Lake(tenant.folder(world.data, NOUN), namespace_of(NOUN))
    with opened(lake) as table:
        assert table is not None
        rows = table.scan().to_arrow().to_pylist()
    return sorted((row["seq"], row["event"]) for row in rows)


def here(world: World) -> list[str]:
    reply = world.wait(world.stub(Analytics, "acme").query("SELECT event FROM raw_events"))
    return [row["event"] for row in reply["rows"]]


def test_what_is_older_moves_into_the_archive_and_the_rest_stays(world: World) -> None:
    fill(world, 20, days_ago=30, name="Old")
    fill(world, 5, days_ago=1, name="New")
    stub = world.stub(Analytics, "acme")
    planned = world.wait(stub.archive(7 * DAY_S))
    assert planned is not None

    [run] = settled(world)

    assert (run["rows"], run["state"]) == (20, "deleted")
    assert here(world) == ["New"] * 5
    assert archived(world) == [(n, "Old") for n in range(1, 21)]
    assert world.wait(stub.archive(7 * DAY_S)) is None
    days = world.wait(stub.dau(60))
    assert sum(day["events"] for day in days) == 25  # the rollups still have them all
    assert world.wait(stub.ingest([b'{"event":"Old","messageId":"Old-3"}']))["duplicates"] == 1


def test_late_events_of_archived_days_go_with_the_next_run(world: World) -> None:
    stub = world.stub(Analytics, "acme")
    for name in ("First", "Late"):
        fill(world, 5, days_ago=30, name=name)
        world.wait(stub.archive(7 * DAY_S))
        settled(world)
    assert [event for _, event in archived(world)] == ["First"] * 5 + ["Late"] * 5
    assert here(world) == []


def test_a_run_that_a_crash_cut_off_is_done_by_the_next_activation(world: World) -> None:
    fill(world, 20, days_ago=30)
    stub = world.stub(Analytics, "acme")
    world.wait(stub.archive(7 * DAY_S))
    world.crash()

    [run] = settled(world)

    assert run["rows"] == 20
    assert len(archived(world)) == 20


def test_the_weekly_timer_archives_what_is_worth_a_run(world: World) -> None:
    fill(world, 1_500, days_ago=20)
    world.advance(days=8)
    [run] = settled(world)
    assert run["rows"] == 1_500
    world.advance(days=8)
    assert len(settled(world)) == 1  # there was nothing more


async def test_over_http_a_run_is_waited_for_and_says_what_it_did(
    gateway: httpx.AsyncClient,
) -> None:
    for n in range(5):
        await gateway.post(
            "/track",
            json={"event": "Old", "messageId": f"m{n}", "timestamp": "2024-01-02T03:04:05Z"},
        )
    reply = (await gateway.post("/admin/archive", json={"older_than_s": 3600})).json()
    assert (reply["rows"], reply["state"]) == (5, "deleted")
    assert reply["snapshot_id"]
    again = (await gateway.post("/admin/archive", json={})).json()
    assert again["run"] is None
    assert (await gateway.post("/admin/archive", json={"older_than_s": -1})).status_code == 400


def test_the_command_archives_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with World(tmp_path) as world:
        fill(world, 5, days_ago=30)
    for expected in ("5 events archived", "nothing to archive"):
        with pytest.raises(SystemExit) as ended:
            main(["archive", "--tenant", "acme", "--data", str(tmp_path), "--older-than", "60"])
        assert ended.value.code == 0
        assert expected in capsys.readouterr().out


@pytest.mark.slow
def test_more_rows_than_may_stay_are_archived_before_their_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Analytics, "archived_above", 100)
    for part in range(4):
        fill(world, 60, days_ago=1, name=f"Part{part}")
        world._in_loop(world.residents.drain())
    runs = settled(world)

    assert runs
    assert len(here(world)) < 200
    reply = world.wait(world.stub(Analytics, "acme").query("SELECT count(*) AS n FROM events"))
    assert reply["rows"] == [{"n": 240}]


def test_a_window_of_ones_own_decides_what_is_old(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, archive_age_s=2 * DAY_S)
    with World(tmp_path, settings=settings) as world:
        fill(world, 5, days_ago=4, name="Old")
        fill(world, 5, days_ago=1, name="New")
        world.wait(world.stub(Analytics, "acme").archive())
        assert [run["rows"] for run in settled(world)] == [5]
        assert here(world) == ["New"] * 5


def test_the_tenants_of_a_machine_are_not_all_due_at_once() -> None:
    times = Counter(weekly_at(f"tenant-{n}") for n in range(10_000))
    assert min(times) == "04:00"
    assert len(times) == 16
    assert max(times.values()) < 2 * min(times.values())


def test_a_week_without_a_run_still_tidies_the_archive_until_nothing_is_left_to_tidy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(world, 1_500, days_ago=20)
    world.advance(days=8)
    settled(world)
    jobs: list[archiver.Job] = []
    monkeypatch.setattr(turns, "run_job", jobs.append)
    for _ in range(12):
        fill(world, 1, days_ago=0, name=f"At{world.now_ms}")  # never worth a run
        world.advance(days=7)
        world.wait(world.stub(Analytics, "acme").archive_runs())

    assert jobs
    assert all(job.run is None and job.settled_run == 1 for job in jobs)
    assert len(jobs) < 10  # the last snapshots went after a month and a half
