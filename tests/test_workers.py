from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.archive import DAY_MS, START_MS, Tenant, hourly

from raydo.actors import workers
from raydo.actors.question import Question
from raydo.actors.workers import Workers
from raydo.pipelining.errors import Overloaded, QueryError, QueryLimit, Unavailable
from raydo.pipelining.limits import QUERY_NICENESS

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
# The engine of the archive hears of an interrupt only between pieces of work; here there are none.
DEAF = (
    "SELECT count(*) FROM events a, events b, events c, events d, events e, events f"
    " WHERE a.seq + b.seq + c.seq + d.seq + e.seq + f.seq = -1"
)
MakePool = Callable[..., Workers]


@dataclass(frozen=True, slots=True)
class Brief(Question):
    """A question that may take only this long."""

    most: float = 0.5

    @property
    def seconds(self) -> float:
        return self.most


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    tenant = Tenant(tmp_path_factory.mktemp("data") / "acme")
    tenant.write(hourly(100))
    tenant.archive(START_MS + 2 * DAY_MS)
    yield tenant
    tenant.close()


@pytest_asyncio.fixture
async def make_pool(tenant: Tenant) -> AsyncIterator[MakePool]:
    pools: list[Workers] = []

    def make(*args: Any, **more: Any) -> Workers:
        pools.append(Workers(tenant.folder.parent, *args, **more))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()
        assert pool.stats()["idle"] == pool.stats()["busy"] == 0


def brief(question: Question, most: float = 0.5) -> Brief:
    return Brief(**{name: getattr(question, name) for name in Question.__slots__}, most=most)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not what():  # noqa: ASYNC110 - other processes have no events
            await asyncio.sleep(0.01)


@pytest.mark.loops
async def test_questions_are_answered_by_processes_that_stay(
    tenant: Tenant, make_pool: MakePool
) -> None:
    pool = make_pool(2)

    reply = await pool.run(tenant.question("SELECT count(*) AS n FROM daily_metrics"))
    assert reply["rows"] == [{"n": 5}]
    assert reply["layers"] == ["L2"]
    everything = await pool.run(tenant.question("SELECT count(*) AS n FROM events"))
    assert everything["rows"] == [{"n": 100}]
    assert everything["layers"] == ["L2", "L3"]
    assert everything["read"]["files"] == 2

    stats = pool.stats()
    assert (stats["asked"], stats["started"], stats["idle"]) == (2, 1, 1)


async def test_an_error_is_the_callers_and_the_process_stays(
    tenant: Tenant, make_pool: MakePool
) -> None:
    pool = make_pool(1)
    for sql in ("SELECT dat FROM events", "SELECT dat FROM daily_metrics"):
        with pytest.raises(QueryError, match="no such column: dat") as raised:
            await pool.run(tenant.question(sql))
        assert raised.value.detail["near"][0] == "date"
        assert raised.value.detail["position"] == 7
    assert (await pool.run(tenant.question("SELECT 1 AS one")))["rows"] == [{"one": 1}]
    assert pool.stats()["started"] == 1


@pytest.mark.slow
async def test_as_many_questions_run_at_once_as_there_are_processes(
    tenant: Tenant, make_pool: MakePool
) -> None:
    pool = make_pool(3)
    # A tenant has all processes but one.
    tasks = [asyncio.create_task(pool.run(tenant.question(ENDLESS))) for _ in range(3)]
    await until(lambda: pool.stats()["asked"] == 2)
    assert pool.stats()["waiting"] == 1
    other = replace(
        tenant.question("SELECT 1 AS one"), path=tenant.path.parent / ".." / "acme" / "tenant.db"
    )
    assert (await pool.run(other))["rows"] == [{"one": 1}]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(lambda: pool.stats()["busy"] == 0)


async def test_one_process_is_left_to_what_needs_no_archive(
    tenant: Tenant, make_pool: MakePool
) -> None:
    pool = make_pool(2)
    heavy = asyncio.create_task(pool.run(tenant.question(DEAF)))
    await until(lambda: pool.stats()["asked"] == 1)
    another = replace(tenant.question("SELECT count(*) AS n FROM events"), path=Path("/elsewhere"))
    waiting = asyncio.create_task(pool.run(another))
    await until(lambda: pool.stats()["waiting"] == 1)

    light = replace(
        tenant.question("SELECT 1 AS one"), path=tenant.path.parent / "x" / ".." / "tenant.db"
    )
    (tenant.path.parent / "x").mkdir(exist_ok=True)
    assert (await pool.run(light))["rows"] == [{"one": 1}]

    for task in (heavy, waiting):
        task.cancel()
    await asyncio.gather(heavy, waiting, return_exceptions=True)


