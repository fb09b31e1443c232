"""What an export has, an import brings back, and every answer is the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_archive import settled
from test_audit import main_ok

from raydo.actors import export as module
from raydo.actors.analytics import Analytics
from raydo.actors.world import World
from raydo.gateway import exporting
from raydo.gateway.parquet import SCHEMA, Parquet
from raydo.gateway.source import Source
from raydo.pipelining.errors import InvalidArgument

DAY_MS = 86_400_000
COLUMNS = "id, event, user_id, person_id, anonymous_id, timestamp, received_at, properties, context, flags & 3"


def events(now_ms: int) -> list[dict[str, Any]]:
    """Make events of all sorts: late, anonymous, known by both ids, bots, clamped, without a user."""
    made: list[dict[str, Any]] = [
        {
            "event": ("PageView", "Signup", "Näme \u2028 ✓")[n % 3],
            "userId": f"u{n % 5}",
            "messageId": f"m{n}",
            "timestamp": now_ms - n * DAY_MS // 4,
            "receivedAt": now_ms - (40 - n) * 1_000,
            "properties": {"n": n, "half": n / 2, "deep": {"list": [n, None, "x"]}},
        }
        for n in range(40)
    ]
    made += [
        {"event": "Seen", "anonymousId": "a1", "messageId": "anon", "timestamp": now_ms - DAY_MS},
        {"event": "$identify", "userId": "u1", "anonymousId": "a1", "messageId": "both"},
        {"event": "Bot", "userId": "b", "messageId": "bot", "context": {"bot": True, "ip": "::1"}},
        {"event": "Future", "messageId": "clamped", "timestamp": now_ms + 3 * DAY_MS},
        {"event": "Inside", "messageId": "in", "properties": {"userId": "u9", "is_bot": 1}},
        {"event": "Odd", "messageId": "odd", "userId": "a2", "anonymousId": "a2"},
        {
            "event": "Odder",
            "messageId": "odder",
            "userId": "a3",
            "anonymousId": "a3",
            "properties": {"userId": "other"},
        },
        {"event": "Large", "messageId": "large", "properties": {"text": "é" * 16_300}},
    ]
    return made


def fill(world: World, tenant: str = "acme") -> Any:
    stub = world.stub(Analytics, tenant)
    items = [json.dumps(each, ensure_ascii=False).encode() for each in events(world.now_ms)]
    done = world.wait(stub.ingest(items, historical=True))
    assert done["accepted"] == len(items), done["rejected"]
    return stub


def answers(world: World, stub: Any) -> dict[str, Any]:
    """Ask everything that there is to ask."""
    return {
        "rows": world.wait(stub.query(f"SELECT {COLUMNS} FROM events ORDER BY received_at, id"))[
            "rows"
        ],
        "days": {tz: world.wait(stub.dau(30, tz)) for tz in ("UTC", "Asia/Kolkata")},
        "retention": world.wait(stub.retention("day")),
        "hours": world.wait(stub.query("SELECT * FROM hourly_events ORDER BY 1, 2"))["rows"],
    }


def exported(world: World, stub: Any, made: exporting.Format) -> bytes:
    async def write() -> bytes:
        plan = await stub.export_plan()
        return b"".join([piece async for piece in exporting.written(stub, plan, made)])

    return world._in_loop(write())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ndjson", "parquet"])
def test_an_import_of_an_export_gives_the_same_answers(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(module, "EXPORT_STRETCH_SEQS", 20)
    stub = fill(world)
    world.wait(stub.archive(3 * DAY_MS / 1_000))
    [run] = settled(world)
    assert run["rows"] > 20

    path = tmp_path / "file"
    path.write_bytes(exported(world, stub, exporting.format_of(name)))
    with Source(path, tenant="globex") as source:
        items = [line.raw for line in source.lines()]
    again = world.stub(Analytics, "globex")
    done = world.wait(again.ingest(items, historical=True))

    assert (done["accepted"], done["rejected"]) == (len(events(0)), [])
    assert answers(world, again) == answers(world, stub)


@pytest.mark.slow
def test_an_export_ends_where_the_tenant_was_when_it_began(world: World) -> None:
    stub = fill(world)
    plan = world.wait(stub.export_plan())
    world.wait(stub.track("Later"))
    world.wait(stub.archive(DAY_MS / 1_000))
    settled(world)

    async def read() -> list[str]:
        return [row["id"] async for rows in exporting.stretches(stub, plan) for row in rows]

    assert world._in_loop(read()) == [each["messageId"] for each in events(0)]  # by receipt
    assert plan["events"] == len(events(0))


def test_days_are_those_of_the_zone_that_is_given(world: World) -> None:
    stub = world.stub(Analytics, "acme")
    at_ms = 1_767_222_000_000  # 23:00 UTC of 2025-12-31
    world.wait(stub.ingest([f'{{"event":"Edge","timestamp":{at_ms}}}'.encode()]))
    for tz, count in (("UTC", 0), ("Europe/Berlin", 1)):
        assert world.wait(stub.export_plan("2026-01-01", "2026-01-01", tz))["events"] == count
    assert [row["action"] for row in world.wait(stub.audit.list())] == ["export"] * 2
    with pytest.raises(InvalidArgument):
        world.wait(stub.export_stretch(0, {"cut_seq": "x"}))


async def test_over_http_it_streams_and_says_how_much_comes(
    gateway: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXPORT_STRETCH_SEQS", 2)
    batch = [{"event": "A", "userId": f"u{n}", "messageId": f"m{n}"} for n in range(5)]
    await gateway.post("/track/batch?tenant=acme", json=batch)

    reply = await gateway.get("/admin/export?tenant=acme")
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert [line["messageId"] for line in lines] == [f"m{n}" for n in range(5)]
    assert reply.headers["x-raydo-events"] == "5"
    assert reply.headers["content-type"] == "application/x-ndjson"

    reply = await gateway.get("/admin/export?tenant=acme&format=parquet")
    table = pq.read_table(pa.BufferReader(reply.content))
    assert table.schema.names == SCHEMA.names
    assert table.column("id").to_pylist() == [f"m{n}" for n in range(5)]
    assert (await gateway.get("/admin/export?tenant=nobody")).text == ""
    for wrong in ("format=xml", "from=yesterday", "tz=Mars/Base"):
        assert (await gateway.get(f"/admin/export?tenant=acme&{wrong}")).status_code == 400


@pytest.mark.parametrize("name", ["events.ndjson", "events.parquet"])
def test_by_command_it_goes_out_and_comes_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    source = tmp_path / "in.ndjson"
    source.write_text('{"event":"A","messageId":"m1"}\n{"event":"B","messageId":"m2"}\n')
    for arguments in (
        ["import", str(source), "-t", "acme", "--data", str(tmp_path / "one")],
        ["export", str(path), "-t", "acme", "--data", str(tmp_path / "one")],
        ["import", str(path), "-t", "acme", "--data", str(tmp_path / "two")],
        ["export", f"{path}2", "-t", "acme", "--data", str(tmp_path / "two")],
    ):
        main_ok(arguments)
    with Source(path, tenant="t") as first, Source(Path(f"{path}2"), tenant="t") as second:
        assert [line.raw for line in first.lines()] == [line.raw for line in second.lines()]
    assert not list(tmp_path.glob("*.part"))


def test_a_parquet_file_of_other_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"x": [1]}), path)
    with Source(path, tenant="t") as source, pytest.raises(InvalidArgument, match="lacks seq"):
        list(source.lines())
    with (
        Source(path, tenant_column="t") as source,
        pytest.raises(InvalidArgument, match="--tenant"),
    ):
        list(source.lines())


def test_an_export_without_events_is_a_file_all_the_same() -> None:
    assert pq.read_table(pa.BufferReader(Parquet().end())).num_rows == 0


def test_to_export_what_never_was_makes_no_tenant(tmp_path: Path) -> None:
    with World(tmp_path / "data") as world:
        plan = world.wait(world.stub(Analytics, "nobody").export_plan())
        assert plan["events"] == 0
    assert not list((tmp_path / "data").glob("Analytics/*"))
