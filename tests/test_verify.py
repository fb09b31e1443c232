"""`raydo verify` finds what differs from the events, and nothing where all is well."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from raydo.actors import tenant
from raydo.actors.analytics import Analytics
from raydo.actors.verification import Verified, verify
from raydo.actors.world import World
from raydo.gateway.command import main
from raydo.pipelining.noun import Noun

ACME = Noun("Analytics", "acme")


def filled(world: World, *, archived: bool = False) -> None:
    acme = world.stub(Analytics, "acme")
    day_ms = 86_400_000
    items: list[dict[str, Any]] = [
        {
            "event": f"E{n % 3}",
            "userId": f"u{n % 11}",
            "messageId": f"m{n}",
            "timestamp": world.now_ms - n % 5 * day_ms,
            "context": {"bot": n % 7 == 0},
        }
        for n in range(100)
    ]
    items.append({"event": "E0", "userId": "u1", "anonymousId": "a1", "messageId": "link"})
    items.append({"event": "E1", "anonymousId": "a1", "messageId": "linked"})
    world.wait(acme.ingest([json.dumps(item).encode() for item in items]))
    if archived:
        world.wait(acme.archive(2 * 86_400))
        deadline = time.monotonic() + 60
        while any(run["state"] != "deleted" for run in world.wait(acme.archive_runs())):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        world.wait(acme.track("E9", {"userId": "late"}, timestamp=world.now_ms - 4 * day_ms))
    world._in_loop(world.residents.drain_now())


def verified(world: World, staging: Path) -> Verified:
    staging.mkdir(exist_ok=True)
    return verify(world.data, ACME, staging, world.now_ms)


@pytest.mark.parametrize("archived", [False, True])
def test_nothing_differs_in_a_tenant_that_lives(archived: bool, tmp_path: Path) -> None:
    with World(tmp_path / "data") as world:
        filled(world, archived=archived)
        done = verified(world, tmp_path / "staging")
    assert done.drifts == []
    assert done.events == 102 + archived
    assert (done.archived > 0) is archived


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("UPDATE _raydo_buckets SET events = events + 1", "events"),
        ("UPDATE _raydo_counts SET events = 1", "events by name"),
        ("DELETE FROM _raydo_user_sets", "persons"),
        ("DELETE FROM raw_events WHERE seq = 7", "counters"),
        ("UPDATE raw_events SET flags = 0", "bots"),
    ],
)
def test_what_was_tampered_with_is_named(change: str, what: str, tmp_path: Path) -> None:
    with World(tmp_path / "data") as world:
        filled(world)
    with closing(sqlite3.connect(tenant.folder(tmp_path / "data", ACME) / "tenant.db")) as raw:
        raw.execute(change)
        raw.commit()
    with World(tmp_path / "data") as world:
        done = verified(world, tmp_path / "staging")
    assert what in {drift.what for drift in done.drifts}
    assert done.count >= len(done.drifts) > 0


def test_the_command_reads_beside_a_server_and_its_code_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(tmp_path / "data")
    with World(tmp_path / "data") as world:
        filled(world)
        assert _run("verify", "--data", data) == 0
        assert "as they are" in capsys.readouterr().out
    with closing(sqlite3.connect(tenant.folder(tmp_path / "data", ACME) / "tenant.db")) as raw:
        raw.execute("UPDATE _raydo_buckets SET events = events + 1")
        raw.commit()
    assert _run("verify", "--data", data, "-t", "acme", "--json") == 1
    [told] = json.loads(capsys.readouterr().out)
    assert told["count"] > 0
    assert _run("verify", "--data", data, "-t", "nobody") == 2


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    code = caught.value.code
    assert isinstance(code, int)
    return code