@pytest.mark.slow
@pytest.mark.parametrize("sql", [ENDLESS, f"SELECT ({ENDLESS}) FROM events", DEAF])
async def test_a_query_is_ended_within_a_second_of_its_deadline(
    tenant: Tenant, make_pool: MakePool, sql: str
) -> None:
    pool = make_pool(1)
    await pool.run(tenant.question("SELECT count(*) FROM events"))

    began = time.monotonic()
    with pytest.raises(QueryLimit, match=r"more than 0\.5 s") as raised:
        await pool.run(brief(tenant.question(sql)))

    assert time.monotonic() - began < 1.5
    assert raised.value.detail == {"limit": "time", "max": 0.5}
    assert (await pool.run(tenant.question("SELECT 1 AS one")))["rows"] == [{"one": 1}]


@pytest.mark.slow
async def test_a_process_that_does_not_hear_is_killed_and_replaced(
    tenant: Tenant, make_pool: MakePool
) -> None:
    pool = make_pool(1)
    await pool.run(tenant.question("SELECT 1"))
    [worker] = pool._workers
    os.kill(worker.pid, signal.SIGSTOP)

    began = time.monotonic()
    with pytest.raises(QueryLimit, match=r"more than 0\.5 s"):
        await pool.run(brief(tenant.question("SELECT 1")))
    assert time.monotonic() - began < 1.5

    assert not Path(f"/proc/{worker.pid}").exists()
    assert (await pool.run(tenant.question("SELECT 1 AS one")))["rows"] == [{"one": 1}]
    assert (pool.stats()["ended"], pool.stats()["started"]) == (1, 2)


@pytest.mark.slow
async def test_a_process_that_is_gone_when_it_is_needed_is_replaced(
    tenant: Tenant, make_pool: MakePool
) -> None:
    pool = make_pool(1)
    await pool.run(tenant.question("SELECT 1"))
    [worker] = pool._workers
    os.kill(worker.pid, signal.SIGKILL)
    await until(lambda: worker.gone)

    assert (await pool.run(tenant.question("SELECT 1 AS one")))["rows"] == [{"one": 1}]
    assert pool.stats()["started"] == 2


@pytest.mark.slow
async def test_a_process_is_replaced_before_it_grows_old(
    tenant: Tenant, make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "QUERY_ANSWERS_MAX", 2)
    pool = make_pool(1)
    for _ in range(5):
        await pool.run(tenant.question("SELECT 1"))
    assert pool.stats()["started"] == 3
    await until(lambda: pool.stats()["ended"] == 2)


@pytest.mark.slow
async def test_a_process_that_ends_over_a_question_is_named(
    tenant: Tenant, make_pool: MakePool
) -> None:
    pool = make_pool(1)
    await pool.run(tenant.question("SELECT 1"))
    [worker] = pool._workers
    task = asyncio.create_task(pool.run(tenant.question(ENDLESS)))
    await until(lambda: pool.stats()["busy"] == 1)
    os.kill(worker.pid, signal.SIGSEGV)

    with pytest.raises(QueryLimit, match="SIGSEGV") as raised:
        await task
    assert raised.value.detail["limit"] == "memory"
    assert (await pool.run(tenant.question("SELECT 1 AS one")))["rows"] == [{"one": 1}]


MANY = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000)"
GREEDY = [
    f"SELECT count(*) FROM ({MANY} SELECT DISTINCT hex(zeroblob(1500000)) || i FROM n)",
    "SELECT string_agg(a.properties || b.properties, '') OVER (ORDER BY a.seq) FROM events a, events b",
    "SELECT printf('%900000000d', seq) FROM events",
]


@pytest.mark.slow
@pytest.mark.parametrize("sql", GREEDY, ids=["SQLite", "many", "one"])
async def test_a_query_that_needs_too_much_memory_ends(
    tenant: Tenant, make_pool: MakePool, sql: str
) -> None:
    pool = make_pool(1)
    with pytest.raises(QueryLimit) as raised:
        await pool.run(tenant.question(sql))
    assert raised.value.detail["limit"] in ("memory", "size")
    assert (await pool.run(tenant.question("SELECT 1 AS one")))["rows"] == [{"one": 1}]


async def test_a_caller_that_goes_away_ends_its_query(tenant: Tenant, make_pool: MakePool) -> None:
    pool = make_pool(1)
    await pool.run(tenant.question("SELECT count(*) FROM events"))
    for sql in (ENDLESS, DEAF):
        task = asyncio.create_task(pool.run(tenant.question(sql)))
        await until(lambda: pool.stats()["busy"] == 1)
        await asyncio.sleep(0.1)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert pool.stats()["busy"] == 1  # its process is still at it, and nobody else's
        await until(lambda: pool.stats()["busy"] == 0)

    assert pool.stats()["cancelled"] == 2
    assert (await pool.run(tenant.question("SELECT 1 AS one")))["rows"] == [{"one": 1}]


