"""What was done to a tenant is told, by whom and when, and no row of it changes."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from raydo.actors import audit as module
from raydo.actors import tenant
from raydo.actors.analytics import Analytics
from raydo.actors.audit import shape
from raydo.gateway import verdicts
from raydo.gateway.command import main
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.frame import Entry, decode_envelope, encode_envelope, stamped
from raydo.pipelining.noun import Noun

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Keyed, Live, MakeLive

    from raydo.actors.world import World

QUERY = "SELECT count(*) AS n FROM raw_events WHERE user_id = 'alice'"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "KEY_REFUSAL_S", 0.0)


def asked(live: Live, sql: str = QUERY, by: str = "read:abc") -> None:
    from conftest import program

    live.n += 1
    live.apply(Entry(live.session, live.n, live.n - 1, program(("query", (sql,), {})), by))


def rows(live: Live) -> list[tuple[str, str]]:
    state = live.activation._wake()
    return [(row["by"], row["action"]) for row in state.call(lambda: state.audit.list(None, 100))]


def test_what_a_query_looked_for_is_not_in_its_shape() -> None:
    assert shape(QUERY) == "SELECT count(*) AS n FROM raw_events WHERE user_id = ?"
    for sql in (
        "SELECT 'it''s alice' , 42, 1.5e3 -- alice\n FROM events",
        'SELECT "alice" /* alice */ FROM events',
        "SELECT `alice`, [alice] FROM t2",
        "SELECT 'alice",
        "SELECT 0x42, .5 /* alice",
    ):
        assert "alice" not in shape(sql)
        assert not {"42", "1.5", ".5"} & set(shape(sql).replace(",", " ").split())
    assert shape("SELECT a1 FROM t2 WHERE b=2") == "SELECT a1 FROM t2 WHERE b=?"


def test_keys_and_settings_are_told_with_the_call_and_after_a_crash(world: World) -> None:
    acme = world.stub(Analytics, "acme")
    world.wait(acme.set_settings(zone="Europe/Berlin"))
    key = world.wait(acme.keys.add("0" * 64, "read", "the page"))
    world.crash()
    world.advance(seconds=5)
    world.wait(acme.keys.revoke(key["id"]))
    world.wait(acme.keys.revoke(key["id"]))

    revoked, made, settings = world.wait(acme.audit.list())

    assert [row["action"] for row in (revoked, made, settings)] == [
        "key_revoked",
        "key_made",
        "settings",
    ]
    assert settings["detail"] == {"zone": "Europe/Berlin"}
    assert made["detail"] == {"id": key["id"], "kind": "read", "name": "the page"}
    assert (made["by"], revoked["at_ms"] - made["at_ms"]) == ("local", 5_000)
    assert world.wait(acme.audit.list(made["n"])) == [settings]


def test_a_call_that_raises_leaves_no_row(world: World) -> None:
    acme = world.stub(Analytics, "acme")
    with pytest.raises(InvalidArgument):
        world.wait(acme.keys.add("0" * 64, "nothing"))  # type: ignore[arg-type]
    assert world.wait(acme.audit.list()) == []


def test_a_query_costs_no_sync_and_is_told_by_the_next_turn_that_writes(live: MakeLive) -> None:
    acme = live(Analytics)
    acme.call("track", "A", {"userId": "alice"})
    acme.activation.drain()
    syncs = acme.activation._disk.syncs  # type: ignore[attr-defined]
    asked(acme)
    assert acme.activation._disk.syncs == syncs  # type: ignore[attr-defined]
    assert not acme.activation.drained  # so whoever looks after it drains soon
    assert rows(acme) == [("read:abc", "query")]

    acme.call("track", "B")
    acme.crash()
    asked(acme, "SELECT 1")
    assert rows(acme) == [("read:abc", "query")] * 2
    acme.crash()  # the last one is lost: it had waited for nothing
    assert rows(acme) == [("read:abc", "query")]


@pytest.mark.parametrize("end", ["drain", "sleep"])
def test_a_query_is_told_before_the_object_rests(live: MakeLive, end: str) -> None:
    acme = live(Analytics)
    acme.call("track", "A")
    asked(acme)
    if end == "drain":
        acme.activation.drain()
        acme.crash()
    else:
        acme.sleep()
        acme.call("stats")
    assert rows(acme) == [("read:abc", "query")]


def test_a_query_by_nobody_in_particular_is_not_told_and_makes_no_tenant(live: MakeLive) -> None:
    acme = live(Analytics)
    asked(acme)
    acme.activation.drain()
    assert not acme.activation.born
    asked(acme, by="")
    acme.call("track", "A")
    assert rows(acme) == []  # what was asked of nobody is not kept for who comes after


def test_too_many_queries_are_no_longer_told_but_deeds_are(
    live: MakeLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AUDIT_ROWS_MAX", 3)
    monkeypatch.setattr(module, "AUDIT_REMARKS_MAX", 2)
    acme = live(Analytics)
    acme.call("track", "A")
    for n in range(6):
        asked(acme, f"SELECT {'x' * n} FROM raw_events")
        asked(acme, f"SELECT user_id, {n} FROM raw_events LIMIT {n}")
    acme.call("set_settings", week_start="sunday")
    acme.crash()

    assert rows(acme) == [
        ("local", "settings"),
        ("read:abc", module.FULL),
        *[("read:abc", "query")] * 3,
    ]


def test_no_row_can_be_changed_or_taken_away(world: World) -> None:
    acme = world.stub(Analytics, "acme")
    world.wait(acme.set_settings(week_start="sunday"))
    world.wait(acme.audit.list())
    path = tenant.folder(world.data, Noun("Analytics", "acme")) / "tenant.db"
    with sqlite3.connect(path) as connection:
        for sql in ("UPDATE _raydo_audit SET by = 'me'", "DELETE FROM _raydo_audit"):
            with pytest.raises(sqlite3.DatabaseError, match="only ever added to"):
                connection.execute(sql)


async def test_over_http_each_deed_names_its_key(keyed: Keyed) -> None:
    admin = await keyed.key("admin")
    read = (await keyed.ask("POST", "/admin/keys", admin, json={"kind": "read"})).json()
    await keyed.ask("PATCH", "/settings", admin, json={"week_start": "sunday"})
    await keyed.ask("POST", "/query", read["key"], json={"sql": QUERY})

    told = (await keyed.ask("GET", "/admin/audit", admin)).json()["rows"]

    owner = f"admin:{(await keyed.keyring.list('acme'))[0]['id']}"
    assert [(row["by"], row["action"]) for row in told] == [
        (f"read:{read['id']}", "query"),
        (owner, "settings"),
        (owner, "key_made"),
        ("local", "key_made"),
    ]
    assert "alice" not in str(told)
    assert (await keyed.ask("GET", "/admin/audit", read["key"])).status_code == 403
    assert (await keyed.ask("GET", "/admin/audit?kind=server", admin)).status_code == 403
    assert (await keyed.ask("GET", "/admin/audit?limit=0", admin)).status_code == 400


async def test_nobody_says_who_they_are_themselves(keyed: Keyed) -> None:
    from conftest import program

    from raydo.gateway.rpc import MSGPACK
    from raydo.pipelining.codec import pack

    admin = await keyed.key("admin")
    calls = program(("set_settings", (), {"week_start": "sunday"}))
    envelope = encode_envelope([Entry(b"s" * 16, 1, 0, calls, "server:forged")])
    response = await keyed.ask(
        "POST",
        "/rpc",
        admin,
        content=pack(["Analytics", "acme", envelope]),
        headers={"content-type": MSGPACK},
    )
    assert response.status_code == 200
    rows = (await keyed.ask("GET", "/admin/audit?limit=1", admin)).json()["rows"]
    assert rows[0]["action"] == "settings"
    assert rows[0]["by"].startswith("admin:")
    assert decode_envelope(stamped(envelope, "a:b"))[0].by == "a:b"


def test_by_command_the_log_of_a_folder_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(tmp_path / "data")
    main_ok(["keys", "create", "--kind", "read", "-t", "acme", "--data", data])
    main_ok(["token", "-t", "acme", "--data", data])
    capsys.readouterr()
    main_ok(["audit", "-t", "acme", "--data", data])
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[1:3] for line in lines] == [["cli", "token_made"], ["cli", "key_made"]]


def main_ok(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0


def test_a_waiting_remark_is_written_though_nobody_calls_again(world: World) -> None:
    acme: Any = world.connection.acting("read:abc").stub(Analytics, "acme")
    world.wait(acme.set_settings(week_start="sunday"))
    world.wait(acme.query(QUERY))
    path = tenant.folder(world.data, Noun("Analytics", "acme")) / "tenant.db"
    deadline = time.monotonic() + 10
    with sqlite3.connect(path) as connection:
        sql = "SELECT count(*) FROM _raydo_audit WHERE action = 'query'"
        while connection.execute(sql).fetchone() != (1,):
            assert time.monotonic() < deadline
            time.sleep(0.1)  # a thread drains
