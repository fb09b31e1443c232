from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from raydo.gateway.asking import ask, list_tenants
from raydo.gateway.backend import Backend
from raydo.gateway.importer import Importer, Tally
from raydo.gateway.loading import load_demo, load_file
from raydo.gateway.source import UNKNOWN_TENANT, Line, Source
from raydo.gateway.target import Target
from raydo.pipelining.errors import InvalidArgument, InvalidTenant
from raydo.pipelining.limits import IMPORT_BATCH_EVENTS, IMPORT_REASONS_MAX

REAL = Path(__file__).parents[2] / "shared" / "data" / "git_events_20tenants.csv.gz"


def _lines(tenant: str, count: int, prefix: str = "m") -> Iterator[Line]:
    for number in range(1, count + 1):
        event = {"event": "a", "messageId": f"{prefix}{number}", "userId": f"u{number % 7}"}
        yield Line(number, tenant, json.dumps(event).encode())


async def _count(target: Target, tenant: str) -> int:
    reply = await ask(target, tenant, "SELECT count(*) AS n FROM raw_events", None)
    count: int = reply["rows"][0]["n"]
    return count


async def test_an_import_run_twice_counts_once(backend: Backend) -> None:
    count = IMPORT_BATCH_EVENTS + 1
    first = await Importer(backend.check()).run(_lines("acme", count))
    again = await Importer(backend.check()).run(_lines("acme", count))

    assert first.tenants == {"acme": Tally(accepted=count)}
    assert again.tenants == {"acme": Tally(duplicates=count)}


async def test_tenants_that_alternate_are_kept_apart(backend: Backend) -> None:
    def alternating() -> Iterator[Line]:
        for one, other in zip(_lines("a/b", 50), _lines("日本", 50), strict=True):
            yield one
            yield other

    report = await Importer(backend.check()).run(alternating())
    assert report.tenants == {"a/b": Tally(accepted=50), "日本": Tally(accepted=50)}
    assert report.total() == Tally(accepted=100)


async def test_rejected_lines_are_counted_and_the_first_explained(backend: Backend) -> None:
    def lines() -> Iterator[Line]:
        yield Line(2, "t", b'{"event":"a"}')
        yield Line(3, UNKNOWN_TENANT, b"", "3 columns where the header has 2")
        for number in range(4, 30):
            yield Line(number, "t", b'{"event":""}')

    report = await Importer(backend.check()).run(lines())

    assert report.tenants["t"] == Tally(accepted=1, rejected=26)
    assert report.tenants[UNKNOWN_TENANT] == Tally(rejected=1)
    assert [reason.line for reason in report.reasons] == list(range(3, 3 + IMPORT_REASONS_MAX))
    assert "columns" in report.reasons[0].error
    assert "$.event" in report.reasons[1].error


async def test_progress_tells_every_event_that_is_in(backend: Backend) -> None:
    seen: list[int] = []
    await Importer(backend.check(), seen.append).run(_lines("t", IMPORT_BATCH_EVENTS + 5))
    assert sum(seen) == IMPORT_BATCH_EVENTS + 5


async def test_a_refused_call_ends_the_import_with_its_own_error(backend: Backend) -> None:
    with pytest.raises(InvalidTenant):
        await Importer(backend.check()).run(_lines("x" * 300, 10))


async def test_a_file_goes_straight_into_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "events.csv.gz"
    rows = ["org,event,user_id,timestamp,received_at,message_id,kind"]
    rows += [
        f"acme/{n % 2},commit,u{n},2020-01-02T03:04:05Z,2020-01-02T03:04:06Z,m{n},k"
        for n in range(10)
    ]
    path.write_bytes(gzip.compress("\n".join(rows).encode()))
    target = Target(data=tmp_path / "data")

    report = await load_file(Source(path, tenant_column="org"), target)

    assert report.tenants == {"acme/0": Tally(accepted=5), "acme/1": Tally(accepted=5)}
    assert [one["tenant"] for one in list_tenants(target)] == ["acme/0", "acme/1"]
    reply = await ask(target, "acme/1", "SELECT received_at - timestamp AS late FROM events", None)
    assert reply["rows"] == [{"late": 1000}] * 5


@pytest.mark.slow
async def test_the_demo_goes_in_once_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from raydo.gateway import demo

    monkeypatch.setattr(
        demo, "SHOPS", tuple(shop for shop in demo.SHOPS if shop.id in {"pulse", "acme"})
    )
    target = Target(data=tmp_path / "data")

    first = await load_demo(target)
    again = await load_demo(target)

    assert first.total().rejected == again.total().rejected == 0
    assert first.total().accepted > 5_000
    assert again.total().accepted <= 20  # the live half hour went on between the two
    assert 0 <= first.total().accepted - again.total().duplicates <= 20
    sql = "SELECT max(received_at) - max(timestamp) AS late FROM events"
    assert (await ask(target, "pulse", sql, None))["rows"] == [{"late": 0}]


async def test_another_days_demo_is_not_counted_on_top(tmp_path: Path) -> None:
    target = Target(data=tmp_path / "data")
    line = Line(1, "pulse", b'{"event":"a","messageId":"demo-20200101-1"}')
    async with target.connect() as connection:
        await Importer(connection).run([line])
    with pytest.raises(InvalidArgument, match="another day"):
        await load_demo(target)


@pytest.mark.skipif(not REAL.exists(), reason=f"the shared data set is not at {REAL}")
@pytest.mark.slow
async def test_the_real_events_arrive_whole_tenant_by_tenant(tmp_path: Path) -> None:
    with gzip.open(REAL, "rt", newline="") as text:
        rows = list(csv.DictReader(text))
    distinct = {(row["tenant"], row["message_id"]) for row in rows}
    expected = Counter(tenant for tenant, _ in distinct)
    target = Target(data=tmp_path / "data")

    first = await load_file(Source(REAL, tenant_column="tenant"), target)
    again = await load_file(Source(REAL, tenant_column="tenant"), target)

    assert len(expected) == 20
    assert {tenant: tally.accepted for tenant, tally in first.tenants.items()} == expected
    assert first.total().rejected == 0
    assert again.total() == Tally(duplicates=len(rows))
    for tenant in ("elixir-lang/elixir", "mixpanel/mixpanel-python"):
        assert await _count(target, tenant) == expected[tenant]