@pytest.mark.slow
async def test_a_caller_that_goes_away_while_its_process_starts_leaves_none_behind(
    tenant: Tenant, make_pool: MakePool
) -> None:
    pool = make_pool(1)
    for delay in (0, 0.001, 0.05):
        task = asyncio.create_task(pool.run(tenant.question("SELECT 1")))
        await asyncio.sleep(delay)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await until(lambda: pool.stats()["busy"] == 0)
    assert (await pool.run(tenant.question("SELECT 1 AS one")))["rows"] == [{"one": 1}]


async def test_too_many_that_wait_are_refused_and_counted(
    tenant: Tenant, make_pool: MakePool
) -> None:
    pool = make_pool(1, waiting_max=2)
    others = [replace(tenant.question(ENDLESS), path=Path(f"/{n}")) for n in range(3)]
    tasks = [asyncio.create_task(pool.run(tenant.question(ENDLESS)))]
    await until(lambda: pool.stats()["asked"] == 1)
    tasks += [asyncio.create_task(pool.run(other)) for other in others[:2]]
    await until(lambda: pool.stats()["waiting"] == 2)

    with pytest.raises(Overloaded, match="2 queries wait already") as raised:
        await pool.run(others[2])

    assert raised.value.retry_after_s
    assert pool.stats()["refused"] == 1
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert pool.stats()["waiting"] == 0


@pytest.mark.slow
async def test_one_tenant_cannot_fill_the_queue(tenant: Tenant, make_pool: MakePool) -> None:
    pool = make_pool(1, waiting_max=4)
    tasks = [asyncio.create_task(pool.run(tenant.question(ENDLESS))) for _ in range(3)]
    await until(lambda: pool.stats()["waiting"] == 2)
    with pytest.raises(Overloaded):
        await pool.run(tenant.question("SELECT 1"))
    other = asyncio.create_task(pool.run(replace(tenant.question(ENDLESS), path=Path("/other"))))
    await until(lambda: pool.stats()["waiting"] == 3)
    for task in (*tasks, other):
        task.cancel()
    await asyncio.gather(*tasks, other, return_exceptions=True)


async def test_waiting_has_an_end(tenant: Tenant, make_pool: MakePool) -> None:
    pool = make_pool(1, wait_s_max=0.2)
    first = asyncio.create_task(pool.run(tenant.question(ENDLESS)))
    await until(lambda: pool.stats()["asked"] == 1)
    with pytest.raises(Overloaded, match=r"waited for 0\.2 s"):
        await pool.run(tenant.question("SELECT 1"))
    assert pool.stats()["waiting"] == 0
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_closing_ends_what_runs_and_what_waits(tenant: Tenant, make_pool: MakePool) -> None:
    pool = make_pool(1)
    tasks = [asyncio.create_task(pool.run(tenant.question(ENDLESS))) for _ in range(2)]
    await until(lambda: (pool.stats()["asked"], pool.stats()["waiting"]) == (1, 1))
    await until(lambda: bool(pool._workers))
    [worker] = pool._workers

    await pool.close()

    for task in tasks:
        with pytest.raises(Unavailable, match="going down"):
            await task
    assert not Path(f"/proc/{worker.pid}").exists()
    with pytest.raises(Unavailable):
        await pool.run(tenant.question("SELECT 1"))


async def test_a_process_ends_with_whoever_started_it(tenant: Tenant, make_pool: MakePool) -> None:
    pool = make_pool(1)
    task = asyncio.create_task(pool.run(tenant.question(ENDLESS)))
    await until(lambda: bool(pool._workers))
    [worker] = pool._workers
    await asyncio.sleep(0.1)

    worker._writer.transport.abort()  # as the end of this process would

    with suppress(QueryLimit, Unavailable):
        await task
    await until(lambda: not Path(f"/proc/{worker.pid}").exists())


@pytest.mark.slow
async def test_a_large_answer_arrives_whole(tenant: Tenant, make_pool: MakePool) -> None:
    pool = make_pool(1)
    many = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000)"
        " SELECT i, hex(zeroblob(100)) AS x FROM n"
    )
    reply = await pool.run(tenant.question(many))
    assert len(reply["rows"]) == 10_000
    assert reply["truncated"]


async def test_a_process_that_nobody_asks_any_more_ends(
    tenant: Tenant, make_pool: MakePool
) -> None:
    pool = make_pool(1, idle_s=0.1)
    assert (await pool.run(tenant.question("SELECT 1 AS n")))["rows"] == [{"n": 1}]
    await until(lambda: pool.stats()["idle"] == 0)
    assert (await pool.run(tenant.question("SELECT 2 AS n")))["rows"] == [{"n": 2}]
    assert pool.stats()["started"] == 2


async def test_a_process_yields_to_the_sessions_of_others_too(
    tenant: Tenant, make_pool: MakePool
) -> None:
    pool = make_pool(1)
    await pool.run(tenant.question("SELECT 1 AS n"))
    [worker] = pool._workers
    group = Path(f"/proc/{worker.pid}/autogroup")
    if not group.exists():
        pytest.skip("this kernel has no groups by session")
    assert group.read_text().endswith(f"nice {QUERY_NICENESS}\n")
